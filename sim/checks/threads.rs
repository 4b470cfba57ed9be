//! Measures: how late the consensus loops ran at worst, and how often one ran late by more than a
//! heartbeat. A loop is late when something else held its thread or its core, or when its process
//! was paused.

use kernel::Time;
use kernel::check::{Check, Fact, Finding, Hears, Measure, Unit, View};
use kernel::registry::{CheckWord, Claim};
use raft_driver::event::RaftEvent;

use crate::{RAFT, plain};

/// The word `threads`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "threads",
        about: "measures consensus loops: thread_late_max, how late one ran at worst; \
                thread_late_count, how often one was late by more than a heartbeat",
        claim: Claim::Measures,
        make: plain::<Threads>,
    }
}

#[derive(Default)]
struct Threads {
    latest: Time,
    count: u64,
}

impl Threads {
    fn late(&mut self, by: Time) {
        self.latest = self.latest.max(by);
        self.count += 1;
    }
}

impl Check for Threads {
    fn hears(&self) -> Hears {
        Hears::Only(&[RAFT])
    }

    fn observe(&mut self, fact: &Fact<'_>, _: &View<'_>) -> Result<(), Finding> {
        if let Some(RaftEvent::ThreadLate { late_ns, .. }) = fact.get() {
            self.late(*late_ns);
        }
        Ok(())
    }

    fn measures(&self, _: &View<'_>) -> Vec<Measure> {
        vec![
            Measure { name: "thread_late_max", value: self.latest, unit: Unit::Time },
            Measure { name: "thread_late_count", value: self.count, unit: Unit::Count },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_is_kept() {
        let mut check = Threads::default();
        check.late(700);
        check.late(80);
        assert_eq!((check.latest, check.count), (700, 2));
    }
}
