//! What the README promises of this program: a seed on which its own claim fails, the setting that removes
//! it, one run per seed, a registry of less than 60 lines, and words that are found from wherever it is
//! started. Its transcripts in the README are compared with what it prints, digests masked.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a test is no node")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// How the README and the program itself say it is started.
const PROGRAM: &str = "cargo run --release -p primary-backup -- ";

fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn root() -> PathBuf {
    home().join("../../..")
}

/// A folder that is not there yet.
fn scratch(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("pair-{name}"));
    if dir.exists() {
        fs::remove_dir_all(&dir).expect("a scratch folder can be removed");
    }
    dir
}

fn pair(folder: &Path, line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_primary-backup"));
    command.args(line.split_whitespace()).current_dir(folder);
    command.env_remove("MADSIM_TEST_SEED").env("NO_COLOR", "1");
    command.output().expect("the program was built with the tests")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn json(line: &str) -> Value {
    let output = pair(&root(), &format!("{line} --format json"));
    let text = stdout(&output);
    serde_json::from_str(text.trim()).unwrap_or_else(|e| panic!("{line}: {e}: {output:?}"))
}

#[test]
fn a_seed_splits_the_pair_and_the_setting_keeps_it_whole() {
    let ill = json("run pair_swarm --seed 1");
    assert_eq!((&ill["verdict"], &ill["class"]), (&"fail".into(), &"safety".into()));
    assert_eq!(ill["violations"][0]["check"], "one_primary", "{ill}");
    let whole = json("run pair_swarm --seed 1 --set alone=no");
    assert_eq!(whole["verdict"], "pass", "{whole}");
    assert!(whole["measures"]["acks"].as_f64().unwrap() > 300.0, "it still does its work: {whole}");
    let fired = |run: &Value| run["faults"].clone();
    assert_eq!(fired(&ill)[0]["fired"], fired(&whole)[0]["fired"], "under the same faults");
}

#[test]
fn among_many_seeds_only_the_setting_decides() {
    let sweep = |set: &str| {
        let folder = scratch(if set.is_empty() { "swarm-yes" } else { "swarm-no" });
        let line = format!("sweep pair_swarm --seeds 0..60 --out {} {set}", folder.display());
        pair(&root(), &line).status.code()
    };
    assert_eq!(sweep(""), Some(1));
    assert_eq!(sweep("--set alone=no"), Some(0));
}

#[test]
fn the_storm_and_its_cure_are_the_tour_and_its_commands_run() {
    let tour = pair(&root(), "");
    assert_eq!(tour.status.code(), Some(0), "{tour:?}");
    let text = stdout(&tour);
    for row in ["storm  partition_splits_pair  SHOWN", "cure   partition_halts_pair   SHOWN"] {
        assert!(text.contains(row), "{text}");
    }
    let commands: Vec<&str> =
        text.lines().filter_map(|l| l.trim().strip_prefix(PROGRAM)?.split('#').next()).collect();
    assert_eq!(commands.len(), 3, "{text}");
    for (i, command) in commands.iter().enumerate() {
        let out = match command.starts_with("sweep") {
            true => format!(" --out {}", scratch(&format!("tour-{i}")).display()),
            false => String::new(),
        };
        assert_eq!(pair(&root(), &format!("{command}{out}")).status.code(), Some(0), "{command}");
    }
}

#[test]
fn a_seed_is_one_run() {
    for line in
        ["pair_swarm --seeds 0..3", "pair_swarm --seed 1 --set alone=no", "partition_splits_pair"]
    {
        let output = pair(&root(), &format!("verify {line}"));
        assert_eq!(output.status.code(), Some(0), "{line}: {output:?}");
    }
}

#[test]
fn its_words_are_found_from_wherever_it_is_started() {
    for folder in [home(), &root(), Path::new(env!("CARGO_TARGET_TMPDIR"))] {
        let output = pair(folder, "list --format json");
        let list: Value = serde_json::from_str(&stdout(&output)).unwrap();
        let names: Vec<&str> = list["scenarios"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|s| s["name"].as_str())
            .collect();
        let expected = ["pair_swarm", "partition_halts_pair", "partition_splits_pair"];
        assert_eq!(sorted(&names), expected, "{}", folder.display());
        let run = pair(folder, "run partition_halts_pair --seed 7 --trace off");
        assert_eq!(run.status.code(), Some(0), "{}: {run:?}", folder.display());
    }
    let unknown = pair(&root(), "run leader_crash");
    assert_eq!(unknown.status.code(), Some(64), "the project's own scenarios are not its words");
}

fn sorted<'a>(names: &[&'a str]) -> Vec<&'a str> {
    let mut names = names.to_vec();
    names.sort_unstable();
    names
}

#[test]
fn the_registry_takes_less_than_sixty_lines() {
    let lines = fs::read_to_string(home().join("src/main.rs")).unwrap().lines().count();
    assert!(lines < 60, "{lines} lines");
}

/// The text without digests and without white space at its end.
fn masked(text: &str) -> String {
    let line = |l: &str| l.split("; digest ").next().unwrap_or_default().to_string();
    text.trim_end().lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_readme_shows_what_it_prints() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let mut seen = 0;
    for block in readme.split("```console\n").skip(1) {
        let Some((command, rest)) = block.split_once('\n') else { continue };
        let Some(line) = command.strip_prefix(&format!("$ {PROGRAM}")) else { continue };
        let expected = rest.split("```").next().unwrap_or_default();
        assert_eq!(masked(&stdout(&pair(&root(), line))), masked(expected), "{command}");
        seen += 1;
    }
    assert_eq!(seen, 2, "transcripts of this program");
}
