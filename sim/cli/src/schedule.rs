//! What a sweep runs next: seeds in their order, and second runs of some of them in a later chunk, by another
//! worker than the first. Pure: asked by workers that are free, told what they found, so the order of events
//! is all it depends on; results do not depend on it at all.
//!
//! When time is up no fresh seed begins, and second runs that are owed are still given: without them what
//! was begun is not finished.

use std::collections::{BTreeSet, VecDeque};

use serde_json::Value;

use crate::seeds::Seeds;

/// Seeds that a worker runs before it makes room for a fresh one, and seeds that begin between two runs of
/// one seed, as long as there are any.
pub const CHUNK: u32 = 50;

/// A seed that is owed a second run.
#[derive(Clone, Debug, PartialEq)]
pub struct Owed {
    /// The seed.
    pub seed: u64,
    /// What its first run came to.
    pub first: Value,
    /// The worker that ran it.
    pub by: u64,
    /// Due once so many fresh seeds have begun.
    due: u64,
}

/// What a worker is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Task {
    /// A seed that was not run yet.
    First(u64),
    /// A second run.
    Again(Owed),
}

/// What is left to do.
pub struct Schedule {
    seeds: Seeds,
    done: BTreeSet<u64>,
    from: Option<u64>,
    begun: u64,
    owed: VecDeque<Owed>,
}

impl Schedule {
    /// All of these seeds but those that are done.
    pub fn new(seeds: Seeds, done: BTreeSet<u64>) -> Schedule {
        let from = Some(seeds.range.start);
        Schedule { seeds, done, from, begun: 0, owed: VecDeque::new() }
    }

    /// The next task of a worker, or of one that is yet to be started; `None` if nothing is left.
    pub fn next(&mut self, worker: Option<u64>, late: bool) -> Option<Task> {
        let fresh = if late { None } else { self.fresh() };
        let due = |o: &Owed| fresh.is_none() || o.due <= self.begun;
        let others = self.owed.iter().position(|o| due(o) && Some(o.by) != worker);
        let place = others.or((fresh.is_none() && !self.owed.is_empty()).then_some(0));
        if let Some(owed) = place.and_then(|place| self.owed.remove(place)) {
            return Some(Task::Again(owed));
        }
        let seed = fresh?;
        self.begun += 1;
        self.from = seed.checked_add(1);
        Some(Task::First(seed))
    }

    /// A seed is to be run again, by another worker.
    pub fn owe(&mut self, seed: u64, first: Value, by: u64) {
        let due = self.begun + u64::from(CHUNK);
        self.owed.push_back(Owed { seed, first, by, due });
    }

    fn fresh(&mut self) -> Option<u64> {
        loop {
            let seed = self.seeds.next(self.from?)?;
            self.from = Some(seed);
            if !self.done.remove(&seed) {
                return Some(seed);
            }
            self.from = seed.checked_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_second_run_waits_for_other_seeds_and_another_worker() {
        let mut schedule = Schedule::new((0..1_000).into(), BTreeSet::new());
        assert_eq!(schedule.next(Some(1), false), Some(Task::First(0)));
        schedule.owe(0, json!(0), 1);
        for seed in 1..=u64::from(CHUNK) {
            assert_eq!(schedule.next(Some(1), false), Some(Task::First(seed)));
        }
        // Now it is due, but not for the one who ran it first.
        assert!(matches!(schedule.next(Some(1), false), Some(Task::First(_))));
        assert!(matches!(schedule.next(Some(2), false), Some(Task::Again(o)) if o.seed == 0));
    }

    #[test]
    fn late_seeds_do_not_begin_and_second_runs_do() {
        let mut schedule = Schedule::new((0..9).into(), BTreeSet::from([0]));
        assert_eq!(schedule.next(None, false), Some(Task::First(1)));
        schedule.owe(1, json!(1), 4);
        assert!(matches!(schedule.next(Some(4), true), Some(Task::Again(o)) if o.by == 4));
        assert_eq!(schedule.next(Some(4), true), None);
        assert_eq!(schedule.next(Some(4), false), Some(Task::First(2)));
    }

    proptest! {
        /// However workers come and go, each seed is run once, and once more if that is owed.
        #[test]
        fn nothing_is_lost(
            len in 0u64..200,
            done in prop::collection::btree_set(0u64..200, 0..50),
            workers in prop::collection::vec(0u64..4, 1..50),
        ) {
            let mut schedule = Schedule::new((0..len).into(), done.clone());
            let (mut first, mut again) = (Vec::new(), Vec::new());
            for worker in workers.iter().cycle() {
                match schedule.next(Some(*worker), false) {
                    Some(Task::First(seed)) => {
                        first.push(seed);
                        if seed % 3 == 0 {
                            schedule.owe(seed, json!(seed), *worker);
                        }
                    }
                    Some(Task::Again(owed)) => again.push(owed.seed),
                    None => break,
                }
            }
            let all: Vec<u64> = (0..len).filter(|seed| !done.contains(seed)).collect();
            again.sort_unstable();
            prop_assert_eq!(again, all.iter().copied().filter(|s| s % 3 == 0).collect::<Vec<_>>());
            prop_assert_eq!(first, all);
        }
    }
}
