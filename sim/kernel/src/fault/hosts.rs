//! What faults may do to hosts: their processes, tasks, cores, power and clocks.
//! Whoever wants a host down or paused counts, and it is back when the last of them ends; what acts on
//! clocks and cores is put under the plan's line and taken back under it.

use host::unit::Ratio;

use super::Control;
use crate::Time;
use crate::world::{Steal, Tearing};

impl Control<'_> {
    /// The process dies; the page cache lives. It stays down until every fault that wants it down has ended.
    pub fn crash(&mut self, host: usize) {
        self.world.hosts[host].downs.put(self.line, ());
        let ended = self.world.crash(host);
        self.effect(ended);
    }

    /// The host loses power: unsynced bytes survive as the draw, or the replayed plan, says.
    pub fn power_loss(&mut self, host: usize) {
        self.lose_power(host, None);
    }

    /// The same, and of what survives each sector of `sector` bytes is torn out with these shares: as it
    /// was before, or garbage. Effects are sectors.
    pub fn torn_power_loss(&mut self, host: usize, sector: u64, missing: Ratio, garbage: Ratio) {
        let tearing = Tearing { sector, missing, garbage, key: self.key };
        self.lose_power(host, Some(tearing));
    }

    fn lose_power(&mut self, host: usize, tearing: Option<Tearing>) {
        self.world.hosts[host].downs.put(self.line, ());
        let name = &self.world.hosts[host].name;
        let exact = self.replay.as_ref().map(|record| {
            record.iter().find(|(host, _)| host == name).map_or(Vec::new(), |(_, s)| s.clone())
        });
        let (effects, survivors) =
            self.world.lose_power(host, &mut self.rng, exact.as_deref(), tearing);
        self.survivors.push((host, survivors));
        self.effect(effects);
    }

    /// This fault no longer keeps the host down: its node is started, unless another fault still does. One
    /// that is still stopping is started when it has stopped. Nothing happens if this fault did not keep it
    /// down.
    pub fn boot(&mut self, host: usize) {
        let machine = &mut self.world.hosts[host];
        if machine.downs.take(self.line).is_some() && machine.downs.is_empty() {
            self.world.boot(host);
        }
    }

    /// One task of the host's node panics when it is polled next: one of that name, or of a name that is
    /// drawn among those there are. The node is started again if that ends it. Returns the name.
    pub fn panic_task(&mut self, host: usize, name: &str) -> Option<&'static str> {
        let tasks = &self.world.tasks;
        let there = self.world.hosts[host].tasks.iter().map(|id| (tasks[*id as usize].what, *id));
        let mut there: Vec<(&'static str, u64)> =
            there.filter(|(what, _)| name.is_empty() || *what == name).collect();
        there.sort_unstable();
        let mut names: Vec<&'static str> = there.iter().map(|(what, _)| *what).collect();
        names.dedup();
        if names.is_empty() {
            return None;
        }
        let what = names[self.own.below(names.len() as u64) as usize];
        there.retain(|(name, _)| *name == what);
        let (_, id) = there[self.own.below(there.len() as u64) as usize];
        self.world.tasks[id as usize].doomed = Some(self.line);
        Some(what)
    }

    /// Tasks of the host that have not panicked over this fault yet will not do so any more.
    pub fn spare_tasks(&mut self, host: usize) {
        for id in &self.world.hosts[host].tasks {
            let doomed = &mut self.world.tasks[*id as usize].doomed;
            if *doomed == Some(self.line) {
                *doomed = None;
            }
        }
    }

    /// A share of the host's cores goes to somebody else, in quanta of so many nanoseconds.
    pub fn steal_cores(&mut self, host: usize, share: Ratio, quantum_ns: Time) {
        let steal = Steal { share, quantum_ns: quantum_ns.max(1), key: self.key };
        self.world.steal_cores(host, self.line, steal);
    }

    /// Undoes what this line did with `steal_cores`.
    pub fn return_cores(&mut self, host: usize) {
        self.world.return_cores(host, self.line);
    }

    /// Asks the node to stop gracefully. Once it has ended it stays down until every fault that wants it
    /// down has ended; `boot` is this one's end. A stop that ends by itself is an effect.
    pub fn stop(&mut self, host: usize) {
        self.world.hosts[host].downs.put(self.line, ());
        self.world.ask_stop(host, self.line);
    }

    /// The process no longer runs; connections and disk go on.
    pub fn pause(&mut self, host: usize) {
        self.world.hosts[host].pauses += 1;
        self.world.pause(host, self.line);
    }

    /// It runs again, unless another fault still keeps it paused.
    pub fn resume(&mut self, host: usize) {
        let machine = &mut self.world.hosts[host];
        machine.pauses = machine.pauses.saturating_sub(1);
        if machine.pauses == 0 {
            self.world.resume(host);
        }
    }

    /// The host's clocks run fast by so many parts per million beside their own drift; these add up.
    pub fn drift_clock(&mut self, host: usize, ppm: i64) {
        self.world.drift_clock(host, self.line, ppm);
    }

    /// Undoes what this line did with `drift_clock`.
    pub fn undrift_clock(&mut self, host: usize) {
        self.world.undrift_clock(host, self.line);
    }

    /// The host's wall clock jumps by so many nanoseconds.
    pub fn step_clock(&mut self, host: usize, ns: i64) {
        self.world.step_clock(host, self.line, ns);
    }

    /// Its wall clock jumps back by what this line made it jump.
    pub fn unstep_clock(&mut self, host: usize) {
        self.world.unstep_clock(host, self.line);
    }

    /// Its wall clock jumps by so many nanoseconds, or back if this line has made it jump.
    pub fn strobe_clock(&mut self, host: usize, ns: i64) {
        self.world.strobe_clock(host, self.line, ns);
    }

    /// Both of its clocks stand still until every fault that wants them to has ended.
    pub fn stop_clock(&mut self, host: usize) {
        self.world.stop_clock(host, self.line);
    }

    /// Undoes what this line did with `stop_clock`. What passed meanwhile the clocks never show.
    pub fn unstop_clock(&mut self, host: usize) {
        self.world.unstop_clock(host, self.line);
    }

    /// Its clocks show multiples of so many nanoseconds, rounded down; the coarsest counts.
    pub fn coarsen_clock(&mut self, host: usize, step_ns: Time) {
        self.world.coarsen_clock(host, self.line, step_ns);
    }

    /// Undoes what this line did with `coarsen_clock`.
    pub fn uncoarsen_clock(&mut self, host: usize) {
        self.world.uncoarsen_clock(host, self.line);
    }

    /// Timers that the host sets ring late, by up to so many nanoseconds, each by its own draw.
    pub fn delay_timers(&mut self, host: usize, by_ns: Time) {
        self.world.delay_timers(host, self.line, by_ns);
    }

    /// Undoes what this line did with `delay_timers`; timers that are set keep their lateness.
    pub fn undelay_timers(&mut self, host: usize) {
        self.world.undelay_timers(host, self.line);
    }
}
