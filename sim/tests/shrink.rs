//! Shrinking and kept plans, from outside: a seed that fails becomes a smaller plan that fails in the same
//! way, the same at every try; a kept plan is replayed by the sweeps of its scenario.
//! Seeds that fail are sought first, for a seed means something else after the next change of the code.

mod program;

use std::fs;
use std::path::{Path, PathBuf};

use program::{command, json, json_lines, root, run, scratch, wavetank};
use serde_json::Value;

/// A plant that needs faults, an operation or two, and few seeds.
const PLANT: &str = "hardstate_without_sync";
/// A plant that trips its check in nearly every seed, before there is any load.
const EASY: &str = "ack_before_fsync";

/// The first seed that fails under a plant.
fn failing(test: &str, line: &str) -> u64 {
    let out = scratch(test);
    let seeds = json(&format!("sweep {line} --out {}", out.display()));
    let failed = seeds.iter().find(|o| o["verdict"] == "fail").expect("a seed that fails");
    failed["seed"].as_u64().expect("a seed")
}

fn shrunk(line: &str) -> Value {
    json(&format!("shrink {line} --budget 1h")).remove(0)
}

#[test]
fn a_smaller_plan_fails_in_the_same_way() {
    let seed = failing("shrink-find", &format!("swarm --seeds 0..80 --plant {PLANT}"));
    let line = format!("swarm --seed {seed} --plant {PLANT} --runs 300");
    let one = shrunk(&format!("{line} --jobs 1"));
    let (original, smallest) = (&one["original"], &one["smallest"]);
    let size = |of: &Value| of["faults"].as_u64().unwrap() + of["ops"].as_u64().unwrap();
    assert!(size(smallest) < size(original) / 2, "{one}");
    assert!(smallest["faults"].as_u64() <= original["faults"].as_u64(), "{one}");
    assert!(one["steps"].as_array().is_some_and(|steps| !steps.is_empty()), "{one}");

    let plan = one["plan"].as_str().expect("a file");
    let dir = scratch("shrink-replay");
    let again = dir.join("again.toml");
    let weave = smallest["weave"].as_u64().unwrap();
    let replay = |plan: &str| {
        let keep = again.display();
        run(&format!("swarm --plan {plan} --plant {PLANT} --weave {weave} --keep-plan {keep}"))
    };
    let first = replay(plan);
    assert_eq!(first["digest"], smallest["digest"]);
    assert_eq!(first["violations"][0]["check"], one["check"]);
    assert_eq!(first["class"], one["class"]);
    // What is kept of a replay has the same weather, load, operations and events.
    let copy = dir.join("copy.toml");
    fs::copy(&again, &copy).unwrap();
    assert_eq!(replay(&copy.display().to_string())["digest"], first["digest"]);
    assert_eq!(fs::read_to_string(&copy).unwrap(), fs::read_to_string(&again).unwrap());
}

#[test]
fn what_comes_out_depends_on_no_clock() {
    let seed = failing("shrink-jobs", &format!("swarm --seeds 0..80 --plant {PLANT}"));
    let line = format!("swarm --seed {seed} --plant {PLANT} --runs 40");
    let [one, same] = [(), ()].map(|()| shrunk(&line));
    assert_eq!(one["smallest"], same["smallest"]);
    assert_eq!(one["steps"], same["steps"]);
}

#[test]
fn a_seed_that_passes_is_not_shrunk() {
    let output = wavetank(&["shrink", "leader_crash", "--seed", "0"]);
    let says = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(64), "{says}");
    assert!(says.contains("nothing to shrink"), "{says}");
}

/// A folder of its own with the scenarios and profiles of the project.
fn project(name: &str) -> PathBuf {
    let dir = scratch(name);
    for folder in ["sim/scenarios", "sim/profiles"] {
        fs::create_dir_all(dir.join(folder)).unwrap();
        for entry in fs::read_dir(root().join(folder)).unwrap().flatten() {
            fs::copy(entry.path(), dir.join(folder).join(entry.file_name())).unwrap();
        }
    }
    dir
}

/// The exit code of a command in a folder, what it printed last as JSON, and what it complained of.
fn in_folder(dir: &Path, line: &str) -> (i32, Value, String) {
    let arguments: Vec<&str> = line.split_whitespace().chain(["--format", "json"]).collect();
    let output = command(dir, &arguments).output().expect("the program runs");
    let last = json_lines(&output.stdout).pop().unwrap_or_default();
    let says = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().expect("a code"), last, says)
}

