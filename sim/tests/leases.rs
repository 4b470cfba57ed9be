//! Leases, hand-overs and graceful stops of the Raft driver, without a store on it: nobody reads under a
//! lease once another leader has been elected, also when the old one is cut off while it hands over; a
//! stopped node has answered whoever proposed to it, and starts again in the same process.
//!
//! The node is its own load, as in `groups`. Linearizability of what clients read is judged elsewhere.

mod bystander;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use host::{Chunks, Event, Facts, Host, Members};
use kernel::check::{Check, Fact, Finding, Measure, Unit, View};
use kernel::library::Library;
use kernel::outcome::{Outcome, Verdict};
use kernel::registry::{CheckWord, Claim, Registry, node};
use kernel::run::{Options, leak, run};
use kernel::scenario::Scenario;
use raft_driver::event::RaftEvent;
use raft_driver::{Config, Image, Raft, StateMachine};

const GROUP: u32 = 1;
const SEEDS: u64 = 6;
/// Turns of a leader between two hand-overs, and those until it stops.
const TURNS: u64 = 60;
const LAST: u64 = 200;
/// Proposals right before a stop.
const AT_ONCE: u64 = 5;

/// What a stop came to.
#[derive(Debug)]
struct Stopped {
    /// Proposals that went through.
    ok: u64,
}

impl Event for Stopped {
    fn source(&self) -> &'static str {
        "test"
    }
    fn word(&self) -> &'static str {
        "stopped"
    }
    fn text(&self) -> String {
        format!("stopped, {} of {AT_ONCE} went through", self.ok)
    }
    fn facts(&self, facts: &mut Facts<'_>) {
        facts.num(self.ok);
    }
}

/// How many entries there were.
struct Count(u64);

impl StateMachine for Count {
    fn apply(&mut self, _: u64, _: u64, _: &Bytes, _: &Bytes) -> Bytes {
        self.0 += 1;
        Bytes::new()
    }
    fn snapshot(&self) -> Image {
        let mut image = Image::new();
        image.push(self.0.to_le_bytes().to_vec().into());
        image
    }
    fn restore(&mut self, image: Chunks) -> io::Result<()> {
        let bytes: [u8; 8] = image.to_bytes()[..].try_into().map_err(io::Error::other)?;
        self.0 = u64::from_le_bytes(bytes);
        Ok(())
    }
    fn state_hash(&self) -> u64 {
        self.0
    }
    fn size(&self) -> u64 {
        8
    }
}

async fn leases(host: Host, config: Config, members: Members) -> io::Result<()> {
    loop {
        let machine = |_| -> Box<dyn StateMachine> { Box::new(Count(0)) };
        let raft = raft_driver::start(&host, &config, &members, &[GROUP], machine).await?;
        let load = load(host.clone(), raft.clone(), members.clone());
        let load = host.thread("load").spawn("load", load);
        raft.ended().await?;
        load.join().await;
    }
}

async fn load(host: Host, raft: Raft, members: Members) {
    let propose = || raft.propose(GROUP, b"", Bytes::from_static(&[7; 400]));
    let mut turn = 0;
    while turn < LAST {
        host.clock().sleep(Duration::from_millis(4)).await;
        if raft.leader(GROUP) != members.me {
            continue;
        }
        turn += 1;
        drop(raft.read(GROUP));
        if turn % TURNS == 0 {
            // Nothing is under way, so the order to campaign leaves at once, before the cut.
            let to = members.me % members.all.len() as u64 + 1;
            drop(raft.transfer(GROUP, to));
        } else {
            drop(propose());
        }
    }
    let last: Vec<_> = (0..AT_ONCE).map(|_| propose()).collect();
    raft.stop().await.expect("the disk is well");
    let mut ok = 0;
    for outcome in last {
        ok += u64::from(outcome.await.is_ok());
    }
    host.emit(Stopped { ok });
}

/// No read under a lease of a term after another has won a later one.
#[derive(Default)]
struct Exclusive {
    elected: u64,
    transfers: u64,
    reads: u64,
    stops: u64,
    ok: u64,
}

