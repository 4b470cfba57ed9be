//! What people read, as golden text: the failing block of a planted defect, the story of the first storm as
//! the README shows it, and every command that the README or a story prints, extracted and run. Digests are
//! masked. `BLESS=1 cargo test` rewrites the golden files; the README's transcript is edited by hand.

use std::path::Path;
use std::process::{Command, Output};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn tank(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wavetank"))
        .args(arguments)
        .current_dir(root())
        .env("NO_COLOR", "1")
        .env_remove("MADSIM_TEST_SEED")
        .output()
        .expect("the program was built with the tests")
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
    let output = tank(&["run", "swarm", "--seed", "66", "--plant", "vote_before_fsync"]);
    assert_eq!(output.status.code(), Some(1));
    golden("vote_before_fsync.txt", &masked(&String::from_utf8_lossy(&output.stdout)));
}

/// The `console` blocks of the README: command and output.
fn transcripts(readme: &str) -> Vec<(String, String)> {
    let blocks = readme.split("```console\n").skip(1);
    blocks
        .filter_map(|b| {
            let (command, output) = b.split("```").next()?.split_once('\n')?;
            Some((command.strip_prefix("$ ")?.to_string(), output.to_string()))
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
        assert_eq!(words[..2], ["cargo", "tank"], "{command}");
        let output = tank(&words[2..]);
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
        let placeholder = |w: &String| w.chars().all(|c| c.is_ascii_uppercase()) || w.contains('<');
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
        if words[0] == "bless" {
            // It writes into the work tree; `.ci/run` checks it.
            continue;
        }
        if words[0] == "sweep" {
            // The command line is what is tested here, not a thousand seeds in a debug build.
            let out = std::env::temp_dir().join(format!("wavetank-printed-{}", std::process::id()));
            if let Some(range) = words.iter_mut().find(|w| w.contains("..")) {
                *range = "0..2".to_string();
            }
            words.extend(["--out".to_string(), out.display().to_string()]);
        }
        let arguments: Vec<&str> = words.iter().map(String::as_str).collect();
        let code = tank(&arguments).status.code();
        let fine = if words.iter().any(|w| w == "--plant") { Some(1) } else { Some(0) };
        assert_eq!(code, fine, "cargo tank {}", words.join(" "));
    }
}
