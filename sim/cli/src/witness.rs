//! A run in a process of its own, for `verify`: nobody types this. What surrounds the run is as different as
//! it can be while the seed stays: the heap is laid out otherwise, other seeds ran before in this process,
//! and the kernel changes hash keys, the shell's seed and the wall clock (`Options`). What the
//! run left goes to stdout as one JSON object, for the parent to compare.

use kernel::digest::Entry;
use kernel::history::Trace;
use kernel::outcome::{Outcome, exit};
use kernel::run::Options;
use kernel::verify::Print;
use serde_json::{Value, json};

use crate::args::Witness;
use crate::diff;
use crate::session::{Failure, Session};
use crate::terminal::out;

/// Set in the child's environment: a run that reads the environment is a run that differs.
pub const PERTURB: &str = "WAVETANK_PERTURB";

/// What a child process saw.
#[derive(Debug, PartialEq, Eq)]
pub struct Testimony {
    /// What is compared.
    pub print: Print,
    /// The entries of the digest that were asked for.
    pub entries: Vec<Entry>,
}

/// Runs the seed in perturbed surroundings and prints what it left.
pub fn witness(session: &Session, args: &Witness) -> Result<i32, Failure> {
    let heap = disturbed_heap(args.seed);
    let scenario = session.scenario(&args.scenario, &args.changes.sets)?;
    let options = session.options(&scenario, Some(args.seed), &args.changes, Trace::Off)?;
    for other in [args.seed ^ 0x5555, args.seed.wrapping_add(1)] {
        let before = Options { seed: other, perturbed: true, ..options.clone() };
        kernel::run::run(&scenario, session.registry, &before).map_err(Failure::data)?;
    }
    let window = args.window.clone().unwrap_or(0..0);
    let options = Options { perturbed: true, other_wall: true, window, ..options };
    let outcome = kernel::run::run(&scenario, session.registry, &options).map_err(Failure::data)?;
    drop(heap);
    out(&format!("{}\n", testimony(&outcome)));
    Ok(exit::OK)
}

/// Blocks of odd sizes with holes between them, so that later allocations lie elsewhere.
fn disturbed_heap(seed: u64) -> Vec<Vec<u8>> {
    let size = |i: u64| (i.wrapping_mul(2_654_435_761) ^ seed) % 8_191 + 1;
    let blocks = (0..4_096u64).map(|i| vec![i as u8; size(i) as usize]);
    blocks.enumerate().filter(|(i, _)| i % 3 != 0).map(|(_, block)| block).collect()
}

fn testimony(outcome: &Outcome) -> Value {
    let checkpoints: Vec<String> = outcome.checkpoints.iter().map(|c| format!("{c:x}")).collect();
    json!({
        "digest": outcome.digest,
        "events": outcome.events,
        "polls": outcome.polls,
        "virtual_ns": outcome.virtual_ns,
        "checkpoints": checkpoints,
        "entries": diff::lines(&outcome.entries),
    })
}

/// Reads what a child printed; `None` if it is nothing a child prints.
pub fn read(text: &str) -> Option<Testimony> {
    let value: Value = serde_json::from_str(text).ok()?;
    let words = |name: &str| -> Option<Vec<String>> {
        let list = value.get(name)?.as_array()?.iter();
        list.map(|v| v.as_str().map(str::to_string)).collect()
    };
    let checkpoints = words("checkpoints")?;
    let checkpoints: Option<Vec<u128>> =
        checkpoints.iter().map(|c| u128::from_str_radix(c, 16).ok()).collect();
    let print = Print {
        digest: value.get("digest")?.as_str()?.to_string(),
        checkpoints: checkpoints?,
        events: value.get("events")?.as_u64()?,
        effort: (value.get("polls")?.as_u64()?, value.get("virtual_ns")?.as_u64()?),
    };
    let entries =
        value.get("entries")?.as_array()?.iter().map(diff::entry).collect::<Option<_>>()?;
    Some(Testimony { print, entries })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_from_a_child_is_no_testimony() {
        assert_eq!(read(""), None);
        assert_eq!(read("{\"digest\":\"00\"}"), None);
        let text = r#"{"digest": "00", "events": 2, "polls": 3, "virtual_ns": 4,
            "checkpoints": ["ff"], "entries": []}"#;
        let seen = read(text).unwrap();
        assert_eq!((seen.print.checkpoints, seen.print.events), (vec![255], 2));
    }
}
