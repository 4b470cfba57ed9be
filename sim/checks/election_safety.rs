//! At most one leader per term. Leaders may overlap in time, an old one may not know yet that it is
//! deposed, but each term belongs to one node: everything else in Raft rests on that.
//!
//! It looks at elections that were won, not at votes; a double vote that changed no outcome is the
//! business of `one_vote_per_term`. Source: Raft, section 5.2, "Election Safety"; Kafka's KRaft
//! simulation checks the same after each event (`SingleLeader`).

use std::collections::BTreeMap;

use kernel::check::{Check, Fact, Finding, Hears, View};
use kernel::registry::{CheckWord, Claim};
use raft_driver::event::RaftEvent;

use crate::{RAFT, node, of_group, plain};

/// The word `election_safety`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "election_safety",
        about: "a term has at most one leader",
        claim: Claim::Always,
        make: plain::<ElectionSafety>,
    }
}

/// Who won, by (group, term).
#[derive(Default)]
struct ElectionSafety {
    winners: BTreeMap<(u32, u64), usize>,
}

impl ElectionSafety {
    fn wins(&mut self, group: u32, term: u64, host: usize) -> Result<(), Finding> {
        let first = *self.winners.entry((group, term)).or_insert(host);
        if first == host {
            return Ok(());
        }
        let (a, b, group) = (node(first), node(host), of_group(group));
        let text = format!("{a} and {b} both won term {term}{group}");
        Err(Finding { hosts: vec![first, host], text })
    }
}

impl Check for ElectionSafety {
    fn hears(&self) -> Hears {
        Hears::Only(&[RAFT])
    }

    fn observe(&mut self, fact: &Fact<'_>, _: &View<'_>) -> Result<(), Finding> {
        match fact.get() {
            Some(RaftEvent::Leader { group, term, .. }) => self.wins(*group, *term, fact.host),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_and_groups_have_leaders_of_their_own() {
        let mut check = ElectionSafety::default();
        for (group, term, host) in [(0, 1, 0), (0, 2, 1), (1, 2, 2), (0, 2, 1)] {
            assert_eq!(check.wins(group, term, host), Ok(()));
        }
    }

    #[test]
    fn a_second_leader_of_a_term_is_found() {
        let mut check = ElectionSafety::default();
        check.wins(0, 4, 0).unwrap();
        let finding = check.wins(0, 4, 2).unwrap_err();
        assert_eq!(finding.hosts, [0, 2]);
        assert_eq!(finding.text, "n1 and n3 both won term 4");
    }
}
