//! `judge FILE`: whether histories that were recorded elsewhere could have happened. Each line is one history
//! and is judged by itself; a bad line is complained about on stderr with its number, and the others
//! are judged all the same. In JSON each judged line is answered by `{id, verdict, prefix_events, op,
//! anomalies}`. For people there is a table, and of each violated history the operations around the
//! failure and what the failing one could have answered.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use ::judge::{Account, Content, History, Judgement, Op, Verdict, account, kafka};
use clap::Args;
use kernel::outcome::exit;
use serde_json::{Value, json};

use crate::args::Format;
use crate::session::Failure;
use crate::table::{row, short, table};
use crate::terminal::{Paint, err, out};

/// The longest line, in bytes.
const LINE: u64 = 256 << 20;
/// Accounts that are printed.
const ACCOUNTS: usize = 20;
/// Anomalies that an account lists.
const LISTED: usize = 8;

/// What `judge --help` says beside its options.
const MORE: &str = "\
A line is one history:
  {id, model, init, nil_read: \"absent\"|\"any\",
   ops: [{id, client?, key?, f, in: [..], out?, call, ret|null, status: \"ok\"|\"fail\"|\"unknown\"}]}

`call` and `ret` are positions in one total order of events. What never returned, or is `unknown`, may take
effect at any later time or never; what is `fail` did not happen. `init` is the value before all
operations, null for absent (kv: that of every key, or an object that tells it key by key). A null or
missing `out` of an ok read is absent with nil_read \"absent\", the default, and says nothing with \"any\".
Other answers that are missing say nothing.

  register      read [] -> v, write [v]
  cas-register  also cas [old, new] -> bool
  kv            per key: get [] -> v, put [v], append [v]
  log           append [v] -> position from 0 on, read [] -> [v..]
  kafka         send [partition, v] -> offset, poll [] -> [[partition, offset, v]..]

`append` of kv concatenates strings and pushes to lists; what is absent is the empty one.
A kafka history is violated by any of lost-write, duplicate, inconsistent-offsets, poll-skip,
nonmonotonic-poll, nonmonotonic-send and unseen; as in Jepsen it should end with polls that drain its
partitions, for `unseen` is a send that was acknowledged and that nobody ever polled, nor anything behind it.
After a poll of unknown outcome that client's next poll passes over nothing, but may not go back.

`prefix_events` is the number of events of the shortest prefix that fails, `op` the operation whose return
ends it; for unseen that is the last return of all.

Exit codes: 0 all linearizable, 1 any violated, 6 any unknown, 65 a bad line; the lowest of
those that apply.";

/// `judge`.
#[derive(Debug, Args)]
#[command(after_help = MORE)]
pub struct Judge {
    /// A file with one history per line, or `-` for standard input.
    pub file: PathBuf,
    /// Looks at a list of events that a history may cost; over it the verdict is unknown.
    #[arg(long, value_name = "N", default_value_t = ::judge::BUDGET)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1_000_000_000_000))]
    pub budget: u64,
    /// For people or machines.
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
}

/// What all lines came to.
#[derive(Default)]
struct Tally {
    rows: Vec<Vec<String>>,
    accounts: Vec<String>,
    violated: usize,
    unknown: usize,
    bad: usize,
}

/// Judges a file.
pub fn judge(args: &Judge) -> Result<i32, Failure> {
    let io = |error: &std::io::Error| Failure::io(&args.file, error);
    let mut lines: Box<dyn BufRead> = match args.file == Path::new("-") {
        true => Box::new(std::io::stdin().lock()),
        false => Box::new(BufReader::new(File::open(&args.file).map_err(|e| io(&e))?)),
    };
    let mut tally = Tally::default();
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let read = lines.by_ref().take(LINE).read_until(b'\n', &mut line).map_err(|e| io(&e))?;
        if read == 0 {
            break;
        }
        let too_long = read as u64 == LINE && line.last() != Some(&b'\n');
        if too_long {
            // The rest of it is no line of its own.
            while lines.fill_buf().map_err(|e| io(&e))?.iter().all(|b| *b != b'\n') {
                let len = lines.fill_buf().map_err(|e| io(&e))?.len();
                if len == 0 {
                    break;
                }
                lines.consume(len);
            }
            lines.read_until(b'\n', &mut Vec::new()).map_err(|e| io(&e))?;
        }
        match parsed(&line, too_long) {
            Ok(None) => {}
            Ok(Some(history)) => tally.add(&history, &history.judge(args.budget), args.format),
            Err(why) => {
                tally.bad += 1;
                err(&format!("error: {}:{number}: {why}\n", args.file.display()));
            }
        }
    }
    let code = tally.code();
    if args.format == Format::Human {
        out(&tally.text());
    }
    Ok(code)
}

/// The history of a line, unless it is blank.
fn parsed(line: &[u8], too_long: bool) -> Result<Option<History>, String> {
    if too_long {
        return Err(format!("longer than {} MB", LINE >> 20));
    }
    let text = std::str::from_utf8(line).map_err(|e| format!("not UTF-8: {e}"))?;
    match text.trim() {
        "" => Ok(None),
        text => ::judge::parse(text).map(Some),
    }
}

impl Tally {
    fn add(&mut self, history: &History, judgement: &Judgement, format: Format) {
        self.violated += usize::from(judgement.verdict == Verdict::Violated);
        self.unknown += usize::from(judgement.verdict == Verdict::Unknown);
        if format == Format::Json {
            out(&format!("{}\n", answer(history, judgement)));
            return;
        }
        let named = |value: &Option<Value>| value.as_ref().map_or("-".to_string(), plain);
        self.rows.push(vec![
            short(&plain(&history.id), 40),
            judgement.verdict.word().to_string(),
            short(&named(&judgement.op), 24),
            judgement.prefix_events.map_or("-".to_string(), |n| n.to_string()),
            history.events.len().to_string(),
        ]);
        if judgement.verdict == Verdict::Violated && self.accounts.len() < ACCOUNTS {
            self.accounts.push(told(history, judgement));
        }
    }

    fn text(mut self) -> String {
        let judged = self.rows.len();
        let mut rows = vec![row(["history", "verdict", "op", "prefix", "events"])];
        rows.append(&mut self.rows);
        let mut text = if judged > 0 { table(rows, 0, Some(3)) } else { String::new() };
        self.accounts.iter().for_each(|account| text.push_str(account));
        let hidden = self.violated.saturating_sub(self.accounts.len());
        if hidden > 0 {
            text.push_str(&format!("\n{hidden} more violated without an account\n"));
        }
        let (violated, unknown, bad) = (self.violated, self.unknown, self.bad);
        let good = judged - violated - unknown;
        let paint = Paint::stdout();
        let sum = format!("{good} linearizable, {violated} violated, {unknown} unknown");
        let sum = if violated > 0 { paint.bad(&sum) } else { paint.good(&sum) };
        let bad = match bad {
            0 => String::new(),
            1 => ", 1 bad line".to_string(),
            n => format!(", {n} bad lines"),
        };
        text.push_str(&format!("\n{sum}{bad}\n"));
        text
    }

    /// Among several codes the lowest that is not zero wins.
    fn code(&self) -> i32 {
        match (self.violated, self.unknown, self.bad) {
            (1.., ..) => exit::SAFETY,
            (_, 1.., _) => exit::VACUOUS,
            (.., 1..) => exit::DATA,
            _ => exit::OK,
        }
    }
}

/// The answer to a line, for machines.
fn answer(history: &History, judgement: &Judgement) -> Value {
    json!({
        "id": history.id,
        "verdict": judgement.verdict.word(),
        "prefix_events": judgement.prefix_events,
        "op": judgement.op,
        "anomalies": kafka::names(&judgement.anomalies),
    })
}

/// An id as people write it.
fn plain(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_string)
}

/// The account of a violated history.
fn told(history: &History, judgement: &Judgement) -> String {
    let mut text = format!("\n{}\n", Paint::stdout().bold(&plain(&history.id)));
    match (&history.content, &judgement.failure) {
        (Content::Parts(parts), Some(failure)) => {
            let part = &parts[failure.part];
            let Account { around, more, possible } = account(part, failure);
            if let Some(key) = &part.key {
                text.push_str(&format!("  key {}\n", short(key, 80)));
            }
            let failing = &part.ops[failure.op];
            let rows = around.iter().map(|op| shown(op, std::ptr::eq(*op, failing)));
            text.push_str(&table(rows.collect(), 2, None));
            if more > 0 {
                text.push_str(&format!("  and {more} more that overlap the failing one\n"));
            }
            let possible: Vec<String> = possible.iter().map(|p| short(p, 60)).collect();
            text.push_str(&match possible.as_slice() {
                [] => "  before it everything can be explained, with it nothing can\n".to_string(),
                [one] => format!("  possible was: {one}\n"),
                many => format!("  possible were: {}\n", many.join(" | ")),
            });
        }
        _ => {
            for anomaly in judgement.anomalies.iter().take(LISTED) {
                let op = plain(&anomaly.op);
                let line = format!("{} by {op}: {}", anomaly.name, anomaly.text);
                text.push_str(&format!("  {}\n", short(&line, 110)));
            }
            if let Some(more) = judgement.anomalies.len().checked_sub(LISTED + 1) {
                text.push_str(&format!("  and {} more\n", more + 1));
            }
        }
    }
    text
}

fn shown(op: &Op, failing: bool) -> Vec<String> {
    let client = op.client.as_deref().unwrap_or("-");
    let to = match op.end() {
        Some(end) => end.to_string(),
        None => "?".to_string(),
    };
    vec![
        if failing { "!" } else { "" }.to_string(),
        format!("{}..{to}", op.call),
        short(client, 16),
        short(&plain(&op.id), 16),
        short(&op.action.to_string(), 70),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(line: &str) -> (Value, String) {
        let history = ::judge::parse(line).expect("a history");
        let judgement = history.judge(::judge::BUDGET);
        (answer(&history, &judgement), told(&history, &judgement))
    }

    const STALE: &str = r#"{"id": "stale", "model": "register", "init": 1, "nil_read": "absent", "ops": [
        {"id": "a", "client": 1, "f": "write", "in": [2], "call": 0, "ret": 1, "status": "ok"},
        {"id": "b", "client": 2, "f": "read", "in": [], "out": 1, "call": 2, "ret": 3, "status": "ok"},
        {"id": "c", "client": 2, "f": "read", "in": [], "out": 2, "call": 4, "ret": 5, "status": "ok"}]}"#;

    #[test]
    fn a_stale_read_is_shown_with_what_it_could_have_found() {
        let (answer, told) = judged(STALE);
        let expected = json!({
            "id": "stale", "verdict": "violated", "prefix_events": 4, "op": "b", "anomalies": []
        });
        assert_eq!(answer, expected);
        assert!(told.contains("!  2..3  2  b  read -> 1"), "{told}");
        assert!(told.contains("possible was: read -> 2"), "{told}");
    }

    #[test]
    fn the_lowest_code_wins() {
        let code =
            |violated, unknown, bad| Tally { violated, unknown, bad, ..Tally::default() }.code();
        assert_eq!([code(0, 0, 0), code(0, 0, 2), code(0, 1, 2), code(1, 1, 2)], [0, 65, 6, 1]);
    }

    #[test]
    fn bad_lines_are_told_from_blank_ones() {
        assert!(parsed(b" \n", false).expect("blank").is_none());
        assert!(parsed(b"\xff\n", false).unwrap_err().contains("UTF-8"));
        assert!(parsed(b"{}", true).unwrap_err().contains("longer"));
        assert!(parsed(b"{}", false).unwrap_err().contains("`id` is missing"));
    }
}
