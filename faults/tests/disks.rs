//! Each fault of disks on a toy node that knows nothing of it. The node keeps a log of equal records and
//! tells what it finds at each boot and what every operation said; a second node does the same undisturbed.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use host::{Class, Host, Members, OpenMode};
use kernel::doc::{Doc, Problem};
use kernel::outcome::{Outcome, Verdict};
use kernel::plan::Plan;
use kernel::registry::{NoParams, Registry, node, workload};
use kernel::run::{Options, leak, run};
use kernel::scenario::Scenario;
use kernel::workload::{Client, ClientFuture, Load, Workload};
use proptest::prelude::*;

const CLASS: Class = Class("toy");
const RECORD: usize = 700;

/// A load that lasts as long as the scenario.
struct Waits;

impl Workload for Waits {
    fn clients(&self) -> u64 {
        1
    }
    fn start(&self) -> Arc<dyn Load> {
        Arc::new(Waits)
    }
}

impl Load for Waits {
    fn load(self: Arc<Self>, client: Client) -> ClientFuture {
        Box::pin(async move {
            client.invoked(0, "nothing", "k", 0);
            client.returned(0, kernel::event::OpEnd::Ok, 1, 0);
            std::future::pending().await
        })
    }
    fn read_back(self: Arc<Self>, _: Client) -> ClientFuture {
        Box::pin(async {})
    }
}

/// What a node found at a boot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Found {
    host: String,
    /// Names there were, those of the log not counted.
    names: Vec<String>,
    /// Bytes of the log, and how many of them are not what was written.
    len: u64,
    wrong: u64,
    /// How the reading ended, if it failed.
    error: bool,
    /// What the boot before it knew to be synced.
    synced: u64,
}

/// What nodes told: findings of boots, and of n1 each operation that failed or was slow.
#[derive(Default)]
struct Story {
    found: Vec<Found>,
    failed: Vec<&'static str>,
    slowest: Duration,
    synced: std::collections::BTreeMap<String, u64>,
}

type Told = Arc<Mutex<Story>>;

/// Appends and syncs a record every 5 ms, and a name every 20 ms. Errors are told and, if `stubborn`, borne.
async fn keeper(host: Host, story: Told, stubborn: bool) -> io::Result<()> {
    let (disk, clock, me) = (host.disk(), host.clock(), host.name().to_string());
    let mut names = disk.list("").await?;
    names.retain(|name| name != "log");
    let file = disk.open("log", OpenMode::CreateIfMissing).await?;
    let read = file.read_at(0, file.len().await?).await;
    let synced = story.lock().unwrap().synced.get(&me).copied().unwrap_or(0);
    let error = read.is_err();
    let bytes = read.map(|rope| rope.to_bytes()).unwrap_or_default();
    let right = |i: usize| (i / RECORD) as u8 | 1;
    let wrong = bytes.iter().enumerate().filter(|(i, b)| **b != right(*i)).count() as u64;
    let len = file.len().await?;
    let found = Found { host: me.clone(), names, len, wrong, error, synced };
    story.lock().unwrap().found.push(found);
    // What follows is well formed again.
    let whole = len / RECORD as u64 * RECORD as u64;
    let _ = file.truncate(whole).await;
    let fails = |what| {
        if me == "n1" {
            story.lock().unwrap().failed.push(what);
        }
    };
    disk.sync_dir().await?;
    for n in 0u64.. {
        clock.sleep(Duration::from_millis(5)).await;
        let began = clock.now();
        let at = file.len().await?;
        let record = vec![right(at as usize); RECORD];
        let outcome = match file.append(CLASS, record.into()).await {
            Err(error) => Err(("append", error)),
            Ok(_) => file.sync(CLASS).await.map_err(|error| ("sync", error)),
        };
        match outcome {
            Ok(()) => {
                story.lock().unwrap().synced.insert(me.clone(), at + RECORD as u64);
            }
            Err((what, error)) => {
                fails(what);
                if !stubborn {
                    return Err(error);
                }
                file.truncate(at).await?;
            }
        }
        if n % 4 == 3 {
            disk.open(&format!("name{n}"), OpenMode::CreateIfMissing).await?;
            disk.sync_dir().await?;
            if file.read_at(0, 100).await.is_err() {
                fails("read");
            }
            drop(disk.open(&format!("late{n}"), OpenMode::CreateIfMissing).await?);
        }
        let mut story = story.lock().unwrap();
        story.slowest = story.slowest.max(clock.now().since(began));
    }
    Ok(())
}

