//! The folder of a study: `results.jsonl` with one line for each finished run, keyed by the hash of its
//! cell's inputs and by its seed, and `envelope.json` that says which program ran them. A line is written in
//! one piece and carries a checksum, as in a sweep's folder: an interrupt or a full disk costs at most the
//! last one. The hash stands for all that a cell's runs depend on, the scenario's values in force and what is
//! measured, so what is found under it may be used, whatever else was asked for meanwhile: a study that is
//! typed again runs what is missing, and one that gets a value more runs the new cells.
//!
//! At the end lines are put into order, by hash and seed: the folder's bytes then depend on what was run and
//! not on how often that was interrupted.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use kernel::check::Unit;
use kernel::outcome::{Outcome, exit};
use kernel::study::column::Datum;
use serde_json::{Value, json};

use crate::ledger::{Foreign, lock, program, read, seal, unseal};
use crate::session::{Failure, write_whole};
use crate::tally;

/// What a run of a cell came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Hash of the cell's inputs.
    pub cell: String,
    /// The seed.
    pub seed: u64,
    /// The verdict.
    pub verdict: String,
    /// The kind of failure, or empty.
    pub class: String,
    /// Virtual time under load, in nanoseconds.
    pub load_ns: u64,
    /// What was measured, column by column.
    pub data: Vec<Option<Datum>>,
}

impl Row {
    /// What a run measured of these measures.
    pub fn of<'a>(cell: &str, outcome: &Outcome, measures: impl Iterator<Item = &'a str>) -> Row {
        let datum = |word: &str| outcome.measure(word).map(|m| (m.value, m.unit));
        Row {
            cell: cell.to_string(),
            seed: outcome.seed,
            verdict: outcome.verdict.word().to_string(),
            class: outcome.class.map_or("", |c| c.word()).to_string(),
            load_ns: outcome.load_ns,
            data: measures.map(datum).collect(),
        }
    }

    /// A run that its process died of.
    pub fn lost(cell: &str, seed: u64, class: &str) -> Row {
        let (verdict, class) = ("fail".to_string(), class.to_string());
        Row { cell: cell.to_string(), seed, verdict, class, load_ns: 0, data: Vec::new() }
    }

    /// As JSON.
    pub fn json(&self) -> Value {
        let values: Vec<Option<u64>> = self.data.iter().map(|d| d.map(|d| d.0)).collect();
        let units: Vec<Option<&str>> = self.data.iter().map(|d| d.map(|d| d.1.word())).collect();
        json!({
            "cell": self.cell, "seed": self.seed, "verdict": self.verdict, "class": self.class,
            "load_ns": self.load_ns, "values": values, "units": units,
        })
    }

    /// Reads what `json` gives.
    pub fn parse(text: &str) -> Option<Row> {
        let v: Value = serde_json::from_str(text).ok()?;
        let word = |key: &str| Some(v[key].as_str()?.to_string());
        let unit = |word: &Value| {
            let word = word.as_str()?;
            Unit::ALL.into_iter().find(|u| u.word() == word)
        };
        let pairs = v["values"].as_array()?.iter().zip(v["units"].as_array()?);
        Some(Row {
            cell: word("cell")?,
            seed: v["seed"].as_u64()?,
            verdict: word("verdict")?,
            class: word("class")?,
            load_ns: v["load_ns"].as_u64()?,
            data: pairs.map(|(value, word)| Some((value.as_u64()?, unit(word)?))).collect(),
        })
    }

    /// The exit code of this run alone.
    pub fn code(&self) -> i32 {
        if ["pass", "shown"].contains(&self.verdict.as_str()) {
            return exit::OK;
        }
        tally::code(&self.verdict, &self.class)
    }

    /// What kind of failure it is, or the verdict where there is none; `None` of a clean pass.
    pub fn failure(&self) -> Option<&str> {
        let kind = if self.class.is_empty() { &self.verdict } else { &self.class };
        (self.code() != exit::OK).then_some(kind)
    }

    /// Whether the run came to its end, so that its numbers are those of the whole load. What is not shown,
    /// not recovered in time or vacuous is a finding of a study and no failure.
    pub fn whole(&self) -> bool {
        [exit::OK, exit::LIVENESS, exit::NOT_SHOWN, exit::VACUOUS].contains(&self.code())
    }
}

/// A folder that was opened.
pub struct Opened {
    /// The folder.
    pub store: Store,
    /// Lines that were damaged, and dropped.
    pub damaged: usize,
    /// Runs of another program, which were dropped.
    pub foreign: usize,
}

/// An open folder.
pub struct Store {
    /// The results.
    pub path: PathBuf,
    rows: BTreeMap<(String, u64), Row>,
    file: File,
    len: u64,
    _lock: File,
}

