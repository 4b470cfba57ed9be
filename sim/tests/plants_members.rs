//! Defects of changes of members: each is caught by the check that is there for it, and the same seeds
//! without it are sound. Where two checks see a defect, the one that names the cause is muted, and what
//! the defect does to elections and logs is caught all the same.
//!
//! Seeds are tried from 0 until one is caught, so a change that moves seeds needs no new numbers here; the
//! limit says how rare a catch may be. Left out: how many seeds of the swarm it takes.

mod program;

use std::collections::BTreeSet;

/// Seeds that are tried at once.
const AT_ONCE: u64 = 10;
/// Seeds that must be sound without a plant.
const SOUND: u64 = 60;

const HERE: &str = "sim/tests/members.toml";
/// What names the cause.
const CAUSES: &str = " --mute config_agreed --mute one_change_at_a_time";

/// All checks that seeds of a sweep tripped.
fn tripped(test: &str, line: &str) -> BTreeSet<String> {
    let out = program::scratch(&format!("plants_members_{test}"));
    let seeds = program::json(&format!("sweep {HERE} {line} --out {}", out.display()));
    let failed = seeds.iter().filter(|o| o["verdict"] == "fail");
    let violations = failed.flat_map(|o| o["violations"].as_array().expect("a list"));
    violations.map(|v| v["check"].as_str().expect("a word").to_string()).collect()
}

/// Tries seeds until one of these checks trips, among so many at most.
fn is_caught(plant: &str, more: &str, checks: &[&str], limit: u64) {
    let test = format!("{plant}{}", more.len());
    for from in (0..limit).step_by(AT_ONCE as usize) {
        let to = from + AT_ONCE;
        let all = tripped(&test, &format!("--seeds {from}..{to} --plant {plant}{more}"));
        if checks.iter().any(|check| all.contains(*check)) {
            return;
        }
    }
    panic!("none of {checks:?} caught {plant} among {limit} seeds");
}

#[test]
fn without_a_plant_nothing_is_wrong() {
    let all = tripped("sound", &format!("--seeds 0..{SOUND}"));
    assert!(all.is_empty(), "{all:?}");
}

#[test]
fn a_change_in_force_before_it_is_committed() {
    is_caught("config_applied_when_appended", "", &["config_agreed"], 10);
    let harm = ["election_safety", "leader_completeness"];
    is_caught("config_applied_when_appended", CAUSES, &harm, 100);
}

#[test]
fn a_second_change_while_one_is_pending() {
    is_caught("second_change_while_pending", "", &["one_change_at_a_time"], 20);
}

#[test]
fn from_old_voters_to_new_ones_in_one_step() {
    is_caught("joint_skipped", "", &["config_agreed"], 10);
    is_caught("joint_skipped", CAUSES, &["election_safety", "leader_completeness"], 150);
}

#[test]
fn removed_voters_that_go_on() {
    let harm = ["election_safety", "leader_completeness"];
    is_caught("removed_still_votes", CAUSES, &harm, 40);
}

#[test]
fn learners_whose_votes_count() {
    is_caught("learner_counts", "", &["election_safety", "leader_completeness"], 200);
}
