//! Waiting times of `plants`: how many seeds of a range it takes until one is a catch.
//!
//! A range that ends without a catch is censored: the time is longer than the range, nobody knows by how
//! much. Such times sort above all others, so a quantile is a value that occurred or is known only from
//! below. Left out: estimates of what was not seen. Source: censoring as in survival analysis.

use std::ops::Range;
use std::time::{Duration, Instant};

use crate::session::Failure;

/// The check, and the seed and the position of the scenario with which to see it again.
pub type Catch = (String, u64, usize);

/// The search of one range.
#[derive(Clone, Debug)]
pub struct Hunt {
    /// Which of the ranges.
    pub range: u64,
    /// Seeds that were run, the one that failed included.
    pub seeds: u64,
    /// What failed; `None`: nothing in the whole range.
    pub caught: Option<Catch>,
    /// How long it took on the wall.
    pub wall: Duration,
}

/// Tries the seeds of a range until one is a catch; a seed that cannot be tried ends the search.
pub fn search(
    range: u64,
    seeds: Range<u64>,
    stop: &dyn Fn() -> bool,
    mut caught_by: impl FnMut(u64) -> Result<Option<Catch>, Failure>,
) -> Result<Option<Hunt>, Failure> {
    let begun = Instant::now();
    let (mut run, mut caught) = (0, None);
    for seed in seeds {
        if stop() {
            return Ok(None);
        }
        run += 1;
        caught = caught_by(seed)?;
        if caught.is_some() {
            break;
        }
    }
    Ok(Some(Hunt { range, seeds: run, caught, wall: begun.elapsed() }))
}

/// How long a catch took, or what was spent without one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wait<T> {
    /// Caught with it.
    Caught(T),
    /// Censored: it takes longer.
    Above(T),
}

impl<T: Copy> Wait<T> {
    /// What a hunt spent.
    pub fn of(hunt: &Hunt, spent: T) -> Wait<T> {
        if hunt.caught.is_some() { Wait::Caught(spent) } else { Wait::Above(spent) }
    }

    /// The value, if it is known.
    pub fn known(self) -> Option<T> {
        match self {
            Wait::Caught(value) => Some(value),
            Wait::Above(_) => None,
        }
    }

    /// For people.
    pub fn show(self, text: impl Fn(T) -> String) -> String {
        match self {
            Wait::Caught(value) => text(value),
            Wait::Above(value) => format!("> {}", text(value)),
        }
    }

    /// In order: every catch, by what it took, and then what is censored.
    pub fn sorted(
        mut all: Vec<Wait<T>>,
        by: impl Fn(&T, &T) -> std::cmp::Ordering,
    ) -> Vec<Wait<T>> {
        all.sort_by(|a, b| match (a, b) {
            (Wait::Caught(a), Wait::Caught(b)) | (Wait::Above(a), Wait::Above(b)) => by(a, b),
            (Wait::Caught(_), Wait::Above(_)) => std::cmp::Ordering::Less,
            (Wait::Above(_), Wait::Caught(_)) => std::cmp::Ordering::Greater,
        });
        all
    }
}

#[cfg(test)]
mod tests {
    use kernel::claims::accept::quantile;
    use kernel::outcome::exit;

    use super::*;
    use crate::terminal::grouped;

    #[test]
    fn quantiles_are_values_that_occurred() {
        let twenty: Vec<u64> = (1..=20).collect();
        assert_eq!(quantile(&twenty, 50), Some(&10));
        assert_eq!(quantile(&twenty, 95), Some(&19));
        assert_eq!(quantile(&[7], 95), Some(&7));
        assert_eq!(quantile::<u64>(&[], 50), None);
    }

    fn hunts(lengths: &[(u64, bool)]) -> Vec<Hunt> {
        let of = |(range, (seeds, caught)): (usize, &(u64, bool))| Hunt {
            range: range as u64,
            seeds: *seeds,
            caught: caught.then(|| ("read_fresh".to_string(), 0, 0)),
            wall: Duration::from_millis(*seeds),
        };
        lengths.iter().enumerate().map(of).collect()
    }

    fn quantiles(lengths: &[(u64, bool)]) -> [Option<u64>; 2] {
        let all = hunts(lengths).iter().map(|h| Wait::of(h, h.seeds)).collect();
        let all = Wait::sorted(all, u64::cmp);
        [50, 95].map(|percent| quantile(&all, percent).and_then(|wait| wait.known()))
    }

    #[test]
    fn a_range_without_a_catch_is_longer_than_any_with_one() {
        assert_eq!(quantiles(&[(2, false); 20]), [None, None]);
        // A catch in the last seed of a range comes before a range of the same length without one.
        let mut all = vec![(500, true); 19];
        all.push((500, false));
        assert_eq!(quantiles(&all), [Some(500), Some(500)]);
        all[3].1 = false;
        assert_eq!(quantiles(&all), [Some(500), None]);
        // A stretch that is short because seeds are few is no quick catch.
        assert_eq!(quantiles(&[(2, false), (2, false), (7, true)]), [None, None]);
        let above = Wait::Above(500).show(grouped);
        assert_eq!((above.as_str(), Wait::Caught(7).show(grouped).as_str()), ("> 500", "7"));
    }

    #[test]
    fn a_seed_that_cannot_be_run_has_not_escaped() {
        let go_on = || false;
        let tried = |bad: u64| {
            search(0, 0..9, &go_on, |seed| match seed {
                n if n == bad => Err(Failure::unrun("seed", kernel::run::PANICKED.to_string())),
                5 => Ok(Some(("read_fresh".to_string(), seed, 0))),
                _ => Ok(None),
            })
        };
        let failure = tried(3).unwrap_err();
        assert_eq!(failure.code, exit::IO);
        assert!(failure.text.contains("seed: the simulator itself panicked"), "{}", failure.text);
        let hunt = tried(8).unwrap().unwrap();
        assert_eq!((hunt.seeds, hunt.caught.map(|c| c.1)), (6, Some(5)));
        assert!(search(0, 0..9, &|| true, |_| Ok(None)).unwrap().is_none());
    }
}
