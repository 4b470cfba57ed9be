//! `study NAME`: every cell of a study under the same seeds, in worker processes (`crew`), and what follows
//! from them: a table with intervals, the Pareto front, a recommendation, a map. Finished runs are kept in
//! the study's folder (`kept_runs`), so a study that was interrupted is typed again and goes on, and prints
//! then what an undisturbed one prints, byte for byte. A study that is complete prints at once; `--fresh`
//! runs it anew.
//!
//! In JSON one object: `{study, scenario, seeds, sets: {name: value}, units: {name: unit}, cells: [{params:
//! {}, seeds, measures: {name: {mean, p10, p50, p90, p99, p999, max, ci: [low, high]}}}], failed, broken,
//! front, recommended}`, where `sets` is what was typed, `failed` (runs), `broken` (constraints) and `front`
//! go by cell, `recommended` has `{group, cell, text}`, and a column is missing from a cell in which no seed
//! measured it. As CSV one line for each cell and column, without figures where it was not measured. Times
//! are in ms, sizes in bytes.
//!
//! `--bless` writes `results/studies/NAME.txt`, and `.svg` if there is a map, of a study as its file has it.
//! The page names the hash of its inputs: scenario, values, seeds, columns and the study's own file. `bless`
//! runs studies that say `blessed = true`, and for the others compares that hash without running them. So a
//! change of code alone leaves a long study's page as it is, until somebody runs it again.
//!
//! Runs that a violation of safety, a panic, a limit or their process's death cut short are left out of the
//! numbers and decide the exit code. What is not shown, not recovered in time or vacuous is a finding.

mod asked;
mod crew;
pub mod gauge;
mod keep;
mod kept_runs;
mod page;

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use host::unit::Size;
use kernel::outcome::exit;
use kernel::study::advice::{Cell, Table};

use crate::args::{seeds, setting, size};
use crate::interrupt::Interrupt;
use crate::ledger::Foreign;
use crate::process::Launch;
use crate::progress::Progress;
use crate::session::{Failure, Session, worst, write_whole};
use crate::terminal::{Paint, err, grouped, out};

use asked::Asked;
use crew::{Crew, News, Task};
pub use keep::bless;
use kept_runs::{Opened, Row, Store};
use page::Page;

/// Seeds of a task at most.
const CHUNK_MAX: u64 = 50;
/// Tasks that a process should find at least, so that all of them end at about the same time.
const TASKS_EACH: u64 = 8;

/// `study`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// A study's name, or a path that ends in .toml; before `--set`.
    pub study: String,
    /// Every cell runs from A up to but not including B [default: those of the study].
    #[arg(long, value_name = "A..B", value_parser = seeds)]
    pub seeds: Option<Range<u64>>,
    /// One value for a parameter of the study, or for any other key of its scenario; several may follow.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting, num_args = 1..)]
    pub sets: Vec<(String, String)>,
    /// Worker processes [default: one for each core].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,
    /// Where runs are kept, and gone on with [default: target/studies/NAME].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Throw away the runs that are kept.
    #[arg(long)]
    pub fresh: bool,
    /// Write the result to results/studies.
    #[arg(long, conflicts_with_all = ["sets", "seeds", "format"])]
    pub bless: bool,
    /// Memory that a worker process may hold; a seed that needs more is lost.
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "4GiB")]
    pub memory: Size,
    /// Wall time after which a seed without a result is ended.
    #[arg(long, hide = true, value_parser = host::unit::parse_duration, default_value = "60s")]
    pub patience: Duration,
    /// For people, for machines, or for a spreadsheet.
    #[arg(long, value_enum, default_value = "human")]
    pub format: Form,
}

/// For whom the output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// For people.
    Human,
    /// For machines: one JSON object.
    Json,
    /// For a spreadsheet: one line for each cell and column.
    Csv,
}

/// A study that is under way.
struct Order {
    asked: Asked,
    /// The hash of each cell's inputs.
    keys: Vec<String>,
    seeds: Range<u64>,
    launch: Launch,
    jobs: usize,
    dir: PathBuf,
    /// Whether somebody named the folder.
    named: bool,
    fresh: bool,
    /// How this program is called.
    program: &'static str,
}

/// What a study came to.
struct Finished {
    asked: Asked,
    seeds: Range<u64>,
    table: Table,
    /// Runs by cell that are no clean pass.
    failed: Vec<u64>,
    /// The kinds of those runs, in the order of their first.
    failures: Vec<Failed>,
    /// How this program is called.
    program: &'static str,
    /// The worst that befell a run, as an exit code.
    code: i32,
    dir: PathBuf,
}

