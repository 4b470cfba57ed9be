//! What faults put on a host's cores: somebody else takes a share of them, in quanta. In each quantum a
//! thread's core is either its own or somebody else's, by a draw that is keyed by the line of the plan, the
//! host, the thread's name and the number of the quantum, so nothing else shifts it.
//!
//! A task that is woken in a quantum that is not its thread's waits for the quantum's end: the thread runs
//! late. Work with a price goes at the share of the cores that is left. Where such faults overlap the
//! greatest share counts. Left out: work that is cut at the quantum; which core it is.

use host::unit::Ratio;
use xxhash_rust::xxh3::xxh3_64;

use crate::Time;
use crate::draw::mix;
use crate::world::{Due, World};

/// How somebody takes cores away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Steal {
    /// The share of quanta that are taken.
    pub share: Ratio,
    pub quantum_ns: Time,
    /// What its draws are keyed by.
    pub key: u64,
}

impl World {
    pub(crate) fn steal_cores(&mut self, host: usize, line: usize, steal: Steal) {
        self.hosts[host].strain.steals.put(line, steal);
        self.set_core_speed(host);
    }

    pub(crate) fn return_cores(&mut self, host: usize, line: usize) {
        self.hosts[host].strain.steals.take(line);
        self.set_core_speed(host);
        if self.hosts[host].strain.steals.is_empty() && !self.hosts[host].stands_still() {
            for thread in 0..self.hosts[host].threads.len() {
                self.wake_gated(host, thread as u32);
            }
        }
    }

    fn set_core_speed(&mut self, host: usize) {
        let now = self.now();
        let machine = &mut self.hosts[host];
        let taken = machine.strain.steals.all().map(|s| s.share.0).max().unwrap_or(0);
        machine.cpu.set_speed(now, 1_000_000_u32.saturating_sub(taken));
        machine.cpu_armed = None;
        self.pump_cpu(host);
    }

    /// Whether the core of the task's thread is somebody else's now; if so the task waits for it.
    pub(in crate::world) fn is_stolen(&mut self, id: u64) -> bool {
        let now = self.now();
        let (host, thread) = (self.tasks[id as usize].host, self.tasks[id as usize].thread);
        let machine = &self.hosts[host];
        let Some(steal) = machine.strain.steals.all().max() else { return false };
        let quantum = now / steal.quantum_ns;
        let name = xxh3_64(machine.threads[thread as usize].name.as_bytes());
        let owner = mix(steal.key, self.identity(host));
        if !self.draws.stream("steal", owner, mix(name, quantum)).chance(steal.share.0) {
            return false;
        }
        let boot = machine.boot;
        if let Some(line) = machine.strain.steals.latest() {
            self.effects[line] += 1;
        }
        let task = &mut self.tasks[id as usize];
        if !std::mem::replace(&mut task.gated, true) {
            self.hosts[host].threads[thread as usize].gated.push(id);
            let at = (quantum + 1) * steal.quantum_ns;
            self.schedule(at, Due::CoreBack { host, boot, thread });
        }
        true
    }

    /// A quantum in which the thread's core was somebody else's is over.
    pub(crate) fn core_back(&mut self, host: usize, boot: u32, thread: u32) {
        let machine = &self.hosts[host];
        let there = machine.boot == boot && (thread as usize) < machine.threads.len();
        if there && !machine.stands_still() {
            self.wake_gated(host, thread);
        }
    }
}
