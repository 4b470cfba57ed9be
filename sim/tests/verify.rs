//! `verify` has teeth: it finds each of four planted leaks in a node that is otherwise deterministic, and
//! finds nothing where there is nothing. The leaky node is an example program, so this is also a program of
//! one's own under the same command line.

use std::path::PathBuf;
use std::process::{Command, Output};

fn leaky(arguments: &[&str]) -> Output {
    // Examples are built with all tests, but not with this one alone.
    let built =
        Command::new(env!("CARGO")).args(["build", "--quiet", "--example", "leaky"]).status();
    assert!(built.is_ok_and(|s| s.success()), "the example builds");
    let tests = std::env::current_exe().unwrap();
    let examples: PathBuf = tests.ancestors().nth(2).unwrap().join("examples");
    Command::new(examples.join("leaky"))
        .args(["verify", "sim/examples/leaky.toml", "--seed", "3"])
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("the example was built")
}

#[test]
fn a_deterministic_node_verifies() {
    let output = leaky(&[]);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn every_leak_is_found() {
    for plant in ["leak_hashmap", "leak_select", "leak_address", "leak_static"] {
        let output = leaky(&["--plant", plant]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(4), "{plant}: {output:?}");
        assert!(text.contains("NOT DETERMINISTIC"), "{plant}: {text}");
    }
}
