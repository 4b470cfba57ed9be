//! `diff A B`: where two runs part. Each is `SCENARIO@SEED` with its own `--set`, `--plant` and so on after
//! it, or a trace file that `run --keep-trace` wrote. The chained digests are bisected by their
//! checkpoints, the entries around the first difference are made again with their text, and shown host by
//! host: the last that both have, and how each goes on.
//!
//! A trace file is JSON, a line for each entry of the digest: `{n, at_ns, host, text, state}`. Left out: what
//! a host does in both runs alike but later; runs that differ in how many hosts they have are compared by
//! name.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;

use clap::Parser;
use kernel::digest::Entry;
use kernel::history::Trace;
use kernel::outcome::{Outcome, exit};
use kernel::run::Options;
use kernel::scenario::Scenario;
use kernel::verify::{Parting, Print, compare, part};
use serde_json::{Value, json};

use crate::args::{Changes, Format, quoted, seed};
use crate::session::{Failure, Session, write_whole};
use crate::table::{row, table};
use crate::terminal::{grouped, instant, out};

/// `diff`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each of A and B is SCENARIO@SEED or a trace file (run --keep-trace); --set, --plan, --plant, --mute, --weave
and --branch belong to the one that they follow. Exits 0 if the runs are the same, 4 if they part.

  cargo tank diff swarm@7 swarm@7 --weave 1")]
pub struct Args {
    /// A, its options, B, its options.
    #[arg(required = true, num_args = 2.., trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

/// One of the two, as it was typed.
#[derive(Debug, Parser)]
#[command(no_binary_name = true)]
struct Typed {
    what: String,
    #[command(flatten)]
    changes: Changes,
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

/// One of the two.
enum Side {
    Run { label: String, scenario: Arc<Scenario>, options: Box<Options> },
    File { label: String, entries: Vec<Entry> },
}

/// Compares two runs and prints where they part.
pub fn diff(session: &Session, args: &Args) -> Result<i32, Failure> {
    let [a, b] = split(&args.words)?;
    let format = if [&a, &b].iter().any(|t| t.format == Format::Json) {
        Format::Json
    } else {
        Format::Human
    };
    let sides = [side(session, &a)?, side(session, &b)?];
    let (entries, totals) = entries(session, &sides)?;
    let parting = part(&entries[0], &entries[1]);
    let labels = sides.each_ref().map(Side::label);
    out(&match format {
        Format::Json => format!("{}\n", report(labels, parting.as_ref())),
        Format::Human => match &parting {
            None => format!(
                "A  {}\nB  {}\n  the same, all {} entries\n",
                labels[0],
                labels[1],
                grouped(totals[0])
            ),
            Some(parting) => {
                let head = format!(
                    "A  {}, {} entries\nB  {}, {} entries\n",
                    labels[0],
                    grouped(totals[0]),
                    labels[1],
                    grouped(totals[1])
                );
                head + &render(parting)
            }
        },
    });
    Ok(if parting.is_some() { exit::NONDETERMINISM } else { exit::OK })
}

/// The words of A and those of B: options belong to what they follow.
fn split(words: &[String]) -> Result<[Typed; 2], Failure> {
    let mut sides: Vec<Vec<&String>> = Vec::new();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        if !word.starts_with("--") {
            sides.push(vec![word]);
            continue;
        }
        let Some(side) = sides.last_mut() else {
            return Err(Failure::usage(format!(
                "`{word}` stands before the run that it belongs to"
            )));
        };
        side.push(word);
        if !word.contains('=') {
            side.extend(rest.next());
        }
    }
    let count = sides.len();
    let sides: [Vec<&String>; 2] = sides.try_into().map_err(|_| {
        Failure::usage(format!("diff compares two runs; here are {count}: A [OPTIONS] B [OPTIONS]"))
    })?;
    let [a, b] = sides.map(|words| {
        Typed::try_parse_from(words).map_err(|e| {
            Failure::usage(e.to_string().trim_end().trim_start_matches("error: ").to_string())
        })
    });
    Ok([a?, b?])
}

fn side(session: &Session, typed: &Typed) -> Result<Side, Failure> {
    let label = format!("{}{}", quoted(&typed.what), typed.changes.typed());
    let Some((name, number)) = typed.what.rsplit_once('@') else {
        let path = Path::new(&typed.what);
        if !path.exists() {
            let text = format!("`{}` is neither SCENARIO@SEED nor a trace file", typed.what);
            return Err(Failure::usage(text));
        }
        return Ok(Side::File { label, entries: read(path)? });
    };
    let seed = seed(number).map_err(Failure::usage)?;
    let scenario = session.scenario(name, &typed.changes.sets)?;
    let options = session.options(&scenario, Some(seed), &typed.changes, Trace::Off)?;
    Ok(Side::Run { label, scenario, options: Box::new(options) })
}

impl Side {
    fn label(&self) -> &str {
        match self {
            Side::Run { label, .. } | Side::File { label, .. } => label,
        }
    }