#[test]
fn a_kept_plan_with_a_plant_has_to_fail() {
    let dir = project("shrink-kept");
    let seed = failing("shrink-kept-find", &format!("swarm --seeds 0..80 --plant {PLANT}"));
    let line = format!("shrink swarm --seed {seed} --plant {PLANT} --runs 10 --keep");
    let (code, object, says) = in_folder(&dir, &line);
    assert_eq!(code, 0, "{says}");
    let check = object["check"].as_str().unwrap();
    let file = format!("faults/plans/swarm-{check}-{seed}.toml");
    assert_eq!(object["plan"], file.as_str());
    let path = dir.join(&file);
    let plan = fs::read_to_string(&path).expect("the kept plan");

    let sweep = |scenario: &str| in_folder(&dir, &format!("sweep {scenario} --seeds 0..1"));
    let (code, last, says) = sweep("swarm");
    let kept = &last["summary"]["kept"][0];
    assert_eq!((code, &kept["status"]), (0, &"caught".into()), "{kept} {says}");
    assert_eq!(kept["stale"], Value::Array(Vec::new()));

    // Another envelope: stale, and caught all the same.
    fs::write(&path, plan.replace("nodes = \"", "nodes = \"other")).unwrap();
    let (code, last, _) = sweep("swarm");
    let kept = &last["summary"]["kept"][0];
    assert_eq!((code, &kept["status"], &kept["stale"][0]), (0, &"caught".into(), &"nodes".into()));

    // Another plant trips no such check: a fresh plan has to, a stale one proves nothing.
    let other = plan.replace(PLANT, EASY);
    fs::write(&path, &other).unwrap();
    let (code, last, _) = sweep("swarm");
    let kept = &last["summary"]["kept"][0];
    assert_eq!((code, &kept["status"]), (4, &"escaped".into()), "{kept}");
    fs::write(&path, other.replace("nodes = \"", "nodes = \"other")).unwrap();
    assert_eq!(sweep("swarm").0, 0);

    // It is an untrusted file, and none of another scenario's business.
    fs::write(&path, plan.replace("class = \"", "class = \"un")).unwrap();
    let (code, _, says) = sweep("swarm");
    assert_eq!(code, 65);
    assert!(says.contains("expect.class: no class of failure `unsafety`"), "{says}");
    assert_eq!(sweep("leader_crash").0, 0);

    // One of other sources may not even parse: it is told, and no end of the sweep.
    let other = plan.replace("class = \"", "class = \"un").replace("nodes = \"", "nodes = \"other");
    fs::write(&path, other).unwrap();
    let (code, last, says) = sweep("swarm");
    let kept = &last["summary"]["kept"][0];
    assert_eq!((code, &kept["status"]), (0, &"unreadable".into()), "{kept} {says}");
    assert_eq!((&kept["stale"][0], &kept["check"]), (&"nodes".into(), &check.into()));
    assert!(kept["why"].as_str().is_some_and(|why| why.contains("unsafety")), "{kept}");
}

#[test]
fn a_kept_plan_that_still_fails_fails_the_sweep() {
    let dir = project("shrink-fails");
    let from = root().join("sim/tests/drifting_leader.toml");
    fs::copy(from, dir.join("sim/scenarios/drifting_leader.toml")).unwrap();
    let set = "--set lease_drift=0%";
    let test = "sim/tests/drifting_leader.toml";
    let seed = failing("shrink-fails-find", &format!("{test} --seeds 0..20 {set}"));
    let line = format!("shrink drifting_leader --seed {seed} {set} --runs 10 --keep");
    let (code, object, says) = in_folder(&dir, &line);
    assert_eq!(code, 0, "{says}");
    // The sweep itself has the right value; the plan has its own.
    let (code, last, _) = in_folder(&dir, "sweep drifting_leader --seeds 0..1");
    let kept = &last["summary"]["kept"][0];
    assert_eq!((code, &kept["status"]), (1, &"fails".into()), "{kept}");
    assert_eq!(last["summary"]["exit"], 1);
    let again = kept["again"].as_str().expect("a line to paste");
    assert!(again.contains("--set lease_drift=0% --plan faults/plans/drifting_leader-"), "{again}");
    assert_eq!(kept["check"], object["check"]);
}

#[test]
fn a_plant_is_searched_for_in_twenty_ranges() {
    let line = format!("plants {EASY} --seeds 0..200 --shrink-budget 0s");
    let object = json(&line).remove(0);
    let plant = &object["plants"][0];
    assert_eq!(plant["plant"], EASY);
    assert_eq!(plant["check"], "fsync_before_ack");
    let caught = plant["caught"].as_f64().unwrap();
    assert!(caught > 0.5 && caught <= 1.0, "{plant}");
    let number = |name: &str| plant[name].as_f64().unwrap();
    assert!(number("seeds_p50") >= 1.0 && number("seeds_p50") <= number("seeds_p95"));
    assert!(number("seeds_p95") <= 10.0 && plant["shrunk_faults"].is_null());
    let (low, high) = (plant["rate_ci"][0].as_f64(), plant["rate_ci"][1].as_f64());
    assert!(low < Some(number("rate")) && Some(number("rate")) <= high, "{plant}");
    assert_eq!((&object["ranges"], &object["cut_short"]), (&20.into(), &false.into()));

    // Nobody catches a change that breaks nothing, and that takes longer than two seeds.
    let line = "plants neutral_heartbeat_twice --seeds 0..40 --shrink-budget 0s --format json";
    let output = wavetank(&line.split_whitespace().collect::<Vec<_>>());
    assert_eq!(output.status.code(), Some(5));
    let plant = json_lines(&output.stdout).remove(0)["plants"][0].clone();
    assert_eq!((plant["caught"].as_f64(), plant["check"].is_null()), (Some(0.0), true), "{plant}");
    for name in ["seeds_p50", "seeds_p95", "cpu_s_p50"] {
        assert!(plant[name].is_null(), "{name}: {plant}");
    }

    let refused = |line: &str| {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        let output = wavetank(&arguments);
        assert_eq!(output.status.code(), Some(64), "{line}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(refused("plants ack_befor_fsync").contains("did you mean `ack_before_fsync`?"));
    assert!(refused("plants --seeds 0..19").contains("20 ranges"));
}
