//! Rows of documents as judged against what scenarios came to, and how they are told: a table, one JSON
//! object, and the closing line that says how many of them were predicted and how many of those are inside.
//! Figures are told as the document prints its own, one place more.
//!
//! In JSON `{rows: [{document, row, claim, document_value, simulated, p5, p95, unit, provenance, role,
//! constants, verdict, note}]}`. `simulated` is the median over the seeds in the measure's unit (ms, bytes,
//! 1/s, ratio, count); of an order a list of medians; of an input the value in force, as text; null where
//! some seed has no such measure. `constants` are those of the profile on which the row rests.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use kernel::claims::accept::{Spread, Verdict, in_order, judged};
use kernel::claims::audit::{Siblings, rests_on};
use kernel::claims::figure::{Figure, Printed};
use kernel::claims::{Role, Row, Simulated};
use kernel::scenario::Scenario;
use serde_json::{Value, json};

use crate::gather::{Measured, Runs};
use crate::session::Failure;
use crate::table::{row, short, table, wrapped};
use crate::terminal::{Paint, grouped};

/// Runs by scenario.
pub type Batch = BTreeMap<String, Arc<Runs>>;

/// What stands against a document's figure.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// A measure over the seeds, and its unit.
    Spread(Spread, String),
    /// Medians of several, and their unit.
    Medians(Vec<f64>, String),
    /// A value in force.
    Setting(String),
    /// Only so many of so many seeds have the measure.
    Missing(usize, usize),
}

/// A row and what became of it.
pub struct Judged {
    /// The scenario that claims it.
    pub scenario: Arc<Scenario>,
    /// The row.
    pub row: Row,
    /// Ours.
    pub seen: Seen,
    /// The verdict.
    pub verdict: Verdict,
    /// The constants on which it rests, in their order.
    pub constants: Vec<String>,
}

impl Judged {
    /// Judges a row by the runs of its scenario, and of those that it names.
    pub fn new(
        scenario: &Arc<Scenario>,
        row: &Row,
        batch: &Batch,
        seeds: &Range<u64>,
    ) -> Result<Judged, Failure> {
        let (seen, verdict) = judge(scenario, row, batch, seeds)?;
        let charged = batch.get(&scenario.name).map(|runs| runs.charged()).unwrap_or_default();
        let constants = rests_on(scenario, row, &charged).into_iter().map(|c| c.name.clone());
        let (scenario, row, constants) = (scenario.clone(), row.clone(), constants.collect());
        Ok(Judged { scenario, row, seen, verdict, constants })
    }

    /// What was simulated, as the document prints its own; and the interval of the seeds.
    pub fn shown(&self) -> (String, String) {
        match (&self.seen, &self.row.simulated) {
            (Seen::Spread(spread, _), Simulated::Measure(_, printed)) => {
                let show = |value| printed.model().show(value);
                (show(spread.p50), format!("{}..{}", show(spread.p5), show(spread.p95)))
            }
            (Seen::Medians(medians, _), Simulated::Order(_, Printed::Order(figures))) => {
                let show = |(f, m): (&Figure, &f64)| f.show(*m);
                let all: Vec<String> = figures.iter().zip(medians).map(show).collect();
                (all.join(" -> "), "-".to_string())
            }
            (Seen::Setting(value), _) => (value.clone(), "-".to_string()),
            (Seen::Missing(some, all), _) => (format!("in {some} of {all} seeds"), "-".to_string()),
            _ => ("-".to_string(), "-".to_string()),
        }
    }

    /// One number that stands for the row: the median, or of an order the last median over the first.
    pub fn number(&self) -> Option<f64> {
        match &self.seen {
            Seen::Spread(spread, _) => Some(spread.p50),
            Seen::Medians(medians, _) => Some(medians.last()? / medians.first()?),
            _ => None,
        }
    }

    fn json(&self) -> Value {
        let (simulated, p5, p95, unit) = match &self.seen {
            Seen::Spread(s, unit) => (json!(s.p50), json!(s.p5), json!(s.p95), unit.as_str()),
            Seen::Medians(medians, unit) => {
                (json!(medians), Value::Null, Value::Null, unit.as_str())
            }
            Seen::Setting(value) => (json!(value), Value::Null, Value::Null, ""),
            Seen::Missing(..) => (Value::Null, Value::Null, Value::Null, ""),
        };
        json!({
            "document": self.row.document,
            "row": self.row.row,
            "claim": self.row.claim,
            "document_value": self.row.value,
            "simulated": simulated,
            "p5": p5,
            "p95": p95,
            "unit": unit,
            "provenance": self.row.provenance.word(),
            "role": self.row.role.word(),
            "constants": self.constants,
            "verdict": self.verdict.word(),
            "note": self.row.note,
        })
    }
}

