//! Measures: how often the cluster elects, and how long it goes without a leader, from the first
//! leader on to the end of the settling.
//!
//! A term begins when the first node stands for it; asking beforehand (pre-vote) begins none. An
//! election is needless if it begins after the first leader while no node is down or paused and no
//! link between nodes is cut, and none was for a second: nothing had failed, the protocol only
//! believed so. A leader that was lost to a failure excuses all elections until there is another,
//! however long time-outs are. Slow disks, slow links and held threads excuse nothing. The election
//! of a node to which the leader hands leadership over is asked for, and not needless.
//!
//! Time without a leader is two measures in ms: `no_leader_total`, the sum, and `no_leader_max`,
//! the longest stretch. There is a leader while some live node that is not paused leads the highest
//! term that a voter knows and reaches, and is reached by, enough such nodes to be a majority of the
//! voters, in a joint configuration of both halves. With several groups all of them need one.

use std::collections::BTreeMap;

use kernel::Time;
use kernel::check::{Check, Fact, Finding, Hears, Measure, Unit, View};
use kernel::event::KernelEvent;
use kernel::registry::{CheckWord, Claim};
use raft_driver::event::RaftEvent;

use crate::configs::Configs;
use crate::{KERNEL, RAFT, death, plain};

/// The word `elections`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "elections",
        about: "measures elections: elections, terms that began; needless_elections, those that \
                began after the first leader while no node was down or paused and no link cut, nor \
                had been for a second; \
                leader_changes; no_leader_total and no_leader_max, all the time and the longest \
                time without a leader, from the first leader to the end of the settling",
        claim: Claim::Measures,
        make: plain::<Elections>,
    }
}

/// What a node was last known to be in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// `leader`, `candidate` or `follower`.
    pub(crate) role: &'static str,
    /// Its term; 0 if nobody said.
    pub(crate) term: u64,
}

/// One group's terms.
#[derive(Default)]
pub(crate) struct Group {
    /// The highest term that has begun.
    highest: u64,
    /// What each node is; dead ones are absent.
    pub(crate) states: BTreeMap<usize, State>,
    last_leader: Option<usize>,
    /// Who votes.
    configs: Configs,
    /// The node to which leadership is handed over, and the term it is to win.
    handed: Option<(usize, u64)>,
}

/// What a fact did to a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Turn {
    /// A term began.
    term_began: bool,
    /// The group has had a leader before.
    had_leader: bool,
    /// The leader handed over to the node that begins the term.
    asked_for: bool,
    /// Somebody leads who is not the leader before.
    leader_changed: bool,
}

impl Turn {
    /// Whether a term began after the first leader, and no leader asked for it.
    pub(crate) fn begins_without_need(&self) -> bool {
        self.term_began && self.had_leader && !self.asked_for
    }
}

impl Group {
    fn becomes(&mut self, host: usize, role: &'static str, term: u64) -> Turn {
        let term_began = role != "follower" && term > self.highest;
        if term_began {
            self.highest = term;
        }
        self.states.insert(host, State { role, term });
        let had_leader = self.last_leader.is_some();
        let asked_for = term_began && self.handed == Some((host, term));
        let mut turn = Turn { term_began, had_leader, asked_for, leader_changed: false };
        if role == "leader" {
            let before = self.last_leader.replace(host);
            turn.leader_changed = before.is_some_and(|b| b != host);
        }
        turn
    }

    /// Whether some node leads the highest term that a living voter knows, and can. A term that only
    /// the dead know may never have left them, and hinders nobody; nor does that of a removed node.
    pub(crate) fn is_led(&self, can: impl Fn(usize) -> bool) -> bool {
        let votes = |host: usize| self.configs.newest().is_none_or(|c| c.votes(host));
        let voters = self.states.iter().filter(|(host, _)| votes(**host));
        let highest = voters.map(|(_, s)| s.term).max();
        let leads = |s: &State| s.role == "leader" && Some(s.term) == highest;
        self.states.iter().any(|(host, state)| leads(state) && can(*host))
    }
}

/// Terms and roles of all groups, as the nodes state them.
#[derive(Default)]
pub(crate) struct Leadership {
    pub(crate) groups: BTreeMap<u32, Group>,
}