fn registry(stubborn: bool) -> (&'static Registry, Told) {
    let story = Told::default();
    let tells = story.clone();
    let run = move |host, _: NoParams, _: Members| keeper(host, tells.clone(), stubborn);
    let registry = leak(Registry {
        nodes: vec![node("toy", "Under test.", &[], &[], |_| Ok(()), run)],
        workloads: vec![workload("waits", "Never ends.", |_: NoParams| Ok(Waits))],
        faults: faults::words(),
        ..Registry::default()
    });
    (registry, story)
}

fn scenario(registry: &Registry, faults: &str) -> Arc<Scenario> {
    read(registry, faults).unwrap_or_else(|p| panic!("{p:?}"))
}

fn read(registry: &Registry, faults: &str) -> Result<Arc<Scenario>, Vec<Problem>> {
    let text = format!(
        "title = \"t\"\nprofile = \"p\"\nduration = \"1s\"\nsettle = \"500ms\"\n\
         [cluster]\nnode = \"toy\"\nhosts = 3\n[[workload]]\nkind = \"waits\"\n{faults}"
    );
    let mut doc = Doc::parse("toy.toml", &text, "").unwrap();
    let machine = include_str!("../../sim/profiles/ssd_lan.toml");
    doc.merge(Doc::parse("ssd_lan.toml", machine, "profile").unwrap());
    Scenario::read("toy", &doc, registry).map(Arc::new)
}

/// A run, what n1 found at its last boot (which is its second if it had one), and everything that was told.
fn toy(faults: &str, seed: u64, stubborn: bool) -> (Outcome, Found, Story) {
    let (registry, story) = registry(stubborn);
    let outcome = run(&scenario(registry, faults), registry, &Options::seed(seed)).unwrap();
    assert_eq!(outcome.verdict, Verdict::Pass, "{:?}", outcome.violations);
    let story = std::mem::take(&mut *story.lock().unwrap());
    for other in story.found.iter().filter(|f| f.host != "n1") {
        assert!(other.wrong == 0 && !other.error && other.len == other.synced, "{other:?}");
    }
    let last = story.found.iter().rfind(|f| f.host == "n1").cloned().unwrap();
    (outcome, last, story)
}

fn effects(outcome: &Outcome, kind: &str) -> u64 {
    outcome.faults.iter().find(|f| f.kind == kind).map_or(0, |f| f.effects)
}

fn fault(kind: &str, rest: &str) -> String {
    format!("[[fault]]\nkind = \"{kind}\"\non = \"n1\"\n{rest}\n")
}

const FORGETS: &str = "[atlas]\nforgets = 1\n";
/// Power is lost at 600 ms of the load, for 50 ms.
const POWER: &str =
    "[[fault]]\nkind = \"power_loss\"\non = \"n1\"\nwhen = \"600ms\"\nlasts = \"50ms\"\n";
const CRASH: &str =
    "[[fault]]\nkind = \"crash\"\non = \"n1\"\nwhen = \"600ms\"\nlasts = \"50ms\"\n";
/// From 300 ms on, for 500 ms.
const LONG: &str = "when = \"300ms\"\nlasts = \"500ms\"";

#[test]
fn a_torn_power_loss_takes_sectors_out_of_what_was_on_its_way() {
    let (mut torn, mut holes) = (0, 0);
    for seed in 0..30 {
        let rest = "when = \"601ms..605ms\"\nlasts = \"50ms\"\nmissing = \"40%\"";
        let (outcome, found, _) = toy(&fault("write_torn", rest), seed, false);
        torn += effects(&outcome, "write_torn");
        holes += u64::from(found.wrong > 0);
        assert!(found.len >= found.synced, "seed {seed}: what was synced is there: {found:?}");
        assert!(found.wrong <= found.len - found.synced, "seed {seed}: {found:?}");
    }
    assert!(torn > 3 && holes > 1, "{torn} {holes}");
}

