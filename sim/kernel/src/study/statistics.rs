//! What many seeds of a cell came to, and how two cells differ. Quantiles are nearest ranks: the p-quantile
//! of n values is the one of rank ceil(p n), a value that was measured, so with 20 seeds p99 and p999 are the
//! maximum. Intervals are 95 % percentile bootstrap intervals of a mean: [`RESAMPLES`] resamples with
//! replacement, and of their means, sorted, those of rank 25 and 975.
//!
//! Cells of a study run the same seeds, and so meet the same load and the same weather. What two of them
//! differ by is therefore resampled in pairs: a seed is drawn with what it measured in both cells. The draws
//! depend on the number of values and of the resample alone, so an interval is a pure function of its
//! values, and every cell is resampled alike.
//!
//! Left out: bias correction, and anything about quantiles' own uncertainty. A bootstrap knows only what it
//! saw: where all seeds measured the same, an interval has no width, however few they are.

use crate::draw::mix;

/// Resamples behind an interval.
pub const RESAMPLES: u64 = 1_000;
/// Where a share has no meaning in more resamples than this, it has no interval.
const UNDEFINED_MAX: usize = 24;

/// What the seeds of a cell measured, in the unit of the measure.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// How many seeds.
    pub seeds: usize,
    /// The mean.
    pub mean: f64,
    /// The 10th percentile.
    pub p10: f64,
    /// The median.
    pub p50: f64,
    /// The 90th percentile.
    pub p90: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The 99.9th percentile.
    pub p999: f64,
    /// The greatest value.
    pub max: f64,
    /// The 95 % interval of the mean.
    pub ci: [f64; 2],
}

/// A number and its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Of all seeds.
    pub value: f64,
    /// Lower bound.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
    /// Seeds behind it; one has no interval.
    pub seeds: usize,
}

impl Estimate {
    /// Whether it may as well be nothing: the interval holds 0.
    pub fn may_be_zero(&self) -> bool {
        self.low <= 0.0 && self.high >= 0.0
    }

    /// The same, seen the other way round.
    pub fn reversed(self) -> Estimate {
        Estimate { value: -self.value, low: -self.high, high: -self.low, ..self }
    }
}

impl Summary {
    /// Of the values of all seeds; `None` if there is none.
    pub fn of(values: &[f64]) -> Option<Summary> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let max = *sorted.last()?;
        let rank = |ppm: usize| sorted[nearest_rank(sorted.len(), ppm)];
        let means = resampled(values.len(), |draw| mean(values.len(), || values[draw.index()]));
        let ci = bounds(means);
        let mut next = values.iter().copied();
        Some(Summary {
            seeds: values.len(),
            mean: mean(values.len(), || next.next().unwrap_or_default()),
            p10: rank(100_000),
            p50: rank(500_000),
            p90: rank(900_000),
            p99: rank(990_000),
            p999: rank(999_000),
            max,
            ci,
        })
    }
}

/// How much more the second of each pair is, on average. `None` without a pair.
pub fn difference(pairs: &[(f64, f64)]) -> Option<Estimate> {
    let gaps: Vec<f64> = pairs.iter().map(|(a, b)| b - a).collect();
    let Summary { mean, ci: [low, high], seeds, .. } = Summary::of(&gaps)?;
    Some(Estimate { value: mean, low, high, seeds })
}

/// The share, in percent, by which the mean of the seconds is below that of the firsts. `None` if the firsts
/// are all 0, or so rarely anything else that resamples often hold none.
pub fn removed(pairs: &[(f64, f64)]) -> Option<Estimate> {
    let share = |a: f64, b: f64| (a > 0.0).then_some(100.0 * (1.0 - b / a));
    let (a, b) = pairs.iter().fold((0.0, 0.0), |(a, b), pair| (a + pair.0, b + pair.1));
    let value = share(a, b)?;
    let n = pairs.len();
    let shares = resampled(n, |draw| {
        let (mut a, mut b) = (0.0, 0.0);
        for _ in 0..n {
            let pair = pairs[draw.index()];
            (a, b) = (a + pair.0, b + pair.1);
        }
        share(a, b)
    });
    let known: Vec<f64> = shares.into_iter().flatten().collect();
    if known.len() + UNDEFINED_MAX < RESAMPLES as usize {
        return None;
    }
    let [low, high] = bounds(known);
    Some(Estimate { value, low, high, seeds: n })
}

/// The index, among `n` sorted values, of the quantile at `ppm` parts per million.
fn nearest_rank(n: usize, ppm: usize) -> usize {
    (n * ppm).div_ceil(1_000_000).max(1) - 1
}

fn mean(n: usize, mut next: impl FnMut() -> f64) -> f64 {
    let mut sum = 0.0;
    for _ in 0..n {
        sum += next();
    }
    sum / n as f64
}

/// What 95 % of these lie between.
fn bounds(mut resamples: Vec<f64>) -> [f64; 2] {
    resamples.sort_by(f64::total_cmp);
    [25_000, 975_000].map(|ppm| resamples[nearest_rank(resamples.len(), ppm)])
}

/// Draws with replacement among `n`.
struct Draw {
    state: u64,
    n: u64,
}

impl Draw {
    /// An index, by SplitMix64.
    fn index(&mut self) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let bits = self.state;
        let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((u128::from(bits ^ (bits >> 31)) * u128::from(self.n)) >> 64) as usize
    }
}

/// What each resample of `n` values comes to.
fn resampled<T>(n: usize, mut of: impl FnMut(&mut Draw) -> T) -> Vec<T> {
    let n = n as u64;
    let state = |number| mix(mix(0x626f_6f74, n), number);
    (0..RESAMPLES).map(|number| of(&mut Draw { state: state(number), n })).collect()
}

/// The indices of all resamples of `n` values, for tests to count with.
#[cfg(test)]
pub fn indices(n: usize) -> Vec<Vec<usize>> {
    resampled(n, |draw| (0..n).map(|_| draw.index()).collect())
}
