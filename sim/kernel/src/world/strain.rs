//! What faults put on links, devices, disks and clocks, without breaking them: the entries of every line
//! of the plan that acts, and the models set to what these come to.
//!
//! Latencies and drifts add up; of losses, bandwidths, slownesses and limits the worst counts. A line takes
//! back its own entry, so lines may end in any order and the last leaves everything as it was. What a fault
//! did (frames, device jobs, refused writes, readings) is booked to the latest line that acts there.
//!
//! Left out: loss of the kernels' own messages (requests to connect, resets); what is written while
//! somebody else's files grow.

use std::io::ErrorKind;

use host::Wall;
use host::unit::{Rate, Ratio, Size};

use super::World;
use crate::model::MILLION;
use crate::model::clock::HostClock;
use crate::model::overlaps::Overlaps;

/// A slow link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slow {
    pub adds_ns: u64,
    /// Zero leaves it as it is.
    pub bandwidth: Rate,
}

/// What faults do to one host.
#[derive(Debug, Default)]
pub(crate) struct Strain {
    /// The drift that its clock has without any fault.
    own_drift_ppm: i64,
    drifts: Overlaps<i64>,
    /// How far its wall clock jumped.
    steps: Overlaps<i64>,
    /// How many bytes its files may take.
    limits: Overlaps<u64>,
}

impl Strain {
    /// Of a host with that clock, before any fault.
    pub fn of(clock: &HostClock) -> Strain {
        Strain { own_drift_ppm: clock.drift_ppm(), ..Strain::default() }
    }
}

impl World {
    // Links, each (from, to).

    pub(crate) fn slow_link(&mut self, link: (usize, usize), line: usize, slow: Slow) {
        let key = self.links.index(link.0, link.1);
        self.links.slow[key].put(line, slow);
        self.set_slowness(key);
    }

    pub(crate) fn unslow_link(&mut self, link: (usize, usize), line: usize) {
        let key = self.links.index(link.0, link.1);
        self.links.slow[key].take(line);
        self.set_slowness(key);
    }

    fn set_slowness(&mut self, key: usize) {
        let link = &mut self.links.links[key];
        let slow = &self.links.slow[key];
        link.extra_latency_ns = slow.all().map(|s| s.adds_ns).sum();
        let own = link.law.bandwidth;
        let limits = slow.all().map(|s| s.bandwidth).filter(|rate| rate.0 > 0);
        link.bandwidth = limits.min().map(|rate| if own.0 > 0 { rate.min(own) } else { rate });
    }

    pub(crate) fn lose_frames(&mut self, link: (usize, usize), line: usize, loss: Ratio) {
        let key = self.links.index(link.0, link.1);
        self.links.lossy[key].put(line, loss);
        self.set_loss(key);
    }

    pub(crate) fn keep_frames(&mut self, link: (usize, usize), line: usize) {
        let key = self.links.index(link.0, link.1);
        self.links.lossy[key].take(line);
        self.set_loss(key);
    }

    fn set_loss(&mut self, key: usize) {
        let link = &mut self.links.links[key];
        link.loss = self.links.lossy[key].all().max().map(|loss| loss.max(link.law.loss));
    }

    /// A frame goes over a link: whom its delay and its loss are booked to.
    pub(super) fn book_strain(&mut self, key: usize, loss_draw: u64) {
        let link = &self.links.links[key];
        if link.is_cut() {
            return;
        }
        if let Some(line) = self.links.slow[key].latest() {
            self.effects[line] += 1;
        }
        if let Some(line) = self.links.lossy[key].latest().filter(|_| link.loses(loss_draw)) {
            self.effects[line] += 1;
        }
    }

    // Devices and disks.

    pub(crate) fn slow_disk(&mut self, host: usize, line: usize, factor: u64) {
        let device = self.hosts[host].device;
        let d = &mut self.devices[device];
        // The hosts of a shared device slow it once.
        if !d.slow.has(line) {
            self.effects[line] += d.jobs.len() as u64;
        }
        d.slow.put(line, factor);
        self.set_device_speed(device);
    }

    pub(crate) fn unslow_disk(&mut self, host: usize, line: usize) {
        let device = self.hosts[host].device;
        self.devices[device].slow.take(line);
        self.set_device_speed(device);
    }

    fn set_device_speed(&mut self, device: usize) {
        let now = self.now();
        let d = &mut self.devices[device];
        let factor = d.slow.all().max().unwrap_or(1).clamp(1, MILLION);
        d.share.set_speed(now, (MILLION / factor) as u32);
        self.pump_device(device);
    }

    pub(crate) fn fill_disk(&mut self, host: usize, line: usize, leaves: Size) {
        let machine = &mut self.hosts[host];
        let limit = machine.files.used().saturating_add(leaves.0);
        machine.strain.limits.put(line, limit);
        machine.files.set_limit(machine.strain.limits.all().min());
    }

    pub(crate) fn unfill_disk(&mut self, host: usize, line: usize) {
        let machine = &mut self.hosts[host];
        machine.strain.limits.take(line);
        machine.files.set_limit(machine.strain.limits.all().min());
    }

    /// A write was refused.
    pub(super) fn book_refusal(&mut self, host: usize, kind: ErrorKind) {
        if kind == ErrorKind::StorageFull
            && let Some(line) = self.hosts[host].strain.limits.latest()
        {
            self.effects[line] += 1;
        }
    }

    // Clocks.

    pub(crate) fn drift_clock(&mut self, host: usize, line: usize, ppm: i64) {
        self.hosts[host].strain.drifts.put(line, ppm);
        self.effects[line] += u64::from(ppm != 0);
        self.set_drift(host);
    }

    pub(crate) fn undrift_clock(&mut self, host: usize, line: usize) {
        self.hosts[host].strain.drifts.take(line);
        self.set_drift(host);
    }

    fn set_drift(&mut self, host: usize) {
        let now = self.now();
        let machine = &mut self.hosts[host];
        let ppm = machine.strain.own_drift_ppm + machine.strain.drifts.all().sum::<i64>();
        machine.clock.set_drift(now, ppm);
        self.reckon_sleeps(host);
    }

    pub(crate) fn step_clock(&mut self, host: usize, line: usize, ns: i64) {
        self.hosts[host].strain.steps.put(line, ns);
        self.effects[line] += u64::from(ns != 0);
        self.hosts[host].clock.step_wall(ns);
    }

    pub(crate) fn unstep_clock(&mut self, host: usize, line: usize) {
        if let Some(ns) = self.hosts[host].strain.steps.take(line) {
            self.hosts[host].clock.step_wall(-ns);
        }
    }

    /// The wall clock as the node reads it.
    pub(crate) fn read_wall(&mut self, host: usize) -> Wall {
        let steps = &self.hosts[host].strain.steps;
        if let Some(line) = steps.latest().filter(|_| steps.all().sum::<i64>() != 0) {
            self.effects[line] += 1;
        }
        self.hosts[host].clock.wall(self.now())
    }
}
