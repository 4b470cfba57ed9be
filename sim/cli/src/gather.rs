//! Runs of several scenarios, each under a few seeds, for whoever wants their measures and not a sweep's
//! ledger: `reproduce` and its sensitivity. Seeds run in the worker processes that sweeps use (`fleet`), so
//! what one of them does to its process costs that seed; one of twenty runs twice and must be the same.
//!
//! Left out: resuming. A batch takes two minutes at most, and what was half done is worth nothing.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kernel::claims::accept::Spread;
use kernel::history::Trace;
use kernel::scenario::Scenario;
use serde_json::Value;

use crate::args::Changes;
use crate::fleet::{Fleet, News};
use crate::interrupt::Interrupt;
use crate::ledger::contents;
use crate::process::Launch;
use crate::progress::Progress;
use crate::schedule::Schedule;
use crate::session::{Failure, Session};
use crate::tally::Tally;
use crate::terminal::err;

/// Memory that a worker process may hold.
const MEMORY: &str = "4GiB";
/// Wall time after which a seed without a result is ended.
const PATIENCE: Duration = Duration::from_secs(60);

/// What to run.
pub struct Order {
    /// As it is typed: a name or a path.
    pub asked: String,
    /// With the settings below.
    pub scenario: Arc<Scenario>,
    /// Values in place of the scenario's own.
    pub sets: Vec<(String, String)>,
    /// Half-open.
    pub seeds: Range<u64>,
}

impl Order {
    /// A scenario under some seeds.
    pub fn new(
        session: &Session,
        asked: &str,
        sets: Vec<(String, String)>,
        seeds: Range<u64>,
    ) -> Result<Order, Failure> {
        let scenario = session.scenario(asked, &sets)?;
        Ok(Order { asked: asked.to_string(), scenario, sets, seeds })
    }
}

/// What a scenario's seeds came to.
#[derive(Default)]
pub struct Runs {
    /// Their lines by seed.
    pub lines: BTreeMap<u64, Value>,
    /// Their sum.
    pub tally: Tally,
}

/// A measure over seeds.
pub enum Measured {
    /// All of them have it: in this unit.
    All(Spread, String),
    /// Only so many of so many have it.
    Some(usize, usize),
}

impl Runs {
    /// A measure over the seeds of a range.
    pub fn measure(&self, name: &str, seeds: &Range<u64>) -> Measured {
        let lines: Vec<&Value> = self.lines.range(seeds.clone()).map(|(_, line)| line).collect();
        let values: Vec<f64> =
            lines.iter().filter_map(|line| line["measures"][name].as_f64()).collect();
        let unit = lines.iter().find_map(|line| line["units"][name].as_str()).unwrap_or_default();
        let (some, all) = (values.len(), lines.len());
        match Spread::of(values) {
            Some(spread) if some == all => Measured::All(spread, unit.to_string()),
            _ => Measured::Some(some, all),
        }
    }

    /// The kinds of work that some seed charged, in order.
    pub fn charged(&self) -> Vec<String> {
        let kinds = self.lines.values().filter_map(|line| line["charged"].as_array()).flatten();
        let mut kinds: Vec<String> =
            kinds.filter_map(|kind| kind.as_str().map(str::to_string)).collect();
        kinds.sort();
        kinds.dedup();
        kinds
    }
}

/// Runs all orders, one after the other on that many worker processes; `None` if a signal came.
pub fn gather(
    session: &Session,
    name: &str,
    orders: &[Order],
    jobs: usize,
    interrupt: &Interrupt,
) -> Result<Option<Vec<Runs>>, Failure> {
    let total = orders.iter().map(|o| o.seeds.end - o.seeds.start).sum();
    let mut progress = Progress::of(name, total, "runs");
    let (mut all, mut done, mut failed) = (Vec::new(), 0, 0);
    for order in orders {
        let fleet = Fleet {
            launch: launch(session, order)?,
            scenario: &order.scenario.name,
            jobs,
            stop: interrupt.stop(),
            until: None,
        };
        let (mut runs, mut trouble) = (Runs::default(), None);
        fleet.run(Schedule::new(order.seeds.clone().into(), Default::default()), &mut |news| {
            match news {
                News::Result(seed, line) => {
                    runs.lines.insert(seed, line);
                    done += 1;
                    progress.tick(done, failed);
                }
                News::Note(note) => {
                    progress.clear();
                    err(&note);
                }
                News::Trouble(failure) => {
                    trouble.get_or_insert(failure);
                    interrupt.stop().store(true, Ordering::SeqCst);
                }
            }
        });
        if let Some(failure) = trouble {
            progress.clear();
            return Err(failure);
        }
        if interrupt.stop().load(Ordering::SeqCst) {
            progress.clear();
            return Ok(None);
        }
        runs.lines.values().for_each(|line| runs.tally.add(line));
        failed += runs.tally.failed;
        all.push(runs);
    }
    progress.clear();
    Ok(Some(all))
}

fn launch(session: &Session, order: &Order) -> Result<Launch, Failure> {
    let changes = Changes { sets: order.sets.clone(), ..Changes::default() };
    let options = session.options(&order.scenario, Some(0), &changes, Trace::Off)?;
    let fixed = ["worker", &order.asked, "--memory", MEMORY, "--charged"];
    let mut arguments: Vec<String> = fixed.iter().map(|a| (*a).to_string()).collect();
    arguments.extend(changes.arguments());
    let contents = contents(&order.scenario, &options);
    Ok(Launch { arguments, contents, patience: PATIENCE })
}
