//! What the program does when nobody can be told: stderr on a full disk, or a pipe that nobody reads.
//! Lines are lost; exit codes and the node's work are as if they had been read. A result is another matter.
#![cfg(all(not(madsim), target_os = "linux"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

fn program(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wavetank-node"));
    command.args(words).env_remove("WAVETANK_LOG").stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// A device on which nothing can be written for want of room.
fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

/// A pipe whose reader has gone.
fn broken() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

fn until(what: &str, mut look: impl FnMut() -> bool) {
    let start = Instant::now();
    while !look() {
        assert!(start.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A process that ends with the test whatever happens to it.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn spawn(command: &mut Command) -> Process {
    Process(command.spawn().unwrap())
}

fn code(mut process: Process) -> Option<i32> {
    let mut status = None;
    until("the end of a process", || {
        status = process.0.try_wait().unwrap();
        status.is_some()
    });
    status.and_then(|status| status.code())
}

/// A node of one member, alone at two ports that were free a moment ago.
fn node(name: &str, stderr: Stdio, signal: Signal) {
    let folder = format!("{name}-{}", std::process::id());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder);
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [peer, client] = listeners.map(|it| it.local_addr().unwrap().to_string());
    let data = folder.display().to_string();
    let words = ["store", "--me", "1", "--data", &data, "--peers", &peer, "--clients", &client];
    let child = spawn(program(&words).stderr(stderr));
    until("a node that listens", || TcpStream::connect(&client).is_ok());
    let ask = |words: &[&str], stdout: Option<Stdio>, stderr: Stdio| {
        let words = [words, &["--clients", &client, "--within", "30s"]].concat();
        let mut command = program(&words);
        command.stdout(stdout.unwrap_or_else(Stdio::null)).stderr(stderr);
        code(spawn(&mut command))
    };
    assert_eq!(ask(&["put", "key", "value"], None, full()), Some(0));
    assert_eq!(ask(&["get", "nokey"], None, full()), Some(1));
    assert_eq!(ask(&["get", "nokey"], None, broken()), Some(1));
    assert_eq!(ask(&["get", "key"], Some(full()), broken()), Some(74));
    assert_eq!(ask(&["status"], Some(full()), full()), Some(74));
    kill_process(Pid::from_child(&child.0), signal).unwrap();
    assert_eq!(code(child), Some(0), "stopped as asked");
    let _ = std::fs::remove_dir_all(folder);
}

/// A closed terminal, unless this test runs under `nohup`: then nodes are meant to live on.
fn hangup() -> Signal {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    let ignored = u64::from_str_radix(mask.trim(), 16).unwrap() & 1 == 1;
    if ignored { Signal::TERM } else { Signal::HUP }
}

#[test]
fn a_node_outlives_its_log() {
    node("full", full(), Signal::TERM);
    node("broken", broken(), hangup());
}

#[test]
fn usage_is_wrong_whether_or_not_it_can_be_said() {
    for stderr in [full(), broken()] {
        assert_eq!(code(spawn(program(&["sttus"]).stderr(stderr))), Some(64));
    }
    for words in [&["store"][..], &["get", "k"], &["get", "k", "--clients", "nonsense"]] {
        assert_eq!(code(spawn(program(words).stderr(full()))), Some(64));
    }
    let help = spawn(program(&["--help"]).stdout(full()).stderr(full()));
    assert_eq!(code(help), Some(74));
}
