//! What faults may do to links: the way frames take from one host to another.
//! Each act is put under the plan's line that asked for it, and its end takes back that line's own and no
//! other; the law is `model::link`.

use host::unit::{Rate, Ratio};

use super::Control;
use crate::draw::mix;
use crate::world::Slow;

impl Control<'_> {
    /// Frames from `from` no longer arrive at `to`. Cuts nest.
    pub fn cut(&mut self, from: usize, to: usize) {
        self.world.cut(from, to, self.line);
    }

    /// Undoes one cut of this line, if it has one.
    pub fn heal(&mut self, from: usize, to: usize) {
        self.world.heal(from, to, self.line);
    }

    /// What is sent from `from` to `to` is kept on the way, until the last line that says so lets go.
    pub fn hold_link(&mut self, from: usize, to: usize) {
        self.world.hold_link(from, to, self.line);
    }

    /// Undoes one `hold_link` of this line: what was kept goes on at once, in order.
    pub fn release_link(&mut self, from: usize, to: usize) {
        self.world.release_link(from, to, self.line);
    }

    /// The connections that there are carry nothing from `from` to `to` any more; new ones do.
    pub fn forget_connections(&mut self, from: usize, to: usize) {
        self.world.forget_connections(from, to, self.line);
    }

    /// Undoes what this line did with `forget_connections`.
    pub fn know_connections(&mut self, from: usize, to: usize) {
        self.world.know_connections(from, to, self.line);
    }

    /// Breaks a share of the streams that `from` dialled to `to`: both ends see a reset at once, and what
    /// was under way is gone.
    pub fn reset_connections(&mut self, from: usize, to: usize, share: Ratio) {
        let (draws, now) = (self.world.draws, self.now());
        let who = mix(self.key, self.world.link_identity(from, to));
        let draw = |number| draws.stream("connection_reset", who, mix(number, now));
        self.world.reset_connections((from, to), self.line, share, draw);
    }

    /// The usual latency of a link (ns), without what faults add.
    pub fn usual_latency(&self, from: usize, to: usize) -> u64 {
        self.world.links.links[self.world.links.index(from, to)].law.latency.at(1 << 63)
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
}
