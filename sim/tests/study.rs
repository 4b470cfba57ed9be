//! `study`: what the small study prints, in all three forms, is golden; one that is ended in the middle and
//! typed again leaves and prints what an undisturbed one does, byte for byte; cells run on common random
//! numbers; what is typed or written wrong is refused with the nearest word.

mod program;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use program::{command, golden, json_lines, root, scratch};
use serde_json::Value;

const STUDY: &str = "election_timeout_price";

fn study(out: &Path, more: &[&str]) -> Command {
    let out = out.display().to_string();
    command(root(), &[&["study", STUDY, "--out", &out], more].concat())
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn the_small_study_is_golden_in_all_forms() {
    let out = scratch("study-golden");
    let small = ["--seeds", "0..4", "--set", "heartbeat=25ms"];
    for (form, file) in [("human", "study.txt"), ("json", "study.json"), ("csv", "study.csv")] {
        let output = study(&out, &[&small[..], &["--format", form]].concat()).output().unwrap();
        golden(file, &stdout(&output));
    }
    golden("study.svg", &fs::read_to_string(out.join("map.svg")).unwrap());
}

#[test]
fn the_object_has_what_is_documented() {
    let small = ["--seeds", "0..3", "--set", "heartbeat=25ms", "election_timeout=200ms..400ms"];
    let output = study(&scratch("study-json"), &[&small[..], &["--format", "json"]].concat());
    let object = json_lines(stdout(&{ output }.output().unwrap()).as_bytes()).remove(0);
    let cells = object["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 1, "every parameter is set: one cell");
    let cell = &cells[0];
    assert_eq!(cell["params"]["election_timeout"], "200ms..400ms");
    assert_eq!((&cell["seeds"], &object["units"]["outage"]), (&3.into(), &"ms".into()));
    let outage = &cell["measures"]["outage"];
    for name in ["mean", "p10", "p50", "p90", "p99", "p999", "max"] {
        assert!(outage[name].as_f64().unwrap() > 0.0, "{name}: {object}");
    }
    let [low, high] = [0, 1].map(|i| outage["ci"][i].as_f64().unwrap());
    let mean = outage["mean"].as_f64().unwrap();
    assert!(low <= mean && mean <= high, "{outage}");
}

/// The number of finished runs.
fn finished(out: &Path) -> usize {
    fs::read_to_string(out.join("results.jsonl")).map_or(0, |text| text.lines().count())
}

#[test]
fn an_interrupted_study_goes_on_and_ends_the_same() {
    let small = ["--seeds", "0..6", "--format", "json", "--jobs", "1"];
    let (broken_off, whole) = (scratch("study-broken"), scratch("study-whole"));
    for signal in ["-INT", "-KILL"] {
        let before = finished(&broken_off);
        let mut running = study(&broken_off, &small);
        let child = running.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let begun = Instant::now();
        while finished(&broken_off) < before + 5 {
            assert!(begun.elapsed() < Duration::from_secs(60), "no run is finished");
            sleep(Duration::from_millis(5));
        }
        let sent = Instant::now();
        let kill = Command::new("kill").args([signal, &child.id().to_string()]).status();
        assert!(kill.unwrap().success());
        let output = child.wait_with_output().unwrap();
        assert!(sent.elapsed() < Duration::from_secs(3), "it ends soon");
        if signal == "-INT" {
            assert_eq!(output.status.code(), Some(130), "{output:?}");
        }
        assert!(output.stdout.is_empty(), "half a table is none: {output:?}");
    }
    let there = finished(&broken_off);
    assert!((10..48).contains(&there), "{there}");
    let output = study(&broken_off, &small).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("of 48 runs are there already"), "{told}");
    let undisturbed = study(&whole, &[&small[..5], &["2"]].concat());
    assert_eq!(stdout(&output), stdout(&{ undisturbed }.output().unwrap()));
    for file in ["results.jsonl", "map.svg", "envelope.json"] {
        let bytes = |dir: &Path| fs::read(dir.join(file)).unwrap();
        assert!(bytes(&broken_off) == bytes(&whole), "{file} differs");
    }
    let again = study(&broken_off, &small).output().unwrap();
    assert_eq!(stdout(&output), stdout(&again));
    assert!(String::from_utf8_lossy(&again.stderr).contains("; 0 runs in"), "{again:?}");
}

/// What clients asked for under a seed, and when their first requests left: by client and operation.
fn load(timeout: &str) -> (Vec<String>, BTreeMap<(String, String), String>) {
    let set = format!("election_timeout={timeout}");
    let scenario = "slow_links_tempt_voters";
    let output = command(root(), &["show", scenario, "--seed", "3", "--set", &set]).output();
    let shown = stdout(&output.unwrap());
    let plan = shown.lines().skip_while(|l| *l != "seed 3 draws").map(str::to_string).collect();
    let arguments = ["run", scenario, "--seed", "3", "--set", &set, "--trace", "full", "--no-cure"];
    let text = stdout(&command(root(), &arguments).output().unwrap());
    let mut asked = BTreeMap::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some(op) = words.iter().position(|w| *w == "op") else { continue };
        if let Some([number, what, key, ..]) = words.get(op + 1..)
            && *what == "put"
        {
            asked.insert((words[op - 1].to_string(), (*number).to_string()), (*key).to_string());
        }
    }
    (plan, asked)
}

