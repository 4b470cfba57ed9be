//! Measures: how large the log files of one node grew at most, and what power losses did to files:
//! how many took something, how many bytes in all, and how often a node cut a torn tail at its boot.
//!
//! Sizes are those of the files themselves, looked at when a segment begins, when a snapshot is
//! durable (which is just before the log is cut) and at the end. Between two looks a log can be
//! larger by less than a segment.

use kernel::check::{Check, Fact, Finding, Hears, Measure, Unit, View};
use kernel::event::KernelEvent;
use kernel::registry::{CheckWord, Claim};
use raft_driver::event::RaftEvent;

use crate::{KERNEL, RAFT, plain};

/// The word `wal`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "wal",
        about: "measures log files: wal_segments_max and wal_bytes_max, the most files and bytes \
                of one node; and power losses: tails_lost, those that took bytes; lost_bytes, how \
                many in all; tail_cuts, torn ends of logs that nodes cut at their boot",
        claim: Claim::Measures,
        make: plain::<Wal>,
    }
}

/// Where nodes keep their log.
pub(crate) const LOG: &str = "wal/";

#[derive(Default)]
struct Wal {
    /// The most segments of one node.
    segments: u64,
    /// The most bytes of one node.
    bytes: u64,
    tails_lost: u64,
    lost_bytes: u64,
    tail_cuts: u64,
}

impl Wal {
    fn looked(&mut self, segments: u64, bytes: u64) {
        self.segments = self.segments.max(segments);
        self.bytes = self.bytes.max(bytes);
    }

    fn power_lost(&mut self, lost: u64) {
        self.tails_lost += u64::from(lost > 0);
        self.lost_bytes += lost;
    }

    /// All measures, given the largest log at the end.
    fn all(&self, bytes_at_end: u64) -> Vec<Measure> {
        let one = |name, value, unit| Measure { name, value, unit };
        vec![
            one("wal_segments_max", self.segments, Unit::Count),
            one("wal_bytes_max", self.bytes.max(bytes_at_end), Unit::Bytes),
            one("tails_lost", self.tails_lost, Unit::Count),
            one("lost_bytes", self.lost_bytes, Unit::Bytes),
            one("tail_cuts", self.tail_cuts, Unit::Count),
        ]
    }
}

impl Check for Wal {
    fn hears(&self) -> Hears {
        Hears::Only(&[KERNEL, RAFT])
    }

    fn observe(&mut self, fact: &Fact<'_>, view: &View<'_>) -> Result<(), Finding> {
        match fact.get() {
            Some(RaftEvent::WalRolled { segments, .. }) => {
                self.looked(*segments, view.bytes_below(fact.host, LOG));
            }
            Some(RaftEvent::SnapshotFinished { .. }) => {
                self.looked(0, view.bytes_below(fact.host, LOG));
            }
            Some(RaftEvent::TailCut { .. }) => self.tail_cuts += 1,
            _ => {}
        }
        if let Some(KernelEvent::PowerLost { lost, .. }) = fact.get() {
            self.power_lost(*lost);
        }
        Ok(())
    }

    fn measures(&self, view: &View<'_>) -> Vec<Measure> {
        let at_end = (0..view.nodes()).map(|host| view.bytes_below(host, LOG)).max();
        self.all(at_end.unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_log_and_the_sum_of_losses_are_kept() {
        let mut check = Wal::default();
        check.looked(2, 900);
        check.looked(3, 100);
        check.power_lost(0);
        check.power_lost(96);
        let values: Vec<u64> = check.all(50).iter().map(|m| m.value).collect();
        assert_eq!(values, [3, 900, 1, 96, 0]);
    }

    #[test]
    fn every_measure_is_explained() {
        assert!(Wal::default().all(0).iter().all(|m| word().about.contains(m.name)));
    }

    #[test]
    fn a_log_that_is_largest_at_the_end_counts() {
        let mut check = Wal::default();
        check.looked(1, 110);
        assert_eq!(check.all(4_000)[1].value, 4_000);
    }
}
