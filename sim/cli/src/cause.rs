//! `cause SCENARIO --seed N`: from which instant on a failing seed was bound to fail. After each instant of a
//! ladder everything is drawn anew, many times (`kernel::cause`); the share of those branches that fail by
//! the same check in the same class is drawn as a bar with its interval of 95 %, and between the two rungs
//! where it climbs most lies the cause, if their intervals are apart: the faults and events of that stretch
//! follow. `run --why` shows the same under a failure. What a scenario expects is no failure to explain.
//!
//! An interrupt shows the ladder as far as it was climbed. In JSON one object: `{scenario, seed, check,
//! violated_at_ns, ladder: [{at_ns, failed, runs, share, ci: [low, high]}], knee: [from_ns, to_ns] | null}`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use host::unit::parse_duration;
use kernel::cause::{Case, Rung, climb, knee};
use kernel::history::Trace;
use kernel::outcome::{Outcome, exit};
use kernel::run::Options;
use kernel::scenario::Scenario;
use kernel::shrink::Failure as Kind;
use serde_json::json;

use crate::args::{Changes, Format, seed};
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::session::{Failure, Session};
use crate::story;
use crate::table::{row, table};
use crate::terminal::{Paint, instant, out};

/// `cause`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A scenario's name, or a path that ends in .toml.
    pub scenario: String,
    /// The seed [default: that of --plan, else MADSIM_TEST_SEED, else 0].
    #[arg(long, value_parser = seed)]
    pub seed: Option<u64>,
    /// Branches from each instant.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = number().range(1..=9_999))]
    pub branches: u64,
    /// Instants of the first ladder, and of each finer one around the knee.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = number().range(2..=100))]
    pub rungs: u64,
    /// How many ladders.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = number().range(1..=20))]
    pub rounds: u64,
    /// Begin no instant after this time on the wall.
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = parse_duration)]
    pub budget: Duration,
    #[command(flatten)]
    pub changes: Changes,
    /// For people or machines.
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
}

fn number() -> clap::builder::RangedU64ValueParser<u64> {
    clap::value_parser!(u64)
}

impl Args {
    /// What `run --why` asks for.
    pub fn of_run(args: &crate::args::Run) -> Args {
        let (branches, rungs, rounds, budget) = (20, 8, 2, Duration::from_secs(60));
        let (scenario, seed, changes) = (args.scenario.clone(), args.seed, args.changes.clone());
        Args { scenario, seed, branches, rungs, rounds, budget, changes, format: Format::Human }
    }
}

/// What a ladder is climbed for, and what came of it.
pub struct Found {
    check: String,
    violated_at: u64,
    ladder: Vec<Rung>,
}

/// Characters of a full bar.
const BAR: usize = 40;
/// Lines of what happened around the knee.
const LINES: usize = 12;

/// Looks for the cause of a failing seed.
pub fn cause(session: &Session, args: &Args) -> Result<i32, Failure> {
    let scenario = session.scenario(&args.scenario, &args.changes.sets)?;
    let options = session.options(&scenario, args.seed, &args.changes, Trace::Short)?;
    let outcome = kernel::run::run(&scenario, session.registry, &options).map_err(Failure::data)?;
    let interrupt = Interrupt::listen()?;
    let Some(found) = find(session, &scenario, &options, &outcome, args, interrupt.stop())? else {
        let text = format!(
            "seed {} of {} violates nothing: there is nothing to explain",
            options.seed, scenario.name
        );
        return Err(Failure::usage(text));
    };
    let stopped = interrupt.stop().load(Ordering::SeqCst);
    out(&match args.format {
        Format::Json => format!("{}\n", found.json(&outcome)),
        Format::Human => {
            let typed = args.changes.typed();
            let head = format!("{}   seed {}  {typed}", outcome.scenario, outcome.seed);
            format!("{}\n\n{}", head.trim_end(), found.render(&outcome, Paint::stdout()))
        }
    });
    Ok(if stopped { exit::INTERRUPTED } else { exit::OK })
}

