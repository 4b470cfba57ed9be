//! `merge DIR... --out DIR`: the folders of a sweep's shards become the folder of the whole sweep, and are
//! summed up as the sweep itself would have been: same summary, same exit code. The folders must be of one
//! program, scenario and options, and this program and the scenario as it is now must be the same too, since
//! the summary is made of them. Seeds and shards may be any.
//!
//! A seed that is in several folders must have the same result in all of them; else it is `flaky` (exit 4).
//! A seed that is in none, between the first and the last that were asked for, is named, and the merged
//! sweep is then `unknown` (exit 6) unless something worse was found.

use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, CommandFactory, FromArgMatches};
use host::unit::Ratio;
use kernel::history::Trace;
use kernel::outcome::exit;
use kernel::run::Options;
use serde_json::{Value, json};

use crate::again::judged;
use crate::args::{Arguments, Command, Format, Sweep, seeds, share};
use crate::ledger::{Foreign, Ledger, Lines, alike, envelope, look};
use crate::seeds::Seeds;
use crate::session::{Failure, Session, worst};
use crate::summary::Summary;
use crate::sweep::explored;
use crate::tally::Tally;
use crate::terminal::{err, grouped, out};

/// Missing seeds that are named.
const NAMED_MAX: usize = 10;

/// `merge`.
#[derive(Debug, Args)]
pub struct Merge {
    /// Folders of sweeps: of shards, or of other seeds.
    #[arg(required = true)]
    pub dirs: Vec<PathBuf>,
    /// The folder of the whole sweep.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Share of seeds whose verdict may be `unknown` without failing the sweep.
    #[arg(long, value_name = "SHARE", value_parser = share, default_value = "1%")]
    pub unknown_max: Ratio,
    /// For people or machines.
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
}

/// What the folders hold together.
struct Union {
    envelope: Value,
    seeds: Seeds,
    lines: Lines,
}

/// Puts the folders together, and sums them up.
pub fn merge(session: &Session, args: &Merge) -> Result<i32, Failure> {
    let begun = Instant::now();
    let place = |dir: &Path| std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_path_buf());
    if args.dirs.iter().any(|dir| place(dir) == place(&args.out)) {
        let text = format!("{}: --out is one of the folders to merge", args.out.display());
        return Err(Failure::usage(text));
    }
    let union = union(args)?;
    let sweep = asked(&union.envelope)?;
    let scenario = session.scenario(&sweep.scenario, &sweep.changes.sets)?;
    let options = session.options(&scenario, Some(0), &sweep.changes, Trace::Off)?;
    let options = Options { explore: explored(&sweep, &scenario, session)?, ..options };
    if !alike(&union.envelope, &envelope(&scenario, &options)?) {
        let first = args.dirs[0].display();
        return Err(Failure::data(format!(
            "{first}: was swept by another program, or with another scenario or plan than are here"
        )));
    }
    let mut ledger = Ledger::open(&args.out, &union.envelope, Foreign::Refuse)?.ledger;
    ledger.replace(&union.lines)?;
    let mut tally = Tally::of(1, args.unknown_max);
    for text in union.lines.values() {
        tally.add(&serde_json::from_str(text).unwrap_or_default());
        if args.format == Format::Json {
            out(&format!("{text}\n"));
        }
    }
    let notes = missing(&union);
    let incomplete = (!notes.is_empty()).then_some(exit::VACUOUS);
    let code = worst(incomplete.into_iter().chain([tally.exit_code(&scenario)]));
    let seconds = begun.elapsed().as_secs_f64();
    match args.format {
        Format::Json => {
            notes.iter().for_each(|note| err(&format!("{note}\n")));
            out(&format!("{}\n", tally.summary(&scenario, seconds, code)));
        }
        Format::Human => out(&Summary {
            asked: &sweep.scenario,
            program: session.registry.program(),
            scenario: &scenario,
            changes: &sweep.changes,
            seeds: union.seeds,
            tally: &tally,
            notes: &notes,
            kept: String::new(),
            code,
        }
        .render(seconds, &ledger.path)),
    }
    Ok(code)
}

