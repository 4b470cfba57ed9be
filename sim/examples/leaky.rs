//! A user's own program with a node of its own that is not deterministic, on demand.
//!
//! Each plant leaks one thing that a seed does not decide: the order of a HashMap, the choice of an unbiased
//! `select!`, a heap address, a static that outlives a seed. `verify` must find all four. It also shows how
//! little a foreign program needs: a registry with its node, and the command line of the tool.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use host::{Event, Facts, Host, Members, Plant};
use kernel::registry::{NoParams, Registry, node, workload};
use kernel::workload::{Client, ClientFuture, Load, Workload};

const PLANTS: &[(&str, &str)] = &[
    ("leak_hashmap", "the first key of a HashMap decides"),
    ("leak_select", "an unbiased select! decides"),
    ("leak_address", "a heap address decides"),
    ("leak_static", "a counter that outlives the seed decides"),
];

/// What the node decided.
#[derive(Debug)]
struct Decided(u64);

impl Event for Decided {
    fn source(&self) -> &'static str {
        "leaky"
    }
    fn word(&self) -> &'static str {
        "decided"
    }
    fn text(&self) -> String {
        format!("decided {}", self.0)
    }
    fn facts(&self, facts: &mut Facts<'_>) {
        facts.num(self.0);
    }
}

async fn decide(host: &Host) -> u64 {
    static SEEN: AtomicU64 = AtomicU64::new(0);
    if host.planted(Plant("leak_hashmap")) {
        let map: HashMap<u64, ()> = (0..16).map(|k| (k, ())).collect();
        return map.keys().next().copied().unwrap_or(0);
    }
    if host.planted(Plant("leak_select")) {
        return tokio_real::select! { () = async {} => 1, () = async {} => 2 };
    }
    if host.planted(Plant("leak_address")) {
        let boxed = Box::new([0u8; 4096]);
        return std::ptr::from_ref(&*boxed) as u64 >> 12;
    }
    if host.planted(Plant("leak_static")) {
        return SEEN.fetch_add(1, Ordering::Relaxed);
    }
    0
}

async fn run(host: Host, _: NoParams, _: Members) -> std::io::Result<()> {
    for _ in 0..200 {
        host.clock().sleep(Duration::from_millis(5)).await;
        let decided = decide(&host).await;
        host.emit(Decided(decided));
    }
    host.stopping().await;
    Ok(())
}

/// A client that only waits a second.
struct Patience;

impl Workload for Patience {
    fn clients(&self) -> u64 {
        1
    }
    fn start(&self) -> Arc<dyn Load> {
        Arc::new(Patience)
    }
}

impl Load for Patience {
    fn load(self: Arc<Self>, client: Client) -> ClientFuture {
        Box::pin(async move {
            client.host.clock().sleep(Duration::from_secs(1)).await;
            client.invoked(0, "wait", "-", 0);
            client.returned(0, kernel::event::OpEnd::Ok, 1, 0);
        })
    }
    fn read_back(self: Arc<Self>, _: Client) -> ClientFuture {
        Box::pin(async {})
    }
}

fn main() {
    let registry = Registry {
        nodes: vec![node(
            "leaky",
            "Decides now and then.",
            PLANTS,
            &[&["decided"]],
            |_| Ok(()),
            run,
        )],
        workloads: vec![workload("patience", "Waits a second.", |_: NoParams| Ok(Patience))],
        ..Registry::default()
    };
    std::process::exit(cli::main(registry));
}