impl Check for Exclusive {
    fn observe(&mut self, fact: &Fact<'_>, _: &View<'_>) -> Result<(), Finding> {
        if let Some(Stopped { ok }) = fact.get() {
            self.stops += 1;
            self.ok += ok;
        }
        match fact.get() {
            Some(RaftEvent::Leader { term, .. }) => self.elected = self.elected.max(*term),
            Some(RaftEvent::TransferStarted { .. }) => self.transfers += 1,
            Some(RaftEvent::LeaseRead { term, reads, .. }) => {
                self.reads += reads;
                if *term < self.elected {
                    let text = format!("reads in term {term}, and {} has a leader", self.elected);
                    return Err(Finding::at(fact.host, text));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn measures(&self, _: &View<'_>) -> Vec<Measure> {
        let count = |name, value| Measure { name, value, unit: Unit::Count };
        vec![
            count("transfers", self.transfers),
            count("lease_reads", self.reads),
            count("stops", self.stops),
            count("ok_at_stop", self.ok),
        ]
    }
}

fn registry() -> Registry {
    let exclusive = CheckWord {
        word: "exclusive",
        about: "Reads under a lease lie before the next election.",
        claim: Claim::Always,
        make: |_| Ok(Box::new(Exclusive::default())),
    };
    let mut checks = checks::words();
    checks.push(exclusive);
    Registry {
        nodes: vec![node(
            "leases",
            "One group that leases.",
            raft_driver::PLANTS,
            store::EVENTS,
            Config::validate,
            leases,
        )],
        workloads: vec![bystander::word()],
        faults: faults::words(),
        checks,
        ..Registry::default()
    }
}

fn scenario(registry: &'static Registry, sets: &[(&str, &str)]) -> Arc<Scenario> {
    let sets: Vec<_> =
        sets.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    let scenario = Library::find(registry).load("sim/tests/leases.toml", &sets);
    Arc::new(scenario.unwrap_or_else(|e| panic!("{e:?}")))
}

fn count(outcome: &Outcome, name: &str) -> u64 {
    outcome.measure(name).unwrap_or_else(|| panic!("no measure {name}")).value
}

#[test]
fn leases_exclude_each_other() {
    let registry = leak(registry());
    let scenario = scenario(registry, &[]);
    for seed in 0..SEEDS {
        let outcome = run(&scenario, registry, &Options::seed(seed)).unwrap();
        assert_eq!(outcome.verdict, Verdict::Pass, "seed {seed}: {:?}", outcome.violations);
        assert!(count(&outcome, "transfers") >= 3, "seed {seed}");
        assert!(count(&outcome, "lease_reads") >= 100, "seed {seed}");
    }
}

/// Nobody is cut off or paused: what was proposed before the stop goes through, all of it.
#[test]
fn a_stop_in_calm_weather_loses_nothing() {
    let registry = leak(registry());
    let calm = [("fault.0.chance", "0%"), ("fault.1.chance", "0%")];
    let scenario = scenario(registry, &calm);
    let mut stops = 0;
    for seed in 0..SEEDS {
        let outcome = run(&scenario, registry, &Options::seed(seed)).unwrap();
        assert_eq!(outcome.verdict, Verdict::Pass, "seed {seed}: {:?}", outcome.violations);
        let (here, ok) = (count(&outcome, "stops"), count(&outcome, "ok_at_stop"));
        assert_eq!(ok, here * AT_ONCE, "seed {seed}, of {here} stops");
        stops += here;
    }
    assert!(stops >= SEEDS, "{stops} stops");
}

/// The net catches fish: a leader that keeps its lease while it hands over.
#[test]
fn a_lease_kept_through_a_hand_over_is_caught() {
    let registry = leak(registry());
    let scenario = scenario(registry, &[]);
    let caught = (0..SEEDS).any(|seed| {
        let plants = vec!["lease_survives_transfer".to_string()];
        let outcome = run(&scenario, registry, &Options { plants, ..Options::seed(seed) });
        outcome.unwrap().violations.iter().any(|v| v.check == "exclusive")
    });
    assert!(caught);
}
