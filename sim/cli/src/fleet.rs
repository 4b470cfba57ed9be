//! The worker processes of a sweep, and a thread for each that asks it for seeds and listens. A worker is
//! replaced after a chunk of seeds, when it dies, and when it would have to repeat a seed of its own. What a
//! seed does to its worker costs that seed at most: it is tried once more in a fresh worker, and if that one
//! dies of it too, that is the seed's result. Nothing is told of a first death but on stderr, since it may
//! have come from outside, and the result must be that of a sweep which nobody disturbed.
//!
//! Results come in any order; who wants them in the order of the seeds puts them into it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use kernel::outcome::Verdict;
use serde_json::Value;

use crate::again::{judged, wanted};
use crate::process::{Launch, Lost, Process};
use crate::schedule::{CHUNK, Schedule, Task};
use crate::session::Failure;
use crate::worker::{Request, unrun};

/// What becomes known while seeds run.
pub enum News {
    /// A seed is finished.
    Result(u64, Value),
    /// Something to tell on stderr.
    Note(String),
    /// The sweep cannot go on.
    Trouble(Failure),
}

/// The workers of a sweep.
pub struct Fleet<'a> {
    /// How they are started.
    pub launch: Launch,
    /// The scenario's name.
    pub scenario: &'a str,
    /// How many there are at a time.
    pub jobs: usize,
    /// No seed begins after this is set, and those that run are dropped.
    pub stop: &'a AtomicBool,
    /// No fresh seed begins after this.
    pub until: Option<Instant>,
}

/// One thread's view.
struct Lane<'a> {
    fleet: &'a Fleet<'a>,
    schedule: &'a Mutex<Schedule>,
    numbers: &'a AtomicU64,
    news: Sender<News>,
    worker: Option<Process>,
}

/// A result, and the worker that gave it; `None` if the sweep ends.
type Answer = Option<(Value, u64)>;

impl Fleet<'_> {
    /// Runs all of the schedule; hands over what becomes known.
    pub fn run(&self, schedule: Schedule, on: &mut dyn FnMut(News)) {
        let (schedule, numbers) = (Mutex::new(schedule), AtomicU64::new(0));
        let (news, heard) = channel();
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                let (schedule, numbers, news) = (&schedule, &numbers, news.clone());
                scope.spawn(move || {
                    let mut lane = Lane { fleet: self, schedule, numbers, news, worker: None };
                    if let Err(failure) = lane.run() {
                        let _ = lane.news.send(News::Trouble(failure));
                    }
                });
            }
            drop(news);
            heard.into_iter().for_each(on);
        });
    }
}

impl Lane<'_> {
    fn run(&mut self) -> Result<(), Failure> {
        while !self.fleet.stop.load(Ordering::Relaxed) {
            if self.worker.as_ref().is_some_and(|w| w.served >= CHUNK) {
                self.worker = None;
            }
            let late = self.fleet.until.is_some_and(|t| Instant::now() >= t);
            let number = self.worker.as_ref().map(|w| w.number);
            let (seed, run) = match self.schedule(|s| s.next(number, late)) {
                None => return Ok(()),
                Some(Task::First(seed)) => {
                    let Some((run, by)) = self.ask(Request { seed, again: false })? else {
                        return Ok(());
                    };
                    if wanted(&run) {
                        self.schedule(|s| s.owe(seed, run, by));
                        continue;
                    }
                    (seed, run)
                }
                Some(Task::Again(owed)) => {
                    if number == Some(owed.by) {
                        self.worker = None;
                    }
                    let seed = owed.seed;
                    let Some((second, _)) = self.ask(Request { seed, again: true })? else {
                        return Ok(());
                    };
                    (seed, judged(owed.first, &second))
                }
            };
            if self.news.send(News::Result(seed, run)).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// A seed's result, from a second worker if the first dies of it.
    fn ask(&mut self, request: Request) -> Result<Answer, Failure> {
        let Fleet { launch, stop, .. } = self.fleet;
        for last in [false, true] {
            if self.worker.is_none() {
                let number = self.numbers.fetch_add(1, Ordering::Relaxed);
                self.worker = Some(Process::start(launch, number, stop)?);
            }
            let worker = self.worker.as_mut().expect("started");
            let number = worker.number;
            match worker.ask(request, stop, launch.patience) {
                Ok(text) => {
                    let run = serde_json::from_str(&text).unwrap_or_default();
                    return Ok(Some((run, number)));
                }
                Err(Lost::Stopped) => return Ok(None),
                Err(Lost::Died(class, why)) => {
                    self.worker = None;
                    let seed = request.seed;
                    if last {
                        let judged = (Verdict::Fail.word(), Some(class.word()));
                        let why = format!("{why}, twice");
                        return Ok(Some((unrun(self.fleet.scenario, seed, judged, &why), number)));
                    }
                    let note = format!("seed {seed}: {why}; tried once more\n");
                    let _ = self.news.send(News::Note(note));
                }
            }
        }
        Ok(None)
    }

    fn schedule<R>(&self, act: impl FnOnce(&mut Schedule) -> R) -> R {
        act(&mut self.schedule.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
