//! Where text leaves the program. A reader who closes stdout early, as `head` does, ends the program
//! quietly; a full disk behind it is an error of input/output. Colours are the few of a plain terminal and
//! appear only there, and never when `NO_COLOR` is set.

use std::io::{self, ErrorKind, IsTerminal, Write};

use kernel::outcome::exit;

/// Writes results to stdout.
pub fn out(text: &str) {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    match written {
        Ok(()) => {}
        // Whoever read has gone away; the work is not finished, and the exit code must not say so.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(exit::IO),
        Err(error) => {
            err(&format!("error: stdout: {error}\n"));
            std::process::exit(exit::IO);
        }
    }
}

/// Writes errors and progress to stderr; if that is gone there is nobody left to tell.
pub fn err(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

/// Whether to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// Plain text.
    Off,
    /// ANSI colours.
    On,
}

impl Paint {
    /// As stdout wants it.
    pub fn stdout() -> Paint {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        if !refused && io::stdout().is_terminal() { Paint::On } else { Paint::Off }
    }

    fn code(self, code: &str, text: &str) -> String {
        match self {
            Paint::Off => text.to_string(),
            Paint::On => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }

    /// Good news.
    pub fn good(self, text: &str) -> String {
        self.code("32", text)
    }

    /// Bad news.
    pub fn bad(self, text: &str) -> String {
        self.code("1;31", text)
    }

    /// To be noticed.
    pub fn warn(self, text: &str) -> String {
        self.code("33", text)
    }

    /// Beside the point.
    pub fn dim(self, text: &str) -> String {
        self.code("2", text)
    }

    /// Headings.
    pub fn bold(self, text: &str) -> String {
        self.code("1", text)
    }
}

/// `1234567` as `1 234 567`.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// Nanoseconds as `61.234 s`.
pub fn seconds(ns: u64) -> String {
    format!("{}.{:03} s", ns / 1_000_000_000, ns / 1_000_000 % 1_000)
}

/// Nanoseconds as `20.301 305`: seconds, milliseconds, microseconds.
pub fn instant(ns: u64) -> String {
    let us = ns / 1_000;
    format!("{}.{:03} {:03}", us / 1_000_000, us / 1_000 % 1_000, us % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(1_234_567), "1 234 567");
        assert_eq!(seconds(61_234_567_890), "61.234 s");
        assert_eq!(instant(20_301_305_999), "20.301 305");
    }
}
