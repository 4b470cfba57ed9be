//! `sweep SCENARIO|all`: many seeds on all cores, in worker processes (`fleet`), so that no seed takes the
//! sweep down. Every finished seed is a line in the sweep's folder at once (`ledger`), so an interrupted
//! sweep is continued by typing it again: with the same `--out` only missing seeds are run, and what comes
//! out is what an uninterrupted sweep gives. A default folder that is complete is begun anew, since whoever
//! types the same sweep again wants to see it run; `--resume` never begins anew. A seed counts as finished
//! when it has had its second run too, if one is owed (`again`).
//!
//! `--ci`, and `all` without `--seeds`, begin no seed after the scenario's `ci.seconds`. A sweep that is cut
//! short by that says so, and fails (exit 8) if it has not finished `ci.seeds` seeds: a slow day is no pass.
//! Typed again, it goes on where it was cut.
//!
//! With `--branch-at WORD` a seed that reaches that `sometimes` is also run from there on with other draws
//! (`kernel::branch`); its line lists the branches, and the first of them that fails is the seed's verdict.
//! What the branches' faults did and which `sometimes` they reached is summed up in `branched` of the line
//! and counts in the summary; what lies before a branch then counts once more with each branch.
//!
//! Kept plans of the scenario come first (`kept`): one that still fails fails the sweep.
//!
//! In JSON one line per seed, in their order: the object that `run` prints with `cure` null, and `again` if
//! it was run twice; and then the summary (`tally`). A seed that the machinery itself could not run has the
//! verdict `unknown` and no digest.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kernel::history::Trace;
use kernel::outcome::exit;
use kernel::registry::Claim;
use kernel::run::Options;
use kernel::scenario::Scenario;
use serde_json::{Value, json};

use crate::args::{Format, Sweep};
use crate::fleet::{Fleet, News};
use crate::interrupt::Interrupt;
use crate::kept::{self, Replayed};
use crate::ledger::{Foreign, Ledger, Lines, contents, envelope, sum};
use crate::process::Launch;
use crate::progress::Progress;
use crate::schedule::Schedule;
use crate::seeds::Seeds;
use crate::session::{Failure, Session, known, worst};
use crate::summary::Summary;
use crate::tally::Tally;
use crate::terminal::{Paint, err, out};

/// The word for all scenarios.
const ALL: &str = "all";

/// A sweep of one scenario.
struct Order<'a> {
    session: &'a Session,
    args: &'a Sweep,
    asked: String,
    scenario: Arc<Scenario>,
    options: Options,
    seeds: Seeds,
    /// The first of all that are swept.
    first: bool,
}

/// A sweep as it goes: shared with the interrupt, which may have to speak for it.
struct Board {
    asked: String,
    replayed: Vec<Replayed>,
    program: &'static str,
    scenario: Arc<Scenario>,
    args: Arc<Sweep>,
    seeds: Seeds,
    /// Finished seeds that are not told yet, for one before them is not finished.
    ready: Lines,
    /// The seed to tell next is not below this one.
    next: u64,
    fresh: u64,
    ledger: Ledger,
    tally: Tally,
    notes: Vec<String>,
    progress: Progress,
    begun: Instant,
    trouble: Option<Failure>,
}

/// Sweeps one scenario, or all of them one after the other.
pub fn sweep(session: &Session, args: &Sweep) -> Result<i32, Failure> {
    let names = match args.scenario.as_str() {
        ALL => session.library.scenario_names(),
        one => vec![one.to_string()],
    };
    let mut orders = Vec::new();
    for asked in names {
        let scenario = session.scenario(&asked, &args.changes.sets)?;
        let options = session.options(&scenario, Some(0), &args.changes, Trace::Off)?;
        let options = Options { explore: explored(args, &scenario, session)?, ..options };
        let range = args.seeds.clone().unwrap_or(0..scenario.ci.seeds);
        let seeds = Seeds { range, shard: args.shard.unwrap_or_default() };
        let first = orders.is_empty();
        orders.push(Order { session, args, asked, scenario, options, seeds, first });
    }
    let interrupt = Interrupt::listen()?;
    let mut codes = Vec::new();
    for order in &orders {
        match order.run(&interrupt)? {
            exit::INTERRUPTED => return Ok(exit::INTERRUPTED),
            code => codes.push(code),
        }
    }
    if args.scenario == ALL && args.format == Format::Human {
        let failed = codes.iter().filter(|c| **c != exit::OK).count();
        out(&format!("{failed} of {} scenarios failed\n", codes.len()));
    }
    Ok(worst(codes))
}

