//! How far a sweep or a tour is, on stderr: on a terminal one line that is rewritten in place, elsewhere a
//! plain line every few seconds, so that a CI log neither fills nor falls silent. Results go to stdout and
//! never mix with it; what remains is estimated from the pace so far.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use crate::terminal::{err, grouped};

/// A line of progress.
pub struct Progress {
    name: String,
    /// What is counted.
    noun: &'static str,
    total: u64,
    begun: Instant,
    last: Instant,
    pause: Duration,
    terminal: bool,
    drawn: bool,
}

impl Progress {
    /// Nothing is done yet of `total` seeds.
    pub fn new(name: &str, total: u64) -> Progress {
        let (terminal, now) = (io::stderr().is_terminal(), Instant::now());
        let pause = Duration::from_millis(if terminal { 100 } else { 5_000 });
        let (name, noun) = (name.to_string(), "seeds");
        Progress { name, noun, total, begun: now, last: now, pause, terminal, drawn: false }
    }

    /// Nothing is done yet of `total` runs of a study.
    pub fn runs(name: &str, total: u64) -> Progress {
        Progress { noun: "runs", ..Progress::new(name, total) }
    }

    /// Nothing is done yet of a few long runs or pages: each is told at once on a terminal, and none
    /// elsewhere.
    pub fn of(name: &str, total: u64, noun: &'static str) -> Progress {
        let mut progress = Progress::new(name, total);
        progress.noun = noun;
        progress.pause = if progress.terminal { Duration::ZERO } else { Duration::MAX };
        progress
    }

    /// What stands first from now on.
    pub fn rename(&mut self, name: String) {
        self.name = name;
    }

    /// So many seeds are done, and so many of them failed.
    pub fn tick(&mut self, done: u64, failed: u64) {
        if self.last.elapsed() < self.pause {
            return;
        }
        self.last = Instant::now();
        let of = (self.total, self.noun);
        let line = line(&self.name, done, of, failed, self.begun.elapsed());
        if self.terminal {
            err(&format!("\r\x1b[2K{line}"));
            self.drawn = true;
        } else {
            err(&format!("{line}\n"));
        }
    }

    /// Takes the line away, before something else is printed.
    pub fn clear(&mut self) {
        if self.drawn {
            err("\r\x1b[2K");
            self.drawn = false;
        }
    }
}

fn line(name: &str, done: u64, (total, noun): (u64, &str), failed: u64, spent: Duration) -> String {
    let rate = done as f64 / spent.as_secs_f64().max(1e-3);
    let left = (total - done.min(total)) as f64 / rate.max(1e-9);
    let left = if done == 0 { "?".to_string() } else { format!("{left:.0} s") };
    format!(
        "{name}  {} of {} {noun}  {rate:.1}/s  {left} left  {failed} failed",
        grouped(done),
        grouped(total)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_and_how_long() {
        let text = line("swarm", 500, (2_000, "seeds"), 1, Duration::from_secs(10));
        assert_eq!(text, "swarm  500 of 2 000 seeds  50.0/s  30 s left  1 failed");
        assert!(line("swarm", 0, (9, "runs"), 0, Duration::ZERO).contains("? left"));
    }
}
