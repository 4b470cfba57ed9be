//! A study as it was asked for: its file, and what `--set` makes of it. A parameter's name gives that
//! parameter one value, and any other key goes to the scenario, as `--set` of `run`; a key that a parameter
//! sets is refused, since every cell would set it again. All cells are read before the first run, so that a
//! value that is not allowed is known at once, with the cell that has it.
//!
//! A cell is known by the hash of its inputs: the scenario's values in force and the measures' words. Which
//! program runs it is the folder's matter (`kept_runs`).

use std::sync::Arc;

use host::settings::nearest;
use kernel::outcome::exit;
use kernel::run::Options;
use kernel::scenario::Scenario;
use kernel::study::Study;

use crate::ledger::{contents, sum};
use crate::session::{Failure, Session};

/// A study and its cells.
pub struct Asked {
    /// The study.
    pub study: Study,
    /// Values of the parameters, cell by cell.
    pub cells: Vec<Vec<String>>,
    /// What was set, as it was typed.
    pub typed: Vec<(String, String)>,
    /// Keys of the scenario that were set besides.
    sets: Vec<(String, String)>,
}

impl Asked {
    /// A study by name or path, with what was set.
    pub fn new(session: &Session, name: &str, sets: &[(String, String)]) -> Result<Asked, Failure> {
        let study = session.library.study(name)?;
        let (mut fixed, mut others) = (Vec::new(), Vec::new());
        for (key, value) in sets {
            if value.is_empty() || value.contains('=') {
                return Err(Failure::usage(format!("--set: `{key}={value}` is not NAME=VALUE")));
            }
            match study.param(key) {
                Some(param) if fixed.iter().any(|(known, _)| *known == param) => {
                    return Err(Failure::usage(format!("--set: `{key}` is given twice")));
                }
                Some(param) => fixed.push((param, value.clone())),
                None => {
                    taken(&study, key)?;
                    others.push((key.clone(), value.clone()));
                }
            }
        }
        let cells = study.cells(&fixed);
        Ok(Asked { study, cells, typed: sets.to_vec(), sets: others })
    }

    /// What a cell sets in the scenario; what was typed counts more than what the study's file sets.
    pub fn sets_of(&self, cell: usize) -> Vec<(String, String)> {
        [self.study.sets_of(&self.cells[cell]), self.sets.clone()].concat()
    }

    /// The scenario of a cell.
    pub fn scenario(&self, session: &Session, cell: usize) -> Result<Arc<Scenario>, Failure> {
        let values = &self.cells[cell];
        let sets = self.sets_of(cell);
        session.scenario(&self.study.scenario, &sets).map_err(|failure| {
            if let Some(text) = self.param_meant(&failure.text) {
                return Failure { text, ..failure };
            }
            let told = self.told(values).join(" ");
            match self.written(&failure.text) {
                Some((place, text)) if failure.code == exit::USAGE => {
                    Failure::data(format!("{place}: {text}"))
                }
                Some((place, text)) => {
                    Failure { text: format!("{place}: cell {told}: {text}"), ..failure }
                }
                None => {
                    let text = format!("{}: cell {told}: {}", self.study.name, failure.text);
                    Failure { text, ..failure }
                }
            }
        })
    }

    /// What is wrong with the study's file, and where, if it is that and not what was typed: a scenario that
    /// is none, or a key or a value that the file sets.
    fn written(&self, text: &str) -> Option<(String, String)> {
        if text.starts_with("no scenario `") {
            return Some((self.study.place.clone(), text.to_string()));
        }
        let text = &text.strip_prefix("--set: ")?.replace("--set: ", "");
        let names = |key: &str| {
            let full = text.strip_prefix(key).is_some_and(|rest| rest.starts_with(':'));
            full || text.contains(&format!("`{key}`"))
        };
        let typed = |name: &str| self.typed.iter().any(|(key, _)| key == name);
        if self.sets.iter().any(|(key, _)| names(key)) {
            return None;
        }
        let own = self.study.params.iter().find(|p| p.keys.iter().any(|k| names(k)));
        // A value that was typed for a parameter is not the file's; its key is.
        let value = |name: &str| typed(name) && !text.contains("no key `");
        match own {
            Some(param) if value(&param.name) => None,
            Some(param) => Some((param.place.clone(), text.to_string())),
            None => {
                let set = self.study.sets.iter().any(|(key, _)| names(key));
                set.then(|| (self.study.sets_place.clone(), text.to_string()))
            }
        }
    }

    /// A key that is none may have been meant to be a parameter.
    fn param_meant(&self, text: &str) -> Option<String> {
        let params = || self.study.params.iter().map(|p| p.name.as_str());
        let unknown = self.sets.iter().find(|(k, _)| text.contains(&format!("no key `{k}`")))?;
        let near = nearest(&unknown.0, params())?;
        Some(format!(
            "--set: `{}` is no parameter of {} and no key of {}; did you mean `{near}`?",
            unknown.0, self.study.name, self.study.scenario
        ))
    }

    /// A cell's values with their names.
    pub fn told(&self, values: &[String]) -> Vec<String> {
        let params = self.study.params.iter().zip(values);
        params.map(|(p, value)| format!("{}={value}", p.name)).collect()
    }

    /// The hash of a cell's inputs.
    pub fn key(&self, scenario: &Scenario) -> String {
        let words: Vec<&str> = self.study.columns.iter().map(|c| c.word.as_str()).collect();
        let contents = contents(scenario, &Options::seed(0));
        sum(format!("{} {contents} {words:?}", scenario.name).as_bytes())
    }

    /// The hashes of all cells' inputs, in the order of the design.
    pub fn keys(&self, session: &Session) -> Result<Vec<String>, Failure> {
        let key = |cell| Ok(self.key(&*self.scenario(session, cell)?));
        (0..self.cells.len()).map(key).collect()
    }
}

/// Refuses a key that a parameter sets.
fn taken(study: &Study, key: &str) -> Result<(), Failure> {
    let same = |own: &String| own == key || own.ends_with(&format!(".{key}"));
    match study.params.iter().find(|p| p.keys.iter().any(same)) {
        None => Ok(()),
        Some(param) => Err(Failure::usage(format!(
            "--set: `{key}` is set by every cell of {}; its parameter is `{}`",
            study.name, param.name
        ))),
    }
}
