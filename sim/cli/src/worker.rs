//! A process that runs seeds for a sweep: nobody types this. Seeds come in on stdin, one a line, `again`
//! behind those that are run a second time; each is answered on stdout with the line of its result, sealed
//! by a checksum as in the sweep's folder, so that what a node itself prints is never taken for one. The
//! first answer names what the worker is about to run, for the sweep to compare with its own reading.
//!
//! What a seed does to its process stays in it: an abort, a stack overflow or more memory than the limit ends
//! this process and costs the sweep that seed. When stdin ends the sweep is over or gone, and the worker ends
//! at once, whatever it was running.
//!
//! A second run has perturbed surroundings: other hash keys and another shell seed, as in `verify`, in
//! another process after other seeds. Its wall clocks show the same day, unlike there: a node may go by
//! them, rightly or as a planted defect, and a violation that it leads to is no less of one.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::sync::mpsc::{Sender, channel};

use clap::Args;
use host::unit::Size;
use kernel::branch::{self, Branch};
use kernel::history::Trace;
use kernel::outcome::{Outcome, exit};
use kernel::run::Options;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};

use crate::args::{Changes, size};
use crate::ledger::{contents, seal};
use crate::session::{Failure, Session};
use crate::terminal::out;

/// `worker`.
#[derive(Debug, Args)]
pub struct Worker {
    /// A scenario's name, or a path that ends in .toml.
    pub scenario: String,
    /// Bytes that this process may hold.
    #[arg(long, value_parser = size)]
    pub memory: Size,
    /// A `sometimes` from which branches are run.
    #[arg(long)]
    pub branch_at: Option<String>,
    /// How many.
    #[arg(long, default_value_t = 0)]
    pub branches: u64,
    /// Also tell which kinds of work the profile charged.
    #[arg(long)]
    pub charged: bool,
    #[command(flatten)]
    pub changes: Changes,
}

/// A seed to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The seed.
    pub seed: u64,
    /// A second run, in perturbed surroundings.
    pub again: bool,
}

impl Request {
    /// As it is sent.
    pub fn line(self) -> String {
        format!("{}{}\n", self.seed, if self.again { " again" } else { "" })
    }

    fn parse(line: &str) -> Option<Request> {
        let (seed, again) = match line.strip_suffix(" again") {
            Some(seed) => (seed, true),
            None => (line, false),
        };
        Some(Request { seed: seed.parse().ok()?, again })
    }
}

/// Runs the seeds that are asked for.
pub fn worker(session: &Session, args: &Worker) -> Result<i32, Failure> {
    limit(args.memory)?;
    let scenario = session.scenario(&args.scenario, &args.changes.sets)?;
    let options = session.options(&scenario, Some(0), &args.changes, Trace::Off)?;
    let explore = args.branch_at.clone().map(|word| (word, args.branches));
    let options = Options { explore, ..options };
    say(&ready(&contents(&scenario, &options)));
    let (sender, requests) = channel();
    std::thread::Builder::new()
        .name("requests".to_string())
        .spawn(move || listen(&sender, Request::parse))
        .map_err(|e| Failure { code: exit::IO, text: format!("no thread: {e}") })?;
    for Request { seed, again } in requests {
        let options = Options { seed, perturbed: again, ..options.clone() };
        say(&match branch::explore(&scenario, session.registry, &options) {
            Ok((outcome, branches)) => {
                let mut line = told(&outcome, &branches, &options);
                if args.charged {
                    line["charged"] = json!(outcome.charged);
                }
                line
            }
            Err(why) => unrun(&scenario.name, seed, ("unknown", None), &why),
        });
    }
    Ok(exit::OK)
}

