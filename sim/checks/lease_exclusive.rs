//! At each moment at most one node holds a lease, nobody is elected to a later term while another
//! node's lease runs, and whoever reads under a lease holds one that runs. Moments are those of
//! virtual time, which no host can see: when a lease ends is reckoned from the host's own clock at
//! the moment of the question, for the clock's drift may have changed since the lease was stated.
//!
//! A lease ends at its time, when the node gives it up or steps down, and with its process; a paused
//! process still holds its lease. Groups have leases of their own. Left out: whether what was read
//! was fresh (`read_fresh`), and followers that answer for others' leases. If clocks drift further
//! apart than the node's setting allows, a finding is the setting's fault. Source: Gray and
//! Cheriton, Leases (1989); Ongaro's thesis, section 6.4.1.

use std::collections::BTreeMap;

use host::unit::millis;
use kernel::Time;
use kernel::check::{Check, Fact, Finding, Hears, View};
use kernel::registry::{CheckWord, Claim};
use raft_driver::event::RaftEvent;

use crate::{KERNEL, RAFT, death, node, of_group, plain};

/// The word `lease_exclusive`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "lease_exclusive",
        about: "in true time at most one node holds a lease, nobody else is elected meanwhile, and \
                no node reads under a lease that has ended",
        claim: Claim::Always,
        make: plain::<LeaseExclusive>,
    }
}

/// A lease as its holder stated it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) term: u64,
    /// Which boot of its host stated it.
    pub(crate) boot: u32,
    /// Its end on the host's monotonic clock.
    pub(crate) until_ns: u64,
}

/// The leases of all groups, as the nodes stated them, by (group, host); some may have ended.
#[derive(Default)]
pub(crate) struct Leases {
    pub(crate) stated: BTreeMap<(u32, usize), Lease>,
}

/// The true end of the lease; that of a dead process is over now.
pub(crate) fn true_end(view: &View<'_>, host: usize, lease: &Lease) -> Time {
    if view.live(host) && view.boot(host) == lease.boot {
        view.true_time(host, lease.until_ns)
    } else {
        view.now()
    }
}

impl Leases {
    /// Takes notice of a fact; the group, if it is about leases.
    pub(crate) fn note(&mut self, fact: &Fact<'_>) -> Option<u32> {
        if death(fact).is_some() {
            self.stated.retain(|(_, host), _| *host != fact.host);
            return None;
        }
        let event = fact.get::<RaftEvent>()?;
        let key = (event.group(), fact.host);
        match event {
            RaftEvent::LeaseHeld { term, until_ns, .. } => {
                let (term, until_ns) = (*term, *until_ns);
                self.stated.insert(key, Lease { term, boot: fact.boot, until_ns });
            }
            RaftEvent::LeaseEnded { term, .. } => self.end(key, term + 1),
            RaftEvent::Candidate { term, .. } | RaftEvent::Leader { term, .. } => {
                self.end(key, *term);
            }
            RaftEvent::Follower { .. } | RaftEvent::Recovered { .. } => self.end(key, u64::MAX),
            _ => return None,
        }
        Some(event.group())
    }

    /// A lease of an earlier term is over.
    fn end(&mut self, key: (u32, usize), before: u64) {
        if self.stated.get(&key).is_some_and(|lease| lease.term < before) {
            self.stated.remove(&key);
        }
    }

    /// The leases of a group, with their holders.
    pub(crate) fn of(&self, group: u32) -> impl Iterator<Item = (usize, &Lease)> {
        self.stated.range((group, 0)..=(group, usize::MAX)).map(|((_, host), l)| (*host, l))
    }
}

/// What is judged, and when.
struct Moment<F> {
    group: u32,
    host: usize,
    now: Time,
    /// The true end of a host's lease.
    end: F,
}

