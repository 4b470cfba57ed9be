//! Kept plans: what `shrink --keep` left in `faults/plans`, replayed before every sweep of its scenario with
//! the plants, values and weave that it was kept with.
//!
//! A plan without a plant is a failure that was found: as long as it fails, so does the sweep; once the cause
//! is mended it `passes`. A plan with a plant is a regression test of the net: it must go on failing, and is
//! `caught`; if it does not fail it has `escaped`.
//!
//! The envelope says of what a plan is: the tool, the sources of nodes and simulator, the lock file, the
//! values of the scenario. With any other the same faults at the same times may miss what they hit before,
//! so a plan that does not fail then is `stale` and proves nothing: shrink the seed again, or remove it. One
//! that cannot even be run there is `unreadable`: stale too, with the reason told, and no end of the sweep. A
//! fresh plan that does not fail is a run that did not come back, which fails the sweep (exit 4). Sources
//! are hashed where they lie; a program far from them calls every plan stale.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use kernel::digest::Digest;
use kernel::doc::{Doc, Reader};
use kernel::history::Trace;
use kernel::outcome::exit;
use kernel::plan::{Expect, Plan};
use kernel::run::Options;
use kernel::scenario::Scenario;
use kernel::shrink::Failure as Kind;
use serde_json::{Value, json};

use crate::args::{Changes, quoted};
use crate::session::{Failure, Session, worst};
use crate::table::{row, table};
use crate::terminal::Paint;

/// Where plans are kept, below the project's folder.
const KEPT: &str = "faults/plans";
/// Where plans lie that nobody asked to keep.
const SCRATCH: &str = "target/shrink";
/// What a run depends on besides the scenario: folders of sources.
const SOURCES: [&str; 7] =
    ["nodes", "workloads", "faults", "sim/host", "sim/judge", "sim/kernel", "sim/checks"];
/// Plans of one name at most.
const SAME_MAX: u32 = 100;

/// What became of a kept plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It fails, as it did.
    Fails,
    /// It fails in another way.
    FailsOtherwise,
    /// It does not fail any more.
    Passes,
    /// It fails under its plant, as it should.
    Caught,
    /// It does not fail under its plant as it did.
    Escaped,
    /// It is of other surroundings, in which alone it could be run.
    Unreadable,
}

impl Status {
    fn word(self) -> &'static str {
        match self {
            Status::Fails => "fails",
            Status::FailsOtherwise => "fails_otherwise",
            Status::Passes => "passes",
            Status::Caught => "caught",
            Status::Escaped => "escaped",
            Status::Unreadable => "unreadable",
        }
    }
}

/// A kept plan that was replayed.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// The file, below the project's folder.
    pub file: PathBuf,
    /// What became of it.
    pub status: Status,
    /// Parts of the envelope that do not match any more.
    pub stale: Vec<String>,
    /// What failed, or what should have, as far as the file can be read.
    pub check: String,
    /// Why it could not be run.
    pub why: Option<String>,
    /// What it adds to the sweep's exit code.
    pub code: i32,
    /// How to run it again.
    pub again: String,
}

/// Replays the kept plans of a scenario, in the order of their names.
pub fn replay(
    session: &Session,
    asked: &str,
    scenario: &Scenario,
) -> Result<Vec<Replayed>, Failure> {
    let root = session.root();
    let prefix = format!("{}-", safe(&scenario.name));
    let mut files = Vec::new();
    for entry in fs::read_dir(root.join(KEPT)).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(&prefix) && name.ends_with(".toml") {
            files.push(Path::new(KEPT).join(name));
        }
    }
    files.sort();
    let mut replayed = Vec::new();
    for file in files {
        let plan = session.plan(&root.join(&file), scenario);
        let run = plan.and_then(|plan| {
            let expect = plan.expect.clone();
            expect.map(|expect| one(session, asked, file.clone(), plan, &expect)).transpose()
        });
        match run {
            Ok(run) => replayed.extend(run),
            Err(failure) => replayed.push(unreadable(session, asked, scenario, file, failure)?),
        }
    }
    Ok(replayed)
}

