//! Measures: own snapshots that became durable, the longest of them from start to durability, and
//! snapshots that a node got from a peer. A snapshot that a crash or the end of the run cut short
//! counts nowhere.

use kernel::Time;
use kernel::check::{Check, Fact, Finding, Hears, Measure, Unit, View};
use kernel::registry::{CheckWord, Claim};
use raft_driver::event::RaftEvent;

use crate::{RAFT, plain};

/// The word `snapshots`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "snapshots",
        about: "measures snapshots: snapshots, how many a node took that became durable; \
                snapshot_max, the longest from start to durability; snapshots_installed, how many \
                came from a peer",
        claim: Claim::Measures,
        make: plain::<Snapshots>,
    }
}

#[derive(Default)]
struct Snapshots {
    taken: u64,
    longest: Time,
    installed: u64,
}

impl Snapshots {
    fn note(&mut self, event: &RaftEvent) {
        match event {
            RaftEvent::SnapshotFinished { took_ns, .. } => {
                self.taken += 1;
                self.longest = self.longest.max(*took_ns);
            }
            RaftEvent::SnapshotInstalled { .. } => self.installed += 1,
            _ => {}
        }
    }
}

impl Check for Snapshots {
    fn hears(&self) -> Hears {
        Hears::Only(&[RAFT])
    }

    fn observe(&mut self, fact: &Fact<'_>, _: &View<'_>) -> Result<(), Finding> {
        if let Some(event) = fact.get() {
            self.note(event);
        }
        Ok(())
    }

    fn measures(&self, _: &View<'_>) -> Vec<Measure> {
        vec![
            Measure { name: "snapshots", value: self.taken, unit: Unit::Count },
            Measure { name: "snapshot_max", value: self.longest, unit: Unit::Time },
            Measure { name: "snapshots_installed", value: self.installed, unit: Unit::Count },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_is_kept_and_an_unfinished_one_does_not_count() {
        let mut check = Snapshots::default();
        for took_ns in [5, 9, 7] {
            check.note(&RaftEvent::SnapshotStarted { group: 0, index: 1, bytes: 1 });
            check.note(&RaftEvent::SnapshotFinished { group: 0, index: 1, bytes: 1, took_ns });
        }
        check.note(&RaftEvent::SnapshotStarted { group: 0, index: 2, bytes: 1 });
        assert_eq!((check.taken, check.longest, check.installed), (3, 9, 0));
    }
}
