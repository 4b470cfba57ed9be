//! Settings that explain and check themselves. A node's configuration, a workload's and a fault's
//! parameters, a profile: each is one `settings!` struct, whose fields carry kind, default, allowed values
//! and a sentence. From that one list come parsing, `explain`, `show` and the errors that name the nearest
//! key. Values arrive as text with units; ranges include both ends.

use std::time::Duration;

use crate::unit::{self, Quantiles, Rate, Ratio, Size, Span};

/// One setting as `explain` prints it.
#[derive(Clone, Debug)]
pub struct Field {
    /// The key.
    pub name: &'static str,
    /// What it means.
    pub about: &'static str,
    /// What kind of value it takes.
    pub kind: &'static str,
    /// The value it has if nobody says otherwise; empty if it must be given.
    pub default: &'static str,
    /// Allowed values: `low..high` or `a|b`; empty if the kind says it all.
    pub allowed: &'static str,
}

/// A struct made by `settings!`.
pub trait Settings: Default + Clone + Send + Sync + 'static {
    /// All fields in order.
    fn fields() -> Vec<Field>;
    /// Sets one field from text; the error says what is wrong with the value.
    ///
    /// # Panics
    /// If there is no such field; look the key up in `fields` first.
    fn set(&mut self, name: &str, text: &str) -> Result<(), String>;
    /// The field's value as text that `set` takes.
    fn get(&self, name: &str) -> Option<String>;
}