#[test]
fn lost_writes_show_when_the_pages_are_gone() {
    let rest = format!("{LONG}\nshare = \"30%\"\nshows = ");
    for (shows, ends, hidden) in
        [("restart", CRASH, false), ("power_loss", CRASH, true), ("power_loss", POWER, false)]
    {
        let lost = fault("write_lost", &format!("{rest}\"{shows}\""));
        let (outcome, found, _) = toy(&format!("{FORGETS}{lost}{ends}"), 1, false);
        assert_eq!(found.wrong == 0, hidden, "{shows}: {found:?}");
        let lost = found.wrong / RECORD as u64;
        assert_eq!(effects(&outcome, "write_lost"), lost, "whole records read as zeroes");
        assert!(hidden || (8..40).contains(&lost), "{lost} of about 60 records");
    }
}

#[test]
fn a_misdirected_write_hurts_two_places() {
    let rest = format!("{LONG}\nshare = \"10%\"\nunder = \"log\"");
    let faults = format!("{FORGETS}{}{POWER}", fault("write_misdirected", &rest));
    let (outcome, found, _) = toy(&faults, 1, false);
    let hits = effects(&outcome, "write_misdirected");
    assert!(hits >= 4 && found.wrong > hits / 2 * RECORD as u64 / 2, "{hits}: {found:?}");
    assert!(found.len >= found.synced);
}

#[test]
fn rot_and_bad_sectors_come_out_and_stay_within_the_budget() {
    for (kind, error) in [("bit_rot", false), ("sector_error", true)] {
        let rest = "when = \"500ms\"\nplaces = \"3\"\nunder = \"log\"";
        let (outcome, found, _) = toy(&format!("{}{CRASH}", fault(kind, rest)), 1, true);
        assert_eq!(found.error, error, "{kind}: {found:?}");
        assert!(error || (found.wrong > 20 && found.wrong <= 3 * 512), "{found:?}");
        let counted = effects(&outcome, kind);
        assert!(if error { counted > 3 } else { counted == 3 }, "{kind}: {counted}");
        // Three hosts may lose one; the first is admitted, the others are spared.
        let all = fault(kind, rest).replace("on = \"n1\"", "on = \"n1,n2,n3\"");
        let crash = CRASH.replace("n1", "n1,n2,n3");
        let (outcome, _, story) = toy(&format!("{all}{crash}"), 1, true);
        assert!(effects(&outcome, kind) >= 3);
        let hurt = story.found.iter().filter(|f| f.wrong > 0 || f.error);
        assert!(hurt.map(|f| f.host.as_str()).all(|host| host == "n1"));
        // Before the pages are gone nobody sees it.
        let (outcome, _, story) =
            toy(&fault(kind, &format!("{rest}\nshows = \"power_loss\"")), 1, true);
        assert_eq!((effects(&outcome, kind), story.failed.len()), (0, 0));
    }
}

#[test]
fn a_budget_is_a_number_of_hosts() {
    let (registry, _) = registry(true);
    for (budget, fits) in [("\"minority\"", true), ("3", true), ("4", false), ("\"most\"", false)] {
        let problems = read(registry, &format!("[atlas]\ndamages = {budget}\n")).err();
        assert_eq!(problems.is_none(), fits, "{budget}: {problems:?}");
        let text = format!("{problems:?}");
        assert!(fits || text.contains("a number of hosts from 0 to 3"), "{text}");
    }
    assert!(read(registry, "[atlas]\nforget = 1\n").is_err());
}

#[test]
fn nobody_forgets_by_default() {
    for kind in ["write_lost", "write_misdirected", "sync_lies", "disk_wiped", "disk_restored"] {
        let (outcome, found, _) = toy(&format!("{}{POWER}", fault(kind, LONG)), 1, false);
        assert_eq!(effects(&outcome, kind), 0, "{kind}");
        assert!(found.wrong == 0 && found.len >= found.synced, "{kind}: {found:?}");
    }
}

#[test]
fn reads_and_writes_fail_in_their_time_and_their_share() {
    for (kind, what) in [("read_error", "read"), ("write_error", "append")] {
        let rest = format!("{LONG}\nshare = \"50%\"");
        let (outcome, _, story) = toy(&fault(kind, &rest), 1, true);
        let failed = story.failed.iter().filter(|w| **w == what).count() as u64;
        assert_eq!(story.failed.len() as u64, failed, "{kind}: nothing else fails");
        assert_eq!(effects(&outcome, kind), failed);
        let share = if what == "read" { 5..25 } else { 25..75 };
        assert!(share.contains(&failed), "{kind}: {failed}");
        let elsewhere = toy(&fault(kind, &format!("{rest}\nunder = \"wal/\"")), 1, true);
        assert_eq!((effects(&elsewhere.0, kind), elsewhere.2.failed.len()), (0, 0));
    }
}

