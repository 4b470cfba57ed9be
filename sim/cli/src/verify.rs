//! `verify SCENARIO`: a seed has one run. It is run twice in this process, on a fresh thread each, and once
//! in a child process with perturbed surroundings; all three must have one digest, and the two here one
//! canary of hash order. Where they differ, the digests' checkpoints say between which entries, and these are
//! made again and shown as `diff` shows them. What remains invisible to this, such as a clock that is read
//! and not used, is a matter of lint (`nodes/clippy.toml`).
//!
//! In JSON one line per seed: `{scenario, seed, same, digest, events, difference}`.

use std::io::Read;
use std::ops::Range;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use kernel::digest::Entry;
use kernel::history::Trace;
use kernel::outcome::{Outcome, exit};
use kernel::run::Options;
use kernel::scenario::Scenario;
use kernel::verify::{Print, compare, part};
use serde_json::json;

use crate::args::{Format, Verify, quoted};
use crate::diff;
use crate::session::{Failure, Session, worst};
use crate::terminal::{Paint, grouped, out};
use crate::witness::{PERTURB, Testimony, read};

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
        let child = self.child(&(0..0))?;
        let first = self.here(&(0..0))?;
        let second = self.here(&(0..0))?;
        let witness = testimony(child)?;
        let difference = if first.canary != second.canary {
            Some(self.canaries(&first, &second))
        } else if let Some(d) = compare(&Print::from(&first), &Print::from(&second)) {
            let (a, b) = (self.here(&d.window)?, self.here(&d.window)?);
            let parting = shown(&a.entries, &b.entries);
            Some(format!("two runs in one process, A and B: {}\n{parting}", d.text))
        } else if let Some(d) = compare(&Print::from(&first), &witness.print) {
            let child = self.child(&d.window)?;
            let parting = shown(&self.here(&d.window)?.entries, &testimony(child)?.entries);
            Some(format!("a run here, A, and one in a perturbed process, B: {}\n{parting}", d.text))
        } else {
            None
        };
        Ok((first, difference))
    }

    fn canaries(&self, a: &Outcome, b: &Outcome) -> String {
        let part = if a.canary.0 == b.canary.0 { "during the run" } else { "before the run" };
        format!("hash state: the canaries of two runs in one process differ, {part}\n")
    }

    fn here(&self, window: &Range<u64>) -> Result<Outcome, Failure> {
        let options = Options { window: window.clone(), ..self.options.clone() };
        kernel::run::run(&self.scenario, self.session.registry, &options).map_err(Failure::data)
    }

    fn child(&self, window: &Range<u64>) -> Result<Child, Failure> {
        let program = std::env::current_exe();
        let io =
            |e: std::io::Error| Failure { code: exit::IO, text: format!("child process: {e}") };
        let mut command = Command::new(program.map_err(io)?);
        command.args(["witness", &self.args.scenario, "--seed", &self.options.seed.to_string()]);
        if !window.is_empty() {
            command.args(["--window", &format!("{}..{}", window.start, window.end)]);
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

fn shown(a: &[Entry], b: &[Entry]) -> String {
    match part(a, b) {
        Some(parting) => diff::render(&parting),
        None => "made again, their entries do not differ\n".to_string(),
    }
}
