//! What a fault excuses, on toy nodes: that a node ends over an error, or over bytes that it found
//! rotten. What it ends over is its own affair where no fault gave it that error lately, where it never read
//! those bytes, and where it panics.

mod bench;

use std::io::{Error, Result};

use bench::{CLASS, fault, lasting, ms, registry};
use host::{Host, OpenMode};
use kernel::outcome::{Class, Verdict};
use kernel::run::{Options, run};

/// What n1 reads in its first boot, how long after the first read that was not well it ends, and how.
#[derive(Clone, Copy)]
struct Ends {
    reads: &'static str,
    after_ms: u64,
    panics: bool,
}

/// Two files with bytes that several syncs have followed, one of which is read every 10 ms. A node that never
/// finds anything wrong ends in the middle of the load, without a reason.
async fn ender(host: Host, ends: Ends) -> Result<()> {
    let (disk, clock) = (host.disk(), host.clock());
    let first = host.name() == "n1" && disk.list("").await?.is_empty();
    if !first {
        return std::future::pending().await;
    }
    for name in ["wal", "other"] {
        let file = disk.open(name, OpenMode::CreateIfMissing).await?;
        for _ in 0..8 {
            file.append(CLASS, vec![7; 1_000].into()).await?;
            file.sync(CLASS).await?;
        }
    }
    disk.sync_dir().await?;
    let file = disk.open(ends.reads, OpenMode::Existing).await?;
    for _ in 0..180 {
        clock.sleep(ms(10)).await;
        let read = file.read_at(0, 8_000).await;
        if !read.is_ok_and(|rope| rope.to_bytes().iter().all(|b| *b == 7)) {
            clock.sleep(ms(ends.after_ms)).await;
            break;
        }
    }
    assert!(!ends.panics, "it has had enough");
    Err(Error::other("it has had enough"))
}

/// How often the node was excused, how often it refused, and whether the run failed over its end.
fn ended(faults: &str, ends: Ends) -> (u64, u64, bool) {
    let registry = registry(move |host, _| ender(host, ends));
    let scenario = lasting(registry, "3s", faults);
    let outcome = run(&scenario, registry, &Options::seed(1)).unwrap();
    let count = |name: &str| outcome.measures.iter().find(|m| m.name == name).unwrap().value;
    let failed = outcome.verdict == Verdict::Fail;
    assert_eq!(outcome.class, failed.then_some(Class::Panic), "{:?}", outcome.violations);
    (count("nodes_excused"), count("nodes_refused"), failed)
}

const ROT: &str = "on = \"n1\"\nwhen = \"600ms\"\nunder = \"wal\"\nshows = \"now\"\nplaces = \"3\"";

#[test]
fn whoever_has_read_rotten_bytes_may_refuse() {
    let ends = Ends { reads: "wal", after_ms: 0, panics: false };
    assert_eq!(ended(&fault("bit_rot", ROT), ends), (0, 1, false));
    assert_eq!(ended(&fault("bit_rot", ROT), Ends { panics: true, ..ends }), (0, 0, true));
}

#[test]
fn rot_that_nobody_read_accounts_for_nothing() {
    let ends = Ends { reads: "other", after_ms: 0, panics: false };
    assert_eq!(ended(&fault("bit_rot", ROT), ends), (0, 0, true));
}

#[test]
fn an_error_accounts_for_what_follows_soon() {
    let rest = "on = \"n1\"\nwhen = \"600ms\"\nlasts = \"50ms\"\nunder = \"wal\"\nshare = \"100%\"";
    let errors = fault("read_error", rest);
    let ends = Ends { reads: "wal", after_ms: 500, panics: false };
    assert_eq!(ended(&errors, ends), (1, 0, false));
    assert_eq!(ended(&errors, Ends { after_ms: 1_200, ..ends }), (0, 0, true));
    assert_eq!(ended(&errors, Ends { panics: true, ..ends }), (0, 0, true));
    assert_eq!(ended(&errors, Ends { reads: "other", ..ends }), (0, 0, true));
}
