//! What faults put on a host's clocks. Drifts add up, and so do jumps; each line takes back its own.
//! Readings of the wall clock while it is off are booked to the latest line that acts there.
//! Left out: the two clocks of a host drifting apart from each other.

use host::Wall;

use crate::model::clock::HostClock;
use crate::model::overlaps::Overlaps;
use crate::world::World;

/// What faults do to the clocks of one host.
#[derive(Debug, Default)]
pub(crate) struct ClockStrain {
    /// The drift that its clock has without any fault.
    own_drift_ppm: i64,
    drifts: Overlaps<i64>,
    /// How far its wall clock jumped.
    steps: Overlaps<i64>,
}

impl ClockStrain {
    /// Of a host with that clock, before any fault.
    pub fn of(clock: &HostClock) -> ClockStrain {
        ClockStrain { own_drift_ppm: clock.drift_ppm(), ..ClockStrain::default() }
    }
}

impl World {
    pub(crate) fn drift_clock(&mut self, host: usize, line: usize, ppm: i64) {
        self.hosts[host].strain.clock.drifts.put(line, ppm);
        self.effects[line] += u64::from(ppm != 0);
        self.set_drift(host);
    }

    pub(crate) fn undrift_clock(&mut self, host: usize, line: usize) {
        self.hosts[host].strain.clock.drifts.take(line);
        self.set_drift(host);
    }

    fn set_drift(&mut self, host: usize) {
        let now = self.now();
        let machine = &mut self.hosts[host];
        let ppm =
            machine.strain.clock.own_drift_ppm + machine.strain.clock.drifts.all().sum::<i64>();
        machine.clock.set_drift(now, ppm);
        self.reckon_sleeps(host);
    }

    pub(crate) fn step_clock(&mut self, host: usize, line: usize, ns: i64) {
        self.hosts[host].strain.clock.steps.put(line, ns);
        self.effects[line] += u64::from(ns != 0);
        self.hosts[host].clock.step_wall(ns);
    }

    pub(crate) fn unstep_clock(&mut self, host: usize, line: usize) {
        if let Some(ns) = self.hosts[host].strain.clock.steps.take(line) {
            self.hosts[host].clock.step_wall(-ns);
        }
    }

    /// The wall clock as the node reads it.
    pub(crate) fn read_wall(&mut self, host: usize) -> Wall {
        let steps = &self.hosts[host].strain.clock.steps;
        if let Some(line) = steps.latest().filter(|_| steps.all().sum::<i64>() != 0) {
            self.effects[line] += 1;
        }
        self.hosts[host].clock.wall(self.now())
    }
}
