//! Defects that only a network brings out which damages frames: each trips the check that is there for it,
//! and the same seeds without the plant trip nothing, for a damaged frame is refused. Seeds are tried from 0
//! until one is caught; the limit says how rare a catch may be. What a damaged frame breaks depends on where
//! the damage is, so several checks may be the first to see it.

mod program;

use std::collections::BTreeSet;

/// Seeds that are tried at once.
const AT_ONCE: u64 = 10;

/// All checks that seeds of a sweep tripped.
fn tripped(test: &str, line: &str) -> BTreeSet<String> {
    let out = program::scratch(&format!("plants_net_{test}"));
    let seeds = program::json(&format!("sweep {line} --out {}", out.display()));
    let failed = seeds.iter().filter(|o| o["verdict"] == "fail");
    let violations = failed.flat_map(|o| o["violations"].as_array().expect("a list"));
    violations.map(|v| v["check"].as_str().expect("a word").to_string()).collect()
}

/// Tries seeds until the plant is caught by one of the checks, the first of which is there for it; then the
/// same seeds without the plant.
fn is_caught(plant: &str, checks: &[&str], scenario: &str, limit: u64) {
    let mut seen = BTreeSet::new();
    let mut tried = 0;
    while !seen.contains(checks[0]) {
        assert!(tried < limit, "{} caught no {plant} in {limit} seeds: {seen:?}", checks[0]);
        let to = tried + AT_ONCE;
        seen.extend(tripped(plant, &format!("{scenario} --seeds {tried}..{to} --plant {plant}")));
        tried = to;
    }
    assert!(seen.iter().all(|check| checks.contains(&check.as_str())), "{plant}: {seen:?}");
    let without = tripped(plant, &format!("{scenario} --seeds 0..{tried}"));
    assert!(without.is_empty(), "{scenario} without a plant: {without:?}");
}

#[test]
fn frames_that_nobody_checks() {
    let here = "sim/tests/damaged_frames.toml";
    // Most often a node refuses its log at the next boot, which the kernel reports.
    let may_see = ["log_matching", "state_machine_safety", "kernel"];
    is_caught("frame_unchecked", &may_see, here, 100);
}
