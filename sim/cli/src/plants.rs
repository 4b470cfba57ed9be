//! `plants`: how many seeds the default sweep needs until it catches each planted defect. That sweep is the
//! scenarios named `swarm*` of the plant's node, seed after seed in turn. The seeds are cut into 20 disjoint
//! ranges; in each the search ends with the first seed that fails, so a plant has 20 independent waiting
//! times. No scenario is written for a plant, and no check is named: whatever fails first has caught it.
//!
//! Ranges are taken one of every plant at a time, so that a budget which ends the search early still
//! tells something of all. `cpu_s` is the time of the runs, scaled by the share of it that the process had a
//! core for. `rate` is catches over seeds that were run, with Wilson's interval at 95 %; it is a little high,
//! since ranges end with a catch. Plants called `neutral_..` are no defects; only by name are they searched.
//!
//! A range without a catch is censored: its waiting time is longer than the range, nobody knows by how much.
//! It sorts above every catch, and a quantile that falls on one is not known: `> 500`, in JSON null.
//!
//! In JSON one object: `{plants: [{plant, caught, check, seeds_p50, seeds_p95, cpu_s_p50, rate, rate_ci,
//! shrunk_faults, shrunk_ops}], ranges, seeds, seconds, cut_short}`; `caught` is the share of ranges with a
//! catch. Exit 0 if every plant was caught, else 5. A seed that cannot be run is no escape: the search ends
//! with its reason (exit 65, or 74 if it is the simulator's own), and what was found so far is told.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clap::Args;
use kernel::claims::accept::quantile;
use kernel::history::Trace;
use kernel::outcome::exit;
use kernel::run::Options;
use kernel::scenario::Scenario;
use kernel::shrink::Failure as Kind;
use serde_json::{Value, json};

use crate::args::{Format, seeds};
use crate::hunt::{Hunt, Wait, search};
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::session::{Failure, Session, known};
use crate::shrink;
use crate::table::{row, table};
use crate::terminal::{grouped, out};

/// Into so many ranges the seeds are cut.
const RANGES: u64 = 20;
/// Scenarios of the default sweep begin so.
const SWARM: &str = "swarm";
/// Plants that are no defects begin so.
const NEUTRAL: &str = "neutral_";
/// Clock ticks of /proc/self/stat in a second, on Linux.
const TICKS: f64 = 100.0;

/// `plants`.
///
/// A plant that a share r of seeds catch takes about 1/r seeds in each of 20 ranges, at 30 to 50 ms each
/// for swarm: 20 seeds are about 15 s of CPU, and a plant that is never caught takes every seed there is.
///
/// A range without a catch counts as longer than any with one. If the median (p50) or p95 of the 20 falls on
/// such a range, it is told as `> 500`, the seeds that were run in vain, and is null in JSON.
#[derive(Clone, Debug, Args)]
pub struct Plants {
    /// The plants to search for [default: all but the neutral ones].
    pub words: Vec<String>,
    /// From A up to but not including B, cut into 20 ranges.
    #[arg(long, value_name = "A..B", value_parser = seeds, default_value = "0..10000")]
    pub seeds: Range<u64>,
    /// How long to search at all [default: until done].
    #[arg(long, value_name = "TIME", value_parser = host::unit::parse_duration)]
    pub budget: Option<Duration>,
    /// How long to shrink one catch of each plant; 0s: not at all.
    #[arg(long, value_name = "TIME", value_parser = host::unit::parse_duration, default_value = "5s")]
    pub shrink_budget: Duration,
    /// Runs at a time [default: all cores].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,
    /// For people or machines.
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
}

/// A plant and the sweep that is to catch it.
struct Quarry {
    word: &'static str,
    swarms: Vec<Arc<Scenario>>,
}

/// What is known so far; an interrupt may have to tell it.
struct Board {
    args: Plants,
    words: Vec<&'static str>,
    hunts: Vec<Vec<Hunt>>,
    shrunk: BTreeMap<usize, (usize, usize)>,
    progress: Progress,
    done: u64,
    begun: Instant,
    told: bool,
    trouble: Option<Failure>,
}