/// A kind of value.
pub trait Setting: Sized {
    /// Its name for people.
    const KIND: &'static str;
    /// Parses and checks against `allowed`.
    fn parse(text: &str, allowed: &'static str) -> Result<Self, String>;
    /// Text that `parse` takes.
    fn show(&self) -> String;
}

/// One of a few words; which, the field's `allowed` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Word(pub &'static str);

/// Free text.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Text(pub String);

fn within<T: PartialOrd + Copy>(
    value: T,
    text: &str,
    allowed: &'static str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<T, String> {
    if let Some((low, high)) = allowed.split_once("..") {
        let bounds = (parse(low).expect("a lower bound"), parse(high).expect("an upper bound"));
        if value < bounds.0 || value > bounds.1 {
            return Err(format!("`{}` is out of range; allowed: {low} to {high}", text.trim()));
        }
    }
    Ok(value)
}

fn count(text: &str) -> Result<u64, String> {
    let clean: String = text.trim().chars().filter(|c| *c != '_').collect();
    clean.parse().map_err(|_| format!("`{}` is not a whole number", text.trim()))
}

impl Setting for Duration {
    const KIND: &'static str = "duration";
    fn parse(text: &str, allowed: &'static str) -> Result<Self, String> {
        within(unit::parse_duration(text)?, text, allowed, unit::parse_duration)
    }
    fn show(&self) -> String {
        unit::show(*self)
    }
}

impl Setting for Span {
    const KIND: &'static str = "duration range";
    fn parse(text: &str, allowed: &'static str) -> Result<Self, String> {
        let span = unit::parse_span(text)?;
        within(span.min, text, allowed, unit::parse_duration)?;
        within(span.max, text, allowed, unit::parse_duration)?;
        Ok(span)
    }
    fn show(&self) -> String {
        unit::show_span(*self)
    }
}

impl Setting for Size {
    const KIND: &'static str = "size";
    fn parse(text: &str, allowed: &'static str) -> Result<Self, String> {
        within(unit::parse_size(text)?, text, allowed, unit::parse_size)
    }
    fn show(&self) -> String {
        unit::show_size(*self)
    }
}

impl Setting for Rate {
    const KIND: &'static str = "rate";
    fn parse(text: &str, allowed: &'static str) -> Result<Self, String> {
        within(unit::parse_rate(text)?, text, allowed, unit::parse_rate)
    }
    fn show(&self) -> String {
        unit::show_rate(*self)
    }
}

impl Setting for Ratio {
    const KIND: &'static str = "share";
    fn parse(text: &str, allowed: &'static str) -> Result<Self, String> {
        within(unit::parse_ratio(text)?, text, allowed, unit::parse_ratio)
    }
    fn show(&self) -> String {
        unit::show_ratio(*self)
    }
}

impl Setting for u64 {
    const KIND: &'static str = "count";
    fn parse(text: &str, allowed: &'static str) -> Result<Self, String> {
        within(count(text)?, text, allowed, count)
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for Quantiles {
    const KIND: &'static str = "quantiles";
    fn parse(text: &str, _: &'static str) -> Result<Self, String> {
        unit::parse_quantiles(text)
    }
    fn show(&self) -> String {
        unit::show_quantiles(self)
    }
}

impl Setting for Word {
    const KIND: &'static str = "word";
    fn parse(text: &str, allowed: &'static str) -> Result<Self, String> {
        let text = text.trim();
        if let Some(word) = allowed.split('|').find(|w| *w == text) {
            return Ok(Word(word));
        }
        let hint = nearest(text, allowed.split('|')).map(|w| format!("; did you mean `{w}`?"));
        Err(format!(
            "`{text}` is not one of {}{}",
            allowed.replace('|', ", "),
            hint.unwrap_or_default()
        ))
    }
    fn show(&self) -> String {
        self.0.to_string()
    }
}

impl Setting for Text {
    const KIND: &'static str = "text";
    fn parse(text: &str, _: &'static str) -> Result<Self, String> {
        Ok(Text(text.to_string()))
    }
    fn show(&self) -> String {
        self.0.clone()
    }
}

/// The candidate that is closest to `word`, if any is close enough to be meant.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = candidates.into_iter().map(|c| (distance(word, c), c));
    let (d, best) = scored.min_by_key(|(d, c)| (*d, c.len()))?;
    (d <= 1 + word.chars().count().max(best.chars().count()) / 3).then_some(best)
}

/// Edit distance with transpositions counted as one.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let swap = usize::from(a[i - 1] != b[j - 1]);
            let mut best =
                (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + swap);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

/// Declares a settings struct: each field has a sentence, a kind, a default and the allowed values.
///
/// ```
/// host::settings! {
///     /// How the node elects.
///     pub struct Config {
///         /// Time between two heartbeats.
///         heartbeat: std::time::Duration = "75ms", "1ms..1h";
///     }
/// }
/// ```
#[macro_export]
macro_rules! settings {
    (
        $(#[doc = $about:literal])*
        pub struct $name:ident {
            $(
                $(#[doc = $doc:literal])+
                $field:ident : $kind:ty = $default:literal $(, $allowed:literal)? ;
            )*
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug)]
        pub struct $name {
            $( $(#[doc = $doc])+ pub $field: $kind, )*
        }

        impl ::std::default::Default for $name {
            fn default() -> Self {
                $name {
                    $( $field: <$kind as $crate::settings::Setting>::parse(
                        $default, concat!("" $(, $allowed)?)
                    ).expect(concat!("default of ", stringify!($field))), )*
                }
            }
        }

        impl $crate::settings::Settings for $name {
            fn fields() -> ::std::vec::Vec<$crate::settings::Field> {
                ::std::vec![
                    $( $crate::settings::Field {
                        name: stringify!($field),
                        about: concat!($($doc),+).trim_ascii_start(),
                        kind: <$kind as $crate::settings::Setting>::KIND,
                        default: $default,
                        allowed: concat!("" $(, $allowed)?),
                    }, )*
                ]
            }

            fn set(&mut self, name: &str, text: &str) -> ::std::result::Result<(), String> {
                match name {
                    $( stringify!($field) => {
                        self.$field = <$kind as $crate::settings::Setting>::parse(
                            text, concat!("" $(, $allowed)?)
                        )?;
                        Ok(())
                    } )*
                    other => panic!("no field {other}: {text}"),
                }
            }

            fn get(&self, name: &str) -> ::std::option::Option<String> {
                match name {
                    $( stringify!($field) => {
                        Some($crate::settings::Setting::show(&self.$field))
                    } )*
                    _ => None,
                }
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    settings! {
        /// For the tests.
        pub struct Sample {
            /// Time between
            /// two heartbeats.
            heartbeat: Duration = "75ms", "1ms..1h";
            /// Who.
            thread: Word = "raft", "raft|wal|apply";
            /// How many.
            hosts: u64 = "5", "1..64";
        }
    }

    #[test]
    fn a_setting_knows_its_range_and_words() {
        let mut s = Sample::default();
        s.set("heartbeat", "80ms").unwrap();
        assert_eq!(s.get("heartbeat").unwrap(), "80ms");
        let message = s.set("hosts", "5000000000").unwrap_err();
        assert!(message.contains("allowed: 1 to 64"), "{message}");
        let message = s.set("thread", "raf").unwrap_err();
        assert!(message.contains("did you mean `raft`"), "{message}");
        assert_eq!(Sample::fields()[0].about, "Time between two heartbeats.");
    }

    #[test]
    fn the_nearest_key_is_found_and_nonsense_is_not() {
        assert_eq!(nearest("heartbaet", ["hosts", "heartbeat"]), Some("heartbeat"));
        assert_eq!(nearest("zzzzzzzz", ["hosts", "heartbeat"]), None);
    }
}
