//! `shrink SCENARIO --seed N`: a seed that fails is told at once, then each step that made its plan smaller,
//! then the smallest plan found within the budget, as a file that `run --plan` replays. What is tried and in
//! which order is `kernel::shrink`; here candidates are run, on all cores, and told. A candidate counts if
//! the same check fails in the same class.
//!
//! In JSON one object: `{scenario, seed, check, class, original: {faults, ops, virtual_ns}, smallest:
//! {faults, ops, virtual_ns, weave, digest}, steps: [{step, faults, ops, runs}], runs, seconds, cut_short,
//! plan, again}`.
//! It ends with 0 once a plan was searched, 64 if the seed does not fail, 130 if it was interrupted: then
//! too the best plan so far is told and written.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clap::Args;
use kernel::history::Trace;
use kernel::outcome::{Class, Outcome, exit};
use kernel::plan::{Expect, Plan, When};
use kernel::registry::Registry;
use kernel::run::Options;
use kernel::scenario::Scenario;
use kernel::shrink::{Case, Failure as Kind, Judge, Seen, waited};
use serde_json::{Value, json};

use crate::args::{Changes, Format, quoted, seed};
use crate::interrupt::Interrupt;
use crate::kept;
use crate::report::{Digest, Page, capitals, fired};
use crate::session::{Failure, Session, write_whole};
use crate::table::{table, wrapped};
use crate::terminal::{Paint, err, grouped, out, seconds};

/// `shrink`.
#[derive(Clone, Debug, Args)]
pub struct Shrink {
    /// A scenario's name, or a path that ends in .toml.
    pub scenario: String,
    /// The seed [default: that of --plan, else MADSIM_TEST_SEED, else 0].
    #[arg(long, value_parser = seed)]
    pub seed: Option<u64>,
    #[command(flatten)]
    pub changes: Changes,
    /// Keep the smallest plan in faults/plans, where every sweep of the scenario replays it.
    #[arg(long)]
    pub keep: bool,
    /// How long to search.
    #[arg(long, value_name = "TIME", value_parser = host::unit::parse_duration, default_value = "60s")]
    pub budget: Duration,
    /// Try no more candidates than these; with the same --jobs the outcome then depends on no clock.
    #[arg(long, value_name = "N")]
    pub runs: Option<u64>,
    /// Candidates at a time [default: all cores].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,
    /// For people or machines.
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
}

/// How a candidate is run, and what makes it one that fails.
pub struct Trial<'a> {
    /// The scenario.
    pub scenario: &'a Arc<Scenario>,
    /// The vocabulary.
    pub registry: &'static Registry,
    /// Seed, plants and muted checks of every run.
    pub base: Options,
    /// How a candidate has to fail.
    pub kind: Kind,
    /// By when, in nanoseconds of virtual time: what fails later is given up.
    pub by: Option<u64>,
}

/// A candidate may fail so much later than the original did.
const LATER_NS: u64 = 500_000_000;

/// Who runs candidates, within a budget of time and of runs.
pub struct Bench<'a> {
    /// How.
    pub trial: Trial<'a>,
    /// When to end.
    pub until: Instant,
    /// How many runs are left.
    pub runs_left: u64,
    /// Candidates at a time.
    pub jobs: usize,
    /// Whether to end at once.
    pub stop: &'a AtomicBool,
    /// Told of each step that improved something.
    pub on: &'a mut dyn FnMut(&'static str, &Seen, u64),
    /// Runs so far.
    pub runs: u64,
    /// There was more to try than the budget allows.
    pub spent: bool,
}

impl Trial<'_> {
    fn run(&self, case: &Case, trace: Trace) -> Option<Outcome> {
        let plan = Some(case.plan.clone());
        let options =
            Options { plan, weave: case.weave, trace, until: self.by, ..self.base.clone() };
        kernel::run::run(self.scenario, self.registry, &options).ok()
    }

    /// What a run of this case shows, if it fails in the same way.
    pub fn try_case(&self, case: &Case) -> Option<Seen> {
        let outcome = self.run(case, Trace::Ops)?;
        if Kind::of(&outcome, self.scenario).as_ref() != Some(&self.kind) {
            return None;
        }
        let head = &self.scenario.head;
        let load = outcome.virtual_ns.saturating_sub(host::unit::nanos(head.boot));
        let most = host::unit::nanos(head.duration).min(case.plan.load.unwrap_or(u64::MAX));
        Some(Seen {
            case: case.clone(),
            asked: outcome.asked.iter().copied().collect(),
            load: load.min(most),
            virtual_ns: outcome.virtual_ns,
            digest: outcome.digest,
        })
    }
}