/// A seed's result. Of one that was branched it also tells what became of the branches, and the first that
/// failed decides.
fn told(outcome: &Outcome, branches: &[(Branch, Outcome)], options: &Options) -> Value {
    let mut line = outcome.json(None);
    if options.explore.is_none() {
        return line;
    }
    let one = |(branch, outcome): &(Branch, Outcome)| {
        let (branch, digest) = (branch.to_string(), &outcome.digest);
        json!({"branch": branch, "verdict": outcome.verdict, "digest": digest})
    };
    line["branches"] = branches.iter().map(one).collect();
    if !branches.is_empty() {
        line["branched"] = branched(branches.iter().map(|(_, outcome)| outcome));
    }
    if let Some((branch, failed)) = branches.iter().find(|(_, outcome)| outcome.failed()) {
        line["branch"] = json!(branch.to_string());
        line["verdict"] = json!(failed.verdict);
        line["class"] = json!(failed.class);
        line["violations"] = json!(failed.violations);
    }
    line
}

/// What became of faults and `sometimes` in all branches of a seed together, each as in a seed's line.
fn branched<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> Value {
    let mut faults: BTreeMap<&str, [u64; 3]> = BTreeMap::new();
    let mut sometimes: BTreeMap<&str, u64> = BTreeMap::new();
    for outcome in outcomes {
        for f in &outcome.faults {
            let sum = faults.entry(&f.kind).or_default();
            *sum = [sum[0] + f.drawn, sum[1] + f.fired, sum[2] + f.effects];
        }
        for (name, count) in &outcome.sometimes {
            *sometimes.entry(name).or_default() += count;
        }
    }
    let fault = |(kind, acts): (&str, [u64; 3])| {
        let [drawn, fired, effects] = acts;
        json!({"kind": kind, "drawn": drawn, "fired": fired, "effects": effects})
    };
    let reached = |(name, count): (&str, u64)| json!({"name": name, "count": count});
    json!({
        "faults": faults.into_iter().map(fault).collect::<Vec<_>>(),
        "sometimes": sometimes.into_iter().map(reached).collect::<Vec<_>>(),
    })
}

/// What a worker says first: what it read.
pub fn ready(contents: &str) -> Value {
    json!({"seed": 0, "ready": contents})
}

/// The result of a seed without a run to tell of: verdict and class, and why.
pub fn unrun(scenario: &str, seed: u64, judged: (&str, Option<&str>), why: &str) -> Value {
    json!({
        "scenario": scenario, "seed": seed, "verdict": judged.0, "class": judged.1,
        "violations": [{"check": "kernel", "at_ns": 0, "hosts": [], "text": why}],
        "digest": "", "virtual_ns": 0, "events": 0, "polls": 0, "measures": {}, "units": {},
        "sometimes": [], "faults": [], "shown": [], "cure": null,
    })
}

/// The line begins anew even if a node printed half of one.
pub fn say(value: &Value) {
    out(&format!("\n{}", seal(&value.to_string())));
}

/// Hands on what is asked for, a line each, for as long as it parses. When stdin ends the sweep or study is
/// over or gone, and so is this process, whatever it was running.
pub fn listen<R>(requests: &Sender<R>, parse: impl Fn(&str) -> Option<R>) {
    for line in std::io::stdin().lock().lines() {
        let Some(request) = line.ok().as_deref().and_then(&parse) else { break };
        if requests.send(request).is_err() {
            break;
        }
    }
    std::process::exit(exit::OK);
}

/// Memory beyond this is refused, which ends the process; and its end leaves no core file.
pub fn limit(memory: Size) -> Result<(), Failure> {
    let set = |resource, most: u64| {
        // Whoever started the sweep may have been given less.
        let most = Some(getrlimit(resource).maximum.map_or(most, |given| given.min(most)));
        let failure = |e| Failure { code: exit::IO, text: format!("limit of a worker: {e}") };
        setrlimit(resource, Rlimit { current: most, maximum: most }).map_err(failure)
    };
    set(Resource::Core, 0)?;
    set(Resource::Data, memory.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_survive_the_pipe() {
        for again in [false, true] {
            let request = Request { seed: u64::MAX, again };
            assert_eq!(Request::parse(request.line().trim_end()), Some(request));
        }
        assert_eq!(Request::parse("seven"), None);
    }
}
