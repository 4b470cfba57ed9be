//! What faults put on links, each (from, to). Latencies add up; of losses and bandwidths the worst counts.

use host::unit::{Rate, Ratio};
use host::{Rng, Style};

use crate::world::World;
use crate::world::net::End;

/// A slow link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slow {
    pub adds_ns: u64,
    /// Zero leaves it as it is.
    pub bandwidth: Rate,
}

impl World {
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

    /// Breaks the connections that `link.0` dialled to `link.1`, a share of them, at both ends.
    pub(crate) fn reset_connections(
        &mut self,
        link: (usize, usize),
        line: usize,
        share: Ratio,
        draws: impl Fn(u64) -> Rng,
    ) {
        for end in 0..self.net.ends.len() {
            let e = &self.net.ends[end];
            let (peer, dialled) = (e.peer, e.peer == end + 1);
            let whole =
                |e: &End| !e.dead && e.broken.is_none() && !(e.reader_gone && e.writer_gone);
            let here = (e.host, e.peer_host) == link && dialled && e.style == Style::Stream;
            let open = here && (whole(e) || whole(&self.net.ends[peer]));
            if open && draws(e.number).chance(share.0) {
                self.effects[line] += 1;
                self.reset(end);
                self.reset(peer);
            }
        }
    }

    /// A frame goes over a link: whom its delay and its loss are booked to.
    pub(in crate::world) fn book_strain(&mut self, key: usize, loss_draw: u64) {
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
}
