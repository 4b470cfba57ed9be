//! Garbage at both ports of the leader while a client works: random bytes, lengths beyond the bound,
//! frames that say nothing, hellos of another cluster, frames that never end, crowds that say nothing.
//!
//! Asserted: the node closes all of these connections by itself, except that those with random bytes are
//! closed at this end; no node tells of an election meanwhile, and leader and term are the same before and
//! after; every write of the client is acknowledged, and all that is acknowledged is found afterwards; the
//! leader's memory (VmHWM) grows by no more than [`bound_kb`], and is given back (VmRSS) but for what
//! [`bound_kb`] has beside the frames; its descriptors come back to where they were.
//!
//! Left out: what the client's writes take longer meanwhile, which is printed, and processor time.
#![cfg(not(madsim))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

mod cluster;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cluster::{Cluster, PATIENCE, until, value};
use host::Addr;
use rustix::process::{Resource, getrlimit, setrlimit};
use store::client::{Client, Outcome};

/// Unfinished frames of strangers: one of the greatest length (64 MiB) for each of the two ports.
const FRAMES_KB: u64 = 2 * (64 << 10);
/// A connection that is open or was: its task, its socket, the first piece of its buffer.
const CONNECTION_KB: u64 = 16;
/// How often the client's bytes may be there: in the table, in the log, in a snapshot being made.
const COPIES: u64 = 3;

/// By how much the process may grow while a crowd is at its ports and a client writes so much. A crowd
/// is cut to the 1024 connections that each of the two ports keeps.
fn bound_kb(frames_kb: u64, crowd: usize, written: u64) -> u64 {
    frames_kb + CONNECTION_KB * crowd.min(2 * 1024) as u64 + COPIES * written / 1024
}

/// How many writes the client does before the garbage comes.
const WARM: u64 = 200;

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

/// A first frame as raft peers send it: magic, purpose, from, cluster, and the crc32 of these.
fn hello(magic: u32, purpose: u8, from: u64, cluster: u64) -> Vec<u8> {
    let parts = [&magic.to_le_bytes()[..], &[purpose], &from.to_le_bytes(), &cluster.to_le_bytes()];
    let parts = parts.concat();
    let sum = crc32fast::hash(&parts).to_le_bytes();
    frame(&[&parts[..], &sum].concat())
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

/// What the client that works meanwhile saw.
#[derive(Default)]
struct Work {
    outcomes: Vec<Outcome>,
    /// Bytes of its keys and values.
    written: u64,
    /// The longest that it waited for an answer.
    longest: Duration,
}

/// A client that puts until told to stop.
async fn work(mut client: Client, over: Arc<AtomicBool>) -> Work {
    let mut work = Work::default();
    while !over.load(Ordering::Relaxed) {
        let op = WARM + work.outcomes.len() as u64;
        let (key, value) = (format!("{}/{op:08}", client.id()), value(client.id(), op));
        work.written += (key.len() + value.len()) as u64;
        let begin = Instant::now();
        work.outcomes.push(client.put(key.as_bytes(), op, value, PATIENCE).await);
        work.longest = work.longest.max(begin.elapsed());
    }
    work
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
        0 => hello(0x5754_4b32, 0, 1, 12345),
        1 => hello(0x5754_4b32, 9, 2, 0),
        2 => hello(0xdead_beef, 1, 3, 0),
        _ => hello(0x5754_4b32, 2, u64::MAX, u64::MAX),
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
    let settings = "idle_timeout = \"2s\"\nsnapshot_every = 1000\n";
    let cluster = Cluster::start("strangers", 45, settings);
    let leader = cluster.leader();
    let mut client = cluster.client(6);
    cluster.put_all(&mut client, 0..WARM);
    let (reign, elections) = (cluster.reign(), cluster.elections());
    assert_eq!(reign.1, leader);
    let pid = cluster.pid(leader);
    let over = Arc::new(AtomicBool::new(false));
    let worker = cluster.runtime.spawn(work(client, over.clone()));
    let (rss, fds) = (memory(pid, "VmRSS"), descriptors(pid));
    let grown = |line| memory(pid, line).saturating_sub(rss);
    let victim = &cluster.members.all[leader as usize - 1];
    attack(&[&victim.peer_addr, &victim.client_addr], crowd, |what| {
        let (now, peak, fds) = (grown("VmRSS"), grown("VmHWM"), descriptors(pid));
        println!("{what}: grown by {now} kB, at most by {peak} kB; {fds} descriptors");
    });
    let fds_after =
        until("as few descriptors as before", || Some(descriptors(pid)).filter(|n| *n <= fds));
    over.store(true, Ordering::Relaxed);
    let Work { outcomes, written, longest } = cluster.runtime.block_on(worker).unwrap();
    let (peak, rest) = (grown("VmHWM"), grown("VmRSS"));
    let most = |frames_kb| bound_kb(frames_kb, crowd, written);
    let done = outcomes.iter().filter(|o| matches!(o, Outcome::Ok { .. })).count();
    println!(
        "garbage: {done} of {} writes done ({} kB, the longest took {} ms); led by n{leader} in \
         term {} before and by n{} in term {} after; grown by at most {peak} kB (bound {} kB), {rest} kB \
         in the end (bound {} kB); {fds} descriptors before, {fds_after} after",
        outcomes.len(),
        written / 1024,
        longest.as_millis(),
        reign.0,
        cluster.leader(),
        cluster.reign().0,
        most(FRAMES_KB),
        most(0),
    );
    assert_eq!((cluster.leader(), cluster.reign()), (leader, reign));
    assert_eq!(cluster.elections(), elections, "no node says a word about elections");
    assert_eq!(done, outcomes.len());
    assert!(done > 100, "{done} writes");
    assert!(peak <= most(FRAMES_KB), "{peak} kB");
    assert!(rest <= most(0), "{rest} kB");
    cluster.expect_all(6, 0..WARM + done as u64);
}
