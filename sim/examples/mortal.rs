//! A user's own program with a node that takes its process along, on demand: what a sweep must outlive.
//!
//! About a quarter of the seeds are fatal to it, by draw. Each plant is a way to go: an abort, a stack
//! overflow, more memory than there is, a loop that never awaits, an exit. Two are milder: a node that
//! prints half a line where results are read, and one that counts in a static across seeds, so that no two
//! runs of a fatal seed are the same. One dies only once, like a worker that was ended from outside.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use host::{Event, Facts, Host, Members, Plant};
use kernel::registry::{NoParams, Registry, node, workload};
use kernel::workload::{Client, ClientFuture, Load, Workload};

const PLANTS: &[(&str, &str)] = &[
    ("aborts", "aborts the process"),
    ("aborts_once", "aborts the process unless the file $MORTAL_MARK is there, and makes it"),
    ("overflows_stack", "calls itself for ever"),
    ("takes_memory", "allocates and keeps without end"),
    ("hangs", "loops without awaiting"),
    ("exits", "ends the process with code 0"),
    ("prints", "prints half a line to stdout"),
    ("counts", "counts in a static that outlives the seed"),
];

/// What the node saw.
#[derive(Debug)]
struct Seen(u64);

impl Event for Seen {
    fn source(&self) -> &'static str {
        "mortal"
    }
    fn word(&self) -> &'static str {
        "seen"
    }
    fn text(&self) -> String {
        format!("seen {}", self.0)
    }
    fn facts(&self, facts: &mut Facts<'_>) {
        facts.num(self.0);
    }
}

/// As deep as the stack goes, and deeper.
fn deep(n: u64) -> u64 {
    let frame = std::hint::black_box([n; 512]);
    if std::hint::black_box(n) == u64::MAX { 0 } else { deep(n + 1) + frame[7] }
}

/// Acts on the plant that is on; what it came to if it came back.
fn fate(host: &Host) -> u64 {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let planted = |word| host.planted(Plant(word));
    if planted("aborts") {
        std::process::abort();
    }
    if planted("aborts_once") {
        let mark = std::env::var("MORTAL_MARK").expect("a file to make");
        if std::fs::OpenOptions::new().write(true).create_new(true).open(mark).is_ok() {
            std::process::abort();
        }
    }
    if planted("overflows_stack") {
        return deep(0);
    }
    if planted("takes_memory") {
        let mut kept = Vec::new();
        loop {
            kept.push(std::hint::black_box(vec![1u8; 8 << 20]));
        }
    }
    if planted("hangs") {
        loop {
            std::hint::spin_loop();
        }
    }
    if planted("exits") {
        std::process::exit(0);
    }
    if planted("prints") {
        print!("half a line");
    }
    if planted("counts") { COUNT.fetch_add(1, Ordering::Relaxed) + 1 } else { 0 }
}

async fn run(host: Host, _: NoParams, _: Members) -> std::io::Result<()> {
    host.clock().sleep(Duration::from_millis(500)).await;
    let fatal = host.rng("fate", 0).below(12) == 0;
    let seen = if fatal { fate(&host) } else { 0 };
    host.emit(Seen(seen));
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
        nodes: vec![node("mortal", "Sees something once.", PLANTS, &[&["seen"]], |_| Ok(()), run)],
        workloads: vec![workload("patience", "Waits a second.", |_: NoParams| Ok(Patience))],
        ..Registry::default()
    };
    std::process::exit(cli::main(registry));
}