    fn outcome(
        &self,
        session: &Session,
        window: std::ops::Range<u64>,
    ) -> Result<Option<Outcome>, Failure> {
        let Side::Run { scenario, options, .. } = self else { return Ok(None) };
        let options = Options { window, ..(**options).clone() };
        kernel::run::run(scenario, session.registry, &options).map(Some).map_err(Failure::data)
    }
}

/// The entries of both that matter, from the same number on, and how many there are in all.
fn entries(session: &Session, sides: &[Side; 2]) -> Result<([Vec<Entry>; 2], [u64; 2]), Failure> {
    let run = |side: &Side| side.outcome(session, 0..0);
    let window = match (run(&sides[0])?, run(&sides[1])?) {
        (Some(a), Some(b)) => match compare(&Print::from(&a), &Print::from(&b)) {
            Some(difference) => difference.window,
            None => return Ok(([Vec::new(), Vec::new()], [a.events, b.events])),
        },
        _ => 0..u64::MAX,
    };
    let one = |side: &Side| -> Result<(Vec<Entry>, u64), Failure> {
        Ok(match (side, side.outcome(session, window.clone())?) {
            (_, Some(outcome)) => (outcome.entries, outcome.events),
            (Side::File { entries, .. }, None) => (entries.clone(), entries.len() as u64),
            (Side::Run { .. }, None) => unreachable!("a run has an outcome"),
        })
    };
    let ((a, all_a), (b, all_b)) = (one(&sides[0])?, one(&sides[1])?);
    Ok(([a, b], [all_a, all_b]))
}

/// Where two runs part, for people.
pub fn render(parting: &Parting) -> String {
    let [a, b] = &parting.first;
    let number = a.as_ref().or(b.as_ref()).map_or(0, |e| e.number);
    let at = [a, b].into_iter().flatten().map(|e| e.at).min().unwrap_or(0);
    let mut text = format!("  they part at entry {}, {} s\n", grouped(number), exactly(at));
    let line = |mark: &str, e: &Entry| row([mark, &exactly(e.at), &e.host, &e.text]);
    let mut rows = Vec::new();
    for (mark, entry) in ["A", "B"].iter().zip([a, b]) {
        rows.push(match entry {
            Some(entry) => line(mark, entry),
            None => row([mark, "", "", "(has ended)"]),
        });
    }
    text.push_str(&table(rows, 4, None));
    for host in &parting.hosts {
        let mut rows: Vec<Vec<String>> = host.common.iter().map(|e| line(" ", e)).collect();
        for (mark, side) in ["A", "B"].iter().zip(&host.apart) {
            rows.extend(side.iter().map(|e| line(mark, e)));
        }
        text.push_str(&format!("\n  {}\n{}", host.host, table(rows, 4, None)));
    }
    text
}

/// Seconds to the nanosecond, for runs may part by less than a microsecond.
fn exactly(ns: u64) -> String {
    format!("{} {:03}", instant(ns), ns % 1_000)
}

fn report(labels: [&str; 2], parting: Option<&Parting>) -> Value {
    let entry = |e: &Entry| line_of(e);
    let list = |side: &[Entry]| side.iter().map(entry).collect::<Vec<_>>();
    json!({
        "a": labels[0],
        "b": labels[1],
        "same": parting.is_none(),
        "first": parting.map(|p| p.first.each_ref().map(|e| e.as_ref().map(entry))),
        "hosts": parting.map(|p| p.hosts.iter().map(|h| json!({
            "host": h.host, "common": list(&h.common), "a": list(&h.apart[0]), "b": list(&h.apart[1]),
        })).collect::<Vec<_>>()),
    })
}

fn line_of(e: &Entry) -> Value {
    let state = format!("{:032x}", e.state);
    json!({"n": e.number, "at_ns": e.at, "host": e.host, "text": e.text, "state": state})
}

/// Entries as JSON.
pub fn lines(entries: &[Entry]) -> Vec<Value> {
    entries.iter().map(line_of).collect()
}

/// Writes a trace file.
pub fn keep(path: &Path, entries: &[Entry]) -> Result<(), Failure> {
    let text: String = entries.iter().map(|e| format!("{}\n", line_of(e))).collect();
    write_whole(path, &text)
}

/// An entry from JSON; `None` if it is none.
pub fn entry(line: &Value) -> Option<Entry> {
    let text = |name: &str| Some(line.get(name)?.as_str()?.to_string());
    Some(Entry {
        number: line.get("n")?.as_u64()?,
        at: line.get("at_ns")?.as_u64()?,
        host: text("host")?,
        text: text("text")?,
        state: u128::from_str_radix(&text("state")?, 16).ok()?,
    })
}

fn read(path: &Path) -> Result<Vec<Entry>, Failure> {
    let file = fs::File::open(path).map_err(|e| Failure::io(path, &e))?;
    let mut entries = Vec::new();
    for (i, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(|e| Failure::io(path, &e))?;
        let value = serde_json::from_str::<Value>(&line).ok();
        let Some(entry) = value.as_ref().and_then(entry) else {
            let text = format!("{}:{}: not a line of a trace file", path.display(), i + 1);
            return Err(Failure::data(text));
        };
        entries.push(entry);
    }
    if entries.is_empty() {
        return Err(Failure::data(format!("{}: holds no entry", path.display())));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_string).collect()
    }

    #[test]
    fn options_belong_to_the_run_that_they_follow() {
        let [a, b] = split(&words("swarm@7 --plant x --set k=v swarm@8 --weave=2")).unwrap();
        assert_eq!((a.changes.plants, a.changes.sets.len(), a.changes.weave), (words("x"), 1, 0));
        assert_eq!((b.what.as_str(), b.changes.weave), ("swarm@8", 2));
        assert!(split(&words("--weave 1 a@1 b@2")).is_err());
        assert!(split(&words("a@1")).unwrap_err().text.contains("two runs"));
        assert!(split(&words("a@1 b@2 --weav 1")).unwrap_err().text.contains("--weave"));
    }

    proptest! {
        #[test]
        fn an_entry_survives_its_file(
            number: u64, at: u64, host in ".{0,9}", text in ".{0,40}", state: u128,
        ) {
            let one = Entry { number, at, host, text, state };
            prop_assert_eq!(entry(&line_of(&one)), Some(one));
        }
    }
}
