//! What faults put on models comes off again: whatever overlaps, in whatever order it ends.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use host::Host;
use host::unit::{Rate, Ratio, Size};
use proptest::prelude::*;

use super::{outcome, registry};
use crate::workload::Urge;
use crate::world::{Plugin, Slow, Steal, Trick, What, World};

/// A fault at work under its line of the plan.
#[derive(Clone, Copy, Debug)]
enum Act {
    SlowLink(u64, u64),
    Loss(u32),
    Cut,
    Hold,
    Forget,
    Duplicate(u32),
    SlowReader(u64),
    SlowDisk(u64),
    FullDisk(u64),
    Drift(i64),
    Step(i64),
    Strobe(i64),
    Stop,
    Coarse(u64),
    Late(u64),
    Steal(u32),
    Urge(u64),
}

impl Act {
    fn begin(self, world: &mut World, line: usize) {
        match self {
            Act::SlowLink(adds_ns, rate) => {
                world.slow_link((0, 1), line, Slow { adds_ns, bandwidth: Rate(rate) });
            }
            Act::Loss(ppm) => world.lose_frames((0, 1), line, Ratio(ppm)),
            Act::Cut => world.cut(0, 1, line),
            Act::Hold => world.hold_link(0, 1, line),
            Act::Forget => world.forget_connections(0, 1, line),
            Act::Duplicate(ppm) => {
                let what = What::Duplicate { share: Ratio(ppm), within_ns: 5 };
                world.put_trick((0, 1), Trick { line, key: 7, what });
            }
            Act::SlowReader(rate) => world.slow_reader(0, line, Rate(rate)),
            Act::SlowDisk(factor) => world.slow_disk(0, line, factor),
            Act::FullDisk(leaves) => world.fill_disk(0, line, Size(leaves)),
            Act::Drift(ppm) => world.drift_clock(0, line, ppm),
            Act::Step(ns) => world.step_clock(0, line, ns),
            Act::Strobe(ns) => world.strobe_clock(0, line, ns),
            // On the other host, for the node of this one sleeps.
            Act::Stop => world.stop_clock(1, line),
            Act::Coarse(ns) => world.coarsen_clock(0, line, ns),
            Act::Late(ns) => world.delay_timers(0, line, ns),
            Act::Steal(ppm) => {
                let steal = Steal { share: Ratio(ppm), quantum_ns: 1_000, key: line as u64 };
                world.steal_cores(0, line, steal);
            }
            Act::Urge(ns) => {
                let within = Duration::from_nanos(ns);
                world.hosts[0].strain.urges.put(line, Urge::Hurry { within });
            }
        }
    }

    fn end(self, world: &mut World, line: usize) {
        match self {
            Act::SlowLink(..) => world.unslow_link((0, 1), line),
            Act::Loss(_) => world.keep_frames((0, 1), line),
            Act::Cut => world.heal(0, 1, line),
            Act::Hold => world.release_link(0, 1, line),
            Act::Forget => world.know_connections(0, 1, line),
            Act::Duplicate(_) => world.take_trick((0, 1), line),
            Act::SlowReader(_) => world.unslow_reader(0, line),
            Act::SlowDisk(_) => world.unslow_disk(0, line),
            Act::FullDisk(_) => world.unfill_disk(0, line),
            Act::Drift(_) => world.undrift_clock(0, line),
            Act::Step(_) | Act::Strobe(_) => world.unstep_clock(0, line),
            Act::Stop => world.unstop_clock(1, line),
            Act::Coarse(_) => world.uncoarsen_clock(0, line),
            Act::Late(_) => world.undelay_timers(0, line),
            Act::Steal(_) => world.return_cores(0, line),
            Act::Urge(_) => {
                world.hosts[0].strain.urges.take(line);
            }
        }
    }
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (0u64..1_000_000, 0u64..3_000_000_000).prop_map(|(a, r)| Act::SlowLink(a, r)),
        (0u32..=1_000_000).prop_map(Act::Loss),
        Just(Act::Cut),
        Just(Act::Hold),
        Just(Act::Forget),
        (0u32..=1_000_000).prop_map(Act::Duplicate),
        (0u64..1_000_000).prop_map(Act::SlowReader),
        (2u64..2_000_000).prop_map(Act::SlowDisk),
        (0u64..1_000_000).prop_map(Act::FullDisk),
        // Twelve of them add up to less than half, so that the node's sleeps end within the load.
        (-40_000i64..40_000).prop_map(Act::Drift),
        (-1i64 << 45..1 << 45).prop_map(Act::Step),
        (-1i64 << 45..1 << 45).prop_map(Act::Strobe),
        Just(Act::Stop),
        (1u64..2_000_000).prop_map(Act::Coarse),
        (0u64..2_000_000).prop_map(Act::Late),
        (0u32..900_000).prop_map(Act::Steal),
        (1u64..1_000_000).prop_map(Act::Urge),
    ]
}