/// Runs that failed alike.
struct Failed {
    /// The class of failure, or the verdict where there is none.
    kind: String,
    /// How many.
    runs: u64,
    /// Cell and seed of the first.
    first: (usize, u64),
}

/// Runs a study and prints what it came to.
pub fn study(session: &Session, args: &Args) -> Result<i32, Failure> {
    if args.bless {
        return keep::renew(session, args);
    }
    let order = Order::new(session, args)?;
    let interrupt = Interrupt::listen()?;
    let path = order.dir.join("results.jsonl");
    interrupt.last_words(move || {
        err(&format!("interrupted; {}: type it again to go on\n", path.display()));
        std::process::exit(exit::INTERRUPTED);
    });
    let Some(finished) = order.run(interrupt.stop())? else {
        if !interrupt.claim() {
            loop {
                std::thread::park();
            }
        }
        err("interrupted; type it again to go on\n");
        return Ok(exit::INTERRUPTED);
    };
    let page = Page::new(&finished);
    if let Some(svg) = page.map() {
        let path = finished.dir.join("map.svg");
        write_whole(&path, &svg)?;
        err(&format!("map: {}\n", path.display()));
    }
    out(&match args.format {
        Form::Human => page.human(Paint::stdout()),
        Form::Json => format!("{}\n", page.json()),
        Form::Csv => page.csv(),
    });
    Ok(finished.code)
}

impl Order {
    fn new(session: &Session, args: &Args) -> Result<Order, Failure> {
        let asked = Asked::new(session, &args.study, &args.sets)?;
        let keys = asked.keys(session)?;
        let mut arguments = vec!["gauge".to_string(), args.study.clone()];
        arguments.extend(["--memory".to_string(), format!("{}B", args.memory.0)]);
        for (name, value) in &args.sets {
            arguments.extend(["--set".to_string(), format!("{name}={value}")]);
        }
        let contents = asked.study.name.clone();
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let default = session.root().join("target/studies").join(&asked.study.name);
        Ok(Order {
            keys,
            seeds: args.seeds.clone().unwrap_or(asked.study.seeds.clone()),
            launch: Launch { arguments, contents, patience: args.patience },
            jobs: args.jobs.map_or_else(cores, usize::from),
            dir: args.out.clone().unwrap_or(default),
            named: args.out.is_some(),
            fresh: args.fresh,
            program: session.registry.program(),
            asked,
        })
    }

    /// Runs what is missing. `None` if it was stopped.
    fn run(self, stop: &AtomicBool) -> Result<Option<Finished>, Failure> {
        // A folder that somebody named holds what somebody may want, unless told otherwise.
        let keep = self.named && !self.fresh;
        let foreign = if keep { Foreign::Refuse } else { Foreign::Replace };
        let Opened { mut store, damaged, foreign } = Store::open(&self.dir, foreign)?;
        if foreign > 0 {
            let (path, runs) = (store.path.display(), grouped(foreign as u64));
            err(&format!("{path}: {runs} older runs of another build dropped\n"));
        }
        if damaged > 0 {
            let path = store.path.display();
            err(&format!("{path}: {damaged} damaged lines dropped; their seeds are run again\n"));
        }
        if self.fresh {
            store.clear()?;
        }
        let tasks = self.tasks(&store);
        let missing: u64 = tasks.iter().map(|t| t.seeds.end - t.seeds.start).sum();
        let all = self.wanted().len() as u64 * (self.seeds.end - self.seeds.start);
        if missing < all {
            let (there, all, path) = (grouped(all - missing), grouped(all), store.path.display());
            err(&format!("{path}: {there} of {all} runs are there already\n"));
        }
        let begun = Instant::now();
        let trouble = self.fill(&mut store, tasks, missing, stop);
        store.tidy()?;
        if let Some(failure) = trouble {
            return Err(failure);
        }
        if stop.load(Ordering::SeqCst) {
            return Ok(None);
        }
        let seconds = begun.elapsed().as_secs_f64().max(1e-3);
        let (cells, seeds) = (self.keys.len(), self.seeds.end - self.seeds.start);
        let rate = missing as f64 / seconds;
        err(&format!(
            "{}: {cells} cells x {seeds} seeds; {} runs in {seconds:.1} s: {rate:.1} runs/s, {:.2} cells/s\n",
            self.asked.study.name,
            grouped(missing),
            rate / seeds as f64
        ));
        let finished = self.finish(&store);
        match finished.table.mismatch(&finished.asked.study) {
            Some(why) => Err(Failure::data(format!("{}: {why}", finished.asked.study.name))),
            None => Ok(Some(finished)),
        }
    }

