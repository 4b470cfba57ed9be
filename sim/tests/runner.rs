//! No seed takes a sweep down, and nothing that happens to a sweep shows in what it leaves. A node that takes
//! its process along (`examples/mortal.rs`) costs its own seeds and no other; sweeps and workers that are
//! ended in the middle leave, once they are continued, the folder that an undisturbed sweep leaves, byte for
//! byte; shards put together are the whole.
//!
//! `WAVETANK_INTERRUPTS` is how often the long sweep is ended in the middle, 4 unless it says otherwise.

mod program;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use program::{command, json_lines, root, scratch, wavetank};
use serde_json::Value;

const SCENARIO: &str = "sim/examples/mortal.toml";

/// The example program, built once.
fn mortal() -> Command {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let path = BUILT.get_or_init(|| {
        // Examples are built with all tests, but not with this one alone.
        let built =
            Command::new(env!("CARGO")).args(["build", "--quiet", "--example", "mortal"]).status();
        assert!(built.is_ok_and(|s| s.success()), "the example builds");
        let tests = std::env::current_exe().unwrap();
        tests.ancestors().nth(2).unwrap().join("examples/mortal")
    });
    let mut command = Command::new(path);
    command.current_dir(root()).env_remove("MADSIM_TEST_SEED").env("NO_COLOR", "1");
    command
}

/// A sweep of the example: seeds by number, and the summary.
struct Swept {
    code: Option<i32>,
    seeds: BTreeMap<u64, Value>,
    summary: Value,
    stderr: String,
}

fn swept(output: &Output) -> Swept {
    let mut lines = json_lines(&output.stdout);
    let summary = lines.pop().unwrap_or_else(|| panic!("{output:?}"))["summary"].take();
    let told: Vec<u64> = lines.iter().map(|line| line["seed"].as_u64().unwrap()).collect();
    assert!(told.is_sorted(), "seeds are told in their order: {told:?}");
    let seeds = told.into_iter().zip(lines).collect();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Swept { code: output.status.code(), seeds, summary, stderr }
}

fn sweep(folder: &str, seeds: &str, more: &[&str]) -> Swept {
    let out = scratch(folder).display().to_string();
    let mark = scratch(&format!("{folder}-mark")).join("mark");
    let mut command = mortal();
    command.args(["sweep", SCENARIO, "--seeds", seeds, "--format", "json", "--out", &out]);
    swept(&command.args(more).env("MORTAL_MARK", mark).output().expect("it was built"))
}

/// Seeds and lines without a plant. Which of them are fatal a sweep with a plant that only aborts says.
fn sound() -> &'static BTreeMap<u64, Value> {
    static SOUND: OnceLock<BTreeMap<u64, Value>> = OnceLock::new();
    SOUND.get_or_init(|| {
        let sound = sweep("runner-sound", "0..30", &[]);
        assert_eq!((sound.code, sound.seeds.len()), (Some(0), 30), "{}", sound.stderr);
        sound.seeds
    })
}

#[test]
fn what_a_seed_does_to_its_process_costs_that_seed() {
    let ways: [(&str, &str, &str, &[&str]); 5] = [
        ("aborts", "died", "worker died (signal 6: abort), twice", &[]),
        ("overflows_stack", "died", "worker died (signal 6: abort): stack overflow, twice", &[]),
        ("takes_memory", "memory", "more memory than the sweep's --memory", &["--memory=256MiB"]),
        ("hangs", "time", "no result after 1s of wall time, twice", &["--patience=1s"]),
        ("exits", "died", "worker died (exit code 0), twice", &[]),
    ];
    let mut fatal = Vec::new();
    for (plant, class, why, more) in ways {
        let arguments = [&["--plant", plant], more].concat();
        // Each of these takes two seconds.
        let seeds = if plant == "hangs" { "0..9" } else { "0..30" };
        let run = sweep(&format!("runner-{plant}"), seeds, &arguments);
        assert_eq!(run.code, Some(8), "{plant}: {}", run.stderr);
        let lost: Vec<u64> =
            run.seeds.values().filter(|l| l["class"] == class).map(seed_of).collect();
        assert!(!lost.is_empty(), "{plant}: {}", run.summary);
        assert_eq!(run.summary["failed"], lost.len(), "{plant}");
        for (seed, line) in &run.seeds {
            if lost.contains(seed) {
                assert_eq!(line["verdict"], "fail", "{plant}");
                let text = line["violations"][0]["text"].as_str().unwrap();
                assert!(text.contains(why), "{plant}: {text}");
            } else {
                assert_eq!(Some(line), sound().get(seed), "{plant}: another seed suffers");
            }
        }
        if plant != "hangs" {
            fatal.push(lost);
        }
    }
    assert!(fatal.windows(2).all(|pair| pair[0] == pair[1]), "the fatal seeds: {fatal:?}");
    assert!(fatal[0].len() < 20, "most seeds are sound: {fatal:?}");
}

