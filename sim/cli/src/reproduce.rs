//! `reproduce [DOCUMENT]`: every row that scenarios claim of a document, beside what they come to. Each
//! scenario with rows runs under its `claim_seeds`, and so does one that a row only names; the rows are
//! judged as `kernel::claims::accept` says. Before the first run the claims as a whole are audited, and a
//! constant that was fitted on a row that does not exist is a bad file (exit 65).
//!
//! A row that is outside, or whose order is broken, is a finding and no failure. What fails is a run: a check
//! that does not hold, or a scenario that does not show what it exists to show, gives the exit code that a
//! sweep of it gives.
//!
//! The table and the closing line are the same for the same program and seeds; how long it took goes to
//! stderr. In JSON the object of `scoreboard`, with `--sensitivity` also what `sensitivity` documents.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use kernel::claims::audit::{Siblings, audit, siblings};
use kernel::claims::layout::named;
use kernel::claims::{Row, Simulated};
use kernel::outcome::exit;
use kernel::scenario::Scenario;

use crate::args::{Format, quoted, seeds};
use crate::gather::{Order, gather};
use crate::interrupt::Interrupt;
use crate::scoreboard::{self, Batch, Judged};
use crate::sensitivity::{Sensitivity, sensitivity};
use crate::session::{Failure, Session, join, known, worst};
use crate::table::table;
use crate::terminal::{Paint, err, out};

/// What is said after a signal.
const INTERRUPTED: &str = "\ninterrupted: nothing is reproduced\n";
/// Failing seeds that are named.
const NAMED_MAX: usize = 3;

/// `reproduce`.
///
/// A row is inside if the document's value, read with the precision it is printed to, meets the 5th to 95th
/// percentile of the scenario's `claim_seeds` seeds, and the 95th is at most 4 times the 5th. An order holds if
/// the medians go the way the document's figures go. `explain inside` and its like say what words mean.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A document, or a scenario whose rows are wanted (a name, or a path that ends in .toml) [default: all
    /// documents].
    pub what: Option<String>,
    /// Also how each row moves with each constant that was fitted or is charged.
    #[arg(long)]
    pub sensitivity: bool,
    /// From A up to but not including B [default: 0 to each scenario's claim_seeds].
    #[arg(long, value_name = "A..B", value_parser = seeds)]
    pub seeds: Option<Range<u64>>,
    /// Worker processes [default: one for each core].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,
    /// For people or machines.
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
}

/// Scenarios by name, each as it is typed.
pub type Named = BTreeMap<String, (String, Arc<Scenario>)>;

/// All claims, audited, and which of them are asked for.
pub struct Bench<'a> {
    session: &'a Session,
    /// Every scenario there is.
    pub all: Vec<Arc<Scenario>>,
    /// How they are typed, if not by name.
    paths: BTreeMap<String, String>,
    /// The rows that are asked for, in the order of their documents.
    pub rows: Vec<(Arc<Scenario>, Row)>,
}

/// What everything came to.
pub struct Done {
    /// Runs by scenario.
    pub batch: Batch,
    /// Rows in their order.
    pub rows: Vec<Judged>,
    /// The exit code.
    pub code: i32,
}

