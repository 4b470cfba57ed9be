//! Memory limits and collectors under toy nodes that state what they hold: a world that stops and what it
//! does to heartbeats and work, refusals, processes that are ended, and all of it beside faults.

mod bench;

use std::io::ErrorKind;
use std::time::Duration;

use bench::{Told, fault, ms, on_machine, registry, told};
use host::{Host, Mono, Work};
use kernel::history::Trace;
use kernel::outcome::{Line, Outcome, Verdict};
use kernel::plan::Plan;
use kernel::registry::Registry;
use kernel::run::{Options, run};
use proptest::prelude::*;

const MB: u64 = 1_000_000;

/// A small machine under .NET: a full collection is due at 50 MB, and takes 2 ms for each million bytes of
/// large objects.
const DOTNET: &[(&str, &str)] = &[
    ("memory_collector", "dotnet_server"),
    ("memory_limit", "200MB"),
    ("memory_heap_limit", "100MB"),
    ("memory_object_max", "60MB"),
    ("memory_large_object", "85kB"),
    ("memory_collect_at", "50%"),
    ("memory_pause_base", "1ms"),
    ("memory_pause_per_large_mb", "4ms"),
    ("cost.toy.base", "20ms"),
];

fn outcome(
    registry: &'static Registry,
    constants: &[(&str, &str)],
    faults: &str,
    seed: u64,
) -> Outcome {
    let options = Options { trace: Trace::Full, ..Options::seed(seed) };
    let scenario = on_machine(registry, "2s", faults, constants);
    let outcome = run(&scenario, registry, &options).unwrap();
    assert_eq!(outcome.verdict, Verdict::Pass, "{:?}", outcome.violations);
    outcome
}

fn lines<'a>(outcome: &'a Outcome, host: &str, word: &str) -> Vec<&'a Line> {
    outcome.trace.iter().filter(|line| line.host == host && line.word == word).collect()
}

