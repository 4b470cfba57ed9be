//! Every verdict that the machinery itself can give, and that a seed is one run.

use std::time::Duration;

use host::{Class as Traffic, OpenMode, Work};

use super::{outcome, registry, scenario};
use crate::check::{Check, Conclusion, Fact, Finding, Hears, View};
use crate::event::KernelEvent;
use crate::outcome::{Class, Verdict};
use crate::registry::{CheckWord, Claim, MakeCheck, Registry};
use crate::run::{Options, leak, run};

const LOAD: &str = "duration = \"5s\"\nsettle = \"1s\"\n[cluster]\nnode = \"subject\"\nhosts = 3\n\
                    [[workload]]\nkind = \"waits\"\n";

#[test]
fn a_task_that_wakes_itself_is_a_livelock() {
    let node = |host: host::Host, _| async move {
        let thread = host.thread("main");
        host.thread("spin").spawn("spinner", async move {
            loop {
                thread.yield_now().await;
            }
        });
        std::future::pending().await
    };
    let outcome = outcome(registry(node), LOAD, 0);
    assert_eq!(outcome.class, Some(Class::Livelock), "{:?}", outcome.violations);
    assert!(outcome.violations[0].text.contains("`spinner`"), "{:?}", outcome.violations);
    assert_eq!(outcome.exit_code(), 7);
}

#[test]
fn waiting_for_ever_is_a_deadlock_and_names_the_waiters() {
    let node = |host: host::Host, _| async move {
        let listener = host.net().listen(&format!("{}:1", host.name()).as_str().into()).await?;
        listener.accept().await.map(drop)
    };
    let outcome = outcome(registry(node), LOAD, 0);
    assert_eq!(outcome.class, Some(Class::Deadlock), "{:?}", outcome.violations);
    let text = &outcome.violations[0].text;
    assert!(text.contains("n2/main waits for somebody to connect"), "{text}");
}

#[test]
fn a_panic_is_that_nodes_verdict_also_in_drop() {
    struct Grenade;
    impl Drop for Grenade {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }
    let node = |host: host::Host, _| async move {
        // A second panic while the first unwinds would abort, as it does in every Rust program.
        let _grenade = (host.name() != "n2").then(|| Grenade);
        host.clock().sleep(Duration::from_secs(2)).await;
        assert!(host.name() != "n2", "n2 has had enough");
        std::future::pending().await
    };
    let outcome = outcome(registry(node), LOAD, 0);
    assert_eq!((outcome.class, outcome.exit_code()), (Some(Class::Panic), 3));
    assert!(outcome.violations[0].text.contains("n2 has had enough"), "{:?}", outcome.violations);
}

#[test]
fn bytes_are_bounded() {
    let node = |host: host::Host, _| async move {
        let file = host.disk().open("f", OpenMode::Fresh).await?;
        loop {
            file.append(Traffic("wal"), vec![0; 1 << 20].into()).await?;
        }
    };
    let text = format!("{LOAD}[limits]\nmemory = \"64MiB\"\n");
    let outcome = outcome(registry(node), &text, 0);
    assert_eq!((outcome.class, outcome.exit_code()), (Some(Class::Memory), 8));
}

#[test]
fn polls_are_bounded() {
    let node = |host: host::Host, _| async move {
        loop {
            host.clock().sleep(Duration::from_micros(10)).await;
        }
    };
    let text = format!("{LOAD}[limits]\npolls = 10000\n");
    let outcome = outcome(registry(node), &text, 0);
    assert_eq!((outcome.class, outcome.exit_code()), (Some(Class::Time), 8));
}

#[test]
fn a_run_without_acknowledgements_is_vacuous() {
    let node = |_, _| std::future::pending();
    let text = LOAD.replace("waits", "idle") + "[check]\nmin_acks = 2\n";
    let outcome = outcome(registry(node), &text, 0);
    assert_eq!((outcome.verdict, outcome.exit_code()), (Verdict::Vacuous, 6));
}

