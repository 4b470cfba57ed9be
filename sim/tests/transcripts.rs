//! What people read, as golden text: the failing block of a planted defect, the story of the first storm as
//! the README shows it, the shape of the tour, and every command that the README, the tour or a story
//! prints, extracted and run. Digests are masked. `BLESS=1 cargo test` rewrites the golden files; the
//! README's transcript is edited by hand.

mod program;

use std::fs;
use std::process::Output;

use program::{command, json, root, scratch};

fn tank(arguments: &[&str]) -> Output {
    program::wavetank(arguments)
}

/// The text with every digest replaced.
fn masked(text: &str) -> String {
    let mask = |line: &str| match line.split_once("; digest ") {
        Some((before, _)) => format!("{before}; digest ............"),
        None => line.to_string(),
    };
    text.trim_end().lines().map(mask).collect::<Vec<_>>().join("\n")
}

fn golden(name: &str, text: &str) {
    let path = root().join("sim/tests/golden").join(name);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, format!("{text}\n")).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected.trim_end(), "{name}: BLESS=1 renews it; read the diff");
}

#[test]
fn the_failing_block_of_a_plant() {
    let output = tank(&["run", "swarm", "--seed", "61", "--plant", "vote_before_fsync"]);
    assert_eq!(output.status.code(), Some(1));
    golden("vote_before_fsync.txt", &masked(&String::from_utf8_lossy(&output.stdout)));
}

/// The command that takes no arguments.
const TOUR: &str = "cargo run --release";

/// The `console` blocks of the README: command and output.
fn transcripts(readme: &str) -> Vec<(String, String)> {
    let blocks = readme.split("```console\n").skip(1);
    blocks
        .filter_map(|b| {
            let (command, output) = b.split("```").next()?.split_once('\n')?;
            let command = command.strip_prefix("$ ")?;
            // Those of another program are compared by that program's own tests.
            let ours = command.starts_with("cargo tank ") || command == TOUR;
            ours.then(|| (command.to_string(), output.to_string()))
        })
        .collect()
}

#[test]
fn the_readme_shows_what_the_program_prints() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let all = transcripts(&readme);
    assert!(!all.is_empty());
    for (command, expected) in all {
        let words: Vec<&str> = command.split_whitespace().collect();
        let output = tank(if command == TOUR { &[] } else { &words[2..] });
        assert_eq!(
            masked(&String::from_utf8_lossy(&output.stdout)),
            masked(&expected),
            "{command}"
        );
    }
}

/// Everything in a text that reads like a command of this program without placeholders.
fn commands(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (i, _) in text.match_indices("cargo tank ") {
        let rest = &text[i + "cargo tank ".len()..];
        let end = rest.find(['`', '\n', '#']).unwrap_or(rest.len());
        let words: Vec<String> = rest[..end].split_whitespace().map(str::to_string).collect();
        let placeholder =
            |w: &String| w.chars().all(|c| c.is_ascii_uppercase()) || w.contains(['<', '[']);
        if !words.is_empty() && !words.iter().any(placeholder) {
            found.push(words);
        }
    }
    found
}

