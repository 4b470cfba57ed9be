//! What faults may do to hosts: their processes, their power and their clocks.
//! Whoever wants a host down or paused counts, and it is back when the last of them ends; what acts on
//! clocks is put under the plan's line and taken back under it.

use host::unit::Ratio;

use super::Control;
use crate::world::Tearing;

impl Control<'_> {
    /// The process dies; the page cache lives. It stays down until every fault that wants it down has ended.
    pub fn crash(&mut self, host: usize) {
        self.world.hosts[host].downs += 1;
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
        self.world.hosts[host].downs += 1;
        let name = &self.world.hosts[host].name;
        let exact = self.replay.as_ref().map(|record| {
            record.iter().find(|(host, _)| host == name).map_or(Vec::new(), |(_, s)| s.clone())
        });
        let (effects, survivors) =
            self.world.lose_power(host, &mut self.rng, exact.as_deref(), tearing);
        self.survivors.push((host, survivors));
        self.effect(effects);
    }

    /// Starts the host's node, unless another fault still keeps it down. One that is still stopping is
    /// started when it has stopped.
    pub fn boot(&mut self, host: usize) {
        let machine = &mut self.world.hosts[host];
        machine.downs = machine.downs.saturating_sub(1);
        if machine.downs == 0 {
            self.world.boot(host);
        }
    }

    /// Asks the node to stop gracefully. Once it has ended it stays down until every fault that wants it
    /// down has ended; `boot` is this one's end. A stop that ends by itself is an effect.
    pub fn stop(&mut self, host: usize) {
        self.world.hosts[host].downs += 1;
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
}