/// From where branches are run, and how many, as arguments.
fn exploring(options: &Options) -> Vec<String> {
    let Some((word, branches)) = &options.explore else { return Vec::new() };
    ["--branch-at", word, "--branches", &branches.to_string()].map(str::to_string).to_vec()
}

/// From where branches are run, and how many: a `sometimes` of the scenario.
pub fn explored(
    args: &Sweep,
    scenario: &Scenario,
    session: &Session,
) -> Result<Option<(String, u64)>, Failure> {
    let Some(word) = &args.branch_at else { return Ok(None) };
    let is_sometimes = |word: &str| {
        session.registry.check(word).is_some_and(|known| known.claim == Claim::Sometimes)
    };
    let words = scenario.checks.iter().map(|c| c.word.as_str()).filter(|w| is_sometimes(w));
    known(word, words, &format!("{} has no `sometimes`", scenario.name))?;
    Ok(Some((word.clone(), args.branches)))
}

impl Order<'_> {
    fn run(&self, interrupt: &Interrupt) -> Result<i32, Failure> {
        let board = Arc::new(Mutex::new(self.board()?));
        let for_last = board.clone();
        interrupt.last_words(move || {
            let mut board = lock(&for_last);
            board.finish(exit::INTERRUPTED);
            std::process::exit(exit::INTERRUPTED);
        });
        let fleet = Fleet {
            launch: self.launch(),
            scenario: &self.scenario.name,
            jobs: self.jobs(),
            stop: interrupt.stop(),
            until: self.until(),
        };
        let done = lock(&board).ready.keys().copied().collect();
        fleet.run(Schedule::new(self.seeds.clone(), done), &mut |news| {
            let mut board = lock(&board);
            if let Err(failure) = board.hear(news) {
                board.trouble.get_or_insert(failure);
                interrupt.stop().store(true, Ordering::SeqCst);
            }
        });
        let mut board = lock(&board);
        if let Some(failure) = board.trouble.take() {
            return Err(board.give_up(failure));
        }
        if interrupt.stop().load(Ordering::SeqCst) {
            if !interrupt.claim() {
                drop(board);
                loop {
                    std::thread::park();
                }
            }
            board.finish(exit::INTERRUPTED);
            return Ok(exit::INTERRUPTED);
        }
        board.tell(u64::MAX);
        board.tally.cut_short = board.tally.seeds < self.seeds.count();
        if let Err(failure) = board.ledger.tidy() {
            return Err(board.give_up(failure));
        }
        let code = worst([board.tally.exit_code(&self.scenario), kept::code(&board.replayed)]);
        board.finish(code);
        Ok(code)
    }

    fn board(&self) -> Result<Board, Failure> {
        let (dir, foreign) = self.folder();
        let foreign = match (self.args.resume, self.first) {
            (false, _) => foreign,
            (true, true) => Foreign::Demand,
            // A sweep of all scenarios may have been ended before it came to this one.
            (true, false) => Foreign::Refuse,
        };
        let mut opened = Ledger::open(&dir, &self.envelope()?, foreign)?;
        if opened.damaged > 0 {
            let (n, path) = (opened.damaged, opened.ledger.path.display());
            err(&format!("{path}: {n} damaged lines dropped; their seeds are run again\n"));
        }
        let total = self.seeds.count();
        let mut kept = opened.kept;
        kept.retain(|seed, _| self.seeds.contains(*seed));
        if kept.len() as u64 == total && foreign == Foreign::Replace {
            opened.ledger.clear()?;
            kept.clear();
        }
        if !kept.is_empty() {
            let path = opened.ledger.path.display();
            err(&format!("{path}: {} of {total} seeds are there already\n", kept.len()));
        }
        Ok(Board {
            asked: self.asked.clone(),
            replayed: kept::replay(self.session, &self.asked, &self.scenario)?,
            program: self.session.registry.program(),
            scenario: self.scenario.clone(),
            args: Arc::new(self.args.clone()),
            seeds: self.seeds.clone(),
            progress: Progress::new(&self.scenario.name, total - kept.len() as u64),
            ready: kept,
            next: self.seeds.range.start,
            fresh: 0,
            ledger: opened.ledger,
            tally: Tally::of(self.seeds.shard.of, self.args.unknown_max),
            notes: Vec::new(),
            begun: Instant::now(),
            trouble: None,
        })
    }

    /// What results depend on, and what was asked for.
    fn envelope(&self) -> Result<Value, Failure> {
        let mut envelope = envelope(&self.scenario, &self.options)?;
        let Seeds { range, shard } = &self.seeds;
        let mut arguments = self.args.changes.arguments();
        arguments.extend(exploring(&self.options));
        envelope["sweep"] = json!({
            "asked": self.asked,
            "arguments": arguments,
            "seeds": format!("{}..{}", range.start, range.end),
            "shard": shard.to_string(),
        });
        Ok(envelope)
    }

    fn folder(&self) -> (PathBuf, Foreign) {
        let name = &self.scenario.name;
        match &self.args.out {
            Some(dir) if self.args.scenario == ALL => (dir.join(name), Foreign::Refuse),
            Some(dir) => (dir.clone(), Foreign::Refuse),
            None => {
                let mut typed = self.args.changes.typed();
                for word in exploring(&self.options) {
                    typed.push_str(&format!(" {word}"));
                }
                let changed = if typed.is_empty() { String::new() } else { sum(typed.as_bytes()) };
                let Seeds { range, shard } = &self.seeds;
                let mut leaf = format!("{name}-{}-{}", range.start, range.end);
                if shard.of > 1 {
                    leaf.push_str(&format!("-{}of{}", shard.number, shard.of));
                }
                let leaf = format!("{leaf}-{changed}");
                let leaf = leaf.trim_end_matches('-');
                (self.session.root().join("target/sweeps").join(leaf), Foreign::Replace)
            }
        }
    }

    fn launch(&self) -> Launch {
        let memory = format!("{}B", self.args.memory.0);
        let mut arguments = vec!["worker".to_string(), self.asked.clone()];
        arguments.extend(["--memory".to_string(), memory]);
        arguments.extend(exploring(&self.options));
        arguments.extend(self.args.changes.arguments());
        let contents = contents(&self.scenario, &self.options);
        Launch { arguments, contents, patience: self.args.patience }
    }

    fn jobs(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.args.jobs.map_or_else(cores, usize::from)
    }

    fn until(&self) -> Option<Instant> {
        let bounded = self.args.ci || (self.args.scenario == ALL && self.args.seeds.is_none());
        bounded.then(|| Instant::now() + Duration::from_secs(self.scenario.ci.seconds))
    }
}

