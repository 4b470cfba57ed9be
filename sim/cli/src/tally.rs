//! What many seeds came to. A tally is fed with the JSON lines of runs, be they fresh or kept from an
//! earlier sweep, so that a resumed sweep sums up to the same text as one that was never interrupted.
//!
//! In JSON: `{summary: {scenario, seeds, failed, shown, vacuous, unknown, flaky, again, branches, sometimes:
//! [{name, count, seeds}], faults: [{kind, drawn, fired, effects}], measures: {name: {unit, p50, max,
//! seeds_nonzero}}, upper_bound_95, seconds, cut_short, interrupted, exit}}`. `seeds` counts finished seeds,
//! `seeds_nonzero` those in which a count was 1 or more (null for other units); `upper_bound_95` is null
//! once a seed has failed; `cut_short` is true if time ran out before the seeds did; `again` counts seeds
//! that were run twice, and `flaky` those of them whose runs differ. `sometimes` and `faults` include what
//! happened in branches; a seed is one seed there, however many of its branches got to a `sometimes`.
//!
//! A seed that a check could not decide is `unknown` and no failure; too large a share of them is (exit 6).
//! The rate that a clean sweep excludes counts only what was decided. A seed that could not be run at all
//! has the same verdict and no digest, and is a failure.
//!
//! A scenario with `[shows]` is shown by a sweep when its share of seeds shows it; a single seed that does
//! not is no failure then. A `sometimes` that no seed reached fails only a sweep of the size that the
//! scenario asks CI for.

use std::collections::{BTreeMap, BTreeSet};

use host::unit::Ratio;
use kernel::outcome::{Class, Verdict, exit};
use kernel::scenario::Scenario;
use serde_json::{Map, Value, json};

use crate::session::worst;

/// Failing seeds that are remembered by name.
const NAMED_MAX: usize = 50;

/// Seeds that did not show what they should, or were not decided, and are remembered by name.
const UNSHOWN_MAX: usize = 5;

/// This share of seeds may be `unknown`.
const UNKNOWN_MAX: Ratio = Ratio(10_000);

/// A seed that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The seed.
    pub seed: u64,
    /// Verdict, or class of failure.
    pub what: String,
    /// The first violated check.
    pub check: String,
    /// What else is to be told of a seed that cannot just be run again to see.
    pub text: Option<String>,
    /// The branch of the seed that failed; `None` if the seed itself did.
    pub branch: Option<String>,
}

/// What became of a `sometimes`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// How often, over all seeds.
    pub count: u64,
    /// In how many seeds.
    pub seeds: u64,
}

/// What became of a kind of fault: lines drawn, lines that acted, effects.
pub type Acts = [u64; 3];

/// What seeds measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Spread<'a> {
    /// The median.
    pub p50: f64,
    /// The greatest value.
    pub max: f64,
    /// The unit, as JSON names it.
    pub unit: &'a str,
    /// In how many seeds it was measured.
    pub seeds: usize,
    /// In how many of them a count was 1 or more; `None` for other units.
    pub seeds_nonzero: Option<usize>,
}

/// Sums over seeds.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Seeds that were finished.
    pub seeds: u64,
    /// Seeds that failed.
    pub failed: u64,
    /// Seeds that showed what the scenario exists to show.
    pub shown: u64,
    /// The first of the seeds that did not.
    pub unshown: Vec<u64>,
    /// Seeds in which nothing was tested.
    pub vacuous: u64,
    /// The first of the seeds that failed.
    pub failures: Vec<Failed>,
    /// Seeds that a check could not decide.
    pub unknown: u64,
    /// The first of them.
    pub undecided: Vec<u64>,
    /// Seeds that were run twice.
    pub again: u64,
    /// Seeds whose two runs differ.
    pub flaky: u64,
    /// Branches that were run, and the seeds that they left.
    pub branches: (u64, u64),
    /// Time ran out before all seeds had begun.
    pub cut_short: bool,
    /// `sometimes` checks by word.
    pub sometimes: BTreeMap<String, Reached>,
    /// Faults by word.
    pub faults: BTreeMap<String, Acts>,
    /// `None`: `UNKNOWN_MAX`.
    unknown_max: Option<Ratio>,
    /// Machines that share the sweep; 0 for one that shares it with nobody.
    shards: u64,
    measures: BTreeMap<String, (String, Vec<f64>)>,
    codes: BTreeSet<i32>,
}

impl Tally {
    /// Nothing yet: of one of so many shards, of which this share may be `unknown`.
    pub fn of(shards: u64, unknown_max: Ratio) -> Tally {
        Tally { unknown_max: Some(unknown_max), shards, ..Tally::default() }
    }

