//! What faults put on a host's clocks and timers. Drifts add up, and so do jumps; of roundings and
//! latenesses the worst counts; a clock that somebody stopped stands until nobody wants it to.
//!
//! A coarse clock shows only multiples of its step, and timers ring on that grid as well: a node that
//! slept until a time finds that its clock shows it. It never shows less than it has shown.

use host::{Mono, Wall};

use crate::Time;
use crate::draw::Weather;
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
    stops: Overlaps<()>,
    /// To what its readings are rounded down, in nanoseconds.
    coarse: Overlaps<u64>,
    /// What a coarse clock had shown when it became so.
    shown: Mono,
    /// How late its timers ring at most.
    late: Overlaps<u64>,
    timers: Weather,
}

impl ClockStrain {
    /// Of a host with that clock, before any fault.
    pub fn of(clock: &HostClock) -> ClockStrain {
        ClockStrain { own_drift_ppm: clock.drift_ppm(), ..ClockStrain::default() }
    }

    fn step_ns(&self) -> u64 {
        self.coarse.all().max().unwrap_or(1).max(1)
    }

    /// What a node reads when the monotonic clock is at `mono`.
    pub fn shows(&self, mono: Mono) -> Mono {
        if self.coarse.is_empty() {
            return mono;
        }
        Mono(mono.0 / self.step_ns() * self.step_ns()).max(self.shown)
    }

    /// Where the monotonic clock is when a node first reads `until` or more.
    fn rings(&self, until: Mono) -> Mono {
        if self.coarse.is_empty() || until == Mono::NEVER {
            return until;
        }
        if until <= self.shown {
            return Mono(0);
        }
        Mono(until.0.div_ceil(self.step_ns()).saturating_mul(self.step_ns()))
    }
}

impl World {
    pub(crate) fn drift_clock(&mut self, host: usize, line: usize, ppm: i64) {
        self.hosts[host].strain.clock.drifts.put(line, ppm);
        let sleepers = self.set_drift(host);
        self.effects[line] += if ppm == 0 { 0 } else { sleepers };
    }

    pub(crate) fn undrift_clock(&mut self, host: usize, line: usize) {
        self.hosts[host].strain.clock.drifts.take(line);
        self.set_drift(host);
    }

    /// Returns how many sleepers wait for that clock.
    fn set_drift(&mut self, host: usize) -> u64 {
        let now = self.now();
        let machine = &mut self.hosts[host];
        let ppm =
            machine.strain.clock.own_drift_ppm + machine.strain.clock.drifts.all().sum::<i64>();
        machine.clock.set_drift(now, ppm);
        self.reckon_sleeps(host)
    }

    pub(crate) fn step_clock(&mut self, host: usize, line: usize, ns: i64) {
        self.hosts[host].strain.clock.steps.put(line, ns);
        self.hosts[host].clock.step_wall(ns);
    }

    pub(crate) fn unstep_clock(&mut self, host: usize, line: usize) {
        if let Some(ns) = self.hosts[host].strain.clock.steps.take(line) {
            self.hosts[host].clock.step_wall(-ns);
        }
    }

    /// The wall clock jumps by `ns`, or back if this line made it jump.
    pub(crate) fn strobe_clock(&mut self, host: usize, line: usize, ns: i64) {
        if self.hosts[host].strain.clock.steps.has(line) {
            self.unstep_clock(host, line);
        } else {
            self.step_clock(host, line, ns);
        }
    }

    pub(crate) fn stop_clock(&mut self, host: usize, line: usize) {
        let now = self.now();
        let machine = &mut self.hosts[host];
        machine.strain.clock.stops.put(line, ());
        machine.clock.stop(now);
        self.effects[line] += self.reckon_sleeps(host);
    }

    pub(crate) fn unstop_clock(&mut self, host: usize, line: usize) {
        let now = self.now();
        let machine = &mut self.hosts[host];
        machine.strain.clock.stops.take(line);
        if machine.strain.clock.stops.is_empty() {
            machine.clock.go_on(now);
        }
        self.reckon_sleeps(host);
    }

    pub(crate) fn coarsen_clock(&mut self, host: usize, line: usize, step_ns: u64) {
        let now = self.now();
        let machine = &mut self.hosts[host];
        let clock = &mut machine.strain.clock;
        clock.shown = clock.shows(machine.clock.mono(now));
        clock.coarse.put(line, step_ns);
        self.reckon_sleeps(host);
    }

    pub(crate) fn uncoarsen_clock(&mut self, host: usize, line: usize) {
        self.hosts[host].strain.clock.coarse.take(line);
        self.reckon_sleeps(host);
    }

    pub(crate) fn delay_timers(&mut self, host: usize, line: usize, by_ns: u64) {
        self.hosts[host].strain.clock.late.put(line, by_ns);
    }

    pub(crate) fn undelay_timers(&mut self, host: usize, line: usize) {
        self.hosts[host].strain.clock.late.take(line);
    }

    /// When a timer that is due at `at` rings.
    pub(crate) fn timer_late(&mut self, host: usize, at: Time) -> Time {
        let Some(line) = self.hosts[host].strain.clock.late.latest() else { return at };
        let (now, who) = (self.now(), self.identity(host));
        let clock = &mut self.hosts[host].strain.clock;
        let most = clock.late.all().max().unwrap_or(0);
        let by = clock.timers.draw(&self.draws, "timer", who, now) % most.saturating_add(1).max(1);
        self.effects[line] += u64::from(by > 0);
        at.saturating_add(by)
    }

    /// The virtual time at which a node on this host first reads `mono` or more, if its clock goes on as it
    /// goes now.
    pub(crate) fn true_time(&self, host: usize, mono: Mono) -> Time {
        let machine = &self.hosts[host];
        machine.clock.true_time(machine.strain.clock.rings(mono))
    }

    /// The host's clock is asked, or asked to ring: a clock that stands or drifts shows in that.
    pub(in crate::world) fn book_clock(&mut self, host: usize) {
        let clock = &self.hosts[host].strain.clock;
        if clock.stops.is_empty() && clock.drifts.is_empty() {
            return;
        }
        let drifts = || clock.drifts.latest().filter(|_| clock.drifts.all().sum::<i64>() != 0);
        if let Some(line) = clock.stops.latest().or_else(drifts) {
            self.effects[line] += 1;
        }
    }

    /// The monotonic clock as the node reads it.
    pub(crate) fn read_mono(&mut self, host: usize) -> Mono {
        self.book_clock(host);
        let machine = &self.hosts[host];
        let mono = machine.clock.mono(self.now());
        let clock = &machine.strain.clock;
        let Some(line) = clock.coarse.latest() else { return mono };
        let shown = clock.shows(mono);
        self.effects[line] += 1;
        shown
    }

    /// The wall clock as the node reads it.
    pub(crate) fn read_wall(&mut self, host: usize) -> Wall {
        self.book_clock(host);
        let clock = &self.hosts[host].strain.clock;
        if let Some(line) = clock.steps.latest().filter(|_| clock.steps.all().sum::<i64>() != 0) {
            self.effects[line] += 1;
        }
        let (now, step) = (self.now(), clock.step_ns());
        let wall = self.hosts[host].clock.wall(now).0;
        Wall(wall / step * step)
    }
}
