//! A leader only appends to its own log: while it leads it neither overwrites an entry nor deletes
//! one. What a
//! leader writes must begin right behind the last entry it had, and no snapshot may replace its log.
//!
//! A reign is what lies between "leader" and the next word on being something else, or the process's
//! death. Compaction is no deletion: it removes what a snapshot holds. Source: Raft, section 5.3,
//! "Leader Append-Only".

use std::collections::BTreeMap;

use kernel::check::{Check, Fact, Finding, Hears, View};
use kernel::registry::{CheckWord, Claim};
use raft_driver::event::RaftEvent;

use crate::{KERNEL, RAFT, death, node, of_group, plain};

/// The word `leader_append_only`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "leader_append_only",
        about: "a leader never overwrites or deletes entries of its own log while it leads",
        claim: Claim::Always,
        make: plain::<LeaderAppendOnly>,
    }
}

/// A leader: its term, and the last index of its log.
struct Reign {
    term: u64,
    last: u64,
}

#[derive(Default)]
struct LeaderAppendOnly {
    reigns: BTreeMap<(usize, u32), Reign>,
}

impl LeaderAppendOnly {
    fn note(&mut self, host: usize, event: &RaftEvent) -> Result<(), Finding> {
        let key = (host, event.group());
        match *event {
            RaftEvent::Leader { term, last_index: last, .. } => {
                self.reigns.insert(key, Reign { term, last });
            }
            RaftEvent::Follower { .. }
            | RaftEvent::Candidate { .. }
            | RaftEvent::Recovered { .. } => {
                self.reigns.remove(&key);
            }
            RaftEvent::Appended { group, first, last, .. } => {
                let Some(reign) = self.reigns.get_mut(&key) else { return Ok(()) };
                let Reign { term, last: had } = *reign;
                if first != had + 1 {
                    let (n, group) = (node(host), of_group(group));
                    let text = format!(
                        "{n} leads term {term}{group} with a log to {had} and writes {first} to {last}"
                    );
                    return Err(Finding::at(host, text));
                }
                reign.last = last;
            }
            RaftEvent::SnapshotInstalled { group, index, .. } => {
                let Some(Reign { term, .. }) = self.reigns.get(&key) else { return Ok(()) };
                let (n, group) = (node(host), of_group(group));
                let text = format!("{n} leads term {term}{group} and installs snapshot {index}");
                return Err(Finding::at(host, text));
            }
            _ => {}
        }
        Ok(())
    }
}

impl Check for LeaderAppendOnly {
    fn hears(&self) -> Hears {
        Hears::Only(&[KERNEL, RAFT])
    }

    fn observe(&mut self, fact: &Fact<'_>, _: &View<'_>) -> Result<(), Finding> {
        if let Some(event) = fact.get() {
            return self.note(fact.host, event);
        }
        if death(fact).is_some() {
            self.reigns.retain(|(host, _), _| *host != fact.host);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leads(last_index: u64) -> RaftEvent {
        RaftEvent::Leader { group: 1, term: 3, last_index, last_term: 2, chain: 0 }
    }

    fn appends(first: u64, last: u64) -> RaftEvent {
        RaftEvent::Appended { group: 1, first, last, term_last: 3, chain_last: 0 }
    }

    #[test]
    fn a_leader_goes_on_where_its_log_ends() {
        let mut check = LeaderAppendOnly::default();
        check.note(0, &leads(7)).unwrap();
        check.note(0, &appends(8, 9)).unwrap();
        check.note(0, &appends(10, 10)).unwrap();
        check.note(1, &appends(3, 4)).unwrap();
        let finding = check.note(0, &appends(10, 11)).unwrap_err();
        assert_eq!(finding.text, "n1 leads term 3 with a log to 10 and writes 10 to 11");
    }

    #[test]
    fn a_gap_is_no_append_either() {
        let mut check = LeaderAppendOnly::default();
        check.note(0, &leads(7)).unwrap();
        assert!(check.note(0, &appends(9, 9)).is_err());
    }

    #[test]
    fn followers_may_be_corrected() {
        let mut check = LeaderAppendOnly::default();
        check.note(0, &leads(7)).unwrap();
        check.note(0, &RaftEvent::Follower { group: 1, term: 4, leader: 2 }).unwrap();
        check.note(0, &appends(5, 5)).unwrap();
        let snapshot =
            RaftEvent::SnapshotInstalled { group: 1, index: 9, term: 4, chain: 0, state_hash: 0 };
        check.note(0, &snapshot).unwrap();
        check.note(0, &leads(9)).unwrap();
        assert!(check.note(0, &snapshot).unwrap_err().text.contains("installs snapshot 9"));
    }
}