impl Judge for Bench<'_> {
    fn width(&self) -> usize {
        self.jobs
    }

    fn judge(&mut self, cases: &[Case]) -> Option<Vec<Option<Seen>>> {
        let spent = self.runs_left < cases.len() as u64 || Instant::now() >= self.until;
        if spent || self.stop.load(Ordering::SeqCst) {
            self.spent = true;
            return None;
        }
        self.runs_left -= cases.len() as u64;
        self.runs += cases.len() as u64;
        let this = &self.trial;
        if let [one] = cases {
            return Some(vec![this.try_case(one)]);
        }
        Some(std::thread::scope(|scope| {
            let runs: Vec<_> =
                cases.iter().map(|case| scope.spawn(move || this.try_case(case))).collect();
            runs.into_iter().map(|run| run.join().unwrap_or_default()).collect()
        }))
    }

    /// The last event on the host itself before a line acted, if its draw had waited for such a word.
    fn events(&mut self, case: &Case) -> Vec<(usize, When)> {
        let Some(outcome) = self.trial.run(case, Trace::Full) else { return Vec::new() };
        let boot = host::unit::nanos(self.trial.scenario.head.boot);
        let lines = case.plan.exact.iter().enumerate().filter(|(_, line)| line.when.is_none());
        lines.filter_map(|(i, line)| Some((i, waited(&outcome, line, boot)?))).collect()
    }

    fn improved(&mut self, step: &'static str, best: &Seen) {
        (self.on)(step, best, self.runs);
    }
}

/// What is known so far; an interrupt may have to tell it.
struct Board {
    session: &'static str,
    root: PathBuf,
    args: Shrink,
    scenario: Arc<Scenario>,
    seed: u64,
    kind: Kind,
    sizes: (usize, usize),
    virtual_ns: u64,
    best: Seen,
    steps: Vec<Value>,
    runs: u64,
    cut_short: bool,
    begun: Instant,
}

/// Shrinks the plan of a seed that fails.
pub fn shrink(session: &Session, args: &Shrink) -> Result<i32, Failure> {
    let scenario = session.scenario(&args.scenario, &args.changes.sets)?;
    let options = session.options(&scenario, args.seed, &args.changes, Trace::Ops)?;
    let begun = Instant::now();
    let outcome = kernel::run::run(&scenario, session.registry, &options).map_err(Failure::data)?;
    let page = Page {
        asked: &args.scenario,
        scenario: &scenario,
        registry: session.registry,
        changes: &args.changes,
        outcome: &outcome,
        cure: None,
        paint: Paint::stdout(),
        digest: Digest::Shown,
        traced: false,
    };
    let kind = Kind::of(&outcome, &scenario).ok_or_else(|| sound(&outcome))?;
    if args.format == Format::Human {
        out(&page.opening());
    }
    let interrupt = Interrupt::listen()?;
    let mut quiet = |_: &'static str, _: &Seen, _: u64| ();
    let mut bench = bench(session, &scenario, &options, kind.clone(), args, &interrupt, &mut quiet);
    let case = exact(&options, &outcome);
    let first = bench.trial.try_case(&case).ok_or_else(|| lost(options.seed))?;
    bench.trial.by = by(&kind, first.virtual_ns);
    let board = Arc::new(Mutex::new(Board {
        session: session.registry.program(),
        root: session.root(),
        args: args.clone(),
        scenario: scenario.clone(),
        seed: options.seed,
        kind,
        sizes: first.size(),
        virtual_ns: first.virtual_ns,
        best: first.clone(),
        steps: Vec::new(),
        runs: 1,
        cut_short: false,
        begun,
    }));
    lock(&board).open();
    let for_last = board.clone();
    interrupt.last_words(move || {
        let _ = lock(&for_last).finish();
        std::process::exit(exit::INTERRUPTED);
    });
    let mut tell = |step: &'static str, best: &Seen, runs: u64| lock(&board).take(step, best, runs);
    bench.on = &mut tell;
    let best = kernel::shrink::shrink(first, &mut bench);
    let (runs, cut_short) = (bench.runs + 1, bench.spent);
    if interrupt.stop().load(Ordering::SeqCst) && !interrupt.claim() {
        loop {
            std::thread::park();
        }
    }
    let mut board = lock(&board);
    (board.best, board.runs, board.cut_short) = (best, runs, cut_short);
    board.finish()?;
    let interrupted = interrupt.stop().load(Ordering::SeqCst);
    Ok(if interrupted { exit::INTERRUPTED } else { exit::OK })
}

