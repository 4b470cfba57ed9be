//! `state SCENARIO --seed N --at T`: how things stand at an instant. Kernel facts come first (boots, tasks
//! and what they wait for, durable and dirty bytes of each file, connections, links), then what the node
//! itself said last: each field of each kind of event with the value that it had when it was last recorded.
//! The run ends there and is not judged. The instant counts from the start of the run, as in stories.
//!
//! In JSON one object: `{scenario, seed, at_ns, phase, hosts: [{host, boots, state, mono_ns, wall_off_ns,
//! tasks, files, connections, said}], links}`.

use host::unit::{nanos, parse_duration};
use kernel::history::Trace;
use kernel::outcome::exit;
use kernel::run::Options;
use kernel::world::{HostSight, Sight};
use serde_json::{Value, json};

use crate::args::{Changes, Format, seed};
use crate::session::{Failure, Session, known};
use crate::table::{row, table};
use crate::terminal::{grouped, instant, out};

/// `state`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A scenario's name, or a path that ends in .toml.
    pub scenario: String,
    /// The seed [default: that of --plan, else MADSIM_TEST_SEED, else 0].
    #[arg(long, value_parser = seed)]
    pub seed: Option<u64>,
    /// The instant, from the start of the run: `1.25s`.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub at: u64,
    /// Only this host: n1, c2; may be given several times.
    #[arg(long = "host", value_name = "HOST")]
    pub hosts: Vec<String>,
    #[command(flatten)]
    pub changes: Changes,
    /// For people or machines.
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
}

/// Parses an instant into nanoseconds; blanks between digits are how instants are printed.
pub fn time(text: &str) -> Result<u64, String> {
    parse_duration(&text.replace(' ', "")).map(nanos)
}

/// Runs a seed up to the instant and prints how things stand.
pub fn state(session: &Session, args: &Args) -> Result<i32, Failure> {
    let scenario = session.scenario(&args.scenario, &args.changes.sets)?;
    let options = session.options(&scenario, args.seed, &args.changes, Trace::Off)?;
    let seed = options.seed;
    let options = Options { look_at: Some(args.at), ..options };
    let outcome = kernel::run::run(&scenario, session.registry, &options).map_err(Failure::data)?;
    let Some(mut sight) = outcome.sight else {
        let text =
            format!("the run ends at {} s, before that instant", instant(outcome.virtual_ns));
        return Err(Failure::usage(text));
    };
    for host in &args.hosts {
        known(host, sight.hosts.iter().map(|h| h.name.as_str()), "there is no host")?;
    }
    if !args.hosts.is_empty() {
        sight.hosts.retain(|h| args.hosts.contains(&h.name));
        sight.links.retain(|(from, to, _)| args.hosts.iter().any(|h| h == from || h == to));
    }
    out(&match args.format {
        Format::Json => format!("{}\n", report(&scenario.name, seed, &sight)),
        Format::Human => render(&scenario.name, seed, &sight),
    });
    Ok(exit::OK)
}

fn render(scenario: &str, seed: u64, sight: &Sight) -> String {
    let mut text = format!(
        "{scenario}   seed {seed}   at {} s, in phase {}\n",
        instant(sight.at),
        sight.phase
    );
    for host in &sight.hosts {
        text.push_str(&render_host(host));
    }
    if !sight.links.is_empty() {
        let rows =
            sight.links.iter().map(|(from, to, wrong)| row([&format!("{from} -> {to}"), wrong]));
        text.push_str(&format!("\nlinks\n{}", table(rows.collect(), 4, None)));
    }
    text
}

fn render_host(host: &HostSight) -> String {
    let off = host.clock.1;
    let sign = if off < 0 { "-" } else { "+" };
    let mut text = format!(
        "\n{}   {}, boot {}, wall clock {sign}{} ms\n",
        host.name,
        host.state,
        host.boots,
        host::unit::millis(off.unsigned_abs())
    );
    let mut part = |name: &str, rows: Vec<Vec<String>>, right: Option<usize>| {
        if rows.len() > usize::from(right.is_some()) {
            text.push_str(&format!("  {name}\n{}", table(rows, 4, right)));
        }
    };
    let tasks = host.tasks.iter().map(|(thread, task, what, n)| {
        let many = if *n > 1 { format!("x{n}") } else { String::new() };
        let waits = if what.is_empty() { "waits within the node" } else { "waits for " };
        row([thread, task, &many, &format!("{waits}{what}")])
    });
    part("tasks (thread, task)", tasks.collect(), None);
    let mut files = vec![row(["", "bytes", "durable", "dirty"])];
    files.extend(host.files.iter().map(|(path, len, durable, dirty)| {
        row([path, &grouped(*len), &grouped(*durable), &grouped(*dirty)])
    }));
    part("files", files, Some(1));
    let mut connections = vec![row(["", "open", "bytes out", "frames waiting"])];
    connections.extend(host.connections.iter().map(|(peer, open, bytes, frames)| {
        row([peer, &grouped(*open), &grouped(*bytes), &grouped(*frames)])
    }));
    part("connections", connections, Some(1));
    let (live, garbage, max) = host.memory;
    let mut memory = vec![row(["", "bytes", "claims"])];
    memory.extend(
        host.claims
            .iter()
            .map(|(what, bytes, count)| row([what, &grouped(*bytes), &grouped(*count)])),
    );
    for (what, bytes) in [("live", live), ("garbage", garbage), ("most held", max)] {
        memory.push(row([what, &grouped(bytes), ""]));
    }
    part("memory", memory, Some(1));
    let said = fields(host)
        .into_iter()
        .map(|f| row([&f.source, &f.name, &f.value, &instant(f.at), &f.event]));
    part("said last (source, field, value, when, in which event)", said.collect(), None);
    text
}

