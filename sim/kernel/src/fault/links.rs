//! What faults may do to links: the way frames take from one host to another.
//! Each act is put under the plan's line that asked for it, and its end takes back that line's own and no
//! other; the law is `model::link`.

use host::unit::{Rate, Ratio};

use super::Control;
use crate::world::Slow;

impl Control<'_> {
    /// Frames from `from` no longer arrive at `to`. Cuts nest.
    pub fn cut(&mut self, from: usize, to: usize) {
        self.world.cut(from, to, self.line);
    }

    /// Undoes one cut.
    pub fn heal(&mut self, from: usize, to: usize) {
        self.world.heal(from, to);
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
