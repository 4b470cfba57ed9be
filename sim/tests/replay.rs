//! A seed is one run: alone, again, in a sweep with one job or two, among other seeds, and in a debug or a
//! release build. A kept plan is the same storm: the same faults hit the same hosts at the same times.
//!
//! Two builds cannot meet in one test, so `golden/digests.txt` stands between them: whatever build runs this
//! test must find the digests that are written there. They change whenever behaviour does, and are then
//! blessed. Not compared here: machines, toolchains, and surroundings (`verify` does that).

mod program;

use std::collections::BTreeMap;
use std::fs;

use program::{golden, json, root, run, scratch};
use serde_json::Value;

const SHOWN: &str = "snapshot_starves_heartbeat";

/// Seed -> the whole line, of a sweep.
fn sweep(scenario: &str, seeds: &str, jobs: u64) -> BTreeMap<u64, Value> {
    let out = scratch(&format!("replay-{scenario}-{jobs}"));
    let line = format!("sweep {scenario} --seeds {seeds} --jobs {jobs} --out {}", out.display());
    let mut lines = json(&line);
    let summary = lines.pop().expect("a summary");
    assert_eq!(summary["summary"]["seeds"], lines.len() as u64, "{summary}");
    let of = |line: Value| (line["seed"].as_u64().expect("a seed"), line);
    lines.into_iter().map(of).collect()
}

#[test]
fn a_seed_has_one_digest_alone_again_and_in_sweeps() {
    let alone = run(&format!("{SHOWN} --seed 7"));
    assert_eq!(run(&format!("{SHOWN} --seed 7")), alone);
    let (one, two) = (sweep(SHOWN, "0..10", 1), sweep(SHOWN, "0..10", 2));
    assert_eq!(one.len(), 10);
    assert_eq!(one, two);
    assert_eq!(one[&7], alone);
    let digests: Vec<&Value> = one.values().map(|line| &line["digest"]).collect();
    assert!(digests.iter().all(|d| digests.iter().filter(|e| *e == d).count() == 1), "{digests:?}");
}

/// Seeds of a swarm take very different times, so two jobs finish them out of order.
#[test]
fn a_seed_is_the_same_run_whatever_ran_before_it() {
    let swept = sweep("swarm", "20..32", 2);
    for seed in [31, 24, 20, 27] {
        assert_eq!(swept[&seed], run(&format!("swarm --seed {seed}")));
    }
}

#[test]
fn a_kept_plan_is_the_same_storm() {
    let dir = scratch("replay-plan");
    let mut hits = 0;
    // In 12, 83 and 140 one power loss hits several hosts at once.
    for seed in (0..8).chain([12, 83, 140]) {
        let (kept, again) = (dir.join("kept.toml"), dir.join("again.toml"));
        let (plan, keep) = (kept.display(), again.display());
        let drawn = run(&format!("swarm --seed {seed} --keep-plan {plan}"));
        // A plan knows its seed.
        let typed = if seed == 83 { String::new() } else { format!("--seed {seed} ") };
        let replayed = run(&format!("swarm {typed}--plan {plan} --keep-plan {keep}"));
        let read = |path| fs::read_to_string(path).expect("a plan");
        let (kept, again) = (read(kept), read(again));
        assert_eq!(again, kept, "seed {seed}: other faults, hosts, times or survivors");
        hits += kept.matches("[[fired]]").count();
        for key in ["seed", "verdict", "class", "violations", "measures", "digest"] {
            assert_eq!(replayed[key], drawn[key], "seed {seed}: {key}");
        }
    }
    assert!(hits >= 10, "{hits}");
}

/// Seeds that CI sweeps of a scenario.
fn swept(scenario: &str) -> u64 {
    let text = fs::read_to_string(root().join(format!("sim/scenarios/{scenario}.toml"))).unwrap();
    let ci = text.split("[ci]").nth(1).expect("a budget");
    let seeds = ci.lines().find_map(|l| l.strip_prefix("seeds = ")).expect("a number of seeds");
    seeds.parse().expect("a number")
}

/// Scenarios of which CI sweeps few seeds take gigabytes or, in a debug build, a minute; their first 200
/// writes will do. The whole of them runs twice in `.ci/run`, in one build.
#[test]
fn debug_and_release_builds_run_the_same() {
    let folder = fs::read_dir(root().join("sim/scenarios")).unwrap();
    let mut names: Vec<String> = folder
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_string())
        .collect();
    names.sort();
    let mut text = String::from("# scenario, seed, digest; written by BLESS=1 cargo test\n");
    for name in names {
        let set = if swept(&name) < 5 { " --set workload.0.count=200" } else { "" };
        for seed in [0, 7] {
            let digest = &run(&format!("{name} --seed {seed}{set}"))["digest"];
            text += &format!("{name} {seed} {}{set}\n", digest.as_str().expect("a digest"));
        }
    }
    golden("digests.txt", &text);
}
