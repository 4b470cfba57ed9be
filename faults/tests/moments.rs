//! Moments on disks as descriptions of when a fault acts: a crash that waited for a sync or a rename is
//! written down with its time, and the whole trace of its replay tells after which moment that was. Waiting
//! for that moment is the same run; waiting for the next one is another.

use std::sync::Arc;
use std::time::Duration;

use host::{Class, Host, Members, OpenMode};
use kernel::Time;
use kernel::doc::Doc;
use kernel::history::Trace;
use kernel::outcome::{Outcome, Verdict};
use kernel::plan::{Plan, When};
use kernel::registry::{NoParams, Registry, node, workload};
use kernel::run::{Options, leak, run};
use kernel::scenario::Scenario;
use kernel::shrink::waited;
use kernel::workload::{Client, ClientFuture, Load, Workload};

const CLASS: Class = Class("toy");
/// When the load begins, in nanoseconds.
const BOOT: Time = 1_000_000_000;

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

/// Writes, syncs and renames a file again and again.
async fn saves(host: Host) -> std::io::Result<()> {
    let disk = host.disk();
    loop {
        let file = disk.open("new", OpenMode::CreateIfMissing).await?;
        file.append(CLASS, vec![7; 900].into()).await?;
        file.sync(CLASS).await?;
        disk.rename("new", "old").await?;
        disk.sync_dir().await?;
        host.clock().sleep(Duration::from_millis(3)).await;
    }
}

fn registry() -> &'static Registry {
    let run = |host: Host, _: NoParams, _: Members| saves(host);
    leak(Registry {
        nodes: vec![node("toy", "Under test.", &[], &[], |_| Ok(()), run)],
        workloads: vec![workload("waits", "Never ends.", |_: NoParams| Ok(Waits))],
        faults: faults::words(),
        ..Registry::default()
    })
}

fn scenario(registry: &Registry, event: &str) -> Arc<Scenario> {
    let text = format!(
        "title = \"t\"\nprofile = \"p\"\nboot = \"1s\"\nduration = \"1s\"\nsettle = \"200ms\"\n\
         [cluster]\nnode = \"toy\"\nhosts = 3\n[[workload]]\nkind = \"waits\"\n\
         [[fault]]\nkind = \"crash\"\non = \"there\"\nlasts = \"100ms\"\n\
         when = {{ event = \"{event}\", nth = \"2..60\", after = \"0ms..1ms\" }}\n"
    );
    let mut doc = Doc::parse("toy.toml", &text, "").unwrap();
    let machine = include_str!("../../sim/profiles/ssd_lan.toml");
    doc.merge(Doc::parse("ssd_lan.toml", machine, "profile").unwrap());
    Arc::new(Scenario::read("toy", &doc, registry).unwrap_or_else(|p| panic!("{p:?}")))
}

#[test]
fn a_moment_says_as_well_as_a_time_when_a_fault_acts() {
    let registry = registry();
    for (event, seed) in ["synced", "dir_synced", "renamed"].into_iter().zip(3..) {
        let scenario = scenario(registry, event);
        let replay = |plan: Plan, trace: Trace| -> Outcome {
            let options = Options { plan: Some(plan), trace, ..Options::seed(seed) };
            let outcome = run(&scenario, registry, &options).unwrap();
            assert_eq!(outcome.verdict, Verdict::Pass, "{:?}", outcome.violations);
            outcome
        };
        let drawn = run(&scenario, registry, &Options::seed(seed)).unwrap();
        assert!(drawn.moments.is_empty(), "only a whole trace has them");
        let seen = replay(drawn.plan(), Trace::Full);
        assert_eq!(seen.digest, drawn.digest, "writing down changes nothing");
        let line = &seen.fired[0];
        let when = waited(&seen, line, BOOT).expect("a moment before it");
        let with = |when: When| {
            let mut plan = drawn.plan();
            plan.exact[0].when = Some(when);
            replay(plan, Trace::Off)
        };
        let waits = with(when.clone());
        assert_eq!(waits.fired[0].at, line.at, "{event}: {when:?}");
        assert_eq!(waits.digest, drawn.digest, "{event}: {when:?}");
        let When::Event { word, on, nth, after } = when else { panic!("no event: {when:?}") };
        assert_eq!((word.as_str(), on.as_ref()), (event, line.hosts.first()));
        let next = with(When::Event { word, on, nth: nth + 1, after });
        assert!(next.fired[0].at > line.at, "{event}");
    }
}
