//! Three real machines on loopback in one process: they elect, accept puts, return them, survive
//! the restart of one from its disk, and agree in the end. The same node code as in simulation, on
//! the arm that touches sockets and files; what cannot be reproduced here is what the simulator is
//! for.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use host::real::Machine;
use host::settings::Settings;
use host::{Addr, Member, Members};
use store::client::{Client, Found, Outcome};
use tokio::sync::oneshot;

const WITHIN: Duration = Duration::from_secs(20);

/// A running node and the end of its `run`.
struct Node {
    machine: Machine,
    ended: oneshot::Receiver<std::io::Result<()>>,
}

fn boot(members: &Members, id: u64, dir: &Path, config: &store::Config) -> Node {
    let name = format!("n{id}");
    let machine = Machine::builder(&name, dir.join(&name)).start().unwrap();
    let host = machine.host();
    let node = host.clone();
    let mut members = members.clone();
    members.me = id;
    let config = config.clone();
    let (tx, ended) = oneshot::channel();
    host.thread("main").spawn("store", async move {
        let _ = tx.send(store::run(node, config, members).await);
    });
    Node { machine, ended }
}

impl Node {
    async fn stop(self) {
        self.machine.stop();
        self.ended.await.unwrap().unwrap();
        assert_eq!(self.machine.panics(), Vec::<String>::new());
        // A machine's end waits for its threads, which a task of a runtime may not.
        tokio::task::spawn_blocking(|| self.machine.shutdown()).await.unwrap();
    }
}

/// Ports that were free a moment ago.
fn members() -> Members {
    let listeners: Vec<_> =
        (0..6).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let addr = |at: usize| Addr(listeners[at].local_addr().unwrap().to_string());
    let member = |at: usize| Member {
        id: at as u64 + 1,
        name: format!("n{}", at + 1),
        peer_addr: addr(at),
        client_addr: addr(at + 3),
    };
    Members { me: 0, all: (0..3).map(member).collect() }
}

fn folder(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("wavetank-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

fn config(settings: &[(&str, &str)]) -> store::Config {
    let mut config = store::Config::default();
    settings.iter().for_each(|(key, value)| config.set(key, value).unwrap());
    config
}

async fn put(client: &mut Client, key: &str, op: u64, value: Vec<u8>) {
    for _ in 0..10 {
        match client.put(key.as_bytes(), op, value.clone().into(), WITHIN).await {
            Outcome::Ok { .. } => return,
            // Nobody else puts this key, so putting the same value once more is harmless.
            Outcome::Unknown => {}
            other => panic!("put {key}: {other:?}"),
        }
    }
    panic!("put {key}: never an answer");
}

async fn expect(client: &mut Client, key: &str, op: u64, value: Vec<u8>) {
    match client.get(key.as_bytes(), WITHIN).await {
        Found::Value { op: got_op, value: got, .. } => {
            assert_eq!(got_op, op, "{key}");
            assert_eq!(got, Bytes::from(value), "{key}");
        }
        other => panic!("get {key}: {other:?}"),
    }
}

async fn converge(client: &mut Client) {
    let mut hashes = Vec::new();
    for _ in 0..400 {
        hashes.clear();
        for id in 1..=3 {
            let status = client.status(id, Duration::from_secs(2)).await;
            hashes.extend(status.map(|s| (s.index, s.hash, s.keys, s.leader)));
        }
        if hashes.len() == 3 && hashes.iter().all(|h| *h == hashes[0] && h.3 > 0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the nodes do not agree: {hashes:?}");
}

/// Writes, reads, restarts n2 while writes go on, and waits until all three agree.
fn scenario(name: &str, settings: &[(&str, &str)]) {
    let dir = folder(name);
    let members = members();
    let config = config(settings);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let outside = Machine::builder("client", dir.join("client")).start().unwrap();
    runtime.block_on(async {
        let mut nodes: Vec<Option<Node>> =
            (1..=3).map(|id| Some(boot(&members, id, &dir, &config))).collect();
        let mut client = Client::new(outside.host(), members.clone(), 7);
        let value = |i: u64| vec![i as u8; 1000 + 300 * i as usize];
        for i in 0..60 {
            put(&mut client, &format!("key{}", i % 20), i, value(i)).await;
        }
        nodes[1].take().unwrap().stop().await;
        let syncs = || [0, 2].map(|at: usize| nodes[at].as_ref().unwrap().machine.syncs());
        for i in 60..120 {
            let before = syncs();
            put(&mut client, &format!("key{}", i % 20), i, value(i)).await;
            // The two that are left are the quorum: neither may answer for what it has not synced.
            let after = syncs();
            assert!(after[0] > before[0] && after[1] > before[1], "{i}: {before:?}, {after:?}");
        }
        nodes[1] = Some(boot(&members, 2, &dir, &config));
        for i in 100..120 {
            expect(&mut client, &format!("key{}", i % 20), i, value(i)).await;
        }
        converge(&mut client).await;
        // Everybody restarts: what was acknowledged is still there.
        for node in &mut nodes {
            node.take().unwrap().stop().await;
        }
        let nodes: Vec<Node> = (1..=3).map(|id| boot(&members, id, &dir, &config)).collect();
        for i in 100..120 {
            expect(&mut client, &format!("key{}", i % 20), i, value(i)).await;
        }
        put(&mut client, "large", 999, vec![5; 1_900_000]).await;
        expect(&mut client, "large", 999, vec![5; 1_900_000]).await;
        converge(&mut client).await;
        for node in nodes {
            node.stop().await;
        }
    });
    outside.shutdown();
    let _ = std::fs::remove_dir_all(&dir);
}

#[test]
fn three_machines_keep_what_they_acknowledge() {
    scenario("stream", &[]);
}

#[test]
fn a_restarted_machine_catches_up_by_snapshot() {
    let settings = [("snapshot_every", "10"), ("keep_entries", "2"), ("wal_segment", "64KiB")];
    scenario("snapshot", &settings);
}

#[test]
fn request_and_response_serve_as_well() {
    scenario("request", &[("transport", "request"), ("snapshot_phase", "equal")]);
}