/// A seed that does not fail was asked for.
fn sound(outcome: &Outcome) -> Failure {
    let (seed, verdict) = (outcome.seed, capitals(outcome.verdict));
    let scenario = &outcome.scenario;
    Failure::usage(format!("seed {seed} of {scenario} does not fail: {verdict}; nothing to shrink"))
}

/// What fired does not bring the failure back.
fn lost(seed: u64) -> Failure {
    let text = format!("the faults that fired do not bring seed {seed} back; `verify` it");
    Failure { code: exit::NONDETERMINISM, text }
}

/// A bench for what was asked for.
fn bench<'a>(
    session: &Session,
    scenario: &'a Arc<Scenario>,
    options: &Options,
    kind: Kind,
    args: &Shrink,
    interrupt: &'a Interrupt,
    on: &'a mut dyn FnMut(&'static str, &Seen, u64),
) -> Bench<'a> {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let base = Options { plan: None, ..options.clone() };
    Bench {
        trial: Trial { scenario, registry: session.registry, base, kind, by: None },
        until: Instant::now() + args.budget,
        runs_left: args.runs.unwrap_or(u64::MAX),
        jobs: args.jobs.map_or_else(cores, usize::from),
        stop: interrupt.stop(),
        on,
        runs: 0,
        spent: false,
    }
}

/// Faults and operations that are left of a seed that fails, after so long a search; nothing is told.
pub fn size(
    session: &Session,
    scenario: &Arc<Scenario>,
    options: &Options,
    budget: Duration,
    jobs: usize,
    stop: &AtomicBool,
) -> Option<(usize, usize)> {
    let outcome = kernel::run::run(scenario, session.registry, options).ok()?;
    let kind = Kind::of(&outcome, scenario)?;
    let (registry, base) = (session.registry, options.clone());
    let by = by(&kind, outcome.virtual_ns);
    let trial = Trial { scenario, registry, base, kind, by };
    let first = trial.try_case(&exact(options, &outcome))?;
    let mut quiet = |_: &'static str, _: &Seen, _: u64| ();
    let until = Instant::now() + budget;
    let (runs_left, runs, on) = (u64::MAX, 0, &mut quiet);
    let mut bench = Bench { trial, until, runs_left, jobs, stop, on, runs, spent: false };
    Some(kernel::shrink::shrink(first, &mut bench).size())
}

/// By when a candidate has to fail: what goes wrong at a moment goes wrong about then.
fn by(kind: &Kind, virtual_ns: u64) -> Option<u64> {
    matches!(kind.class, Class::Safety | Class::Panic).then_some(virtual_ns + LATER_NS)
}

/// What fired in a run, as a case of its own.
fn exact(options: &Options, outcome: &Outcome) -> Case {
    let plan = options.plan.clone().unwrap_or_default();
    let (scenario, seed) = (Some(outcome.scenario.clone()), Some(outcome.seed));
    let (drawn, exact) = (Vec::new(), outcome.fired.clone());
    let plan = Plan { drawn, exact, scenario, seed, expect: None, ..plan };
    Case { plan, weave: options.weave }
}

impl Board {
    fn human(&self) -> bool {
        self.args.format == Format::Human
    }

    fn line(&self, step: &str, (faults, ops): (usize, usize), virtual_ns: u64) {
        if self.human() {
            let (time, spent) = (seconds(virtual_ns), self.begun.elapsed().as_secs_f64());
            let runs = grouped(self.runs);
            out(&format!("  {step:<18}{faults:>8}{ops:>12}{time:>11}{runs:>8}{spent:>9.1} s\n"));
        }
    }

    fn open(&self) {
        if self.human() {
            let [faults, ops, time] = ["faults", "operations", "virtual"];
            out(&format!(
                "\n  {:<18}{faults:>8}{ops:>12}{time:>11}{:>8}{:>11}\n",
                "", "runs", "after"
            ));
        }
        self.line("original", self.sizes, self.virtual_ns);
    }