impl<F: Fn(usize, &Lease) -> Time> Moment<F> {
    /// Another node's lease that runs: holder, lease and end.
    fn other<'a>(&self, leases: &'a Leases) -> Option<(usize, &'a Lease, Time)> {
        let others = leases.of(self.group).filter(|(host, _)| *host != self.host);
        let ends = others.map(|(host, lease)| (host, lease, (self.end)(host, lease)));
        ends.filter(|(.., end)| *end > self.now).max_by_key(|(.., end)| *end)
    }

    /// The text of what another node's lease forbids.
    fn forbidden(
        &self,
        what: &str,
        (holder, lease, end): (usize, &Lease, Time),
    ) -> Result<(), Finding> {
        let text = format!(
            "{} {what}{} at {} ms, but the lease of {} (term {}) runs until {} ms, {} ms longer",
            node(self.host),
            of_group(self.group),
            millis(self.now),
            node(holder),
            lease.term,
            millis(end),
            millis(end - self.now)
        );
        Err(Finding { hosts: vec![self.host, holder], text })
    }

    /// The node holds a lease.
    fn holds(&self, leases: &Leases, own: &Lease) -> Result<(), Finding> {
        if (self.end)(self.host, own) <= self.now {
            return Ok(());
        }
        match self.other(leases) {
            Some(other) => self.forbidden(&format!("holds a lease (term {})", own.term), other),
            None => Ok(()),
        }
    }

    /// The node won a term.
    fn elected(&self, leases: &Leases, term: u64) -> Result<(), Finding> {
        match self.other(leases).filter(|(_, lease, _)| lease.term < term) {
            Some(other) => self.forbidden(&format!("was elected (term {term})"), other),
            None => Ok(()),
        }
    }

    /// The node admitted reads under its lease.
    fn reads(&self, leases: &Leases, term: u64, reads: u64) -> Result<(), Finding> {
        let own = leases.stated.get(&(self.group, self.host)).filter(|l| l.term == term);
        let why = match own.map(|lease| (self.end)(self.host, lease)) {
            Some(end) if end > self.now => return Ok(()),
            Some(end) => format!(
                "that had ended at {} ms, {} ms before",
                millis(end),
                millis(self.now - end)
            ),
            None => "that it did not hold".to_string(),
        };
        let (name, group, now) = (node(self.host), of_group(self.group), millis(self.now));
        let text = format!("{name} admitted {reads} reads{group} at {now} ms under a lease {why}");
        Err(Finding::at(self.host, text))
    }
}

#[derive(Default)]
struct LeaseExclusive {
    leases: Leases,
}

impl Check for LeaseExclusive {
    fn hears(&self) -> Hears {
        Hears::Only(&[KERNEL, RAFT])
    }

