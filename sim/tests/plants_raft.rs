//! The mistakes of a consensus that is written from the paper, each caught by the check that is there for
//! it: votes and terms, logs and commits, what is applied, snapshots, reads of a new leader. `plants.rs` has
//! those of syncs, leases and sessions, and `planted.rs` says what being caught means. Most need nothing but
//! `swarm`. Elections that several contest, followers that are cut off just when they are sent a snapshot,
//! and leaders that know less than their clients have scenarios beside this file.
//!
//! And five changes that are not wrong, which no check may hold against the node.

mod planted;
mod program;

use planted::{DIVERGED, all_are_caught, plant};

#[test]
fn votes_and_terms_in_the_swarm() {
    let here = "swarm";
    all_are_caught(
        here,
        &[
            plant("candidate_votes_again", "one_vote_per_term", here, 20),
            plant("vote_for_stale_log", "leader_completeness", here, 20)
                .then(&["commit_monotonic"]),
            plant("vote_outlives_term", "leader_within", here, 10).then(&["converged"]),
            plant("request_renews_promise", "leader_within", here, 150).then(&["converged"]),
        ],
    );
}

#[test]
fn logs_and_commits_in_the_swarm() {
    let here = "swarm";
    let differ = &["state_machine_safety", "exactly_once"];
    all_are_caught(
        here,
        &[
            plant("append_without_match", "log_matching", here, 40).then(DIVERGED),
            plant("rejection_ignored", "converged", here, 10).then(&["acked_durable"]),
            plant("heartbeat_commit_unchecked", "commit_monotonic", here, 20).then(differ),
            plant("commit_goes_back", "commit_monotonic", here, 10).then(&["kernel"]),
            plant("quorum_too_small", "leader_completeness", here, 40),
            plant("old_entries_restamped", "leader_append_only", here, 20),
        ],
    );
}

#[test]
fn what_is_applied_in_the_swarm() {
    let here = "swarm";
    let check = "state_machine_safety";
    all_are_caught(
        here,
        &[
            plant("log_end_taken_for_committed", check, here, 60)
                .then(&["exactly_once", "leader_completeness"]),
            plant("uncommitted_applied", check, here, 10).then(&[
                "read_fresh",
                "exactly_once",
                "leader_completeness",
                "kernel",
            ]),
            plant("applied_forgotten", check, here, 10),
            plant("snapshot_mark_too_late", check, here, 20).then(&["exactly_once"]),
            plant("session_expires_by_own_clock", check, here, 10),
            plant("answer_by_index_alone", "read_fresh", here, 60).then(&["acked_durable"]),
        ],
    );
}

#[test]
fn contested_elections() {
    let here = "sim/tests/contested.toml";
    let wrong = &["leader_completeness"];
    all_are_caught(
        here,
        &[
            plant("refusal_counts_as_vote", "election_safety", here, 20).then(wrong),
            plant("stale_grant_counts", "election_safety", here, 100).then(wrong),
            plant("candidate_waits_for_ever", "leader_within", here, 20).then(&["converged"]),
        ],
    );
}

#[test]
fn followers_that_are_sent_a_snapshot() {
    let here = "sim/tests/late_followers.toml";
    all_are_caught(
        here,
        &[
            plant("snapshot_never_reported", "converged", here, 20),
            plant("snapshot_installed_before_durable", "kernel", here, 60),
            plant("log_compacted_to_applied", "kernel", here, 40),
        ],
    );
}

#[test]
fn leaders_that_know_less_than_their_clients() {
    let here = "sim/tests/new_leaders.toml";
    all_are_caught(here, &[plant("read_before_own_term", "read_fresh", here, 10)]);
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
