//! Causes: a fault acts on hosts and models and knows neither the protocol that runs on them nor the checks.
//! When it acts, on whom and for how long is the plan's business; the fault only knows how to begin and how
//! to end, and every effect it has is counted.

use host::Rng;
use host::unit::{Rate, Ratio, Size};

use crate::Time;
use crate::event::KernelEvent;
use crate::model::files::Survivor;
use crate::world::{Slow, World};

/// What goes wrong.
pub trait Fault: Send + Sync {
    /// Hits the hosts. Returns a few words for the story.
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String;
    /// Undoes it, after its time or at the heal.
    fn end(&self, control: &mut Control<'_>, hosts: &[usize]);
}

/// What a fault may do to the world. Every act is booked to the plan's line that asked for it.
pub struct Control<'a> {
    pub(crate) world: &'a mut World,
    /// The line of the plan that acts; effects are booked to it.
    pub(crate) line: usize,
    pub(crate) rng: Rng,
    /// Outcomes of power losses by host, when an artifact is replayed. Who is not named had nothing to lose.
    pub(crate) replay: Option<Vec<(String, Vec<Survivor>)>>,
    /// Outcomes of the power losses of this act.
    pub(crate) survivors: Vec<(usize, Vec<Survivor>)>,
}

impl Control<'_> {
    /// How many hosts run the node under test; they come first.
    pub fn nodes(&self) -> usize {
        self.world.nodes
    }

    /// How many hosts there are, those of clients included.
    pub fn hosts(&self) -> usize {
        self.world.hosts.len()
    }

    /// A host's name.
    pub fn name(&self, host: usize) -> String {
        self.world.hosts[host].name.clone()
    }

    /// This act's own draws.
    pub fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// The process dies; the page cache lives. It stays down until every fault that wants it down has ended.
    pub fn crash(&mut self, host: usize) {
        self.world.hosts[host].downs += 1;
        let ended = self.world.crash(host);
        self.effect(ended);
    }

    /// The host loses power: unsynced bytes survive as the draw, or the replayed plan, says.
    pub fn power_loss(&mut self, host: usize) {
        self.world.hosts[host].downs += 1;
        let name = &self.world.hosts[host].name;
        let exact = self.replay.as_ref().map(|record| {
            record.iter().find(|(host, _)| host == name).map_or(Vec::new(), |(_, s)| s.clone())
        });
        let (effects, survivors) = self.world.power_loss(host, &mut self.rng, exact.as_deref());
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

    /// Frames from `from` no longer arrive at `to`. Cuts nest.
    pub fn cut(&mut self, from: usize, to: usize) {
        self.world.cut(from, to, self.line);
    }

    /// Undoes one cut.
    pub fn heal(&mut self, from: usize, to: usize) {
        self.world.heal(from, to);
    }

    /// The device that serves the host makes no progress. On a shared device all its hosts stall.
    pub fn stall_disk(&mut self, host: usize) {
        self.world.stall_disk(host, self.line);
    }

    /// It works again.
    pub fn unstall_disk(&mut self, host: usize) {
        self.world.unstall_disk(host);
    }

    /// Frames from `from` to `to` take so much longer (ns), at no more than this bandwidth (zero: as it
    /// is). Overlapping latencies add up, and the lowest bandwidth counts.
    pub fn slow_link(&mut self, from: usize, to: usize, adds_ns: u64, bandwidth: Rate) {
        self.world.slow_link((from, to), self.line, Slow { adds_ns, bandwidth });
    }

    /// Undoes what this line did with `slow_link`.
    pub fn unslow_link(&mut self, from: usize, to: usize) {
        self.world.unslow_link((from, to), self.line);
    }

    /// Frames from `from` to `to` are lost with this share; where several say so, the highest counts.
    pub fn lose_frames(&mut self, from: usize, to: usize, loss: Ratio) {
        self.world.lose_frames((from, to), self.line, loss);
    }

    /// Undoes what this line did with `lose_frames`.
    pub fn keep_frames(&mut self, from: usize, to: usize) {
        self.world.keep_frames((from, to), self.line);
    }

    /// The device that serves the host works at a `factor`-th of its speed; where several say so, the
    /// slowest counts.
    pub fn slow_disk(&mut self, host: usize, factor: u64) {
        self.world.slow_disk(host, self.line, factor);
    }

    /// Undoes what this line did with `slow_disk`.
    pub fn unslow_disk(&mut self, host: usize) {
        self.world.unslow_disk(host, self.line);
    }

    /// The host's disk has room for so many more bytes and no more.
    pub fn fill_disk(&mut self, host: usize, leaves: Size) {
        self.world.fill_disk(host, self.line, leaves);
    }

    /// Undoes what this line did with `fill_disk`.
    pub fn unfill_disk(&mut self, host: usize) {
        self.world.unfill_disk(host, self.line);
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

    /// Tells the story that a fault of this kind is over for these hosts, where nothing else does.
    pub fn over(&mut self, kind: &'static str, hosts: &[usize]) {
        for host in hosts {
            self.world.outbox.push((*host, KernelEvent::FaultOver { kind }));
        }
    }

    /// Books effects of this act.
    pub fn effect(&mut self, count: u64) {
        self.world.effects[self.line] += count;
    }

    /// Virtual time.
    pub fn now(&self) -> Time {
        self.world.now()
    }
}
