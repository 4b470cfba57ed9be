//! A fresh host that starts from another's snapshot reaches an equal state. In `fresh_host.toml` the fifth
//! host is away until the log that it would need is gone everywhere; it must be brought in by a snapshot,
//! catch up, and after the blackout start again from what it was given.
//!
//! That states are equal is the claim of `state_machine_safety` (same hash at the same index) and `converged`
//! (all at the end of the log); this test makes sure that the run is one in which they have something to say.

mod program;

use program::{run, wavetank};

const SCENARIO: &str = "sim/tests/fresh_host.toml";

#[test]
fn a_fresh_host_gets_a_snapshot_and_reaches_an_equal_state() {
    for seed in 0..5 {
        let run = run(&format!("{SCENARIO} --seed {seed}"));
        assert_eq!(run["verdict"], "pass", "seed {seed}: {}", run["violations"]);
        assert!(run["measures"]["snapshots_installed"].as_f64() >= Some(1.0), "seed {seed}: {run}");
        assert_eq!(run["faults"][0]["fired"], 1, "seed {seed}");
    }
}

/// What the fifth host's node says, in order.
fn told_by_n5(seed: u64) -> Vec<String> {
    let seed = seed.to_string();
    let output = wavetank(&["run", SCENARIO, "--seed", &seed, "--trace", "full"]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    // The trace follows what every page ends with: how to get it again.
    let (_, trace) = text.rsplit_once("cargo tank run").expect("a page");
    let told = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = words.windows(2).position(|pair| pair == ["raft", "n5"])?;
        Some(words[at + 2..].join(" "))
    };
    trace.lines().filter_map(told).collect()
}

#[test]
fn it_has_nothing_before_the_snapshot() {
    for seed in 0..2 {
        let told = told_by_n5(seed);
        let first = told.first().expect("it comes");
        assert!(first.starts_with("recovered") && first.ends_with("term 0, log to 0, snapshot 0"));
        let find = |what: &str, so: &str| {
            told.iter().position(|t| t.starts_with(what) && t.contains(so)).expect("it is told")
        };
        let installed = find("snapshot", "installed");
        assert!(installed < find("appends", "to") && installed < find("applied", "to"), "{told:?}");
    }
}