#[test]
fn every_printed_command_runs() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let help = String::from_utf8_lossy(&tank(&["--help"]).stdout).into_owned();
    let tour = String::from_utf8_lossy(&tank(&[]).stdout).into_owned();
    let story = tank(&["run", "leader_crash", "--seed", "1"]);
    let story = String::from_utf8_lossy(&story.stdout).into_owned();
    let failing = std::fs::read_to_string(root().join("sim/tests/golden/vote_before_fsync.txt"));
    let mut seen = std::collections::BTreeSet::new();
    for text in [readme, help, tour, story, failing.unwrap_or_default()] {
        seen.extend(commands(&text));
    }
    assert!(seen.len() >= 6, "{seen:?}");
    for mut words in seen {
        if ["bless", "plants", "reproduce"].contains(&words[0].as_str())
            || words == ["study", "timeout_table"]
            || words.iter().any(|w| ["--keep", "--bless", "FILE.jsonl"].contains(&w.as_str()))
        {
            // They write into the work tree, want a file or take minutes; other tests and `.ci/run` have
            // them.
            continue;
        }
        if words[0] == "sweep" {
            // The command line is what is tested here, not a thousand seeds in a debug build.
            let out = scratch(&format!("printed-{}", words[1]));
            if let Some(range) = words.iter_mut().find(|w| w.contains("..")) {
                *range = "0..2".to_string();
            }
            words.extend(["--out".to_string(), out.display().to_string()]);
        }
        if words[0] == "study" {
            let out = scratch(&format!("printed-{}", words[1])).display().to_string();
            if !words.iter().any(|w| w == "--seeds") {
                words.extend(["--seeds", "0..2"].map(str::to_string));
            }
            words.extend(["--out".to_string(), out]);
        }
        let arguments: Vec<&str> = words.iter().map(String::as_str).collect();
        let code = tank(&arguments).status.code();
        // Two runs that part are no failure of either; what looks for a failure has done its work.
        let fine = match words[0].as_str() {
            "diff" => Some(4),
            "run" if words.iter().any(|w| w == "--plant") => Some(1),
            _ => Some(0),
        };
        assert_eq!(code, fine, "cargo tank {}", words.join(" "));
    }
}

/// The storms of the tour: (place, scenario, cure).
fn storms() -> Vec<(u64, String, String)> {
    let mut storms = Vec::new();
    for entry in fs::read_dir(root().join("sim/scenarios")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let value = |key: &str| {
            let line = text.lines().find_map(|l| l.strip_prefix(key)?.trim().strip_prefix('='));
            line.map(|v| v.trim().trim_matches('"').to_string())
        };
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if let Some(place) = value("tour") {
            storms.push((place.parse().unwrap(), name, value("cure").expect("a storm has a cure")));
        }
    }
    storms.sort();
    storms
}

#[test]
fn the_tour_shows_each_storm_above_its_cure_and_what_to_type_next() {
    let output = tank(&[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|l| l.starts_with("  storm ") || l.starts_with("  cure "))
        .map(|l| l.split_whitespace().take(3).collect())
        .collect();
    let storms = storms();
    let pairs = storms.iter().flat_map(|(_, ill, cure)| [("storm", ill), ("cure", cure)]);
    let expected: Vec<Vec<&str>> =
        pairs.map(|(kind, name)| vec![kind, name.as_str(), "SHOWN"]).collect();
    assert_eq!(rows, expected, "{text}");
    let told = |l: &&str| l.starts_with("    ") || l.starts_with("  ! ");
    let story = text.lines().skip_while(|l| !l.starts_with("  story ")).skip(1);
    assert_eq!(story.take_while(told).count(), 15 + 1, "15 lines and a legend\n{text}");
    assert_eq!(commands(&text).len(), 3, "{text}");
    assert!(text.lines().count() <= 46, "{text}");
    assert!(text.lines().all(|l| l.chars().count() <= 110), "{text}");
    let asked = tank(&["tour"]);
    assert_eq!(text, String::from_utf8_lossy(&asked.stdout), "with and without its name");
    let lines = json("tour");
    let told: Vec<(&str, &str)> = lines
        .iter()
        .map(|l| (l["scenario"].as_str().unwrap(), l["cure"]["scenario"].as_str().unwrap()))
        .collect();
    let expected: Vec<(&str, &str)> = storms.iter().map(|(_, i, c)| (&i[..], &c[..])).collect();
    assert_eq!(told, expected);
}

#[test]
fn a_folder_without_a_storm_has_no_tour() {
    let dir = scratch("no_tour");
    fs::create_dir_all(dir.join("sim/scenarios")).unwrap();
    let scenario = root().join("sim/scenarios/leader_crash.toml");
    fs::copy(scenario, dir.join("sim/scenarios/leader_crash.toml")).unwrap();
    let output = command::<&str>(&dir, &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("there is no tour") && text.contains("cargo tank list"), "{text}");
}

#[test]
fn every_measure_of_a_run_is_explained() {
    let run = program::run("swarm --seed 7");
    for name in run["measures"].as_object().unwrap().keys() {
        let output = tank(&["explain", name]);
        assert_eq!(output.status.code(), Some(0), "sim/checks/glossary.rs lacks `{name}`");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("   measure"), "{text}");
    }
}
