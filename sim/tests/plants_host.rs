//! Plants that cost no promise but the service: each trips the check that is there for it, and the same
//! seeds without it trip nothing. The scenarios lie beside this file and are made for the trouble that
//! brings them out: leaders that die, leaders that reach nobody, followers that vanish. A setting of the
//! clients can be such a defect as well: without pauses between their attempts a storm outlives its trigger.

mod program;

use std::collections::BTreeSet;

/// All checks that seeds of a sweep tripped.
fn tripped(test: &str, line: &str) -> BTreeSet<String> {
    let out = program::scratch(&format!("plants_host_{test}"));
    let seeds = program::json(&format!("sweep {line} --out {}", out.display()));
    let failed = seeds.iter().filter(|o| o["verdict"] == "fail");
    let violations = failed.flat_map(|o| o["violations"].as_array().expect("a list"));
    violations.map(|v| v["check"].as_str().expect("a word").to_string()).collect()
}

/// The plant trips its check, and perhaps what follows from it; without it nothing is wrong.
fn is_caught(plant: &str, check: &str, then: &[&str], scenario: &str, seeds: u64) {
    let line = format!("sim/tests/{scenario}.toml --seeds 0..{seeds}");
    let without = tripped(&format!("{scenario}_sound"), &line);
    assert!(without.is_empty(), "{scenario} without a plant: {without:?}");
    let mut caught = tripped(scenario, &format!("{line} --plant {plant}"));
    assert!(caught.remove(check), "{plant}: {caught:?}");
    caught.retain(|check| !then.contains(&check.as_str()));
    assert!(caught.is_empty(), "{plant}: also {caught:?}");
}

#[test]
fn voters_that_never_answer_leave_a_cluster_without_a_leader() {
    is_caught("vote_withheld", "leader_within", &["converged"], "withheld_votes", 6);
}

#[test]
fn readers_of_a_leader_that_can_confirm_nothing_are_not_kept() {
    is_caught("waiters_leaked", "waiters_bounded", &[], "stranded_readers", 6);
}

#[test]
fn a_follower_that_vanished_is_not_sent_everything() {
    is_caught("window_ignored", "in_flight_bounded", &[], "cut_follower", 6);
}
