//! Parameters of a `[[fault]]` before they are drawn: `a|b` is a choice, `low..high` a range of durations,
//! shares, sizes or counts with both ends in it. A fault itself takes single values only, so that a fired
//! line of an artifact says exactly what was done and nothing is drawn again.
//!
//! Left out: ranges of rates, and of anything that has no order.

use std::time::Duration;

use host::Rng;
use host::settings::nearest;
use host::unit::{Ratio, Size, nanos, parse_duration, parse_ratio, parse_size, show};
use host::unit::{show_ratio, show_size};

use crate::registry::{Params, Word};

type Read = fn(&str) -> Option<u64>;
type Show = fn(u64) -> String;

/// What a range may be of: how it is read and written.
const KINDS: [(Read, Show); 4] = [
    (|t| parse_duration(t).ok().map(nanos), |n| show(Duration::from_nanos(n))),
    (|t| t.contains('%').then(|| parse_ratio(t).ok())?.map(|r| u64::from(r.0)), show_share),
    (|t| parse_size(t).ok().map(|s| s.0), |n| show_size(Size(n))),
    (|t| t.trim().parse().ok(), |n| n.to_string()),
];

fn show_share(ppm: u64) -> String {
    show_ratio(Ratio(u32::try_from(ppm).unwrap_or(u32::MAX)))
}

/// The ends of a range, and how what lies between them is written.
fn ends(text: &str) -> Option<(u64, u64, Show)> {
    let (low, high) = text.split_once("..")?;
    KINDS.iter().find_map(|(read, show)| Some((read(low)?, read(high)?, *show)))
}

/// Whether every choice, and both ends of every range, is a value that the word takes.
pub(super) fn check<T>(word: &Word<T>, name: &str, text: &str) -> Result<(), String> {
    let takes = |value: &str| {
        let one = Params::from([(name.to_string(), value.trim().to_string())]);
        word.make(&one).map(drop).map_err(|(_, why)| why)
    };
    text.split('|').map(str::trim).try_for_each(|choice| match choice.split_once("..") {
        None => takes(choice),
        Some((low, high)) => {
            takes(low)?;
            takes(high)?;
            match ends(choice) {
                None => Err(format!("`{choice}` is no range that can be drawn from")),
                Some((low, high, _)) if low > high => Err(format!("`{choice}` runs backwards")),
                Some(_) => Ok(()),
            }
        }
    })
}

/// Draws one of the choices, and a value of it if it is a range.
pub(super) fn draw(rng: &mut Rng, text: &str) -> String {
    let choices: Vec<&str> = text.split('|').map(str::trim).collect();
    let choice = choices[rng.below(choices.len() as u64) as usize];
    match ends(choice) {
        Some((low, high, show)) => show(rng.between(low, high)),
        None => choice.to_string(),
    }
}

/// Simpler values than a number: a quarter, a half, and one with a single digit. None for what is no number.
/// A quantity without a unit is a count, and stays what it is where it is 1 or less.
pub fn simpler(text: &str) -> Vec<String> {
    let Some((value, show)) = KINDS.iter().find_map(|(read, show)| Some((read(text)?, *show)))
    else {
        return Vec::new();
    };
    let digit = 10u64.pow(value.checked_ilog10().unwrap_or(0));
    let mut values = vec![value / 4, value / 2, value / digit * digit];
    values.retain(|v| *v > 0 && *v < value);
    values.dedup();
    values.into_iter().map(show).collect()
}

/// `; did you mean ...?`, if a word is near enough to be meant.
pub(super) fn hint<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, words).map_or(String::new(), |w| format!("; did you mean `{w}`?"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::registry::workload;

    host::settings! {
        /// One of each kind.
        pub struct All {
            /// A duration.
            time: Duration = "1ms", "1ms..1s";
            /// A share.
            share: Ratio = "1%";
            /// A size.
            size: Size = "1B";
            /// A count.
            count: u64 = "1", "1..9";
            /// A word.
            word: host::settings::Word = "a", "a|b";
            /// A rate.
            rate: host::unit::Rate = "1B/s";
        }
    }

    struct Nobody;

    impl crate::workload::Workload for Nobody {
        fn clients(&self) -> u64 {
            0
        }
        fn start(&self) -> std::sync::Arc<dyn crate::workload::Load> {
            unreachable!("never started")
        }
    }

    fn checked(name: &str, text: &str) -> Result<(), String> {
        check(&workload("w", "A word.", |_: All| Ok(Nobody)), name, text)
    }

    fn rng(key: u8) -> host::Rng {
        host::Rng::from_key([key; 32])
    }

    #[test]
    fn ranges_are_checked_at_both_ends() {
        assert_eq!(checked("time", "1ms..1s|3ms"), Ok(()));
        assert!(checked("time", "1ms..2s").is_err(), "out of range");
        assert!(checked("time", "1ms..2").is_err(), "no unit");
        assert!(checked("time", "3ms..2ms").unwrap_err().contains("backwards"));
        assert!(checked("rate", "1B/s..2B/s").unwrap_err().contains("no range"));
        assert_eq!(checked("share", "0.1%..0.4%"), Ok(()));
        assert_eq!(checked("size", "1B..1MiB"), Ok(()));
        assert_eq!(checked("count", "1..9"), Ok(()));
        assert!(checked("count", "1..10").is_err());
        assert_eq!(checked("word", "a|b"), Ok(()));
        assert!(checked("word", "a|c").is_err());
    }

    #[test]
    fn all_choices_are_drawn() {
        let drawn: BTreeSet<String> = (0..64).map(|n| draw(&mut rng(n), "a|b | 1..2")).collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), ["1", "2", "a", "b"]);
    }

    proptest! {
        #[test]
        fn what_is_drawn_lies_between_the_ends(key: u8, a in 0u64..1_000_000, b in 0u64..1_000_000) {
            let (low, high) = (a.min(b), a.max(b));
            for (read, show) in KINDS {
                let text = draw(&mut rng(key), &format!("{}..{}", show(low), show(high)));
                let value = read(&text).expect("a single value");
                prop_assert!(value >= low && value <= high, "{text}");
                prop_assert_eq!(show(value), text);
            }
        }
    }
}