fn judge(
    scenario: &Scenario,
    row: &Row,
    batch: &Batch,
    seeds: &Range<u64>,
) -> Result<(Seen, Verdict), Failure> {
    let measured = |of: &str, name: &str, figure: &Figure| {
        let runs = batch.get(of).cloned().unwrap_or_default();
        let measured = runs.measure(name, seeds);
        if let Measured::All(_, unit) = &measured
            && !figure.dimension.fits(unit)
        {
            let (place, value) = (&row.place, &row.value);
            let text =
                format!("{place}: claim.value: `{value}` is not in the unit of `{name}`: {unit}");
            return Err(Failure::data(text));
        }
        Ok(measured)
    };
    match &row.simulated {
        Simulated::Setting(key) => {
            let value = scenario.effective.iter().find(|e| e.key == *key).map(|e| e.value.clone());
            Ok((Seen::Setting(value.unwrap_or_default()), Verdict::Nothing))
        }
        Simulated::Measure(name, printed) => {
            match measured(&scenario.name, name, printed.model())? {
                Measured::Some(some, all) => Ok((Seen::Missing(some, all), Verdict::Nothing)),
                Measured::All(spread, unit) => {
                    Ok((Seen::Spread(spread, unit), judged(printed, &spread)))
                }
            }
        }
        Simulated::Order(of, printed) => {
            let (mut medians, mut in_unit) = (Vec::new(), String::new());
            for (other, name) in of {
                let other = other.as_deref().unwrap_or(&scenario.name);
                match measured(other, name, printed.model())? {
                    Measured::Some(some, all) => {
                        return Ok((Seen::Missing(some, all), Verdict::Nothing));
                    }
                    Measured::All(spread, unit) => {
                        medians.push(spread.p50);
                        in_unit = unit;
                    }
                }
            }
            let Printed::Order(figures) = printed else { unreachable!("read as an order") };
            let document: Vec<f64> = figures.iter().map(Figure::value).collect();
            let verdict = in_order(&document, &medians);
            Ok((Seen::Medians(medians, in_unit), verdict))
        }
    }
}

/// The object for machines.
pub fn json(rows: &[Judged]) -> Value {
    json!({"rows": rows.iter().map(Judged::json).collect::<Vec<_>>()})
}

/// The table of a document's rows.
pub fn lines(rows: &[&Judged], paint: Paint) -> String {
    let mut cells = vec![row(["row", "document", "simulated", "p5..p95", "role", "verdict"])];
    for judged in rows {
        let (simulated, interval) = judged.shown();
        let word = judged.verdict.word();
        let verdict = match (judged.row.role, judged.verdict) {
            (_, Verdict::Nothing) => word.to_string(),
            (_, good) if good.is_good() => paint.good(word),
            (Role::Contradicted, _) => paint.warn(word),
            _ => paint.bad(word),
        };
        let Row { row: name, value, role, .. } = &judged.row;
        cells.push(row([name, value, &short(&simulated, 44), &interval, role.word(), &verdict]));
    }
    table(cells, 2, None)
}

/// What rows say besides their figures.
pub fn notes(rows: &[&Judged]) -> String {
    let mut text = String::new();
    for judged in rows.iter().filter(|j| !j.row.note.is_empty()) {
        text.push_str(&format!("  {}\n{}", judged.row.row, wrapped(&judged.row.note, 4, 108)));
    }
    text
}

/// The line that sums up, and what it leaves out.
pub fn closing(rows: &[&Judged]) -> String {
    let of = |role: Role| rows.iter().filter(move |j| j.row.role == role);
    let good = |role: Role| of(role).filter(|j| j.verdict.is_good()).count();
    // A constant of one profile is not that of another, whatever they are called.
    let mut fitted = BTreeSet::new();
    for judged in of(Role::Fitted) {
        fitted.extend(judged.constants.iter().map(|c| (&judged.scenario.head.profile.0, c)));
    }
    let orders = of(Role::Predicted).filter(|j| j.verdict == Verdict::OrderHolds).count();
    let mut text = format!(
        "{} rows, {} constants fitted on {} rows, {} predicted, {} inside ({orders} of them orders that \
         hold)\n",
        rows.len(),
        fitted.len(),
        of(Role::Fitted).count(),
        of(Role::Predicted).count(),
        good(Role::Predicted)
    );
    let others = [Role::Fitted, Role::Charged, Role::Contradicted];
    let mut parts: Vec<String> = Vec::new();
    for role in others.into_iter().filter(|role| of(*role).count() > 0) {
        parts.push(format!("{} {} ({} inside)", of(role).count(), role.word(), good(role)));
    }
    match of(Role::Input).count() {
        0 => {}
        inputs => parts.push(format!("{inputs} input")),
    }
    if !parts.is_empty() {
        text.push_str(&format!("not counted as predictions: {}\n", parts.join(", ")));
    }
    text
}

/// Siblings and where they differ: as cells of name, name, key, value, value.
pub fn siblings(pairs: &[Siblings<'_>]) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for pair in pairs {
        for difference in &pair.differences {
            let value = |v: &Option<String>| short(v.as_deref().unwrap_or("-"), 40);
            let change = format!("{} -> {}", value(&difference.here), value(&difference.there));
            rows.push(row([&pair.ill.name, &pair.other.name, &difference.key, &change]));
        }
        if pair.differences.is_empty() {
            rows.push(row([&pair.ill.name, &pair.other.name, "-", "nothing differs"]));
        }
    }
    rows
}

/// Scenarios with their seeds and how their runs ended.
pub fn runs(batch: &Batch) -> Vec<Vec<String>> {
    let line = |(name, runs): (&String, &Arc<Runs>)| {
        let seeds = match (runs.lines.keys().next(), runs.lines.keys().last()) {
            (Some(first), Some(last)) => format!("seeds {first}..{}", last + 1),
            _ => "no seed".to_string(),
        };
        let failed = match runs.tally.failed {
            0 => "no check failed".to_string(),
            failed => format!("{} failed", grouped(failed)),
        };
        let (shown, seeds_run) = (runs.tally.shown, runs.tally.seeds);
        let failed = match shown {
            0 => failed,
            shown if shown == seeds_run => failed,
            shown => format!("{failed}; shown by {shown} of {seeds_run} seeds"),
        };
        row([name, &seeds, &failed])
    };
    batch.iter().map(line).collect()
}