fn seed_of(line: &Value) -> u64 {
    line["seed"].as_u64().expect("a seed")
}

#[test]
fn a_worker_that_dies_once_leaves_no_trace() {
    let run = sweep("runner-once", "0..30", &["--plant", "aborts_once", "--jobs", "1"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(run.stderr.matches("(signal 6: abort); tried once more").count(), 1);
    assert_eq!(&run.seeds, sound());
}

#[test]
fn what_a_node_prints_is_no_result() {
    let run = sweep("runner-prints", "0..30", &["--plant", "prints"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(&run.seeds, sound());
    assert!(run.stderr.contains("half a line"), "{}", run.stderr);
}

#[test]
fn two_runs_that_differ_are_flaky_and_both_digests_are_told() {
    let run = sweep("runner-flaky", "0..200", &["--plant", "counts"]);
    assert_eq!(run.code, Some(4), "{}", run.stderr);
    let flaky: Vec<&Value> = run.seeds.values().filter(|l| l["verdict"] == "flaky").collect();
    assert!(!flaky.is_empty() && run.summary["flaky"] == flaky.len(), "{}", run.summary);
    for line in &flaky {
        assert_eq!((&line["again"], &line["class"]), (&"differs".into(), &"nondeterminism".into()));
    }
    let again = run.seeds.values().filter(|l| l["again"].is_string()).count();
    assert!((3..=25).contains(&again), "one of twenty of 200 seeds: {again}");
    assert_eq!(run.summary["again"], again);
    let text = flaky[0]["violations"][0]["text"].as_str().unwrap();
    let first: String = flaky[0]["digest"].as_str().unwrap().chars().take(12).collect();
    assert!(text.contains("two digests") && text.contains(&first), "{text}");
    let output = mortal()
        .args(["sweep", SCENARIO, "--seeds", "0..200", "--plant", "counts", "--resume", "--out"])
        .arg(Path::new(env!("CARGO_TARGET_TMPDIR")).join("runner-flaky"))
        .output()
        .unwrap();
    let page = String::from_utf8_lossy(&output.stdout);
    assert!(page.contains(text) && page.contains(" verify "), "{page}");
}

#[test]
fn failing_seeds_are_run_twice() {
    let out = scratch("runner-twice");
    let arguments = ["sweep", "swarm", "--plant", "ack_before_fsync", "--seeds", "0..6"];
    let out = out.display().to_string();
    let run = swept(&wavetank(&[&arguments[..], &["--format", "json", "--out", &out]].concat()));
    let failed: Vec<&Value> = run.seeds.values().filter(|l| l["verdict"] == "fail").collect();
    assert!(!failed.is_empty() && failed.iter().all(|l| l["again"] == "same"), "{failed:?}");
}

fn rounds() -> usize {
    std::env::var("WAVETANK_INTERRUPTS").map_or(4, |n| n.parse().expect("a number"))
}

/// Enough seeds for every round to find some that are left.
fn seeds() -> String {
    format!("0..{}", 40.max(rounds() * 15))
}

fn swarm(out: &Path, more: &[&str]) -> Command {
    let (seeds, out) = (seeds(), out.display().to_string());
    let fixed = ["sweep", "swarm", "--seeds", &seeds, "--jobs", "2", "--out", &out];
    command(root(), &[&fixed[..], more].concat())
}

fn results(out: &Path) -> Vec<u8> {
    fs::read(out.join("results.jsonl")).unwrap_or_default()
}

fn lines(out: &Path) -> usize {
    results(out).iter().filter(|b| **b == b'\n').count()
}

/// What an undisturbed sweep leaves.
fn whole() -> &'static Vec<u8> {
    static WHOLE: OnceLock<Vec<u8>> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let out = scratch("runner-whole");
        let output = swarm(&out, &[]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        results(&out)
    })
}

/// Processes that a process started.
fn children(of: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{of}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let lists: Vec<String> = lists.collect();
    lists.iter().flat_map(|l| l.split_whitespace()).filter_map(|pid| pid.parse().ok()).collect()
}

fn send(signal: &str, pid: u32) {
    let _ = Command::new("kill").args([signal, &pid.to_string()]).stderr(Stdio::null()).status();
}

/// Waits until this holds, or the process is gone.
fn until(child: &mut Child, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() && child.try_wait().expect("it can be asked").is_none() {
        assert!(begun.elapsed() < Duration::from_secs(120), "nothing happens");
        sleep(Duration::from_millis(10));
    }
}

/// Ends a sweep once it has done something more, in one of three ways. True if it was not over before.
fn disturb(out: &Path, round: usize) -> bool {
    let (before, pause) = (lines(out), Duration::from_millis(37 * (round as u64 % 7)));
    let mut sweep = swarm(out, &[]);
    let mut child = sweep.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    until(&mut child, || lines(out) > before);
    sleep(pause);
    let workers = children(child.id());
    match round % 3 {
        0 => send("-INT", child.id()),
        1 => send("-KILL", child.id()),
        _ => {
            workers.iter().for_each(|pid| send("-KILL", *pid));
            let more = lines(out) + 1;
            until(&mut child, || lines(out) > more);
            send("-INT", child.id());
        }
    }
    let ended = !child.wait().expect("it ends").success();
    let begun = Instant::now();
    for pid in workers {
        while alive(pid) {
            assert!(begun.elapsed() < Duration::from_secs(10), "worker {pid} lives on");
            sleep(Duration::from_millis(10));
        }
    }
    ended
}

/// Whether a process runs; one that only waits to be asked about its end does not.
fn alive(pid: u32) -> bool {
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = state.rsplit_once(") ").map_or("", |(_, rest)| rest);
    !state.is_empty() && !state.starts_with(['Z', 'X'])
}

#[test]
fn a_sweep_that_is_ended_again_and_again_leaves_what_one_leaves_in_peace() {
    let out = scratch("runner-ended");
    let ended = (0..rounds()).filter(|round| disturb(&out, *round)).count();
    assert!(ended >= rounds().div_ceil(2), "{ended} of {} rounds ended a sweep", rounds());
    let output = swarm(&out, &["--resume"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(results(&out) == *whole(), "the folders differ");
}

#[test]
fn shards_put_together_are_the_whole() {
    let shards: Vec<PathBuf> = (1..=3)
        .map(|number| {
            let out = scratch(&format!("runner-shard{number}"));
            let output = swarm(&out, &["--shard", &format!("{number}/3")]).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            out
        })
        .collect();
    let merge = |name: &str, dirs: &[&PathBuf]| {
        let out = scratch(name);
        let dirs = dirs.iter().map(|dir| dir.display().to_string());
        let mut arguments = vec!["merge".to_string()];
        arguments.extend(dirs.chain(["--out".to_string(), out.display().to_string()]));
        (wavetank(&arguments), out)
    };
    let [one, two, three] = &shards[..] else { panic!("three shards") };
    let (output, out) = merge("runner-merged", &[two, three, one, two]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(results(&out) == *whole(), "the merged folder differs");
    let body = |text: &[u8]| {
        let text = String::from_utf8_lossy(text).into_owned();
        // Kept plans are replayed by sweeps, not by merges.
        let (head, rest) = text.split_once("\n\n").expect("a head");
        let rest = match rest.strip_prefix("  kept plans") {
            Some(kept) => kept.split_once("\n\n").expect("more than kept plans").1,
            None => rest,
        };
        let text = format!("{head}\n\n{rest}");
        text.lines().filter(|l| !l.contains(" in ") || l.contains("seeds ")).skip(1).fold(
            String::new(),
            |page, l| if l.starts_with("  results") { page } else { page + l + "\n" },
        )
    };
    let undisturbed = swarm(&scratch("runner-whole-told"), &[]).output().unwrap();
    assert_eq!(body(&output.stdout), body(&undisturbed.stdout), "the same summary");

    let (output, _) = merge("runner-partial", &[one, two]);
    let page = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(6), "{page}");
    assert!(page.contains(" seeds are missing: 2, 5, 8, 11"), "{page}");

    let (output, _) = merge("runner-strangers", &[one, &scratch("runner-nothing")]);
    assert_eq!(output.status.code(), Some(65), "{output:?}");
}

#[test]
fn resume_demands_something_to_resume() {
    let out = scratch("runner-resume").join("none");
    let output = swarm(&out, &["--resume"]).output().unwrap();
    assert_eq!(output.status.code(), Some(65), "{output:?}");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("there is no sweep to resume") && !out.exists(), "{text}");
}

/// A limit on the size of files stands for a full disk: a write fails with what fitted written.
#[test]
fn a_full_disk_stops_the_sweep_and_keeps_what_was_written() {
    let out = scratch("runner-full");
    let line = format!(
        "trap '' XFSZ; ulimit -f 16; exec {} sweep swarm --seeds {} --jobs 2 --out {}",
        env!("CARGO_BIN_EXE_wavetank"),
        seeds(),
        out.display()
    );
    let output = Command::new("bash").args(["-c", &line]).current_dir(root()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(74), "{output:?}");
    let kept = lines(&out);
    let all = seeds().trim_start_matches("0..").to_string();
    let told = format!("{kept} of {all} seeds are kept");
    assert!(kept > 0 && text.contains(&told), "{kept}: {text}");
    assert_eq!(results(&out).last(), Some(&b'\n'), "half a line is left");
    let output = swarm(&out, &["--resume"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains(&format!("{kept} of {all} seeds")), "{text}");
    assert!(results(&out) == *whole(), "the folders differ");
}
