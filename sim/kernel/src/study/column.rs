//! What a study measures in a run: a measure, as it is or for each hour or second of the load's virtual
//! time. A column has a name of its own, so that one measure may stand in a study twice.
//!
//! Numbers are shown with three significant digits: more would be read as more than seeds can tell. Left
//! out: arithmetic between measures; what is worth printing is worth a measure of its own.

use crate::Time;
use crate::check::Unit;

/// A second in nanoseconds.
const SECOND: f64 = 1e9;

/// Time that a count is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// An hour of virtual load.
    Hour,
    /// A second of virtual load.
    Second,
}

/// A column of a study's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// As printed.
    pub name: String,
    /// The measure's word.
    pub word: String,
    /// What it is divided by.
    pub per: Option<Per>,
}

/// What a run measured: in the unit's smallest part, as [`crate::check::Measure`] has it.
pub type Datum = (u64, Unit);

impl Column {
    /// `WORD`, `WORD / hour` or `WORD / second`.
    pub fn parse(name: &str, text: &str) -> Result<Column, String> {
        let (word, per) = match text.split_once('/') {
            None => (text.trim(), None),
            Some((word, per)) => match per.trim() {
                "hour" => (word.trim(), Some(Per::Hour)),
                "second" => (word.trim(), Some(Per::Second)),
                other => return Err(format!("`/ {other}` is neither `/ hour` nor `/ second`")),
            },
        };
        Ok(Column { name: name.to_string(), word: word.to_string(), per })
    }

    /// The run's number in the column's unit; `None` where there was no load to divide by.
    pub fn number(&self, (value, unit): Datum, load: Time) -> Option<f64> {
        let number = crate::check::Measure { name: "", value, unit }.number();
        match self.per {
            None => Some(number),
            Some(_) if load == 0 => None,
            Some(Per::Second) => Some(number * SECOND / load as f64),
            Some(Per::Hour) => Some(number * (3_600.0 * SECOND) / load as f64),
        }
    }

    /// The column's unit, as JSON names it.
    pub fn unit(&self, unit: Unit) -> String {
        let per = match self.per {
            None => return unit.word().to_string(),
            Some(Per::Hour) => "h",
            Some(Per::Second) => "s",
        };
        let word = if unit == Unit::Count { "1" } else { unit.word() };
        format!("{word}/{per}")
    }

    /// Its name in a sentence.
    pub fn spoken(&self) -> String {
        self.name.replace('_', " ")
    }
}

/// A number with three significant digits, without a unit; nothing that is rounded away has a sign.
pub fn figure(value: f64) -> String {
    let size = value.abs();
    match size {
        0.0 => "0".to_string(),
        _ if size < 0.0005 => "0.000".to_string(),
        _ if size >= 99.95 => format!("{value:.0}"),
        _ if size >= 9.995 => format!("{value:.1}"),
        _ if size >= 0.9995 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// The unit in which numbers of a JSON unit are shown, and what they are divided by.
pub fn shown_in(unit: &str, greatest: f64) -> (String, f64) {
    if unit.starts_with("ms/") && greatest >= 1e3 {
        return (unit.replacen("ms", "s", 1), 1e3);
    }
    let Some(rest) = unit.strip_prefix("bytes") else {
        let plain = ["count", "ratio"].contains(&unit);
        return (if plain { String::new() } else { unit.replace("1/", "/") }, 1.0);
    };
    let scales = [("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];
    let (word, scale) = scales.into_iter().find(|s| greatest >= s.1).unwrap_or(("B", 1.0));
    (format!("{word}{rest}"), scale)
}
