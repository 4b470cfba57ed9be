//! Should be seen now and then: the leader is another node than the leader before. A sweep in which
//! the leader never changes has tested no election after the first.
//!
//! The first leader is no change, nor is the same node in a new term; what follows the blackout
//! does not count. The number per run is the measure `leader_changes`.

use std::collections::BTreeMap;

use kernel::check::{Check, Fact, Finding, Hears, View};
use kernel::registry::{CheckWord, Claim};
use raft_driver::event::RaftEvent;

use crate::{KERNEL, RAFT, enters, plain};

/// The word `leader_changed`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "leader_changed",
        about: "another node became the leader",
        claim: Claim::Sometimes,
        make: plain::<LeaderChanged>,
    }
}

#[derive(Default)]
struct LeaderChanged {
    leaders: BTreeMap<u32, usize>,
    dark: bool,
    count: u64,
}

impl LeaderChanged {
    fn leads(&mut self, group: u32, host: usize) {
        let before = self.leaders.insert(group, host);
        self.count += u64::from(before.is_some_and(|b| b != host));
    }
}

impl Check for LeaderChanged {
    fn hears(&self) -> Hears {
        Hears::Only(&[KERNEL, RAFT])
    }

    fn observe(&mut self, fact: &Fact<'_>, _: &View<'_>) -> Result<(), Finding> {
        self.dark |= enters(fact, "blackout");
        if let (Some(RaftEvent::Leader { group, .. }), false) = (fact.get(), self.dark) {
            self.leads(*group, fact.host);
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
    fn only_another_node_is_a_change() {
        let mut check = LeaderChanged::default();
        check.leads(0, 1);
        check.leads(0, 1);
        check.leads(1, 2);
        assert_eq!(check.count, 0);
        check.leads(0, 2);
        assert_eq!(check.count, 1);
    }
}
