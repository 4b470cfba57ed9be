//! Measures: own snapshots that became durable, the longest of them from start to durability, and
//! snapshots that a node got from a peer. Of the first five of each host it is measured one by one how
//! long they took to serialise, for a full snapshot takes longer with all that was written before it. A
//! snapshot that a crash or the end of the run cut short counts nowhere.

use std::collections::BTreeMap;

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
                came from a peer; snapshot_1 to snapshot_5, how long the first to the fifth of a \
                host took to serialise",
        claim: Claim::Measures,
        make: plain::<Snapshots>,
    }
}

/// Names of the snapshots of a host that are measured one by one.
const NAMES: [&str; 5] = ["snapshot_1", "snapshot_2", "snapshot_3", "snapshot_4", "snapshot_5"];

#[derive(Default)]
struct Snapshots {
    taken: u64,
    /// By group and host, how many it took.
    counts: BTreeMap<(u32, usize), usize>,
    /// The longest of the first ones, of the second ones ...
    nth: Vec<Time>,
    longest: Time,
    installed: u64,
}

impl Snapshots {
    fn note(&mut self, host: usize, event: &RaftEvent) {
        match event {
            RaftEvent::SnapshotFinished { group, took_ns, serialized_ns, .. } => {
                self.taken += 1;
                self.longest = self.longest.max(*took_ns);
                let count = self.counts.entry((*group, host)).or_default();
                if self.nth.len() == *count && *count < NAMES.len() {
                    self.nth.push(0);
                }
                if let Some(longest) = self.nth.get_mut(*count) {
                    *longest = (*longest).max(*serialized_ns);
                }
                *count += 1;
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
            self.note(fact.host, event);
        }
        Ok(())
    }

    fn measures(&self, _: &View<'_>) -> Vec<Measure> {
        let nth = NAMES.into_iter().zip(&self.nth);
        let nth = nth.map(|(name, value)| Measure { name, value: *value, unit: Unit::Time });
        let all = [
            Measure { name: "snapshots", value: self.taken, unit: Unit::Count },
            Measure { name: "snapshot_max", value: self.longest, unit: Unit::Time },
            Measure { name: "snapshots_installed", value: self.installed, unit: Unit::Count },
        ];
        all.into_iter().chain(nth).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(took_ns: u64, serialized_ns: u64) -> RaftEvent {
        RaftEvent::SnapshotFinished { group: 0, index: 1, bytes: 1, took_ns, serialized_ns }
    }

    #[test]
    fn the_longest_is_kept_and_an_unfinished_one_does_not_count() {
        let mut check = Snapshots::default();
        for took_ns in [5, 9, 7] {
            check.note(0, &RaftEvent::SnapshotStarted { group: 0, index: 1, bytes: 1 });
            check.note(0, &finished(took_ns, 0));
        }
        check.note(0, &RaftEvent::SnapshotStarted { group: 0, index: 2, bytes: 1 });
        assert_eq!((check.taken, check.longest, check.installed), (3, 9, 0));
    }

    #[test]
    fn the_first_five_count_one_by_one_at_the_host_that_took_longest() {
        let mut check = Snapshots::default();
        for (host, took_ns) in [(0, 4), (1, 6), (1, 2), (0, 3), (0, 1), (0, 1), (0, 8), (0, 99)] {
            check.note(host, &finished(500, took_ns));
        }
        assert_eq!(check.nth, [6, 3, 1, 1, 8]);
    }
}