fn union(args: &Merge) -> Result<Union, Failure> {
    let mut all: Option<Union> = None;
    for dir in &args.dirs {
        let (envelope, lines, damaged) = look(dir)?;
        if damaged > 0 {
            err(&format!("{}: {damaged} damaged lines are left out\n", dir.display()));
        }
        let range = envelope["sweep"]["seeds"].as_str().map_or_else(String::new, str::to_string);
        let range = seeds(&range)
            .map_err(|why| Failure::data(format!("{}: envelope: {why}", dir.display())))?;
        let Some(union) = &mut all else {
            all = Some(Union { envelope, seeds: range.into(), lines });
            continue;
        };
        if !alike(&union.envelope, &envelope) {
            let (first, dir) = (args.dirs[0].display(), dir.display());
            return Err(Failure::data(format!(
                "{dir}: holds a sweep of another program, scenario or options than {first}"
            )));
        }
        let hull = &mut union.seeds.range;
        *hull = hull.start.min(range.start)..hull.end.max(range.end);
        lines.into_iter().for_each(|(seed, text)| add(&mut union.lines, seed, text));
    }
    let mut union = all.ok_or_else(|| Failure::usage("merge what?"))?;
    let range = &union.seeds.range;
    union.envelope["sweep"]["seeds"] = json!(format!("{}..{}", range.start, range.end));
    union.envelope["sweep"]["shard"] = json!("1/1");
    let range = range.clone();
    union.lines.retain(|seed, _| range.contains(seed));
    Ok(union)
}

/// Adds a result; one that contradicts what is there makes both worthless.
fn add(lines: &mut Lines, seed: u64, text: String) {
    match lines.entry(seed) {
        Entry::Vacant(place) => {
            place.insert(text);
        }
        Entry::Occupied(mut there) if *there.get() != text => {
            let read = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
            let flaky = judged(read(there.get()), &read(&text));
            there.insert(flaky.to_string());
        }
        Entry::Occupied(_) => {}
    }
}

/// The sweep that filled a folder, as it was typed.
fn asked(envelope: &Value) -> Result<Sweep, Failure> {
    let sweep = &envelope["sweep"];
    let words = sweep["arguments"].as_array().into_iter().flatten();
    let words = std::iter::once(&sweep["asked"]).chain(words).filter_map(Value::as_str);
    let typed = ["wavetank", "sweep"].into_iter().chain(words);
    let parsed = Arguments::command().try_get_matches_from(typed);
    match parsed.and_then(|m| Arguments::from_arg_matches(&m)).map(|a| a.command) {
        Ok(Some(Command::Sweep(sweep))) => Ok(sweep),
        _ => Err(Failure::data("envelope: it does not say what was swept")),
    }
}

/// Seeds that no folder has: one line, or none.
fn missing(union: &Union) -> Vec<String> {
    let Union { seeds, lines, .. } = union;
    let count = seeds.count().saturating_sub(lines.len() as u64);
    if count == 0 {
        return Vec::new();
    }
    let absent = seeds.range.clone().filter(|seed| !lines.contains_key(seed));
    let named: Vec<String> = absent.take(NAMED_MAX).map(|seed| seed.to_string()).collect();
    let more = if count as usize > named.len() { ", ..." } else { "" };
    vec![format!("{} seeds are missing: {}{more}", grouped(count), named.join(", "))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_a_seed_agree_or_are_flaky() {
        let line = |seed: u64, digest: &str| {
            json!({"seed": seed, "verdict": "pass", "digest": digest, "violations": []}).to_string()
        };
        let mut lines = Lines::new();
        for (seed, digest) in [(1, "aa"), (3, "cc"), (1, "aa"), (3, "dd")] {
            add(&mut lines, seed, line(seed, digest));
        }
        assert_eq!(lines[&1], line(1, "aa"));
        let flaky: Value = serde_json::from_str(&lines[&3]).unwrap();
        assert_eq!(flaky["verdict"], "flaky");
        let union = Union { envelope: Value::Null, seeds: (0..5).into(), lines };
        assert_eq!(missing(&union), ["3 seeds are missing: 0, 2, 4"]);
    }

    #[test]
    fn what_was_swept_is_read_back() {
        let words = ["--set", "heartbeat=5ms", "--plant", "vote_before_fsync"];
        let envelope = json!({"sweep": {"asked": "a/b.toml", "arguments": words}});
        let sweep = asked(&envelope).unwrap();
        assert_eq!((sweep.scenario.as_str(), sweep.changes.arguments().len()), ("a/b.toml", 4));
        assert!(asked(&json!({})).is_err());
    }
}