/// What a node tells: who it is, what it did, and how long that took in microseconds.
type Story = Told<(String, &'static str, u64)>;

fn tell(story: &Story, host: &Host, what: &'static str, from: Mono) {
    let took = host.clock().now().since(from).as_micros() as u64;
    story.lock().unwrap().push((host.name().to_string(), what, took));
}

fn spans(story: &Story, host: &str, what: &str) -> Vec<u64> {
    let of = told(story).into_iter().filter(|s| s.0 == host && s.1 == what);
    of.map(|s| s.2).collect()
}

/// On threads of their own: a heart that beats every 5 ms, and work of 20 ms each time.
fn lives(host: &Host, story: &Story) {
    let (own, tells) = (host.clone(), story.clone());
    drop(host.thread("heart").spawn("beats", async move {
        loop {
            let from = own.clock().now();
            own.clock().sleep(ms(5)).await;
            tell(&tells, &own, "beat", from);
        }
    }));
    let (own, tells, thread) = (host.clone(), story.clone(), host.thread("worker"));
    drop(host.thread("worker").spawn("works", async move {
        loop {
            let from = own.clock().now();
            thread.run(Work { kind: "toy", bytes: 0 }, || ()).await;
            tell(&tells, &own, "work", from);
            own.clock().sleep(ms(1)).await;
        }
    }));
}

/// How a node handles its buffers of a million bytes.
#[derive(Clone, Copy, PartialEq)]
enum Buffers {
    /// A new one for every request.
    Fresh,
    /// The same one for all.
    Pooled,
    /// New ones, and a collection after every tenth.
    Collected,
}

/// n1 serves a request every 5 ms; all hosts live.
async fn serves(host: Host, buffers: Buffers, story: Story) -> std::io::Result<()> {
    lives(&host, &story);
    let memory = host.memory();
    let _pool = memory.claim("pool", MB)?;
    for n in 1.. {
        host.clock().sleep(ms(5)).await;
        if host.name() != "n1" {
            continue;
        }
        if buffers != Buffers::Pooled {
            memory.allocate("request", MB)?;
        }
        if buffers == Buffers::Collected && n % 10 == 0 {
            memory.collect().await;
        }
        story.lock().unwrap().push(("n1".into(), "held", memory.used()));
    }
    Ok(())
}

fn served(buffers: Buffers, faults: &str) -> (Outcome, Story) {
    let story = Story::default();
    let tells = story.clone();
    let node = move |host: Host, _| serves(host, buffers, tells.clone());
    (outcome(registry(node), DOTNET, faults, 1), story)
}

#[test]
fn a_collection_stops_every_thread_of_its_host_and_of_no_other() {
    let (outcome, story) = served(Buffers::Fresh, "");
    let collections = lines(&outcome, "n1", "collected");
    assert!(collections.len() >= 3, "{collections:?}");
    // 45 MB of garbage and the pool: 4 MB are the runtime's.
    let said = "took 185.000 ms, 45000000 bytes freed, 5000000 left";
    assert!(collections[0].text.contains(said), "{}", collections[0].text);
    // A clock may be off by 50 parts per million.
    let late = |spans: Vec<u64>| spans.iter().filter(|us| **us > 184_980).count();
    assert_eq!(late(spans(&story, "n1", "beat")), collections.len());
    let works = spans(&story, "n1", "work");
    // Work under way keeps what it has done and takes longer by the stop; where the worker rests
    // when the world stops, no work does.
    let (plain, longer) = (19_990..=20_010, 204_980..=205_010);
    assert!(works.iter().all(|us| plain.contains(us) || longer.contains(us)), "{works:?}");
    assert!((1..=collections.len()).contains(&late(works)));
    assert!(spans(&story, "n2", "beat").iter().all(|us| *us < 6_000));
    assert!(spans(&story, "n2", "work").iter().all(|us| *us < 21_000));
    assert!(lines(&outcome, "n2", "collected").is_empty());
}

#[test]
fn pooled_buffers_leave_nothing_to_collect_and_early_collections_are_short() {
    let (_, ill) = served(Buffers::Fresh, "");
    let (pooled, well) = served(Buffers::Pooled, "");
    assert!(lines(&pooled, "n1", "collected").is_empty());
    let most = |story: &Story, what| spans(story, "n1", what).into_iter().max().unwrap();
    assert_eq!(most(&well, "held"), 5 * MB);
    assert!(most(&well, "beat") < 6_000);
    let (often, tidy) = served(Buffers::Collected, "");
    assert!(lines(&often, "n1", "collected").len() > 10);
    assert!(most(&tidy, "held") <= 15 * MB && most(&ill, "held") > 45 * MB);
    assert!(most(&tidy, "beat") < 60_000 && most(&ill, "beat") > 185_000);
}

/// A collection of n1 that begins under load when nothing else happens: its number, when it ends, and a
/// moment 85 ms before that, in milliseconds of the load, which begins after a second.
fn collection_under_load() -> (usize, u64, u64) {
    let (plain, _) = served(Buffers::Fresh, "");
    let ends: Vec<u64> = lines(&plain, "n1", "collected").iter().map(|line| line.at).collect();
    let which = ends.iter().position(|at| *at > 1_200_000_000).expect("a collection");
    (which, ends[which], ends[which] / 1_000_000 - 1_000 - 85)
}

#[test]
fn a_pause_in_the_middle_of_a_collection_prolongs_it() {
    let (which, end, at) = collection_under_load();
    let pause = fault("pause", &format!("on = \"n1\"\nwhen = \"{at}ms\"\nlasts = \"300ms\""));
    let (paused, story) = served(Buffers::Fresh, &pause);
    let again = lines(&paused, "n1", "collected")[which];
    // The executor's clock ticks a little with every poll.
    assert!((again.at - end).abs_diff(300_000_000) < 10_000, "{} after {end}", again.at);
    assert!(again.text.contains("took 185.000 ms"), "{}", again.text);
    let beats = spans(&story, "n1", "beat");
    assert!(beats.iter().any(|us| (485_000..492_000).contains(us)), "{beats:?}");
    // To whoever reads the story the host stood still before the fault, and n2 did not.
    let struck = paused.trace.iter().find(|line| line.word == "fault").expect("a fault");
    assert_eq!(struck.marks, ['~', '.', '.']);
}

#[test]
fn a_crash_in_the_middle_of_a_collection_leaves_the_next_boot_nothing_of_it() {
    let (which, _, at) = collection_under_load();
    for kind in ["crash", "power_loss"] {
        let rest = format!("on = \"n1\"\nwhen = \"{at}ms\"\nlasts = \"20ms\"");
        let (crashed, story) = served(Buffers::Fresh, &fault(kind, &rest));
        let after = lines(&crashed, "n1", "collected");
        let next = after[which];
        assert!(next.at > (at + 1_000 + 200) * 1_000_000, "{kind}: {after:?}");
        assert!(next.text.contains("45000000 bytes freed"), "{kind}: {after:?}");
        let works = spans(&story, "n1", "work");
        assert!(works.iter().filter(|us| **us < 21_000).count() > 20, "{kind}: {works:?}");
    }
}

#[test]
fn what_does_not_fit_is_refused_and_the_node_may_go_on() {
    let story = Story::default();
    let tells = story.clone();
    let node = move |host: Host, _| {
        let story = tells.clone();
        async move {
            let memory = host.memory();
            let refused = |outcome: std::io::Result<host::Claim>| {
                outcome.err().map(|why| why.kind()) == Some(ErrorKind::OutOfMemory)
            };
            assert!(refused(memory.claim("image", 61 * MB)), "no object is that large");
            let mut table = memory.claim("table", 50 * MB)?;
            assert!(refused(memory.claim("image", 50 * MB)), "there is no room for it");
            assert!(table.set(120 * MB).is_err() && table.bytes() == 50 * MB);
            table.set(10 * MB)?;
            drop(memory.claim("image", 50 * MB)?);
            story.lock().unwrap().push((host.name().into(), "done", memory.used()));
            std::future::pending::<()>().await;
            Ok(())
        }
    };
    let outcome = outcome(registry(node), DOTNET, "", 1);
    assert_eq!(spans(&story, "n1", "done"), [64 * MB]);
    assert!(lines(&outcome, "n1", "out_of_memory").is_empty());
}

#[test]
fn a_node_that_gives_up_over_a_refusal_is_started_again() {
    let node = |host: Host, _| async move {
        let mut table = host.memory().claim("table", MB)?;
        for n in 2.. {
            host.clock().sleep(ms(10)).await;
            table.set(n * MB)?;
        }
        Ok(())
    };
    let mut constants = DOTNET.to_vec();
    constants.push(("memory_heap_limit", "20MB"));
    let outcome = outcome(registry(node), &constants, "", 1);
    let (boots, ends) = (lines(&outcome, "n1", "booted"), lines(&outcome, "n1", "exited"));
    assert!(boots.len() >= 2 && ends.len() >= 2, "{boots:?} {ends:?}");
    assert!(ends[0].text.contains("do not fit"), "{}", ends[0].text);
}

/// Grows by 1 MB every 10 ms, and tells what it still could do after the refusal.
async fn grows(host: Host, story: Story) -> std::io::Result<()> {
    struct Ends(Story);
    impl Drop for Ends {
        fn drop(&mut self) {
            self.0.lock().unwrap().push(("n1".into(), "dropped", 0));
        }
    }
    let (clock, guard) = (host.clock(), Ends(story.clone()));
    drop(host.thread("other").spawn("bystander", async move {
        let _guard = guard;
        loop {
            clock.sleep(ms(5)).await;
        }
    }));
    let mut table = host.memory().claim("table", MB)?;
    loop {
        host.clock().sleep(ms(10)).await;
        if host.name() == "n1" && table.set(table.bytes() + MB).is_err() {
            story.lock().unwrap().push(("n1".into(), "still uses", host.memory().used()));
            let _ = host.disk().open("late", host::OpenMode::Fresh).await;
            story.lock().unwrap().push(("n1".into(), "lives on", 0));
        }
    }
}

#[test]
fn a_process_over_its_limit_is_ended_at_once_and_started_after_a_second() {
    let limits: [(&str, &[(&str, &str)]); 3] = [
        ("none", &[("memory_limit", "30MB")]),
        ("v8", &[("memory_collector", "v8"), ("memory_heap_limit", "30MB")]),
        // The heap may grow beyond what the container has.
        ("dotnet_server", &[("memory_collector", "dotnet_server"), ("memory_limit", "30MB")]),
    ];
    for (name, constants) in limits {
        let story = Story::default();
        let tells = story.clone();
        let registry = registry(move |host, _| grows(host, tells.clone()));
        let outcome = outcome(registry, constants, "", 1);
        let ended = lines(&outcome, "n1", "out_of_memory");
        let boots = lines(&outcome, "n1", "booted");
        assert!(ended.len() >= 2 && boots.len() >= 2, "{name}: {ended:?}");
        assert!(ended[0].text.contains("it held 31000000 bytes"), "{name}: {}", ended[0].text);
        assert_eq!(ended[0].marks[0], '#', "{name}");
        let down = boots[1].at - ended[0].at;
        assert!(down.abs_diff(1_000_000_000) < 10_000, "{name}: {down}");
        assert_eq!(spans(&story, "n1", "still uses").first(), Some(&0), "{name}");
        assert_eq!(spans(&story, "n1", "lives on"), [0; 0], "{name}");
        assert!(spans(&story, "n1", "dropped").len() >= ended.len(), "{name}");
        assert!(lines(&outcome, "n2", "out_of_memory").is_empty(), "{name}");
    }
}

const STORM: &str = r#"
[[fault]]
kind = "pause"
when = "0ms..1800ms"
lasts = "1ms..400ms"
times = "1..5"
[[fault]]
kind = "crash"
when = "0ms..1800ms"
lasts = "1ms..300ms"
times = "1..3"
[[fault]]
kind = "cpu_steal"
when = "0ms..1500ms"
lasts = "10ms..400ms"
times = "1..3"
"#;

/// Keeps some of what it allocates, so that its process is ended now and then.
async fn hoards(host: Host) -> std::io::Result<()> {
    lives(&host, &Story::default());
    let (memory, mut rng) = (host.memory(), host.rng("hoard", 0));
    let mut kept = Vec::new();
    loop {
        host.clock().sleep(Duration::from_micros(rng.between(100, 9_000))).await;
        let bytes = rng.between(10, 3 * MB);
        match rng.below(8) {
            0..4 => memory.allocate("request", bytes)?,
            4..6 => kept.push(memory.claim("table", bytes)?),
            6 => drop(kept.pop()),
            _ => memory.collect().await,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    #[test]
    fn memory_is_the_same_again_and_under_a_replayed_plan(
        seed in 0u64..1_000_000, v8 in any::<bool>(),
    ) {
        let registry = registry(|host, _| hoards(host));
        let mut constants = DOTNET.to_vec();
        constants.push(("memory_young", "2MB"));
        constants.push(("memory_young_pause", "700us"));
        constants.push(("memory_heap_limit", "30MB"));
        if v8 {
            constants.push(("memory_collector", "v8"));
        }
        let scenario = on_machine(registry, "2s", STORM, &constants);
        let drawn = run(&scenario, registry, &Options::seed(seed)).unwrap();
        prop_assert_eq!(drawn.verdict, Verdict::Pass, "{:?}", drawn.violations);
        let again = run(&scenario, registry, &Options::seed(seed)).unwrap();
        prop_assert_eq!(&again.digest, &drawn.digest);
        let text = drawn.plan().artifact();
        let plan = Plan::parse("kept.toml", &text, registry, 3)
            .map_err(|p| TestCaseError::fail(format!("{p:?}")))?;
        let options = Options { plan: Some(plan), ..Options::seed(seed) };
        let replayed = run(&scenario, registry, &options).unwrap();
        prop_assert_eq!(replayed.digest, drawn.digest);
    }
}
