//! The determinism contract of node code (`nodes/clippy.toml`) bites: a crate that does what it forbids, once
//! per line, is told on every line what is wrong with it and what to use instead.
//!
//! Tried is a sample of each kind of ban on the standard library and on tokio, in the version of Cargo.lock
//! but with more features than any node has; bans on crates that are no dependency wait for the day they
//! become one. That the contract reaches every node is a matter of where clippy looks: no crate below nodes/
//! may have a contract of its own, and that of workloads/ is a link to the same file.

mod program;

use std::fs;
use std::process::Command;

use program::{json_lines, root, scratch};
use serde_json::Value;

const MANIFEST: &str = r#"[package]
name = "crimes"
version = "0.0.0"
edition = "2024"
[lib]
path = "lib.rs"
[dependencies]
tokio = { version = "1", default-features = false, features = ["rt", "sync", "time", "macros"] }
[workspace]
"#;

/// A line of code, and the banned thing in it.
const CRIMES: [(&str, &str); 21] = [
    ("let _ = std::time::Instant::now();", "std::time::Instant::now"),
    ("let _ = std::time::SystemTime::now();", "std::time::SystemTime::now"),
    ("std::thread::sleep(std::time::Duration::ZERO);", "std::thread::sleep"),
    ("let _ = std::thread::spawn(|| ());", "std::thread::spawn"),
    ("let _ = std::collections::HashMap::<u8, u8>::new();", "std::collections::HashMap"),
    ("let _ = std::collections::HashSet::<u8>::new();", "std::collections::HashSet"),
    ("let _ = std::fs::read(\"f\");", "std::fs::read"),
    ("let _ = std::fs::File::open(\"f\");", "std::fs::File"),
    ("let _ = std::net::TcpStream::connect(\"h:1\");", "std::net::TcpStream"),
    ("let _ = std::env::var(\"v\");", "std::env::var"),
    ("let _ = std::process::id();", "std::process::id"),
    ("let _ = std::hash::RandomState::new();", "std::hash::RandomState::new"),
    ("let _: Option<std::hash::RandomState> = None;", "std::hash::RandomState"),
    ("let _ = tokio::task::yield_now();", "tokio::task::yield_now"),
    // One function under two names; clippy tells the one that it resolves.
    ("let _ = tokio::spawn(async {});", "tokio::task::spawn"),
    ("let _ = tokio::task::spawn_blocking(|| ());", "tokio::task::spawn_blocking"),
    ("let _ = tokio::sync::watch::channel(0u8);", "tokio::sync::watch::channel"),
    ("let _ = tokio::time::sleep(std::time::Duration::ZERO);", "tokio::time::sleep"),
    ("let _ = async { tokio::select! { () = async {} => {} } };", "tokio::select"),
    ("println!();", "std::println"),
    ("std::thread_local! { static S: u8 = const { 0 } }", "std::thread_local"),
];

#[test]
fn every_crime_is_found_and_the_way_out_is_named() {
    let contract = fs::read_to_string(root().join("nodes/clippy.toml")).unwrap();
    let dir = scratch("lint");
    fs::write(dir.join("Cargo.toml"), MANIFEST).unwrap();
    fs::copy(root().join("Cargo.lock"), dir.join("Cargo.lock")).unwrap();
    let body: String = CRIMES.iter().map(|(line, _)| format!("{line}\n")).collect();
    fs::write(dir.join("lib.rs"), format!("\n#[rustfmt::skip] pub fn all() {{\n{body}}}\n"))
        .unwrap();
    let output = Command::new("cargo")
        .args(["clippy", "--offline", "--quiet", "--message-format", "json"])
        .current_dir(&dir)
        .env("CLIPPY_CONF_DIR", root().join("nodes"))
        .env("CARGO_TARGET_DIR", dir.join("target"))
        .output()
        .expect("cargo clippy runs");
    let messages = json_lines(&output.stdout);
    assert!(!messages.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    for (i, (line, banned)) in CRIMES.iter().enumerate() {
        let entry = format!("path = \"{banned}\", reason = \"");
        let rest =
            contract.split_once(&entry).unwrap_or_else(|| panic!("{banned} is not banned")).1;
        let reason = rest.split('"').next().unwrap();
        let here = |m: &&Value| m["message"]["spans"][0]["line_start"] == (i as u64 + 3);
        let texts = messages.iter().filter(here).map(|m| m["message"]["rendered"].as_str());
        let texts: Vec<&str> = texts.map(Option::unwrap_or_default).collect();
        let told = texts.iter().any(|t| t.contains(&format!("`{banned}`")) && t.contains(reason));
        assert!(told, "{line} is not flagged for `{banned}`; told is\n{}", texts.concat());
    }
}

#[test]
fn no_node_has_a_contract_of_its_own() {
    for entry in fs::read_dir(root().join("nodes")).unwrap() {
        let path = entry.unwrap().path();
        for name in ["clippy.toml", ".clippy.toml"] {
            assert!(!path.join(name).exists(), "{}", path.join(name).display());
        }
    }
    assert!(!root().join("nodes/.clippy.toml").exists(), "it would hide nodes/clippy.toml");
}

#[test]
fn workloads_are_under_the_same_contract() {
    let contract = |folder| fs::canonicalize(root().join(folder).join("clippy.toml")).unwrap();
    assert_eq!(contract("workloads"), contract("nodes"));
    assert!(!root().join("workloads/.clippy.toml").exists(), "it would hide workloads/clippy.toml");
}