impl Leadership {
    /// Takes notice of a fact. `None` if it cannot matter to who leads.
    pub(crate) fn note(&mut self, fact: &Fact<'_>) -> Option<Turn> {
        let host = fact.host;
        if let Some(event) = fact.get::<KernelEvent>() {
            if death(fact).is_some() {
                for group in self.groups.values_mut() {
                    group.states.remove(&host);
                }
            }
            let matters = !matches!(event, KernelEvent::Fault { .. });
            return matters.then(Turn::default);
        }
        let event = fact.get::<RaftEvent>()?;
        if matches!(event, RaftEvent::ConfigChanged { .. }) {
            self.groups.entry(event.group()).or_default().configs.observe(fact, event);
            return Some(Turn::default());
        }
        let (role, term) = match event {
            RaftEvent::Recovered { term, .. } | RaftEvent::Follower { term, .. } => {
                ("follower", *term)
            }
            RaftEvent::Candidate { term, .. } => ("candidate", *term),
            RaftEvent::Leader { term, .. } => ("leader", *term),
            RaftEvent::TransferStarted { group, term, to } => {
                let to = usize::try_from(to.saturating_sub(1)).unwrap_or(usize::MAX);
                self.groups.entry(*group).or_default().handed = Some((to, term + 1));
                return None;
            }
            _ => return None,
        };
        let group = self.groups.entry(event.group()).or_default();
        Some(group.becomes(host, role, term))
    }

    /// Whether no group is without a leader; those that never had one are left out.
    fn keeps_leaders(&self, view: &View<'_>) -> bool {
        let mut groups = self.groups.values().filter(|g| g.last_leader.is_some());
        groups.all(|g| g.is_led(|host| can_lead(view, &g.configs, host)))
    }

    /// Whether every group has a leader.
    pub(crate) fn is_led(&self, view: &View<'_>) -> bool {
        let led = |g: &Group| g.is_led(|host| can_lead(view, &g.configs, host));
        !self.groups.is_empty() && self.groups.values().all(led)
    }
}

/// Whether the host runs and has a majority within reach, itself included.
fn can_lead(view: &View<'_>, configs: &Configs, host: usize) -> bool {
    let runs = |h: usize| view.live(h) && !view.paused(h);
    let talks = |h: usize| h == host || (view.reaches(host, h) && view.reaches(h, host));
    let counts = |h: usize| h < view.nodes() && runs(h) && talks(h);
    let quorum = match configs.of(host) {
        Some(config) => config.has_quorum(counts),
        None => has_majority(view.nodes(), counts),
    };
    runs(host) && quorum
}

fn has_majority(nodes: usize, counts: impl Fn(usize) -> bool) -> bool {
    (0..nodes).filter(|h| counts(*h)).count() > nodes / 2
}

/// Times without something.
#[derive(Debug, Default)]
pub(crate) struct Gaps {
    since: Option<Time>,
    total: Time,
    longest: Time,
}

impl Gaps {
    /// From `at` on it is there, or not.
    pub(crate) fn now(&mut self, at: Time, there: bool) {
        match (there, self.since) {
            (false, None) => self.since = Some(at),
            (true, Some(_)) => {
                (self.total, self.longest) = self.until(at);
                self.since = None;
            }
            _ => {}
        }
    }

    /// Whether it is absent.
    pub(crate) fn is_open(&self) -> bool {
        self.since.is_some()
    }

    /// Sum and longest up to a moment, the open one included.
    pub(crate) fn until(&self, at: Time) -> (Time, Time) {
        let open = self.since.map_or(0, |since| at - since);
        (self.total + open, self.longest.max(open))
    }
}

/// How long a disturbance excuses the elections that come after it.
pub(crate) struct Excuse {
    lasts: Time,
    /// The last moment at which something was disturbed; the run begins with booting.
    since: Time,
}

impl Excuse {
    /// Where nothing else is said: 1 s, a few election timeouts.
    pub(crate) const USUAL: Time = 1_000_000_000;

