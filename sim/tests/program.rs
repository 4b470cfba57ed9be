//! The built program as these tests use it: run in the project's folder, with none of the variables that it
//! honours, its output read as text or as JSON lines. Scratch folders lie below target/tmp. Golden files lie
//! in sim/tests/golden and are rewritten by `BLESS=1 cargo test`, never by hand.

#![allow(dead_code, reason = "each test uses what it needs")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// The project's folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The program with arguments, ready to run in a folder.
pub fn command<S: AsRef<str>>(folder: &Path, arguments: &[S]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wavetank"));
    command.args(arguments.iter().map(AsRef::as_ref)).current_dir(folder);
    command.env_remove("MADSIM_TEST_SEED").env("NO_COLOR", "1");
    command
}

/// Runs the program in the project's folder.
pub fn wavetank<S: AsRef<str>>(arguments: &[S]) -> Output {
    command(root(), arguments).output().expect("the program was built with the tests")
}

/// What a command that was typed in one line prints as JSON.
pub fn json(line: &str) -> Vec<Value> {
    let arguments: Vec<&str> = line.split_whitespace().chain(["--format", "json"]).collect();
    let output = wavetank(&arguments);
    let lines = json_lines(&output.stdout);
    assert!(!lines.is_empty(), "{line}: {output:?}");
    lines
}

/// The one object that `run` prints.
pub fn run(line: &str) -> Value {
    let mut lines = json(&format!("run {line} --no-cure --trace off"));
    assert_eq!(lines.len(), 1, "{line}");
    lines.remove(0)
}

/// One JSON value per line.
pub fn json_lines(bytes: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).expect("UTF-8");
    text.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))).collect()
}

/// A folder of the test's own, empty.
pub fn scratch(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if dir.exists() {
        fs::remove_dir_all(&dir).expect("a scratch folder can be removed");
    }
    fs::create_dir_all(&dir).expect("a scratch folder can be made");
    dir
}

/// Compares with a golden file, or writes it if `BLESS` is set.
pub fn golden(file: &str, text: &str) {
    let path = root().join("sim/tests/golden").join(file);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, text).expect("a golden file can be written");
        return;
    }
    let known = fs::read_to_string(&path).unwrap_or_default();
    let (mut ours, mut theirs) = (text.lines(), known.lines());
    for line in 1.. {
        let (now, then) = (ours.next(), theirs.next());
        if now.is_none() && then.is_none() {
            return;
        }
        assert!(
            now == then,
            "sim/tests/golden/{file}:{line}\n- {}\n+ {}\nif this is meant: BLESS=1 cargo test",
            then.unwrap_or("(ended)"),
            now.unwrap_or("(ended)")
        );
    }
}