/// A registry whose only node sleeps, with these checks.
fn checked(checks: &[(&'static str, Claim, MakeCheck)]) -> Registry {
    let word = |(word, claim, make): &(&'static str, Claim, MakeCheck)| CheckWord {
        word,
        about: "For tests.",
        claim: *claim,
        make: *make,
    };
    let checks = checks.iter().map(word).collect();
    Registry { checks, ..registry(|_, _| std::future::pending()) }
}

#[test]
fn what_a_check_cannot_decide_is_unknown_and_no_failure() {
    struct Doubts;
    impl Check for Doubts {
        fn observe(&mut self, _: &Fact<'_>, _: &View<'_>) -> Result<(), Finding> {
            Ok(())
        }

        fn conclude(&mut self, _: &View<'_>) -> Conclusion {
            Conclusion::Undecided("there is too much of it".to_string())
        }
    }
    let registry = leak(checked(&[("doubts", Claim::Always, |_| Ok(Box::new(Doubts)))]));
    let text = LOAD.replace("waits", "idle") + "[check]\nalways = [\"doubts\"]\nmin_acks = 0\n";
    let scenario = scenario(registry, &text);
    let outcome = run(&scenario, registry, &Options::seed(0)).unwrap();
    assert_eq!((outcome.verdict, outcome.class, outcome.exit_code()), (Verdict::Unknown, None, 6));
    assert!(outcome.violations.is_empty(), "{:?}", outcome.violations);
    assert_eq!(outcome.undecided, ["doubts: there is too much of it"]);
    let muted = Options { mute: vec!["doubts".to_string()], ..Options::seed(0) };
    let outcome = run(&scenario, registry, &muted).unwrap();
    assert_eq!((outcome.verdict, outcome.exit_code()), (Verdict::Pass, 0));
}

#[test]
fn a_check_is_asked_about_what_it_hears_of_and_nothing_else() {
    /// Counts what it hears.
    struct Ear(Hears, u64);
    impl Check for Ear {
        fn hears(&self) -> Hears {
            self.0
        }

        fn observe(&mut self, fact: &Fact<'_>, _: &View<'_>) -> Result<(), Finding> {
            let kernel = fact.get::<KernelEvent>().is_some();
            assert!(kernel || self.0 == Hears::Everything, "{:?}", fact.event);
            self.1 += 1;
            Ok(())
        }

        fn count(&self) -> u64 {
            self.1
        }
    }
    const KERNEL: Hears = Hears::Only(&[std::any::TypeId::of::<KernelEvent>()]);
    let registry = checked(&[
        ("all", Claim::Sometimes, |_| Ok(Box::new(Ear(Hears::Everything, 0)))),
        ("kernels", Claim::Sometimes, |_| Ok(Box::new(Ear(KERNEL, 0)))),
        ("nothing", Claim::Sometimes, |_| Ok(Box::new(Ear(Hears::Only(&[]), 0)))),
    ]);
    let node = |host: host::Host, _: host::Members| async move {
        host.emit(Said);
        std::future::pending().await
    };
    let nodes = super::registry(node).nodes;
    let text = LOAD.replace("waits", "idle")
        + "[check]\nsometimes = [\"all\", \"kernels\", \"nothing\"]\nmin_acks = 0\n";
    let outcome = outcome(Registry { nodes, ..registry }, &text, 0);
    let counts: Vec<u64> = outcome.sometimes.iter().map(|(_, count)| *count).collect();
    let [all, kernels, nothing] = counts[..] else { panic!("{counts:?}") };
    assert!(kernels > 3, "three hosts boot and phases begin: {kernels}");
    assert_eq!((all - kernels, nothing), (5, 0), "each node says one thing, the client two");
}

/// What a node says once.
#[derive(Debug)]
struct Said;

impl host::Event for Said {
    fn source(&self) -> &'static str {
        "subject"
    }

    fn word(&self) -> &'static str {
        "said"
    }

    fn text(&self) -> String {
        "said".to_string()
    }

    fn facts(&self, _: &mut host::Facts<'_>) {}
}

/// A node that uses everything, so that its digest depends on everything.
async fn busy(host: host::Host, members: host::Members) -> std::io::Result<()> {
    let me = members.get(members.me).expect("a member").clone();
    let listener = host.net().listen(&me.peer_addr).await?;
    let inner = host.clone();
    host.thread("in").spawn("accept", async move {
        while let Ok(conn) = listener.accept().await {
            let (_tx, mut rx) = conn.split();
            let clock = inner.clock();
            inner.thread("in").spawn("read", async move {
                while let Ok(Some(_)) = rx.recv().await {
                    clock.sleep(Duration::from_micros(300)).await;
                }
            });
        }
    });
    let mut rng = host.rng("busy", 0);
    let file = host.disk().open("wal", OpenMode::CreateIfMissing).await?;
    loop {
        let to = &members.all[rng.below(members.all.len() as u64) as usize];
        let within = Duration::from_millis(50);
        if let Ok(conn) = host.net().dial(&to.peer_addr, within, host::Style::Stream).await {
            let (mut tx, _rx) = conn.split();
            for n in 0..rng.below(5) {
                tx.send(Traffic("x"), vec![n as u8; 100].into()).await?;
            }
        }
        host.thread("main").run(Work { kind: "conformance_hold", bytes: 0 }, || ()).await;
        file.append(Traffic("wal"), vec![1; 5000].into()).await?;
        file.sync(Traffic("wal")).await?;
    }
}

#[test]
fn a_seed_is_one_run_wherever_it_is_run() {
    let registry = leak(registry(busy));
    let scenario = scenario(registry, LOAD);
    let digest = |seed, weave, perturbed| {
        let options = Options { weave, perturbed, other_wall: perturbed, ..Options::seed(seed) };
        let outcome = run(&scenario, registry, &options).unwrap();
        assert!(outcome.events > 1_000, "{}", outcome.events);
        (outcome.digest, outcome.canary)
    };
    let first = digest(7, 0, false);
    assert_ne!(digest(8, 0, false).0, first.0);
    assert_ne!(digest(7, 1, false).0, first.0);
    assert_eq!(digest(7, 0, false), first);
    let perturbed = digest(7, 0, true);
    assert_eq!(perturbed.0, first.0);
    assert_ne!(perturbed.1, first.1, "the perturbation reaches the hash keys");
    let parallel: Vec<_> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4).map(|_| scope.spawn(|| digest(7, 0, false))).collect();
        runs.into_iter().map(|r| r.join().unwrap()).collect()
    });
    assert!(parallel.iter().all(|p| *p == first));
}

