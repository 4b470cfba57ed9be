//! Cuts: a directed link that no longer delivers, and its healing.
//!
//! Cuts nest, so overlapping faults heal on their own; the last line that cut a link is booked with the
//! frames that it swallows. What happens to those frames is `net`'s business.

use super::World;
use crate::event::KernelEvent;

impl World {
    pub(crate) fn cut(&mut self, from: usize, to: usize, line: usize) {
        let key = self.links.index(from, to);
        self.links.links[key].cut();
        self.links.cut_by[key] = line;
        let to_name = self.hosts[to].name.clone();
        self.outbox.push((from, KernelEvent::LinkCut { to, to_name }));
    }

    pub(crate) fn heal(&mut self, from: usize, to: usize) {
        let key = self.links.index(from, to);
        if self.links.links[key].is_cut() {
            self.links.links[key].heal();
            if !self.links.links[key].is_cut() {
                let to_name = self.hosts[to].name.clone();
                self.outbox.push((from, KernelEvent::LinkHealed { to, to_name }));
            }
        }
    }
}