/// What the models are set to.
#[derive(Debug, PartialEq)]
struct Setting {
    link: (u64, Option<Ratio>, Option<Rate>),
    /// Cut, held, somebody not heard; entries for single frames.
    silent: (bool, bool, bool, usize),
    reads_slowly: bool,
    speed: u32,
    room: u64,
    drift: i64,
    wall_less_mono: u64,
    other_goes: bool,
    reads_finely: bool,
    cores: u32,
    timer: u64,
    urged: bool,
}

fn setting(world: &mut World) -> Setting {
    let timer = world.timer_late(0, 7);
    let now = world.now();
    let reads_finely = world.read_mono(0) == world.hosts[0].clock.mono(now);
    let link = &world.links.links[world.links.index(0, 1)];
    let (host, now) = (&world.hosts[0], world.now());
    Setting {
        link: (link.extra_latency_ns, link.loss, link.bandwidth),
        silent: (
            world.links.is_cut(0, 1),
            world.links.is_held(0, 1),
            world.links.any_silent(),
            world.links.tricky,
        ),
        reads_slowly: host.strain.reader_is_slow(),
        speed: world.devices[host.device].share.speed(),
        room: host.files.space_left(),
        drift: host.clock.drift_ppm(),
        wall_less_mono: host.clock.wall(now).0 - host.clock.mono(now).0,
        other_goes: world.hosts[1].clock.mono(now + 1_000_000) > world.hosts[1].clock.mono(now),
        reads_finely,
        cores: host.cpu.speed(),
        timer,
        urged: !host.strain.urges.is_empty(),
    }
}

/// Runs `acts`, each from its begin to its end, `order` deciding what comes next; returns what the
/// models were set to before, in the middle and after.
fn settings(acts: Vec<Act>, order: Vec<usize>) -> Vec<Setting> {
    let found = Arc::new(Mutex::new(Vec::new()));
    let told = found.clone();
    let node = move |host: Host, _| {
        let (told, acts, order) = (told.clone(), acts.clone(), order.clone());
        async move {
            let shared = madsim::plugin::simulator::<Plugin>().shared.clone();
            if host.name() == "n1" {
                let mut open: Vec<usize> = Vec::new();
                let tell = || told.lock().unwrap().push(setting(&mut shared.world()));
                shared.world().effects = vec![0; acts.len() + 1];
                tell();
                for (line, act) in acts.iter().enumerate() {
                    act.begin(&mut shared.world(), line);
                    open.push(line);
                    host.clock().sleep(Duration::from_micros(700)).await;
                    if order[line].is_multiple_of(3) {
                        let line = open.remove(order[line] % open.len());
                        acts[line].end(&mut shared.world(), line);
                    }
                }
                tell();
                for pick in order {
                    if open.is_empty() {
                        break;
                    }
                    let line = open.remove(pick % open.len());
                    acts[line].end(&mut shared.world(), line);
                    host.clock().sleep(Duration::from_micros(300)).await;
                }
                tell();
            }
            std::future::pending::<std::io::Result<()>>().await
        }
    };
    let text = "duration = \"500ms\"\nsettle = \"1ms\"\n[cluster]\nnode = \"subject\"\nhosts = 2\n\
                [[workload]]\nkind = \"waits\"\n";
    outcome(registry(node), text, 1);
    let mut found = found.lock().unwrap();
    std::mem::take(&mut *found)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn overlapping_faults_leave_the_models_as_they_were(
        acts in prop::collection::vec(act(), 1..12), order in prop::collection::vec(0usize..64, 12),
    ) {
        let found = settings(acts, order);
        prop_assert_eq!(found.len(), 3, "the node did not come to its end");
        prop_assert_eq!(&found[2], &found[0]);
    }
}

#[test]
fn what_overlaps_adds_up_or_the_worst_counts() {
    let acts = vec![
        Act::SlowLink(5, 900),
        Act::SlowLink(7, 0),
        Act::SlowLink(1, 800),
        Act::Loss(10),
        Act::Loss(30),
        Act::Loss(20),
        Act::SlowDisk(4),
        Act::SlowDisk(8),
        Act::FullDisk(500),
        Act::FullDisk(100),
        Act::Drift(3_000),
        Act::Drift(-1_000),
    ];
    let found = settings(acts, vec![1; 12]);
    let middle = &found[1];
    assert_eq!(middle.link, (13, Some(Ratio(30)), Some(Rate(800))));
    assert_eq!((middle.speed, middle.room), (125_000, 100));
    assert_eq!(middle.drift - found[0].drift, 2_000);
}
