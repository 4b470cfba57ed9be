//! A study: one question, asked of a scenario under many settings. Its file names the scenario, the
//! parameters with the keys that take their values, and what to measure; every cell is the scenario with
//! some keys set, and runs the same seeds. As draws are named and keyed, a seed brings the same load and the
//! same weather to every cell: common random numbers, so that cells are compared in pairs (`statistics`).
//!
//! A grid has all combinations of the parameters' values, the first parameter slowest; a list names its
//! cells one by one (`design`). `[[constraint]]` lines bound means, `[pareto]` says what is to be small,
//! `[recommend]` what decides among the cells that keep the bounds (`advice`), `[map]` what is drawn.
//!
//! Everything here is pure: files are read to values, values of runs to tables. Running cells, keeping
//! results and printing are the command line's. Left out: adaptive designs; what to run next is a person's.

pub mod advice;
pub mod column;
pub mod design;
mod read;
pub mod statistics;
#[cfg(test)]
mod tests;

use std::ops::Range;

use crate::check::Unit;
use crate::scenario::Compare;
use crate::study::column::Column;
use crate::study::design::{Design, Param};

/// A study, ready to be run.
#[derive(Clone, Debug)]
pub struct Study {
    /// The file's name without ending.
    pub name: String,
    /// One line.
    pub title: String,
    /// What is asked and why.
    pub about: String,
    /// The scenario that all cells begin with.
    pub scenario: String,
    /// `file:line:column` of its name.
    pub place: String,
    /// Every cell runs these, unless others are asked for.
    pub seeds: Range<u64>,
    /// Whether `bless` runs it; one that takes long writes its own result, and `bless` compares inputs.
    pub blessed: bool,
    /// Keys that all cells set, and their values.
    pub sets: Vec<(String, String)>,
    /// `file:line:column` of those.
    pub sets_place: String,
    /// What cells differ by, in order.
    pub params: Vec<Param>,
    /// Which cells there are.
    pub design: Design,
    /// What is measured, in order.
    pub columns: Vec<Column>,
    /// Bounds that a cell must keep to be recommended.
    pub constraints: Vec<Constraint>,
    /// Columns that are to be small, for the Pareto front; none: no front.
    pub minimise: Vec<usize>,
    /// What decides.
    pub recommend: Option<Recommend>,
    /// What is drawn.
    pub map: Option<Map>,
}

/// A bound on a column's mean.
#[derive(Clone, Debug, PartialEq)]
pub struct Constraint {
    /// As written.
    pub text: String,
    /// The column.
    pub column: usize,
    /// How the mean compares to the bound.
    pub compare: Compare,
    /// The bound, in the unit that is printed: ms, bytes, and so on.
    pub bound: f64,
    /// What the bound is written in: a time, a size, or neither.
    pub unit: Option<Unit>,
}

/// What decides among the cells that keep the constraints.
#[derive(Clone, Debug, PartialEq)]
pub struct Recommend {
    /// Parameters for each of whose values one cell is recommended; none: one cell of all.
    pub by: Vec<usize>,
    /// The column whose mean is to be least.
    pub minimise: usize,
    /// Cells to compare with: values by parameter; where one is not named it is the recommended cell's.
    pub against: Vec<Vec<Option<String>>>,
    /// The column in which the step from there to the recommended cell is paid.
    pub price: Option<usize>,
    /// The column that it lowers.
    pub gain: Option<usize>,
}

/// What is drawn: one panel for each combination of the parameters that are neither x nor y.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map {
    /// The parameter that goes to the right.
    pub x: usize,
    /// The parameter that goes down.
    pub y: usize,
    /// The column that gives the colour.
    pub column: usize,
    /// Whether colours follow the logarithm.
    pub log: bool,
}

impl Constraint {
    /// Whether a mean keeps the bound.
    pub fn holds(&self, mean: f64) -> bool {
        match self.compare {
            Compare::AtMost => mean <= self.bound,
            Compare::AtLeast => mean >= self.bound,
            Compare::Equal => mean == self.bound,
        }
    }
}

impl Study {
    /// The place of a parameter.
    pub fn param(&self, name: &str) -> Option<usize> {
        self.params.iter().position(|p| p.name == name)
    }

    /// Values of all parameters, cell by cell; a parameter that is fixed has that value alone.
    pub fn cells(&self, fixed: &[(usize, String)]) -> Vec<Vec<String>> {
        self.design.cells(&self.params, fixed)
    }

    /// The keys that a cell sets, and their values, after those that all cells set.
    pub fn sets_of(&self, cell: &[String]) -> Vec<(String, String)> {
        let own = self.params.iter().zip(cell);
        let own = own.flat_map(|(p, value)| p.keys.iter().map(|k| (k.clone(), value.clone())));
        self.sets.iter().cloned().chain(own).collect()
    }
}
