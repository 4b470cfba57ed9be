//! Defects that no check sees but the one that puts whole histories in order: a comparison that is
//! not made, a
//! delete that is not done and a read of a node that lags. The latter two are caught by `read_fresh` as
//! well, so it is muted, and so is what reads back at the end. The same seeds without a defect are sound.

mod program;

use std::collections::BTreeSet;

const SCENARIO: &str = "sim/tests/judged.toml";

/// All checks that seeds of a sweep tripped.
fn tripped(test: &str, line: &str) -> BTreeSet<String> {
    let out = program::scratch(&format!("judge_{test}"));
    let seeds = program::json(&format!("sweep {SCENARIO} {line} --out {}", out.display()));
    let failed = seeds.iter().filter(|o| o["verdict"] == "fail");
    let violations = failed.flat_map(|o| o["violations"].as_array().expect("a list"));
    violations.map(|v| v["check"].as_str().expect("a word").to_string()).collect()
}

fn only(check: &str) -> BTreeSet<String> {
    BTreeSet::from([check.to_string()])
}

/// Caught among so many seeds; what may be seen beside linearizability is muted.
fn is_caught_alone(word: &str, seeds: u64) {
    let blind = "--mute read_fresh --mute acked_durable";
    let caught = tripped(word, &format!("--seeds 0..{seeds} --plant {word} {blind}"));
    assert_eq!(caught, only("linearizable"), "{word}");
    let escaped = tripped(
        &format!("{word}_muted"),
        &format!("--seeds 0..{seeds} --plant {word} {blind} --mute linearizable"),
    );
    assert!(escaped.is_empty(), "{word} with its check muted: {escaped:?}");
}

#[test]
fn without_a_defect_every_history_has_an_order() {
    let seeds = tripped("sound", "--seeds 0..12");
    assert!(seeds.is_empty(), "{seeds:?}");
}

#[test]
fn a_comparison_that_is_not_made() {
    is_caught_alone("cas_blind", 6);
    let caught = tripped("cas_blind_all", "--seeds 0..6 --plant cas_blind");
    assert_eq!(caught, only("linearizable"), "no other check sees it");
}

#[test]
fn a_delete_that_is_not_done() {
    is_caught_alone("delete_forgotten", 6);
}

#[test]
fn a_read_that_asks_nobody() {
    is_caught_alone("stale_get", 40);
}
