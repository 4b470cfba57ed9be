//! One run: a scenario and a seed become an outcome.
//!
//! Each run has a fresh thread, because the hash keys of the standard library and tokio's random state live
//! in threads. On it the madsim runtime comes first (it seeds the hash keys) and the tokio shell second (it
//! seeds `select!` and `watch`); nothing else touches a HashMap there. No state survives a run: `verify`
//! runs the same seed again in other surroundings and compares digests and hash canaries.

mod build;

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::{Arc, PoisonError};

use host::unit;
use host::unit::nanos;
use madsim::runtime::Runtime;
use tokio_real::runtime::{Builder, RngSeed};

use crate::Time;
use crate::branch::Branch;
use crate::check::{Instants, Measure, Unit};
use crate::draw::Draws;
use crate::engine::{Engine, PlanLine, Report, Setup};
use crate::history::{History, Trace, Watch};
use crate::outcome::{Class, FaultTally, Outcome, SymptomSeen, Verdict};
use crate::plan::{Plan, Sky};
use crate::registry::{Claim, Registry};
use crate::scenario::{Scenario, Symptom};
use crate::task::{contain_panics, contained};
use crate::world::{Plugin, World};

/// What a poll costs madsim's clock on average, in nanoseconds (drawn from 50 to 100).
const POLL_NS: u64 = 75;
/// Above this share of virtual time polls distort what is measured.
pub const TAX_WARN_PPM: u64 = 10_000;
/// Above this share the run is not a claim.
pub const TAX_MAX_PPM: u64 = 30_000;

/// How to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The seed.
    pub seed: u64,
    /// Another interleaving of the same tasks.
    pub weave: u64,
    /// Defects to plant.
    pub plants: Vec<String>,
    /// Checks to leave out.
    pub mute: Vec<String>,
    /// How much to write down.
    pub trace: Trace,
    /// A plan that replaces the scenario's faults.
    pub plan: Option<Plan>,
    /// Where the run leaves its seed's draws.
    pub branch: Option<Branch>,
    /// A `sometimes` whose first time is wanted, and how many branches from there.
    pub explore: Option<(String, u64)>,
    /// Entries of the digest whose text is wanted.
    pub window: Range<u64>,
    /// An instant at which the run ends and says how things stand.
    pub look_at: Option<Time>,
    /// The run is given up at this virtual time, in nanoseconds, if it has no verdict by then.
    pub until: Option<Time>,
    /// Other hash keys and another shell seed: what `verify` and second runs put around a run.
    pub perturbed: bool,
    /// Another day on the wall clocks, which `verify` adds. A node that records its wall clock differs.
    pub other_wall: bool,
}

impl Options {
    /// A plain run of a seed.
    pub fn seed(seed: u64) -> Options {
        Options {
            seed,
            weave: 0,
            plants: Vec::new(),
            mute: Vec::new(),
            trace: Trace::Off,
            plan: None,
            branch: None,
            explore: None,
            window: 0..0,
            look_at: None,
            until: None,
            perturbed: false,
            other_wall: false,
        }
    }
}

/// How the error begins if the simulator itself is at fault.
pub const PANICKED: &str = "the simulator itself panicked";
/// How the error begins if the system has no thread left.
pub const NO_THREAD: &str = "no thread for the run";

/// Runs a scenario under a seed. An error is one of the input, not of the run.
pub fn run(
    scenario: &Arc<Scenario>,
    registry: &'static Registry,
    options: &Options,
) -> Result<Outcome, String> {
    let draws = Draws::new(options.seed);
    let boot = scenario.boot(registry, &draws)?;
    let mut plan = match &options.plan {
        Some(plan) => plan.clone(),
        None => Plan::draw(&scenario.faults, &scenario.swarm, &draws),
    };
    let fork_from = plan.drawn.len() + plan.exact.len();
    if let Some(branch) = options.branch
        && options.plan.is_none()
    {
        let draws = draws.branch(branch.number);
        plan.drawn.extend(Plan::draw(&scenario.faults, &scenario.swarm, &draws).drawn);
    }
    for word in &options.plants {
        let node = registry.node(&scenario.cluster.node.0).expect("resolved");
        if !node.plants.iter().any(|(p, _)| p == word) {
            let near = host::settings::nearest(word, node.plants.iter().map(|p| p.0));
            let hint = near.map_or(String::new(), |p| format!("; did you mean `{p}`?"));
            return Err(format!("node `{}` has no plant `{word}`{hint}", node.word));
        }
    }
    let watches = watches(scenario, registry, &options.mute)?;
    let setup = Setup {
        until: options.until,
        fork: options.branch,
        fork_from,
        look_at: options.look_at,
        ..setup(scenario, registry, boot, &plan)?
    };
    contain_panics();
    let (scenario, options) = (scenario.clone(), options.clone());
    let thread = std::thread::Builder::new()
        .name(format!("seed {}", options.seed))
        .stack_size(8 << 20)
        .spawn(move || on_thread(&scenario, &options, draws, setup, watches, plan))
        .map_err(|e| format!("{NO_THREAD}: {e}"))?;
    thread.join().map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        text.map_or(PANICKED.to_string(), |text| format!("{PANICKED}: {text}"))
    })?
}

