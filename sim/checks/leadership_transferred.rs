//! Should be seen now and then: a leader handed leadership over, and the node that it named won the
//! next term. Without that, a sweep has not tested handing over.
//!
//! A hand-over is forgotten when anybody else leads first, or when a later one begins. What follows
//! the blackout does not count. Source: Ongaro's thesis, section 3.10.

use std::any::TypeId;
use std::collections::BTreeMap;

use kernel::check::Fact;
use kernel::registry::{CheckWord, Claim};
use raft_driver::event::RaftEvent;

use crate::{RAFT, Seen, Sighting, plain};

/// The word `leadership_transferred`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "leadership_transferred",
        about: "a leader handed leadership over, and the node that it named led next",
        claim: Claim::Sometimes,
        make: plain::<Seen<LeadershipTransferred>>,
    }
}

/// By group: in which term leadership is handed over, and to which member.
#[derive(Default)]
struct LeadershipTransferred {
    handed: BTreeMap<u32, (u64, u64)>,
}

impl Sighting for LeadershipTransferred {
    const AMONG: TypeId = RAFT;

    fn sees(&mut self, fact: &Fact<'_>) -> bool {
        match fact.get() {
            Some(RaftEvent::TransferStarted { group, term, to }) => {
                self.handed.insert(*group, (*term, *to));
                false
            }
            Some(RaftEvent::Leader { group, term, .. }) => {
                let handed = self.handed.remove(group);
                handed.is_some_and(|(before, to)| *term > before && to == fact.host as u64 + 1)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use host::Event;

    use super::*;
    use crate::tests::seen;

    #[test]
    fn the_named_node_must_lead_next() {
        let hands = RaftEvent::TransferStarted { group: 1, term: 3, to: 2 };
        let leads =
            |term| RaftEvent::Leader { group: 1, term, last_index: 0, last_term: 0, chain: 0 };
        let count = |facts: &[(usize, &dyn Event)]| seen::<LeadershipTransferred>(facts);
        assert_eq!(count(&[(0, &hands), (1, &leads(4)), (2, &leads(5)), (1, &leads(6))]), 1);
        assert_eq!(count(&[(0, &hands), (2, &leads(4)), (1, &leads(5))]), 0);
        assert_eq!(count(&[(0, &hands), (0, &leads(3))]), 0);
        assert_eq!(count(&[(1, &leads(4))]), 0);
    }
}