impl Store {
    /// Opens or makes a folder. Results of another program are dropped, or refused.
    pub fn open(dir: &Path, foreign: Foreign) -> Result<Opened, Failure> {
        std::fs::create_dir_all(dir).map_err(|e| Failure::io(dir, &e))?;
        let lock = lock(dir)?;
        let (label, path) = (dir.join("envelope.json"), dir.join("results.jsonl"));
        let program = program().map_err(|e| Failure::io(Path::new("this program"), &e))?;
        let envelope = json!({"schema": 1, "program": program});
        let known = read(&label)?;
        let known = known.map(|bytes| serde_json::from_slice::<Value>(&bytes).unwrap_or_default());
        let same = known.is_none_or(|known| known == envelope);
        let bytes = read(&path)?.unwrap_or_default();
        if !same && foreign != Foreign::Replace && !bytes.is_empty() {
            let dir = dir.display();
            return Err(Failure::data(format!(
                "{dir}: holds runs of another program; name another --out, or throw them away by --fresh"
            )));
        }
        let (known, damaged) = parse(&bytes);
        let (rows, damaged, foreign) =
            if same { (known, damaged, 0) } else { (BTreeMap::new(), 0, known.len()) };
        write_whole(&label, &format!("{envelope}\n"))?;
        let text = rendered(&rows);
        write_whole(&path, &text)?;
        let file = OpenOptions::new().append(true).open(&path);
        let file = file.map_err(|e| Failure::io(&path, &e))?;
        let store = Store { path, rows, file, len: text.len() as u64, _lock: lock };
        Ok(Opened { store, damaged, foreign })
    }

    /// Throws away what is there.
    pub fn clear(&mut self) -> Result<(), Failure> {
        (self.len, self.rows) = (0, BTreeMap::new());
        self.file.set_len(0).map_err(|e| Failure::io(&self.path, &e))
    }

    /// The run of a seed in a cell, if it is there.
    pub fn row(&self, cell: &str, seed: u64) -> Option<&Row> {
        self.rows.get(&(cell.to_string(), seed))
    }

    /// Adds a run, in one piece; a disk without room for all of it keeps none of it.
    pub fn append(&mut self, row: Row) -> Result<(), Failure> {
        let line = seal(&row.json().to_string());
        if let Err(error) = self.file.write_all(line.as_bytes()) {
            let _ = self.file.set_len(self.len);
            return Err(Failure::io(&self.path, &error));
        }
        self.len += line.len() as u64;
        self.rows.insert((row.cell.clone(), row.seed), row);
        Ok(())
    }

    /// Puts the lines into order.
    pub fn tidy(&mut self) -> Result<(), Failure> {
        let text = rendered(&self.rows);
        let bytes = read(&self.path)?.unwrap_or_default();
        if text.as_bytes() == bytes { Ok(()) } else { write_whole(&self.path, &text) }
    }
}

/// Whole lines, and how many were damaged.
fn parse(bytes: &[u8]) -> (BTreeMap<(String, u64), Row>, usize) {
    let (mut rows, mut damaged) = (BTreeMap::new(), 0);
    for piece in bytes.split_inclusive(|b| *b == b'\n') {
        let line = piece.strip_suffix(b"\n").and_then(|l| std::str::from_utf8(l).ok());
        match line.and_then(unseal).and_then(|(_, text)| Row::parse(&text)) {
            Some(row) => {
                rows.insert((row.cell.clone(), row.seed), row);
            }
            None => damaged += 1,
        }
    }
    (rows, damaged)
}

fn rendered(rows: &BTreeMap<(String, u64), Row>) -> String {
    rows.values().map(|row| seal(&row.json().to_string())).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(seed: u64, values: &[Option<(u64, usize)>]) -> Row {
        let data = values.iter().map(|v| v.map(|(n, unit)| (n, Unit::ALL[unit])));
        let words = |text: &str| text.to_string();
        let (cell, verdict, class) = (words("c0ffee"), words("fail"), words("liveness"));
        Row { cell, seed, verdict, class, load_ns: seed * 7, data: data.collect() }
    }

    #[test]
    fn a_folder_keeps_its_runs_and_its_order() {
        let dir = std::env::temp_dir().join(format!("wavetank-store-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        let mut store = Store::open(&dir, Foreign::Refuse).unwrap().store;
        assert_eq!(
            Store::open(&dir, Foreign::Refuse).err().unwrap().code,
            exit::IO,
            "it is locked"
        );
        for seed in [3, 1] {
            store.append(row(seed, &[Some((9, 0)), None])).unwrap();
        }
        store.tidy().unwrap();
        let bytes = std::fs::read(dir.join("results.jsonl")).unwrap();
        drop(store);
        let cut = [&bytes[..], b"{\"half\""].concat();
        std::fs::write(dir.join("results.jsonl"), cut).unwrap();
        let Opened { mut store, damaged, foreign } = Store::open(&dir, Foreign::Refuse).unwrap();
        assert_eq!((damaged, foreign), (1, 0));
        assert_eq!(store.row("c0ffee", 3), Some(&row(3, &[Some((9, 0)), None])));
        store.tidy().unwrap();
        assert_eq!(std::fs::read(dir.join("results.jsonl")).unwrap(), bytes);
        drop(store);
        std::fs::write(dir.join("envelope.json"), "{}").unwrap();
        assert_eq!(Store::open(&dir, Foreign::Refuse).err().unwrap().code, exit::DATA);
        let opened = Store::open(&dir, Foreign::Replace).unwrap();
        assert_eq!(opened.foreign, 2);
        assert!(opened.store.row("c0ffee", 3).is_none());
        std::fs::remove_dir_all(&dir).unwrap();
    }

    proptest! {
        #[test]
        fn rows_survive_the_file(
            seed in 0..u64::MAX / 8,
            values in prop::collection::vec(prop::option::of((any::<u64>(), 0usize..5)), 0..5),
        ) {
            let row = row(seed, &values);
            prop_assert_eq!(Row::parse(&row.json().to_string()), Some(row));
        }

        #[test]
        fn no_file_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }
    }
}