#[test]
fn a_seed_brings_the_same_load_and_faults_to_every_cell() {
    let ((plan, few), (other_plan, many)) = (load("100ms..200ms"), load("600ms..1200ms"));
    assert!(plan.len() > 2, "{plan:?}");
    assert_eq!(plan, other_plan);
    let both = few.iter().filter(|(op, _)| many.contains_key(*op));
    let both: Vec<_> = both.collect();
    assert!(both.len() > 100, "{} operations in both", both.len());
    for (op, key) in both {
        assert_eq!(many[op], *key, "{op:?}");
    }
}

#[test]
fn what_is_typed_wrong_is_refused() {
    let out = scratch("study-wrong");
    let cases: [(&[&str], i32, &str); 9] = [
        (&["--set", "election_timeot=1s..2s"], 64, "did you mean `election_timeout`?"),
        (&["--set", "election_timeout=1s..2x"], 65, "cell election_timeout=1s..2x heartbeat=25ms"),
        (&["--set", "cluster.config.heartbeat=5ms"], 64, "its parameter is `heartbeat`"),
        (&["--set", "heartbeat="], 64, "is not NAME=VALUE"),
        (&["--set", "heartbeat=1=2"], 64, "is not NAME=VALUE"),
        (&["--set", "heartbeat=5ms", "heartbeat=6ms"], 64, "`heartbeat` is given twice"),
        (&["--seeds", "5..5"], 64, "no seed"),
        (&["--format", "xml"], 64, "xml"),
        (&["--bless", "--set", "heartbeat=5ms"], 64, "cannot be used with"),
    ];
    for (more, code, says) in cases {
        let output = study(&out, more).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{more:?}: {told}");
        assert!(told.contains(says), "{more:?}: {told}");
    }
    let output = command(root(), &["study", "election_timeout_prise"]).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("did you mean `election_timeout_price`?")
    );
}

#[test]
fn a_file_that_is_wrong_is_refused_with_its_place() {
    let dir = scratch("study-file");
    let text = fs::read_to_string(root().join(format!("sim/studies/{STUDY}.toml"))).unwrap();
    let file = dir.join("mine.toml");
    fs::write(&file, text.replace("no_leader_max", "no_leadr_max")).unwrap();
    let output = command(root(), &["study", file.to_str().unwrap()]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(65), "{told}");
    assert!(told.contains("mine.toml:") && told.contains("`no_leader_max`"), "{told}");
    assert_eq!(told.lines().count(), 1, "one slip, one complaint: {told}");
}

