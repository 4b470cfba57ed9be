//! Garbage at both ports of the leader while a client works: random bytes, lengths beyond the bound,
//! frames that never end, crowds that say nothing, hellos of another cluster. The client notices
//! nothing; the process's memory and descriptors stay within stated bounds.
#![cfg(not(madsim))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

mod cluster;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cluster::{Cluster, PATIENCE, until, value};
use host::Addr;
use rustix::process::{Resource, getrlimit, setrlimit};
use store::client::{Client, Outcome};

/// By how much the process may grow: unfinished frames of strangers, 64 MiB for each of two ports, and
/// twice that because a buffer at most doubles.
const GROWTH_MAX_KB: u64 = 256 << 10;

/// A line of the process's status file, in kB.
fn memory(pid: u32, line: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(':')).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

fn frame(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_le_bytes()[..], body].concat()
}

/// A first frame as raft peers send it: magic, purpose, from, cluster.
fn hello(magic: u32, purpose: u8, from: u64, cluster: u64) -> Vec<u8> {
    let parts = [&magic.to_le_bytes()[..], &[purpose], &from.to_le_bytes(), &cluster.to_le_bytes()];
    frame(&parts.concat())
}

fn is_closed(raw: &mut TcpStream) -> bool {
    raw.set_nonblocking(true).unwrap();
    match raw.read(&mut [0; 64]) {
        Ok(n) => n == 0,
        Err(why) => why.kind() != ErrorKind::WouldBlock,
    }
}

/// Connects and sends; a reset on the way is as good as being heard.
fn throw(addr: &Addr, bytes: &[u8]) -> Option<TcpStream> {
    let mut raw = Cluster::raw(addr).ok()?;
    let _ = raw.write_all(bytes);
    Some(raw)
}

/// Waits until the node has closed all of them, though nobody here did.
fn all_closed(what: &str, mut thrown: Vec<TcpStream>) {
    until(what, || {
        thrown.retain_mut(|raw| !is_closed(raw));
        thrown.is_empty().then_some(())
    });
}

/// A client that puts until told to stop.
async fn work(mut client: Client, over: Arc<AtomicBool>) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let op = outcomes.len() as u64;
        let key = format!("{}/{op:08}", client.id());
        outcomes.push(client.put(key.as_bytes(), op, value(client.id(), op), PATIENCE).await);
    }
    outcomes
}

/// Bytes that nobody chose: a linear congruence.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// Every attack in turn on these ports.
fn attack(ports: &[&Addr], crowd: usize, tell: impl Fn(&str)) {
    let both = |count: usize, bytes: &dyn Fn(usize) -> Vec<u8>| -> Vec<TcpStream> {
        let each = |at: usize| throw(ports[at % ports.len()], &bytes(at));
        (0..count).filter_map(each).collect()
    };
    drop(both(200, &|at| noise(at as u64, 4000)));
    tell("200 connections of random bytes");
    all_closed("oversize lengths", both(200, &|_| u32::MAX.to_le_bytes().to_vec()));
    tell("200 lengths of 4 GiB");
    let nonsense = |at: usize| frame(&noise(at as u64, at % 50));
    all_closed("frames that say nothing", both(200, &nonsense));
    tell("200 frames without meaning");
    let hellos = |at: usize| match at % 4 {
        0 => hello(0x5754_4b31, 0, 1, 12345),
        1 => hello(0x5754_4b31, 9, 2, 0),
        2 => hello(0xdead_beef, 1, 3, 0),
        _ => hello(0x5754_4b31, 2, u64::MAX, u64::MAX),
    };
    all_closed("wrong hellos", both(200, &hellos));
    tell("200 wrong hellos");
    let half = |at: usize| {
        let mut bytes = (60u32 << 20).to_le_bytes().to_vec();
        bytes.resize(1 << 20, at as u8);
        bytes
    };
    all_closed("half frames", both(300, &half));
    tell("300 frames of 60 MiB that end after 1 MiB");
    all_closed("a silent crowd", both(crowd, &|_| Vec::new()));
    tell(&format!("{crowd} connections that say nothing"));
}

#[test]
fn garbage_costs_nothing() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    let crowd = limit.current.map_or(3000, |most| (most / 2).min(3000)) as usize;
    let cluster = Cluster::start("strangers", 45, "idle_timeout = \"2s\"\n");
    let leader = cluster.leader();
    let mut warm = cluster.client(9);
    cluster.put_all(&mut warm, 0..200);
    drop(warm);
    let pid = cluster.pid(leader);
    let over = Arc::new(AtomicBool::new(false));
    let worker = cluster.runtime.spawn(work(cluster.client(6), over.clone()));
    let (rss, fds) = (memory(pid, "VmRSS"), descriptors(pid));
    println!("before: VmRSS {rss} kB, VmHWM {} kB, {fds} descriptors", memory(pid, "VmHWM"));
    let victim = &cluster.members.all[leader as usize - 1];
    attack(&[&victim.peer_addr, &victim.client_addr], crowd, |what| {
        let (rss, peak) = (memory(pid, "VmRSS"), memory(pid, "VmHWM"));
        println!("{what}: VmRSS {rss} kB, VmHWM {peak} kB, {} descriptors", descriptors(pid));
    });
    let after = until("as few descriptors as before", || {
        Some(descriptors(pid)).filter(|now| *now <= fds + 2)
    });
    over.store(true, Ordering::Relaxed);
    let outcomes = cluster.runtime.block_on(worker).unwrap();
    let done = outcomes.iter().filter(|o| matches!(o, Outcome::Ok { .. })).count();
    let peak = memory(pid, "VmHWM");
    println!(
        "after: {done} of {} writes done meanwhile; {after} descriptors; grew by at most {} kB; led by \
         n{leader} then, by n{} now",
        outcomes.len(),
        peak.saturating_sub(rss),
        cluster.leader()
    );
    assert_eq!(done, outcomes.len());
    assert!(done > 100, "{done} writes");
    assert!(peak < rss + GROWTH_MAX_KB, "{rss} kB, then {peak} kB");
    cluster.expect_all(6, 0..done as u64);
}
