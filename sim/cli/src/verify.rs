//! `verify SCENARIO`: a seed has one run. It is run twice in this process, on a fresh thread each, and once
//! in a child process with perturbed surroundings; all three must have one digest, and the two here one
//! canary of hash order. Where they differ, the digests' checkpoints say between which entries, and traces
//! of both show the first line. What remains invisible to this, such as a clock that is read and not used,
//! is a matter of lint (`nodes/clippy.toml`).
//!
//! In JSON one line per seed: `{scenario, seed, same, digest, events, difference}`.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use kernel::history::Trace;
use kernel::outcome::{Outcome, exit};
use kernel::run::Options;
use kernel::scenario::Scenario;
use kernel::verify::{Print, compare};
use serde_json::json;

use crate::args::{Format, Verify, quoted};
use crate::session::{Failure, Session, worst};
use crate::terminal::{Paint, grouped, out};
use crate::witness::{PERTURB, Testimony, lines, read};

struct Case<'a> {
    session: &'a Session,
    args: &'a Verify,
    scenario: Arc<Scenario>,
    options: Options,
}

/// Verifies every seed and prints a line for each.
pub fn verify(session: &Session, args: &Verify) -> Result<i32, Failure> {
    let seeds: Box<dyn Iterator<Item = Option<u64>>> = match args.seeds.clone() {
        Some(seeds) => Box::new(seeds.map(Some)),
        None => Box::new(std::iter::once(args.seed)),
    };
    let scenario = session.scenario(&args.scenario, &args.changes.sets)?;
    let mut codes = Vec::new();
    for seed in seeds {
        let options = session.options(&scenario, seed, &args.changes, Trace::Off)?;
        let case = Case { session, args, scenario: scenario.clone(), options };
        let (first, difference) = case.compare()?;
        out(&case.told(&first, difference.as_deref()));
        codes.push(if difference.is_some() { exit::NONDETERMINISM } else { exit::OK });
    }
    Ok(worst(codes))
}

impl Case<'_> {
    /// The first run, and how another differs from it.
    fn compare(&self) -> Result<(Outcome, Option<String>), Failure> {
        let child = self.child(Trace::Off)?;
        let first = self.here(Trace::Off)?;
        let second = self.here(Trace::Off)?;
        let witness = testimony(child)?;
        let difference = if first.canary != second.canary {
            Some(self.canaries(&first, &second))
        } else if let Some(d) = compare(&Print::from(&first), &Print::from(&second)) {
            let traces = (self.here(Trace::Full)?, self.here(Trace::Full)?);
            let line = first_line(&lines(&traces.0), &lines(&traces.1));
            Some(format!("two runs in one process: {}\n{line}", d.text))
        } else if let Some(d) = compare(&Print::from(&first), &witness.print) {
            let child = self.child(Trace::Full)?;
            let line = first_line(&lines(&self.here(Trace::Full)?), &testimony(child)?.trace);
            Some(format!("a run in a perturbed process: {}\n{line}", d.text))
        } else {
            None
        };
        Ok((first, difference))
    }

    fn canaries(&self, a: &Outcome, b: &Outcome) -> String {
        let part = if a.canary.0 == b.canary.0 { "during the run" } else { "before the run" };
        format!("hash state: the canaries of two runs in one process differ, {part}\n")
    }

    fn here(&self, trace: Trace) -> Result<Outcome, Failure> {
        let options = Options { trace, ..self.options.clone() };
        kernel::run::run(&self.scenario, self.session.registry, &options).map_err(Failure::data)
    }

    fn child(&self, trace: Trace) -> Result<Child, Failure> {
        let program = std::env::current_exe();
        let io =
            |e: std::io::Error| Failure { code: exit::IO, text: format!("child process: {e}") };
        let mut command = Command::new(program.map_err(io)?);
        command.args(["witness", &self.args.scenario, "--seed", &self.options.seed.to_string()]);
        if trace == Trace::Full {
            command.arg("--traced");
        }
        command.args(self.args.changes.arguments()).env(PERTURB, "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        command.spawn().map_err(io)
    }

    fn told(&self, first: &Outcome, difference: Option<&str>) -> String {
        let seed = self.options.seed;
        if self.args.format == Format::Json {
            let line = json!({
                "scenario": first.scenario,
                "seed": seed,
                "same": difference.is_none(),
                "digest": first.digest,
                "events": first.events,
                "difference": difference,
            });
            return format!("{line}\n");
        }
        let paint = Paint::stdout();
        let digest = &first.digest[..12.min(first.digest.len())];
        let events = grouped(first.events);
        let name = &first.scenario;
        match difference {
            None => {
                let verdict = paint.good("SAME");
                format!("{verdict}  {name} seed {seed}: 3 runs, digest {digest}, {events} events\n")
            }
            Some(text) => {
                let verdict = paint.bad("NOT DETERMINISTIC");
                let typed = self.args.changes.typed();
                let asked = quoted(&self.args.scenario);
                let program = self.session.registry.program();
                format!(
                    "{verdict}  {name} seed {seed}\n  {}\n  again  {program} verify {asked} --seed \
                     {seed}{typed}\n",
                    text.trim_end().replace('\n', "\n  ")
                )
            }
        }
    }
}

fn testimony(mut child: Child) -> Result<Testimony, Failure> {
    let failure = |text: String| Failure { code: exit::LIMIT, text };
    let mut text = String::new();
    let read_all = child.stdout.take().expect("piped").read_to_string(&mut text);
    let status = child.wait().map_err(|e| failure(format!("child process: {e}")))?;
    read_all.map_err(|e| failure(format!("child process: {e}")))?;
    if !status.success() {
        return Err(failure(format!("the perturbed run's process died: {status}")));
    }
    read(&text).ok_or_else(|| failure("the perturbed run's process said nothing of use".into()))
}

fn first_line(a: &[String], b: &[String]) -> String {
    let same = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let at = |trace: &[String]| trace.get(same).cloned().unwrap_or_else(|| "(ended)".to_string());
    if same == a.len() && same == b.len() {
        return "their traces do not differ".to_string();
    }
    format!("first line that differs, number {}:\n  here   {}\n  there  {}", same + 1, at(a), at(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_differs_is_found() {
        let trace = |words: &[&str]| words.iter().map(|w| (*w).to_string()).collect::<Vec<_>>();
        let text = first_line(&trace(&["a", "b", "c"]), &trace(&["a", "x", "c"]));
        assert!(text.contains("number 2") && text.contains("here   b"), "{text}");
        let text = first_line(&trace(&["a"]), &trace(&["a", "b"]));
        assert!(text.contains("(ended)"), "{text}");
    }
}
