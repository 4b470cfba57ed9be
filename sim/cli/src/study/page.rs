//! What a study came to, for people, as JSON, as CSV and as a picture. Nothing here depends on wall clocks
//! or on how the runs were cut up, so all four are the same for the same program and seeds.
//!
//! People get means with their intervals; quantiles as well where the table stays readable, and always in
//! the other two. Numbers have three significant digits for people and all of them for machines.

use kernel::study::Study;
use kernel::study::advice::{Advice, Cell, Table};
use kernel::study::column::{figure, shown_in};
use kernel::study::design::spoken;
use kernel::study::statistics::{RESAMPLES, Summary};
use serde_json::{Map, Value, json};

use super::{Failed, Finished};
use crate::args::quoted;
use crate::heat::{Heat, Mark, Panel, Tile};
use crate::table::{table, wrapped};
use crate::terminal::Paint;

/// Quantiles are printed for people up to so many lines.
const QUANTILES_MAX: usize = 48;

/// A study's result, ready to be shown.
pub struct Page<'a> {
    study: &'a Study,
    finished: &'a Finished,
    table: &'a Table,
    front: Vec<bool>,
    broken: Vec<Vec<&'a str>>,
    advice: Vec<Advice>,
}

impl<'a> Page<'a> {
    /// Draws the conclusions.
    pub fn new(finished: &'a Finished) -> Page<'a> {
        let (study, table) = (&finished.asked.study, &finished.table);
        let cells = 0..table.cells.len();
        let texts = |i| table.broken(study, i).iter().map(|c| c.text.as_str()).collect();
        let (front, advice) = (table.front(study), table.advice(study));
        Page { study, finished, table, front, broken: cells.map(texts).collect(), advice }
    }

    /// For people.
    pub fn human(&self, paint: Paint) -> String {
        let seeds = &self.finished.seeds;
        let mut text = format!(
            "{}   {} cells, seeds {}..{}{}\n\n",
            paint.bold(&self.study.name),
            self.table.cells.len(),
            seeds.start,
            seeds.end,
            self.typed("   ")
        );
        text.push_str(&format!("  {}\n\n", self.study.title));
        text.push_str(&self.means());
        text.push_str(&self.failures());
        text.push_str(&self.legend());
        if self.table.cells.len() * self.study.columns.len() <= QUANTILES_MAX {
            text.push_str(&format!("\n  quantiles, nearest rank\n{}", self.quantiles()));
        }
        for advice in &self.advice {
            let told = wrapped(&advice.text, 4, 100);
            text.push_str(&format!("\n  {}\n{told}", paint.bold("recommended")));
        }
        text
    }

    /// What was set on the command line, as it was typed, after `before`; nothing if nothing was.
    fn typed(&self, before: &str) -> String {
        let sets = set(&self.finished.asked.typed);
        if sets.is_empty() { sets } else { format!("{before}{sets}") }
    }

    /// The kinds of failed runs, each with how its first is run again.
    fn failures(&self) -> String {
        let line = |failed: &Failed| {
            let Finished { asked, program, .. } = self.finished;
            let ((cell, seed), scenario) = (failed.first, &self.study.scenario);
            let sets = set(&asked.sets_of(cell));
            let again = format!("{program} run {scenario} --seed {seed} {sets}");
            format!("  failed  {} {}: {}\n", failed.runs, failed.kind, again.trim_end())
        };
        let lines: String = self.finished.failures.iter().map(line).collect();
        if lines.is_empty() { lines } else { format!("\n{lines}") }
    }

    fn means(&self) -> String {
        let columns = 0..self.study.columns.len();
        let scales: Vec<(String, f64)> = columns.clone().map(|c| self.scale(c)).collect();
        let mut head = vec![String::new()];
        head.extend(self.study.params.iter().map(|p| p.name.clone()));
        head.extend(
            columns.clone().map(|c| format!("{} {}", self.study.columns[c].name, scales[c].0)),
        );
        head.push("runs_failed".to_string());
        let mut rows = vec![head.iter().map(|h| h.trim_end().to_string()).collect::<Vec<_>>()];
        for (i, cell) in self.table.cells.iter().enumerate() {
            let mut row = vec![self.marks(i)];
            row.extend(cell.params.iter().cloned());
            row.extend(columns.clone().map(|c| interval(cell, c, scales[c].1)));
            row.push(self.finished.failed[i].to_string());
            rows.push(row);
        }
        table(rows, 2, Some(1 + self.study.params.len()))
    }

    fn marks(&self, cell: usize) -> String {
        let best = self.advice.iter().any(|a| a.cell == Some(cell));
        let marks = [(best, '>'), (self.front[cell], '*'), (!self.broken[cell].is_empty(), 'x')];
        marks.iter().filter(|m| m.0).map(|m| m.1).collect()
    }

    fn legend(&self) -> String {
        let several = self.table.cells.iter().any(|c| seeds_of(c) > 1);
        let bootstrap = format!(
            "Means, and in brackets 95 % intervals of the mean by {RESAMPLES} bootstrap \
             resamples; differences between cells are paired by seed."
        );
        let told = if several {
            bootstrap.as_str()
        } else {
            "One seed: what it measured, without intervals."
        };
        let mut text = format!("\n{}", wrapped(told, 2, 100));
        let mut say = |there: bool, line: String| {
            if there {
                text.push_str(&format!("  {line}\n"));
            }
        };
        let columns: Vec<&str> =
            self.study.minimise.iter().map(|c| self.study.columns[*c].name.as_str()).collect();
        let bounds: Vec<&str> = self.study.constraints.iter().map(|c| c.text.as_str()).collect();
        say(!self.advice.is_empty(), "> recommended".to_string());
        say(!columns.is_empty(), format!("* on the Pareto front of {}", columns.join(", ")));
        say(!bounds.is_empty(), format!("x breaks a constraint: {}", bounds.join(", ")));
        text
    }

    fn quantiles(&self) -> String {
        let words = ["p10", "p50", "p90", "p99", "p999", "max"];
        let params = self.study.params.iter().map(|p| p.name.as_str());
        let head = params.chain(["column", "seeds"]).chain(words).map(str::to_string);
        let mut rows = vec![head.collect::<Vec<_>>()];
        for c in 0..self.study.columns.len() {
            let (unit, scale) = self.scale(c);
            for cell in &self.table.cells {
                let Some(s) = &cell.summaries[c] else { continue };
                let mut row = cell.params.clone();
                row.push(format!("{} {unit}", self.study.columns[c].name).trim_end().to_string());
                row.push(s.seeds.to_string());
                let numbers = [s.p10, s.p50, s.p90, s.p99, s.p999, s.max];
                row.extend(numbers.iter().map(|n| figure(n / scale)));
                rows.push(row);
            }
        }
        table(rows, 4, Some(self.study.params.len() + 1))
    }

    /// The unit in which a column is shown, and what its numbers are divided by.
    fn scale(&self, column: usize) -> (String, f64) {
        let greatest = self.table.cells.iter().filter_map(|c| c.mean(column)).fold(0.0, f64::max);
        shown_in(&self.table.unit(self.study, column), greatest)
    }

    /// For machines.
    pub fn json(&self) -> Value {
        let columns = self.study.columns.iter().enumerate();
        let units: Map<String, Value> =
            columns.map(|(i, c)| (c.name.clone(), json!(self.table.unit(self.study, i)))).collect();
        let recommended = |a: &Advice| {
            let group: Map<String, Value> =
                a.group.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
            json!({"group": group, "cell": a.cell, "text": a.text})
        };
        let seeds = &self.finished.seeds;
        let sets = self.finished.asked.typed.iter();
        let sets: Map<String, Value> = sets.map(|(k, v)| (k.clone(), json!(v))).collect();
        json!({
            "study": self.study.name,
            "scenario": self.study.scenario,
            "seeds": format!("{}..{}", seeds.start, seeds.end),
            "sets": sets,
            "units": units,
            "cells": self.table.cells.iter().map(|c| self.cell(c)).collect::<Vec<_>>(),
            "failed": self.finished.failed,
            "broken": self.broken,
            "front": self.front,
            "recommended": self.advice.iter().map(recommended).collect::<Vec<_>>(),
        })
    }

    fn cell(&self, cell: &Cell) -> Value {
        let params = self.study.params.iter().zip(&cell.params);
        let params: Map<String, Value> =
            params.map(|(p, value)| (p.name.clone(), json!(value))).collect();
        let mut measures = Map::new();
        for (column, summary) in self.study.columns.iter().zip(&cell.summaries) {
            let Some(s) = summary else { continue };
            measures.insert(
                column.name.clone(),
                json!({
                    "mean": s.mean, "p10": s.p10, "p50": s.p50, "p90": s.p90, "p99": s.p99,
                    "p999": s.p999, "max": s.max, "ci": s.ci,
                }),
            );
        }
        json!({"params": params, "seeds": seeds_of(cell), "measures": measures})
    }

    /// For a spreadsheet.
    pub fn csv(&self) -> String {
        let words = "seeds,measure,unit,mean,p10,p50,p90,p99,p999,max,ci_low,ci_high,\
                     failed,broken,front,recommended";
        let params = self.study.params.iter().map(|p| field(&p.name));
        let mut text = params.chain([words.to_string()]).collect::<Vec<_>>().join(",") + "\n";
        for (at, cell) in self.table.cells.iter().enumerate() {
            let best = self.advice.iter().any(|a| a.cell == Some(at));
            let judged = [
                self.finished.failed[at].to_string(),
                field(&self.broken[at].join("; ")),
                self.front[at].to_string(),
                best.to_string(),
            ];
            for (i, column) in self.study.columns.iter().enumerate() {
                let mut line: Vec<String> = cell.params.iter().map(|v| field(v)).collect();
                let unit = self.table.unit(self.study, i);
                let summary = cell.summaries[i].as_ref();
                let seeds = summary.map_or(0, |s| s.seeds);
                line.extend([seeds.to_string(), field(&column.name), unit]);
                line.extend(figures(summary));
                line.extend(judged.iter().cloned());
                text.push_str(&(line.join(",") + "\n"));
            }
        }
        text
    }

    /// The heat map, if the study has one.
    pub fn map(&self) -> Option<String> {
        let map = self.study.map.as_ref()?;
        let (unit, scale) = self.scale(map.column);
        let mut panels: Vec<Panel> = Vec::new();
        for (i, cell) in self.table.cells.iter().enumerate() {
            let rest = (0..self.study.params.len()).filter(|p| ![map.x, map.y].contains(p));
            let title = rest.map(|p| {
                let name = self.study.params[p].name.replace('_', " ");
                format!("{name} {}", spoken(&cell.params[p]))
            });
            let title = title.collect::<Vec<_>>().join(", ");
            let (x, y) = (spoken(&cell.params[map.x]), spoken(&cell.params[map.y]));
            let summary = cell.summaries[map.column].as_ref();
            let best = self.advice.iter().any(|a| a.cell == Some(i));
            let tile = Tile {
                value: summary.map(|s| (s.mean / scale * 1_000.0).round() as i64),
                text: summary.map_or("-".to_string(), |s| figure(s.mean / scale)),
                note: summary.filter(|s| s.seeds > 1).map_or(String::new(), |s| {
                    format!("[{}, {}]", figure(s.ci[0] / scale), figure(s.ci[1] / scale))
                }),
                mark: match (best, self.broken[i].is_empty()) {
                    (true, _) => Mark::Best,
                    (_, false) => Mark::Broken,
                    _ => Mark::None,
                },
            };
            let place = panels.iter().position(|p| p.title == title).unwrap_or_else(|| {
                panels.push(Panel::new(title));
                panels.len() - 1
            });
            panels[place].put(x, y, tile);
        }
        let name = |param: usize| self.study.params[param].name.replace('_', " ");
        let of = self.study.columns[map.column].spoken();
        Some(
            Heat {
                title: format!("{}{}", self.study.title, self.typed("   ")),
                what: format!("{of} {unit}").trim_end().to_string(),
                x: name(map.x),
                y: name(map.y),
                log: map.log,
                panels,
            }
            .svg(),
        )
    }
}

/// In how many seeds a cell was measured.
fn seeds_of(cell: &Cell) -> usize {
    cell.summaries.iter().flatten().map(|s| s.seeds).max().unwrap_or(0)
}

fn interval(cell: &Cell, column: usize, scale: f64) -> String {
    let Some(s) = &cell.summaries[column] else { return "-".to_string() };
    let [mean, low, high] = [s.mean, s.ci[0], s.ci[1]].map(|n| figure(n / scale));
    if low == high { mean } else { format!("{mean} [{low}, {high}]") }
}

/// The figures of a line of CSV, in the order of its head; empty where nothing was measured.
fn figures(summary: Option<&Summary>) -> Vec<String> {
    let Some(s) = summary else { return vec![String::new(); 9] };
    let [low, high] = s.ci;
    let numbers = [s.mean, s.p10, s.p50, s.p90, s.p99, s.p999, s.max, low, high];
    numbers.iter().map(f64::to_string).collect()
}

/// Sets as they are typed.
fn set(sets: &[(String, String)]) -> String {
    let word =
        |(key, value): &(String, String)| format!("--set {}", quoted(&format!("{key}={value}")));
    sets.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// A field of CSV, quoted where it must be.
fn field(text: &str) -> String {
    if text.contains([',', '"', '\n']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.to_string()
}
