//! The kernel under nodes made for the purpose: the conformance suite on the simulated arm, and every
//! verdict of the machinery, each reached by a node that deserves it.

mod conformance;
mod durability;
mod resets;
mod strain;
mod threads;
mod verdicts;

use std::sync::Arc;

use host::{Host, Members};

use crate::doc::Doc;
use crate::outcome::Outcome;
use crate::registry::{NoParams, Registry, node, workload};
use crate::run::{Options, leak, run};
use crate::scenario::Scenario;
use crate::workload::{Client, ClientFuture, Load, Workload};

/// A load of one client that does nothing but end, or never ends.
#[derive(Clone, Copy)]
struct Idle {
    ends: bool,
}

impl Workload for Idle {
    fn clients(&self) -> u64 {
        1
    }
    fn start(&self) -> Arc<dyn Load> {
        Arc::new(*self)
    }
}

impl Load for Idle {
    fn load(self: Arc<Self>, client: Client) -> ClientFuture {
        Box::pin(async move {
            client.invoked(0, "nothing", "k", 0);
            client.returned(0, crate::event::OpEnd::Ok, 1, 0);
            if !self.ends {
                std::future::pending::<()>().await;
            }
        })
    }
    fn read_back(self: Arc<Self>, _: Client) -> ClientFuture {
        Box::pin(async {})
    }
}

/// A vocabulary with one node.
fn registry<F, R>(run: R) -> Registry
where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
    R: Fn(Host, Members) -> F + Clone + Send + Sync + 'static,
{
    let run = move |host, _: NoParams, members| run(host, members);
    Registry {
        nodes: vec![node(
            "subject",
            "Under test.",
            &[("a_plant", "For tests.")],
            &[],
            |_| Ok(()),
            run,
        )],
        workloads: vec![
            workload("idle", "Ends at once.", |_: NoParams| Ok(Idle { ends: true })),
            workload("waits", "Never ends.", |_: NoParams| Ok(Idle { ends: false })),
        ],
        ..Registry::default()
    }
}

fn scenario(registry: &Registry, text: &str) -> Arc<Scenario> {
    let text = format!("title = \"t\"\nprofile = \"p\"\n{text}");
    let mut doc = Doc::parse("test.toml", &text, "").unwrap();
    let price = "[cost.conformance_hold.base]\nvalue = \"20ms\"\nabout = \"a\"\norigin = \"o\"\n\
                 fitted_on = []\n";
    let machine = include_str!("../../../profiles/dotnet_container.toml");
    doc.merge(Doc::parse("dotnet_container.toml", machine, "profile").unwrap());
    doc.merge(Doc::parse("p.toml", price, "profile").unwrap());
    Arc::new(Scenario::read("test", &doc, registry).unwrap_or_else(|p| panic!("{p:?}")))
}

fn outcome(registry: Registry, text: &str, seed: u64) -> Outcome {
    let registry = leak(registry);
    let scenario = scenario(registry, text);
    run(&scenario, registry, &Options::seed(seed)).unwrap()
}