    fn observe(&mut self, fact: &Fact<'_>, view: &View<'_>) -> Result<(), Finding> {
        self.leases.note(fact);
        let Some(event) = fact.get::<RaftEvent>() else { return Ok(()) };
        let end = |host, lease: &Lease| true_end(view, host, lease);
        let moment = Moment { group: event.group(), host: fact.host, now: fact.at, end };
        match event {
            RaftEvent::LeaseHeld { term, until_ns, .. } => {
                let own = Lease { term: *term, boot: fact.boot, until_ns: *until_ns };
                moment.holds(&self.leases, &own)
            }
            RaftEvent::Leader { term, .. } => moment.elected(&self.leases, *term),
            RaftEvent::LeaseRead { term, reads, .. } => moment.reads(&self.leases, *term, *reads),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use host::Event;
    use kernel::event::KernelEvent;

    use super::*;

    /// Clocks that show virtual time.
    fn at(host: usize, now_ms: u64) -> Moment<impl Fn(usize, &Lease) -> Time> {
        Moment { group: 1, host, now: now_ms * 1_000_000, end: |_, lease: &Lease| lease.until_ns }
    }

    fn lease(term: u64, until_ms: u64) -> Lease {
        Lease { term, boot: 1, until_ns: until_ms * 1_000_000 }
    }

    fn held(term: u64, until_ms: u64) -> RaftEvent {
        RaftEvent::LeaseHeld { group: 1, term, until_ns: until_ms * 1_000_000 }
    }

    fn after(events: &[(usize, &dyn Event)]) -> Leases {
        let mut leases = Leases::default();
        for (host, event) in events {
            leases.note(&Fact { at: 0, host: *host, boot: 1, event: *event });
        }
        leases
    }

    #[test]
    fn leases_may_follow_one_another() {
        let leases = after(&[(0, &held(4, 100)), (2, &held(5, 200))]);
        at(2, 100).holds(&leases, &lease(5, 200)).unwrap();
        at(2, 100).elected(&leases, 5).unwrap();
        at(0, 50).reads(&leases, 4, 1).unwrap();
        at(0, 50).holds(&after(&[(0, &held(4, 100))]), &lease(4, 100)).unwrap();
    }

    #[test]
    fn two_leases_at_once_are_found() {
        let leases = after(&[(0, &held(4, 100)), (2, &held(5, 200))]);
        let finding = at(2, 99).holds(&leases, &lease(5, 200)).unwrap_err();
        assert_eq!(finding.hosts, [2, 0]);
        assert_eq!(
            finding.text,
            "n3 holds a lease (term 5) at 99.000 ms, but the lease of n1 (term 4) runs until \
             100.000 ms, 1.000 ms longer"
        );
        at(2, 99).holds(&leases, &lease(5, 98)).expect("a lease that has ended is none");
    }

    #[test]
    fn an_election_during_a_lease_is_found() {
        let leases = after(&[(0, &held(4, 100))]);
        let finding = at(1, 40).elected(&leases, 5).unwrap_err();
        assert!(finding.text.starts_with("n2 was elected (term 5) at 40.000 ms"), "{finding:?}");
        at(1, 40).elected(&leases, 3).expect("an old term that is won late harms no lease");
        let other_group = Moment { group: 2, ..at(1, 40) };
        other_group.elected(&leases, 5).unwrap();
    }

    #[test]
    fn reads_need_a_lease_that_runs() {
        let leases = after(&[(0, &held(4, 100))]);
        let finding = at(0, 103).reads(&leases, 4, 7).unwrap_err();
        assert_eq!(
            finding.text,
            "n1 admitted 7 reads at 103.000 ms under a lease that had ended at 100.000 ms, 3.000 \
             ms before"
        );
        let finding = at(1, 50).reads(&leases, 4, 1).unwrap_err();
        assert!(finding.text.ends_with("under a lease that it did not hold"), "{finding:?}");
        assert!(at(0, 50).reads(&leases, 5, 1).is_err());
    }

    #[test]
    fn a_clock_that_runs_slow_makes_a_lease_longer() {
        let leases = after(&[(0, &held(4, 100))]);
        let end = |_: usize, lease: &Lease| lease.until_ns * 2;
        let slow = Moment { group: 1, host: 1, now: 150_000_000, end };
        assert!(slow.elected(&leases, 5).is_err());
        at(1, 150).elected(&leases, 5).unwrap();
    }

    #[test]
    fn what_ends_a_lease() {
        let (follows, gives_up) = (
            RaftEvent::Follower { group: 1, term: 4, leader: 0 },
            RaftEvent::LeaseEnded { group: 1, term: 4 },
        );
        let stands = RaftEvent::Candidate { group: 1, term: 5 };
        let (crash, pause) = (KernelEvent::Crashed { tasks: 1 }, KernelEvent::Paused);
        let exit = KernelEvent::Exited { error: None };
        let ends: [&dyn Event; 5] = [&follows, &gives_up, &stands, &crash, &exit];
        for end in ends {
            assert!(after(&[(0, &held(4, 100)), (0, end)]).stated.is_empty(), "{end:?}");
            assert_eq!(after(&[(0, &held(4, 100)), (1, end)]).stated.len(), 1, "{end:?}");
        }
        let late = RaftEvent::LeaseEnded { group: 1, term: 3 };
        let stays: [&dyn Event; 2] = [&pause, &late];
        for event in stays {
            assert_eq!(after(&[(0, &held(4, 100)), (0, event)]).stated.len(), 1, "{event:?}");
        }
    }
}
