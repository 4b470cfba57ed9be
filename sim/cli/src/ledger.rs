//! The folder of a sweep: `results.jsonl` with one line per finished seed, and `envelope.json` that says of
//! what. A line is written in one piece and carries a checksum (`sum`, over the object without it), so an
//! interrupt or a full disk costs at most the last line: damaged lines are dropped and their seeds run
//! again. Results are only continued under the same envelope: program, scenario values, options. The
//! folder is locked while a sweep writes to it.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use kernel::digest::Digest;
use kernel::outcome::exit;
use kernel::run::Options;
use kernel::scenario::Scenario;
use serde_json::{Value, json};

use crate::session::{Failure, write_whole};

/// What an open folder holds, and where to write on.
pub struct Ledger {
    /// The results.
    pub path: PathBuf,
    file: File,
    _lock: File,
}

/// Lines by seed, without checksums.
pub type Lines = BTreeMap<u64, String>;

/// A folder that was opened.
pub struct Opened {
    /// To write on.
    pub ledger: Ledger,
    /// What was there.
    pub kept: Lines,
    /// Lines that were dropped.
    pub damaged: usize,
}

/// What to do with results of another envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// They are somebody's: refuse.
    Refuse,
    /// They are of no use any more: begin anew.
    Replace,
}

impl Ledger {
    /// Opens or makes a folder.
    pub fn open(dir: &Path, envelope: &Value, foreign: Foreign) -> Result<Opened, Failure> {
        fs::create_dir_all(dir).map_err(|e| Failure::io(dir, &e))?;
        let lock = lock(dir)?;
        let label = dir.join("envelope.json");
        let path = dir.join("results.jsonl");
        let same = match read(&label)? {
            None => true,
            Some(bytes) => serde_json::from_slice::<Value>(&bytes).is_ok_and(|v| v == *envelope),
        };
        let bytes = read(&path)?.unwrap_or_default();
        if !same && !bytes.is_empty() && foreign == Foreign::Refuse {
            return Err(Failure::data(format!(
                "{}: holds a sweep of another program, scenario or options; name another --out, or \
                 remove it",
                dir.display()
            )));
        }
        let (kept, damaged) = if same { parse(&bytes) } else { (Lines::new(), 0) };
        write_whole(&label, &format!("{envelope}\n"))?;
        write_whole(&path, &whole(&kept))?;
        let file =
            OpenOptions::new().append(true).open(&path).map_err(|e| Failure::io(&path, &e))?;
        Ok(Opened { ledger: Ledger { path, file, _lock: lock }, kept, damaged })
    }

    /// Throws away what is there.
    pub fn clear(&mut self) -> Result<(), Failure> {
        self.file.set_len(0).map_err(|e| Failure::io(&self.path, &e))
    }

    /// Adds the line of a seed, in one piece.
    pub fn append(&mut self, text: &str) -> Result<(), Failure> {
        let line = sealed(text);
        self.file.write_all(line.as_bytes()).map_err(|e| Failure::io(&self.path, &e))
    }

    /// Puts the lines into the order of their seeds, if they are not.
    pub fn tidy(&mut self) -> Result<(), Failure> {
        let bytes = read(&self.path)?.unwrap_or_default();
        let text = whole(&parse(&bytes).0);
        if text.as_bytes() == bytes { Ok(()) } else { write_whole(&self.path, &text) }
    }
}

fn lock(dir: &Path) -> Result<File, Failure> {
    let path = dir.join("lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|e| Failure::io(&path, &e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let text = format!("{}: another sweep writes here; name another --out", dir.display());
            Err(Failure { code: exit::IO, text })
        }
        Err(TryLockError::Error(error)) => Err(Failure::io(&path, &error)),
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::io(path, &error)),
    }
}

/// What a sweep's results depend on.
pub fn envelope(scenario: &Scenario, options: &Options) -> Result<Value, Failure> {
    let mut values = Digest::default();
    for e in &scenario.effective {
        values.add(|b| b.extend_from_slice(format!("{}={}", e.key, e.value).as_bytes()));
    }
    let Options { weave, plants, mute, plan, .. } = options;
    let changed = format!("{weave} {plants:?} {mute:?} {plan:?}");
    Ok(json!({
        "schema": 1,
        "tool": env!("CARGO_PKG_VERSION"),
        "program": program().map_err(|e| Failure::io(Path::new("this program"), &e))?,
        "scenario": scenario.name,
        "values": values.hex(),
        "options": sum(changed.as_bytes()),
    }))
}

