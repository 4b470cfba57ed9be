//! From which instant on a failure is inevitable. A failing run is taken up to an instant and everything
//! after it is drawn anew, many times; the share of those branches that fail in the same way is how much of
//! the failure had been decided by then. Over a ladder of instants that share climbs from the rate of any
//! seed to one, and where it climbs most steeply, the knee, is what decided it. A climb counts if the
//! intervals of the two rungs do not overlap; what is less may be chance, and then no instant decides.
//!
//! A ladder is refined between the two rungs with the greatest step, until they are close or the rungs are
//! spent. Left out: causes that lie in the seed's configuration or before the load, which show as a share
//! that is high from the first rung on. Source: statistical fault localisation; Antithesis' bug likelihood.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::Time;
use crate::branch::Branch;
use crate::registry::Registry;
use crate::run::{Options, run};
use crate::scenario::Scenario;
use crate::shrink::Failure;

/// Rungs closer than this are not refined.
const CLOSE_NS: Time = 500_000;

/// A failing run to explain.
pub struct Case {
    /// The scenario.
    pub scenario: Arc<Scenario>,
    /// The vocabulary.
    pub registry: &'static Registry,
    /// Options of the failing run.
    pub options: Options,
    /// How it fails.
    pub kind: Failure,
    /// Branches for each rung.
    pub branches: u64,
    /// Runs at a time.
    pub jobs: usize,
}

/// One instant of the ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rung {
    /// From here on everything is drawn anew.
    pub at: Time,
    /// Branches that failed in the same way, and all.
    pub failed: u64,
    /// All branches.
    pub runs: u64,
}

impl Rung {
    /// The share of branches that failed and its interval of 95 % (Wilson).
    pub fn share(&self) -> (f64, f64, f64) {
        let (low, high) = wilson(self.failed, self.runs);
        (self.failed as f64 / self.runs.max(1) as f64, low, high)
    }
}

/// The interval of 95 % of a share (Wilson's score interval).
pub fn wilson(hits: u64, all: u64) -> (f64, f64) {
    if all == 0 {
        return (0.0, 1.0);
    }
    let (n, z) = (all as f64, 1.96);
    let p = hits as f64 / n;
    let middle = p + z * z / (2.0 * n);
    let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    let whole = 1.0 + z * z / n;
    // At the ends the interval touches them; rounding must not say otherwise.
    let low = if hits == 0 { 0.0 } else { (middle - half) / whole };
    let high = if hits == all { 1.0 } else { (middle + half) / whole };
    (low, high)
}

/// The two rungs between which it was decided, by index: of the neighbours whose intervals are apart those
/// with the greatest step. Where the share climbs too gently for that, the closest rungs that are apart.
pub fn knee(ladder: &[Rung]) -> Option<(usize, usize)> {
    let step = |(i, j): (usize, usize)| {
        let share = |r: &Rung| r.failed * 1_000_000 / r.runs.max(1);
        share(&ladder[j]).saturating_sub(share(&ladder[i]))
    };
    let apart = |(i, j): &(usize, usize)| ladder[*i].share().2 < ladder[*j].share().1;
    // Of equal steps the last: what came before had not decided it.
    let neighbours = (1..ladder.len()).map(|j| (j - 1, j)).filter(apart);
    let steepest = neighbours.max_by_key(|pair| (step(*pair), *pair));
    let pairs = (0..ladder.len()).flat_map(|i| (i + 1..ladder.len()).map(move |j| (i, j)));
    let length = |(i, j): (usize, usize)| ladder[j].at - ladder[i].at;
    let closest = || {
        let wide = pairs.filter(apart);
        wide.min_by_key(|pair| (length(*pair), u64::MAX - step(*pair), usize::MAX - pair.0))
    };
    steepest.or_else(closest)
}