    /// The cells, but each hash once: cells may be the same but for their names.
    fn wanted(&self) -> Vec<usize> {
        let mut seen = BTreeSet::new();
        (0..self.keys.len()).filter(|i| seen.insert(&self.keys[*i])).collect()
    }

    fn tasks(&self, store: &Store) -> VecDeque<Task> {
        let seeds = self.seeds.end - self.seeds.start;
        let cells = self.wanted();
        let fair = seeds * cells.len() as u64 / (self.jobs as u64 * TASKS_EACH);
        let chunk = fair.clamp(1, CHUNK_MAX);
        let mut tasks: VecDeque<Task> = VecDeque::new();
        for cell in cells {
            let key = &self.keys[cell];
            for seed in self.seeds.clone().filter(|s| store.row(key, *s).is_none()) {
                let fits = |t: &&mut Task| {
                    t.cell == cell && t.seeds.end == seed && seed - t.seeds.start < chunk
                };
                match tasks.back_mut().filter(fits) {
                    Some(task) => task.seeds.end = seed + 1,
                    None => {
                        let (key, seeds) = (key.clone(), seed..seed + 1);
                        tasks.push_back(Task { cell, key, seeds, again: None });
                    }
                }
            }
        }
        tasks
    }

    fn fill(
        &self,
        store: &mut Store,
        tasks: VecDeque<Task>,
        missing: u64,
        stop: &AtomicBool,
    ) -> Option<Failure> {
        let name = &self.asked.study.name;
        let seeds = self.seeds.end - self.seeds.start;
        let (mut progress, mut done, mut failed) = (Progress::runs(name, missing), 0, 0);
        let (begun, mut trouble) = (Instant::now(), None);
        let crew = Crew { launch: self.launch.clone(), jobs: self.jobs, stop };
        crew.run(tasks, &mut |news| {
            let failure = match news {
                News::Row(row) => {
                    (done, failed) = (done + 1, failed + u64::from(!row.whole()));
                    store.append(row).err()
                }
                News::Note(note) => {
                    progress.clear();
                    err(&note);
                    None
                }
                News::Trouble(failure) => Some(failure),
            };
            if let Some(failure) = failure {
                trouble.get_or_insert(failure);
                stop.store(true, Ordering::SeqCst);
            }
            let pace = done as f64 / seeds as f64 / begun.elapsed().as_secs_f64().max(1e-3);
            progress.rename(format!("{name}  {pace:.2} cells/s"));
            progress.tick(done, failed);
        });
        progress.clear();
        trouble
    }

    fn finish(self, store: &Store) -> Finished {
        let study = &self.asked.study;
        let (mut table, mut failed, mut codes) = (Table::default(), Vec::new(), BTreeSet::new());
        let mut failures: Vec<Failed> = Vec::new();
        table.units = vec![None; study.columns.len()];
        for (cell, (key, params)) in self.keys.iter().zip(&self.asked.cells).enumerate() {
            let mut values = vec![Vec::new(); study.columns.len()];
            let mut unclean = 0;
            for seed in self.seeds.clone() {
                let row = store.row(key, seed);
                let whole = row.filter(|row| row.whole());
                if let Some(kind) = row.and_then(Row::failure) {
                    unclean += 1;
                    match failures.iter_mut().find(|f| f.kind == kind) {
                        Some(known) => known.runs += 1,
                        None => {
                            let kind = kind.to_string();
                            failures.push(Failed { kind, runs: 1, first: (cell, seed) });
                        }
                    }
                }
                codes.extend(row.filter(|row| !row.whole()).map(|row| row.code()));
                for (i, column) in study.columns.iter().enumerate() {
                    let datum = whole.and_then(|row| Some((row, (*row.data.get(i)?)?)));
                    values[i].push(datum.and_then(|(row, d)| column.number(d, row.load_ns)));
                    table.units[i] = table.units[i].or(datum.map(|(_, (_, unit))| unit));
                }
            }
            table.cells.push(Cell::of(params.clone(), values));
            failed.push(unclean);
        }
        let code = worst(codes);
        let Order { asked, seeds, dir, program, .. } = self;
        Finished { asked, seeds, table, failed, failures, program, code, dir }
    }
}
