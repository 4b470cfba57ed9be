//! A node whose disk was damaged stops, or comes back with all that it had promised; it never starts
//! quietly from less. When it has read such a disk, its log must reach as far as it had acknowledged
//! (less what a leader has replaced since), its term must not be lower than one it voted or
//! acknowledged in, and in a term in which it voted it must remember for whom.
//!
//! Whether a disk is damaged is the kernel's word: bytes that were durable came out changed or
//! unreadable, such that checksums can tell. From then on every recovery of that host is looked at.
//! Left out: hosts that forgot without a trace (a lost write, a wiped disk), for nobody can ask
//! a node to know that; nodes whose disks are sound (`one_vote_per_term` and `fsync_before_ack` find
//! those); what a node counted without a message, such as a leader's own log; repair by peers before
//! serving, which this node does not do. Serving wrong data is for the checks of logs, states and reads.
//! Source: Alagappan et al., FAST 2018 (protocol-aware recovery): a crash is not a corruption.

use std::collections::BTreeMap;

use kernel::check::{Check, Fact, Finding, Hears, View};
use kernel::registry::{CheckWord, Claim};
use raft_driver::event::RaftEvent;

use crate::{RAFT, node, of_group, plain};

/// The word `recoverable_or_refuse`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "recoverable_or_refuse",
        about: "a node whose disk was damaged stops, or comes back with all that it promised",
        claim: Claim::Always,
        make: plain::<RecoverableOrRefuse>,
    }
}

/// What a node has promised in a group.
#[derive(Clone, Copy, Debug, Default)]
struct Promised {
    /// It acknowledged its log up to here.
    acked: u64,
    /// The highest term in which it promised anything.
    term: u64,
    /// Its vote in that term, if it gave one.
    vote: Option<u64>,
}

/// What it found when it came back.
#[derive(Clone, Copy, Debug)]
struct Found {
    last: u64,
    term: u64,
    vote: u64,
}

impl Promised {
    fn votes(&mut self, term: u64, to: u64) {
        if term >= self.term {
            (self.term, self.vote) = (term, Some(to));
        }
    }

    fn acks(&mut self, term: u64, index: u64) {
        self.acked = self.acked.max(index);
        if term > self.term {
            (self.term, self.vote) = (term, None);
        }
    }

    /// Entries from `first` on were replaced.
    fn replaces(&mut self, first: u64) {
        self.acked = self.acked.min(first.saturating_sub(1));
    }

    /// What is missing of what was promised.
    fn missing(&self, found: Found) -> Option<String> {
        let Found { last, term, vote } = found;
        if last < self.acked {
            return Some(format!("its log ends at {last}, and it acknowledged {}", self.acked));
        }
        if term < self.term {
            return Some(format!("it is in term {term}, and it promised in term {}", self.term));
        }
        match self.vote {
            Some(to) if term == self.term && vote != to => {
                Some(format!("it has forgotten its vote for n{to} in term {term}"))
            }
            _ => None,
        }
    }
}

/// Per group and node what was promised.
#[derive(Default)]
struct RecoverableOrRefuse {
    promised: BTreeMap<(u32, usize), Promised>,
}

impl RecoverableOrRefuse {
    fn recovers(&self, group: u32, host: usize, found: Found) -> Result<(), Finding> {
        let promised = self.promised.get(&(group, host)).copied().unwrap_or_default();
        let Some(missing) = promised.missing(found) else { return Ok(()) };
        let (name, group) = (node(host), of_group(group));
        let text =
            format!("{name}{group} started from a damaged disk as if it were whole: {missing}");
        Err(Finding::at(host, text))
    }
}

impl Check for RecoverableOrRefuse {
    fn hears(&self) -> Hears {
        Hears::Only(&[RAFT])
    }

    fn observe(&mut self, fact: &Fact<'_>, view: &View<'_>) -> Result<(), Finding> {
        let Some(event) = fact.get::<RaftEvent>() else { return Ok(()) };
        let key = (event.group(), fact.host);
        match event {
            RaftEvent::VoteGranted { term, to, .. } => {
                self.promised.entry(key).or_default().votes(*term, *to);
            }
            RaftEvent::AppendAcked { term, index, .. } => {
                self.promised.entry(key).or_default().acks(*term, *index);
            }
            RaftEvent::Appended { first, .. } => {
                self.promised.entry(key).or_default().replaces(*first);
            }
            RaftEvent::Recovered { term, vote, last, .. }
                if view.damaged(fact.host) && !view.forgot(fact.host) =>
            {
                let found = Found { last: *last, term: *term, vote: *vote };
                return self.recovers(key.0, key.1, found);
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check() -> RecoverableOrRefuse {
        let mut check = RecoverableOrRefuse::default();
        let promised = check.promised.entry((1, 2)).or_default();
        promised.votes(4, 5);
        promised.acks(4, 90);
        promised.acks(3, 95);
        promised.replaces(93);
        check
    }

    const ALL: Found = Found { last: 92, term: 4, vote: 5 };

    #[test]
    fn whoever_comes_back_with_all_of_it_is_welcome() {
        check().recovers(1, 2, ALL).unwrap();
        check().recovers(1, 2, Found { last: 99, term: 6, vote: 0 }).unwrap();
        check().recovers(1, 1, Found { last: 0, term: 0, vote: 0 }).unwrap();
    }

    #[test]
    fn whoever_comes_back_with_less_should_have_refused() {
        let text = |found| check().recovers(1, 2, found).unwrap_err().text;
        assert_eq!(
            text(Found { last: 91, ..ALL }),
            "n3 started from a damaged disk as if it were whole: its log ends at 91, and it \
             acknowledged 92"
        );
        assert!(text(Found { term: 3, ..ALL }).contains("it promised in term 4"));
        assert!(text(Found { vote: 0, ..ALL }).contains("forgotten its vote for n5 in term 4"));
    }

    #[test]
    fn a_vote_of_an_earlier_term_may_be_forgotten() {
        let mut promised = Promised::default();
        promised.votes(4, 5);
        promised.acks(6, 10);
        assert!(promised.missing(Found { last: 10, term: 6, vote: 0 }).is_none());
    }
}