#[test]
fn a_node_that_ends_over_an_error_is_started_again() {
    let rest = "when = \"300ms\"\nlasts = \"300ms\"\nshare = \"20%\"";
    let (outcome, _, story) = toy(&fault("write_error", rest), 1, false);
    let boots = story.found.iter().filter(|f| f.host == "n1").count();
    assert_eq!(boots as u64, 1 + effects(&outcome, "write_error"));
    assert!((2..5).contains(&boots), "{boots}");
}

#[test]
fn after_a_failed_sync_there_are_three_ways() {
    let rest = format!("{LONG}\nshare = \"20%\"\nafter = ");
    let one = |after: &str, ends: &str| {
        toy(&format!("{}{ends}", fault("sync_error", &format!("{rest}\"{after}\""))), 1, true)
    };
    // The stubborn node cuts off what failed and goes on.
    for after in ["clean", "reverts"] {
        let (outcome, found, story) = one(after, POWER);
        assert_eq!(effects(&outcome, "sync_error"), story.failed.len() as u64, "{after}");
        assert!((5..40).contains(&story.failed.len()) && found.wrong == 0, "{after}: {found:?}");
    }
    let (_, found, story) = one("stays", CRASH);
    assert!(story.failed.len() > 40, "no sync succeeds any more: {}", story.failed.len());
    assert_eq!(found.wrong, 0);
}

#[test]
fn a_lying_sync_is_found_out_by_a_power_loss() {
    let lies = |rest: &str, ends: &str, seed| {
        let lies = fault("sync_lies", &format!("{LONG}\n{rest}"));
        toy(&format!("{FORGETS}{lies}{ends}"), seed, false)
    };
    let (outcome, found, _) = lies("", CRASH, 1);
    assert!(found.len >= found.synced, "a crash takes nothing");
    assert!(effects(&outcome, "sync_lies") > 50);
    let lost = (0..12).filter(|seed| {
        let found = lies("", POWER, *seed).1;
        found.len < found.synced
    });
    assert!(lost.count() > 4);
    // What was promised 20 ms ago has come true.
    for seed in 0..12 {
        let found = lies("delay = \"20ms\"", POWER, seed).1;
        assert!(found.len + 8 * RECORD as u64 > found.synced, "{found:?}");
    }
    // And all of it when the fault is over.
    let later = POWER.replace("600ms", "850ms");
    assert!((0..6).all(|seed| {
        let found = lies("", &later, seed).1;
        found.len >= found.synced
    }));
}

#[test]
fn names_are_lost_with_the_power() {
    for (reach, most) in [("unsynced", 2), ("synced", 1_000)] {
        let lost = fault("dir_entry_lost", &format!("{LONG}\nreach = \"{reach}\""));
        let (mut undone, mut deep) = (0, 0);
        for seed in 0..10 {
            let (outcome, found, story) = toy(&format!("{FORGETS}{lost}{POWER}"), seed, false);
            let before = story.found.iter().filter(|f| f.host == "n1").count();
            assert_eq!(before, 2, "{found:?}");
            undone += effects(&outcome, "dir_entry_lost");
            // A name comes with every fourth record.
            let synced = found.names.iter().filter(|n| n.starts_with("name")).count();
            let records = found.synced / RECORD as u64;
            deep += usize::from(synced as u64 + 2 < records / 4);
        }
        assert!(undone > 0, "{reach}");
        assert_eq!(deep > 0, most > 2, "{reach}: {deep}");
    }
}

#[test]
fn a_disk_that_fails_slow_does_so_by_episodes() {
    let rest =
        "when = \"300ms\"\nlasts = \"300ms\"\nleast = \"50\"\nepisode = \"40ms\"\ncalm = \"40ms\"";
    let (outcome, _, story) = toy(&fault("disk_fail_slow", rest), 1, false);
    let fair = toy("", 1, false).2.slowest;
    assert!(story.slowest > fair * 5, "{:?} {fair:?}", story.slowest);
    let slow = effects(&outcome, "disk_fail_slow");
    assert!((2..40).contains(&slow), "some jobs, not all: {slow}");
}

