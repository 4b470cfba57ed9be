//! How a plant is sought: seeds of a scenario from 0 on, until the check that is there for it trips. Nothing
//! else may trip but what is named as its consequence, and the same seeds without the plant trip nothing. The
//! check must tell with all its neighbours muted, and with the check muted as well nothing may be left that
//! tells. A change that moves seeds needs no new numbers; the limit says how rare a catch may be.

use std::collections::BTreeSet;

use crate::program;

/// Seeds that are tried at once.
const AT_ONCE: u64 = 10;

/// What follows once logs or states differ, for whoever goes on for long enough.
pub const DIVERGED: &[&str] = &[
    "acked_durable",
    "commit_monotonic",
    "converged",
    "exactly_once",
    "leader_completeness",
    "lease_exclusive",
    "linearizable",
    "log_matching",
    "read_fresh",
    "state_machine_safety",
];

/// A defect, the check that is there for it, where it is sought, and among how many seeds at most.
pub struct Plant {
    pub word: &'static str,
    pub check: &'static str,
    /// Other checks that may trip over what the defect leads to.
    pub then: &'static [&'static str],
    pub scenario: &'static str,
    pub limit: u64,
}

/// A plant that trips its check and nothing else.
pub fn plant(word: &'static str, check: &'static str, scenario: &'static str, limit: u64) -> Plant {
    Plant { word, check, then: &[], scenario, limit }
}

/// All checks that seeds of a sweep tripped.
pub fn tripped(test: &str, line: &str) -> BTreeSet<String> {
    let out = program::scratch(&format!("plants_{test}"));
    let seeds = program::json(&format!("sweep {line} --out {}", out.display()));
    let failed = seeds.iter().filter(|o| o["verdict"] == "fail");
    let violations = failed.flat_map(|o| o["violations"].as_array().expect("a list"));
    violations.map(|v| v["check"].as_str().expect("a word").to_string()).collect()
}

pub fn only(check: &str) -> BTreeSet<String> {
    BTreeSet::from([check.to_string()])
}

impl Plant {
    /// The same plant, which may trip these as well.
    pub fn then(self, then: &'static [&'static str]) -> Plant {
        Plant { then, ..self }
    }

    /// Tries seeds until the plant is caught; the first of those among which it was.
    fn is_caught(&self) -> u64 {
        let Plant { word, check, then, scenario, limit } = self;
        for from in (0..*limit).step_by(AT_ONCE as usize) {
            let to = from + AT_ONCE;
            let caught = tripped(word, &format!("{scenario} --seeds {from}..{to} --plant {word}"));
            let named = |c: &String| c == check || then.contains(&c.as_str());
            assert!(
                caught.iter().all(named),
                "{caught:?} by {word}, seeds {from}..{to} of {scenario}"
            );
            if caught.contains(*check) {
                return from;
            }
        }
        panic!("{check} caught no {word} among {limit} seeds of {scenario}");
    }

    /// The check needs no other to catch the plant among these seeds, and without it and what is named
    /// beside it the same seeds pass. A node that cannot go on ends its run; nobody can mute that.
    fn is_told_by_its_check(&self, from: u64) {
        let Plant { word, check, then, scenario, .. } = self;
        let seeds = format!("{scenario} --seeds {from}..{} --plant {word}", from + AT_ONCE);
        let tripped = |muted: BTreeSet<&str>| {
            let mute: String = muted.iter().map(|c| format!(" --mute {c}")).collect();
            let mut tripped = tripped(word, &format!("{seeds}{mute}"));
            tripped.remove("kernel");
            tripped
        };
        let others = then.iter().chain(DIVERGED).copied().filter(|c| *c != "kernel");
        let others: BTreeSet<&str> = others.filter(|c| c != check).collect();
        assert_eq!(tripped(others.clone()), only(check), "{word}: {check} alone");
        let left = tripped(others.into_iter().chain([*check]).collect());
        assert!(left.is_empty(), "{left:?} by {word} without {check} and {then:?}");
    }
}

/// Every plant is caught by its check, and escapes without it; the same seeds without it are sound.
pub fn all_are_caught(scenario: &str, plants: &[Plant]) {
    let mut seeds = 0;
    for plant in plants {
        let from = plant.is_caught();
        if plant.check != "kernel" {
            plant.is_told_by_its_check(from);
        }
        seeds = seeds.max(from + AT_ONCE);
    }
    let name = scenario.replace(['/', '.'], "_");
    let without = tripped(&name, &format!("{scenario} --seeds 0..{seeds}"));
    assert!(without.is_empty(), "{scenario} without a plant: {without:?}");
}
