//! The folder of a sweep: `results.jsonl` with one line per finished seed, and `envelope.json` that says of
//! what. A line is written in one piece and carries a checksum (`sum`, over the object without it), so an
//! interrupt or a full disk costs at most the last line: damaged lines are dropped and their seeds run
//! again. Results are only continued under the same envelope: program, scenario values, options. What was
//! asked for (`sweep`: scenario, arguments, seeds, shard) stands there too and may be another each time. The
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
    /// Bytes of whole lines.
    len: u64,
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
    /// Refuse them, and refuse a folder without a sweep too: there is something to go on with.
    Demand,
}

impl Ledger {
    /// Opens or makes a folder.
    pub fn open(dir: &Path, envelope: &Value, foreign: Foreign) -> Result<Opened, Failure> {
        if foreign == Foreign::Demand && !dir.is_dir() {
            return Err(nothing(dir));
        }
        fs::create_dir_all(dir).map_err(|e| Failure::io(dir, &e))?;
        let lock = lock(dir)?;
        let label = dir.join("envelope.json");
        let path = dir.join("results.jsonl");
        let known = read(&label)?;
        if known.is_none() && foreign == Foreign::Demand {
            return Err(nothing(dir));
        }
        let same = match known {
            None => true,
            Some(bytes) => serde_json::from_slice(&bytes).is_ok_and(|v| alike(&v, envelope)),
        };
        let bytes = read(&path)?.unwrap_or_default();
        if !same && !bytes.is_empty() && foreign != Foreign::Replace {
            return Err(Failure::data(format!(
                "{}: holds a sweep of another program, scenario or options; name another --out, or \
                 remove it",
                dir.display()
            )));
        }
        let (kept, damaged) = if same { parse(&bytes) } else { (Lines::new(), 0) };
        write_whole(&label, &format!("{envelope}\n"))?;
        let text = whole(&kept);
        write_whole(&path, &text)?;
        let file =
            OpenOptions::new().append(true).open(&path).map_err(|e| Failure::io(&path, &e))?;
        let ledger = Ledger { path, file, len: text.len() as u64, _lock: lock };
        Ok(Opened { ledger, kept, damaged })
    }

    /// Throws away what is there.
    pub fn clear(&mut self) -> Result<(), Failure> {
        self.len = 0;
        self.file.set_len(0).map_err(|e| Failure::io(&self.path, &e))
    }

    /// Adds the line of a seed, in one piece; a disk without room for all of it keeps none of it.
    pub fn append(&mut self, text: &str) -> Result<(), Failure> {
        let line = seal(text);
        let written = self.file.write_all(line.as_bytes());
        if let Err(error) = written {
            let _ = self.file.set_len(self.len);
            return Err(Failure::io(&self.path, &error));
        }
        self.len += line.len() as u64;
        Ok(())
    }

    /// Writes these lines in place of what is there.
    pub fn replace(&mut self, lines: &Lines) -> Result<(), Failure> {
        write_whole(&self.path, &whole(lines))
    }

    /// Puts the lines into the order of their seeds, if they are not.
    pub fn tidy(&mut self) -> Result<(), Failure> {
        let bytes = read(&self.path)?.unwrap_or_default();
        let text = whole(&parse(&bytes).0);
        if text.as_bytes() == bytes { Ok(()) } else { write_whole(&self.path, &text) }
    }
}

/// Keeps others out of a folder for as long as the file lives.
pub fn lock(dir: &Path) -> Result<File, Failure> {
    let path = dir.join("lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|e| Failure::io(&path, &e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let text =
                format!("{}: another process writes here; name another --out", dir.display());
            Err(Failure { code: exit::IO, text })
        }
        Err(TryLockError::Error(error)) => Err(Failure::io(&path, &error)),
    }
}

/// A file's bytes, if there is one.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::io(path, &error)),
    }
}

fn nothing(dir: &Path) -> Failure {
    Failure::data(format!("{}: there is no sweep to resume", dir.display()))
}

/// A folder's envelope and whole lines, for who only reads; and how many lines were damaged.
pub fn look(dir: &Path) -> Result<(Value, Lines, usize), Failure> {
    let label = dir.join("envelope.json");
    let envelope = read(&label)?.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let Some(envelope) = envelope else {
        return Err(Failure::data(format!("{}: no envelope of a sweep", label.display())));
    };
    let bytes = read(&dir.join("results.jsonl"))?.unwrap_or_default();
    let (lines, damaged) = parse(&bytes);
    Ok((envelope, lines, damaged))
}

/// Whether two envelopes are of the same program, scenario and options, whichever seeds were asked for.
pub fn alike(a: &Value, b: &Value) -> bool {
    let bare = |envelope: &Value| {
        let mut bare = envelope.clone();
        bare.as_object_mut().map(|fields| fields.remove("sweep"));
        bare
    };
    bare(a) == bare(b)
}

/// What a sweep's results depend on.
pub fn envelope(scenario: &Scenario, options: &Options) -> Result<Value, Failure> {
    Ok(json!({
        "schema": 2,
        "tool": env!("CARGO_PKG_VERSION"),
        "program": program().map_err(|e| Failure::io(Path::new("this program"), &e))?,
        "scenario": scenario.name,
        "contents": contents(scenario, options),
    }))
}

/// Sixteen hexadecimal digits that stand for all that was read: a scenario's values, a plan, options.
pub fn contents(scenario: &Scenario, options: &Options) -> String {
    let mut values = Digest::default();
    for e in &scenario.effective {
        values.add(|b| b.extend_from_slice(format!("{}={}", e.key, e.value).as_bytes()));
    }
    let Options { weave, plants, mute, plan, branch, explore, .. } = options;
    let changed = format!("{weave} {plants:?} {mute:?} {plan:?} {branch:?} {explore:?}");
    values.add(|b| b.extend_from_slice(changed.as_bytes()));
    values.hex()[..16].to_string()
}

/// Names the build: the version alone does not change while one works on the code.
pub fn program() -> io::Result<String> {
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

/// The line of a JSON object: with its checksum, and ended.
pub fn seal(text: &str) -> String {
    let open = text.strip_suffix('}').expect("a run is a JSON object");
    format!("{open},\"sum\":\"{}\"}}\n", sum(text.as_bytes()))
}

/// The seed and the object of a line, if it is whole.
pub fn unseal(line: &str) -> Option<(u64, String)> {
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
        match line.and_then(unseal) {
            Some((seed, text)) => {
                lines.insert(seed, text);
            }
            None => damaged += 1,
        }
    }
    (lines, damaged)
}

fn whole(lines: &Lines) -> String {
    lines.values().map(|text| seal(text)).collect()
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
        assert_eq!(again.ledger.len, fs::metadata(&again.ledger.path).unwrap().len());
        again.ledger.tidy().unwrap();
        drop(again);
        let other_seeds = json!({"program": 1, "sweep": {"seeds": "0..9"}});
        assert_eq!(Ledger::open(&dir, &other_seeds, Foreign::Demand).unwrap().kept.len(), 2);
        assert_eq!(look(&dir).unwrap().0, other_seeds);
        assert!(Ledger::open(&dir, &two, Foreign::Replace).unwrap().kept.is_empty());
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(Ledger::open(&dir, &one, Foreign::Demand).err().unwrap().code, exit::DATA);
        assert!(!dir.exists(), "a folder that is not there is not made");
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
