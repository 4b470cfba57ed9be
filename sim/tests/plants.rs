//! The net catches fish: each planted defect trips the check that is there for it, and `planted.rs` says what
//! that means. Here are the defects of votes, syncs, sessions and leases; the other tables lie in the files
//! beside this one, by where the mistake is made. `swarm` needs no help for most. The others have scenarios
//! of their own, made for the kind of trouble that brings them out: leaders that come and go under leases,
//! clients that do not know who leads. Some go further and set when faults strike: a voter loses power just
//! when it has voted, or restarts while two nodes lose each other in turn, or a leader's disk lags. A setting
//! can be a defect too: a lease must allow for how far clocks run apart.
//!
//! Every defect there is stands in a table, and so does every check that a sound node never trips, but for
//! those that are named here with the reason.

mod planted;
mod plants_disk;
mod plants_host;
mod plants_judge;
mod plants_members;
mod plants_net;
mod plants_raft;
mod program;

use std::collections::BTreeSet;

use kernel::registry::Claim;
use planted::{DIVERGED, Plant, all_are_caught, only, plant, tripped};

const SWARM: &str = "swarm";
const MIXED: &str = "sim/tests/mixed.toml";
const VOTERS: &str = "sim/tests/forgotten_votes.toml";
const LAGS: &str = "sim/tests/leader_disk_lags.toml";

/// What leaves before the disk has it.
const SYNCS: &[Plant] = &[
    plant("ack_before_fsync", "fsync_before_ack", SWARM, 20).stops_a_node(),
    plant("vote_before_fsync", "one_vote_per_term", VOTERS, 100),
    plant("vote_not_persisted", "one_vote_per_term", VOTERS, 100),
    plant("hardstate_without_sync", "one_vote_per_term", VOTERS, 100)
        .then(&["leader_completeness", "election_safety"]),
    plant("request_before_fsync", "one_vote_per_term", VOTERS, 100),
    plant("compact_before_snapshot_durable", "kernel", SWARM, 10),
];

/// A leader's own entries that count too early are lost to whoever leads next.
const DISK_LAGS: &[Plant] = &[
    plant("own_log_before_fsync", "leader_completeness", LAGS, 20).then(DIVERGED),
    plant("own_log_before_fsync", "acked_durable", LAGS, 20).first_seen_by(&[
        "leader_completeness",
        "state_machine_safety",
        "log_matching",
        "commit_monotonic",
        "converged",
    ]),
];

/// What is done twice, or not at all.
const SESSIONS: &[Plant] = &[
    // A command that is done twice may also be one that no order of operations explains.
    plant("session_forgotten", "exactly_once", SWARM, 50).then(&["linearizable"]),
    plant("session_not_in_snapshot", "exactly_once", SWARM, 100).then(&["state_machine_safety"]),
];

/// What a client is told before it is so.
const BATCHES: &[Plant] =
    &[plant("batch_acked_before_applied", "acked_durable", "sim/tests/stored.toml", 20)
        .then(DIVERGED)];

/// Who may read without asking.
const LEASES: &[Plant] = &[
    plant("lease_from_ack", "lease_exclusive", MIXED, 100),
    plant("lease_survives_transfer", "lease_exclusive", MIXED, 40),
    plant("lease_never_ends", "lease_exclusive", MIXED, 40),
    plant("lease_on_wall_clock", "lease_exclusive", MIXED, 100),
    plant("log_never_compacted", "wal_bounded", MIXED, 10),
    plant("vote_right_after_boot", "lease_exclusive", "sim/tests/restarting_voter.toml", 100),
    plant("read_without_quorum", "read_fresh", "sim/tests/stale_leader.toml", 60),
];

#[test]
fn votes_and_entries_that_the_disk_does_not_have() {
    all_are_caught(SYNCS);
}

#[test]
fn a_leader_whose_disk_lags() {
    all_are_caught(DISK_LAGS);
}

#[test]
fn sessions() {
    all_are_caught(SESSIONS);
}

#[test]
fn batches() {
    all_are_caught(BATCHES);
}

#[test]
fn leases_and_leaders_that_come_and_go() {
    all_are_caught(LEASES);
}

/// The same seeds under a bound that covers the drift and under one that does not.
#[test]
fn a_lease_that_does_not_allow_for_drift() {
    let here = "sim/tests/drifting_leader.toml --seeds 0..20";
    let tripped = |line: &str| tripped("drifting_leader", line);
    assert!(tripped(here).is_empty(), "a bound that covers the drift suffices");
    let too_small = tripped(&format!("{here} --set lease_drift=0%"));
    assert_eq!(too_small, only("lease_exclusive"));
}

/// Every table.
fn tables() -> impl Iterator<Item = &'static Plant> {
    let own = [SYNCS, DISK_LAGS, SESSIONS, BATCHES, LEASES];
    let raft = plants_raft::TABLES;
    let others = [
        plants_disk::BELIEVED,
        plants_host::SERVICE,
        plants_judge::UNORDERED,
        plants_members::CHANGES,
        plants_net::FRAMES,
    ];
    own.iter().chain(raft).chain(&others).copied().flatten().collect::<Vec<_>>().into_iter()
}

#[test]
fn every_defect_is_sought() {
    let there = store::PLANTS.iter().map(|(word, _)| *word);
    let there: BTreeSet<&str> = there.filter(|word| !word.starts_with("neutral_")).collect();
    let sought: BTreeSet<&str> = tables().map(|plant| plant.word).collect();
    assert_eq!(sought, there);
}

#[test]
fn every_check_has_a_defect_that_trips_it() {
    let must_hold = |claim| matches!(claim, Claim::Always | Claim::Eventually);
    let checks = checks::words().into_iter().filter(|check| must_hold(check.claim));
    let checks: BTreeSet<&str> = checks.map(|check| check.word).collect();
    let mut tripped: BTreeSet<&str> = tables().map(|plant| plant.check).collect();
    tripped.remove("kernel");
    assert_eq!(tripped, checks);
}
