//! When a figure of a document counts as met. A measure is taken over many seeds; its 5th and 95th percentile
//! are the interval that the simulation predicts. The document's value must meet that interval, and the
//! interval must be worth something: p95 at most four times p5. A bound (`> 10s`) says less, so more is asked
//! of it: 95 of 100 seeds must keep it. Of an order the medians must go the way the document's figures go,
//! each pair of neighbours.
//!
//! Elasticity says how a row rests on a constant: the percent by which its median moves for one percent
//! of the constant, from a run with less of it to a run with more. Left out: errors of the medians
//! themselves. Quantiles are values that occurred (nearest rank).

use std::time::Duration;

use super::figure::Printed;

use host::unit::{
    Rate, Size, nanos, parse_duration, parse_quantiles, parse_rate, parse_size, parse_span, show,
    show_quantiles, show_rate, show_size, show_span,
};

/// The 95th percentile may be so many times the 5th.
const SPREAD_MAX: f64 = 4.0;

/// A quantile of sorted values: the least that so many percent of them do not exceed.
pub fn quantile<T>(sorted: &[T], percent: usize) -> Option<&T> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1)
}

/// A measure over many seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// One seed in twenty has no more.
    pub p5: f64,
    /// Half of the seeds have no more.
    pub p50: f64,
    /// One seed in twenty has more.
    pub p95: f64,
}

impl Spread {
    /// Of the values of all seeds; `None` without any.
    pub fn of(mut values: Vec<f64>) -> Option<Spread> {
        values.sort_by(f64::total_cmp);
        let at = |percent| quantile(&values, percent).copied();
        Some(Spread { p5: at(5)?, p50: at(50)?, p95: at(95)? })
    }

    /// Whether the seeds agree well enough to predict anything.
    pub fn is_narrow(&self) -> bool {
        self.p95 <= SPREAD_MAX * self.p5
    }
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The document's value meets what the seeds predict.
    Inside,
    /// It does not, or the seeds spread too far to predict anything.
    Outside,
    /// The medians are in the document's order.
    OrderHolds,
    /// They are not.
    OrderBroken,
    /// There is nothing to compare: an input, or a measure that some seed did not have.
    Nothing,
}

impl Verdict {
    /// Words and their meaning.
    pub const WORDS: [(&'static str, &'static str); 5] = [
        (
            "inside",
            "The document's value, read with the precision it is printed to, meets [p5, p95] of the \
             simulated one, and p95 is at most 4 times p5. A bound (`> 10s`) is kept by 95 of 100 seeds.",
        ),
        (
            "outside",
            "The document's value does not meet [p5, p95], or p95 is more than 4 times p5.",
        ),
        ("order_holds", "The medians of the named measures go the way the document's figures go."),
        ("order_broken", "Two neighbours among the medians go another way than the document's."),
        ("n/a", "Nothing to compare: an input, or a measure that not every seed has."),
    ];

    /// As it is printed.
    pub fn word(self) -> &'static str {
        Verdict::WORDS[self as usize].0
    }

    /// Whether the document is borne out.
    pub fn is_good(self) -> bool {
        matches!(self, Verdict::Inside | Verdict::OrderHolds)
    }
}

/// Whether the interval of the document's value meets what the seeds predict.
pub fn meets((low, high): (f64, f64), spread: &Spread) -> Verdict {
    let meets = low <= spread.p95 && spread.p5 <= high;
    if meets && spread.is_narrow() { Verdict::Inside } else { Verdict::Outside }
}

/// The verdict on a measure, given what the document prints; orders have more than one measure.
pub fn judged(printed: &Printed, spread: &Spread) -> Verdict {
    let kept = |kept: bool| if kept { Verdict::Inside } else { Verdict::Outside };
    match printed {
        Printed::MoreThan(bound) => kept(spread.p5 > bound.value()),
        Printed::LessThan(bound) => kept(spread.p95 < bound.value()),
        _ => printed.interval().map_or(Verdict::Nothing, |interval| meets(interval, spread)),
    }
}