    /// Adds a run's JSON object.
    pub fn add(&mut self, run: &Value) {
        let word = |name: &str| run[name].as_str().unwrap_or_default();
        let (verdict, class) = (word("verdict"), word("class"));
        self.seeds += 1;
        self.shown += u64::from(verdict == Verdict::Shown.word());
        if verdict != Verdict::Shown.word() && self.unshown.len() < UNSHOWN_MAX {
            self.unshown.push(run["seed"].as_u64().unwrap_or_default());
        }
        self.vacuous += u64::from(verdict == Verdict::Vacuous.word());
        self.again += u64::from(run["again"].is_string());
        self.flaky += u64::from(verdict == Verdict::Flaky.word());
        let branches = run["branches"].as_array().map_or(0, Vec::len) as u64;
        self.branches.0 += branches;
        self.branches.1 += u64::from(branches > 0);
        let code = code(verdict, class);
        if verdict == Verdict::Unknown.word() && !word("digest").is_empty() {
            self.unknown += 1;
            if self.undecided.len() < UNSHOWN_MAX {
                self.undecided.push(run["seed"].as_u64().unwrap_or_default());
            }
        } else if code != exit::OK && verdict != Verdict::NotShown.word() {
            self.failed += 1;
            self.codes.insert(code);
            if self.failures.len() < NAMED_MAX {
                self.failures.push(failed(run, verdict, class));
            }
        }
        let mut reached: BTreeMap<String, u64> = BTreeMap::new();
        for part in [run, &run["branched"]] {
            for seen in part["sometimes"].as_array().into_iter().flatten() {
                let count = seen["count"].as_u64().unwrap_or_default();
                *reached.entry(text(&seen["name"])).or_default() += count;
            }
            for fault in part["faults"].as_array().into_iter().flatten() {
                let acts = self.faults.entry(text(&fault["kind"])).or_default();
                for (sum, name) in acts.iter_mut().zip(["drawn", "fired", "effects"]) {
                    *sum += fault[name].as_u64().unwrap_or_default();
                }
            }
        }
        for (name, count) in reached {
            let sum = self.sometimes.entry(name).or_default();
            sum.count += count;
            sum.seeds += u64::from(count > 0);
        }
        for (name, value) in run["measures"].as_object().into_iter().flatten() {
            let unit = text(&run["units"][name]);
            let known = self.measures.entry(name.clone()).or_insert((unit, Vec::new()));
            known.1.extend(value.as_f64());
        }
    }

    /// Whether the seeds show what the scenario exists to show; `None` if it shows nothing.
    pub fn share_reached(&self, scenario: &Scenario) -> Option<bool> {
        let shows = scenario.shows.as_ref()?;
        let (shown, share) = (u128::from(self.shown), u128::from(shows.share.0));
        Some(shown * 1_000_000 >= share * u128::from(self.seeds))
    }

    /// `sometimes` checks that no seed reached, if the sweep was large enough to say so.
    pub fn unreached(&self, scenario: &Scenario) -> Vec<&str> {
        if self.seeds < scenario.ci.seeds {
            return Vec::new();
        }
        self.sometimes.iter().filter(|(_, r)| r.count == 0).map(|(name, _)| name.as_str()).collect()
    }

    /// Whether time ran out before as many seeds had finished as the scenario asks CI for; of a shard its
    /// part of them.
    pub fn too_few(&self, scenario: &Scenario) -> bool {
        self.cut_short && self.seeds < scenario.ci.seeds.div_ceil(self.shards.max(1))
    }

    /// The sweep's exit code.
    pub fn exit_code(&self, scenario: &Scenario) -> i32 {
        let mut codes: Vec<i32> = self.codes.iter().copied().collect();
        codes.extend(self.undecided_too_often().then_some(exit::VACUOUS));
        if self.too_few(scenario) {
            codes.push(exit::LIMIT);
        }
        if self.seeds == 0 {
            codes.extend((!self.cut_short).then_some(exit::VACUOUS));
        } else if self.share_reached(scenario) == Some(false)
            || !self.unreached(scenario).is_empty()
        {
            codes.push(exit::NOT_SHOWN);
        }
        worst(codes)
    }

    /// The failure rate that a clean sweep excludes with 95 % confidence.
    pub fn upper_bound(&self) -> Option<f64> {
        let decided = self.seeds - self.unknown;
        let clean = self.failed == 0 && decided > 0;
        clean.then(|| 1.0 - 0.05f64.powf(1.0 / decided as f64))
    }

