//! Where did it go wrong: `diff`, `state`, `cause` and branches, as a developer uses them on a seed. A branch
//! is its seed's run up to its instant and then another; a trace file stands for the run that wrote it; the
//! knee of a planted defect that a power loss brings out is that power loss.

mod program;

use serde_json::Value;

fn one(line: &str) -> Value {
    program::json(line).into_iter().next().expect("one object")
}

/// How a command that is refused ends, and what it complains of.
fn refused(line: &str) -> (Option<i32>, String) {
    let arguments: Vec<&str> = line.split_whitespace().collect();
    let output = program::wavetank(&arguments);
    (output.status.code(), String::from_utf8_lossy(&output.stderr).to_string())
}

/// The first of these seeds that fails with this plant.
fn failing(plant: &str) -> u64 {
    let seeds = program::scratch(&format!("branches_{plant}"));
    let line = format!("sweep swarm --seeds 0..120 --plant {plant} --out {}", seeds.display());
    let failed = program::json(&line).into_iter().find(|o| o["verdict"] == "fail");
    failed.expect("a seed that fails")["seed"].as_u64().expect("a number")
}

#[test]
fn a_branch_is_its_seeds_run_until_its_instant() {
    let seen = one("diff swarm@3 swarm@3 --branch 2.5s:1");
    assert_eq!(seen["same"], false);
    for side in seen["first"].as_array().expect("two") {
        assert!(side["at_ns"].as_u64().expect("a time") >= 2_500_000_000, "{side}");
    }
    let other = one("diff swarm@3 --branch 2.5s:1 swarm@3 --branch 2.5s:2");
    assert_eq!(other["same"], false, "two branches are two runs");
    let again = one("diff swarm@3 --branch 2.5s:1 swarm@3 --branch 2.5s:1");
    assert_eq!(again["same"], true, "a branch is reproducible");
}

#[test]
fn a_branch_that_is_kept_as_a_plan_replays() {
    let dir = program::scratch("branches_plan");
    let plan = dir.join("plan.toml");
    let line = format!("run swarm --seed 3 --branch 2.5s:1 --keep-plan {}", plan.display());
    let first = one(&line);
    let line = format!("run swarm --plan {}", plan.display());
    assert_eq!(first["digest"], one(&line)["digest"]);
}

#[test]
fn a_trace_file_stands_for_its_run() {
    let dir = program::scratch("branches_trace");
    let file = dir.join("trace.jsonl");
    one(&format!("run leader_crash --seed 4 --keep-trace {}", file.display()));
    let line = format!("diff {} leader_crash@4", file.display());
    assert_eq!(one(&line)["same"], true);
    let seen = one(&format!("{line} --set cluster.config.heartbeat=20ms"));
    assert_eq!(seen["same"], false);
    assert!(!seen["hosts"].as_array().expect("a list").is_empty());
    std::fs::write(&file, "{}\n").expect("written");
    let (code, err) = refused(&line);
    assert_eq!(code, Some(65), "{err}");
    assert!(err.contains("trace.jsonl:1"), "{err}");
}

#[test]
fn how_things_stand_is_told_without_changing_them() {
    let seen = one("state leader_crash --seed 4 --at 1.5s --host n1");
    let hosts = seen["hosts"].as_array().expect("a list");
    assert_eq!((hosts.len(), hosts[0]["host"].as_str()), (1, Some("n1")));
    let files = hosts[0]["files"].as_array().expect("a list");
    let log = files.iter().find(|f| f["path"].as_str().is_some_and(|p| p.starts_with("wal/")));
    let log = log.expect("a log segment");
    assert!(log["durable_bytes"].as_u64() <= log["bytes"].as_u64(), "{log}");
    let said = hosts[0]["said"].as_array().expect("a list");
    assert!(said.iter().any(|s| s["field"] == "term" && s["source"] == "raft"), "{said:?}");
    let tasks = hosts[0]["tasks"].as_array().expect("a list");
    assert!(tasks.iter().any(|t| t["waits_for"] == "somebody to connect"), "{tasks:?}");
    let (code, err) = refused("state leader_crash --seed 4 --at 1h");
    assert!(code == Some(64) && err.contains("before that instant"), "{code:?} {err}");
    let (code, err) = refused("state leader_crash --seed 4 --at 1s --host n9");
    assert!(code == Some(64) && err.contains("n9"), "{code:?} {err}");
}

#[test]
fn the_cause_of_a_forgotten_vote_is_the_power_loss() {
    let seed = failing("vote_before_fsync");
    let line = format!("cause swarm --seed {seed} --plant vote_before_fsync --branches 12");
    let seen = one(&line);
    assert_eq!(seen["check"], "one_vote_per_term");
    let knee: Vec<u64> =
        seen["knee"].as_array().expect("a knee").iter().flat_map(Value::as_u64).collect();
    let ladder = seen["ladder"].as_array().expect("a ladder");
    let share = |r: &Value| r["share"].as_f64().expect("a share");
    let (first, last) = (share(&ladder[0]), share(ladder.last().expect("rungs")));
    assert!(first < 0.5 && last > 0.9, "from {first} to {last}");
    let dir = program::scratch("branches_cause");
    let plan = dir.join("plan.toml");
    one(&format!(
        "run swarm --seed {seed} --plant vote_before_fsync --keep-plan {}",
        plan.display()
    ));
    let fired = std::fs::read_to_string(&plan).expect("a plan");
    let (mut inside, mut kind) = (Vec::new(), String::new());
    for line in fired.lines() {
        if let Some(word) = line.strip_prefix("kind = ") {
            kind = word.trim_matches('"').to_string();
        }
        if let Some(at) = line.strip_prefix("at = ") {
            let at = host::unit::parse_duration(at.trim_matches('"')).expect("a time");
            if (knee[0]..=knee[1]).contains(&(at.as_nanos() as u64)) {
                inside.push(kind.clone());
            }
        }
    }
    assert!(inside.contains(&"power_loss".to_string()), "{inside:?} within {knee:?}");
    let (code, err) = refused("cause leader_crash --seed 4");
    assert!(code == Some(64) && err.contains("nothing to explain"), "{code:?} {err}");
}