/// Searches for plants and prints how long that took.
pub fn plants(session: &Session, args: &Plants) -> Result<i32, Failure> {
    let length = (args.seeds.end - args.seeds.start) / RANGES;
    if length == 0 {
        let (from, to) = (args.seeds.start, args.seeds.end);
        let text = format!("{from}..{to} cannot be cut into {RANGES} ranges; give more seeds");
        return Err(Failure::usage(text));
    }
    let quarries = quarries(session, &args.words)?;
    let begun = Instant::now();
    let until = args.budget.map(|budget| begun + budget);
    let total = quarries.len() as u64 * RANGES;
    let interrupt = Interrupt::listen()?;
    let board = Arc::new(Mutex::new(Board {
        args: args.clone(),
        words: quarries.iter().map(|q| q.word).collect(),
        hunts: vec![Vec::new(); quarries.len()],
        shrunk: BTreeMap::new(),
        progress: Progress::of("plants", total, "ranges"),
        done: 0,
        begun,
        told: false,
        trouble: None,
    }));
    let for_last = board.clone();
    interrupt.last_words(move || {
        lock(&for_last).finish();
        std::process::exit(exit::INTERRUPTED);
    });
    let failed = AtomicBool::new(false);
    let stop = || {
        let late = until.is_some_and(|t| Instant::now() >= t);
        interrupt.stop().load(Ordering::SeqCst) || failed.load(Ordering::SeqCst) || late
    };
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..jobs(args) {
            scope.spawn(|| {
                loop {
                    let unit = next.fetch_add(1, Ordering::Relaxed);
                    let (range, plant) = ((unit / quarries.len()) as u64, unit % quarries.len());
                    if range >= RANGES || stop() {
                        return;
                    }
                    let first = args.seeds.start + range * length;
                    match quarries[plant].hunt(session, range, first..first + length, &stop) {
                        Ok(Some(hunt)) => lock(&board).take(plant, hunt),
                        Ok(None) => return,
                        Err(failure) => {
                            failed.store(true, Ordering::SeqCst);
                            lock(&board).trouble.get_or_insert(failure);
                            return;
                        }
                    }
                }
            });
        }
    });
    shrink_each(session, args, &quarries, &board, &interrupt, &stop);
    if interrupt.stop().load(Ordering::SeqCst) && !interrupt.claim() {
        loop {
            std::thread::park();
        }
    }
    let mut board = lock(&board);
    let code = board.finish();
    board.trouble.take().map_or(Ok(()), Err)?;
    let interrupted = interrupt.stop().load(Ordering::SeqCst);
    Ok(if interrupted { exit::INTERRUPTED } else { code })
}

fn jobs(args: &Plants) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    args.jobs.map_or_else(cores, usize::from)
}

/// The plants that were asked for, each with the default sweep of a node that has it.
fn quarries(session: &Session, words: &[String]) -> Result<Vec<Quarry>, Failure> {
    let all = || session.registry.nodes.iter().flat_map(|n| n.plants).map(|p| p.0);
    for word in words {
        known(word, all(), "no node has a plant")?;
    }
    let mut swarms = Vec::new();
    for name in session.library.scenario_names().iter().filter(|n| n.starts_with(SWARM)) {
        swarms.push(session.scenario(name, &[])?);
    }
    // Nodes may share plants, and one of them be without a default sweep.
    let swept = |word: &str| {
        let with = session.registry.nodes.iter().filter(|n| n.plants.iter().any(|p| p.0 == word));
        { with }.any(|n| swarms.iter().any(|s| s.cluster.node.0 == n.word))
    };
    let mut out = Vec::new();
    for node in &session.registry.nodes {
        let of: Vec<Arc<Scenario>> =
            swarms.iter().filter(|s| s.cluster.node.0 == node.word).cloned().collect();
        let wanted = |word: &&str| match words.is_empty() {
            true => !word.starts_with(NEUTRAL),
            false => words.iter().any(|w| w == word),
        };
        for word in node.plants.iter().map(|p| p.0).filter(wanted) {
            if of.is_empty() && swept(word) {
                continue;
            }
            if of.is_empty() {
                let text = format!("node `{}` has no scenario named {SWARM}*", node.word);
                return Err(Failure::usage(text));
            }
            out.push(Quarry { word, swarms: of.clone() });
        }
    }
    if out.is_empty() {
        return Err(Failure::usage("there are no plants to search for"));
    }
    Ok(out)
}

