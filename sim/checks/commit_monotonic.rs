//! What is committed stays committed: a node's commit index never goes back while it runs, and all
//! nodes that know a position to be committed know the same entry there, with the same history
//! before it.
//!
//! Across a restart the index may go back, for Raft does not make it durable; what it stands for
//! may not change. Positions far behind the newest are forgotten. Source: Raft, section 5.3;
//! Kafka's KRaft simulation (`MonotonicHighWatermark`, `ConsistentCommittedData`).

use std::collections::BTreeMap;

use kernel::check::{Check, Fact, Finding, Hears, View};
use kernel::registry::{CheckWord, Claim};
use raft_driver::event::RaftEvent;

use crate::log_matching::Window;
use crate::{RAFT, node, of_group, plain};

/// The word `commit_monotonic`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "commit_monotonic",
        about: "a node's commit index never goes back, and nodes agree on what is committed",
        claim: Claim::Always,
        make: plain::<CommitMonotonic>,
    }
}

#[derive(Clone, Copy)]
struct Commit {
    term: u64,
    chain: u64,
    host: usize,
}

/// Per group what is committed, and up to where each node knows it.
#[derive(Default)]
struct CommitMonotonic {
    commits: BTreeMap<u32, Window<Commit>>,
    known: BTreeMap<(u32, usize), u64>,
}

impl CommitMonotonic {
    fn recovers(&mut self, group: u32, host: usize, index: u64) {
        self.known.insert((group, host), index);
    }

    fn learns(&mut self, group: u32, index: u64, commit: Commit) -> Result<(), Finding> {
        let known = self.known.entry((group, commit.host)).or_insert(0);
        let before = std::mem::replace(known, index);
        if index < before {
            let (name, group) = (node(commit.host), of_group(group));
            let text =
                format!("the commit index of {name}{group} went back from {before} to {index}");
            return Err(Finding::at(commit.host, text));
        }
        self.agrees(group, index, commit)
    }

    fn agrees(&mut self, group: u32, index: u64, commit: Commit) -> Result<(), Finding> {
        let Some(slot) = self.commits.entry(group).or_default().slot(index) else { return Ok(()) };
        let first = *slot.get_or_insert(commit);
        if (first.term, first.chain) == (commit.term, commit.chain) {
            return Ok(());
        }
        let text = format!(
            "{} and {} know different entries committed at {index}{}, of terms {} and {}",
            node(first.host),
            node(commit.host),
            of_group(group),
            first.term,
            commit.term
        );
        Err(Finding { hosts: vec![first.host, commit.host], text })
    }
}

impl Check for CommitMonotonic {
    fn hears(&self) -> Hears {
        Hears::Only(&[RAFT])
    }

    fn observe(&mut self, fact: &Fact<'_>, _: &View<'_>) -> Result<(), Finding> {
        let commit =
            |term: &u64, chain: &u64| Commit { term: *term, chain: *chain, host: fact.host };
        match fact.get() {
            Some(RaftEvent::Recovered { group, commit, .. }) => {
                self.recovers(*group, fact.host, *commit);
                Ok(())
            }
            Some(RaftEvent::Committed { group, index, term, chain }) => {
                self.learns(*group, *index, commit(term, chain))
            }
            Some(RaftEvent::SnapshotInstalled { group, index, term, chain, .. }) => {
                self.agrees(*group, *index, commit(term, chain))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(term: u64, chain: u64, host: usize) -> Commit {
        Commit { term, chain, host }
    }

    #[test]
    fn progress_and_restarts_are_fine() {
        let mut check = CommitMonotonic::default();
        check.learns(0, 3, commit(1, 30, 0)).unwrap();
        check.learns(0, 5, commit(1, 50, 0)).unwrap();
        check.recovers(0, 0, 2);
        check.learns(0, 3, commit(1, 30, 0)).unwrap();
        check.learns(0, 5, commit(1, 50, 1)).unwrap();
    }

    #[test]
    fn going_back_is_found() {
        let mut check = CommitMonotonic::default();
        check.learns(0, 5, commit(1, 50, 0)).unwrap();
        let finding = check.learns(0, 3, commit(1, 30, 0)).unwrap_err();
        assert_eq!(finding.text, "the commit index of n1 went back from 5 to 3");
    }

    #[test]
    fn disagreement_is_found_across_restarts() {
        let mut check = CommitMonotonic::default();
        check.learns(0, 5, commit(1, 50, 0)).unwrap();
        check.recovers(0, 0, 0);
        let finding = check.learns(0, 5, commit(2, 51, 1)).unwrap_err();
        assert_eq!(finding.hosts, [0, 1]);
        assert!(finding.text.ends_with("committed at 5, of terms 1 and 2"), "{}", finding.text);
    }
}
