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

/// Text with its long exact quantities as people read them: times from 1 ms up in milliseconds to three
/// places, shorter ones in microseconds, sizes from 1 000 bytes up in kilobytes. Only what is shown goes
/// through here, never what replays.
pub fn legible(text: &str) -> String {
    let word = |word: &str| {
        let (head, comma) = word.strip_suffix(',').map_or((word, ""), |head| (head, ","));
        let number = |unit: &str| head.strip_suffix(unit)?.parse::<u64>().ok();
        let time = number("ns").or_else(|| number("us")?.checked_mul(1_000));
        match (time, number("B")) {
            (Some(ns), _) if ns >= 1_000_000 => format!("{} ms{comma}", host::unit::millis(ns)),
            (Some(ns), _) if ns >= 1_000 && head.ends_with("ns") => {
                format!("{}.{:03} us{comma}", ns / 1_000, ns % 1_000)
            }
            (_, Some(bytes)) if bytes >= 1_000 => {
                format!("{}.{:03} kB{comma}", bytes / 1_000, bytes % 1_000)
            }
            _ => word.to_string(),
        }
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
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
    fn long_quantities_become_legible_and_words_stay() {
        assert_eq!(legible("n3, 67101609ns more"), "n3, 67.101 ms more");
        assert_eq!(legible("1500us, 24987B"), "1.500 ms, 24.987 kB");
        assert_eq!(legible("12345ns 999B 50ms 900us"), "12.345 us 999B 50ms 900us");
        assert_eq!(legible("n1,n3 both 0B"), "n1,n3 both 0B");
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(1_234_567), "1 234 567");
        assert_eq!(seconds(61_234_567_890), "61.234 s");
        assert_eq!(instant(20_301_305_999), "20.301 305");
    }
}
