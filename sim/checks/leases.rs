//! Measures: how long the cluster went without a lease, and how many reads leases served.
//!
//! A lease is held while some node's lease runs in true virtual time (see `lease_exclusive`, whose
//! ledger this is). Gaps count from the first lease to the end of the load: `lease_gap_total` is
//! their sum, `lease_gap_max` the longest, over all groups. `lease_reads` counts reads that were
//! admitted under a lease. Without any lease there are none of these measures. Left out: a change of
//! a clock's drift between a lease's end and the next fact of the run moves that end a little.

use std::collections::BTreeMap;

use kernel::Time;
use kernel::check::{Check, Fact, Finding, Measure, Unit, View};
use kernel::registry::{CheckWord, Claim};
use raft_driver::event::RaftEvent;

use crate::elections::Gaps;
use crate::lease_exclusive::{Lease, Leases, true_end};
use crate::{enters, plain};

/// The word `leases`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "leases",
        about: "measures leases, if there are any: lease_gap_max and lease_gap_total, the longest \
                time and all the time in which no node held an unexpired lease, from the first \
                lease to the end of the load; lease_reads, reads that were served under a lease",
        claim: Claim::Measures,
        make: plain::<LeaseGaps>,
    }
}

/// Gaps by group, from each group's first lease on.
#[derive(Default)]
struct LeaseGaps {
    leases: Leases,
    gaps: BTreeMap<u32, Gaps>,
    reads: u64,
    /// Longest and sum at the end of the load.
    closed: Option<(Time, Time)>,
}

impl LeaseGaps {
    /// The moment at which the last lease of a group ends, if there is one.
    fn ends(leases: &Leases, group: u32, end: impl Fn(usize, &Lease) -> Time) -> Option<Time> {
        leases.of(group).map(|(host, lease)| end(host, lease)).max()
    }

    /// Time has passed: leases may have run out.
    fn passes(&mut self, now: Time, end: impl Fn(usize, &Lease) -> Time) {
        for (group, gaps) in self.gaps.iter_mut().filter(|(_, gaps)| !gaps.is_open()) {
            let last = Self::ends(&self.leases, *group, &end).unwrap_or(now);
            if last <= now {
                gaps.now(last, false);
            }
        }
    }

    /// A fact may have made leases or ended them.
    fn changes(&mut self, now: Time, fact: &Fact<'_>, end: impl Fn(usize, &Lease) -> Time) {
        let Some(group) = self.leases.note(fact) else { return };
        let held = Self::ends(&self.leases, group, end).is_some_and(|last| last > now);
        if held {
            self.gaps.entry(group).or_default();
        }
        if let Some(gaps) = self.gaps.get_mut(&group) {
            gaps.now(now, held);
        }
    }

    /// Longest and sum up to a moment.
    fn until(&self, now: Time) -> (Time, Time) {
        let of_groups = self.gaps.values().map(|gaps| gaps.until(now));
        of_groups.fold((0, 0), |(max, sum), (total, longest)| (max.max(longest), sum + total))
    }

    fn all(&self, now: Time) -> Vec<Measure> {
        if self.gaps.is_empty() {
            return Vec::new();
        }
        let (longest, total) = self.closed.unwrap_or_else(|| self.until(now));
        let one = |name, value, unit| Measure { name, value, unit };
        vec![
            one("lease_gap_max", longest, Unit::Time),
            one("lease_gap_total", total, Unit::Time),
            one("lease_reads", self.reads, Unit::Count),
        ]
    }
}

impl Check for LeaseGaps {
    fn observe(&mut self, fact: &Fact<'_>, view: &View<'_>) -> Result<(), Finding> {
        if let Some(RaftEvent::LeaseRead { reads, .. }) = fact.get() {
            self.reads += *reads;
        }
        if self.closed.is_some() {
            return Ok(());
        }
        let end = |host, lease: &Lease| true_end(view, host, lease);
        self.passes(fact.at, end);
        self.changes(fact.at, fact, end);
        if enters(fact, "heal") {
            self.closed = Some(self.until(fact.at));
        }
        Ok(())
    }

    fn measures(&self, view: &View<'_>) -> Vec<Measure> {
        self.all(view.now())
    }
}

#[cfg(test)]
mod tests {
    use kernel::event::KernelEvent;

    use super::*;

    /// Feeds facts under clocks that show virtual time.
    fn run(facts: &[(Time, usize, RaftEvent)]) -> LeaseGaps {
        let mut check = LeaseGaps::default();
        for (at, host, event) in facts {
            let end = |_: usize, lease: &Lease| lease.until_ns;
            check.passes(*at, end);
            check.changes(*at, &Fact { at: *at, host: *host, boot: 1, event }, end);
        }
        check
    }

    fn held(term: u64, until_ns: u64) -> RaftEvent {
        RaftEvent::LeaseHeld { group: 1, term, until_ns }
    }

    #[test]
    fn gaps_begin_where_leases_end_in_true_time() {
        let check = run(&[
            (10, 0, held(1, 50)),
            (40, 0, held(1, 90)),
            (120, 2, held(2, 160)),
            (130, 2, RaftEvent::LeaseEnded { group: 1, term: 2 }),
            (140, 1, held(3, 200)),
        ]);
        assert_eq!(check.until(190), (30, 30 + 10));
        let values: Vec<u64> = check.all(190).iter().map(|m| m.value).collect();
        assert_eq!(values, [30, 40, 0]);
    }

    #[test]
    fn the_process_takes_its_lease_along() {
        let mut check = run(&[(10, 0, held(1, 500))]);
        let event = KernelEvent::Crashed { tasks: 1 };
        check.leases.note(&Fact { at: 60, host: 0, boot: 1, event: &event });
        check.passes(60, |_, lease| lease.until_ns);
        assert_eq!(check.until(100), (40, 40));
    }

    #[test]
    fn before_the_first_lease_there_is_no_gap_and_no_measure() {
        let check = run(&[(10, 0, RaftEvent::Candidate { group: 1, term: 1 })]);
        assert!(check.all(99).is_empty());
        assert_eq!(run(&[(50, 0, held(1, 90))]).until(80), (0, 0));
    }

    #[test]
    fn every_measure_is_explained() {
        let check = run(&[(50, 0, held(1, 90))]);
        assert!(check.all(60).iter().all(|m| word().about.contains(m.name)));
    }
}
