//! Many seeds on all cores. Outcomes are handed over in the order of their seeds, however many workers there
//! are, so a sweep's output depends on the seeds alone.
//! Everything happens in this process: a seed that aborts takes its caller along. Where that must not be,
//! the command line runs seeds in worker processes; this is for a few seeds that are known to be sound.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Instant;

use crate::outcome::Outcome;
use crate::registry::Registry;
use crate::run::{Options, run};
use crate::scenario::Scenario;

/// What to sweep.
pub struct Job {
    /// The scenario.
    pub scenario: Arc<Scenario>,
    /// The vocabulary.
    pub registry: &'static Registry,
    /// Options of every run; the seed is replaced.
    pub base: Options,
    /// Seeds, half-open.
    pub seeds: Range<u64>,
    /// Seeds that need no run.
    pub done: std::collections::BTreeSet<u64>,
    /// Workers.
    pub jobs: usize,
}

/// Runs the seeds until they are done, `stop` is set or `until` has passed; hands every outcome to `on`, in
/// order. Returns how many seeds were handed over.
pub fn sweep(
    job: &Job,
    stop: &AtomicBool,
    until: Option<Instant>,
    on: &mut dyn FnMut(u64, Result<Outcome, String>),
) -> u64 {
    let next = AtomicU64::new(job.seeds.start);
    let (sender, receiver) = mpsc::channel();
    let mut handed = 0;
    std::thread::scope(|scope| {
        for _ in 0..job.jobs.max(1) {
            let sender = sender.clone();
            let next = &next;
            scope.spawn(move || {
                loop {
                    let late = until.is_some_and(|t| Instant::now() >= t);
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= job.seeds.end || stop.load(Ordering::Relaxed) || late {
                        return;
                    }
                    if job.done.contains(&seed) {
                        let _ = sender.send((seed, None));
                        continue;
                    }
                    let options = Options { seed, ..job.base.clone() };
                    let outcome = run(&job.scenario, job.registry, &options);
                    if sender.send((seed, Some(outcome))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut early: BTreeMap<u64, Option<Result<Outcome, String>>> = BTreeMap::new();
        let mut turn = job.seeds.start;
        for (seed, outcome) in receiver {
            early.insert(seed, outcome);
            while let Some(outcome) = early.remove(&turn) {
                if let Some(outcome) = outcome {
                    on(turn, outcome);
                    handed += 1;
                }
                turn += 1;
            }
        }
        for (seed, outcome) in early {
            if let Some(outcome) = outcome {
                on(seed, outcome);
                handed += 1;
            }
        }
    });
    handed
}