/// Climbs from `from` to `to` on so many evenly spaced rungs, and again between the two around the knee,
/// `rounds` times in all. `on` is told of every rung; the ladder comes back in order of time.
pub fn climb(
    case: &Case,
    (from, to): (Time, Time),
    (rungs, rounds): (u64, u64),
    stop: &AtomicBool,
    on: &mut dyn FnMut(&Rung),
) -> Result<Vec<Rung>, String> {
    let mut ladder: Vec<Rung> = Vec::new();
    let (mut low, mut high) = (from, to);
    for round in 0..rounds {
        let inner = u64::from(round > 0);
        let steps = rungs - 1 + 2 * inner;
        for i in inner..=steps - inner {
            let at = low + (high - low) / steps.max(1) * i;
            if ladder.iter().any(|rung| rung.at == at) {
                continue;
            }
            if stop.load(Ordering::Relaxed) {
                return Ok(ladder);
            }
            let rung = measure(case, at)?;
            on(&rung);
            ladder.push(rung);
        }
        ladder.sort_by_key(|rung| rung.at);
        let Some((i, j)) = knee(&ladder) else { break };
        (low, high) = (ladder[i].at, ladder[j].at);
        if high - low < CLOSE_NS {
            break;
        }
    }
    Ok(ladder)
}

fn measure(case: &Case, at: Time) -> Result<Rung, String> {
    let (next, failed) = (AtomicUsize::new(1), AtomicUsize::new(0));
    let trouble = std::sync::Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..case.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed) as u64;
                    if number > case.branches {
                        return;
                    }
                    let branch = Some(Branch { at, number });
                    let options = Options { branch, ..case.options.clone() };
                    match run(&case.scenario, case.registry, &options) {
                        Ok(outcome) => {
                            let kind = Failure::of(&outcome, &case.scenario);
                            let same = kind.as_ref() == Some(&case.kind);
                            failed.fetch_add(usize::from(same), Ordering::Relaxed);
                        }
                        Err(why) => *trouble.lock().expect("nobody panics with it") = Some(why),
                    }
                }
            });
        }
    });
    match trouble.into_inner().expect("nobody panics with it") {
        Some(why) => Err(why),
        None => Ok(Rung { at, failed: failed.into_inner() as u64, runs: case.branches }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ladder(failed: &[u64]) -> Vec<Rung> {
        let rung = |(i, failed): (usize, &u64)| Rung { at: i as u64, failed: *failed, runs: 10 };
        failed.iter().enumerate().map(rung).collect()
    }

    #[test]
    fn the_knee_is_the_steepest_step_and_the_last_of_equals() {
        assert_eq!(knee(&ladder(&[0, 1, 9, 10])), Some((1, 2)));
        assert_eq!(knee(&ladder(&[0, 10, 0, 10])), Some((2, 3)));
        assert_eq!(knee(&ladder(&[3, 3, 3])), None);
        assert_eq!(knee(&[]), None);
    }

    #[test]
    fn a_step_that_may_be_chance_is_no_knee() {
        assert_eq!(knee(&ladder(&[0, 1])), None);
        assert_eq!(knee(&ladder(&[0, 0, 3, 2, 4])), None);
        assert_eq!(knee(&ladder(&[10, 0])), None, "a share that falls decides nothing");
        // No two neighbours are apart; of those that are, the closest.
        assert_eq!(knee(&ladder(&[0, 0, 4, 8, 10])), Some((1, 3)));
    }

    #[test]
    fn intervals_are_those_of_the_textbook() {
        let (low, high) = wilson(5, 10);
        assert!((low - 0.2366).abs() < 1e-3 && (high - 0.7634).abs() < 1e-3, "{low} {high}");
        assert_eq!((wilson(0, 0), wilson(7, 7).1, wilson(0, 7).0), ((0.0, 1.0), 1.0, 0.0));
    }

    proptest! {
        #[test]
        fn a_share_lies_in_its_interval(all in 1u64..10_000, part in 0.0f64..=1.0) {
            let hits = (all as f64 * part) as u64;
            let (low, high) = wilson(hits, all);
            let share = hits as f64 / all as f64;
            prop_assert!(low <= share + 1e-9 && share <= high + 1e-9 && low >= 0.0 && high <= 1.0);
        }
    }
}
