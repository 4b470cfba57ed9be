//! Should be seen now and then: the consensus loop ran late by more than a heartbeat while the same
//! host was taking a snapshot. This is how a healthy cluster comes to elect: the thread that
//! answers heartbeats serialises state instead.
//!
//! The two overlap if the time in which the loop should have run meets the time from the snapshot's
//! start to its durability. Lateness in which the host was paused is not counted. Whether an
//! election came of it is the business of `needless_elections`.

use std::collections::BTreeMap;

use kernel::Time;
use kernel::check::{Check, Fact, Finding, Hears, View};
use kernel::event::KernelEvent;
use kernel::registry::{CheckWord, Claim};
use raft_driver::event::RaftEvent;

use crate::{KERNEL, RAFT, death, plain};

/// The word `snapshot_starved`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "snapshot_starved",
        about: "a consensus loop ran late by more than a heartbeat while its host took a snapshot",
        claim: Claim::Sometimes,
        make: plain::<SnapshotStarved>,
    }
}

/// What a host did lately.
#[derive(Clone, Copy, Debug, Default)]
struct Lately {
    /// Its newest snapshot's start, and its end if it has one.
    snapshot: Option<(Time, Option<Time>)>,
    resumed: Option<Time>,
}

impl Lately {
    /// Whether a loop that ran at `at`, late by `late`, was kept waiting by the snapshot.
    fn starved(&self, at: Time, late: Time) -> bool {
        let due = at.saturating_sub(late);
        let paused = self.resumed.is_some_and(|resumed| resumed >= due);
        let overlaps = |(_, end): (Time, Option<Time>)| end.is_none_or(|end| end > due);
        !paused && self.snapshot.is_some_and(overlaps)
    }
}

#[derive(Default)]
struct SnapshotStarved {
    hosts: BTreeMap<usize, Lately>,
    count: u64,
}

impl Check for SnapshotStarved {
    fn hears(&self) -> Hears {
        Hears::Only(&[KERNEL, RAFT])
    }

    fn observe(&mut self, fact: &Fact<'_>, _: &View<'_>) -> Result<(), Finding> {
        if death(fact).is_some() {
            self.hosts.remove(&fact.host);
        } else if let Some(KernelEvent::Resumed { .. }) = fact.get() {
            self.hosts.entry(fact.host).or_default().resumed = Some(fact.at);
        }
        let Some(event) = fact.get::<RaftEvent>() else { return Ok(()) };
        match event {
            RaftEvent::SnapshotStarted { .. } => {
                self.hosts.entry(fact.host).or_default().snapshot = Some((fact.at, None));
            }
            RaftEvent::SnapshotFinished { .. } => {
                let lately = self.hosts.entry(fact.host).or_default();
                lately.snapshot = lately.snapshot.map(|(start, _)| (start, Some(fact.at)));
            }
            RaftEvent::ThreadLate { late_ns, .. } => {
                let lately = self.hosts.entry(fact.host).or_default();
                self.count += u64::from(lately.starved(fact.at, *late_ns));
            }
            _ => {}
        }
        Ok(())
    }

    fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lateness_during_a_snapshot_is_starvation() {
        let open = Lately { snapshot: Some((100, None)), resumed: None };
        assert!(open.starved(800, 600));
        let ended = Lately { snapshot: Some((100, Some(700))), resumed: Some(50) };
        assert!(ended.starved(800, 600));
    }

    #[test]
    fn lateness_at_another_time_or_in_a_pause_is_not() {
        assert!(!Lately::default().starved(800, 600));
        let ended = Lately { snapshot: Some((100, Some(150))), resumed: None };
        assert!(!ended.starved(800, 600));
        let paused = Lately { snapshot: Some((100, None)), resumed: Some(750) };
        assert!(!paused.starved(800, 600));
    }
}
