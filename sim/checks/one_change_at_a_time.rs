//! A group changes its members one change at a time: no entry that changes the configuration enters
//! a log in which another lies that is not committed yet. Two at once could make majorities that
//! have no member in common.
//!
//! Committed is what any node has stated to be. The guilty entry is named when it is appended, at
//! the leader, without waiting for the day on which it hurts. Left out: what the changes say
//! (`config_agreed`). Source: Ongaro's thesis, 4.1, and his correction of 2015 to single-server
//! changes; etcd's `pendingConfIndex`.

use std::collections::BTreeMap;

use kernel::check::{Check, Fact, Finding, Hears, View};
use kernel::registry::{CheckWord, Claim};
use raft_driver::event::RaftEvent;

use crate::{RAFT, node, of_group, plain};

/// The word `one_change_at_a_time`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "one_change_at_a_time",
        about: "no change of members enters a log while another one there is not committed",
        claim: Claim::Always,
        make: plain::<OneChange>,
    }
}

#[derive(Default)]
struct Group {
    /// The greatest index that a node knew to be committed.
    committed: u64,
    /// The changes in each node's log.
    changes: BTreeMap<usize, Vec<u64>>,
}

/// Changes and commits of each group.
#[derive(Default)]
struct OneChange {
    groups: BTreeMap<u32, Group>,
}

impl OneChange {
    fn group(&mut self, group: u32) -> &mut Group {
        self.groups.entry(group).or_default()
    }

    /// What lay in the log from there on is gone.
    fn overwrites(&mut self, id: u32, host: usize, first: u64) {
        if let Some(changes) = self.group(id).changes.get_mut(&host) {
            changes.retain(|index| *index < first);
        }
    }

    fn appends(&mut self, id: u32, host: usize, index: u64) -> Result<(), Finding> {
        let group = self.group(id);
        let changes = group.changes.entry(host).or_default();
        let before = changes.last().copied();
        changes.push(index);
        let Some(pending) = before.filter(|before| *before > group.committed) else {
            return Ok(());
        };
        let text = format!(
            "{} appended a change of members{} at {index} while the one at {pending} was not \
             committed",
            node(host),
            of_group(id)
        );
        Err(Finding::at(host, text))
    }
}

impl Check for OneChange {
    fn hears(&self) -> Hears {
        Hears::Only(&[RAFT])
    }

    fn observe(&mut self, fact: &Fact<'_>, _: &View<'_>) -> Result<(), Finding> {
        match fact.get() {
            Some(RaftEvent::ConfigAppended { group, index, .. }) => {
                self.appends(*group, fact.host, *index)
            }
            Some(RaftEvent::Appended { group, first, .. }) => {
                self.overwrites(*group, fact.host, *first);
                Ok(())
            }
            Some(RaftEvent::Committed { group, index, .. }) => {
                let known = &mut self.group(*group).committed;
                *known = (*index).max(*known);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_change_may_come_once_the_last_is_committed() {
        let mut check = OneChange::default();
        check.appends(1, 0, 10).unwrap();
        check.group(1).committed = 10;
        check.appends(1, 0, 11).unwrap();
        check.appends(1, 2, 10).unwrap();
        check.appends(1, 2, 11).unwrap();
        check.appends(2, 0, 12).unwrap();
    }

    #[test]
    fn a_second_one_meanwhile_is_found() {
        let mut check = OneChange::default();
        check.group(1).committed = 9;
        check.appends(1, 3, 10).unwrap();
        let finding = check.appends(1, 3, 12).unwrap_err();
        let text = "n4 appended a change of members at 12 while the one at 10 was not committed";
        assert_eq!((finding.text.as_str(), finding.hosts), (text, vec![3]));
    }

    #[test]
    fn one_that_was_overwritten_is_none() {
        let mut check = OneChange::default();
        check.appends(1, 3, 10).unwrap();
        check.overwrites(1, 3, 10);
        check.appends(1, 3, 12).unwrap();
        check.overwrites(1, 3, 13);
        assert!(check.appends(1, 3, 13).is_err());
    }
}
