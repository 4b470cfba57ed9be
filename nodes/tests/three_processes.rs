//! The real program as three processes on loopback: what neither the simulator nor three machines in one
//! process can show. They elect and serve, lose their leader to `kill -9` under load and nothing that
//! they acknowledged, survive what a power loss leaves of a log, refuse damage, and shrug off garbage.
//!
//! `cargo real-test`; `WAVETANK_KILLS=20 cargo real-test -- --nocapture` for the long show.
#![cfg(not(madsim))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

mod cluster;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cluster::{Cluster, PATIENCE, real, until, value};
use store::client::{Client, Listing, Outcome};

/// The numbers behind a word in a node's log, in order.
fn numbers(log: &str, before: &str) -> Vec<u64> {
    let number = |rest: &str| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok();
    log.split(before).skip(1).filter_map(number).collect()
}

/// Device syncs of a node between serving and the graceful stop, in its last boot.
fn syncs_of_last_boot(cluster: &Cluster, id: u64) -> u64 {
    let log = cluster.log(id);
    let at = |text: &str| {
        let line = log.lines().rfind(|line| line.contains(text));
        let line = line.unwrap_or_else(|| panic!("n{id} never said `{text}`"));
        numbers(line, "syncs=").pop().unwrap()
    };
    at("stopped: asked by SIGTERM") - at("serves:")
}

fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

/// Runs a client command against a cluster: its exit code, stdout and stderr.
fn ask(cluster: &Cluster, words: &[&str]) -> (Option<i32>, String, String) {
    let config = cluster.config();
    let output = real(&[words, &["--config", &config]].concat());
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn people_and_scripts_are_answered() {
    let mut cluster = Cluster::start("commands", 41, "");
    let leader = cluster.leader() % 3 + 1;
    let done = |words: &[&str]| {
        let (code, out, err) = ask(&cluster, words);
        assert_eq!(code, Some(0), "{words:?}: {out}{err}");
        out
    };
    let not_done = |words: &[&str]| {
        let (code, out, err) = ask(&cluster, words);
        assert_eq!((code, &*out), (Some(1), ""), "{words:?}: {err}");
        err
    };
    assert_eq!(done(&["transfer", &leader.to_string()]), "done\n");
    assert_eq!(cluster.leader(), leader);
    assert!(done(&["put", "greeting", "hello"]).starts_with("done, version "));
    assert_eq!(done(&["get", "greeting"]), "hello");
    assert!(done(&["get", "greeting", "--format", "json"]).contains("\"value\":\"hello\""));
    assert!(not_done(&["get", "nothing"]).contains("no such key"));
    assert!(not_done(&["cas", "greeting", "0", "again"]).contains("not at the expected version"));
    done(&["cas", "other", "0", "new"]);
    assert_eq!(done(&["range"]).lines().count(), 2);
    done(&["delete", "other"]);
    assert_eq!(done(&["range", "g", "h"]).lines().count(), 1);
    let raw = cluster.dir.join("raw");
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    std::fs::write(&raw, &bytes).unwrap();
    done(&["put", "bytes", "--value-file", &raw.display().to_string()]);
    assert_eq!(real(&["get", "bytes", "--config", &cluster.config()]).stdout, bytes);
    // A follower alone sends its client to the leader, whom it knows by number.
    let follower = cluster.members.all[(leader % 3) as usize].clone();
    let list = format!("{0},{0},{0}", follower.client_addr);
    let refused = real(&["put", "k", "v", "--clients", &list, "--within", "1s"]);
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stderr));
    let mut first_asks_follower = cluster.client(follower.id - 1 + 3 * 100);
    cluster.put_all(&mut first_asks_follower, 0..20);
    cluster.expect_all(first_asks_follower.id(), 0..20);
    cluster.kill(follower.id);
    let (code, table, _) = ask(&cluster, &["status", "--within", "2s"]);
    assert_eq!(code, Some(0));
    let rows: Vec<&str> = table.lines().collect();
    assert!(rows.len() == 4 && rows[follower.id as usize].contains("no answer"), "{table}");
    assert!(rows[leader as usize].contains("leads"), "{table}");
    println!("{table}");
    // Without a quorum nobody may say "done", and a command on its way is unknown for ever.
    cluster.kill(if follower.id % 3 + 1 == leader { leader % 3 + 1 } else { follower.id % 3 + 1 });
    let (code, out, err) = ask(&cluster, &["put", "late", "x", "--within", "1s"]);
    assert!(matches!(code, Some(1 | 6)), "{code:?} {out}{err}");
    let (code, ..) = ask(&cluster, &["get", "greeting", "--within", "1s"]);
    assert_eq!(code, Some(6));
}

/// Boots two nodes, lets a client put one value after the other, and stops them: the syncs of each.
fn syncs_of_two(cluster: &mut Cluster, two: [u64; 2], client: u64, writes: u64) -> [u64; 2] {
    two.iter().for_each(|id| cluster.boot(*id));
    cluster.leader();
    cluster.put_all(&mut cluster.client(client), 0..writes);
    cluster.stop_all();
    two.map(|id| syncs_of_last_boot(cluster, id))
}

