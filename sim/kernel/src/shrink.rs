//! Shrinking: from a plan that fails to the smallest one found that fails in the same way.
//!
//! A pure strategy over a judge, who runs candidates and says which of them still fail. The order is that
//! of the design: calm the weather and end the load early; drop faults; drop operations; wait for events
//! instead of times where that is the sturdier description; narrow numbers. Dropping is delta debugging
//! (Zeller and Hildebrandt 2002): halves, quarters, and so on down to single parts, until nothing can go.
//! What is left may be stuck in one interleaving, so a last round drops under other weaves too.
//!
//! Candidates are taken in a fixed order: the first that fails wins, however many a judge runs at once, so
//! what comes out depends on the judge's answers and on the budget alone. Left out: the smallest plan there
//! is; changes of the cluster, of its configuration and of the seed.

mod narrow;

use std::collections::BTreeSet;

use crate::Time;
use crate::outcome::{Class, Outcome};
use crate::plan::{Fired, Mask, Op, Plan, Sky, When};
use crate::scenario::{Scenario, Symptom};

/// With more faults or operations than these, other weaves come before the finish.
const GOAL: (usize, usize) = (10, 50);
/// With no more than these nobody needs yet another round after it.
const ENOUGH: (usize, usize) = (3, 12);
/// Under how many weaves parts are dropped in each round before the finish, and after it.
const ROUNDS: [&[usize]; 2] = [&[1, 4, 16], &[4, 16]];
/// Other weaves under which descriptions are compared.
const WEAVES: usize = 4;

/// A way to fail: the check that decided, and the class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The check's word, or `kernel`.
    pub check: String,
    /// The class.
    pub class: Class,
}

impl Failure {
    /// How a run failed, if it did: the first violation that the scenario does not expect decides.
    pub fn of(outcome: &Outcome, scenario: &Scenario) -> Option<Failure> {
        let class = outcome.class?;
        let expected = |check: &str| {
            let symptoms = scenario.shows.iter().flat_map(|s| &s.symptoms);
            symptoms.into_iter().any(|(_, s)| *s == Symptom::Violates(check.to_string()))
        };
        let decides = outcome.violations.iter().find(|v| !expected(&v.check));
        Some(Failure { check: decides.map_or("kernel".into(), |v| v.check.clone()), class })
    }
}

/// The last event on the host itself before a line acted, if its draw had waited for such a word. `outcome`
/// is of a run with the whole trace, whose load began at `from`.
pub fn waited(outcome: &Outcome, line: &Fired, from: Time) -> Option<When> {
    let (word, _) = line.trigger.split_once(" #")?;
    let before = |host: &String| {
        let facts = outcome.trace.iter().filter(|l| l.word == word && l.host == *host);
        let moments = outcome.moments.iter().filter(|m| m.2 == word && m.1 == *host);
        let all = facts.map(|l| l.at).chain(moments.map(|m| m.0));
        let all: Vec<Time> = all.filter(|at| (from..=line.at).contains(at)).collect();
        all.last().map(|at| (*at, all.len() as u64, host.clone()))
    };
    let (at, nth, on) = line.hosts.iter().filter_map(before).max()?;
    Some(When::Event { word: word.to_string(), on: Some(on), nth, after: line.at - at })
}

/// A plan and the interleaving under which it runs.
#[derive(Clone, Debug, Default)]
pub struct Case {
    /// Exact lines only.
    pub plan: Plan,
    /// The interleaving.
    pub weave: u64,
}

/// A case that failed as it should.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The case.
    pub case: Case,
    /// Operations that were asked for until then.
    pub asked: BTreeSet<Op>,
    /// How long the load lasted at most, in nanoseconds.
    pub load: Time,
    /// The run's virtual time, in nanoseconds.
    pub virtual_ns: Time,
    /// The run's digest.
    pub digest: String,
}

impl Seen {
    /// Faults and operations that are left.
    pub fn size(&self) -> (usize, usize) {
        (self.case.plan.exact.len(), self.asked.len())
    }
}

