//! Measures: how long one election takes. It begins when a leader dies, the first one of the run that
//! does; where none dies it begins when the last node has read its disk, with all timers fresh. It is
//! won when somebody becomes leader who lasts: whom a majority of the nodes then follows, itself
//! included, or who commits an entry of its term. Who is deposed before that has led nobody. It is
//! heard when the first of the others follows.
//!
//! `election_won` is what AvailSim counts, `election_heard` what the Raft paper's figure 16 counts.
//! `elections_split` counts the terms in between in which somebody stood and nobody won. Left out:
//! later deaths, groups that elect at the same time.
//! Sources: the Raft paper, section 9.3; AvailSim (Ongaro's dissertation, section 9.4).

use std::collections::{BTreeMap, BTreeSet};

use kernel::Time;
use kernel::check::{Check, Fact, Finding, Hears, Measure, Unit, View};
use kernel::registry::{CheckWord, Claim};
use raft_driver::event::RaftEvent;

use crate::{KERNEL, RAFT, death, plain};

/// The word `election_times`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "election_times",
        about: "measures one election: election_won and election_heard, from the first death of a \
                leader, or else from the boot of all, to a leader that lasts and to who follows it \
                first; elections_split, terms in between that nobody won",
        claim: Claim::Measures,
        make: plain::<ElectionTimes>,
    }
}

/// Who won a term, and when somebody else first followed.
#[derive(Debug)]
struct Won {
    host: usize,
    at: Time,
    heard: Option<Time>,
    followers: BTreeSet<usize>,
}

/// What the election came to: times since its beginning, and terms without a winner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Election {
    won: Time,
    heard: Option<Time>,
    split: u64,
}

#[derive(Default)]
struct ElectionTimes {
    /// When the election began.
    from: Time,
    /// A leader has died.
    died: bool,
    /// The last lasting leader.
    leader: Option<usize>,
    /// Terms since `from` in which somebody stood, with who won them.
    terms: BTreeMap<u64, Option<Won>>,
    result: Option<Election>,
}

impl ElectionTimes {
    fn begin(&mut self, at: Time) {
        self.from = at;
        self.terms.clear();
        self.result = None;
    }

    fn recovered(&mut self, at: Time) {
        if self.leader.is_none() && !self.died {
            self.begin(at);
        }
    }

    fn dies(&mut self, host: usize, at: Time) {
        if self.leader == Some(host) && !self.died {
            self.died = true;
            self.begin(at);
        }
    }

    fn wins(&mut self, host: usize, term: u64, at: Time) {
        let won = Won { host, at, heard: None, followers: BTreeSet::new() };
        self.terms.insert(term, Some(won));
    }

    /// Somebody follows; with so many nodes in all it may be the one that makes a majority.
    fn follows(&mut self, host: usize, (leader, term): (u64, u64), at: Time, nodes: usize) {
        let won = self.terms.get_mut(&term).and_then(Option::as_mut);
        let Some(won) = won.filter(|won| won.host as u64 + 1 == leader && won.host != host) else {
            return;
        };
        won.heard.get_or_insert(at);
        won.followers.insert(host);
        if (won.followers.len() + 1) * 2 > nodes {
            self.lasts(leader as usize - 1, term);
        }
    }

    /// The host that won the term leads a majority.
    fn lasts(&mut self, host: usize, term: u64) {
        let Some(Some(won)) = self.terms.get(&term) else { return };
        if won.host != host || self.result.is_some() {
            return;
        }
        self.leader = Some(host);
        let earlier = self.terms.range(..term);
        let split = earlier.filter(|(_, won)| won.is_none()).count() as u64;
        let since = |at: Time| at - self.from;
        self.result = Some(Election { won: since(won.at), heard: won.heard.map(since), split });
    }
}

impl Check for ElectionTimes {
    fn hears(&self) -> Hears {
        Hears::Only(&[KERNEL, RAFT])
    }

    fn observe(&mut self, fact: &Fact<'_>, view: &View<'_>) -> Result<(), Finding> {
        let (host, at) = (fact.host, fact.at);
        match fact.get() {
            Some(RaftEvent::Recovered { .. }) => self.recovered(at),
            Some(RaftEvent::Candidate { term, .. }) => {
                self.terms.entry(*term).or_default();
            }
            Some(RaftEvent::Leader { term, .. }) => {
                self.wins(host, *term, at);
            }
            Some(RaftEvent::Follower { term, leader, .. }) => {
                self.follows(host, (*leader, *term), at, view.nodes());
            }
            Some(RaftEvent::Committed { term, .. }) => self.lasts(host, *term),
            Some(_) => {}
            None if death(fact).is_some() => self.dies(host, at),
            None => {}
        }
        Ok(())
    }

    fn measures(&self, _: &View<'_>) -> Vec<Measure> {
        let Some(Election { won, heard, split }) = self.result else { return Vec::new() };
        let time = |name, value| Measure { name, value, unit: Unit::Time };
        let heard = heard.map(|heard| time("election_heard", heard));
        let split = Measure { name: "elections_split", value: split, unit: Unit::Count };
        [Some(time("election_won", won)), heard, Some(split)].into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elected() -> ElectionTimes {
        let mut times = ElectionTimes::default();
        times.recovered(10);
        times.recovered(30);
        times.terms.insert(2, None);
        times.wins(1, 3, 130);
        times.follows(2, (0, 3), 140, 5);
        times.follows(1, (2, 3), 145, 5);
        times.follows(2, (2, 3), 150, 5);
        times.follows(2, (2, 3), 155, 5);
        times
    }

    #[test]
    fn it_begins_with_the_last_boot_and_needs_a_majority() {
        let mut times = elected();
        assert_eq!(times.result, None, "two of five follow");
        times.lasts(2, 3);
        assert_eq!(times.result, None, "a follower commits what was committed already");
        times.follows(3, (2, 3), 160, 5);
        let result = Election { won: 100, heard: Some(120), split: 1 };
        assert_eq!(times.result, Some(result));
        times.recovered(500);
        assert_eq!(times.result, Some(result), "a later boot is none of it");
    }

    #[test]
    fn the_first_death_of_a_leader_begins_it_anew() {
        let mut times = elected();
        times.lasts(1, 3);
        times.dies(4, 900);
        assert!(times.result.is_some(), "a follower died");
        times.dies(1, 1000);
        assert_eq!(times.result, None);
        times.recovered(1100);
        times.wins(2, 4, 1200);
        times.lasts(2, 4);
        assert_eq!(times.result, Some(Election { won: 200, heard: None, split: 0 }));
        times.dies(2, 5000);
        assert!(times.result.is_some(), "only the first counts");
    }

    #[test]
    fn who_is_deposed_before_a_majority_follows_has_not_won() {
        let mut times = ElectionTimes::default();
        times.recovered(0);
        times.wins(1, 2, 100);
        times.follows(3, (2, 2), 150, 5);
        times.wins(2, 3, 200);
        times.follows(3, (3, 3), 250, 5);
        times.follows(4, (2, 2), 260, 4);
        assert_eq!(times.result.map(|r| r.won), Some(100), "three of four, if late");
        let mut times = ElectionTimes::default();
        times.wins(1, 2, 100);
        times.wins(2, 3, 200);
        times.lasts(2, 3);
        assert_eq!(times.result, Some(Election { won: 200, heard: None, split: 0 }));
    }
}
