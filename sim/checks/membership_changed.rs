//! Should be seen now and then: a node leaves a joint configuration, so a change of members was gone
//! through with. A sweep that never sees one has tested no change.
//!
//! Each node that does so counts. Left out: those that learn of a change from a snapshot, and what
//! the change was (`config_agreed`).

use std::any::TypeId;
use std::collections::BTreeSet;

use kernel::check::Fact;
use kernel::registry::{CheckWord, Claim};
use raft_driver::event::RaftEvent;

use crate::configs::Config;
use crate::{RAFT, Seen, Sighting, plain};

/// The word `membership_changed`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "membership_changed",
        about: "a node went through a change of members to its end",
        claim: Claim::Sometimes,
        make: plain::<Seen<MembershipChanged>>,
    }
}

/// The nodes that are in a joint configuration, by group.
#[derive(Default)]
struct MembershipChanged {
    joint: BTreeSet<(u32, usize)>,
}

impl Sighting for MembershipChanged {
    const AMONG: TypeId = RAFT;

    fn sees(&mut self, fact: &Fact<'_>) -> bool {
        let Some(event) = fact.get::<RaftEvent>() else { return false };
        let Some(config) = Config::stated(event) else { return false };
        let key = (event.group(), fact.host);
        match config.is_joint() {
            true => {
                self.joint.insert(key);
                false
            }
            false => self.joint.remove(&key),
        }
    }
}

#[cfg(test)]
mod tests {
    use host::Event;

    use super::*;
    use crate::tests::seen;

    fn goes_by(index: u64, outgoing: u64) -> RaftEvent {
        RaftEvent::ConfigChanged { group: 1, index, voters: 0b111, outgoing, learners: 0 }
    }

    #[test]
    fn only_who_leaves_a_joint_configuration_has_gone_through_with_it() {
        let (boot, enters, leaves) = (goes_by(0, 0), goes_by(4, 0b1), goes_by(5, 0));
        let count = |facts: &[(usize, &dyn Event)]| seen::<MembershipChanged>(facts);
        assert_eq!(count(&[(0, &boot), (0, &enters), (1, &leaves)]), 0);
        assert_eq!(count(&[(0, &boot), (0, &enters), (0, &leaves), (0, &leaves)]), 1);
    }
}
