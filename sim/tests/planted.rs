//! How a plant is sought: seeds of a scenario from 0 on, until the check that is there for it trips. Nothing
//! else may trip but what is named as its consequence, and the same seeds without the plant trip nothing. The
//! check must tell with all its neighbours muted, and with the check muted as well nothing may be left that
//! tells. A change that moves seeds needs no new numbers; the limit says how rare a catch may be.
//!
//! Two things cannot be had of every plant, and it says so. A node that stops over what the defect did to it
//! is reported by the kernel, and nobody can mute that. And where another check sees the same defect at an
//! earlier event, it is muted while the plant is sought, and must see it when it is not.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::program;

/// Seeds that are tried at once.
const AT_ONCE: u64 = 10;
/// What reports a node that stops.
const KERNEL: &str = "kernel";

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
#[derive(Clone, Copy)]
pub struct Plant {
    pub word: &'static str,
    pub check: &'static str,
    then: &'static [&'static str],
    first: &'static [&'static str],
    stops_a_node: bool,
    pub scenario: &'static str,
    limit: u64,
}

/// A plant that trips its check and nothing else.
pub const fn plant(
    word: &'static str,
    check: &'static str,
    scenario: &'static str,
    limit: u64,
) -> Plant {
    Plant { word, check, then: &[], first: &[], stops_a_node: false, scenario, limit }
}

/// Which checks seeds of a sweep tripped.
pub fn tripped_by_seed(test: &str, line: &str) -> BTreeMap<u64, BTreeSet<String>> {
    let out = program::scratch(&format!("plants_{test}"));
    let runs = program::json(&format!("sweep {line} --out {}", out.display()));
    let failed = runs.iter().filter(|o| o["verdict"] == "fail");
    let checks = |o: &serde_json::Value| {
        let violations = o["violations"].as_array().expect("a list").iter();
        violations.map(|v| v["check"].as_str().expect("a word").to_string()).collect()
    };
    failed.map(|o| (o["seed"].as_u64().expect("a number"), checks(o))).collect()
}

/// All checks that seeds of a sweep tripped.
pub fn tripped(test: &str, line: &str) -> BTreeSet<String> {
    tripped_by_seed(test, line).into_values().flatten().collect()
}

pub fn only(check: &str) -> BTreeSet<String> {
    BTreeSet::from([check.to_string()])
}

impl Plant {
    /// The same plant, which may trip these as well.
    pub const fn then(self, then: &'static [&'static str]) -> Plant {
        Plant { then, ..self }
    }

    /// The same plant, which these see as well, and sooner.
    pub const fn first_seen_by(self, first: &'static [&'static str]) -> Plant {
        Plant { first, ..self }
    }

    /// The same plant, over which a node may give up.
    pub const fn stops_a_node(self) -> Plant {
        Plant { stops_a_node: true, ..self }
    }

    /// What its seeds trip with these checks muted. A node that may give up is no news.
    fn sweep(&self, seeds: Range<u64>, muted: &BTreeSet<&str>) -> BTreeMap<u64, BTreeSet<String>> {
        let mute: String = muted.iter().map(|check| format!(" --mute {check}")).collect();
        let Plant { word, check, scenario, .. } = self;
        let Range { start, end } = seeds;
        let line = format!("{scenario} --seeds {start}..{end} --plant {word}{mute}");
        let mut tripped = tripped_by_seed(&format!("{word}_{check}"), &line);
        if self.stops_a_node {
            tripped.values_mut().for_each(|checks| checks.retain(|c| c != KERNEL));
            tripped.retain(|_, checks| !checks.is_empty());
        }
        tripped
    }

    /// Tries seeds until the plant is caught; those among which it was.
    fn is_caught(&self) -> Range<u64> {
        let Plant { word, check, then, first, scenario, limit, .. } = self;
        let muted: BTreeSet<&str> = first.iter().copied().collect();
        for from in (0..*limit).step_by(AT_ONCE as usize) {
            let seeds = from..from + AT_ONCE;
            let caught = self.sweep(seeds.clone(), &muted);
            let named = |c: &String| c == check || then.contains(&c.as_str());
            let all_named = caught.values().flatten().all(named);
            assert!(all_named, "{caught:?} by {word} in {scenario}");
            let Some((seed, _)) = caught.iter().find(|(_, checks)| checks.contains(*check)) else {
                continue;
            };
            if !first.is_empty() {
                let sooner = self.sweep(*seed..seed + 1, &BTreeSet::new());
                let named = |c: &String| first.contains(&c.as_str()) || named(c);
                assert!(!sooner.is_empty(), "{word}: seed {seed} with nothing muted");
                assert!(sooner.values().flatten().all(named), "{sooner:?} by {word}");
            }
            return seeds;
        }
        panic!("{check} caught no {word} among {limit} seeds of {scenario}");
    }

    /// The check needs no other to catch the plant among these seeds, and without it and what is named
    /// beside it the same seeds pass.
    fn is_told_by_its_check(&self, seeds: Range<u64>) {
        let Plant { word, check, then, first, .. } = self;
        let others = then.iter().chain(*first).chain(DIVERGED).copied().filter(|c| c != check);
        let mut muted: BTreeSet<&str> = others.collect();
        let alone: BTreeSet<String> =
            self.sweep(seeds.clone(), &muted).into_values().flatten().collect();
        assert_eq!(alone, only(check), "{word}: {check} alone");
        muted.insert(check);
        let left = self.sweep(seeds, &muted);
        assert!(left.is_empty(), "{left:?} by {word} without {check} and {then:?}");
    }
}

/// Every plant is caught by its check, and escapes without it; the same seeds without it are sound. What
/// the kernel alone reports escapes nobody.
pub fn all_are_caught(plants: &[Plant]) {
    let mut sought: BTreeMap<&str, u64> = BTreeMap::new();
    for plant in plants {
        let seeds = plant.is_caught();
        let most = sought.entry(plant.scenario).or_default();
        *most = seeds.end.max(*most);
        if plant.check != KERNEL {
            plant.is_told_by_its_check(seeds);
        }
    }
    for (scenario, seeds) in sought {
        let name = format!("{}_{}", scenario.replace(['/', '.'], "_"), plants[0].word);
        let without = tripped(&name, &format!("{scenario} --seeds 0..{seeds}"));
        assert!(without.is_empty(), "{scenario} without a plant: {without:?}");
    }
}