/// Who runs candidates.
pub trait Judge {
    /// How many cases it likes to run at once.
    fn width(&self) -> usize;
    /// Runs cases: each that fails in the same way comes back. `None` once the budget is spent.
    fn judge(&mut self, cases: &[Case]) -> Option<Vec<Option<Seen>>>;
    /// For lines of the plan, by index, an event that says when they act.
    fn events(&mut self, case: &Case) -> Vec<(usize, When)>;
    /// A step of the strategy made the plan smaller.
    fn improved(&mut self, step: &'static str, best: &Seen);
}

/// Shrinks what fails until nothing improves or the budget is spent.
pub fn shrink(start: Seen, judge: &mut dyn Judge) -> Seen {
    let mut work = Work { best: start, known: BTreeSet::new(), judge, spent: false, weaves: 1 };
    work.step("calm weather", Work::calm);
    work.step("shorter load", Work::shorten);
    for (rounds, goal) in ROUNDS.into_iter().zip([GOAL, ENOUGH]) {
        let mut improved = false;
        for weaves in rounds {
            let (faults, ops) = work.best.size();
            if *weaves == 1 || faults > goal.0 || ops > goal.1 {
                work.weaves = *weaves;
                improved |= work.drop_parts();
            }
        }
        work.weaves = 1;
        if improved || goal == GOAL {
            work.step("calm weather", Work::calm);
            // A line whose time was rounded acts no longer where its event was.
            work.step("events for times", Work::wait);
            work.step("rounder numbers", Work::narrow);
        }
    }
    work.best
}

struct Work<'a> {
    best: Seen,
    /// All operations that a best run has asked for: those of which a mask can say something.
    known: BTreeSet<Op>,
    judge: &'a mut dyn Judge,
    spent: bool,
    /// Under how many weaves each candidate is tried.
    weaves: usize,
}