fn watches(
    scenario: &Scenario,
    registry: &Registry,
    mute: &[String],
) -> Result<Vec<Watch>, String> {
    for word in mute {
        if registry.check(word).is_none() {
            let near = host::settings::nearest(word, registry.checks.iter().map(|c| c.word));
            let hint = near.map_or(String::new(), |c| format!("; did you mean `{c}`?"));
            return Err(format!("no check `{word}` to mute{hint}"));
        }
    }
    let expected = |word: &str| {
        let symptoms = scenario.shows.iter().flat_map(|s| &s.symptoms);
        symptoms.into_iter().any(|(_, s)| *s == Symptom::Violates(word.to_string()))
    };
    let mut out = Vec::new();
    let named = scenario.checks.iter().map(|c| (c.word.as_str(), c.argument.as_deref(), &c.text));
    for (word, argument, text) in named {
        if mute.iter().any(|m| m == word) {
            continue;
        }
        let known = registry.check(word).expect("resolved");
        let check = (known.make)(argument)?;
        let (word, text) = (word.to_string(), text.clone());
        let expected = expected(&word);
        out.push(Watch { text, word, claim: known.claim, expected, check, failed: false });
    }
    let measures = registry.checks.iter().filter(|c| c.claim == Claim::Measures);
    for known in measures.filter(|c| !mute.iter().any(|m| m == c.word)) {
        let (word, text) = (known.word.to_string(), known.word.to_string());
        let check = (known.make)(None)?;
        out.push(Watch { text, word, claim: known.claim, expected: false, check, failed: false });
    }
    Ok(out)
}

fn setup(
    scenario: &Scenario,
    registry: &Registry,
    boot: crate::registry::Boot,
    plan: &Plan,
) -> Result<Setup, String> {
    let mut lines = Vec::new();
    for drawn in &plan.drawn {
        let fault = make_fault(registry, &drawn.kind, &drawn.params)?;
        lines.push((PlanLine::Drawn(drawn.clone()), fault));
    }
    for fired in &plan.exact {
        let fault = make_fault(registry, &fired.kind, &fired.params)?;
        lines.push((PlanLine::Exact(fired.clone()), fault));
    }
    let mut loads = Vec::new();
    for workload in &scenario.workloads {
        let (load, first) = (workload.start(), loads.len() as u64);
        for _ in 0..workload.clients() {
            loads.push((load.clone(), first));
        }
    }
    let mut profile = scenario.profile.clone();
    if plan.sky == Sky::Calm {
        profile.hardware.calm();
    }
    Ok(Setup {
        boot,
        loads,
        lines,
        boot_ns: nanos(scenario.head.boot),
        duration_ns: nanos(scenario.head.duration).min(plan.load.unwrap_or(Time::MAX)),
        recovery_ns: nanos(scenario.head.recovery),
        settle_ns: nanos(scenario.head.settle),
        blackout: scenario.blackout(),
        mask: Arc::new(plan.mask.clone()),
        profile,
        until: None,
        fork: None,
        fork_from: plan.drawn.len() + plan.exact.len(),
        look_at: None,
    })
}

fn make_fault(
    registry: &Registry,
    kind: &str,
    params: &crate::registry::Params,
) -> Result<Arc<dyn crate::fault::Fault>, String> {
    let word = registry.fault(kind).ok_or_else(|| format!("no fault `{kind}`"))?;
    word.make(params).map_err(|(key, why)| format!("{kind}.{key}: {why}"))
}

