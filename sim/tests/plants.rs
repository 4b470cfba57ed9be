//! The net catches fish: planted defects trip the checks that are there for them, and nothing else does where
//! there is no plant. `swarm` needs no help for four of them; the fifth needs a leader whose disk lags, and
//! with every other safety check muted it is still found after the blackout, by `acked_durable`.

mod program;

use std::collections::BTreeSet;

/// The checks that seeds of a sweep tripped first.
fn tripped(line: &str) -> BTreeSet<String> {
    let out = program::scratch("plants");
    let seeds = program::json(&format!("sweep {line} --out {}", out.display()));
    let first = |o: &serde_json::Value| Some(o["violations"][0]["check"].as_str()?.to_string());
    seeds.iter().filter(|o| o["verdict"] == "fail").filter_map(first).collect()
}

fn only(check: &str) -> BTreeSet<String> {
    BTreeSet::from([check.to_string()])
}

#[test]
fn plants_trip_the_checks_that_are_there_for_them() {
    let caught = tripped("swarm --seeds 0..3 --plant ack_before_fsync");
    assert_eq!(caught, only("fsync_before_ack"));
    for (plant, seed) in
        [("vote_before_fsync", 66), ("vote_not_persisted", 78), ("hardstate_without_sync", 16)]
    {
        let caught = tripped(&format!("swarm --seeds {seed}..{} --plant {plant}", seed + 1));
        assert_eq!(caught, only("one_vote_per_term"), "{plant}");
    }

    let lags = "sim/tests/leader_disk_lags.toml --seeds 0..12";
    assert!(tripped(lags).is_empty(), "without a plant nothing is wrong");
    let caught = tripped(&format!("{lags} --plant own_log_before_fsync"));
    assert!(caught.contains("leader_completeness"), "{caught:?}");
    let muted = [
        "leader_completeness",
        "state_machine_safety",
        "log_matching",
        "commit_monotonic",
        "converged",
    ];
    let mute: String = muted.map(|check| format!(" --mute {check}")).concat();
    let caught = tripped(&format!("{lags} --plant own_log_before_fsync{mute}"));
    assert_eq!(caught, only("acked_durable"));
}
