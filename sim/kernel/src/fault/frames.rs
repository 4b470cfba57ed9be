//! What faults may do to single frames on links, and to how fast a process reads them.
//! Each act is put under the plan's line that asked for it, and its end takes back that line's own and no
//! other; the law is `world/strain/frames` and `world/strain/readers`.

use host::unit::{Rate, Ratio};

use super::Control;
use crate::world::{Trick, What};

impl Control<'_> {
    fn put_trick(&mut self, from: usize, to: usize, what: What) {
        let trick = Trick { line: self.line, key: self.key, what };
        self.world.put_trick((from, to), trick);
    }

    /// A share of what is sent from `from` to `to` arrives a second time, at most `within_ns` later:
    /// datagrams one by one, streams as a new connection that repeats the beginning of an old one.
    pub fn duplicate_frames(&mut self, from: usize, to: usize, share: Ratio, within_ns: u64) {
        self.put_trick(from, to, What::Duplicate { share, within_ns });
    }

    /// A share of the datagrams, and of the streams as a whole, arrives up to `by_ns` later.
    pub fn delay_frames(&mut self, from: usize, to: usize, share: Ratio, by_ns: u64) {
        self.put_trick(from, to, What::Delay { share, by_ns });
    }

    /// A share of the frames is damaged on the way. Of these the link layer catches the share `caught`:
    /// they are lost and, on a stream, sent again; the others arrive with another byte in them.
    pub fn damage_frames(&mut self, from: usize, to: usize, share: Ratio, caught: Ratio) {
        self.put_trick(from, to, What::Damage { share, caught });
    }

    /// A share of the frames of this class vanishes, also from within a stream.
    pub fn drop_class(&mut self, from: usize, to: usize, class: &str, share: Ratio) {
        let class = self.world.class_number(class);
        self.put_trick(from, to, What::Drop { class, share });
    }

    /// Takes back one of what this line did to the frames from `from` to `to`.
    pub fn spare_frames(&mut self, from: usize, to: usize) {
        self.world.take_trick((from, to), self.line);
    }

    /// The host's process reads its connections at this rate, or not at all if it is zero; of several the
    /// lowest counts.
    pub fn slow_reader(&mut self, host: usize, rate: Rate) {
        self.world.slow_reader(host, self.line, rate);
    }

    /// Undoes what this line did with `slow_reader`.
    pub fn unslow_reader(&mut self, host: usize) {
        self.world.unslow_reader(host, self.line);
    }
}
