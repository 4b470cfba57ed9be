//! Ctrl-C in a long sweep: it ends soon, with 130, and prints what was finished; the same command for a range
//! around it runs only what is missing, and what comes out then is what an uninterrupted sweep prints.
//!
//! That a finished seed is not run again is shown by a forged line: a result that no run can give, sealed as
//! the sweep seals its lines, is still there after the second sweep.
//!
//! The other thing that ends a sweep early is its time budget, which is no excuse: exit 8.

mod program;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use kernel::digest::Digest;
use program::{command, json_lines, root, scratch};
use serde_json::Value;

fn sweep(out: &Path, seeds: &str) -> Command {
    let out = out.display().to_string();
    let fixed = ["sweep", "swarm", "--jobs", "2", "--format", "json"];
    command(root(), &[&fixed[..], &["--seeds", seeds, "--out", &out]].concat())
}

/// The lines of seeds, and the summary.
fn read(output: &Output) -> (Vec<Value>, Value) {
    let mut lines = json_lines(&output.stdout);
    let mut last = lines.pop().unwrap_or_else(|| panic!("nothing was printed: {output:?}"));
    (lines, last["summary"].take())
}

fn seeds(lines: &[Value]) -> Vec<u64> {
    lines.iter().map(|line| line["seed"].as_u64().expect("a seed")).collect()
}

fn finished(out: &Path) -> usize {
    fs::read_to_string(out.join("results.jsonl")).map_or(0, |text| text.lines().count())
}

/// Begins a sweep that would take hours, and stops it once some seeds are finished.
fn interrupted(out: &Path, signal: &str) -> Output {
    let mut sweep = sweep(out, "0..100000");
    let child = sweep.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let begun = Instant::now();
    while finished(out) < 8 {
        assert!(begun.elapsed() < Duration::from_secs(60), "no seed is finished");
        sleep(Duration::from_millis(20));
    }
    let sent = Instant::now();
    let kill = Command::new("kill").args([signal, &child.id().to_string()]).status();
    assert!(kill.expect("kill runs").success());
    let output = child.wait_with_output().expect("it ends");
    // Two seconds are promised; a busy machine gets some more.
    assert!(sent.elapsed() < Duration::from_secs(5), "{:?}", sent.elapsed());
    output
}

/// Makes the first line of a folder one that no run could give.
fn forge(out: &Path) -> u64 {
    let path = out.join("results.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let (first, rest) = text.split_once('\n').expect("a line");
    let open = first.rsplit_once(",\"sum\":\"").expect("a checksum").0;
    let mut line: Value = serde_json::from_str(&format!("{open}}}")).unwrap();
    line["polls"] = 1.into();
    let line = line.to_string();
    let mut digest = Digest::default();
    digest.add(|b| b.extend_from_slice(line.as_bytes()));
    let (open, sum) = (line.strip_suffix('}').unwrap(), &digest.hex()[..16]);
    fs::write(&path, format!("{open},\"sum\":\"{sum}\"}}\n{rest}")).unwrap();
    serde_json::from_str::<Value>(&line).unwrap()["seed"].as_u64().unwrap()
}

#[test]
fn an_interrupted_sweep_tells_what_was_finished_and_is_continued() {
    let (broken_off, whole) = (scratch("interrupt"), scratch("interrupt-whole"));
    let output = interrupted(&broken_off, "-INT");
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    let (before, summary) = read(&output);
    assert_eq!((&summary["exit"], &summary["seeds"]), (&130.into(), &before.len().into()));
    assert_eq!(summary["interrupted"], true);
    assert!(before.len() >= 8 && before.len() == finished(&broken_off), "{}", before.len());
    let range = format!("0..{}", seeds(&before).last().unwrap() + 4);

    let output = sweep(&broken_off, &range).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains(&format!("{} of ", before.len())) && told.contains("already"), "{told}");
    let (after, summary) = read(&output);
    assert_eq!(summary["interrupted"], false);
    assert!(before.iter().all(|line| after.contains(line)));

    let output = sweep(&whole, &range).output().unwrap();
    let (uninterrupted, _) = read(&output);
    assert_eq!(after, uninterrupted);
    let bytes = |out: &Path| fs::read(out.join("results.jsonl")).unwrap();
    assert!(bytes(&broken_off) == bytes(&whole), "the folders differ");

    let forged = forge(&broken_off);
    let output = sweep(&broken_off, &range).output().unwrap();
    let (last, _) = read(&output);
    let strange: Vec<u64> =
        seeds(&last.into_iter().filter(|l| l["polls"] == 1).collect::<Vec<_>>());
    assert_eq!(strange, [forged], "a finished seed was run again");
}

#[test]
fn a_request_to_terminate_is_an_interrupt_too() {
    let out = scratch("interrupt-term");
    let output = interrupted(&out, "-TERM");
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert_eq!(read(&output).0.len(), finished(&out));
}

#[test]
fn a_sweep_that_runs_out_of_time_says_so_and_fails() {
    let cut = |folder: &str, more: &[&str]| {
        let mut command = sweep(&scratch(folder), "0..100000");
        command.args(["--ci", "--set", "ci.seconds=1"]).args(more).output().unwrap()
    };
    let output = cut("interrupt-time", &[]);
    assert_eq!(output.status.code(), Some(8), "{output:?}");
    let (lines, summary) = read(&output);
    assert_eq!((&summary["exit"], &summary["seeds"]), (&8.into(), &lines.len().into()));
    assert_eq!((&summary["cut_short"], &summary["interrupted"]), (&true.into(), &false.into()));

    // As many as the scenario asks for are there: what else was typed is a wish and no budget.
    let summary = read(&cut("interrupt-enough", &["--set", "ci.seeds=1"])).1;
    assert_eq!(summary["cut_short"], true);
    assert!(summary["exit"] != 8, "{summary}");
}

#[test]
fn an_interrupted_tour_shows_nothing_and_says_so() {
    let dir = scratch("interrupt-tour");
    let scenarios = dir.join("sim/scenarios");
    fs::create_dir_all(&scenarios).unwrap();
    for name in ["snapshot_starves_heartbeat.toml", "snapshot_spares_heartbeat.toml"] {
        let text = fs::read_to_string(root().join("sim/scenarios").join(name)).unwrap();
        let long = text.replace("count = 500", "count = 10000000").replace("60s", "24h");
        fs::write(scenarios.join(name), long.replace("1MB", "1KB")).unwrap();
    }
    let mut tour = command::<&str>(&dir, &[]);
    let child = tour.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    sleep(Duration::from_secs(1));
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.expect("kill runs").success());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert!(output.stdout.is_empty(), "half a tour is none: {output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("interrupted"), "{output:?}");
}