/// A plan that cannot be run, if that is because it was kept in other surroundings; a fresh one is wrong.
fn unreadable(
    session: &Session,
    asked: &str,
    scenario: &Scenario,
    file: PathBuf,
    failure: Failure,
) -> Result<Replayed, Failure> {
    let root = session.root();
    let text = fs::read_to_string(root.join(&file)).unwrap_or_default();
    let Ok(doc) = Doc::parse(&file.display().to_string(), &text, "") else { return Err(failure) };
    let mut reader = Reader::new(&doc);
    let mut kept = BTreeMap::new();
    for name in doc.children("envelope") {
        kept.extend(reader.one("envelope", &name).map(|hash| (name, hash)));
    }
    let sets = reader.many("expect", "sets");
    let sets: Vec<(String, String)> = sets.iter().filter_map(|set| split(set)).collect();
    let now = match session.scenario(asked, &sets) {
        Ok(scenario) => envelope(&root, &scenario)?,
        // It could be read once, so the scenario is another; its values here are those without a set.
        Err(_) => envelope(&root, scenario)?,
    };
    let stale = differing(&kept, &now);
    if kept.is_empty() || stale.is_empty() {
        return Err(failure);
    }
    let check = reader.one("expect", "check").unwrap_or_else(|| "-".to_string());
    let again = format!("{} run {} --plan {}", session.registry.program(), quoted(asked), {
        quoted(&file.display().to_string())
    });
    let (status, why) = (Status::Unreadable, Some(failure.text));
    Ok(Replayed { file, status, stale, check, why, code: exit::OK, again })
}

