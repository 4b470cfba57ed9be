//! The world of a run before anything happens in it: hosts with their cores, disks and clocks, links, and
//! devices, as the profile says and as the seed draws what lies in a range. Clients' hosts come after
//! those of the nodes, so that one more of them shifts nothing for the others. Left out: hosts that
//! differ from each other in more than their clocks.

use host::unit::nanos;
use host::{Addr, Member, Members, unit};
use madsim::runtime::{Handle, NodeHandle};
use madsim::time::TimeHandle;

use super::Options;
use crate::draw::{Draws, Weather};
use crate::engine::Setup;
use crate::model::clock::HostClock;
use crate::model::disk::{Cache, DiskLaw};
use crate::model::files::Files;
use crate::model::link::LinkLaw;
use crate::model::memory::{Heap, MemoryLaw};
use crate::model::share::Share;
use crate::profile::Hardware;
use crate::scenario::Scenario;
use crate::world::{Device, Host as Machine, Links, Strain, World};

/// Wall clocks begin here: 2026-01-01T00:00:00Z.
const WALL_BASE_NS: u64 = 1_767_225_600_000_000_000;

pub(super) fn build(scenario: &Scenario, options: &Options, draws: Draws, setup: &Setup) -> World {
    let time = TimeHandle::current();
    let handle = Handle::current();
    let nodes = scenario.cluster.hosts as usize;
    let hosts = nodes + setup.loads.len();
    let mut world = World::new(time, draws, setup.profile.clone(), nodes);
    let hw = setup.profile.hardware.clone();
    let retransmit_ns = nanos(hw.link_retransmit);
    let law = LinkLaw {
        latency: hw.link_latency.clone(),
        bandwidth: hw.link_bandwidth,
        loss: unit::Ratio(0),
        retransmit_ns,
        retransmit_max_ns: retransmit_ns.saturating_mul(10),
    };
    world.links = Links::new(hosts, nodes, &law);
    world.plants.clone_from(&options.plants);
    world.bytes_max = scenario.limits.memory.0;
    world.polls_max = scenario.limits.polls;
    world.wall_base = WALL_BASE_NS + if options.other_wall { 86_400_000_000_007 } else { 0 };
    let shared_device = hw.disk_devices.0 == "shared";
    for number in 0..hosts {
        let is_node = number < nodes;
        let name =
            if is_node { format!("n{}", number + 1) } else { format!("c{}", number - nodes + 1) };
        if number == 0 || !(shared_device && is_node) {
            let share = Share::new(1, 500_000);
            let (armed, stalled_at, stalls, stalled_by) = (None, None, 0, 0);
            let (slow, jobs) = Default::default();
            let device = Device { share, armed, stalled_at, stalls, stalled_by, slow, jobs };
            world.devices.push(device);
        }
        let device = if shared_device && is_node { 0 } else { world.devices.len() - 1 };
        let node = handle.create_node().name(&name).build();
        world.names.insert(name.clone(), number);
        let clock = clock(&draws, &hw, world.identity(number), world.wall_base);
        let place = (name, node, device);
        world.hosts.push(machine(place, is_node, &hw, clock, &world.disk_law));
    }
    world.members = members(nodes);
    world
}

/// A host: its name, its node of the executor and its device; a client's runs from the start.
fn machine(
    (name, node, device): (String, NodeHandle, usize),
    is_node: bool,
    hw: &Hardware,
    clock: HostClock,
    law: &DiskLaw,
) -> Machine {
    Machine {
        boot: u32::from(!is_node),
        live: !is_node,
        powered: true,
        downs: Default::default(),
        pauses: 0,
        paused_at: None,
        paused_by: 0,
        stopping: false,
        stopped_by: 0,
        stop_waiters: Vec::new(),
        erred_at: None,
        doomed_at: None,
        met_harm: false,
        damaged: false,
        refused: false,
        threads: Vec::new(),
        cpu: Share::new(hw.cores as u32, nanos(hw.quantum)),
        cpu_armed: None,
        strain: Strain::of(&clock),
        clock,
        files: Files::new(hw.disk_capacity),
        cache: Cache::new(law),
        heap: Heap::new(if is_node { hw.memory() } else { MemoryLaw::FREE }),
        collecting: None,
        written: Default::default(),
        writeback_armed: false,
        open_files: std::collections::BTreeMap::new(),
        warm: std::collections::BTreeSet::new(),
        device,
        weather: Weather::default(),
        node,
        tasks: Vec::new(),
        name,
    }
}

fn clock(draws: &Draws, hw: &Hardware, host: u64, wall_base: u64) -> HostClock {
    let mut rng = draws.stream("clock", host, 0);
    let origin = rng.between(1, 3_600) * 1_000_000_000;
    let most = nanos(hw.clock_offset);
    let offset = rng.between(0, 2 * most) as i64 - most as i64;
    let mut clock = HostClock::new(origin, wall_base, offset);
    let drift = rng.between(0, 2 * hw.clock_drift_ppm) as i64 - hw.clock_drift_ppm as i64;
    clock.set_drift(0, drift);
    clock
}

fn members(nodes: usize) -> Members {
    let member = |id: usize| Member {
        id: id as u64,
        name: format!("n{id}"),
        peer_addr: Addr(format!("n{id}:7000")),
        client_addr: Addr(format!("n{id}:8000")),
    };
    Members { me: 0, all: (1..=nodes).map(member).collect() }
}
