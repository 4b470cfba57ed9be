//! Two entries with the same index and term are the same, and so is everything before them. Each
//! log position carries a chain hash over all entries up to it, so the claim is one comparison per
//! fact.
//!
//! It compares where logs are stated: at the end of each append, at elections, commits and
//! installed snapshots. Positions more than `SPAN` behind the newest are forgotten. Source: Raft,
//! section 5.3, "Log Matching".

use std::collections::{BTreeMap, VecDeque};

use kernel::check::{Check, Fact, Finding, Hears, View};
use kernel::registry::{CheckWord, Claim};
use raft_driver::event::RaftEvent;

use crate::{RAFT, node, of_group, plain};

/// The word `log_matching`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "log_matching",
        about: "logs that hold an entry of the same index and term are equal up to it",
        claim: Claim::Always,
        make: plain::<LogMatching>,
    }
}

/// Log positions that a ledger remembers, counted back from the newest.
const SPAN: usize = 16_384;

/// What is known per log position, for the newest `SPAN` positions.
pub(crate) struct Window<T> {
    first: u64,
    slots: VecDeque<Option<T>>,
}

impl<T> Default for Window<T> {
    fn default() -> Self {
        Window { first: 0, slots: VecDeque::new() }
    }
}

impl<T> Window<T> {
    /// The place for what is known at `index`; `None` if it lies too far back.
    pub(crate) fn slot(&mut self, index: u64) -> Option<&mut Option<T>> {
        let end = self.first + self.slots.len() as u64;
        if self.slots.is_empty() || index >= end + SPAN as u64 {
            self.slots.clear();
            self.first = index;
        }
        while index < self.first {
            if self.slots.len() == SPAN {
                return None;
            }
            self.slots.push_front(None);
            self.first -= 1;
        }
        while index - self.first >= self.slots.len() as u64 {
            if self.slots.len() == SPAN {
                self.slots.pop_front();
                self.first += 1;
            }
            self.slots.push_back(None);
        }
        self.slots.get_mut((index - self.first) as usize)
    }

    /// What is known at `index`.
    pub(crate) fn get(&self, index: u64) -> Option<&T> {
        let at = index.checked_sub(self.first)?;
        self.slots.get(usize::try_from(at).ok()?)?.as_ref()
    }
}

/// The end of a log.
#[derive(Clone, Copy)]
struct Mark {
    term: u64,
    chain: u64,
    host: usize,
}

/// Per group and index the first mark of each term; nearly always there is one.
#[derive(Default)]
struct LogMatching {
    groups: BTreeMap<u32, Window<(Mark, Vec<Mark>)>>,
}

impl LogMatching {
    fn holds(&mut self, group: u32, index: u64, mark: Mark) -> Result<(), Finding> {
        let Some(slot) = self.groups.entry(group).or_default().slot(index) else { return Ok(()) };
        let Some((first, others)) = slot else {
            *slot = Some((mark, Vec::new()));
            return Ok(());
        };
        let known = std::iter::once(&*first).chain(&*others).find(|m| m.term == mark.term);
        match known {
            Some(known) if known.chain == mark.chain => Ok(()),
            Some(known) => {
                let (a, b, term) = (node(known.host), node(mark.host), mark.term);
                let group = of_group(group);
                let text =
                    format!("the logs of {a} and {b} differ up to {index}, term {term}{group}");
                Err(Finding { hosts: vec![known.host, mark.host], text })
            }
            None => {
                others.push(mark);
                Ok(())
            }
        }
    }
}

impl Check for LogMatching {
    fn hears(&self) -> Hears {
        Hears::Only(&[RAFT])
    }

    fn observe(&mut self, fact: &Fact<'_>, _: &View<'_>) -> Result<(), Finding> {
        let (group, index, term, chain) = match fact.get() {
            Some(RaftEvent::Appended { group, last, term_last, chain_last, .. }) => {
                (group, last, term_last, chain_last)
            }
            Some(RaftEvent::Leader { group, last_index, last_term, chain, .. }) => {
                (group, last_index, last_term, chain)
            }
            Some(RaftEvent::Committed { group, index, term, chain })
            | Some(RaftEvent::SnapshotInstalled { group, index, term, chain, .. }) => {
                (group, index, term, chain)
            }
            _ => return Ok(()),
        };
        self.holds(*group, *index, Mark { term: *term, chain: *chain, host: fact.host })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(term: u64, chain: u64, host: usize) -> Mark {
        Mark { term, chain, host }
    }

    #[test]
    fn entries_of_different_terms_may_compete_for_a_position() {
        let mut check = LogMatching::default();
        check.holds(0, 7, mark(2, 100, 0)).unwrap();
        check.holds(0, 7, mark(3, 200, 1)).unwrap();
        check.holds(0, 7, mark(2, 100, 2)).unwrap();
        check.holds(1, 7, mark(2, 999, 2)).unwrap();
        check.holds(0, 7, mark(3, 200, 0)).unwrap();
    }

    #[test]
    fn equal_index_and_term_with_another_history_is_found() {
        let mut check = LogMatching::default();
        check.holds(0, 7, mark(2, 100, 0)).unwrap();
        check.holds(0, 7, mark(3, 200, 1)).unwrap();
        let finding = check.holds(0, 7, mark(3, 201, 2)).unwrap_err();
        assert_eq!(finding.text, "the logs of n2 and n3 differ up to 7, term 3");
    }

    #[test]
    fn the_window_slides_and_forgets() {
        let mut window = Window::default();
        for index in [5, 3, 4, 10, SPAN as u64 + 4] {
            *window.slot(index).expect("in reach") = Some(index);
        }
        assert_eq!(window.get(5), Some(&5));
        assert_eq!(window.get(4), None, "slid out");
        assert!(window.slot(3).is_none());
        *window.slot(10 * SPAN as u64).expect("far ahead") = Some(1);
        assert_eq!((window.get(10), window.slots.len()), (None, 1));
    }
}