/// A load that goes on after the heal ends at the end of the recovery, or when its clients are done.
#[test]
fn load_goes_on_for_the_recovery_and_no_longer() {
    let phases = |load: &str, recovery: &str| {
        // Somebody has to have something to do, or the run is a deadlock.
        let node = |host: host::Host, _| async move {
            loop {
                host.clock().sleep(Duration::from_millis(100)).await;
            }
        };
        let text = LOAD.replace("waits", load).replace("duration", &format!("{recovery}duration"));
        let registry = crate::run::leak(registry(node));
        let scenario = super::scenario(registry, &text);
        let options = crate::run::Options {
            trace: crate::history::Trace::Full,
            ..crate::run::Options::seed(1)
        };
        let outcome = crate::run::run(&scenario, registry, &options).unwrap();
        let phases = outcome.trace.iter().filter(|line| line.source == "phase");
        phases.map(|line| (line.word, line.at / 1_000_000)).collect::<Vec<_>>()
    };
    let without = phases("waits", "");
    assert_eq!(without.iter().map(|p| p.0).collect::<Vec<_>>(), ["load", "heal"]);
    let with = phases("waits", "recovery = \"700ms\"\n");
    assert_eq!(with.iter().map(|p| p.0).collect::<Vec<_>>(), ["load", "heal", "settle"]);
    assert_eq!((with[1].1, with[2].1 - with[1].1), (without[1].1, 700));
    let done = phases("idle", "recovery = \"700ms\"\n");
    assert_eq!(done[2].1, done[1].1, "clients that are done have nothing to go on with");
}