/// Runs what has claims and prints what became of them.
pub fn reproduce(session: &Session, args: &Args) -> Result<i32, Failure> {
    let bench = Bench::new(session, args.what.as_deref())?;
    let interrupt = Interrupt::listen()?;
    interrupt.last_words(|| {
        err(INTERRUPTED);
        std::process::exit(exit::INTERRUPTED);
    });
    let begun = Instant::now();
    let jobs = jobs(args.jobs);
    let seeds = |s: &Scenario| args.seeds.clone().unwrap_or(0..s.claims.seeds);
    let interrupted = || {
        if interrupt.claim() {
            err(INTERRUPTED);
        }
        Ok(exit::INTERRUPTED)
    };
    let Some(done) = bench.run(&seeds, jobs, &interrupt)? else { return interrupted() };
    let mut moved = None;
    if args.sensitivity {
        let range = args.seeds.clone().unwrap_or(0..u64::MAX);
        let given = (&done.batch, done.rows.as_slice(), &range);
        let found = sensitivity(session, &bench.scenarios(), given, (jobs, &interrupt))?;
        let Some(found) = found else { return interrupted() };
        moved = Some(found);
    }
    let runs: usize = done.batch.values().map(|runs| runs.lines.len()).sum();
    let seconds = begun.elapsed().as_secs_f64();
    bench.tell_failures(&done);
    err(&format!("{} scenarios, {runs} runs, {seconds:.1} s\n", done.batch.len()));
    out(&match args.format {
        Format::Json => {
            let mut all = scoreboard::json(&done.rows);
            if let Some(moved) = &moved {
                all["sensitivity"] = moved.json(&done.rows);
            }
            format!("{all}\n")
        }
        Format::Human => bench.page(&done, moved.as_ref(), Paint::stdout()),
    });
    Ok(done.code)
}

/// So many worker processes.
pub fn jobs(asked: Option<u16>) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    asked.map_or_else(cores, usize::from)
}

