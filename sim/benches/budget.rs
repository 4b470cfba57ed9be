//! The budgets, measured as CPU time of this process: idle cluster, 10,000 proposals, one Raft frame, the
//! start-up of a seed, and the peak memory of the first storm. Figures are medians of several runs, for
//! machines are noisy; nothing here is asserted. `cargo bench` prints the table; `cargo bench -- FILE.toml`
//! takes another scenario for `swarm`.

#[allow(dead_code)]
#[path = "../main.rs"]
mod program;

use std::sync::Arc;
use std::time::Duration;

use kernel::library::Library;
use kernel::outcome::Outcome;
use kernel::registry::{Claim, Registry};
use kernel::run::{Options, leak, run};
use kernel::scenario::Scenario;
use rustix::time::{ClockId, clock_gettime};

/// A small cluster whose load is set from outside.
const QUIET: &str = "sim/benches/quiet.toml";
/// How often everything is checked where it is asked what checking costs.
const TIMES: usize = 3;

fn cpu() -> Duration {
    let t = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
}

struct Bench {
    registry: &'static Registry,
    library: Library,
}

impl Bench {
    fn scenario(&self, name: &str, sets: &[(&str, &str)]) -> Arc<Scenario> {
        let sets: Vec<(String, String)> =
            sets.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        match self.library.load(name, &sets) {
            Ok(scenario) => Arc::new(scenario),
            Err(error) => panic!("{name}: {error:?}"),
        }
    }

    /// Median CPU time of a seed, and the last outcome.
    fn median(&self, scenario: &Arc<Scenario>, runs: u64) -> (Duration, Outcome) {
        let mut times = Vec::new();
        let mut last = None;
        for seed in 0..=runs {
            let before = cpu();
            let outcome = run(scenario, self.registry, &Options::seed(seed)).expect("runs");
            // The first run pays for pages and caches that the process then keeps.
            if seed > 0 {
                times.push(cpu() - before);
            }
            last = Some(outcome);
        }
        times.sort();
        (times[times.len() / 2], last.expect("at least one run"))
    }

    /// What all claims and all measures take of a seed, each as a share of its CPU time.
    ///
    /// Without claims a run would be another one: there is no blackout and nothing to settle for. So
    /// the same run is made with each of them `TIMES` times, and what that adds is what they cost.
    fn shares(&self, scenario: &Arc<Scenario>, seeds: u64) -> (f64, f64) {
        let claims = Scenario {
            checks: vec![scenario.checks.clone(); TIMES].concat(),
            ..Scenario::clone(scenario)
        };
        let claims = Arc::new(claims);
        let measures = leak(with_measures(TIMES));
        let [mut once, mut more_claims, mut more_measures] = [Duration::ZERO; 3];
        for seed in 0..=seeds {
            let one = |scenario: &Arc<Scenario>, registry: &'static Registry| {
                let before = cpu();
                let outcome = run(scenario, registry, &Options::seed(seed)).expect("runs");
                (cpu() - before, outcome.digest)
            };
            let usual = one(scenario, self.registry);
            let claims = one(&claims, self.registry);
            let measures = one(scenario, measures);
            assert!(usual.1 == claims.1 && usual.1 == measures.1, "seed {seed} is another run");
            // The first run pays for pages and caches that the process then keeps.
            if seed > 0 {
                once += usual.0;
                more_claims += claims.0;
                more_measures += measures.0;
            }
        }
        let share =
            |more: Duration| (more.as_secs_f64() / once.as_secs_f64() - 1.0) / (TIMES - 1) as f64;
        (share(more_claims), share(more_measures))
    }
}

/// The program's registry with each measure so many times.
fn with_measures(times: usize) -> Registry {
    let mut registry = program::registry();
    for _ in 1..times {
        let usual = program::registry().checks.into_iter();
        registry.checks.extend(usual.filter(|check| check.claim == Claim::Measures));
    }
    registry
}

fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap_or("");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) / 1000
}

fn main() {
    let registry = leak(program::registry());
    let bench = Bench { registry, library: Library::find(registry) };
    let row =
        |what: &str, value: String, budget: &str| println!("{what:<52} {value:>14}   {budget}");
    row("", "median".into(), "budget");
    let storm = bench.scenario("snapshot_starves_heartbeat", &[]);
    let (time, _) = bench.median(&storm, 3);
    row("500 entries of 1 MB on five nodes, CPU", format!("{time:.1?}"), "");
    row("500 entries of 1 MB on five nodes, peak memory", format!("{} MB", peak_mb()), "700 MB");
    let idle = bench.scenario(QUIET, &[("count", "1"), ("clients", "1"), ("think", "10s")]);
    let (time, _) = bench.median(&idle, 15);
    row("five idle nodes, 10 virtual seconds", format!("{time:.1?}"), "4 ms");
    let (start, _) = bench.median(
        &bench.scenario(QUIET, &[("boot", "1ms"), ("duration", "1ms"), ("settle", "1ms")]),
        50,
    );
    row("start-up of a seed", format!("{start:.1?}"), "0.2 ms");
    let (time, outcome) = bench.median(&bench.scenario(QUIET, &[]), 9);
    row("10,000 proposals", format!("{time:.1?}"), "80 ms");
    let frames = outcome.measure("frames").map_or(1, |m| m.value.max(1));
    let each = time.as_nanos() as u64 / frames;
    row("  per frame, client frames included", format!("{each} ns"), "800 ns");
    let name = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let swarm = bench.scenario(name.as_deref().unwrap_or("swarm"), &[]);
    let (time, _) = bench.median(&swarm, 30);
    row("a seed of swarm", format!("{time:.1?}"), "11 ms");
    let (claims, measures) = bench.shares(&swarm, 60);
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    row("  of it checks", percent(claims), "");
    row("  of it measures", percent(measures), "");
    row("  of it both", percent(claims + measures), "10 %");
}