/// Parts of two envelopes that are not the same.
fn differing(kept: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Vec<String> {
    let names: BTreeSet<&String> = now.keys().chain(kept.keys()).collect();
    names.into_iter().filter(|name| kept.get(*name) != now.get(*name)).cloned().collect()
}

/// KEY=VALUE.
fn split(set: &str) -> Option<(String, String)> {
    set.split_once('=').map(|(key, value)| (key.to_string(), value.to_string()))
}

fn one(
    session: &Session,
    asked: &str,
    file: PathBuf,
    plan: Plan,
    expect: &Expect,
) -> Result<Replayed, Failure> {
    let wrong = |failure: Failure| Failure::data(format!("{}: {}", file.display(), failure.text));
    let changes = Changes {
        sets: expect.sets.iter().filter_map(|set| split(set)).collect(),
        plan: Some(file.clone()),
        plants: expect.plants.clone(),
        mute: expect.mute.clone(),
        weave: expect.weave,
        branch: None,
    };
    let scenario = session.scenario(asked, &changes.sets).map_err(wrong)?;
    let bare = Changes { plan: None, ..changes.clone() };
    let seed = plan.seed.or(Some(0));
    let options = session.options(&scenario, seed, &bare, Trace::Off).map_err(wrong)?;
    let options = Options { plan: Some(plan), ..options };
    let outcome = kernel::run::run(&scenario, session.registry, &options)
        .map_err(|why| wrong(Failure::data(why)))?;
    let now = envelope(&session.root(), &scenario)?;
    let stale = differing(&expect.envelope, &now);
    let kind = Kind::of(&outcome, &scenario);
    let same = |k: &Kind| k.check == expect.check && k.class.word() == expect.class;
    let status = match (&kind, expect.plants.is_empty()) {
        (Some(k), true) if same(k) => Status::Fails,
        (Some(k), false) if same(k) => Status::Caught,
        (Some(_), true) => Status::FailsOtherwise,
        (None, true) => Status::Passes,
        (_, false) => Status::Escaped,
    };
    let code = match status {
        Status::Fails | Status::FailsOtherwise => outcome.exit_code(),
        Status::Passes | Status::Escaped if stale.is_empty() => exit::NONDETERMINISM,
        Status::Passes | Status::Caught | Status::Escaped | Status::Unreadable => exit::OK,
    };
    let check = match (status, kind) {
        (Status::FailsOtherwise, Some(kind)) => kind.check,
        _ => expect.check.clone(),
    };
    let (program, typed) = (session.registry.program(), changes.typed());
    let again = format!("{program} run {}{typed}", quoted(asked));
    Ok(Replayed { file, status, stale, check, why: None, code, again })
}

/// What kept plans add to a sweep's exit code.
pub fn code(replayed: &[Replayed]) -> i32 {
    worst(replayed.iter().map(|r| r.code))
}

/// Kept plans for people; empty if there are none.
pub fn told(replayed: &[Replayed], paint: Paint) -> String {
    let line = |r: &Replayed| {
        let word = r.status.word().replace('_', " ");
        let word = match (r.code, r.stale.is_empty()) {
            (exit::OK, true) => paint.good(&word),
            (exit::OK, false) => paint.warn(&format!("{word}, stale")),
            (_, true) => paint.bad(&word),
            (_, false) => paint.bad(&format!("{word}, stale")),
        };
        let name = r.file.file_name().unwrap_or_default().to_string_lossy();
        let again = if r.code == exit::OK { "" } else { &r.again };
        let other = match r.stale.is_empty() {
            true => String::new(),
            false => format!("other {}", r.stale.join(", ")),
        };
        row([&word, &r.check, &name, &other, again])
    };
    if replayed.is_empty() {
        return String::new();
    }
    let why =
        |r: &Replayed| r.why.as_ref().map(|why| format!("    {}\n", why.replace('\n', "\n    ")));
    let why: String = replayed.iter().filter_map(why).collect();
    format!("  kept plans\n{}{why}\n", table(replayed.iter().map(line).collect(), 4, None))
}

/// Kept plans for machines: `[{plan, status, check, stale: [part], why, again}]`.
pub fn json(replayed: &[Replayed]) -> Value {
    let object = |r: &Replayed| {
        json!({
            "plan": r.file, "status": r.status.word(), "check": r.check,
            "stale": r.stale, "why": r.why, "again": r.again,
        })
    };
    replayed.iter().map(object).collect()
}

/// Where a plan is written, below the project's folder: what its name says is safe for a file, and a plan
/// of the same name that was made under other changes is left alone. Makes the folder.
pub fn path(root: &Path, plan: &Plan, keep: bool) -> Result<PathBuf, Failure> {
    let folder = if keep { KEPT } else { SCRATCH };
    let made = root.join(folder);
    fs::create_dir_all(&made).map_err(|e| Failure::io(&made, &e))?;
    let expect = plan.expect.clone().unwrap_or_default();
    let scenario = safe(plan.scenario.as_deref().unwrap_or("plan"));
    let stem = format!("{scenario}-{}-{}", safe(&expect.check), plan.seed.unwrap_or(0));
    let same = |path: &Path| {
        let Ok(text) = fs::read_to_string(root.join(path)) else {
            return !root.join(path).exists();
        };
        let says = |name: &str, words: &[String]| {
            let line = text.lines().find(|l| l.starts_with(&format!("{name} = [")));
            let quoted: Vec<String> = words.iter().map(|w| format!("{w:?}")).collect();
            line.map_or(words.is_empty(), |l| l == format!("{name} = [{}]", quoted.join(", ")))
        };
        says("plants", &expect.plants) && says("sets", &expect.sets) && says("mute", &expect.mute)
    };
    let named = |n: u32| match n {
        1 => Path::new(folder).join(format!("{stem}.toml")),
        n => Path::new(folder).join(format!("{stem}-{n}.toml")),
    };
    let free = (1..=SAME_MAX).map(named).find(|path| same(path));
    free.ok_or_else(|| Failure::data(format!("{folder}: {SAME_MAX} plans are called {stem}")))
}

/// A word as a part of a file's name: small letters, digits and underscores, 64 at most.
fn safe(word: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    word.chars().take(64).map(plain).collect()
}

/// What the outcome of a plan depends on: hashes by name.
pub fn envelope(root: &Path, scenario: &Scenario) -> Result<BTreeMap<String, String>, Failure> {
    let mut values = Digest::default();
    for e in &scenario.effective {
        values.add(|b| b.extend_from_slice(format!("{}={}", e.key, e.value).as_bytes()));
    }
    let mut sources = Vec::new();
    for folder in SOURCES {
        walk(&root.join(folder), &mut sources);
    }
    sources.sort();
    let hash = |files: &[PathBuf]| {
        let mut digest = Digest::default();
        for file in files {
            let bytes = fs::read(file).map_err(|e| Failure::io(file, &e))?;
            let name = file.strip_prefix(root).unwrap_or(file).display().to_string();
            digest.add(|b| b.extend_from_slice(name.as_bytes()));
            digest.add(|b| b.extend_from_slice(&bytes));
        }
        Ok::<String, Failure>(digest.hex()[..16].to_string())
    };
    let lock = root.join("Cargo.lock");
    let lock = if lock.exists() { hash(&[lock])? } else { "none".to_string() };
    let nodes = if sources.is_empty() { "none".to_string() } else { hash(&sources)? };
    let tool = env!("CARGO_PKG_VERSION").to_string();
    let scenario = values.hex()[..16].to_string();
    let parts = [("tool", tool), ("nodes", nodes), ("lock", lock), ("scenario", scenario)];
    Ok(parts.map(|(name, hash)| (name.to_string(), hash)).into())
}

/// Every Rust source below a folder; tests do not count.
fn walk(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() && name != "tests" && name != "target" {
            walk(&path, out);
        } else if name.ends_with(".rs") {
            out.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The program's own part, which reads and prints, decides no run.
    #[test]
    fn every_package_that_a_run_is_made_of_counts() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
        let path =
            |line: &str| Some(line.split_once("{ path = \"")?.1.split('"').next()?.to_string());
        let paths: Vec<String> = manifest.lines().filter_map(path).collect();
        assert!(paths.len() >= 8, "{paths:?}");
        for path in paths.iter().filter(|path| *path != "sim/cli") {
            assert!(SOURCES.iter().any(|folder| Path::new(path).starts_with(folder)), "{path}");
        }
    }

    #[test]
    fn no_word_leaves_the_folder() {
        assert_eq!(safe("../../Etc/passwd"), "______etc_passwd");
        assert_eq!(safe(&"a".repeat(500)).len(), 64);
    }

    #[test]
    fn a_plan_of_other_changes_is_left_alone() {
        let root = std::env::temp_dir().join(format!("wavetank-kept-{}", std::process::id()));
        let plan = |plants: &[&str]| Plan {
            scenario: Some("swarm".into()),
            seed: Some(7),
            expect: Some(Expect {
                check: "read_fresh".into(),
                class: "safety".into(),
                plants: plants.iter().map(|p| (*p).to_string()).collect(),
                ..Expect::default()
            }),
            ..Plan::default()
        };
        let first = path(&root, &plan(&["a", "b"]), true).unwrap();
        assert_eq!(first, Path::new("faults/plans/swarm-read_fresh-7.toml"));
        fs::write(root.join(&first), plan(&["a", "b"]).artifact()).unwrap();
        assert_eq!(path(&root, &plan(&["a", "b"]), true).unwrap(), first);
        for other in [&["b"][..], &[]] {
            let second = path(&root, &plan(other), true).unwrap();
            assert_eq!(second, Path::new("faults/plans/swarm-read_fresh-7-2.toml"));
        }
        fs::remove_dir_all(&root).unwrap();
    }
}
