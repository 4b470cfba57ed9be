//! Which cells a study has. A grid is every combination of its parameters' values, the first parameter
//! slowest, as one reads a table; a list is what the file says, cell by cell. Fixing a parameter of a grid
//! leaves it that value alone, so fixing all of them leaves one cell. Fixing any parameter of a list leaves
//! one cell: the first, with what is fixed in place of its own values.
//!
//! Left out: fractional designs. Cells are cheap here; a grid that is too large is better asked twice.

/// Cells that a study may have.
pub const CELLS_MAX: usize = 4_096;

/// What cells differ by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// As it is printed, and set from the command line.
    pub name: String,
    /// The scenario's keys that take its value.
    pub keys: Vec<String>,
    /// The values of a grid; none in a list.
    pub values: Vec<String>,
    /// `file:line:column` of `keys`.
    pub place: String,
}

/// How cells are named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Design {
    /// All combinations of the parameters' values.
    Grid,
    /// One by one: a value for every parameter.
    List(Vec<Vec<String>>),
}

impl Design {
    /// How many cells there are before anything is fixed.
    pub fn count(&self, params: &[Param]) -> usize {
        match self {
            Design::Grid => params.iter().fold(1, |n, p| p.values.len().saturating_mul(n)),
            Design::List(cells) => cells.len(),
        }
    }

    /// Values of all parameters, cell by cell. `fixed` are places among the parameters, with values.
    pub fn cells(&self, params: &[Param], fixed: &[(usize, String)]) -> Vec<Vec<String>> {
        // What is set last counts, as everywhere.
        let value = |param| fixed.iter().rev().find(|(at, _)| *at == param).map(|(_, v)| v.clone());
        let list = match self {
            Design::List(cells) if fixed.is_empty() => return cells.clone(),
            Design::List(cells) => cells.first(),
            Design::Grid => None,
        };
        if let Some(first) = list {
            let replaced = first.iter().enumerate();
            return vec![replaced.map(|(i, own)| value(i).unwrap_or(own.clone())).collect()];
        }
        let mut cells = vec![Vec::new()];
        for (i, param) in params.iter().enumerate() {
            let values = value(i).map_or_else(|| param.values.clone(), |one| vec![one]);
            let with = |cell: &Vec<String>| {
                let longer =
                    values.iter().map(|v| [cell.as_slice(), std::slice::from_ref(v)].concat());
                longer.collect::<Vec<_>>()
            };
            cells = cells.iter().flat_map(with).collect();
        }
        cells
    }
}

/// A value as a sentence has it: `150ms..300ms` is 150-300 ms.
pub fn spoken(value: &str) -> String {
    let split = |text: &str| {
        let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.'));
        let (number, unit) = text.split_at(end.unwrap_or(text.len()));
        let plain = !number.is_empty() && unit.chars().all(|c| c.is_ascii_alphabetic());
        plain.then(|| (number.to_string(), unit.trim().to_string()))
    };
    let joined = |number: &str, unit: &str| format!("{number} {unit}").trim_end().to_string();
    let (low, high) = value.split_once("..").unwrap_or((value, ""));
    match (split(low), split(high)) {
        (Some((a, u)), Some((b, v))) if u == v => joined(&format!("{a}-{b}"), &u),
        (Some((a, u)), Some((b, v))) => format!("{} to {}", joined(&a, &u), joined(&b, &v)),
        (Some((a, u)), None) if high.is_empty() => joined(&a, &u),
        _ => value.to_string(),
    }
}