    pub(crate) fn new(lasts: Time) -> Excuse {
        Excuse { lasts, since: 0 }
    }

    /// Takes notice of what elections may follow from: failures, their ends, and handing over.
    pub(crate) fn note(&mut self, fact: &Fact<'_>) {
        if disturbs(fact) {
            self.since = fact.at;
        }
    }

    /// How long all has been quiet, if that is long enough.
    pub(crate) fn is_over(&self, now: Time) -> Option<Time> {
        let quiet = now - self.since;
        (quiet > self.lasts).then_some(quiet)
    }
}

/// Whether the fact is one that elections may follow from: failures, their ends, and handing over.
fn disturbs(fact: &Fact<'_>) -> bool {
    let by_kernel = matches!(
        fact.get(),
        Some(
            KernelEvent::Booted { .. }
                | KernelEvent::Crashed { .. }
                | KernelEvent::OutOfMemory { .. }
                | KernelEvent::PowerLost { .. }
                | KernelEvent::StopAsked
                | KernelEvent::Exited { .. }
                | KernelEvent::Panicked { .. }
                | KernelEvent::Paused
                | KernelEvent::Resumed { .. }
                | KernelEvent::LinkCut { .. }
                | KernelEvent::LinkHealed { .. }
                | KernelEvent::LinkForgot { .. }
                | KernelEvent::LinkRemembers { .. }
        )
    );
    by_kernel || matches!(fact.get(), Some(RaftEvent::TransferStarted { .. }))
}

struct Elections {
    leadership: Leadership,
    elections: u64,
    needless: u64,
    changes: u64,
    gaps: Gaps,
    excuse: Excuse,
    /// There is no leader, and there was a failure when it went.
    bereft: bool,
}

impl Default for Elections {
    fn default() -> Elections {
        Elections {
            leadership: Leadership::default(),
            elections: 0,
            needless: 0,
            changes: 0,
            gaps: Gaps::default(),
            excuse: Excuse::new(Excuse::USUAL),
            bereft: false,
        }
    }
}

impl Elections {
    /// From `at` on there is a leader, or not; `disturbed` says whether something has failed.
    fn follow(&mut self, at: Time, led: bool, disturbed: bool) {
        let goes = !led && !self.gaps.is_open();
        self.gaps.now(at, led);
        self.bereft = !led && if goes { disturbed } else { self.bereft };
    }

    fn tally(&mut self, turn: &Turn, disturbed: bool) {
        self.elections += u64::from(turn.term_began);
        self.needless += u64::from(turn.begins_without_need() && !disturbed);
        self.changes += u64::from(turn.leader_changed);
    }
}

impl Check for Elections {
    fn hears(&self) -> Hears {
        Hears::Only(&[KERNEL, RAFT])
    }

    fn observe(&mut self, fact: &Fact<'_>, view: &View<'_>) -> Result<(), Finding> {
        self.excuse.note(fact);
        let Some(turn) = self.leadership.note(fact) else { return Ok(()) };
        let disturbed = view.disturbed() || self.excuse.is_over(fact.at).is_none();
        self.tally(&turn, disturbed || self.bereft);
        self.follow(fact.at, self.leadership.keeps_leaders(view), disturbed);
        Ok(())
    }