/// What a scenario expects is no failure: a seed that also fails otherwise is explained by that.
#[test]
fn a_cause_is_that_of_what_was_not_expected() {
    let dir = program::scratch("branches_expected");
    let file = dir.join("expected.toml");
    let text = std::fs::read_to_string(program::root().join("sim/tests/drifting_leader.toml"));
    let mut text = text.expect("a scenario");
    let expects = "[shows]\nsymptoms = [\"violates(fsync_before_ack)\"]\n\n[measure]";
    for (from, to) in [
        ("lease_drift = \"50%\"", "lease_drift = \"0%\""),
        ("always = [", "always = [\"fsync_before_ack\", "),
        ("[measure]", expects),
    ] {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    std::fs::write(&file, text).expect("written");
    let typed = format!("{} --plant ack_before_fsync", file.display());
    let seeds = program::json(&format!("sweep {typed} --seeds 0..20 --out {}/out", dir.display()));
    let checks = |seed: &Value| -> Vec<String> {
        let all = seed["violations"].as_array().into_iter().flatten();
        all.filter_map(|v| v["check"].as_str()).map(str::to_string).collect()
    };
    let both = |seed: &&Value| checks(seed).len() > 1 && checks(seed)[0] == "fsync_before_ack";
    let seed = seeds.iter().find(both).expect("a seed that fails in both ways");
    let line = format!("cause {typed} --seed {} --branches 2 --rungs 2 --rounds 1", seed["seed"]);
    assert_eq!(one(&line)["check"], checks(seed)[1].as_str(), "{seed}");
}

#[test]
fn states_that_are_rare_are_searched_from_where_they_were_reached() {
    let dir = program::scratch("branches_at");
    let line = "sweep swarm --seeds 0..12 --branch-at snapshot_installed --branches 3";
    let seeds = program::json(&format!("{line} --out {}", dir.display()));
    let (summary, seeds) = seeds.split_last().expect("a summary");
    let reached = seeds.iter().filter(|o| {
        let words = o["sometimes"].as_array().expect("a list");
        words.iter().any(|w| w["name"] == "snapshot_installed" && w["count"] != 0)
    });
    let branched: Vec<&Value> =
        seeds.iter().filter(|o| o["branches"].as_array().is_some_and(|b| b.len() == 3)).collect();
    assert_eq!(branched.len(), reached.count(), "each seed that gets there, and no other");
    assert!(!branched.is_empty());
    assert_eq!(summary["summary"]["branches"], 3 * branched.len());
    // What branches did counts too: their plans begin where their seed's does.
    for kind in summary["summary"]["faults"].as_array().expect("a list") {
        let of = |part: &Value| {
            let all = part["faults"].as_array().into_iter().flatten();
            all.filter(|f| f["kind"] == kind["kind"])
                .filter_map(|f| f["drawn"].as_u64())
                .sum::<u64>()
        };
        let all: u64 = seeds.iter().map(|line| of(line) + of(&line["branched"])).sum();
        assert_eq!(kind["drawn"], all, "{kind}");
    }
    for line in branched {
        assert!(line["branched"]["faults"].as_array().is_some_and(|f| !f.is_empty()), "{line}");
        let branches = line["branches"].as_array().expect("a list");
        let digests: std::collections::BTreeSet<&str> =
            branches.iter().map(|b| b["digest"].as_str().expect("text")).collect();
        assert_eq!(digests.len(), 3, "three branches are three runs: {line}");
        let typed = format!("swarm --seed {} --branch {}", line["seed"], {
            branches[1]["branch"].as_str().expect("text")
        });
        assert_eq!(program::run(&typed)["digest"], branches[1]["digest"], "{typed}");
    }
    // Shards of such a sweep are put together like those of any other.
    let shards = [1, 2].map(|n| {
        let out = program::scratch(&format!("branches_shard{n}")).display().to_string();
        program::json(&format!("{line} --shard {n}/2 --out {out}"));
        out
    });
    let merged = program::scratch("branches_merged");
    let merge = format!("merge {} --out {}", shards.join(" "), merged.display());
    let again = program::json(&merge);
    let lines = again.split_last().expect("a summary").1;
    assert_eq!(lines, seeds, "the merged shards are the whole");
    let (code, err) = refused("sweep swarm --seeds 0..1 --branch-at snapshot_instaled");
    assert!(code == Some(64) && err.contains("`snapshot_installed`?"), "{code:?} {err}");
}
