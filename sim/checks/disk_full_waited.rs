//! Should be seen now and then: a node had no room on its disk for the log, waited, and went on when
//! there was room again. Without that, a sweep has not tested a full disk, or only nodes that gave
//! up on one.
//!
//! The end of the wait counts, not its beginning. What follows the blackout does not count.

use std::any::TypeId;

use kernel::check::Fact;
use kernel::registry::{CheckWord, Claim};
use raft_driver::event::RaftEvent;

use crate::{RAFT, Seen, Sighting, plain};

/// The word `disk_full_waited`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "disk_full_waited",
        about: "a node waited for room on its disk and then went on",
        claim: Claim::Sometimes,
        make: plain::<Seen<DiskFullWaited>>,
    }
}

#[derive(Default)]
struct DiskFullWaited;

impl Sighting for DiskFullWaited {
    const AMONG: TypeId = RAFT;

    fn sees(&mut self, fact: &Fact<'_>) -> bool {
        matches!(fact.get(), Some(RaftEvent::DiskRoom { .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::seen;

    #[test]
    fn a_wait_that_ended_counts() {
        let full = RaftEvent::DiskFull { group: 0, segment: 3 };
        let room = RaftEvent::DiskRoom { group: 0, waited_ns: 5 };
        assert_eq!(seen::<DiskFullWaited>(&[(0, &full)]), 0);
        assert_eq!(seen::<DiskFullWaited>(&[(0, &full), (0, &room)]), 1);
    }
}
