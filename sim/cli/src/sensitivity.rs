//! How each row of a document rests on each constant that was fitted or is charged: the constant is set to
//! 20 % less and to 20 % more, everything else and the seeds stay, and the elasticity of a row is the percent
//! by which its median moves for one percent of the constant. Draws are keyed, so both runs meet the same
//! weather and the same load; the first four seeds do.
//!
//! A dot is a row that did not move; a dash one without a number: an input, or a measure that is 0 or missing.
//! Of an order it is the ratio of its last median to its first that moves.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use kernel::claims::accept::{elasticity, scaled};
use kernel::claims::audit::uncertain;
use kernel::scenario::Scenario;
use serde_json::{Value, json};

use crate::gather::{Order, gather};
use crate::interrupt::Interrupt;
use crate::scoreboard::{Batch, Judged};
use crate::session::{Failure, Session};
use crate::table::{row, table};
use crate::terminal::err;

/// Seeds of each perturbed run, at most.
const SEEDS: u64 = 4;
/// Percent of a constant in its two runs.
const STEPS: [u64; 2] = [80, 120];
/// What would be told as 0.00 is no movement.
const STILL: f64 = 0.005;

/// A profile's constant: the profile's word and the constant's name.
type Constant = (String, String);

/// Elasticities by constant, then by row.
pub struct Sensitivity {
    seeds: Range<u64>,
    constants: Vec<Constant>,
    cells: BTreeMap<(Constant, String), f64>,
}

/// A scenario with one constant changed.
struct Step {
    constant: Constant,
    asked: String,
    /// 0: less, 1: more.
    side: usize,
    factor: f64,
}

/// Runs every scenario of the batch under changed constants; `None` if a signal came.
pub fn sensitivity(
    session: &Session,
    scenarios: &BTreeMap<String, (String, Arc<Scenario>)>,
    (batch, rows, seeds): (&Batch, &[Judged], &Range<u64>),
    (jobs, interrupt): (usize, &Interrupt),
) -> Result<Option<Sensitivity>, Failure> {
    let seeds = seeds.start..seeds.end.min(seeds.start.saturating_add(SEEDS));
    let (mut steps, mut orders, mut constants) = (Vec::new(), Vec::new(), Vec::new());
    for (name, (asked, scenario)) in scenarios {
        let charged = batch.get(name).map(|runs| runs.charged()).unwrap_or_default();
        for constant in uncertain(scenario, &charged) {
            let known = (scenario.head.profile.0.clone(), constant.name.clone());
            for (side, percent) in STEPS.into_iter().enumerate() {
                let Some((value, factor)) = scaled(&constant.value, percent) else { continue };
                let key = format!("profile.{}.value", constant.name);
                match Order::new(session, asked, vec![(key, value)], seeds.clone()) {
                    Ok(order) => {
                        orders.push(order);
                        steps.push(Step {
                            constant: known.clone(),
                            asked: name.clone(),
                            side,
                            factor,
                        });
                    }
                    Err(failure) => err(&format!("not perturbed: {}\n", failure.text)),
                }
            }
            if !constants.contains(&known) {
                constants.push(known);
            }
        }
    }
    let Some(runs) = gather(session, "sensitivity", &orders, jobs, interrupt)? else {
        return Ok(None);
    };
    constants.sort();
    let mut changed: BTreeMap<(Constant, usize), (Batch, f64)> = BTreeMap::new();
    for (step, runs) in steps.into_iter().zip(runs) {
        let slot = changed.entry((step.constant, step.side)).or_default();
        slot.0.insert(step.asked, Arc::new(runs));
        slot.1 = step.factor;
    }
    // Scenarios that do not use a constant are as they were.
    for (name, runs) in batch {
        for (changed, _) in changed.values_mut() {
            changed.entry(name.clone()).or_insert_with(|| runs.clone());
        }
    }
    let mut cells = BTreeMap::new();
    for constant in &constants {
        for judged in rows {
            let side = |side: usize| -> Option<(f64, f64)> {
                let (batch, factor) = changed.get(&(constant.clone(), side))?;
                let seen = Judged::new(&judged.scenario, &judged.row, batch, &seeds).ok()?;
                Some((seen.number()?, *factor))
            };
            if let (Some(less), Some(more)) = (side(0), side(1))
                && let Some(e) = elasticity((less.0, more.0), (less.1, more.1))
            {
                cells.insert((constant.clone(), judged.row.name()), e);
            }
        }
    }
    Ok(Some(Sensitivity { seeds, constants, cells }))
}

impl Sensitivity {
    /// For people: a legend of constants, and a table of rows and constants.
    pub fn lines(&self, rows: &[Judged]) -> String {
        let Range { start, end } = self.seeds;
        let mut text = format!(
            "\nElasticity: percent of the median for one percent of the constant (from -20 % to +20 %, seeds \
             {start}..{end})\n"
        );
        let legend = |(i, (profile, name)): (usize, &Constant)| {
            row([&format!("c{}", i + 1), name, &format!("of {profile}")])
        };
        text.push_str(&table(self.constants.iter().enumerate().map(legend).collect(), 2, None));
        let heads = (1..=self.constants.len()).map(|i| format!("c{i}"));
        let mut cells = vec![std::iter::once("row".to_string()).chain(heads).collect::<Vec<_>>()];
        for judged in rows {
            let cell = |c: &Constant| match self.cells.get(&(c.clone(), judged.row.name())) {
                None => "-".to_string(),
                Some(e) if e.abs() < STILL => ".".to_string(),
                Some(e) => format!("{e:+.2}"),
            };
            let line = std::iter::once(judged.row.row.clone());
            cells.push(line.chain(self.constants.iter().map(cell)).collect());
        }
        text.push_str(&format!("\n{}", table(cells, 2, Some(1))));
        text
    }

    /// For machines: `{seeds, cells: [{document, row, profile, constant, elasticity}]}`.
    pub fn json(&self, rows: &[Judged]) -> Value {
        let mut cells = Vec::new();
        for judged in rows {
            for (profile, constant) in &self.constants {
                let key = ((profile.clone(), constant.clone()), judged.row.name());
                cells.push(json!({
                    "document": judged.row.document,
                    "row": judged.row.row,
                    "profile": profile,
                    "constant": constant,
                    "elasticity": self.cells.get(&key),
                }));
            }
        }
        let Range { start, end } = self.seeds;
        json!({"seeds": format!("{start}..{end}"), "cells": cells})
    }
}