impl Work<'_> {
    /// Does a step, and tells if it improved anything.
    fn step(&mut self, name: &'static str, act: impl FnOnce(&mut Self) -> bool) -> bool {
        let improved = !self.spent && act(self);
        if improved {
            self.judge.improved(name, &self.best);
        }
        improved
    }

    /// Drops faults and operations until neither goes.
    fn drop_parts(&mut self) -> bool {
        let mut improved = false;
        loop {
            improved |= self.step("fewer faults", Work::drop_faults);
            if !self.step("fewer operations", Work::drop_ops) {
                return improved;
            }
            improved = true;
        }
    }

    /// Takes the first of the plans that fails; returns its position.
    fn first(&mut self, plans: Vec<Plan>) -> Option<usize> {
        let own = self.best.case.weave;
        let others = (0..).filter(|w| *w != own).take(self.weaves - 1);
        let weaves: Vec<u64> = std::iter::once(own).chain(others).collect();
        let of = |(i, plan): (usize, Plan)| {
            weaves
                .iter()
                .map(move |w| (i, Case { plan: plan.clone(), weave: *w }))
                .collect::<Vec<_>>()
        };
        let cases: Vec<(usize, Case)> = plans.into_iter().enumerate().flat_map(of).collect();
        for batch in cases.chunks(self.judge.width().max(1)) {
            let candidates: Vec<Case> = batch.iter().map(|(_, case)| case.clone()).collect();
            let Some(seen) = self.judge.judge(&candidates) else {
                self.spent = true;
                return None;
            };
            let won = seen.into_iter().zip(batch).find_map(|(seen, (i, _))| Some((seen?, *i)));
            if let Some((seen, i)) = won {
                self.best = seen;
                return Some(i);
            }
        }
        None
    }

    /// Takes a plan if it fails.
    fn takes(&mut self, plan: Plan) -> bool {
        self.first(vec![plan]).is_some()
    }

    fn plan(&self) -> Plan {
        self.best.case.plan.clone()
    }

    fn calm(&mut self) -> bool {
        let plan = self.plan();
        plan.sky != Sky::Calm && self.takes(Plan { sky: Sky::Calm, ..plan })
    }

    /// Ends the load after an eighth, a quarter, a half or three quarters of its time.
    fn shorten(&mut self) -> bool {
        let mut improved = false;
        while !self.spent {
            let (plan, load) = (self.plan(), self.best.load);
            let shorter = [1, 2, 4, 6].map(|n| Some(load / 8 * n).filter(|ns| *ns > 1_000_000));
            let plans = shorter.into_iter().flatten();
            let plans = plans.map(|ns| Plan { load: Some(ns), ..plan.clone() }).collect();
            if self.first(plans).is_none() {
                break;
            }
            improved = true;
        }
        improved
    }

    fn drop_faults(&mut self) -> bool {
        let lines = self.plan().exact;
        let build = |plan: &Plan, lines: &[Fired]| Plan { exact: lines.to_vec(), ..plan.clone() };
        self.reduce(lines, &build, &|_, _| true)
    }

    /// Whole clients first, then single operations.
    fn drop_ops(&mut self) -> bool {
        // Of what a mask that keeps leaves out nobody asks, and all else is in here.
        self.known.extend(self.best.asked.iter().copied());
        let known = self.known.clone();
        let build = |plan: &Plan, groups: &[BTreeSet<Op>]| {
            let kept = groups.iter().flatten().copied().collect();
            Plan { mask: Mask::keeping(&kept, &known), ..plan.clone() }
        };
        // What nobody came to ask for can go at once.
        let asked = |op: &BTreeSet<Op>, seen: &Seen| !op.is_disjoint(&seen.asked);
        let kept = &self.best.asked;
        let clients: BTreeSet<u64> = kept.iter().map(|op| op.0).collect();
        let of = |client: u64| kept.iter().filter(|op| op.0 == client).copied().collect();
        let groups: Vec<BTreeSet<Op>> = clients.into_iter().map(of).collect();
        if groups.is_empty() {
            return false;
        }
        let improved = self.reduce(groups, &build, &asked);
        let kept = &self.best.asked;
        let singles: Vec<BTreeSet<Op>> = kept.iter().map(|op| BTreeSet::from([*op])).collect();
        self.reduce(singles, &build, &asked) || improved
    }

    /// Leaves out parts: all of them, halves, quarters, down to one at a time, until none can go.
    /// `stays` says of a part that is left whether it still matters.
    fn reduce<T: Clone>(
        &mut self,
        mut parts: Vec<T>,
        build: &dyn Fn(&Plan, &[T]) -> Plan,
        stays: &dyn Fn(&T, &Seen) -> bool,
    ) -> bool {
        let (mut improved, mut size) = (false, parts.len());
        while size > 0 && !self.spent {
            let (mut at, mut dropped) = (0, false);
            while at < parts.len() && !self.spent {
                let plan = self.plan();
                let starts: Vec<usize> =
                    (at..parts.len()).step_by(size).take(self.judge.width().max(1)).collect();
                let without = |from: &usize| {
                    let to = (from + size).min(parts.len());
                    build(&plan, &[&parts[..*from], &parts[to..]].concat())
                };
                match self.first(starts.iter().map(without).collect()) {
                    Some(i) => {
                        at = starts[i];
                        parts.drain(at..(at + size).min(parts.len()));
                        // The parts before `at` are behind us already; how many of them go, `at` goes back.
                        let gone = parts[..at].iter().filter(|p| !stays(p, &self.best)).count();
                        parts.retain(|p| stays(p, &self.best));
                        at -= gone;
                        (improved, dropped) = (true, true);
                    }
                    None => at = starts.last().map_or(parts.len(), |last| last + size),
                }
            }
            size = match (size, dropped) {
                (1, true) => 1,
                _ => (size / 2).min(parts.len()),
            };
        }
        improved
    }

    /// Under how many other weaves a case fails too.
    fn elsewhere(&mut self, case: &Case) -> usize {
        let others = (0..).filter(|w| *w != case.weave).take(WEAVES);
        let cases: Vec<Case> =
            others.map(|weave| Case { weave, plan: case.plan.clone() }).collect();
        let mut count = 0;
        for batch in cases.chunks(self.judge.width().max(1)) {
            match self.judge.judge(batch) {
                Some(seen) => count += seen.iter().flatten().count(),
                None => self.spent = true,
            }
        }
        count
    }

    /// A line waits for an event where the plan then fails under more weaves than with a time.
    fn wait(&mut self) -> bool {
        let case = self.best.case.clone();
        let mut sturdy = self.elsewhere(&case);
        let mut improved = false;
        for (i, when) in self.judge.events(&case) {
            if self.spent || sturdy == WEAVES {
                break;
            }
            let (before, mut plan) = (self.best.clone(), self.plan());
            plan.exact[i].when = Some(when);
            if !self.takes(plan) {
                continue;
            }
            let case = self.best.case.clone();
            let now = self.elsewhere(&case);
            if now > sturdy && !self.spent {
                (sturdy, improved) = (now, true);
            } else {
                self.best = before;
            }
        }
        improved
    }
}

#[cfg(test)]
mod tests;