/// Names the build: the version alone does not change while one works on the code.
fn program() -> io::Result<String> {
    let mut file = File::open(std::env::current_exe()?)?;
    let (mut digest, mut buffer) = (Digest::default(), vec![0; 1 << 20]);
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok(digest.hex());
        }
        digest.add(|b| b.extend_from_slice(&buffer[..n]));
    }
}

/// Sixteen hexadecimal digits that stand for these bytes.
pub fn sum(bytes: &[u8]) -> String {
    let mut digest = Digest::default();
    digest.add(|b| b.extend_from_slice(bytes));
    digest.hex()[..16].to_string()
}

fn sealed(text: &str) -> String {
    let open = text.strip_suffix('}').expect("a run is a JSON object");
    format!("{open},\"sum\":\"{}\"}}\n", sum(text.as_bytes()))
}

/// The seed and the object of a line, if it is whole.
fn unsealed(line: &str) -> Option<(u64, String)> {
    let (open, tail) = line.rsplit_once(",\"sum\":\"")?;
    let text = format!("{open}}}");
    if tail.strip_suffix("\"}")? != sum(text.as_bytes()) {
        return None;
    }
    let value: Value = serde_json::from_str(&text).ok()?;
    Some((value.get("seed")?.as_u64()?, text))
}

/// Whole lines by seed, and how many were damaged. A line without its end was cut short.
fn parse(bytes: &[u8]) -> (Lines, usize) {
    let (mut lines, mut damaged) = (Lines::new(), 0);
    for piece in bytes.split_inclusive(|b| *b == b'\n') {
        let line = piece.strip_suffix(b"\n").and_then(|l| std::str::from_utf8(l).ok());
        match line.and_then(unsealed) {
            Some((seed, text)) => {
                lines.insert(seed, text);
            }
            None => damaged += 1,
        }
    }
    (lines, damaged)
}

fn whole(lines: &Lines) -> String {
    lines.values().map(|text| sealed(text)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample(seeds: u64) -> Lines {
        (0..seeds).map(|s| (s, json!({"seed": s, "verdict": "pass"}).to_string())).collect()
    }

    #[test]
    fn a_folder_is_continued_only_under_its_own_envelope() {
        let dir = std::env::temp_dir().join(format!("wavetank-ledger-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        let (one, two) = (json!({"program": 1}), json!({"program": 2}));
        let mut first = Ledger::open(&dir, &one, Foreign::Refuse).unwrap();
        let locked = Ledger::open(&dir, &one, Foreign::Refuse).err().unwrap();
        assert_eq!(locked.code, exit::IO);
        for seed in [4, 2] {
            first.ledger.append(&sample(5)[&seed]).unwrap();
        }
        drop(first);
        assert_eq!(Ledger::open(&dir, &two, Foreign::Refuse).err().unwrap().code, exit::DATA);
        let mut again = Ledger::open(&dir, &one, Foreign::Refuse).unwrap();
        assert_eq!(again.kept.keys().collect::<Vec<_>>(), [&2, &4]);
        again.ledger.tidy().unwrap();
        drop(again);
        assert!(Ledger::open(&dir, &two, Foreign::Replace).unwrap().kept.is_empty());
        fs::remove_dir_all(&dir).unwrap();
    }

    proptest! {
        #[test]
        fn a_cut_tail_costs_one_line(seeds in 1u64..20, cut in any::<prop::sample::Index>()) {
            let lines = sample(seeds);
            let text = whole(&lines);
            let bytes = &text.as_bytes()[..cut.index(text.len())];
            let (kept, damaged) = parse(bytes);
            prop_assert_eq!(kept.len(), bytes.iter().filter(|b| **b == b'\n').count());
            prop_assert!(damaged <= 1);
            prop_assert!(kept.iter().all(|(seed, line)| lines[seed] == *line));
        }

        #[test]
        fn a_flipped_bit_is_noticed(at in any::<prop::sample::Index>(), bit in 0u32..8) {
            let lines = sample(5);
            let mut bytes = whole(&lines).into_bytes();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let (kept, damaged) = parse(&bytes);
            prop_assert!(damaged >= 1 && kept.len() >= 3);
            prop_assert!(kept.iter().all(|(seed, line)| lines[seed] == *line));
        }

        #[test]
        fn no_file_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }
    }
}
