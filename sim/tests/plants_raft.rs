//! The mistakes of a consensus that is written from the paper, each caught by the check that is there for
//! it: votes and terms, logs and commits, what is applied, snapshots, reads of a new leader. `plants.rs` has
//! those of syncs, leases and sessions, and `planted.rs` says what being caught means. Most need nothing but
//! `swarm`. Elections that several contest, followers that are cut off just when they are sent a snapshot,
//! and leaders that know less than their clients have scenarios beside this file.
//!
//! And five changes that are not wrong, which no check may hold against the node.

use crate::planted::{DIVERGED, Plant, all_are_caught, plant};
use crate::program;

const SWARM: &str = "swarm";
const CONTESTED: &str = "sim/tests/contested.toml";
const LATE: &str = "sim/tests/late_followers.toml";

/// By what goes wrong.
pub const TABLES: &[&[Plant]] = &[VOTES, LOGS, APPLIED, ELECTIONS, SNAPSHOTS, DELTAS, READS];

const VOTES: &[Plant] = &[
    plant("candidate_votes_again", "one_vote_per_term", SWARM, 20),
    plant("vote_for_stale_log", "leader_completeness", SWARM, 20).then(&["commit_monotonic"]),
    plant("vote_outlives_term", "leader_within", SWARM, 10).then(&["converged"]),
    plant("request_renews_promise", "leader_within", SWARM, 150).then(&["converged"]),
];

const LOGS: &[Plant] = &[
    plant("append_without_match", "log_matching", SWARM, 60).then(DIVERGED),
    plant("rejection_ignored", "converged", SWARM, 10).then(&["acked_durable"]),
    plant("heartbeat_commit_unchecked", "commit_monotonic", SWARM, 20).then(DIVERGED),
    plant("commit_goes_back", "commit_monotonic", SWARM, 10).stops_a_node(),
    plant("old_entries_restamped", "leader_append_only", "swarm", 20),
    plant("quorum_too_small", "leader_completeness", SWARM, 40),
];

const STATE: &str = "state_machine_safety";
const APPLIED: &[Plant] = &[
    plant("log_end_taken_for_committed", STATE, SWARM, 60).then(DIVERGED),
    plant("uncommitted_applied", STATE, SWARM, 10).then(DIVERGED).stops_a_node(),
    plant("applied_forgotten", STATE, SWARM, 10),
    plant("snapshot_mark_too_late", STATE, SWARM, 20).then(&["exactly_once"]),
    plant("session_expires_by_own_clock", STATE, SWARM, 10),
    plant("answer_by_index_alone", "read_fresh", SWARM, 60).then(&["acked_durable"]),
];

const ELECTIONS: &[Plant] = &[
    plant("refusal_counts_as_vote", "election_safety", CONTESTED, 20).then(DIVERGED),
    plant("stale_grant_counts", "election_safety", CONTESTED, 100).then(&["leader_completeness"]),
    plant("candidate_waits_for_ever", "leader_within", CONTESTED, 20).then(&["converged"]),
];

const SNAPSHOTS: &[Plant] = &[
    plant("snapshot_never_reported", "converged", LATE, 20),
    plant("snapshot_installed_before_durable", "kernel", LATE, 60),
    plant("log_compacted_to_applied", "kernel", LATE, 40),
];

const DELTAS: &[Plant] = &[
    plant("delta_skips_removed", STATE, "sim/tests/deltas.toml", 20).then(DIVERGED),
    plant("delta_base_forgotten", "kernel", "sim/tests/deltas.toml", 20),
];

const READS: &[Plant] =
    &[plant("read_before_own_term", "read_fresh", "sim/tests/new_leaders.toml", 10)];

#[test]
fn votes_and_terms_in_the_swarm() {
    all_are_caught(VOTES);
}

#[test]
fn logs_and_commits_in_the_swarm() {
    all_are_caught(LOGS);
}

#[test]
fn what_is_applied_in_the_swarm() {
    all_are_caught(APPLIED);
}

#[test]
fn contested_elections() {
    all_are_caught(ELECTIONS);
}

#[test]
fn followers_that_are_sent_a_snapshot() {
    all_are_caught(SNAPSHOTS);
}

#[test]
fn snapshots_that_rest_on_others() {
    all_are_caught(DELTAS);
}

#[test]
fn leaders_that_know_less_than_their_clients() {
    all_are_caught(READS);
}

/// Digests and verdicts of the same seeds, to see that the change is one and that it is no alarm.
#[test]
fn neutral_changes_raise_no_alarm() {
    let sweep = |plant: &str| -> Vec<(String, String)> {
        let out = program::scratch(&format!("neutral{plant}")).display().to_string();
        let plant = if plant.is_empty() { String::new() } else { format!(" --plant {plant}") };
        let seeds = program::json(&format!("sweep swarm --seeds 0..20{plant} --out {out}"));
        let said = |o: &serde_json::Value, key: &str| o[key].as_str().map(str::to_string);
        seeds.iter().filter_map(|o| Some((said(o, "verdict")?, said(o, "digest")?))).collect()
    };
    let usual = sweep("");
    for word in [
        "neutral_heartbeat_twice",
        "neutral_commit_synced",
        "neutral_yield_between_jobs",
        "neutral_reads_in_reverse",
        "neutral_frame_per_message",
    ] {
        let changed = sweep(word);
        assert_eq!(changed.len(), 20);
        assert!(changed.iter().all(|(verdict, _)| verdict == "pass"), "{word}: {changed:?}");
        assert!(changed.iter().zip(&usual).any(|(a, b)| a.1 != b.1), "{word} changes nothing");
    }
}