    fn measures(&self, view: &View<'_>) -> Vec<Measure> {
        let (total, longest) = self.gaps.until(view.now());
        let count = |name, value| Measure { name, value, unit: Unit::Count };
        let time = |name, value| Measure { name, value, unit: Unit::Time };
        vec![
            count("needless_elections", self.needless),
            count("elections", self.elections),
            count("leader_changes", self.changes),
            time("no_leader_total", total),
            time("no_leader_max", longest),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_that_only_the_dead_know_hinders_no_leader() {
        let mut group = Group::default();
        group.becomes(0, "leader", 1);
        group.becomes(1, "candidate", 2);
        assert!(!group.is_led(|_| true), "the candidate lives");
        group.states.remove(&1);
        assert!(group.is_led(|_| true));
    }

    #[test]
    fn what_follows_a_failure_is_excused_for_a_while() {
        let mut excuse = Excuse::new(1_000);
        let crashed = KernelEvent::Crashed { tasks: 1 };
        excuse.note(&Fact { at: 5_000, host: 0, boot: 1, event: &crashed });
        assert_eq!(excuse.is_over(6_000), None);
        assert_eq!(excuse.is_over(6_001), Some(1_001));
    }

    #[test]
    fn a_term_begins_once_and_a_leader_changes_when_another_node_leads() {
        let mut group = Group::default();
        assert!(group.becomes(0, "candidate", 1).term_began);
        assert!(!group.becomes(1, "candidate", 1).term_began);
        assert_eq!(group.becomes(0, "leader", 1), Turn::default());
        assert!(group.becomes(1, "follower", 1).had_leader);
        assert!(group.becomes(1, "candidate", 2).term_began);
        assert!(group.becomes(1, "leader", 2).leader_changed);
        assert!(!group.becomes(1, "leader", 3).leader_changed);
    }

    #[test]
    fn only_the_leader_of_the_highest_term_leads_and_only_if_it_can() {
        let mut group = Group::default();
        assert!(!group.is_led(|_| true));
        group.becomes(0, "leader", 1);
        assert!(group.is_led(|_| true));
        assert!(!group.is_led(|host| host != 0));
        group.becomes(1, "candidate", 2);
        assert!(!group.is_led(|_| true));
        group.becomes(1, "leader", 2);
        assert!(group.is_led(|host| host == 1));
    }

    #[test]
    fn the_dead_lead_no_more() {
        let mut leadership = Leadership::default();
        leadership.groups.entry(1).or_default().becomes(4, "leader", 2);
        let event = KernelEvent::Crashed { tasks: 3 };
        leadership.note(&Fact { at: 5, host: 4, boot: 1, event: &event });
        assert!(!leadership.groups[&1].is_led(|_| true));
    }

    #[test]
    fn an_election_is_needless_only_after_a_leader_and_without_a_fault() {
        let mut check = Elections::default();
        let first = Turn { term_began: true, ..Turn::default() };
        let later = Turn { had_leader: true, ..first };
        check.tally(&first, false);
        check.tally(&later, true);
        assert_eq!((check.elections, check.needless), (2, 0));
        check.tally(&later, false);
        check.tally(&Turn::default(), false);
        assert_eq!((check.elections, check.needless), (3, 1));
    }

    #[test]
    fn an_election_that_the_leader_asked_for_is_not_needless() {
        let hands = RaftEvent::TransferStarted { group: 1, term: 3, to: 2 };
        let stands = |term| RaftEvent::Candidate { group: 1, term };
        let needless = |host: usize, term| {
            let mut leadership = Leadership::default();
            leadership.groups.entry(1).or_default().becomes(0, "leader", 3);
            leadership.note(&Fact { at: 5, host: 0, boot: 1, event: &hands });
            let event = stands(term);
            let turn = leadership.note(&Fact { at: 6, host, boot: 1, event: &event });
            turn.expect("a term begins").begins_without_need()
        };
        assert!(!needless(1, 4));
        assert!(needless(2, 4), "another node was not asked");
        assert!(needless(1, 5), "the hand-over is long past");
    }

    #[test]
    fn a_leader_lost_to_a_failure_excuses_elections_until_there_is_another() {
        let mut check = Elections::default();
        check.follow(5, false, true);
        check.follow(6, false, false);
        assert!(check.bereft);
        check.follow(7, true, false);
        check.follow(8, false, false);
        check.follow(9, false, true);
        assert!(!check.bereft, "nothing had failed when it went");
    }

    #[test]
    fn gaps_add_up_and_an_open_one_counts() {
        let mut gaps = Gaps::default();
        for (at, there) in [(5, true), (10, false), (12, false), (17, true), (30, false)] {
            gaps.now(at, there);
        }
        assert_eq!(gaps.until(33), (10, 7));
        assert_eq!(gaps.until(50), (27, 20));
    }

    #[test]
    fn a_majority_is_more_than_half() {
        assert!(has_majority(5, |h| h < 3));
        assert!(!has_majority(5, |h| h < 2));
        assert!(!has_majority(4, |h| h < 2));
    }
}