impl Quarry {
    fn options(&self, seed: u64) -> Options {
        Options { plants: vec![self.word.to_string()], trace: Trace::Ops, ..Options::seed(seed) }
    }

    /// Runs seeds until one fails; `None` if it was stopped before that.
    fn hunt(
        &self,
        session: &Session,
        range: u64,
        seeds: Range<u64>,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Hunt>, Failure> {
        let first = seeds.start;
        search(range, seeds, stop, |seed| {
            let at = ((seed - first) % self.swarms.len() as u64) as usize;
            let scenario = &self.swarms[at];
            let run = kernel::run::run(scenario, session.registry, &self.options(seed));
            let named = |why| {
                let (word, name) = (self.word, &scenario.name);
                Failure::unrun(&format!("{word}: seed {seed} of {name}"), why)
            };
            let kind = Kind::of(&run.map_err(named)?, scenario);
            Ok(kind.map(|kind| (kind.check, seed, at)))
        })
    }
}

/// Shrinks the first catch of each plant.
fn shrink_each(
    session: &Session,
    args: &Plants,
    quarries: &[Quarry],
    board: &Mutex<Board>,
    interrupt: &Interrupt,
    stop: &dyn Fn() -> bool,
) {
    if args.shrink_budget.is_zero() {
        return;
    }
    for (i, quarry) in quarries.iter().enumerate() {
        let first = {
            let hunts = &lock(board).hunts[i];
            let caught = hunts.iter().filter(|h| h.caught.is_some()).min_by_key(|h| h.range);
            caught.and_then(|h| h.caught.clone())
        };
        let Some((_, seed, at)) = first else { continue };
        if stop() {
            return;
        }
        let options = quarry.options(seed);
        let (budget, jobs) = (args.shrink_budget, jobs(args));
        let size =
            shrink::size(session, &quarry.swarms[at], &options, budget, jobs, interrupt.stop());
        if let Some(size) = size {
            lock(board).shrunk.insert(i, size);
        }
    }
}

/// What the ranges of one plant came to.
struct Row {
    plant: &'static str,
    ranges: usize,
    caught: usize,
    check: Option<String>,
    seeds: [Wait<u64>; 2],
    cpu_s: Wait<f64>,
    rate: f64,
    interval: (f64, f64),
    shrunk: Option<(usize, usize)>,
}

impl Board {
    fn take(&mut self, plant: usize, hunt: Hunt) {
        self.done += 1;
        self.hunts[plant].push(hunt);
        let missed = self.hunts.iter().flatten().filter(|h| h.caught.is_none()).count();
        self.progress.tick(self.done, missed as u64);
    }

    fn rows(&self) -> Vec<Row> {
        let wall: f64 = self.hunts.iter().flatten().map(|h| h.wall.as_secs_f64()).sum();
        let share = cpu_seconds().map_or(1.0, |cpu| (cpu / wall.max(1e-9)).min(1.0));
        let of = |(i, hunts): (usize, &Vec<Hunt>)| {
            let seeds = hunts.iter().map(|h| Wait::of(h, h.seeds)).collect();
            let cpu = hunts.iter().map(|h| Wait::of(h, h.wall.as_secs_f64() * share)).collect();
            let (seeds, cpu) = (Wait::sorted(seeds, u64::cmp), Wait::sorted(cpu, f64::total_cmp));
            let mut checks: BTreeMap<&str, usize> = BTreeMap::new();
            for (check, ..) in hunts.iter().filter_map(|h| h.caught.as_ref()) {
                *checks.entry(check).or_default() += 1;
            }
            let caught: usize = checks.values().sum();
            let run: u64 = hunts.iter().map(|h| h.seeds).sum();
            let most = checks.iter().max_by_key(|(_, n)| **n);
            Some(Row {
                plant: self.words[i],
                ranges: hunts.len(),
                caught,
                check: most.map(|(check, _)| (*check).to_string()),
                seeds: [*quantile(&seeds, 50)?, *quantile(&seeds, 95)?],
                cpu_s: *quantile(&cpu, 50)?,
                rate: caught as f64 / run.max(1) as f64,
                interval: kernel::cause::wilson(caught as u64, run),
                shrunk: self.shrunk.get(&i).copied(),
            })
        };
        self.hunts.iter().enumerate().filter_map(of).collect()
    }

