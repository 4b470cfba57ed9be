//! The log of every new leader holds all that was committed in earlier terms. A vote that ignores
//! how up-to-date the candidate is, or an acknowledgement that was not durable, breaks exactly
//! this.
//!
//! A commit is dated by the term of the node that learned of it, which is never below the term in
//! which it came about; so a late winner of a term that is already over is not blamed for what
//! happened after it. Compared are the index, the term of the leader's last entry and, where both
//! are known, the chain hash. Source: Raft, section 5.4.

use std::collections::BTreeMap;

use kernel::check::{Check, Fact, Finding, Hears, View};
use kernel::registry::{CheckWord, Claim};
use raft_driver::event::RaftEvent;

use crate::log_matching::Window;
use crate::{RAFT, node, of_group, plain};

/// The word `leader_completeness`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "leader_completeness",
        about: "the log of a new leader holds everything that was committed in earlier terms",
        claim: Claim::Always,
        make: plain::<LeaderCompleteness>,
    }
}

/// A position in a log.
#[derive(Clone, Copy, Debug)]
struct Mark {
    index: u64,
    term: u64,
    chain: u64,
}

#[derive(Default)]
struct Group {
    /// Each node's current term.
    terms: BTreeMap<usize, u64>,
    /// The highest commit that was learned in each term.
    commits: BTreeMap<u64, Mark>,
    /// The term in which a position was first known to be committed, and its chain hash.
    chains: Window<(u64, u64)>,
    /// The end of each leader's log at its election.
    leaders: BTreeMap<u64, (usize, Mark)>,
}

/// The commits and leaders of each group.
#[derive(Default)]
struct LeaderCompleteness {
    groups: BTreeMap<u32, Group>,
}

fn lacks(group: u32, (host, term): (usize, u64), what: &str, index: u64) -> Finding {
    let (leader, group) = (node(host), of_group(group));
    let text =
        format!("{leader}, the leader of term {term}{group}, {what} the committed entry {index}");
    Finding::at(host, text)
}

/// Whether the log of a leader can hold a commit of an earlier term.
fn judge(group: u32, leader: (usize, u64), log: Mark, commit: Mark) -> Result<(), Finding> {
    if log.index < commit.index {
        let what = format!("has a log to {} and lacks", log.index);
        return Err(lacks(group, leader, &what, commit.index));
    }
    if log.term < commit.term || (log.index == commit.index && log.chain != commit.chain) {
        return Err(lacks(group, leader, "holds another entry than", commit.index));
    }
    Ok(())
}

impl LeaderCompleteness {
    fn group(&mut self, group: u32) -> &mut Group {
        self.groups.entry(group).or_default()
    }

    fn committed(&mut self, group: u32, host: usize, commit: Mark) -> Result<(), Finding> {
        let state = self.group(group);
        let learned = state.terms.get(&host).copied().unwrap_or(u64::MAX);
        if let Some(slot) = state.chains.slot(commit.index) {
            let (at, _) = slot.get_or_insert((learned, commit.chain));
            *at = learned.min(*at);
        }
        let newest = state.commits.entry(learned).or_insert(commit);
        if newest.index < commit.index {
            *newest = commit;
        }
        let after = learned.saturating_add(1);
        state
            .leaders
            .range(after..)
            .try_for_each(|(term, (leader, log))| judge(group, (*leader, *term), *log, commit))
    }

    fn elected(&mut self, group: u32, leader: (usize, u64), log: Mark) -> Result<(), Finding> {
        let (host, term) = leader;
        let state = self.group(group);
        state.terms.insert(host, term);
        state.leaders.insert(term, (host, log));
        if let Some((learned, chain)) = state.chains.get(log.index)
            && *learned < term
            && *chain != log.chain
        {
            return Err(lacks(group, leader, "holds another entry than", log.index));
        }
        let commits = state.commits.range(..term).map(|(_, mark)| *mark);
        match commits.max_by_key(|mark| mark.index) {
            Some(newest) => judge(group, leader, log, newest),
            None => Ok(()),
        }
    }
}

impl Check for LeaderCompleteness {
    fn hears(&self) -> Hears {
        Hears::Only(&[RAFT])
    }

    fn observe(&mut self, fact: &Fact<'_>, _: &View<'_>) -> Result<(), Finding> {
        match fact.get() {
            Some(RaftEvent::Recovered { group, term, .. })
            | Some(RaftEvent::Candidate { group, term })
            | Some(RaftEvent::Follower { group, term, .. }) => {
                self.group(*group).terms.insert(fact.host, *term);
                Ok(())
            }
            Some(RaftEvent::Leader { group, term, last_index, last_term, chain }) => {
                let log = Mark { index: *last_index, term: *last_term, chain: *chain };
                self.elected(*group, (fact.host, *term), log)
            }
            Some(RaftEvent::Committed { group, index, term, chain }) => {
                let commit = Mark { index: *index, term: *term, chain: *chain };
                self.committed(*group, fact.host, commit)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(index: u64, term: u64, chain: u64) -> Mark {
        Mark { index, term, chain }
    }

    /// n1 led term 2 and knows 10 to be committed.
    fn after_term_two() -> LeaderCompleteness {
        let mut check = LeaderCompleteness::default();
        check.elected(0, (0, 2), mark(4, 1, 40)).unwrap();
        check.committed(0, 0, mark(10, 2, 100)).unwrap();
        check
    }

    #[test]
    fn a_leader_with_all_commits_is_fine() {
        let mut check = after_term_two();
        check.elected(0, (1, 3), mark(10, 2, 100)).unwrap();
        check.elected(0, (2, 4), mark(12, 3, 120)).unwrap();
        check.elected(1, (2, 4), mark(0, 0, 0)).unwrap();
    }

    #[test]
    fn a_shorter_an_older_and_another_log_are_found() {
        let finding = after_term_two().elected(0, (1, 3), mark(9, 2, 90)).unwrap_err();
        let text = "n2, the leader of term 3, has a log to 9 and lacks the committed entry 10";
        assert_eq!(finding.text, text);
        assert!(after_term_two().elected(0, (1, 3), mark(15, 1, 150)).is_err());
        assert!(after_term_two().elected(0, (1, 3), mark(10, 2, 101)).is_err());
    }

    #[test]
    fn the_winner_of_a_past_term_is_not_blamed_for_what_came_after() {
        let mut check = LeaderCompleteness::default();
        check.elected(0, (0, 5), mark(4, 1, 40)).unwrap();
        check.committed(0, 0, mark(10, 5, 100)).unwrap();
        check.elected(0, (1, 4), mark(4, 1, 40)).unwrap();
    }

    #[test]
    fn a_commit_that_is_learned_late_is_held_against_the_leader() {
        let mut check = LeaderCompleteness::default();
        check.elected(0, (0, 2), mark(4, 1, 40)).unwrap();
        check.elected(0, (1, 3), mark(4, 1, 40)).unwrap();
        let finding = check.committed(0, 0, mark(10, 2, 100)).unwrap_err();
        assert_eq!(finding.hosts, [1]);
    }
}
