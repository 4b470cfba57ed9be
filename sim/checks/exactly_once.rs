//! Each operation of a client's session takes effect once: at one log index, whichever node, in
//! whichever boot, says that it did it. Nodes that replay their log say so again, with the same
//! index; another index means that a repetition was done instead of being answered.
//!
//! Of each session the last operations are remembered with their index. Those before them are
//! remembered together: they were done up to a known index, and one of them that is done after that
//! index was done again, or out of the session's order. Left out: an operation older than what is
//! remembered that was done twice before that index; effects without a session. Source: Ongaro's
//! thesis, section 6.3.

use std::collections::BTreeMap;

use kernel::check::{Check, Fact, Finding, Hears, View};
use kernel::registry::{CheckWord, Claim};
use store::event::StoreEvent;

use crate::{STORE, node, plain};

/// The word `exactly_once`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "exactly_once",
        about: "each operation of a client's session takes effect at one log index, on all nodes \
                and across restarts",
        claim: Claim::Always,
        make: plain::<ExactlyOnce>,
    }
}

/// So many operations of a session are remembered one by one.
const REMEMBERED: usize = 64;

/// Where an operation was done first, and by whom.
#[derive(Clone, Copy)]
struct Done {
    index: u64,
    host: usize,
}

/// What a session has done.
#[derive(Default)]
struct Session {
    last: BTreeMap<u64, Done>,
    /// Operations before `last`: the greatest of them, and an index after which none was done.
    before: Option<(u64, u64)>,
}

impl Session {
    fn does(&mut self, op: u64, done: Done) -> Result<(), String> {
        if let Some(first) = self.last.get(&op) {
            let (index, who) = (first.index, node(first.host));
            return if index == done.index {
                Ok(())
            } else {
                Err(format!("which {who} had done at index {index}"))
            };
        }
        if let Some((oldest, index)) = self.before
            && op <= oldest
        {
            return if done.index <= index {
                Ok(())
            } else {
                Err(format!("though the session's operations up to {oldest} were done by {index}"))
            };
        }
        self.last.insert(op, done);
        if self.last.len() > REMEMBERED {
            let (op, done) = self.last.pop_first().expect("more than none");
            let index = self.before.map_or(done.index, |(_, index)| index.max(done.index));
            self.before = Some((op, index));
        }
        Ok(())
    }
}

#[derive(Default)]
struct ExactlyOnce {
    sessions: BTreeMap<u64, Session>,
}

impl ExactlyOnce {
    fn does(&mut self, session: u64, op: u64, done: Done) -> Result<(), Finding> {
        let judged = self.sessions.entry(session).or_default().does(op, done);
        judged.map_err(|why| {
            let (who, index) = (node(done.host), done.index);
            let text = format!("{who} did op {op} of session {session} at index {index}, {why}");
            Finding::at(done.host, text)
        })
    }
}

impl Check for ExactlyOnce {
    fn hears(&self) -> Hears {
        Hears::Only(&[STORE])
    }

    fn observe(&mut self, fact: &Fact<'_>, _: &View<'_>) -> Result<(), Finding> {
        match fact.get() {
            Some(StoreEvent::Done { session, op, index }) => {
                self.does(*session, *op, Done { index: *index, host: fact.host })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Facts: (host, session, op, index).
    fn judge(facts: &[(usize, u64, u64, u64)]) -> Result<(), Finding> {
        let mut check = ExactlyOnce::default();
        facts.iter().try_for_each(|(host, session, op, index)| {
            check.does(*session, *op, Done { index: *index, host: *host })
        })
    }

    #[test]
    fn all_nodes_do_it_and_replays_repeat_it() {
        judge(&[(0, 7, 1, 20), (1, 7, 1, 20), (0, 7, 2, 22), (0, 7, 1, 20), (2, 9, 1, 21)])
            .unwrap();
    }

    #[test]
    fn another_index_is_found() {
        let finding = judge(&[(0, 7, 1, 20), (1, 7, 1, 31)]).unwrap_err();
        assert_eq!(
            finding.text,
            "n2 did op 1 of session 7 at index 31, which n1 had done at index 20"
        );
        assert!(judge(&[(0, 7, 1, 20), (0, 7, 2, 21), (0, 7, 1, 22)]).is_err());
    }

    #[test]
    fn what_is_long_ago_may_be_replayed_and_not_repeated() {
        let ops: Vec<(usize, u64, u64, u64)> = (1..=200).map(|op| (0, 7, op, 10 * op)).collect();
        judge(&[&ops[..], &ops[..]].concat()).expect("a replay from the beginning");
        let finding = judge(&[&ops[..], &[(3, 7, 2, 2_001)]].concat()).unwrap_err();
        assert!(finding.text.ends_with("up to 136 were done by 1360"), "{finding:?}");
        let mut check = ExactlyOnce::default();
        for (host, session, op, index) in ops {
            check.does(session, op, Done { index, host }).unwrap();
        }
        assert_eq!(check.sessions[&7].last.len(), REMEMBERED);
    }
}
