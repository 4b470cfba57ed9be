//! Rules of the house that neither the compiler nor clippy can see: sizes, essays, who may import whom, where
//! hardware constants live, and that one word is one file and one registry line. Text is looked at, not
//! syntax: rustfmt has laid it out, so a function ends at the brace below its beginning.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(ending: &str) -> Vec<PathBuf> {
    fn walk(dir: &Path, out: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name.starts_with('.') || name == "target" {
                continue;
            }
            if path.is_dir() { walk(&path, out) } else { out.push(path) }
        }
    }
    let mut out = Vec::new();
    walk(root(), &mut out);
    out.retain(|p| p.extension().is_some_and(|e| e == ending));
    out.sort();
    out
}

fn name(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

/// Files of tests need no more than a line.
fn is_test(path: &Path) -> bool {
    let (name, stem) = (name(path), path.file_stem().unwrap().to_string_lossy());
    name.contains("/tests/") || stem.starts_with("tests_") || stem.ends_with("_tests")
}

fn report(broken: Vec<String>) {
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn every_file_opens_with_an_essay() {
    let lines = |text: &str| text.lines().take_while(|l| l.starts_with("//!")).count();
    let short = files("rs").into_iter().filter_map(|path| {
        let n = lines(&fs::read_to_string(&path).unwrap());
        let least = if is_test(&path) { 1 } else { 3 };
        (n < least)
            .then(|| format!("{}: an essay of {n} lines; {least} are asked for", name(&path)))
    });
    report(short.collect());
}

#[test]
fn files_and_lines_stay_readable() {
    let mut broken = Vec::new();
    for path in files("rs") {
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().count();
        if lines > 520 {
            broken.push(format!("{}: {lines} lines", name(&path)));
        }
        for (i, line) in text.lines().enumerate() {
            let columns = line.chars().count();
            if columns > 110 {
                broken.push(format!("{}:{}: {columns} columns", name(&path), i + 1));
            }
        }
    }
    report(broken);
}

/// Whether a line of code is the head of a function, whatever stands before `fn`.
fn begins_a_function(code: &str) -> bool {
    let before = code.split("fn ").next().filter(|before| before.len() < code.len());
    let word =
        |w: &str| ["async", "const", "unsafe", "extern"].contains(&w) || w.starts_with("pub");
    before.is_some_and(|b| b.split_whitespace().all(word))
}

#[test]
fn functions_stay_readable() {
    let mut broken = Vec::new();
    for path in files("rs") {
        let text = fs::read_to_string(&path).unwrap();
        let mut open: Option<(usize, usize, String)> = None;
        for (i, line) in text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let code = line.trim_start();
            let starts = begins_a_function(code);
            match &open {
                None if starts && !code.ends_with(';') => {
                    open = Some((i, indent, code.to_string()));
                }
                Some((start, depth, head)) if indent == *depth && code.starts_with('}') => {
                    let lines = i - start + 1;
                    if lines > 70 {
                        broken.push(format!(
                            "{}:{}: {lines} lines: {head}",
                            name(&path),
                            start + 1
                        ));
                    }
                    open = None;
                }
                _ => {}
            }
        }
    }
    report(broken);
}

#[test]
fn layers_import_downwards_only() {
    let rules: [(&str, &[&str]); 5] = [
        ("nodes/", &["kernel", "madsim", "faults", "checks", "workloads", "cli"]),
        ("sim/host/", &["kernel", "madsim", "raft_driver", "store", "faults", "checks"]),
        ("sim/kernel/", &["raft_driver", "store", "faults", "checks", "workloads", "cli"]),
        ("sim/cli/", &["raft_driver", "store", "faults", "checks", "workloads"]),
        ("faults/", &["raft_driver", "store", "checks", "workloads", "cli"]),
    ];
    let mut broken = Vec::new();
    for path in files("rs") {
        let (name, text) = (name(&path), fs::read_to_string(&path).unwrap());
        for (place, banned) in rules.iter().filter(|(place, _)| name.starts_with(place)) {
            for word in *banned {
                let uses = [format!("use {word}::"), format!(" {word}::"), format!("({word}::")];
                for (i, line) in text.lines().enumerate() {
                    let code = line.split("//").next().unwrap_or("");
                    if uses.iter().any(|u| code.contains(u.as_str())) && !code.contains("crate::") {
                        broken.push(format!("{name}:{}: {place} may not use {word}", i + 1));
                    }
                }
            }
        }
    }
    report(broken);
}

#[test]
fn one_word_is_one_file_and_one_registry_line() {
    let mut broken = Vec::new();
    for folder in ["faults", "workloads", "sim/checks"] {
        let list = fs::read_to_string(root().join(folder).join("lib.rs")).unwrap();
        for path in files("rs") {
            let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
            if path.parent() != Some(&root().join(folder)) || stem == "lib" {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            if !text.contains("pub fn word()") {
                continue;
            }
            if !list.contains(&format!("{stem}::word()")) {
                broken.push(format!("{}: not in the word list of {folder}/lib.rs", name(&path)));
            }
            if !text.contains(&format!("\"{stem}\"")) {
                broken.push(format!("{}: the file's name is not its word", name(&path)));
            }
        }
    }
    report(broken);
}

#[test]
fn nothing_is_left_over() {
    let words = ["todo!(", "unimplemented!(", "dbg!(", "#[ignore", "FIXME", "XXX"];
    let mut broken = Vec::new();
    for path in files("rs").into_iter().filter(|p| !p.ends_with("tidy.rs")) {
        let text = fs::read_to_string(&path).unwrap();
        for (i, line) in text.lines().enumerate() {
            if words.iter().any(|w| line.contains(w)) {
                broken.push(format!("{}:{}: {}", name(&path), i + 1, line.trim()));
            }
        }
    }
    report(broken);
}

#[test]
fn scenarios_keep_hardware_in_profiles() {
    let mut broken = Vec::new();
    for path in files("toml").into_iter().filter(|p| name(p).starts_with("sim/scenarios/")) {
        let text = fs::read_to_string(&path).unwrap();
        for (i, line) in text.lines().enumerate() {
            let key = line.split('=').next().unwrap_or("").trim();
            if key.starts_with("profile.") || key.starts_with("[profile") {
                broken.push(format!("{}:{}: a constant of the machine", name(&path), i + 1));
            }
        }
    }
    report(broken);
}
