//! Should be seen now and then: a node got its state as a snapshot from a peer, because the log it
//! lacked was gone. What follows the blackout does not count.
//!
//! How often, per run, is the measure `snapshots_installed`. Source: Raft, section 7.

use kernel::check::{Check, Fact, Finding, Hears, View};
use kernel::registry::{CheckWord, Claim};
use raft_driver::event::RaftEvent;

use crate::{KERNEL, RAFT, enters, plain};

/// The word `snapshot_installed`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "snapshot_installed",
        about: "a node got its state as a snapshot from a peer",
        claim: Claim::Sometimes,
        make: plain::<SnapshotInstalled>,
    }
}

#[derive(Default)]
struct SnapshotInstalled {
    dark: bool,
    count: u64,
}

impl SnapshotInstalled {
    fn note(&mut self, fact: &Fact<'_>) {
        self.dark |= enters(fact, "blackout");
        let installed = matches!(fact.get(), Some(RaftEvent::SnapshotInstalled { .. }));
        self.count += u64::from(installed && !self.dark);
    }
}

impl Check for SnapshotInstalled {
    fn hears(&self) -> Hears {
        Hears::Only(&[KERNEL, RAFT])
    }

    fn observe(&mut self, fact: &Fact<'_>, _: &View<'_>) -> Result<(), Finding> {
        self.note(fact);
        Ok(())
    }

    fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use host::Event;
    use kernel::event::KernelEvent;

    use super::*;

    const INSTALLED: RaftEvent =
        RaftEvent::SnapshotInstalled { group: 0, index: 9, term: 2, chain: 7, state_hash: 5 };

    fn count(events: &[&dyn Event]) -> u64 {
        let mut check = SnapshotInstalled::default();
        for event in events {
            check.note(&Fact { at: 1, host: 0, boot: 1, event: *event });
        }
        check.count()
    }

    #[test]
    fn what_a_peer_sent_counts_and_an_own_snapshot_does_not() {
        let (took_ns, serialized_ns) = (5, 4);
        let own =
            RaftEvent::SnapshotFinished { group: 0, index: 9, bytes: 1, took_ns, serialized_ns };
        assert_eq!(count(&[&own]), 0);
        assert_eq!(count(&[&INSTALLED, &own, &INSTALLED]), 2);
    }

    #[test]
    fn what_follows_the_blackout_does_not_count() {
        let blackout = KernelEvent::Phase { name: "blackout" };
        assert_eq!(count(&[&INSTALLED, &blackout, &INSTALLED]), 1);
    }
}