impl Bench<'_> {
    /// Reads every scenario, audits all claims, and picks those of a document or of a scenario.
    pub fn new<'a>(session: &'a Session, what: Option<&str>) -> Result<Bench<'a>, Failure> {
        let names = session.library.scenario_names();
        let mut all = Vec::new();
        for name in &names {
            all.push(session.scenario(name, &[])?);
        }
        let mut paths = BTreeMap::new();
        if let Some(path) = what.filter(|what| what.ends_with(".toml")) {
            let scenario = session.scenario(path, &[])?;
            all.retain(|s| s.name != scenario.name);
            paths.insert(scenario.name.clone(), path.to_string());
            all.push(scenario);
        }
        let documents = session.library.document_names();
        let problems = audit(&all, &documents);
        if !problems.is_empty() {
            return Err(Failure::data(join(&problems)));
        }
        let wanted = what.map(|what| paths.iter().find(|p| p.1 == what).map_or(what, |p| p.0));
        if let Some(word) = wanted.filter(|_| paths.is_empty()) {
            let words = documents.iter().chain(&names).map(String::as_str);
            known(word, words, "there is no document or scenario")?;
        }
        let is_wanted = |s: &Scenario, row: &Row| {
            wanted.is_none_or(|word| row.document == word || s.name == word)
        };
        let mut rows = Vec::new();
        for scenario in &all {
            let here = scenario.claims.rows.iter().filter(|row| is_wanted(scenario, row));
            rows.extend(here.map(|row| (scenario.clone(), row.clone())));
        }
        if rows.is_empty() {
            let of = wanted.map_or(String::new(), |word| format!(" of `{word}`"));
            return Err(Failure::usage(format!("no scenario claims a row{of}")));
        }
        let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for name in &documents {
            let (_, text) = session.library.document(name)?;
            places.insert(name.clone(), named(&text).map(str::to_string).collect());
        }
        rows.sort_by_cached_key(|(_, row)| {
            let place =
                places.get(&row.document).and_then(|p| p.iter().position(|r| *r == row.row));
            (row.document.clone(), place.unwrap_or(usize::MAX))
        });
        Ok(Bench { session, all, paths, rows })
    }

    /// The scenarios that have to run for the rows.
    pub fn scenarios(&self) -> Named {
        let mut names = BTreeSet::new();
        for (scenario, row) in &self.rows {
            match &row.simulated {
                Simulated::Order(of, _) => {
                    let name = |(s, _): &(Option<String>, String)| s.clone();
                    names.extend(of.iter().map(|o| name(o).unwrap_or(scenario.name.clone())));
                }
                _ => {
                    names.insert(scenario.name.clone());
                }
            }
        }
        let one = |name: String| {
            let asked = self.paths.get(&name).unwrap_or(&name).clone();
            let scenario = self.all.iter().find(|s| s.name == name).expect("audited").clone();
            (name, (asked, scenario))
        };
        names.into_iter().map(one).collect()
    }

    /// Runs them; a scenario that others name under as many seeds as the one with most. `None` if a signal
    /// came.
    pub fn run(
        &self,
        seeds: &dyn Fn(&Scenario) -> Range<u64>,
        jobs: usize,
        interrupt: &Interrupt,
    ) -> Result<Option<Done>, Failure> {
        let scenarios = self.scenarios();
        let mut orders = Vec::new();
        for (name, (asked, scenario)) in &scenarios {
            let naming = self.rows.iter().filter(|(s, row)| {
                let Simulated::Order(of, _) = &row.simulated else { return s.name == *name };
                s.name == *name || of.iter().any(|(other, _)| other.as_ref() == Some(name))
            });
            let ends = naming.map(|(s, _)| seeds(s).end);
            let range = seeds(scenario).start..ends.max().unwrap_or_default();
            orders.push(Order::new(self.session, asked, Vec::new(), range)?);
        }
        let name = if self.paths.is_empty() { "reproduce" } else { "reproduce a file" };
        let Some(all) = gather(self.session, name, &orders, jobs, interrupt)? else {
            return Ok(None);
        };
        let code =
            worst(orders.iter().zip(&all).map(|(o, runs)| runs.tally.exit_code(&o.scenario)));
        let names = orders.iter().map(|o| o.scenario.name.clone());
        let batch: Batch = names.zip(all.into_iter().map(Arc::new)).collect();
        let mut rows = Vec::new();
        for (scenario, row) in &self.rows {
            rows.push(Judged::new(scenario, row, &batch, &seeds(scenario))?);
        }
        Ok(Some(Done { batch, rows, code }))
    }

    /// Siblings among which a scenario of the rows is.
    pub fn siblings(&self) -> Vec<Siblings<'_>> {
        let names: BTreeSet<&str> = self.rows.iter().map(|(s, _)| s.name.as_str()).collect();
        let mut pairs = siblings(&self.all);
        pairs.retain(|p| {
            names.contains(p.ill.name.as_str()) || names.contains(p.other.name.as_str())
        });
        pairs
    }

    /// Seeds that failed, with what to type to see one.
    fn tell_failures(&self, done: &Done) {
        for (name, runs) in &done.batch {
            let asked = quoted(self.paths.get(name).unwrap_or(name));
            for failed in runs.tally.failures.iter().take(NAMED_MAX) {
                let program = self.session.registry.program();
                let (seed, what, check) = (failed.seed, &failed.what, &failed.check);
                err(&format!("failed: {program} run {asked} --seed {seed}   # {what}, {check}\n"));
            }
        }
    }

    fn page(&self, done: &Done, moved: Option<&Sensitivity>, paint: Paint) -> String {
        let mut text = String::new();
        let documents: BTreeSet<&str> = done.rows.iter().map(|j| j.row.document.as_str()).collect();
        for document in documents {
            let title = self.session.library.document_title(document).unwrap_or_default();
            let of = |j: &&Judged| j.row.document == document;
            let rows: Vec<&Judged> = done.rows.iter().filter(of).collect();
            text.push_str(&format!("{}   {title}\n\n", paint.bold(document)));
            text.push_str(&scoreboard::lines(&rows, paint));
            let notes = scoreboard::notes(&rows);
            if !notes.is_empty() {
                text.push_str(&format!("\nNotes\n{notes}"));
            }
            text.push_str(&format!("\n{}\n", scoreboard::closing(&rows)));
        }
        let pairs = scoreboard::siblings(&self.siblings());
        if !pairs.is_empty() {
            text.push_str(&format!(
                "Siblings, and every key in which they differ\n{}\n",
                table(pairs, 2, None)
            ));
        }
        text.push_str(&format!("Runs\n{}", table(scoreboard::runs(&done.batch), 2, None)));
        if let Some(moved) = moved {
            text.push_str(&moved.lines(&done.rows));
        }
        text
    }
}
