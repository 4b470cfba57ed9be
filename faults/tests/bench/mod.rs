//! What tests of faults on toy nodes share: a load that tells to what its clients are urged, a vocabulary
//! with one node, a small scenario, and runs that must pass.

#![allow(dead_code, reason = "each test uses what it needs")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use host::{Class, Host, Members};
use kernel::doc::Doc;
use kernel::outcome::{Outcome, Verdict};
use kernel::registry::{NoParams, Registry, node, workload};
use kernel::run::{Options, leak, run};
use kernel::scenario::Scenario;
use kernel::workload::{Client, ClientFuture, Load, Urges, Workload};

pub const CLASS: Class = Class("toy");

pub fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub type Told<T> = Arc<Mutex<Vec<T>>>;

pub fn told<T: Clone>(told: &Told<T>) -> Vec<T> {
    told.lock().unwrap().clone()
}

/// What a client was urged to, by its number and the millisecond of its clock since it began.
pub type Urged = (u64, u64, Urges);

/// A load of four clients that asks every 10 ms to what it is urged.
pub struct Watches(pub Told<Urged>);

impl Workload for Watches {
    fn clients(&self) -> u64 {
        4
    }
    fn start(&self) -> Arc<dyn Load> {
        Arc::new(Watches(self.0.clone()))
    }
}

impl Load for Watches {
    fn load(self: Arc<Self>, client: Client) -> ClientFuture {
        Box::pin(async move {
            client.invoked(0, "nothing", "k", 0);
            client.returned(0, kernel::event::OpEnd::Ok, 1, 0);
            let clock = client.host.clock();
            for n in 0.. {
                self.0.lock().unwrap().push((client.number, n * 10, client.urges()));
                clock.sleep(ms(10)).await;
            }
        })
    }
    fn read_back(self: Arc<Self>, _: Client) -> ClientFuture {
        Box::pin(async {})
    }
}

thread_local! {
    pub static URGED: Told<Urged> = Told::default();
}

/// A vocabulary with one node, the load, and all faults.
pub fn registry<F, R>(run: R) -> &'static Registry
where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
    R: Fn(Host, Members) -> F + Clone + Send + Sync + 'static,
{
    let run = move |host, _: NoParams, members| run(host, members);
    leak(Registry {
        nodes: vec![node("toy", "Under test.", &[], &[], |_| Ok(()), run)],
        workloads: vec![workload("watches", "Never ends.", |_: NoParams| {
            Ok(Watches(URGED.with(Arc::clone)))
        })],
        faults: faults::words(),
        ..Registry::default()
    })
}

pub fn scenario(registry: &Registry, faults: &str) -> Arc<Scenario> {
    lasting(registry, "1s", faults)
}

pub fn lasting(registry: &Registry, duration: &str, faults: &str) -> Arc<Scenario> {
    on_machine(registry, duration, faults, &[])
}

/// The same on a machine that has other constants, by name.
pub fn on_machine(
    registry: &Registry,
    duration: &str,
    faults: &str,
    constants: &[(&str, &str)],
) -> Arc<Scenario> {
    let text = format!(
        "title = \"t\"\nprofile = \"p\"\nduration = \"{duration}\"\nsettle = \"300ms\"\n\
         [cluster]\nnode = \"toy\"\nhosts = 3\n[[workload]]\nkind = \"watches\"\n{faults}"
    );
    let mut doc = Doc::parse("toy.toml", &text, "").unwrap();
    let machine = include_str!("../../../sim/profiles/ssd_lan.toml");
    doc.merge(Doc::parse("ssd_lan.toml", machine, "profile").unwrap());
    for (name, value) in constants {
        doc.set(&format!("profile.{name}.value"), value);
    }
    Arc::new(Scenario::read("toy", &doc, registry).unwrap_or_else(|p| panic!("{p:?}")))
}

pub fn outcome(registry: &'static Registry, faults: &str, seed: u64) -> Outcome {
    let outcome = run(&scenario(registry, faults), registry, &Options::seed(seed)).unwrap();
    assert_eq!(outcome.verdict, Verdict::Pass, "{:?}", outcome.violations);
    outcome
}

pub fn effects(outcome: &Outcome, kind: &str) -> u64 {
    outcome.faults.iter().find(|f| f.kind == kind).map_or(0, |f| f.effects)
}

pub fn fault(kind: &str, rest: &str) -> String {
    format!("[[fault]]\nkind = \"{kind}\"\n{rest}\n")
}
