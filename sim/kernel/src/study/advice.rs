//! What follows from a study's table: which cells keep the constraints, which of them are on the Pareto
//! front, and which is recommended, in one sentence with its margin and its price.
//!
//! A constraint bounds a mean. A cell is on the front if it keeps the constraints and no other cell that
//! does is as good in every column of `[pareto]` and better in one, means compared; with `by` in
//! `[recommend]` each group has its own front. Recommended is the cell with the least mean among those that
//! keep the constraints, the earlier of equals. Its margin is the difference to the next best; its price and
//! gain are those of the step from the cell that it is compared with. All differences are paired by seed
//! (`statistics`), and where an interval holds 0 the sentence says that these seeds cannot tell. It says so
//! too where the interval of the recommended cell goes beyond a bound that its mean keeps.
//!
//! Left out: corrections for having compared many cells; a margin is that of one comparison.

use super::column::{figure, shown_in};
use super::design::spoken;
use super::statistics::{Estimate, Summary, difference, removed};
use super::{Constraint, Recommend, Study};
use crate::check::Unit;

/// What a cell came to.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    /// Values of the parameters.
    pub params: Vec<String>,
    /// By column, then by seed; `None` where the seed did not measure it.
    pub values: Vec<Vec<Option<f64>>>,
    /// By column; `None` where no seed measured it.
    pub summaries: Vec<Option<Summary>>,
}

impl Cell {
    /// Sums up what the seeds measured.
    pub fn of(params: Vec<String>, values: Vec<Vec<Option<f64>>>) -> Cell {
        let summary =
            |v: &Vec<Option<f64>>| Summary::of(&v.iter().copied().flatten().collect::<Vec<_>>());
        let summaries = values.iter().map(summary).collect();
        Cell { params, values, summaries }
    }

    /// The mean of a column.
    pub fn mean(&self, column: usize) -> Option<f64> {
        self.summaries[column].as_ref().map(|s| s.mean)
    }

    /// What the seeds that both cells have measured, this one's first.
    fn pairs(&self, other: &Cell, column: usize) -> Vec<(f64, f64)> {
        let both = self.values[column].iter().zip(&other.values[column]);
        both.filter_map(|(a, b)| Some(((*a)?, (*b)?))).collect()
    }
}

/// A study's table.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// In the order of the design.
    pub cells: Vec<Cell>,
    /// By column; `None` where no seed of any cell measured it.
    pub units: Vec<Option<Unit>>,
}

/// What is recommended to one group of cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// The values that make the group: (parameter, value).
    pub group: Vec<(String, String)>,
    /// The recommended cell; `None` if none keeps the constraints.
    pub cell: Option<usize>,
    /// The sentence.
    pub text: String,
}

impl Table {
    /// The unit of a column, as JSON names it.
    pub fn unit(&self, study: &Study, column: usize) -> String {
        self.units[column].map_or(String::new(), |unit| study.columns[column].unit(unit))
    }

    /// A constraint whose bound is in another unit than its column, and what is wrong with it.
    pub fn mismatch(&self, study: &Study) -> Option<String> {
        study.constraints.iter().find_map(|c| {
            let column = &study.columns[c.column];
            let unit = self.units[c.column]?;
            let needs = [Unit::Time, Unit::Bytes].contains(&unit) && column.per.is_none();
            let needs = needs.then_some(unit);
            let (name, told) = (&column.name, column.unit(unit));
            let wrong = c.unit != needs && !(c.unit.is_none() && c.bound == 0.0);
            wrong.then(|| format!("constraint `{}`: {name} is in {told}", c.text))
        })
    }

