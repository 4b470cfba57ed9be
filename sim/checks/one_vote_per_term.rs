//! A node grants at most one vote in a term, across restarts. A vote counts from the moment the
//! message leaves; a node that forgets it (because the disk did not have it yet, or got the term
//! without the vote) may elect two leaders of one term together with others like it.
//!
//! It judges the votes that left, whether or not they arrived or changed an outcome: the defect
//! shows long before two leaders do. Source: Raft, section 5.2, and the persistent state of figure
//! 2.

use std::collections::BTreeMap;

use kernel::check::{Check, Fact, Finding, Hears, View};
use kernel::registry::{CheckWord, Claim};
use raft_driver::event::RaftEvent;

use crate::{KERNEL, RAFT, death, node, of_group, plain};

/// The word `one_vote_per_term`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "one_vote_per_term",
        about: "a node grants at most one vote in a term, across restarts",
        claim: Claim::Always,
        make: plain::<OneVotePerTerm>,
    }
}

struct Vote {
    to: u64,
    boot: u32,
}

/// All votes by (group, term, voter), and how each node last died.
#[derive(Default)]
struct OneVotePerTerm {
    votes: BTreeMap<(u32, u64, usize), Vote>,
    deaths: BTreeMap<usize, &'static str>,
}

impl OneVotePerTerm {
    fn grants(
        &mut self,
        (group, term): (u32, u64),
        (host, boot): (usize, u32),
        to: u64,
    ) -> Result<(), Finding> {
        let first = self.votes.entry((group, term, host)).or_insert(Vote { to, boot });
        if first.to == to {
            return Ok(());
        }
        let how = self.deaths.get(&host).copied().unwrap_or("restart");
        let between = if first.boot == boot { "then,".into() } else { format!("after its {how},") };
        let text = format!(
            "{} voted for n{} and, {between} for n{to} (term {term}{})",
            node(host),
            first.to,
            of_group(group)
        );
        Err(Finding::at(host, text))
    }
}

impl Check for OneVotePerTerm {
    fn hears(&self) -> Hears {
        Hears::Only(&[KERNEL, RAFT])
    }

    fn observe(&mut self, fact: &Fact<'_>, _: &View<'_>) -> Result<(), Finding> {
        if let Some(RaftEvent::VoteGranted { group, term, to }) = fact.get() {
            return self.grants((*group, *term), (fact.host, fact.boot), *to);
        }
        if let Some(how) = death(fact) {
            self.deaths.insert(fact.host, how);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_vote_may_be_said_again() {
        let mut check = OneVotePerTerm::default();
        for boot in 1..4 {
            assert_eq!(check.grants((0, 4), (2, boot), 1), Ok(()));
        }
        assert_eq!(check.grants((0, 5), (2, 3), 5), Ok(()));
        assert_eq!(check.grants((0, 4), (3, 1), 5), Ok(()));
    }

    #[test]
    fn a_second_vote_names_what_lies_between() {
        let mut check = OneVotePerTerm::default();
        check.grants((0, 4), (2, 1), 1).unwrap();
        check.deaths.insert(2, "power loss");
        let finding = check.grants((0, 4), (2, 2), 5).unwrap_err();
        assert_eq!(finding.text, "n3 voted for n1 and, after its power loss, for n5 (term 4)");
        let mut check = OneVotePerTerm::default();
        check.grants((0, 4), (2, 1), 1).unwrap();
        let finding = check.grants((0, 4), (2, 1), 5).unwrap_err();
        assert_eq!(finding.text, "n3 voted for n1 and, then, for n5 (term 4)");
    }
}