#[test]
fn a_wiped_disk_is_empty_and_a_restored_one_old() {
    let wiped = fault("disk_wiped", "when = \"600ms\"\nlasts = \"50ms\"");
    let (outcome, found, _) = toy(&format!("{FORGETS}{wiped}"), 1, false);
    assert_eq!((found.len, found.names.len()), (0, 0));
    assert!(found.synced > 50_000 && effects(&outcome, "disk_wiped") == 1);
    let restored = fault("disk_restored", "when = \"300ms\"\nlasts = \"300ms\"");
    let (outcome, found, _) = toy(&format!("{FORGETS}{restored}"), 1, false);
    assert!(found.len > 10_000 && found.len + 20_000 < found.synced, "{found:?}");
    assert_eq!((found.wrong, effects(&outcome, "disk_restored")), (0, 1));
    // Others may want the host down meanwhile, and boot it.
    let both = format!(
        "{FORGETS}{wiped}{}{POWER}",
        fault("disk_restored", "when = \"590ms\"\nlasts = \"40ms\"")
    );
    let (_, found, _) = toy(&both, 1, false);
    assert!(found.len > 10_000, "the restored disk is the later one: {found:?}");
}

/// Everything at once, drawn, over a node that bears errors.
const ALL: &str = r#"
[atlas]
damages = 2
forgets = 2
[[fault]]
kind = "write_torn"
sector = "512B|4KiB"
missing = "0%..50%"
when = "0ms..800ms"
lasts = "10ms..100ms"
times = "1..3"
[[fault]]
kind = "write_lost"
shows = "restart|power_loss"
when = "0ms..500ms"
lasts = "10ms..400ms"
times = "1..2"
[[fault]]
kind = "write_misdirected"
shows = "restart|power_loss"
when = "0ms..500ms"
lasts = "10ms..400ms"
[[fault]]
kind = "bit_rot"
places = "1..5"
end = "spared|hit"
shows = "now|restart|power_loss"
when = "0ms..800ms"
times = "1..3"
[[fault]]
kind = "sector_error"
places = "1..5"
shows = "now|restart|power_loss"
when = "0ms..800ms"
[[fault]]
kind = "read_error"
share = "1%..50%"
when = "0ms..800ms"
lasts = "10ms..300ms"
[[fault]]
kind = "write_error"
share = "1%..20%"
when = "0ms..800ms"
lasts = "10ms..300ms"
[[fault]]
kind = "sync_error"
share = "1%..20%"
after = "clean|reverts|stays"
on = "minority"
when = "0ms..800ms"
lasts = "10ms..300ms"
times = "1..3"
[[fault]]
kind = "sync_lies"
delay = "0ns|5ms"
when = "0ms..800ms"
lasts = "10ms..300ms"
[[fault]]
kind = "dir_entry_lost"
reach = "unsynced|synced"
when = "0ms..800ms"
lasts = "10ms..300ms"
[[fault]]
kind = "disk_fail_slow"
when = "0ms..800ms"
lasts = "10ms..300ms"
[[fault]]
kind = "disk_wiped"
when = "0ms..800ms"
lasts = "10ms..100ms"
[[fault]]
kind = "disk_restored"
when = "0ms..800ms"
lasts = "10ms..300ms"
[[fault]]
kind = "power_loss"
when = "0ms..800ms"
lasts = "10ms..100ms"
times = "1..3"
"#;

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_kept_plan_replays_to_the_same_digest(seed in 0u64..10_000) {
        let (registry, _) = registry(true);
        let scenario = scenario(registry, ALL);
        let drawn = run(&scenario, registry, &Options::seed(seed)).unwrap();
        let text = drawn.plan().artifact();
        let plan = Plan::parse("kept.toml", &text, registry, 3).map_err(|p| {
            TestCaseError::fail(format!("{p:?}"))
        })?;
        prop_assert!(plan.exact.len() >= 13);
        let options = Options { plan: Some(plan), ..Options::seed(seed) };
        let again = run(&scenario, registry, &options).unwrap();
        prop_assert_eq!(again.digest, drawn.digest);
        prop_assert_eq!(&again.violations, &drawn.violations);
    }
}
