//! Measures: how large the log files of one node grew at most (stated whenever a segment begins, so
//! the newest segment's own bytes are not in it), and what power losses did to files: how many took
//! something, how many bytes in all, and how often a node cut a torn tail at its boot.
//!
//! Before the first new segment of a load nothing is known of sizes, and nothing is said.

use kernel::check::{Check, Fact, Finding, Measure, Unit, View};
use kernel::event::KernelEvent;
use kernel::registry::{CheckWord, Claim};
use raft_driver::event::RaftEvent;

use crate::plain;

/// The word `wal`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "wal",
        about: "measures the growth of log files, and what power losses took from files",
        claim: Claim::Measures,
        make: plain::<Wal>,
    }
}

#[derive(Default)]
struct Wal {
    /// The most segments and the most bytes of one node.
    largest: Option<(u64, u64)>,
    tails_lost: u64,
    lost_bytes: u64,
    tail_cuts: u64,
}

impl Wal {
    fn rolled(&mut self, segments: u64, bytes: u64) {
        let (most, largest) = self.largest.unwrap_or_default();
        self.largest = Some((most.max(segments), largest.max(bytes)));
    }

    fn power_lost(&mut self, lost: u64) {
        self.tails_lost += u64::from(lost > 0);
        self.lost_bytes += lost;
    }

    fn all(&self) -> Vec<Measure> {
        let one = |name, value, unit| Measure { name, value, unit };
        let sizes = self.largest.map(|(segments, bytes)| {
            [
                one("wal_segments_max", segments, Unit::Count),
                one("wal_bytes_max", bytes, Unit::Bytes),
            ]
        });
        let losses = [
            one("tails_lost", self.tails_lost, Unit::Count),
            one("lost_bytes", self.lost_bytes, Unit::Bytes),
            one("tail_cuts", self.tail_cuts, Unit::Count),
        ];
        sizes.into_iter().flatten().chain(losses).collect()
    }
}

impl Check for Wal {
    fn observe(&mut self, fact: &Fact<'_>, _: &View<'_>) -> Result<(), Finding> {
        match fact.get() {
            Some(RaftEvent::WalRolled { segments, bytes_total, .. }) => {
                self.rolled(*segments, *bytes_total);
            }
            Some(RaftEvent::TailCut { .. }) => self.tail_cuts += 1,
            _ => {}
        }
        if let Some(KernelEvent::PowerLost { lost, .. }) = fact.get() {
            self.power_lost(*lost);
        }
        Ok(())
    }

    fn measures(&self, _: &View<'_>) -> Vec<Measure> {
        self.all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_log_and_the_sum_of_losses_are_kept() {
        let mut check = Wal::default();
        check.rolled(2, 900);
        check.rolled(3, 100);
        check.power_lost(0);
        check.power_lost(96);
        let values: Vec<u64> = check.all().iter().map(|m| m.value).collect();
        assert_eq!(values, [3, 900, 1, 96, 0]);
    }

    #[test]
    fn without_a_new_segment_no_size_is_claimed() {
        assert!(Wal::default().all().iter().all(|m| !m.name.starts_with("wal_")));
    }
}
