//! The processes that run a study's cells, and a thread for each that hands it seeds and listens. A task is
//! a run of seeds of one cell. What a seed does to its process costs that seed at most: the answers come
//! seed by seed, so the one after the last answer is it; it is tried once more in a fresh process, and if
//! that one dies of it too the seed is lost, which is its result.
//!
//! Results come in any order, and depend on cell and seed alone.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use super::gauge::Request;
use super::kept_runs::Row;
use crate::process::{Launch, Lost, Process};
use crate::session::Failure;

/// Seeds that a process runs before it makes room for a fresh one.
const SERVED_MAX: u32 = 2_000;

/// Seeds of a cell that are to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// The cell's place in the design.
    pub cell: usize,
    /// The hash of its inputs.
    pub key: String,
    /// The seeds.
    pub seeds: Range<u64>,
    /// A process died of this one already.
    pub again: Option<u64>,
}

/// What becomes known while seeds run.
pub enum News {
    /// A seed is finished.
    Row(Row),
    /// Something to tell on stderr.
    Note(String),
    /// The study cannot go on.
    Trouble(Failure),
}

/// The processes of a study.
pub struct Crew<'a> {
    /// How they are started.
    pub launch: Launch,
    /// How many there are at a time.
    pub jobs: usize,
    /// No task begins after this is set, and those that run are dropped.
    pub stop: &'a AtomicBool,
}

/// One thread's view.
struct Lane<'a> {
    crew: &'a Crew<'a>,
    tasks: &'a Mutex<VecDeque<Task>>,
    numbers: &'a AtomicU64,
    news: Sender<News>,
    process: Option<Process>,
}

impl Crew<'_> {
    /// Runs all tasks; hands over what becomes known.
    pub fn run(&self, tasks: VecDeque<Task>, on: &mut dyn FnMut(News)) {
        let (tasks, numbers) = (Mutex::new(tasks), AtomicU64::new(0));
        let (news, heard) = channel();
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                let (tasks, numbers, news) = (&tasks, &numbers, news.clone());
                scope.spawn(move || {
                    let mut lane = Lane { crew: self, tasks, numbers, news, process: None };
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
        while !self.crew.stop.load(Ordering::Relaxed) {
            let Some(task) = self.tasks().pop_front() else { return Ok(()) };
            if self.process.as_ref().is_some_and(|p| p.served >= SERVED_MAX) {
                self.process = None;
            }
            self.serve(task)?;
        }
        Ok(())
    }

    fn serve(&mut self, mut task: Task) -> Result<(), Failure> {
        let Crew { launch, stop, .. } = self.crew;
        if self.process.is_none() {
            let number = self.numbers.fetch_add(1, Ordering::Relaxed);
            self.process = Some(Process::start(launch, number, stop)?);
        }
        let process = self.process.as_mut().expect("started");
        let Range { start: from, end: to } = task.seeds;
        let request = Request { cell: task.cell, from, to };
        let mut lost = process.send(&request.line(), (to - from) as u32).err();
        while lost.is_none() && !task.seeds.is_empty() {
            match process.answer(task.seeds.start, stop, launch.patience) {
                Ok(text) => {
                    let row = Row::parse(&text).filter(|row| row.cell == task.key);
                    let row = row.ok_or_else(|| unusable(&text, &task))?;
                    let _ = self.news.send(News::Row(row));
                    task.seeds.start += 1;
                }
                Err(why) => lost = Some(why),
            }
        }
        match lost {
            None | Some(Lost::Stopped) => Ok(()),
            Some(Lost::Died(class, why)) => {
                self.process = None;
                self.bury(task, class.word(), &why);
                Ok(())
            }
        }
    }

    /// A process died of the first seed of what is left of the task.
    fn bury(&mut self, mut task: Task, class: &str, why: &str) {
        let seed = task.seeds.start;
        if task.again == Some(seed) {
            let note = format!("seed {seed} of cell {}: {why}, twice\n", task.cell);
            let _ = self.news.send(News::Note(note));
            let _ = self.news.send(News::Row(Row::lost(&task.key, seed, class)));
            task.seeds.start += 1;
        } else {
            let note = format!("seed {seed} of cell {}: {why}; tried once more\n", task.cell);
            let _ = self.news.send(News::Note(note));
            task.again = Some(seed);
        }
        if !task.seeds.is_empty() {
            self.tasks().push_front(task);
        }
    }

    fn tasks(&self) -> std::sync::MutexGuard<'_, VecDeque<Task>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer that is no result of the cell: the input is wrong, or another than the study has read.
fn unusable(text: &str, task: &Task) -> Failure {
    let answer: Value = serde_json::from_str(text).unwrap_or_default();
    match answer["unrun"].as_str() {
        Some(why) => {
            let what = format!("seed {} of cell {}", task.seeds.start, task.cell);
            Failure::unrun(&what, why.to_string())
        }
        None => Failure::data("the study or its scenario was changed while it ran"),
    }
}
