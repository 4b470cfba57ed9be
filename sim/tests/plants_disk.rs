//! What disks do to a log, and what a node must not make of it. Three defects are planted: a sync that
//! failed is taken for a good one, a record that does not read ends the log wherever it lies, and bodies are
//! believed without their checksums. `failing_disks.toml` brings the first two out and
//! `torn_everywhere.toml` the third, within so many seeds, and they trip nothing in a sound node. Under a
//! budget of hosts that may forget, even a sound node is found out: plain Raft does not survive that, which
//! is why nobody forgets unless a scenario says so.

mod program;

use std::collections::BTreeSet;

const FAILING: &str = "sim/tests/failing_disks.toml";
const TORN: &str = "sim/tests/torn_everywhere.toml";
/// Seeds that are tried at once.
const AT_ONCE: u64 = 10;

/// All checks that seeds of a sweep tripped.
fn tripped(test: &str, line: &str) -> BTreeSet<String> {
    let out = program::scratch(&format!("plants_disk_{test}"));
    let seeds = program::json(&format!("sweep {line} --out {}", out.display()));
    let failed = seeds.iter().filter(|o| o["verdict"] == "fail");
    let violations = failed.flat_map(|o| o["violations"].as_array().expect("a list"));
    violations.map(|v| v["check"].as_str().expect("a word").to_string()).collect()
}

/// Tries seeds until a check that is there for the plant trips. Before that the node may give up over
/// what the defect did to it, and nothing else may trip.
fn is_caught(plant: &str, checks: &[&str], scenario: &str, limit: u64) {
    for from in (0..limit).step_by(AT_ONCE as usize) {
        let seeds = format!("{from}..{}", from + AT_ONCE);
        let mut caught = tripped(plant, &format!("{scenario} --seeds {seeds} --plant {plant}"));
        caught.remove("kernel");
        let known = caught.iter().all(|check| checks.contains(&check.as_str()));
        assert!(known, "{caught:?} by {plant}, seeds {seeds}");
        if !caught.is_empty() {
            return;
        }
    }
    panic!("{checks:?} caught no {plant} among {limit} seeds");
}

#[test]
fn a_failed_sync_that_is_ignored() {
    is_caught("sync_error_ignored", &["fsync_before_ack"], FAILING, 40);
}

#[test]
fn a_log_that_ends_where_it_does_not_read() {
    is_caught("bad_record_ends_log", &["recoverable_or_refuse"], FAILING, 60);
}

#[test]
fn a_torn_record_that_is_believed() {
    is_caught(
        "torn_record_accepted",
        &["acked_durable", "read_fresh", "state_machine_safety"],
        TORN,
        200,
    );
}

#[test]
fn a_sound_node_stops_or_goes_on_and_nothing_is_wrong() {
    for (name, scenario) in [("failing", FAILING), ("torn", TORN)] {
        assert_eq!(tripped(name, &format!("{scenario} --seeds 0..40")), BTreeSet::new());
    }
}

#[test]
fn a_sound_node_on_disks_that_forget() {
    let here = "sim/tests/forgetful_disks.toml --seeds 0..60";
    let spared = tripped("spared", &format!("{here} --set atlas.forgets=0"));
    assert_eq!(spared, BTreeSet::new(), "without a budget nobody forgets");
    let caught = tripped("forgot", here);
    assert!(!caught.is_empty(), "two of three voters that forget go unnoticed");
    assert!(!caught.contains("recoverable_or_refuse"), "nobody can ask a node to know");
}