fn on_thread(
    scenario: &Scenario,
    options: &Options,
    draws: Draws,
    setup: Setup,
    watches: Vec<Watch>,
    plan: Plan,
) -> Result<Outcome, String> {
    if options.perturbed {
        // Keys that are taken from the operating system before the runtime can seed them.
        let _ = RandomState::new();
    }
    let seed = draws.schedule_seed(options.weave);
    let runtime = Runtime::with_seed_and_config(seed, madsim::Config::default());
    runtime.add_simulator::<Plugin>();
    let mut shell_seed = seed.to_le_bytes().to_vec();
    shell_seed.push(u8::from(options.perturbed));
    let shell = Builder::new_current_thread()
        .rng_seed(RngSeed::from_bytes(&shell_seed))
        .build()
        .expect("a shell without IO needs nothing");
    let lines = setup.lines.len();
    let kinds: Vec<String> = plan
        .drawn
        .iter()
        .map(|d| d.kind.clone())
        .chain(plan.exact.iter().map(|f| f.kind.clone()))
        .collect();
    let main = async {
        let before = canary();
        let shared = madsim::plugin::simulator::<Plugin>().shared.clone();
        let mut world = build::build(scenario, options, draws, &setup);
        world.effects = vec![0; lines + 1];
        world.atlas = scenario.atlas.clone();
        world.digest.keep(options.window.clone());
        let mut history = History::new(watches, world.hosts.len(), options.trace);
        if options.trace == Trace::Full {
            world.moments.record();
        }
        history.reach = options.explore.as_ref().map(|(word, _)| word.clone());
        history.said = options.look_at.map(|_| Default::default());
        shared.install(world, history);
        let report = Engine::new(shared.clone(), setup).await;
        let after = canary();
        let (world, history) = shared.take();
        (world, history, report, (before, after))
    };
    // Through the handle: a runtime's own block_on would never come back from a yield.
    let (world, history, report, canary) =
        shell.handle().block_on(tokio_real::task::unconstrained(async { runtime.block_on(main) }));
    for task in &world.tasks {
        let future = task.cell.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The run is over for the node's Drop too, and it may panic as it likes.
        let _ = contained(|| drop(future));
    }
    judge(scenario, options, plan, &kinds, (world, history, report), canary)
}

/// What hash order this thread would give: a pure function of seed and of how many maps there were.
fn canary() -> u64 {
    RandomState::new().hash_one(0u64)
}

fn judge(
    scenario: &Scenario,
    options: &Options,
    plan: Plan,
    kinds: &[String],
    (mut world, mut history, report): (World, History, Report),
    canary: (u64, u64),
) -> Result<Outcome, String> {
    let virtual_ns = world.now();
    let Instants { load_began, load_ended, .. } = world.instants;
    let load_ns =
        load_began.map_or(0, |began| load_ended.unwrap_or(virtual_ns).saturating_sub(began));
    let measures = measured(&world, &history);
    let undecided = history.conclude(&world);
    let shown = symptoms(scenario, &history, &measures)?;
    // Among several the lowest exit code wins, and that of safety is the lowest.
    let class = if history.unsafe_seen { Some(Class::Safety) } else { report.class };
    let verdict = match class {
        Some(_) => Verdict::Fail,
        None if history.acks < scenario.min_acks => Verdict::Vacuous,
        None if !undecided.is_empty() => Verdict::Unknown,
        None if shown.is_empty() => Verdict::Pass,
        None if shown.iter().all(|s| s.holds) => Verdict::Shown,
        None => Verdict::NotShown,
    };
    let seen = world.moments.seen();
    let moments = seen.map(|(at, host, word)| (at, world.hosts[host].name.clone(), word)).collect();
    let sometimes = history
        .watches
        .iter()
        .filter(|w| w.claim == Claim::Sometimes)
        .map(|w| (w.word.clone(), w.check.count()))
        .collect();
    Ok(Outcome {
        scenario: scenario.name.clone(),
        seed: options.seed,
        verdict,
        class,
        digest: world.digest.hex(),
        checkpoints: world.digest.checkpoints().to_vec(),
        canary,
        virtual_ns,
        load_ns,
        events: world.digest.entries(),
        polls: world.polls,
        poll_tax_ppm: world.polls * POLL_NS * 1_000_000 / virtual_ns.max(1),
        measures,
        sometimes,
        faults: tally(kinds, &report, &world.effects),
        shown,
        drawn: plan.drawn,
        fired: report.fired.into_iter().map(|(_, fired)| fired).collect(),
        violations: history.violations,
        asked: history.asked,
        undecided,
        charged: world.charged.into_iter().collect(),
        trace: history.trace,
        moments,
        reached_at: history.reached_at,
        entries: world.digest.take_entries(),
        sight: report.sight,
    })
}

