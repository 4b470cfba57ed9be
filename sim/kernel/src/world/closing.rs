//! The ends of connections: half-close, abort, reset, and what a process leaves behind when it ends.
//!
//! A reset travels behind what was sent before it. Where the way is cut, or whoever stands on it forgot the
//! connection, it is lost, and the other end stays half-open until it sends or gives up: whatever arrives
//! at an end that is no more is answered by another reset.
//!
//! Left out: lingering.

use std::io::ErrorKind;

use host::Style;
use host::arm::Close;

use super::net::Item;
use super::{Due, World};

impl World {
    pub(crate) fn close(&mut self, end: usize, how: Close) {
        if self.net.ends[end].dead {
            return;
        }
        match how {
            Close::Half => {
                if std::mem::replace(&mut self.net.ends[end].writer_gone, true) {
                    return;
                }
                let e = &mut self.net.ends[end];
                if e.broken.is_some() || e.style == Style::Datagram && e.queue.is_empty() {
                    if e.broken.is_none() {
                        let peer = e.peer;
                        let (from, to, last) = (e.host, e.peer_host, e.last_arrival);
                        let at = (self.now() + self.latency(from, to)).max(last);
                        self.schedule(at, Due::Arrive { end: peer, item: Item::Fin });
                    }
                    return;
                }
                e.queue.push_back((None, Item::Fin));
                let over = e.reader_gone;
                self.flush(end);
                if over {
                    self.haunts(end);
                }
            }
            Close::Reader => {
                let e = &mut self.net.ends[end];
                e.reader_gone = true;
                let bytes: u64 = e.inbox.drain(..).map(|f| f.len()).sum();
                let over = e.writer_gone;
                self.queue_bytes -= bytes;
                self.taken(end, bytes);
                if over {
                    self.haunts(end);
                }
            }
            Close::Abort => {
                let whole = self.net.ends[end].broken.is_none();
                self.break_end(end, ErrorKind::ConnectionAborted);
                if whole {
                    self.send_reset(end);
                }
            }
        }
    }

    /// Tells the other end that this one is no more. What left before still arrives before.
    pub(super) fn send_reset(&mut self, end: usize) {
        let e = &self.net.ends[end];
        let (peer, from, to, last) = (e.peer, e.host, e.peer_host, e.last_arrival);
        if !self.is_carried(end) {
            return;
        }
        if self.links.is_held(from, to) {
            return self.park_reset(end);
        }
        let at = (self.now() + self.latency(from, to)).max(last);
        self.schedule(at, Due::Reset { end: peer });
    }

    /// A reset arrived.
    pub(crate) fn reset(&mut self, end: usize) {
        self.note("reset", end as u64, 0);
        if !self.net.ends[end].dead && self.net.ends[end].broken.is_none() {
            self.break_end(end, ErrorKind::ConnectionReset);
        }
    }

    /// Nothing more goes in or out of this end; everybody who waits on it learns why.
    pub(super) fn break_end(&mut self, end: usize, kind: ErrorKind) {
        self.haunts(end);
        let e = &mut self.net.ends[end];
        e.broken = Some(kind);
        e.readable = 0;
        let receiver = e.receiver.take();
        let inbox: u64 = e.inbox.drain(..).map(|f| f.len()).sum();
        let held: u64 = e.held.drain(..).map(|i| i.bytes()).sum();
        let queue = std::mem::take(&mut e.queue);
        let queued: u64 = queue.iter().map(|(_, i)| i.bytes()).sum();
        self.queue_bytes -= inbox + held + queued;
        if let Some(ticket) = receiver {
            self.complete(ticket, Err(kind.into()));
        }
        for ticket in queue.into_iter().filter_map(|(t, _)| t) {
            self.complete(ticket, Err(kind.into()));
        }
    }

    /// A process ended. An orderly kernel resets its connections; a machine without power says nothing.
    pub(crate) fn close_connections_of(&mut self, host: usize, orderly: bool) {
        self.net.listeners.retain(|key, _| key.0 != host);
        for end in 0..self.net.ends.len() {
            let e = &self.net.ends[end];
            if e.host != host || e.dead {
                continue;
            }
            let whole = e.broken.is_none();
            self.break_end(end, ErrorKind::ConnectionAborted);
            self.net.ends[end].dead = true;
            if orderly && whole {
                self.send_reset(end);
            }
        }
    }
}