/// A field of an event as its node last recorded it.
struct Said {
    source: String,
    name: String,
    value: String,
    at: u64,
    event: String,
}

/// The last value of each field, over all events of a source; an event without fields stands for itself.
fn fields(host: &HostSight) -> Vec<Said> {
    let mut out: Vec<Said> = Vec::new();
    let mut by_time: Vec<_> = host.said.iter().collect();
    by_time.sort_by_key(|(source, word, at, _)| (source.clone(), *at, word.clone()));
    for (source, word, at, text) in by_time {
        for (name, value) in split(text, word) {
            let said = Said { source: source.clone(), name, value, at: *at, event: word.clone() };
            match out.iter_mut().find(|s| s.source == said.source && s.name == said.name) {
                Some(known) => *known = said,
                None => out.push(said),
            }
        }
    }
    out.sort_by(|a, b| (&a.source, &a.name).cmp(&(&b.source, &b.name)));
    out
}

/// The fields of an event as it is debugged: `Name { a: 1, b: [2, 3] }`.
fn split(text: &str, word: &str) -> Vec<(String, String)> {
    let inner = text.split_once(" { ").and_then(|(_, rest)| rest.strip_suffix(" }"));
    let Some(inner) = inner else { return vec![(word.to_string(), "seen".to_string())] };
    let (mut out, mut depth, mut quoted, mut from) = (Vec::new(), 0i32, false, 0);
    let mut field = |piece: &str| {
        if let Some((name, value)) = piece.trim().split_once(": ") {
            out.push((name.to_string(), value.to_string()));
        }
    };
    for (i, c) in inner.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '(' | '[' | '{' if !quoted => depth += 1,
            ')' | ']' | '}' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                field(&inner[from..i]);
                from = i + 1;
            }
            _ => {}
        }
    }
    field(&inner[from..]);
    out
}

fn report(scenario: &str, seed: u64, sight: &Sight) -> Value {
    let host = |h: &HostSight| {
        json!({
            "host": h.name, "boots": h.boots, "state": h.state,
            "mono_ns": h.clock.0, "wall_off_ns": h.clock.1,
            "tasks": h.tasks.iter().map(|(thread, task, waits_for, count)| json!({
                "thread": thread, "task": task, "waits_for": waits_for, "count": count,
            })).collect::<Vec<_>>(),
            "files": h.files.iter().map(|(path, bytes, durable, dirty)| json!({
                "path": path, "bytes": bytes, "durable_bytes": durable, "dirty_bytes": dirty,
            })).collect::<Vec<_>>(),
            "connections": h.connections.iter().map(|(peer, open, bytes, frames)| json!({
                "peer": peer, "open": open, "bytes_out": bytes, "frames_waiting": frames,
            })).collect::<Vec<_>>(),
            "memory": json!({
                "live_bytes": h.memory.0, "garbage_bytes": h.memory.1, "held_max_bytes": h.memory.2,
                "claims": h.claims.iter().map(|(what, bytes, count)| json!({
                    "what": what, "bytes": bytes, "count": count,
                })).collect::<Vec<_>>(),
            }),
            "said": fields(h).iter().map(|f| json!({
                "source": f.source, "field": f.name, "value": f.value, "at_ns": f.at, "event": f.event,
            })).collect::<Vec<_>>(),
        })
    };
    json!({
        "scenario": scenario, "seed": seed, "at_ns": sight.at, "phase": sight.phase,
        "hosts": sight.hosts.iter().map(host).collect::<Vec<_>>(),
        "links": sight.links.iter().map(|(from, to, wrong)| json!({
            "from": from, "to": to, "wrong": wrong,
        })).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_events_are_told_apart() {
        let pairs = split("Leader { term: 2, voters: [1, 2], text: \"a, b\" }", "leader");
        let text: Vec<String> = pairs.iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(text, ["term=2", "voters=[1, 2]", "text=\"a, b\""]);
        assert_eq!(split("StopAsked", "stop_asked"), [("stop_asked".into(), "seen".into())]);
    }

    #[test]
    fn an_instant_is_read_as_it_is_printed() {
        assert_eq!(time("1.445 976s"), Ok(1_445_976_000));
        assert!(time("1.5").is_err());
    }
}