    /// The share of seeds that may be undecided.
    pub fn tolerated(&self) -> Ratio {
        self.unknown_max.unwrap_or(UNKNOWN_MAX)
    }

    /// Whether more seeds are undecided than is tolerated.
    pub fn undecided_too_often(&self) -> bool {
        let (unknown, most) = (u128::from(self.unknown), u128::from(self.tolerated().0));
        unknown * 1_000_000 > most * u128::from(self.seeds)
    }

    /// A measure over all seeds.
    pub fn measure(&self, name: &str) -> Option<Spread<'_>> {
        let (unit, values) = self.measures.get(name)?;
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        let p50 = *sorted.get(sorted.len().saturating_sub(1) / 2)?;
        let nonzero = values.iter().filter(|v| **v >= 1.0).count();
        let seeds_nonzero = (unit == "count").then_some(nonzero);
        Some(Spread { p50, max: *sorted.last()?, unit, seeds: values.len(), seeds_nonzero })
    }

    /// The summary as JSON.
    pub fn summary(&self, scenario: &Scenario, seconds: f64, code: i32) -> Value {
        let sometimes: Vec<Value> = self
            .sometimes
            .iter()
            .map(|(name, r)| json!({"name": name, "count": r.count, "seeds": r.seeds}))
            .collect();
        let fault = |(kind, acts): (&String, &Acts)| {
            let [drawn, fired, effects] = acts;
            json!({"kind": kind, "drawn": drawn, "fired": fired, "effects": effects})
        };
        let measures: Map<String, Value> = self
            .measures
            .keys()
            .filter_map(|name| {
                let Spread { p50, max, unit, seeds_nonzero, .. } = self.measure(name)?;
                let spread =
                    json!({"unit": unit, "p50": p50, "max": max, "seeds_nonzero": seeds_nonzero});
                Some((name.clone(), spread))
            })
            .collect();
        json!({"summary": {
            "scenario": scenario.name,
            "seeds": self.seeds,
            "failed": self.failed,
            "shown": self.shown,
            "vacuous": self.vacuous,
            "unknown": self.unknown,
            "flaky": self.flaky,
            "again": self.again,
            "branches": self.branches.0,
            "sometimes": sometimes,
            "faults": self.faults.iter().map(fault).collect::<Vec<_>>(),
            "measures": measures,
            "upper_bound_95": self.upper_bound(),
            "seconds": seconds,
            "cut_short": self.cut_short,
            "interrupted": code == exit::INTERRUPTED,
            "exit": code,
        }})
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_string()
}

/// A seed that failed, as it is remembered.
fn failed(run: &Value, verdict: &str, class: &str) -> Failed {
    let flaky = verdict == Verdict::Flaky.word();
    let what = if flaky || class.is_empty() { verdict } else { class }.to_string();
    let first = &run["violations"][0];
    let check = first["check"].as_str().unwrap_or("-").to_string();
    let alone = run["digest"] == "" || class == Class::Died.word();
    let text = (flaky || alone).then(|| text(&first["text"]));
    let branch = run["branch"].as_str().map(str::to_string);
    Failed { seed: run["seed"].as_u64().unwrap_or_default(), what, check, text, branch }
}

/// The exit code that a verdict and a class stand for.
pub fn code(verdict: &str, class: &str) -> i32 {
    match (verdict, class) {
        ("pass" | "shown", _) => exit::OK,
        ("not_shown", _) => exit::NOT_SHOWN,
        ("fail", "liveness") => exit::LIVENESS,
        ("fail", "panic") => exit::PANIC,
        ("fail", "nondeterminism") => exit::NONDETERMINISM,
        ("fail", "livelock" | "deadlock") => exit::STUCK,
        ("flaky", _) => exit::NONDETERMINISM,
        ("fail", "memory" | "time" | "died") => exit::LIMIT,
        ("fail", _) => exit::SAFETY,
        _ => exit::VACUOUS,
    }
}