#[test]
fn what_a_file_names_wrong_is_not_blamed_on_what_was_typed() {
    let dir = scratch("study-names");
    let text = fs::read_to_string(root().join(format!("sim/studies/{STUDY}.toml"))).unwrap();
    let file = dir.join("mine.toml");
    let cases = [
        ("cluster.config.heartbeat\"", "cluster.config.heartbeet\"", "mine.toml:18:8: no key"),
        ("\"slow_links_tempt_voters", "\"slow_links_tempt_voter", "mine.toml:7:12: no scenario"),
        ("\"100ms..200ms", "\"100ms..200", "mine.toml:13:8: cell election_timeout=100ms..200 "),
    ];
    for (old, new, says) in cases {
        fs::write(&file, text.replacen(old, new, 1)).unwrap();
        let output = command(root(), &["study", file.to_str().unwrap()]).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(65), "{told}");
        assert!(told.contains(says) && !told.contains("--set"), "{told}");
    }
}

#[test]
fn failed_runs_are_named_with_how_to_see_them() {
    let out = scratch("study-vacuous");
    let few = ["--seeds", "0..2", "--set", "heartbeat=25ms", "min_acks=100000000"];
    let text = |form: &str| {
        let output = study(&out, &[&few[..], &["--format", form]].concat()).output().unwrap();
        stdout(&output)
    };
    let page = text("human");
    let head = page.lines().next().unwrap();
    assert!(head.ends_with("--set heartbeat=25ms --set min_acks=100000000"), "{head}");
    assert!(page.contains("runs_failed"), "{page}");
    let line = page.lines().find(|l| l.starts_with("  failed  8 vacuous: ")).unwrap();
    let again = line.split_once(" tank ").unwrap().1;
    let words: Vec<&str> = again.split(' ').collect();
    let output = command(root(), &words).output().unwrap();
    assert_eq!(output.status.code(), Some(6), "{line}: {output:?}");
    let object = json_lines(text("json").as_bytes()).remove(0);
    assert_eq!(object["sets"]["min_acks"], "100000000", "{object}");
    assert_eq!(object["failed"], serde_json::json!([2, 2, 2, 2]));
    let csv = text("csv");
    let head: Vec<&str> = csv.lines().next().unwrap().split(',').collect();
    assert!(head.ends_with(&["failed", "broken", "front", "recommended"]), "{head:?}");
    assert_eq!(csv.lines().count(), 1 + 4 * 3, "a line for each cell and column: {csv}");
}

#[test]
fn runs_of_another_program_go_when_one_begins_anew() {
    let out = scratch("study-foreign");
    let one = ["--seeds", "0..1", "--set", "heartbeat=25ms", "election_timeout=1s..2s"];
    let page = stdout(&study(&out, &one).output().unwrap());
    assert!(!page.contains('['), "one seed has no interval: {page}");
    fs::write(out.join("envelope.json"), "{}").unwrap();
    let output = study(&out, &one).output().unwrap();
    assert_eq!(output.status.code(), Some(65), "{output:?}");
    let output = study(&out, &[&one[..], &["--fresh"]].concat()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("1 older runs of another build dropped"), "{told}");
    assert_eq!(stdout(&output), page);
}

#[test]
fn lists_and_explanations_know_studies() {
    let output = command(root(), &["list", "--format", "json"]).output().unwrap();
    let words: Value = json_lines(stdout(&output).as_bytes()).remove(0);
    let studies = words["studies"].as_array().unwrap();
    assert!(studies.iter().any(|s| s["name"] == STUDY && s["title"].is_string()), "{words}");
    let told = stdout(&command(root(), &["show", STUDY]).output().unwrap());
    assert!(told.contains("every cell is slow_links_tempt_voters"), "{told}");
    assert_eq!(told.lines().filter(|l| l.contains("ms..")).count(), 8, "{told}");
    let told = stdout(&command(root(), &["explain", STUDY]).output().unwrap());
    assert!(told.contains("   study") && told.contains("sets cluster.config.heartbeat"), "{told}");
}