impl Board {
    fn hear(&mut self, news: News) -> Result<(), Failure> {
        match news {
            News::Result(seed, line) => self.take(seed, &line),
            News::Trouble(failure) => Err(failure),
            News::Note(note) => {
                self.progress.clear();
                err(&note);
                Ok(())
            }
        }
    }

    /// A seed that was finished just now.
    fn take(&mut self, seed: u64, line: &Value) -> Result<(), Failure> {
        let text = line.to_string();
        self.ledger.append(&text)?;
        self.ready.insert(seed, text);
        while let Some(next) = self.seeds.next(self.next).filter(|s| self.ready.contains_key(s)) {
            self.tell(next.saturating_add(1));
        }
        self.fresh += 1;
        self.progress.tick(self.fresh, self.tally.failed);
        Ok(())
    }

    /// Tells the finished seeds before this one, in their order.
    fn tell(&mut self, before: u64) {
        let later = self.ready.split_off(&before);
        for text in std::mem::replace(&mut self.ready, later).into_values() {
            let line = serde_json::from_str(&text).unwrap_or_default();
            self.tally.add(&line);
            if self.args.format == Format::Json {
                self.progress.clear();
                out(&format!("{text}\n"));
            }
        }
        self.next = before;
    }

    /// The end of a sweep that cannot go on: what was finished is told, and is kept.
    fn give_up(&mut self, failure: Failure) -> Failure {
        self.finish(failure.code);
        let (kept, all) = (self.tally.seeds, self.seeds.count());
        Failure { text: format!("{}; {kept} of {all} seeds are kept", failure.text), ..failure }
    }

    /// Prints the summary.
    fn finish(&mut self, code: i32) {
        self.tell(u64::MAX);
        self.progress.clear();
        let seconds = self.begun.elapsed().as_secs_f64();
        out(&match self.args.format {
            Format::Json => {
                let mut summary = self.tally.summary(&self.scenario, seconds, code);
                summary["summary"]["kept"] = kept::json(&self.replayed);
                format!("{summary}\n")
            }
            Format::Human => Summary {
                kept: kept::told(&self.replayed, Paint::stdout()),
                asked: &self.asked,
                program: self.program,
                scenario: &self.scenario,
                changes: &self.args.changes,
                seeds: self.seeds.clone(),
                tally: &self.tally,
                notes: &self.notes,
                code,
            }
            .render(seconds, &self.ledger.path),
        });
    }
}

/// The board stays usable if somebody panicked over it: what was finished is still to be told.
fn lock(board: &Mutex<Board>) -> MutexGuard<'_, Board> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}