    fn cut_short(&self) -> bool {
        self.hunts.iter().any(|hunts| (hunts.len() as u64) < RANGES)
    }

    /// Prints what there is; returns the exit code.
    fn finish(&mut self) -> i32 {
        if std::mem::replace(&mut self.told, true) {
            return exit::OK;
        }
        self.progress.clear();
        let rows = self.rows();
        out(&match self.args.format {
            Format::Json => format!("{}\n", self.json(&rows)),
            Format::Human => self.human(&rows),
        });
        let all = rows.len() == self.words.len() && rows.iter().all(|row| row.caught > 0);
        if all { exit::OK } else { exit::NOT_SHOWN }
    }

    fn json(&self, rows: &[Row]) -> Value {
        let object = |row: &Row| {
            json!({
                "plant": row.plant, "caught": row.caught as f64 / row.ranges as f64,
                "check": row.check, "seeds_p50": row.seeds[0].known(),
                "seeds_p95": row.seeds[1].known(), "cpu_s_p50": row.cpu_s.known(), "rate": row.rate,
                "rate_ci": [row.interval.0, row.interval.1],
                "shrunk_faults": row.shrunk.map(|s| s.0), "shrunk_ops": row.shrunk.map(|s| s.1),
            })
        };
        let (from, to) = (self.args.seeds.start, self.args.seeds.end);
        json!({
            "plants": rows.iter().map(object).collect::<Vec<_>>(),
            "ranges": RANGES, "seeds": [from, to],
            "seconds": self.begun.elapsed().as_secs_f64(), "cut_short": self.cut_short(),
        })
    }

    fn human(&self, rows: &[Row]) -> String {
        let heads = [
            "plant",
            "check",
            "caught",
            "seeds p50",
            "p95",
            "cpu p50",
            "rate",
            "95 %",
            "shrunk to",
        ];
        let mut lines = vec![row(heads)];
        for r in rows {
            let percent = |share: f64| format!("{:.2} %", share * 100.0);
            let interval = format!("{:.2}..{:.2} %", r.interval.0 * 100.0, r.interval.1 * 100.0);
            lines.push(row([
                r.plant,
                r.check.as_deref().unwrap_or("-"),
                &format!("{} of {}", r.caught, r.ranges),
                &r.seeds[0].show(grouped),
                &r.seeds[1].show(grouped),
                &r.cpu_s.show(|s| format!("{s:.1} s")),
                &percent(r.rate),
                &interval,
                &r.shrunk.map_or("-".into(), |(f, o)| format!("{f} faults, {o} ops")),
            ]));
        }
        let caught = rows.iter().filter(|row| row.caught > 0).count();
        let seconds = self.begun.elapsed().as_secs_f64();
        let mut text = table(lines, 0, Some(2));
        text.push_str(&format!(
            "\n{caught} of {} plants caught, in {seconds:.0} s; a range has {} seeds\n",
            self.words.len(),
            grouped((self.args.seeds.end - self.args.seeds.start) / RANGES)
        ));
        if self.cut_short() {
            text.push_str("cut short: not every plant was searched for in every range\n");
        }
        text
    }
}

/// CPU time of this process, in seconds, if the system tells.
fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name in parentheses may hold anything; user and system time are the 12th and 13th field after it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |i: usize| fields.get(i)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / TICKS)
}

fn lock(board: &Mutex<Board>) -> MutexGuard<'_, Board> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_has_used_a_core() {
        assert!(cpu_seconds().is_some_and(|s| s >= 0.0));
    }
}
