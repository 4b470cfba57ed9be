//! Should be seen now and then: a leader admitted reads on the strength of its lease, without
//! asking anybody. Without that, a sweep says nothing about leases, however many were held.
//!
//! Each admission counts once, however many reads it let in; their number is the measure
//! `lease_reads`. What follows the blackout does not count.

use std::any::TypeId;

use kernel::check::Fact;
use kernel::registry::{CheckWord, Claim};
use raft_driver::event::RaftEvent;

use crate::{RAFT, Seen, Sighting, plain};

/// The word `lease_served`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "lease_served",
        about: "a leader admitted reads under its lease",
        claim: Claim::Sometimes,
        make: plain::<Seen<LeaseServed>>,
    }
}

#[derive(Default)]
struct LeaseServed;

impl Sighting for LeaseServed {
    const AMONG: TypeId = RAFT;

    fn sees(&mut self, fact: &Fact<'_>) -> bool {
        matches!(fact.get(), Some(RaftEvent::LeaseRead { reads: 1.., .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::seen;

    #[test]
    fn reads_count_and_leases_do_not() {
        let held = RaftEvent::LeaseHeld { group: 1, term: 4, until_ns: 9 };
        let read = |reads| RaftEvent::LeaseRead { group: 1, term: 4, index: 7, reads };
        assert_eq!(seen::<LeaseServed>(&[(0, &held), (0, &read(0))]), 0);
        assert_eq!(seen::<LeaseServed>(&[(0, &held), (0, &read(3)), (1, &read(1))]), 2);
    }
}
