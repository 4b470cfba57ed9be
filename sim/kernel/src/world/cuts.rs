//! Silences: a directed link that no longer delivers, that holds what it is given, or that knows nothing of
//! the connections there are; and the end of each.
//!
//! Each is put under the line that did it, so overlapping faults end on their own; the last line that is
//! still there is booked with the frames that it swallows or keeps. What is swallowed is sent again by the
//! sending kernel (`net`). What is held has left its sender: it arrives when the link lets go, all at once
//! and in order, whatever has become of the connection meanwhile. A connection that the way forgot carries
//! nothing, and a new one between the same hosts does.
//!
//! Left out: that a sender gives up what is held too long.

use std::collections::VecDeque;

use host::Style;

use super::net::{Item, Parked};
use super::{Due, World};
use crate::event::KernelEvent;

impl World {
    pub(crate) fn cut(&mut self, from: usize, to: usize, line: usize) {
        let key = self.links.index(from, to);
        self.links.links[key].cut();
        self.links.cuts[key].put(line, ());
        self.tell_silence(from, to);
    }

    pub(crate) fn heal(&mut self, from: usize, to: usize, line: usize) {
        let key = self.links.index(from, to);
        if self.links.cuts[key].take(line).is_some() {
            self.links.links[key].heal();
            self.tell_end_of_silence(from, to);
        }
    }

    fn tell_silence(&mut self, from: usize, to: usize) {
        let to_name = self.hosts[to].name.clone();
        self.outbox.push((from, KernelEvent::LinkCut { to, to_name }));
    }

    fn tell_end_of_silence(&mut self, from: usize, to: usize) {
        if !self.links.is_silent(from, to) {
            let to_name = self.hosts[to].name.clone();
            self.outbox.push((from, KernelEvent::LinkHealed { to, to_name }));
        }
    }

    pub(crate) fn hold_link(&mut self, from: usize, to: usize, line: usize) {
        let key = self.links.index(from, to);
        self.links.holds[key].put(line, ());
        self.tell_silence(from, to);
    }

    pub(crate) fn release_link(&mut self, from: usize, to: usize, line: usize) {
        let key = self.links.index(from, to);
        if self.links.holds[key].take(line).is_none() {
            return;
        }
        self.tell_end_of_silence(from, to);
        if self.links.is_held(from, to) {
            return;
        }
        let parked = std::mem::take(&mut self.links.parked[key]);
        let freed: u64 = parked.iter().map(parked_bytes).sum();
        self.queue_bytes -= freed;
        if self.hosts[to].powered && !self.links.is_cut(from, to) {
            for item in parked {
                match item {
                    Parked::Item(end, item) if self.net.ends[end].style == Style::Datagram => {
                        self.send_datagram(end, item);
                    }
                    Parked::Item(end, item) => self.transmit(end, item),
                    Parked::Reset(end) => {
                        let last = self.net.ends[self.net.ends[end].peer].last_arrival;
                        let at = (self.now() + self.latency(from, to)).max(last);
                        self.schedule(at, Due::Reset { end });
                    }
                }
            }
        } else {
            self.take_back(parked);
        }
    }

    /// What cannot go on from where it was held is its sender's again, in front of what followed it.
    fn take_back(&mut self, parked: VecDeque<Parked>) {
        for item in parked.into_iter().rev() {
            let Parked::Item(end, item) = item else { continue };
            if self.net.ends[end].style == Style::Datagram || self.net.ends[end].broken.is_some() {
                continue;
            }
            if self.net.ends[end].held.is_empty() {
                self.hold(end, item);
            } else {
                self.queue_bytes += item.bytes();
                self.net.ends[end].held.push_front(item);
            }
        }
    }

    /// The link keeps what this end sends.
    pub(super) fn park(&mut self, end: usize, item: Item) {
        let e = &self.net.ends[end];
        let (from, to) = (e.host, e.peer_host);
        self.book_silence(from, to, None);
        self.queue_bytes += item.bytes();
        let key = self.links.index(from, to);
        self.links.parked[key].push_back(Parked::Item(end, item));
    }

    /// The link keeps the reset that this end sends.
    pub(super) fn park_reset(&mut self, end: usize) {
        let e = &self.net.ends[end];
        let (peer, key) = (e.peer, self.links.index(e.host, e.peer_host));
        self.links.parked[key].push_back(Parked::Reset(peer));
    }

    /// The way from one host to the other no longer knows the connections that there are.
    pub(crate) fn forget_connections(&mut self, from: usize, to: usize, line: usize) {
        let key = self.links.index(from, to);
        self.links.forgets[key].put(line, ());
        for end in self.net.ends.iter_mut() {
            if (end.host, end.peer_host) == (from, to) && !end.dead && end.broken.is_none() {
                end.forgotten.put(line, ());
            }
        }
        let to_name = self.hosts[to].name.clone();
        self.outbox.push((from, KernelEvent::LinkForgot { to, to_name }));
    }

    pub(crate) fn know_connections(&mut self, from: usize, to: usize, line: usize) {
        let key = self.links.index(from, to);
        if self.links.forgets[key].take(line).is_none() {
            return;
        }
        for end in self.net.ends.iter_mut() {
            if (end.host, end.peer_host) == (from, to) {
                end.forgotten.take(line);
            }
        }
        if self.links.forgets[key].latest().is_none() {
            let to_name = self.hosts[to].name.clone();
            self.outbox.push((from, KernelEvent::LinkRemembers { to, to_name }));
        }
    }
}

fn parked_bytes(parked: &Parked) -> u64 {
    match parked {
        Parked::Item(_, item) => item.bytes(),
        Parked::Reset(_) => 0,
    }
}