/// The ladder of a failing run; `None` if it violates nothing.
pub fn find(
    session: &Session,
    scenario: &Arc<Scenario>,
    options: &Options,
    outcome: &Outcome,
    args: &Args,
    stop: &AtomicBool,
) -> Result<Option<Found>, Failure> {
    let Some(kind) = Kind::of(outcome, scenario) else { return Ok(None) };
    let Some(violation) = outcome.violations.iter().find(|v| v.check == kind.check) else {
        return Ok(None);
    };
    if options.plan.is_some() || options.branch.is_some() {
        let text = "a cause is sought among the seed's own draws; leave --plan and --branch out";
        return Err(Failure::usage(text));
    }
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let case = Case {
        scenario: scenario.clone(),
        registry: session.registry,
        options: Options { trace: Trace::Off, ..options.clone() },
        kind,
        branches: args.branches,
        jobs,
    };
    let from = host::unit::nanos(scenario.head.boot).min(violation.at_ns);
    let mut progress = Progress::new("cause", args.rungs + (args.rounds - 1) * args.rungs);
    let (begun, mut done) = (Instant::now(), 0);
    let late = AtomicBool::new(false);
    let ladder =
        climb(&case, (from, violation.at_ns), (args.rungs, args.rounds), &late, &mut |_| {
            done += 1;
            progress.tick(done, 0);
            let enough = begun.elapsed() >= args.budget || stop.load(Ordering::SeqCst);
            late.store(enough, Ordering::SeqCst);
        });
    progress.clear();
    let mut ladder = ladder.map_err(Failure::data)?;
    ladder.sort_by_key(|rung| rung.at);
    Ok(Some(Found { check: violation.check.clone(), violated_at: violation.at_ns, ladder }))
}

impl Found {
    /// The ladder, the knee, and what happened there.
    pub fn render(&self, outcome: &Outcome, paint: Paint) -> String {
        let mut text = format!(
            "  {} is violated at {} s. Of the branches that leave the run at an \
             instant, so many fail alike:\n\n",
            self.check,
            instant(self.violated_at)
        );
        let knee = knee(&self.ladder);
        let mut rows = vec![row(["from", "fail", "95 %", &scale()])];
        for (i, rung) in self.ladder.iter().enumerate() {
            let (share, low, high) = rung.share();
            let interval = format!("{:.0}..{:.0} %", low * 100.0, high * 100.0);
            let mark =
                if knee.is_some_and(|(low, _)| low == i) { "  <- decided from here" } else { "" };
            let fails = format!("{} of {}", rung.failed, rung.runs);
            rows.push(row([&instant(rung.at), &fails, &interval, &(bar(share, low, high) + mark)]));
        }
        text.push_str(&table(rows, 4, None));
        match knee.map(|(i, j)| (self.ladder[i].at, self.ladder[j].at)) {
            None => text.push_str(
                "\n  No instant decides it: the share climbs by no more than chance allows.\n",
            ),
            Some((from, to)) => {
                let (a, b) = (instant(from), instant(to));
                text.push_str(&format!("\n  Between {a} and {b} s\n"));
                text.push_str(&happened(outcome, from, to, paint));
            }
        }
        text
    }

    fn json(&self, outcome: &Outcome) -> serde_json::Value {
        let rung = |r: &Rung| {
            let (share, low, high) = r.share();
            json!({"at_ns": r.at, "failed": r.failed, "runs": r.runs, "share": share, "ci": [low, high]})
        };
        let knee = knee(&self.ladder).map(|(i, j)| [self.ladder[i].at, self.ladder[j].at]);
        json!({
            "scenario": outcome.scenario,
            "seed": outcome.seed,
            "check": self.check,
            "violated_at_ns": self.violated_at,
            "ladder": self.ladder.iter().map(rung).collect::<Vec<_>>(),
            "knee": knee,
        })
    }
}

fn scale() -> String {
    format!("0{:>1$}", "100 %", BAR + 3)
}

/// The share as `#`, and its interval as `-` around it.
fn bar(share: f64, low: f64, high: f64) -> String {
    let place = |x: f64| ((x * BAR as f64).round() as usize).min(BAR);
    let (full, low, high) = (place(share), place(low), place(high));
    let cell = |i: usize| match i {
        i if i < full && i >= low => '+',
        i if i < full => '#',
        i if i < high => '-',
        _ => ' ',
    };
    format!("|{}|", (0..BAR).map(cell).collect::<String>())
}

/// The last lines of the story in that stretch.
fn happened(outcome: &Outcome, from: u64, to: u64, paint: Paint) -> String {
    let there: Vec<_> =
        outcome.trace.iter().filter(|l| l.at >= from && l.at <= to).cloned().collect();
    if there.is_empty() {
        return "    nothing that a story tells\n".to_string();
    }
    let most = there.len().saturating_sub(LINES);
    let left = if most > 0 { format!("    .. {most} lines before\n") } else { String::new() };
    left + &story::render_all(&there[most..], paint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_show_share_and_interval() {
        assert_eq!(bar(0.0, 0.0, 0.0), format!("|{}|", " ".repeat(BAR)));
        assert_eq!(bar(1.0, 1.0, 1.0), format!("|{}|", "#".repeat(BAR)));
        assert_eq!(
            bar(0.5, 0.25, 0.75),
            format!("|{}{}{}{}|", "#".repeat(10), "+".repeat(10), "-".repeat(10), " ".repeat(10))
        );
        assert_eq!(scale().len(), BAR + 4);
    }
}
