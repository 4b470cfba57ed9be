//! The real program as five processes of which three vote: two are added under load and two others
//! removed, the leader among them, and nothing that was acknowledged is lost. Who was removed can be
//! stopped, and the others go on.
//!
//! `cargo real-test`.
#![cfg(not(madsim))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

mod cluster;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cluster::{Cluster, PATIENCE, real, until, value};
use store::client::{Client, Outcome};

/// Puts under keys of its own, each until it is acknowledged, until told to stop; how many.
async fn load(mut client: Client, over: Arc<AtomicBool>) -> (u64, u64) {
    let id = client.id();
    let mut op = 0;
    while !over.load(Ordering::Relaxed) {
        let key = format!("{id}/{op:08}");
        let put = client.put(key.as_bytes(), op, value(id, op), PATIENCE).await;
        assert!(matches!(put, Outcome::Ok { .. }), "{key}: {put:?}");
        op += 1;
    }
    (id, op)
}

/// Asks about members, or for a change of them, which must be done.
fn members(cluster: &Cluster, words: &[&str]) -> String {
    let config = cluster.config();
    let asks = [&["members"], words, &["--config", &config, "--within", "30s"]].concat();
    let output = real(&asks);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{words:?}: {told}{why}");
    told
}

#[test]
fn members_come_and_go_under_load() {
    let settings = "voters = 3\nsnapshot_every = 100\nkeep_entries = 20\nwal_segment = \"64KiB\"\n";
    let mut cluster = Cluster::start_of(5, "members", 44, settings);
    assert_eq!(members(&cluster, &["show"]), "voters      n1 n2 n3\n");
    let over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> =
        (1..=3).map(|id| cluster.runtime.spawn(load(cluster.client(id), over.clone()))).collect();
    let index = |cluster: &Cluster| {
        cluster.statuses().iter().flatten().map(|s| s.index).max().unwrap_or_default()
    };
    // So that a new member needs a snapshot.
    until("writes", || (index(&cluster) > 300).then_some(()));
    assert!(members(&cluster, &["add", "4", "--learner"]).starts_with("done"));
    assert_eq!(members(&cluster, &["show"]), "voters      n1 n2 n3\nlearners    n4\n");
    members(&cluster, &["add", "4", "5"]);
    assert_eq!(members(&cluster, &["show"]), "voters      n1 n2 n3 n4 n5\n");
    let leader = cluster.leader();
    let other = leader % 5 + 1;
    members(&cluster, &["remove", &leader.to_string(), &other.to_string()]);
    let stay: Vec<u64> = (1..=5).filter(|id| ![leader, other].contains(id)).collect();
    let named: Vec<String> = stay.iter().map(|id| format!("n{id}")).collect();
    assert_eq!(members(&cluster, &["show"]), format!("voters      {}\n", named.join(" ")));
    cluster.kill(leader);
    cluster.kill(other);
    let before = index(&cluster);
    until("writes without those who were removed", || {
        (index(&cluster) > before + 100).then_some(())
    });
    over.store(true, Ordering::Relaxed);
    let all: Vec<_> = clients.into_iter().map(|c| cluster.runtime.block_on(c).unwrap()).collect();
    // One of those who stay may go: two of three are a majority.
    cluster.kill(stay[0]);
    for (id, ops) in &all {
        assert!(*ops > 0);
        cluster.expect_all(*id, 0..*ops);
    }
    println!("{} puts acknowledged, none lost", all.iter().map(|(_, ops)| ops).sum::<u64>());
    cluster.stop_all();
}