    fn take(&mut self, step: &'static str, best: &Seen, runs: u64) {
        (self.best, self.runs) = (best.clone(), runs + 1);
        let (faults, ops) = best.size();
        self.line(step, (faults, ops), best.virtual_ns);
        self.steps.push(json!({"step": step, "faults": faults, "ops": ops, "runs": self.runs}));
    }

    fn changes(&self) -> Changes {
        Changes { plan: None, weave: self.best.case.weave, ..self.args.changes.clone() }
    }

    /// Writes the plan and tells what it is.
    fn finish(&mut self) -> Result<(), Failure> {
        let expect = Expect {
            check: self.kind.check.clone(),
            class: self.kind.class.word().to_string(),
            plants: self.args.changes.plants.clone(),
            sets: self.args.changes.sets.iter().map(|(k, v)| format!("{k}={v}")).collect(),
            mute: self.args.changes.mute.clone(),
            weave: self.best.case.weave,
            digest: self.best.digest.clone(),
            envelope: kept::envelope(&self.root, &self.scenario)?,
        };
        let plan = Plan { expect: Some(expect), ..self.best.case.plan.clone() };
        let path = kept::path(&self.root, &plan, self.args.keep)?;
        write_whole(&self.root.join(&path), &plan.artifact())?;
        let changes = Changes { plan: Some(path.clone()), ..self.changes() };
        let again =
            format!("{} run {}{}", self.session, quoted(&self.args.scenario), changes.typed());
        if self.human() {
            out(&self.told(&plan, &again));
            if self.args.keep {
                err(&format!("plan kept in {}\n", path.display()));
            }
            return Ok(());
        }
        let size = |(faults, ops): (usize, usize)| json!({"faults": faults, "ops": ops});
        let mut original = size(self.sizes);
        original["virtual_ns"] = json!(self.virtual_ns);
        let mut smallest = size(self.best.size());
        smallest["virtual_ns"] = json!(self.best.virtual_ns);
        smallest["weave"] = json!(self.best.case.weave);
        smallest["digest"] = json!(self.best.digest);
        let object = json!({
            "scenario": self.scenario.name, "seed": self.seed, "check": self.kind.check,
            "class": self.kind.class, "original": original, "smallest": smallest,
            "steps": self.steps, "runs": self.runs, "seconds": self.begun.elapsed().as_secs_f64(),
            "cut_short": self.cut_short, "plan": path, "again": again,
        });
        out(&format!("{object}\n"));
        Ok(())
    }

    fn told(&self, plan: &Plan, again: &str) -> String {
        let mut text = String::from("\n");
        if self.cut_short {
            text.push_str("  the budget is spent; a longer one may find a smaller plan\n\n");
        }
        let count = |n: usize, noun: &str| format!("{n} {noun}{}", if n == 1 { "" } else { "s" });
        let (faults, ops) = self.best.size();
        let (faults, ops) = (count(faults, "fault"), count(ops, "operation"));
        let sky = match plan.sky {
            kernel::plan::Sky::Calm => ", in calm weather",
            kernel::plan::Sky::Drawn => "",
        };
        text.push_str(&format!("  smallest   {faults}, {ops}{sky}\n"));
        let boot = host::unit::nanos(self.scenario.head.boot);
        let rows: Vec<Vec<String>> = plan.exact.iter().map(|line| told_line(line, boot)).collect();
        if !rows.is_empty() {
            text.push_str(&table(rows, 4, None));
        }
        let mut clients: std::collections::BTreeMap<u64, Vec<String>> = Default::default();
        for (client, op) in &self.best.asked {
            clients.entry(*client).or_default().push(op.to_string());
        }
        let told = |(client, ops): (u64, Vec<String>)| format!("c{} {}", client + 1, ops.join(" "));
        let asked: Vec<String> = clients.into_iter().map(told).collect();
        text.push_str(&wrapped(&asked.join("; "), 4, 100));
        text.push_str(&format!("\n  again      {again}\n"));
        text
    }
}

/// A line of the plan, as cells.
fn told_line(line: &kernel::plan::Fired, boot: u64) -> Vec<String> {
    let mut cells = fired(line);
    if line.trigger.is_empty() {
        cells[3] = When::At(line.at.saturating_sub(boot)).show();
    }
    if let Some(when) = &line.when {
        (cells[0], cells[3]) = (String::new(), when.show());
    }
    cells
}

fn lock(board: &Mutex<Board>) -> MutexGuard<'_, Board> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}