/// Whether medians go the way the document's figures go; both have one length.
pub fn in_order(document: &[f64], medians: &[f64]) -> Verdict {
    let way = |pair: &[f64]| pair[0].total_cmp(&pair[1]);
    let mut pairs = document.windows(2).zip(medians.windows(2));
    if document.len() == medians.len() && pairs.all(|(d, m)| way(d) == way(m)) {
        Verdict::OrderHolds
    } else {
        Verdict::OrderBroken
    }
}

/// Percent of the value for one percent of the constant: from `values` under `factors`, each less and more.
/// `None` where a logarithm is not defined.
pub fn elasticity(values: (f64, f64), factors: (f64, f64)) -> Option<f64> {
    let all = [values.0, values.1, factors.0, factors.1];
    if all.iter().any(|x| !x.is_finite() || *x <= 0.0) || factors.0 == factors.1 {
        return None;
    }
    Some((values.1 / values.0).ln() / (factors.1 / factors.0).ln())
}

/// A constant as written times `percent / 100`, and the factor that came of it: whole numbers are rounded.
/// `None` for what is no quantity, and for what does not change.
pub fn scaled(text: &str, percent: u64) -> Option<(String, f64)> {
    let times = |n: u64| {
        let n = (u128::from(n) * u128::from(percent) + 50) / 100;
        u64::try_from(n).unwrap_or(u64::MAX)
    };
    let time = |d: Duration| Duration::from_nanos(times(nanos(d)));
    let factor = percent as f64 / 100.0;
    let (new, factor) = if let Ok(d) = parse_duration(text) {
        (show(time(d)), factor)
    } else if let Ok(mut span) = parse_span(text) {
        (span.min, span.max) = (time(span.min), time(span.max));
        (show_span(span), factor)
    } else if let Ok(q) = parse_quantiles(text) {
        (show_quantiles(&q.map(times)), factor)
    } else if let Ok(Size(n)) = parse_size(text) {
        (show_size(Size(times(n))), factor)
    } else if let Ok(Rate(n)) = parse_rate(text) {
        (show_rate(Rate(times(n))), factor)
    } else {
        let n: u64 = text.trim().parse().ok()?;
        (times(n).to_string(), times(n) as f64 / n.max(1) as f64)
    };
    (new != text.trim() && factor > 0.0).then_some((new, factor))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quantiles_are_values_that_occurred() {
        let spread = Spread::of((1..=20).rev().map(f64::from).collect()).unwrap();
        assert_eq!(spread, Spread { p5: 1.0, p50: 10.0, p95: 19.0 });
        assert_eq!(Spread::of(Vec::new()), None);
        assert_eq!(Spread::of(vec![3.0]), Some(Spread { p5: 3.0, p50: 3.0, p95: 3.0 }));
    }

    #[test]
    fn a_prediction_may_not_be_vague() {
        let vague = Spread { p5: 1.0, p50: 3.0, p95: 4.1 };
        assert_eq!(meets((2.0, 2.1), &vague), Verdict::Outside);
        assert_eq!(meets((2.0, 2.1), &Spread { p95: 4.0, ..vague }), Verdict::Inside);
        assert_eq!(meets((4.01, 9.0), &Spread { p95: 4.0, ..vague }), Verdict::Outside);
        let never = Spread { p5: 0.0, p50: 0.0, p95: 0.0 };
        assert_eq!(meets((-0.5, 0.5), &never), Verdict::Inside);
        assert_eq!(meets((0.5, 1.5), &Spread { p95: 2.0, ..never }), Verdict::Outside);
    }

    #[test]
    fn a_bound_is_kept_by_nearly_all_seeds() {
        let spread = Spread { p5: 11.0, p50: 50.0, p95: 90.0 };
        let verdict = |text: &str| judged(&Printed::parse(text).unwrap(), &spread);
        assert_eq!([verdict("> 10"), verdict("> 11")], [Verdict::Inside, Verdict::Outside]);
        assert_eq!([verdict("< 91"), verdict("< 60")], [Verdict::Inside, Verdict::Outside]);
        assert_eq!(verdict("50"), Verdict::Outside, "the seeds spread too far");
    }

    #[test]
    fn an_order_goes_the_way_of_the_document() {
        assert_eq!(in_order(&[22.0, 128.0, 611.0], &[1.0, 2.0, 3.0]), Verdict::OrderHolds);
        assert_eq!(in_order(&[22.0, 128.0, 611.0], &[1.0, 3.0, 3.0]), Verdict::OrderBroken);
        assert_eq!(in_order(&[10.0, 0.94], &[6.0, 1.2]), Verdict::OrderHolds);
        assert_eq!(in_order(&[10.0, 0.94], &[1.2, 6.0]), Verdict::OrderBroken);
    }

    #[test]
    fn constants_of_every_kind_can_be_scaled() {
        let up = |text: &str| scaled(text, 120).map(|s| s.0);
        assert_eq!(up("300ms").as_deref(), Some("360ms"));
        assert_eq!(up("810us").as_deref(), Some("972us"));
        assert_eq!(up("400MB/s").as_deref(), Some("480MB/s"));
        assert_eq!(up("1MiB").as_deref(), Some("1258291B"));
        assert_eq!(up("5ms..20ms").as_deref(), Some("6ms..24ms"));
        assert_eq!(up("p0 10us, p100 1ms").as_deref(), Some("p0 12us, p100 1200us"));
        assert_eq!(scaled("8", 80), Some(("6".to_string(), 0.75)));
        assert_eq!(scaled("own", 120), None);
        assert_eq!(scaled("0ns", 120), None);
        assert_eq!(scaled("1", 120), None);
    }

    #[test]
    fn elasticity_is_the_exponent() {
        let square = elasticity((0.64, 1.44), (0.8, 1.2)).unwrap();
        assert!((square - 2.0).abs() < 1e-9, "{square}");
        assert_eq!(elasticity((3.0, 3.0), (0.8, 1.2)), Some(0.0));
        assert_eq!(elasticity((0.0, 3.0), (0.8, 1.2)), None);
        assert_eq!(elasticity((1.0, 3.0), (1.0, 1.0)), None);
    }

    proptest! {
        /// Whatever the seeds measured: their own median is inside unless they spread too far, and a wider
        /// document never turns inside into outside.
        #[test]
        fn acceptance_is_monotone(
            values in prop::collection::vec(1u32..1_000, 1..60),
            (low, width, more) in (0u32..1_200, 0u32..300, 0u32..300),
        ) {
            let spread = Spread::of(values.iter().map(|v| f64::from(*v)).collect()).unwrap();
            prop_assert!(spread.p5 <= spread.p50 && spread.p50 <= spread.p95);
            let at_median = meets((spread.p50, spread.p50), &spread);
            prop_assert_eq!(at_median == Verdict::Inside, spread.is_narrow());
            let (low, high) = (f64::from(low), f64::from(low + width));
            let narrow = meets((low, high), &spread);
            let wide = meets((low - f64::from(more), high + f64::from(more)), &spread);
            prop_assert!(narrow == Verdict::Outside || wide == Verdict::Inside);
        }

        /// An order does not depend on the unit that it is measured in, and its reverse breaks it.
        #[test]
        fn an_order_is_about_order(medians in prop::collection::vec(1u32..1_000, 2..6)) {
            let document: Vec<f64> = (1..=medians.len()).map(|i| i as f64).collect();
            let of = |scale: f64| -> Vec<f64> {
                medians.iter().map(|m| f64::from(*m) * scale).collect()
            };
            let verdict = in_order(&document, &of(1.0));
            prop_assert_eq!(verdict, in_order(&document, &of(1e-3)));
            let rises = medians.windows(2).all(|pair| pair[0] < pair[1]);
            prop_assert_eq!(verdict == Verdict::OrderHolds, rises);
            let reversed: Vec<f64> = of(1.0).into_iter().rev().collect();
            prop_assert!(!rises || in_order(&document, &reversed) == Verdict::OrderBroken);
        }
    }
}
