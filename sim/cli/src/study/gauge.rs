//! A process that runs seeds of cells for a study: nobody types this. A request is a line with a cell's
//! place in the design and a half-open range of seeds; each seed is answered on stdout as soon as it is
//! finished, with its sealed line as the study's folder has it (`kept_runs`). So the study knows which seed a
//! process died of without asking for them one by one, and a run of two milliseconds does not wait for a
//! pipe. The cell of the latest request is kept; its hash goes out with each answer, for the study to
//! compare with its own reading.
//!
//! Results of a run are kept as they are measured, in whole nanoseconds and bytes: what a study divides and
//! sums it does once all of them are there. Unlike in a sweep no seed is run twice: `verify` and `sweep` do
//! that for the scenario, and a study has many seeds.

use std::sync::Arc;
use std::sync::mpsc::channel;

use host::unit::Size;
use kernel::outcome::exit;
use kernel::run::Options;
use kernel::scenario::Scenario;
use serde_json::json;

use super::asked::Asked;
use super::kept_runs::Row;
use crate::args::{setting, size};
use crate::session::{Failure, Session};
use crate::worker::{limit, listen, ready, say};

/// `gauge`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A study's name, or a path that ends in .toml.
    pub study: String,
    /// Bytes that this process may hold.
    #[arg(long, value_parser = size)]
    pub memory: Size,
    /// As the study was asked.
    #[arg(long = "set", value_parser = setting)]
    pub sets: Vec<(String, String)>,
}

/// Seeds of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The cell's place in the design.
    pub cell: usize,
    /// The first seed.
    pub from: u64,
    /// The seed after the last.
    pub to: u64,
}

impl Request {
    /// As it is sent.
    pub fn line(self) -> String {
        format!("{} {} {}\n", self.cell, self.from, self.to)
    }

    fn parse(line: &str) -> Option<Request> {
        let mut numbers = line.split(' ').map(|n| n.parse::<u64>().ok());
        let mut next = || numbers.next().flatten();
        let (cell, from, to) = (next()? as usize, next()?, next()?);
        Some(Request { cell, from, to })
    }
}

/// Runs what is asked for.
pub fn gauge(session: &Session, args: &Args) -> Result<i32, Failure> {
    limit(args.memory)?;
    let asked = Asked::new(session, &args.study, &args.sets)?;
    say(&ready(&asked.study.name));
    let (sender, requests) = channel();
    std::thread::Builder::new()
        .name("requests".to_string())
        .spawn(move || listen(&sender, Request::parse))
        .map_err(|e| Failure { code: exit::IO, text: format!("no thread: {e}") })?;
    let mut latest: Option<(usize, String, Arc<Scenario>)> = None;
    for Request { cell, from, to } in requests {
        if latest.as_ref().is_none_or(|(at, ..)| *at != cell) {
            let scenario = asked.scenario(session, cell)?;
            latest = Some((cell, asked.key(&scenario), scenario));
        }
        let Some((_, key, scenario)) = &latest else { continue };
        for seed in from..to {
            match kernel::run::run(scenario, session.registry, &Options::seed(seed)) {
                Ok(outcome) => {
                    let words = asked.study.columns.iter().map(|c| c.word.as_str());
                    say(&Row::of(key, &outcome, words).json());
                }
                Err(why) => say(&json!({"seed": seed, "unrun": why})),
            }
        }
    }
    Ok(exit::OK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_survive_the_pipe() {
        let request = Request { cell: 3, from: 5, to: u64::MAX };
        assert_eq!(Request::parse(request.line().trim_end()), Some(request));
        assert_eq!(Request::parse("3 5"), None);
    }
}