    /// The constraints that a cell breaks. What was not measured breaks none, and keeps none.
    pub fn broken<'a>(&self, study: &'a Study, cell: usize) -> Vec<&'a Constraint> {
        let breaks = |c: &&Constraint| self.cells[cell].mean(c.column).is_some_and(|m| !c.holds(m));
        study.constraints.iter().filter(breaks).collect()
    }

    /// Whether a cell was measured to keep every constraint.
    fn keeps(&self, study: &Study, cell: usize) -> bool {
        let kept = |c: &Constraint| self.cells[cell].mean(c.column).is_some_and(|m| c.holds(m));
        study.constraints.iter().all(kept)
    }

    /// Which cells are on the Pareto front of their group.
    pub fn front(&self, study: &Study) -> Vec<bool> {
        let by = study.recommend.as_ref().map_or(&[][..], |r| &r.by);
        let keeps: Vec<bool> = (0..self.cells.len()).map(|i| self.keeps(study, i)).collect();
        let means: Vec<Option<Vec<f64>>> = self
            .cells
            .iter()
            .map(|c| study.minimise.iter().map(|m| c.mean(*m)).collect())
            .collect();
        let beats = |a: usize, b: usize| {
            let (Some(x), Some(y)) = (&means[a], &means[b]) else { return false };
            let no_worse = x.iter().zip(y).all(|(x, y)| x <= y);
            keeps[a] && self.alike(a, b, by) && no_worse && x != y
        };
        let on_front = |b: usize| {
            let stands = !study.minimise.is_empty() && keeps[b] && means[b].is_some();
            stands && !(0..self.cells.len()).any(|a| beats(a, b))
        };
        (0..self.cells.len()).map(on_front).collect()
    }

    fn alike(&self, a: usize, b: usize, by: &[usize]) -> bool {
        by.iter().all(|p| self.cells[a].params[*p] == self.cells[b].params[*p])
    }

    /// What is recommended, group by group.
    pub fn advice(&self, study: &Study) -> Vec<Advice> {
        let Some(recommend) = &study.recommend else { return Vec::new() };
        let mut out = Vec::new();
        for first in 0..self.cells.len() {
            let alike = |i: &usize| self.alike(first, *i, &recommend.by);
            if (0..first).any(|i| alike(&i)) {
                continue;
            }
            let group: Vec<usize> = (0..self.cells.len()).filter(alike).collect();
            let name =
                |p: &usize| (study.params[*p].name.clone(), self.cells[first].params[*p].clone());
            let names = recommend.by.iter().map(name).collect();
            out.push(self.advise(study, recommend, names, &group));
        }
        out
    }

    fn advise(
        &self,
        study: &Study,
        recommend: &Recommend,
        names: Vec<(String, String)>,
        group: &[usize],
    ) -> Advice {
        let column = recommend.minimise;
        let keeps = |i: &&usize| self.keeps(study, **i);
        let mut ranked: Vec<(f64, usize)> = group
            .iter()
            .filter(keeps)
            .filter_map(|i| Some((self.cells[*i].mean(column)?, *i)))
            .collect();
        ranked.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let head: String = names.iter().map(|(n, v)| format!("{n} {}: ", spoken(v))).collect();
        let Some((_, best)) = ranked.first().copied() else {
            let text = format!("{head}{}.", self.why_none(study, column, group));
            return Advice { group: names, cell: None, text };
        };
        let told = self.differing(study, best, group, &recommend.by);
        let mut text = format!("{head}{told}.");
        for doubt in self.doubts(study, best) {
            text.push_str(&format!(" {doubt}"));
        }
        if let Some((_, next)) = ranked.get(1).copied() {
            text.push_str(&format!(" {}", self.margin(study, recommend, (best, next), group)));
        }
        for row in &recommend.against {
            if let Some(step) = self.step(study, recommend, row, best) {
                text.push_str(&format!(" {step}"));
            }
        }
        Advice { group: names, cell: Some(best), text }
    }

    /// Why no cell of a group is recommended.
    fn why_none(&self, study: &Study, column: usize, group: &[usize]) -> String {
        let needed = [column].into_iter().chain(study.constraints.iter().map(|c| c.column));
        let mut absent = needed.filter(|c| group.iter().all(|i| self.cells[*i].mean(*c).is_none()));
        if let Some(absent) = absent.next() {
            return format!("{} was measured in no run", study.columns[absent].name);
        }
        if group.iter().any(|i| self.keeps(study, *i)) {
            let name = &study.columns[column].name;
            return format!("in cells that keep the constraints {name} was measured in no run");
        }
        "no cell keeps the constraints".to_string()
    }

    /// Constraints that a cell keeps by its mean, while the mean's interval goes beyond the bound.
    fn doubts(&self, study: &Study, cell: usize) -> Vec<String> {
        let doubt = |c: &Constraint| {
            let s = self.cells[cell].summaries[c.column].as_ref()?;
            let [low, high] = s.ci;
            if c.holds(low) && c.holds(high) {
                return None;
            }
            let mean = Estimate { value: s.mean, low, high, seeds: s.seeds };
            let amount = self.amount(study, c.column, mean, Sign::Left);
            let name = study.columns[c.column].spoken();
            Some(format!(
                "These seeds cannot tell that it keeps {}: its {name} is {amount}.",
                c.text
            ))
        };
        study.constraints.iter().filter_map(doubt).collect()
    }

    /// How far behind the next best cell is.
    fn margin(
        &self,
        study: &Study,
        recommend: &Recommend,
        (best, next): (usize, usize),
        group: &[usize],
    ) -> String {
        let column = recommend.minimise;
        let told = self.differing(study, next, group, &recommend.by);
        let name = study.columns[column].spoken();
        let pairs = self.cells[best].pairs(&self.cells[next], column);
        match difference(&pairs) {
            None => format!("No seed compares it with {told}."),
            Some(gap) if gap.may_be_zero() => format!(
                "As to {name}, {told} may be as good: {}, and the interval holds 0.",
                self.amount(study, column, gap, Sign::Shown)
            ),
            Some(gap) => {
                let gap = self.amount(study, column, gap, Sign::Shown);
                format!("The next best, {told}, has {gap} of {name}.")
            }
        }
    }

    /// Price and gain of the step from a cell to the recommended one, which differ in `row`'s values.
    fn step(
        &self,
        study: &Study,
        recommend: &Recommend,
        row: &[Option<String>],
        best: usize,
    ) -> Option<String> {
        let to = &self.cells[best];
        // A row that names another group's values is of that group.
        let foreign = |p: &usize| row[*p].as_ref().is_some_and(|v| *v != to.params[*p]);
        if recommend.by.iter().any(foreign) {
            return None;
        }
        let wanted: Vec<&String> =
            row.iter().zip(&to.params).map(|(want, own)| want.as_ref().unwrap_or(own)).collect();
        let from = self.cells.iter().position(|c| c.params.iter().eq(wanted.iter().copied()))?;
        if from == best {
            return Some("The row to compare with is this cell.".to_string());
        }
        let differ: Vec<usize> =
            (0..to.params.len()).filter(|p| self.cells[from].params[*p] != to.params[*p]).collect();
        let a = self.told(study, from, &differ);
        let b = match differ[..] {
            [one] => spoken(&to.params[one]),
            _ => self.told(study, best, &differ),
        };
        let mut parts = Vec::new();
        if let Some(price) = recommend.price {
            parts.extend(self.price(study, price, (from, best)));
        }
        if let Some(gain) = recommend.gain {
            parts.extend(self.gain(study, gain, (from, best)));
        }
        let broken = self.broken(study, from);
        let broken: Vec<&str> = broken.iter().map(|c| c.text.as_str()).collect();
        if !broken.is_empty() {
            return Some(format!(
                "{a} to {b} {}; {a} breaks {}.",
                parts.join(" and "),
                broken.join(", ")
            ));
        }
        Some(format!("{a} to {b} {}.", parts.join(" and ")))
    }

    fn price(&self, study: &Study, column: usize, (from, to): (usize, usize)) -> Option<String> {
        let name = study.columns[column].spoken();
        let gap = difference(&self.cells[from].pairs(&self.cells[to], column))?;
        Some(if gap.value == 0.0 && gap.may_be_zero() {
            format!("leaves {name} as it is")
        } else if gap.may_be_zero() {
            let told = self.amount(study, column, gap, Sign::Shown);
            format!("makes no difference to {name} that these seeds can tell ({told})")
        } else if gap.value > 0.0 {
            format!("costs {} of {name}", self.amount(study, column, gap, Sign::Shown))
        } else {
            format!("saves {} of {name}", self.amount(study, column, gap.reversed(), Sign::Left))
        })
    }

    fn gain(&self, study: &Study, column: usize, (from, to): (usize, usize)) -> Option<String> {
        let name = study.columns[column].spoken();
        let pairs = self.cells[from].pairs(&self.cells[to], column);
        let Some(share) = removed(&pairs) else {
            let gap = difference(&pairs)?;
            if pairs.iter().all(|p| *p == (0.0, 0.0)) {
                return Some(format!("there are no {name} in either"));
            }
            let told = self.amount(study, column, gap, Sign::Shown);
            return Some(format!("changes {name} by {told}"));
        };
        let percent = |e: Estimate| {
            let [value, low, high] = [e.value, e.low, e.high].map(whole);
            if e.seeds == 1 { format!("{value} %") } else { format!("{value} % [{low}, {high}]") }
        };
        Some(if share.may_be_zero() {
            format!("removes no share of {name} that these seeds can tell ({})", percent(share))
        } else if share.value > 0.0 {
            format!("removes {} of {name}", percent(share))
        } else {
            format!("adds {} to {name}", percent(share.reversed()))
        })
    }

    fn amount(&self, study: &Study, column: usize, e: Estimate, sign: Sign) -> String {
        let greatest = [e.value, e.low, e.high].into_iter().map(f64::abs).fold(0.0, f64::max);
        let (unit, scale) = shown_in(&self.unit(study, column), greatest);
        let [value, low, high] = [e.value, e.low, e.high].map(|v| figure(v / scale));
        let plus = if sign == Sign::Shown && e.value > 0.0 { "+" } else { "" };
        let value = format!("{plus}{value} {unit}");
        if e.seeds == 1 {
            return value.trim_end().to_string();
        }
        format!("{} [{low}, {high}]", value.trim_end())
    }

    /// A cell by those of its values that set it apart within its group.
    fn differing(&self, study: &Study, cell: usize, group: &[usize], by: &[usize]) -> String {
        let varies = |p: &usize| {
            let values = group.iter().map(|i| &self.cells[*i].params[*p]);
            !by.contains(p) && values.clone().any(|v| *v != self.cells[group[0]].params[*p])
        };
        let varying: Vec<usize> = (0..study.params.len()).filter(varies).collect();
        if varying.is_empty() {
            "the only cell".to_string()
        } else {
            self.told(study, cell, &varying)
        }
    }

    /// Values of a cell, with their names.
    fn told(&self, study: &Study, cell: usize, params: &[usize]) -> String {
        let value = |p: &usize| spoken(&self.cells[cell].params[*p]);
        let named = |p: &usize| format!("{} {}", study.params[*p].name.replace('_', " "), value(p));
        params.iter().map(named).collect::<Vec<_>>().join(", ")
    }
}

/// A share in whole percent; what is rounded away has no sign.
fn whole(percent: f64) -> String {
    let text = format!("{percent:.0}");
    if text == "-0" { "0".to_string() } else { text }
}

/// Whether an amount that is more than 0 gets its sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    Shown,
    Left,
}
