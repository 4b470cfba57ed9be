//! Narrowing: numbers of a plan that was shrunk become small and round, hosts and survivors fewer, one line
//! after the other, as long as the plan still fails. A round number tells a reader that nothing hangs on
//! its digits; one that stays crooked, that something does.

use super::Work;
use crate::Time;
use crate::plan::{Fired, Plan, When, simpler};

/// Times are rounded to these, the coarsest first: from 1 s to 1 us.
const STEPS: [Time; 7] =
    [1_000_000_000, 100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1_000];
/// How often a number is halved at most.
const HALVINGS: usize = 8;

/// Coarser forms of a time, the coarsest first.
fn rounder(ns: Time) -> impl Iterator<Item = Time> {
    let to = move |step: Time| (ns.saturating_add(step / 2) / step) * step;
    STEPS.into_iter().map(to).filter(move |r| *r > 0).take_while(move |r| *r != ns)
}

/// A line that acts at another time no longer says what it once waited for.
fn moved(line: &mut Fired, at: Time) {
    line.at = at;
    line.trigger.clear();
}

impl Work<'_> {
    pub(super) fn narrow(&mut self) -> bool {
        let mut improved = self.sooner();
        for i in 0..self.plan().exact.len() {
            improved |= self.fewer_hosts(i);
            improved |= self.fewer_survivors(i);
            improved |= self.shorter(i);
            improved |= self.parameters(i);
            improved |= self.rounded(i);
        }
        if let Some(load) = self.plan().load {
            let plan = self.plan();
            let plans = rounder(load).map(|ns| Plan { load: Some(ns), ..plan.clone() });
            improved |= self.first(plans.collect()).is_some();
        }
        improved
    }

    /// A rounder time, or a rounder delay after the event that a line waits for: its time says nothing then.
    fn rounded(&mut self, i: usize) -> bool {
        let values = |line: &Fired| match line.when {
            Some(When::Event { after, .. }) if after > 0 => {
                std::iter::once(0).chain(rounder(after)).collect()
            }
            Some(_) => Vec::new(),
            None => rounder(line.at).collect(),
        };
        let put = |line: &mut Fired, ns| match &mut line.when {
            Some(When::Event { after, .. }) => *after = ns,
            _ => moved(line, ns),
        };
        self.changed(i, values, put)
    }

    /// The first of the values of a line under which the plan fails.
    fn changed<T>(
        &mut self,
        i: usize,
        values: impl Fn(&Fired) -> Vec<T>,
        put: impl Fn(&mut Fired, T),
    ) -> bool {
        let plan = self.plan();
        let with = |value: T| {
            let mut plan = plan.clone();
            put(&mut plan.exact[i], value);
            plan
        };
        let plans: Vec<Plan> = values(&plan.exact[i]).into_iter().map(with).collect();
        !self.spent && self.first(plans).is_some()
    }

    /// All lines with a time act sooner, so that nobody waits for the first.
    fn sooner(&mut self) -> bool {
        let mut improved = false;
        for _ in 0..HALVINGS {
            let plan = self.plan();
            let timed = |line: &&Fired| line.when.is_none();
            let first = plan.exact.iter().filter(timed).map(|line| line.at).min();
            let Some(first) = first else { break };
            let start = self.best.virtual_ns.saturating_sub(self.best.load).min(first);
            let plans = [8, 6, 4, 2].map(|n| {
                let mut plan = plan.clone();
                let by = (first - start) / 8 * n;
                let timed = plan.exact.iter_mut().filter(|line| line.when.is_none());
                timed.for_each(|line| moved(line, line.at - by));
                (by >= STEPS[2]).then_some(plan)
            });
            if self.spent || self.first(plans.into_iter().flatten().collect()).is_none() {
                break;
            }
            improved = true;
        }
        improved
    }

    fn fewer_hosts(&mut self, i: usize) -> bool {
        let mut improved = false;
        while self.plan().exact[i].hosts.len() > 1 {
            let without = |line: &Fired| {
                let leave = |n: usize| {
                    let mut hosts = line.hosts.clone();
                    hosts.remove(n);
                    hosts
                };
                (0..line.hosts.len()).map(leave).collect()
            };
            if !self.changed(i, without, |line, hosts| line.hosts = hosts) {
                break;
            }
            improved = true;
        }
        improved
    }

    /// What a power loss does not name loses all; so nothing is said of most files.
    fn fewer_survivors(&mut self, i: usize) -> bool {
        let mut improved = false;
        loop {
            let survivors = &self.plan().exact[i].survivors;
            let flat: Vec<_> =
                survivors.iter().flat_map(|(h, l)| l.iter().map(move |s| (h, s))).collect();
            if flat.is_empty() {
                return improved;
            }
            // Nothing of all, then nothing of one after the other.
            let leave = |gone: Option<usize>| {
                let mut left: Vec<(String, Vec<_>)> = Vec::new();
                for (n, (host, s)) in flat.iter().enumerate() {
                    if gone.is_none_or(|gone| gone == n) {
                        continue;
                    }
                    match left.last_mut() {
                        Some((last, list)) if last == *host => list.push((*s).clone()),
                        _ => left.push(((*host).clone(), vec![(*s).clone()])),
                    }
                }
                left
            };
            let all = std::iter::once(None).chain((0..flat.len()).map(Some));
            let lists: Vec<_> = all.map(leave).collect();
            if !self.changed(i, |_| lists.clone(), |line, list| line.survivors = list) {
                return improved;
            }
            improved = true;
        }
    }

    fn shorter(&mut self, i: usize) -> bool {
        let mut improved = false;
        let lasts = |line: &mut Fired, ns| line.lasts = ns;
        for _ in 0..HALVINGS {
            let halves = |line: &Fired| match line.lasts {
                0..=1_000_000 => Vec::new(),
                ns => vec![ns / 8, ns / 2, ns / 4 * 3],
            };
            if !self.changed(i, halves, lasts) {
                break;
            }
            improved = true;
        }
        self.changed(i, |line| rounder(line.lasts).collect(), lasts) || improved
    }

    fn parameters(&mut self, i: usize) -> bool {
        let mut improved = false;
        let keys: Vec<String> = self.plan().exact[i].params.keys().cloned().collect();
        for key in keys {
            for _ in 0..HALVINGS {
                let values = |line: &Fired| simpler(&line.params[&key]);
                let put = |line: &mut Fired, value| {
                    line.params.insert(key.clone(), value);
                };
                if !self.changed(i, values, put) {
                    break;
                }
                improved = true;
            }
        }
        improved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounder_is_coarsest_first_and_ends_at_itself() {
        let all: Vec<Time> = rounder(1_234_567_890).collect();
        assert_eq!(all[0], 1_000_000_000);
        assert_eq!(all[1], 1_200_000_000);
        assert_eq!(all.last(), Some(&1_234_568_000));
        assert_eq!(rounder(2_000_000_000).count(), 0);
    }
}