/// What the checks measured, and what the machinery did.
fn measured(world: &World, history: &History) -> Vec<Measure> {
    let mut measures = history.measures.clone();
    if measures.is_empty() {
        let view = crate::check::View { world, roles: &history.roles };
        measures = history.watches.iter().flat_map(|w| w.check.measures(&view)).collect();
    }
    for (name, value, unit) in [
        ("frames", world.frames, Unit::Count),
        ("frame_bytes", world.frame_bytes, Unit::Bytes),
        ("device_syncs", world.device_syncs, Unit::Count),
        ("nodes_excused", world.nodes_excused, Unit::Count),
        ("nodes_refused", world.nodes_refused, Unit::Count),
    ] {
        measures.push(Measure { name, value, unit });
    }
    measures
}

fn symptoms(
    scenario: &Scenario,
    history: &History,
    measures: &[Measure],
) -> Result<Vec<SymptomSeen>, String> {
    let Some(shows) = &scenario.shows else { return Ok(Vec::new()) };
    let seen = |(text, symptom): &(String, Symptom)| {
        let (value, holds) = match symptom {
            Symptom::Violates(check) => {
                let violated = history.violations.iter().any(|v| v.check == *check);
                (if violated { "violated" } else { "holds" }.to_string(), violated)
            }
            Symptom::Measured { name, compare, value } => {
                match measures.iter().find(|m| m.name == name) {
                    Some(m) => {
                        let holds = Symptom::holds(*compare, value, m);
                        (show(m), holds.map_err(|why| format!("shows.symptoms: `{text}`: {why}"))?)
                    }
                    // Some measures need an acknowledged write; without one the run is vacuous anyway.
                    None if history.acks < scenario.min_acks => ("not measured".to_string(), false),
                    None => return Err(unknown_measure(text, name, measures)),
                }
            }
        };
        Ok(SymptomSeen { symptom: text.clone(), value, holds })
    };
    shows.symptoms.iter().map(seen).collect()
}

fn unknown_measure(text: &str, name: &str, measures: &[Measure]) -> String {
    let near = host::settings::nearest(name, measures.iter().map(|m| m.name));
    let hint = near.map_or(String::new(), |m| format!("; did you mean `{m}`?"));
    format!("shows.symptoms: `{text}`: no measure `{name}`{hint}")
}

/// A measure for people.
pub fn show(measure: &Measure) -> String {
    match measure.unit {
        Unit::Time => format!("{} ms", unit::millis(measure.value)),
        Unit::Bytes => format!("{:.1} MB", measure.value as f64 / 1e6),
        Unit::Rate => format!("{:.1} /s", measure.value as f64 / 1e3),
        Unit::Count => measure.value.to_string(),
        Unit::Ratio => format!("{:.2}", measure.value as f64 / 1e3),
    }
}

fn tally(kinds: &[String], report: &Report, effects: &[u64]) -> Vec<FaultTally> {
    let mut out: Vec<FaultTally> = Vec::new();
    for (line, kind) in kinds.iter().enumerate() {
        let i = out.iter().position(|t| t.kind == *kind).unwrap_or_else(|| {
            out.push(FaultTally { kind: kind.clone(), drawn: 0, fired: 0, effects: 0 });
            out.len() - 1
        });
        out[i].drawn += 1;
        out[i].fired +=
            report.fired.iter().filter(|(l, f)| *l == line && !f.hosts.is_empty()).count() as u64;
        out[i].effects += effects.get(line).copied().unwrap_or(0);
    }
    out
}

/// A long-lived registry, as runs on many threads want it.
pub fn leak(registry: Registry) -> &'static Registry {
    Box::leak(Box::new(registry))
}