/// Two of three are a quorum that needs both, and a client that waits for each answer makes every write
/// a group of its own: each of the two must sync once for each write, beside what a boot costs anyhow.
#[test]
fn every_acknowledged_write_was_synced_by_each_of_its_quorum() {
    const WRITES: u64 = 200;
    const PAIRS: [[u64; 2]; 3] = [[1, 2], [2, 3], [3, 1]];
    let mut cluster = Cluster::start("syncs", 42, "");
    cluster.stop_all();
    // An election more costs syncs of its own: the calmer of two boots says what none costs.
    let mut idle = [u64::MAX; 4];
    for pair in PAIRS {
        for (id, syncs) in pair.into_iter().zip(syncs_of_two(&mut cluster, pair, 0, 0)) {
            idle[id as usize] = idle[id as usize].min(syncs);
        }
    }
    let mut lazy = Vec::new();
    for (pair, client) in PAIRS.into_iter().zip(5..) {
        for (id, syncs) in pair.into_iter().zip(syncs_of_two(&mut cluster, pair, client, WRITES)) {
            let idle = idle[id as usize];
            let line =
                format!("n{id} of {pair:?}: {syncs} syncs with {WRITES} writes, {idle} with none");
            println!("{line}");
            lazy.extend((syncs < idle + WRITES).then_some(line));
        }
    }
    assert!(lazy.is_empty(), "fewer than one for each acknowledged write: {lazy:?}");
}

/// What the clients under load were told, and when.
#[derive(Default)]
struct Told {
    acknowledged: AtomicU64,
    outage: Mutex<Option<(Instant, Duration)>>,
    over: AtomicBool,
}

impl Told {
    fn acknowledge(&self) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        let (now, mut outage) = (Instant::now(), self.outage.lock().unwrap());
        let (last, longest) = outage.unwrap_or((now, Duration::ZERO));
        *outage = Some((now, longest.max(now - last)));
    }

    fn count(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }
}

/// Puts under keys of its own, each once, until told to stop; half of the clients are impatient.
async fn load(mut client: Client, told: Arc<Told>) -> (u64, Vec<Outcome>) {
    let id = client.id();
    let within = if id.is_multiple_of(2) { PATIENCE } else { Duration::from_millis(300) };
    let mut outcomes = Vec::new();
    while !told.over.load(Ordering::Relaxed) {
        let op = outcomes.len() as u64;
        let key = format!("{id}/{op:08}");
        let outcome = client.put(key.as_bytes(), op, value(id, op), within).await;
        if matches!(outcome, Outcome::Ok { .. }) {
            told.acknowledge();
        }
        outcomes.push(outcome);
    }
    (id, outcomes)
}

/// Everything that is in the store.
fn read_back(cluster: &Cluster) -> BTreeMap<String, Bytes> {
    let (mut client, mut all, mut from) = (cluster.client(1), BTreeMap::new(), Vec::new());
    loop {
        let page = cluster.runtime.block_on(client.range(&from, b"", 10_000, PATIENCE));
        let Listing::Items { items, more } = page else { panic!("{page:?}") };
        for item in items {
            from = [&item.key[..], &[0]].concat();
            all.insert(String::from_utf8(item.key.to_vec()).unwrap(), item.value);
        }
        if !more {
            return all;
        }
    }
}

/// Who leads, asked again while the logs say otherwise.
fn leader_now(cluster: &Cluster) -> u64 {
    until("a leader that stays", || {
        let leader = cluster.leader();
        cluster.leads(leader).then_some(leader)
    })
}

#[test]
fn no_acknowledged_write_is_lost_when_leaders_are_killed() {
    let kills = std::env::var("WAVETANK_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(3u64);
    let mut cluster =
        Cluster::start("kills", 43, "snapshot_every = 1000\nwal_segment = \"1MiB\"\n");
    let told = Arc::new(Told::default());
    let clients: Vec<_> =
        (1..=4).map(|id| cluster.runtime.spawn(load(cluster.client(id), told.clone()))).collect();
    let mut leading = 0;
    for _ in 0..kills {
        let before = told.count();
        until("writes before a kill", || (told.count() >= before + 100).then_some(()));
        let leader = leader_now(&cluster);
        cluster.kill(leader);
        // It can say no more, and an election takes longer than this look: had another been elected
        // before, its higher term would be told by now.
        leading += u64::from(cluster.leads(leader));
        let after = told.count();
        // Whatever was on its way when the leader died may still count as before.
        until("writes after a kill", || (told.count() >= after + 100).then_some(()));
        cluster.boot(leader);
        until("the killed node", || {
            cluster.statuses()[leader as usize - 1].filter(|s| s.leader > 0)
        });
    }
    told.over.store(true, Ordering::Relaxed);
    let told_each: Vec<_> =
        clients.into_iter().map(|c| cluster.runtime.block_on(c).unwrap()).collect();
    let agreed = cluster.agreed();
    let found = read_back(&cluster);
    assert_eq!(agreed.keys, found.len() as u64);
    let (mut unknown, mut unknown_done, mut failed, mut wrong) = (0, 0, 0, Vec::new());
    for (id, outcomes) in &told_each {
        for (op, outcome) in (0..).zip(outcomes) {
            let key = format!("{id}/{op:08}");
            let right = found.get(&key).map(|found| *found == value(*id, op));
            match (outcome, right) {
                (Outcome::Ok { .. }, Some(true)) => {}
                (Outcome::Unknown, None) => unknown += 1,
                (Outcome::Unknown, Some(true)) => {
                    (unknown, unknown_done) = (unknown + 1, unknown_done + 1)
                }
                (Outcome::Fail(_), None) => failed += 1,
                // An acknowledged write that is lost, a failed one that was done, another value.
                _ => wrong.push(format!("{key}: told {outcome:?}, right value there: {right:?}")),
            }
        }
    }
    let longest = told.outage.lock().unwrap().map_or(Duration::ZERO, |o| o.1);
    println!(
        "kills {kills}, of which {leading} of the leader, acknowledged {}, unknown {unknown} (of \
         which done {unknown_done}), failed {failed}, lost {}, longest outage {} ms",
        told.count(),
        wrong.len(),
        longest.as_millis()
    );
    assert_eq!(leading, kills, "killed while it led");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
