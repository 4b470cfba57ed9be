//! The conformance suite on the simulated arm: two hosts whose node only tells the bench who it is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use host::conformance::{Bench, BoxFuture, CASES, Case};
use host::{Addr, Host};

use super::{outcome, registry};
use crate::world::{Due, Plugin};

type Hosts = Arc<Mutex<BTreeMap<String, Host>>>;

struct SimBench {
    hosts: Hosts,
}

impl SimBench {
    fn number(name: &str) -> usize {
        if name == "n1" { 0 } else { 1 }
    }
}

impl Bench for SimBench {
    fn host(&self, name: &str) -> Host {
        self.hosts.lock().unwrap()[name].clone()
    }

    fn addr(&self, host: &str, port: u16) -> Addr {
        Addr(format!("{host}:{port}"))
    }

    fn dead_addr(&self) -> Addr {
        Addr("n2:9".to_string())
    }

    fn reboot(&self, name: &str) -> BoxFuture<Host> {
        let (name, hosts) = (name.to_string(), self.hosts.clone());
        Box::pin(async move {
            hosts.lock().unwrap().remove(&name);
            {
                let shared = madsim::plugin::simulator::<Plugin>().shared.clone();
                let mut world = shared.world();
                world.crash(Self::number(&name));
                world.boot(Self::number(&name));
                let now = world.now();
                world.schedule(now, Due::Phase);
            }
            let clock = hosts.lock().unwrap()["n1"].clock();
            loop {
                if let Some(host) = hosts.lock().unwrap().get(&name) {
                    return host.clone();
                }
                clock.sleep(Duration::from_millis(1)).await;
            }
        })
    }

    /// Virtual time has no excuse: madsim's own floor of a millisecond would be found.
    fn sleep_slack(&self) -> Duration {
        Duration::from_micros(200)
    }

    fn ask_stop(&self, name: &str) {
        let shared = madsim::plugin::simulator::<Plugin>().shared.clone();
        let mut world = shared.world();
        world.ask_stop(Self::number(name), 0);
        let now = world.now();
        world.schedule(now, Due::Phase);
    }
}

fn check(case: &'static Case, seed: u64) -> Result<(), String> {
    let answer: Arc<Mutex<Option<Result<(), String>>>> = Arc::default();
    let (hosts, told): (Hosts, _) = (Arc::default(), answer.clone());
    let node = move |host: Host, _| {
        let (hosts, told) = (hosts.clone(), told.clone());
        async move {
            madsim::plugin::simulator::<Plugin>().shared.world().tolerates_panics = true;
            let first = host.name() == "n1" && !hosts.lock().unwrap().contains_key("n1");
            hosts.lock().unwrap().insert(host.name().to_string(), host.clone());
            if first {
                let clock = host.clock();
                while !hosts.lock().unwrap().contains_key("n2") {
                    clock.sleep(Duration::from_millis(1)).await;
                }
                let bench = Arc::new(SimBench { hosts: hosts.clone() });
                host.thread("main").spawn("case", async move {
                    *told.lock().unwrap() = Some(case.run(bench).await);
                });
            }
            std::future::pending::<std::io::Result<()>>().await
        }
    };
    let text = "duration = \"120s\"\nsettle = \"1ms\"\n[cluster]\nnode = \"subject\"\nhosts = 2\n\
                [[workload]]\nkind = \"waits\"\n";
    let outcome = outcome(registry(node), text, seed);
    answer
        .lock()
        .unwrap()
        .take()
        .unwrap_or_else(|| Err(format!("never ended: {:?}", outcome.violations)))
}

#[test]
fn the_simulated_arm_keeps_every_promise() {
    let broken: Vec<String> = CASES
        .iter()
        .flat_map(|case| (0..5).map(move |seed| (case, seed)))
        .filter_map(|(case, seed)| {
            let why = check(case, seed).err()?;
            Some(format!("{} (seed {seed}): {why}", case.name))
        })
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