/// A number of a unit, for people.
pub fn quantity(value: f64, unit: &str) -> String {
    match unit {
        "ms" => format!("{value:.3} ms"),
        "bytes" => format!("{:.1} MB", value / 1e6),
        "1/s" => format!("{value:.1} /s"),
        _ => format!("{value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(seed: u64, verdict: &str, class: Option<&str>, ms: f64) -> Value {
        json!({
            "seed": seed, "verdict": verdict, "class": class,
            "violations": [{"check": "election_safety"}],
            "sometimes": [{"name": "leader_changed", "count": seed}],
            "faults": [{"kind": "crash", "drawn": 2, "fired": 1, "effects": 9}],
            "measures": {"no_leader_max": ms}, "units": {"no_leader_max": "ms"},
        })
    }

    #[test]
    fn seeds_add_up() {
        let mut tally = Tally::default();
        tally.add(&run(0, "pass", None, 5.0));
        assert!((tally.upper_bound().unwrap() - 0.95).abs() < 1e-9);
        tally.add(&run(1, "fail", Some("liveness"), 9.0));
        tally.add(&run(2, "not_shown", None, 7.0));
        assert_eq!((tally.seeds, tally.failed, tally.upper_bound()), (3, 1, None));
        assert_eq!(tally.failures[0].what, "liveness");
        assert_eq!(tally.unshown, [0, 1, 2]);
        assert_eq!(tally.sometimes["leader_changed"], Reached { count: 3, seeds: 2 });
        assert_eq!(tally.faults["crash"], [6, 3, 27]);
        let spread = tally.measure("no_leader_max").unwrap();
        assert_eq!((spread.p50, spread.max, spread.unit, spread.seeds), (7.0, 9.0, "ms", 3));
        assert_eq!(spread.seeds_nonzero, None);
        assert_eq!(worst(tally.codes.iter().copied()), exit::LIVENESS);
    }

    #[test]
    fn branches_count_with_their_seed() {
        let mut line = run(3, "pass", None, 5.0);
        line["branched"] = json!({
            "sometimes": [{"name": "leader_changed", "count": 7}, {"name": "lag", "count": 1}],
            "faults": [{"kind": "crash", "drawn": 6, "fired": 5, "effects": 4},
                       {"kind": "stop", "drawn": 1, "fired": 1, "effects": 1}],
        });
        let mut tally = Tally::default();
        tally.add(&line);
        assert_eq!(tally.sometimes["leader_changed"], Reached { count: 10, seeds: 1 });
        assert_eq!(tally.sometimes["lag"], Reached { count: 1, seeds: 1 });
        assert_eq!(tally.faults["crash"], [8, 6, 13]);
        assert_eq!(tally.faults["stop"], [1, 1, 1]);
    }

    #[test]
    fn undecided_seeds_are_tolerated_up_to_their_share() {
        let undecided = |seed| json!({"seed": seed, "verdict": "unknown", "digest": "ab"});
        let mut tally = Tally::default();
        (0..99).for_each(|seed| tally.add(&run(seed, "pass", None, 1.0)));
        tally.add(&undecided(99));
        assert_eq!((tally.unknown, tally.failed, tally.undecided_too_often()), (1, 0, false));
        let (bound, fewer) = (tally.upper_bound().unwrap(), 1.0 - 0.05f64.powf(1.0 / 99.0));
        assert!((bound - fewer).abs() < 1e-12, "an undecided seed excludes nothing");
        tally.add(&undecided(100));
        assert!(tally.undecided_too_often());
        tally.unknown_max = Some(Ratio(20_000));
        assert!(!tally.undecided_too_often());
        tally.add(&json!({"seed": 101, "verdict": "unknown", "digest": ""}));
        assert_eq!((tally.unknown, tally.failed), (2, 1), "a seed that did not run is no tie");
    }

    #[test]
    fn what_a_sweep_alone_finds_has_codes_of_its_own() {
        for (verdict, class, expected) in
            [("flaky", "nondeterminism", exit::NONDETERMINISM), ("fail", "died", exit::LIMIT)]
        {
            let mut tally = Tally::default();
            tally.add(&json!({
                "seed": 4, "verdict": verdict, "class": class, "digest": "", "again": "differs",
                "violations": [{"check": "again", "text": "two digests"}],
            }));
            assert_eq!(tally.codes, BTreeSet::from([expected]));
            assert_eq!(tally.failures[0].text.as_deref(), Some("two digests"));
            assert_eq!(tally.again, 1);
        }
    }

    #[test]
    fn a_count_knows_in_how_many_seeds_it_was_seen() {
        let mut tally = Tally::default();
        for (seed, n) in [(0, 0), (1, 3), (2, 0), (3, 1)] {
            tally.add(&json!({
                "seed": seed, "verdict": "pass", "class": null,
                "measures": {"needless_elections": n}, "units": {"needless_elections": "count"},
            }));
        }
        let spread = tally.measure("needless_elections").unwrap();
        assert_eq!((spread.seeds_nonzero, spread.seeds, spread.max), (Some(2), 4, 3.0));
    }
}
