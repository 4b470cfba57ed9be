//! The receiving side of connections: frames that arrive, and nodes that take them.
//!
//! A frame goes to whoever waits for it, or waits in the inbox; its sender has room again once the node has
//! taken it. Where a fault slows the reader down, frames wait in the inbox until the process comes round to
//! them: the window fills, and the sender waits. An end that is no more answers what arrives with a reset.
//!
//! Left out: a receive buffer of its own; the window is the only bound on what waits here.

use host::arm::{Done, Ticket};

use super::net::Item;
use super::{Waits, World};

/// Bytes of a frame's head that the digest sees; what they name (indices, lengths, sums) covers the rest.
const HEAD_BYTES: usize = 96;

impl World {
    pub(crate) fn arrive(&mut self, end: usize, item: Item) {
        let now = self.now();
        self.queue_bytes -= item.bytes();
        let bytes = item.bytes();
        self.frames += 1;
        self.frame_bytes += bytes;
        self.digest.add(|b| {
            b.extend_from_slice(&now.to_le_bytes());
            b.extend_from_slice(&(end as u64).to_le_bytes());
            b.extend_from_slice(&bytes.to_le_bytes());
            if let Item::Frame(class, frame) = &item {
                b.extend_from_slice(class.0.as_bytes());
                let head = frame.parts().next();
                b.extend(head.iter().flat_map(|h| h.iter().take(HEAD_BYTES)));
            }
        });
        let e = &mut self.net.ends[end];
        if e.dead || (e.reader_gone && e.writer_gone) {
            return self.send_reset(end);
        }
        if e.broken.is_some() {
            // A reset that was lost, or never sent by an end that gave up, is made up for.
            let peer = e.peer;
            let peer = &self.net.ends[peer];
            if !peer.dead && peer.broken.is_none() {
                self.send_reset(end);
            }
            return;
        }
        match item {
            Item::Fin => {
                e.eof = true;
                let next = if e.inbox.is_empty() { e.receiver.take() } else { None };
                if let Some(ticket) = next {
                    self.complete(ticket, Ok(Done::Frame(None)));
                }
            }
            Item::Frame(_, frame) => {
                if e.echo.is_some() {
                    self.answered(end);
                }
                let e = &mut self.net.ends[end];
                if e.reader_gone {
                    return self.taken(end, bytes);
                }
                if self.hosts[e.host].strain.reader_is_slow() {
                    return self.waits_for_reader(end, frame);
                }
                match e.receiver.take() {
                    Some(ticket) => {
                        self.complete(ticket, Ok(Done::Frame(Some(frame))));
                        self.taken(end, bytes);
                    }
                    None => {
                        self.queue_bytes += bytes;
                        e.inbox.push_back(frame);
                    }
                }
            }
        }
    }

    /// The node took a frame: its sender has room again.
    pub(super) fn taken(&mut self, end: usize, bytes: u64) {
        let peer = self.net.ends[end].peer;
        let sender = &mut self.net.ends[peer];
        sender.flight = sender.flight.saturating_sub(bytes);
        self.flush(peer);
    }

    pub(crate) fn submit_recv(&mut self, host: usize, end: usize) -> Ticket {
        let e = &mut self.net.ends[end];
        let may_read = e.readable > 0 || !self.hosts[e.host].strain.reader_is_slow();
        if let Some(frame) = e.inbox.pop_front_if(|_| may_read) {
            e.readable = e.readable.saturating_sub(1);
            let bytes = frame.len();
            self.queue_bytes -= bytes;
            self.taken(end, bytes);
            return self.ready(host, Ok(Done::Frame(Some(frame))));
        }
        if let Some(kind) = e.broken {
            return self.ready(host, Err(kind.into()));
        }
        if e.eof && e.inbox.is_empty() {
            return self.ready(host, Ok(Done::Frame(None)));
        }
        let ticket = self.slot(host, Waits::Recv(end));
        self.net.ends[end].receiver = Some(ticket);
        ticket
    }

    /// A slow reader came round to the next frame of this end.
    pub(crate) fn read(&mut self, end: usize, spell: u64) {
        let e = &mut self.net.ends[end];
        if self.hosts[e.host].strain.reader.spell != spell || e.dead {
            return;
        }
        e.readable += 1;
        self.hand_over(end);
    }

    /// Whoever waits for a frame takes one that has come to be readable.
    pub(super) fn hand_over(&mut self, end: usize) {
        let e = &mut self.net.ends[end];
        let Some(ticket) = e.receiver else { return };
        if let Some(frame) = e.inbox.pop_front() {
            e.receiver = None;
            e.readable = e.readable.saturating_sub(1);
            let bytes = frame.len();
            self.queue_bytes -= bytes;
            self.complete(ticket, Ok(Done::Frame(Some(frame))));
            self.taken(end, bytes);
        }
    }

    pub(crate) fn forget_recv(&mut self, end: usize, ticket: Ticket) {
        let e = &mut self.net.ends[end];
        if e.receiver == Some(ticket) {
            e.receiver = None;
        }
    }
}
