//! Connections: frames over directed links, with windows, half-close, reset, and silence.
//!
//! A sender has at most a window of bytes under way, counted until the receiving node has taken them. A cut
//! link or a host without power swallows frames: the sending kernel holds what follows, tries again with
//! doubling delay, and gives the connection up in the end. A dead process on a live machine answers with a
//! reset; a machine that lost power answers nothing, so its peers stay half-open until they send.
//!
//! Left out: the way back of acknowledgements (credit returns at once); frames that still waited for the
//! link's bandwidth when their machine lost its power arrive all the same.

use std::collections::{BTreeMap, VecDeque};
use std::io::{Error, ErrorKind};

use host::arm::{Close, Done, Ticket};
use host::unit::Ratio;
use host::{Addr, Chunks, Class, Style, TrySendError};

use super::strain::Slow;
use super::{Due, Waits, World};
use crate::Time;
use crate::draw::Weather;
use crate::model::link::{Link, LinkLaw, Verdict};
use crate::model::overlaps::Overlaps;

/// Bytes that a frame costs on the link besides its own: headers of the layers below.
const FRAME_OVERHEAD: u64 = 70;
/// Bytes of a frame's head that the digest sees; what they name (indices, lengths, sums) covers the rest.
const HEAD_BYTES: usize = 96;

/// What travels.
#[derive(Debug)]
pub(crate) enum Item {
    /// A frame.
    Frame(Class, Chunks),
    /// The orderly end of one direction.
    Fin,
}

impl Item {
    fn bytes(&self) -> u64 {
        match self {
            Item::Frame(_, frame) => frame.len(),
            Item::Fin => 0,
        }
    }
}

/// All directed links.
#[derive(Default)]
pub(crate) struct Links {
    pub(super) hosts: usize,
    pub(super) nodes: usize,
    pub(super) links: Vec<Link>,
    pub(super) weather: Vec<Weather>,
    pub(super) cut_by: Vec<usize>,
    pub(super) slow: Vec<Overlaps<Slow>>,
    pub(super) lossy: Vec<Overlaps<Ratio>>,
}

impl Links {
    pub fn new(hosts: usize, nodes: usize, law: &LinkLaw) -> Links {
        let count = hosts * hosts;
        Links {
            hosts,
            nodes,
            links: vec![Link::new(law.clone()); count],
            weather: (0..count).map(|_| Weather::default()).collect(),
            cut_by: vec![0; count],
            slow: vec![Overlaps::default(); count],
            lossy: vec![Overlaps::default(); count],
        }
    }

    pub(super) fn index(&self, from: usize, to: usize) -> usize {
        from * self.hosts + to
    }

    pub fn is_cut(&self, from: usize, to: usize) -> bool {
        self.links[self.index(from, to)].is_cut()
    }

    pub fn any_cut(&self) -> bool {
        (0..self.nodes).any(|a| (0..self.nodes).any(|b| self.is_cut(a, b)))
    }
}

/// A connection end.
pub(crate) struct End {
    pub(super) host: usize,
    pub(super) peer: usize,
    pub(super) peer_host: usize,
    pub(super) style: Style,
    /// The process that owned it is gone, or it was given up on both sides.
    pub(super) dead: bool,
    pub(super) inbox: VecDeque<Chunks>,
    pub(super) eof: bool,
    pub(super) broken: Option<ErrorKind>,
    pub(super) receiver: Option<Ticket>,
    pub(super) reader_gone: bool,
    pub(super) writer_gone: bool,
    /// Waits for the window.
    pub(super) queue: VecDeque<(Option<Ticket>, Item)>,
    /// Waits for the link.
    pub(super) held: VecDeque<Item>,
    pub(super) held_since: Time,
    pub(super) attempt: u32,
    /// Sent and not yet taken by the peer's node.
    pub(super) flight: u64,
    pub(super) last_arrival: Time,
}

pub(super) struct Listener {
    pub(super) id: u64,
    pub(super) backlog: VecDeque<usize>,
    pub(super) acceptors: VecDeque<Ticket>,
}

/// Connections and listeners.
#[derive(Default)]
pub(crate) struct NetState {
    pub(super) ends: Vec<End>,
    pub(super) listeners: BTreeMap<(usize, u16), Listener>,
    pub(super) next_listener: u64,
}

impl World {
    pub(crate) fn peer_name(&self, end: usize) -> &str {
        &self.hosts[self.net.ends[end].peer_host].name
    }

    pub(super) fn resolve(&self, addr: &Addr) -> std::io::Result<(usize, u16)> {
        let bad = || Error::new(ErrorKind::InvalidInput, format!("`{addr}` is not HOST:PORT"));
        let (name, port) = addr.0.rsplit_once(':').ok_or_else(bad)?;
        let port = port.parse().map_err(|_| bad())?;
        match self.names.get(name) {
            Some(host) => Ok((*host, port)),
            None => Err(Error::new(ErrorKind::NotFound, format!("no host `{name}`"))),
        }
    }

    /// Who a link is: its two ends.
    fn link_identity(&self, from: usize, to: usize) -> u64 {
        self.identity(from) << 32 | self.identity(to)
    }

    /// One way's latency now, for messages of the kernels themselves.
    pub(super) fn latency(&mut self, from: usize, to: usize) -> Time {
        let (now, key) = (self.now(), self.links.index(from, to));
        let who = self.link_identity(from, to);
        let draw = self.links.weather[key].draw(&self.draws, "link", who, now);
        let link = &self.links.links[key];
        link.law.latency.at(draw) + link.extra_latency_ns
    }

    /// Whether something sent now gets to the other machine at all.
    pub(super) fn passes(&self, from: usize, to: usize) -> bool {
        self.hosts[to].powered && !self.links.is_cut(from, to)
    }

    fn window_has_room(&self, end: usize, bytes: u64) -> bool {
        let e = &self.net.ends[end];
        e.flight == 0 || e.flight + bytes <= self.profile.hardware.link_window.0
    }

    fn end_error(&self, end: usize) -> Option<ErrorKind> {
        let e = &self.net.ends[end];
        e.broken.or((e.dead || e.writer_gone).then_some(ErrorKind::BrokenPipe))
    }

    pub(crate) fn submit_send(
        &mut self,
        host: usize,
        end: usize,
        class: Class,
        frame: Chunks,
    ) -> Ticket {
        if let Some(kind) = self.end_error(end) {
            return self.ready(host, Err(kind.into()));
        }
        let bytes = frame.len();
        let item = Item::Frame(class, frame);
        if self.net.ends[end].style == Style::Datagram {
            self.send_datagram(end, item);
            return self.ready(host, Ok(Done::Unit));
        }
        if self.net.ends[end].queue.is_empty() && self.window_has_room(end, bytes) {
            self.put_on_link(end, item);
            return self.ready(host, Ok(Done::Unit));
        }
        let ticket = self.slot(host, Waits::Send(end));
        self.queue_bytes += bytes;
        self.net.ends[end].queue.push_back((Some(ticket), item));
        ticket
    }

    pub(crate) fn try_send(
        &mut self,
        end: usize,
        class: Class,
        frame: Chunks,
    ) -> Result<(), TrySendError> {
        if self.end_error(end).is_some() {
            return Err(TrySendError::Closed);
        }
        let item = Item::Frame(class, frame);
        if self.net.ends[end].style == Style::Datagram {
            self.send_datagram(end, item);
            return Ok(());
        }
        if !self.net.ends[end].queue.is_empty() || !self.window_has_room(end, item.bytes()) {
            return Err(TrySendError::Full);
        }
        self.put_on_link(end, item);
        Ok(())
    }

    fn send_datagram(&mut self, end: usize, item: Item) {
        let (from, to) = (self.net.ends[end].host, self.net.ends[end].peer_host);
        let (now, key) = (self.now(), self.links.index(from, to));
        let who = self.link_identity(from, to);
        let latency = self.links.weather[key].draw(&self.draws, "link", who, now);
        let loss = self.links.weather[key].draw(&self.draws, "link", who, now);
        let bytes = item.bytes() + FRAME_OVERHEAD;
        self.book_strain(key, loss);
        let verdict = self.links.links[key].transmit_datagram(now, bytes, latency, loss);
        match verdict {
            Verdict::Arrives(at) if self.hosts[to].powered => {
                self.net.ends[end].last_arrival = self.net.ends[end].last_arrival.max(at);
                self.send_off(end, at, item);
            }
            _ => self.effects[self.links.cut_by[key]] += u64::from(self.links.is_cut(from, to)),
        }
    }

    fn send_off(&mut self, end: usize, at: Time, item: Item) {
        self.queue_bytes += item.bytes();
        let peer = self.net.ends[end].peer;
        self.schedule(at, Due::Arrive { end: peer, item });
    }

    /// Hands an item of a stream to the link, behind those that are held.
    fn put_on_link(&mut self, end: usize, item: Item) {
        self.net.ends[end].flight += item.bytes();
        if !self.net.ends[end].held.is_empty() {
            self.hold(end, item);
            return;
        }
        self.transmit(end, item);
    }

    fn transmit(&mut self, end: usize, item: Item) {
        let e = &self.net.ends[end];
        let (from, to, last) = (e.host, e.peer_host, e.last_arrival);
        let (now, key) = (self.now(), self.links.index(from, to));
        let who = self.link_identity(from, to);
        if !self.passes(from, to) {
            return self.hold(end, item);
        }
        let latency = self.links.weather[key].draw(&self.draws, "link", who, now);
        let link = &mut self.links.links[key];
        let lossy = link.loss.unwrap_or(link.law.loss).0 > 0;
        let loss = if lossy {
            self.links.weather[key].draw(&self.draws, "link", who, now)
        } else {
            u64::MAX
        };
        self.book_strain(key, loss);
        let bytes = item.bytes() + FRAME_OVERHEAD;
        match self.links.links[key].transmit(now, bytes, last, latency, loss) {
            Verdict::Arrives(at) => {
                self.net.ends[end].last_arrival = at;
                self.send_off(end, at, item);
            }
            Verdict::Held | Verdict::Lost => self.hold(end, item),
        }
    }

    fn hold(&mut self, end: usize, item: Item) {
        let now = self.now();
        self.queue_bytes += item.bytes();
        let e = &mut self.net.ends[end];
        let key = self.links.index(e.host, e.peer_host);
        self.effects[self.links.cut_by[key]] += u64::from(self.links.links[key].is_cut());
        e.held.push_back(item);
        if e.held.len() == 1 {
            (e.held_since, e.attempt) = (now, 0);
            let delay = self.links.links[key].law.retry_delay(0);
            self.schedule(now + delay, Due::Retry { end });
        }
    }

    pub(crate) fn retry(&mut self, end: usize) {
        let now = self.now();
        let give_up = host::unit::nanos(self.profile.hardware.link_give_up);
        let e = &mut self.net.ends[end];
        if e.held.is_empty() || e.dead {
            return;
        }
        let (from, to) = (e.host, e.peer_host);
        if now - e.held_since >= give_up {
            return self.break_end(end, ErrorKind::TimedOut);
        }
        e.attempt += 1;
        let attempt = e.attempt;
        if !self.passes(from, to) {
            let key = self.links.index(from, to);
            let delay = self.links.links[key].law.retry_delay(attempt);
            return self.schedule(now + delay, Due::Retry { end });
        }
        for item in std::mem::take(&mut self.net.ends[end].held) {
            self.queue_bytes -= item.bytes();
            // One that is held again holds those behind it.
            if self.net.ends[end].held.is_empty() {
                self.transmit(end, item);
            } else {
                self.hold(end, item);
            }
        }
    }

    /// Sends what the window now has room for.
    fn flush(&mut self, end: usize) {
        while let Some((_, item)) = self.net.ends[end].queue.front() {
            if !self.window_has_room(end, item.bytes()) {
                return;
            }
            let (ticket, item) = self.net.ends[end].queue.pop_front().expect("peeked");
            self.queue_bytes -= item.bytes();
            self.put_on_link(end, item);
            if let Some(ticket) = ticket {
                self.complete(ticket, Ok(Done::Unit));
            }
        }
    }

    // Receiving.

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
            let (peer, peer_host, host) = (e.peer, e.peer_host, e.host);
            if self.passes(host, peer_host) {
                let back = self.latency(host, peer_host);
                self.schedule(now + back, Due::Reset { end: peer });
            }
            return;
        }
        if e.broken.is_some() {
            return;
        }
        match item {
            Item::Fin => {
                e.eof = true;
                if let Some(ticket) = e.receiver.take() {
                    self.complete(ticket, Ok(Done::Frame(None)));
                }
            }
            Item::Frame(_, frame) => {
                if e.reader_gone {
                    return self.taken(end, bytes);
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
    fn taken(&mut self, end: usize, bytes: u64) {
        let peer = self.net.ends[end].peer;
        let sender = &mut self.net.ends[peer];
        sender.flight = sender.flight.saturating_sub(bytes);
        self.flush(peer);
    }

    pub(crate) fn submit_recv(&mut self, host: usize, end: usize) -> Ticket {
        let e = &mut self.net.ends[end];
        if let Some(frame) = e.inbox.pop_front() {
            let bytes = frame.len();
            self.queue_bytes -= bytes;
            self.taken(end, bytes);
            return self.ready(host, Ok(Done::Frame(Some(frame))));
        }
        if let Some(kind) = e.broken {
            return self.ready(host, Err(kind.into()));
        }
        if e.eof {
            return self.ready(host, Ok(Done::Frame(None)));
        }
        let ticket = self.slot(host, Waits::Recv(end));
        self.net.ends[end].receiver = Some(ticket);
        ticket
    }

    pub(crate) fn forget_recv(&mut self, end: usize, ticket: Ticket) {
        let e = &mut self.net.ends[end];
        if e.receiver == Some(ticket) {
            e.receiver = None;
        }
    }

    // Closing.

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
                self.flush(end);
            }
            Close::Reader => {
                let e = &mut self.net.ends[end];
                e.reader_gone = true;
                let bytes: u64 = e.inbox.drain(..).map(|f| f.len()).sum();
                self.queue_bytes -= bytes;
                self.taken(end, bytes);
            }
            Close::Abort => {
                let e = &self.net.ends[end];
                let (peer, from, to, whole) = (e.peer, e.host, e.peer_host, e.broken.is_none());
                let last = e.last_arrival;
                self.break_end(end, ErrorKind::ConnectionAborted);
                if whole && self.passes(from, to) {
                    let at = (self.now() + self.latency(from, to)).max(last);
                    self.schedule(at, Due::Reset { end: peer });
                }
            }
        }
    }

    /// A reset arrived.
    pub(crate) fn reset(&mut self, end: usize) {
        self.note("reset", end as u64, 0);
        if !self.net.ends[end].dead && self.net.ends[end].broken.is_none() {
            self.break_end(end, ErrorKind::ConnectionReset);
        }
    }

    /// Nothing more goes in or out of this end; everybody who waits on it learns why.
    fn break_end(&mut self, end: usize, kind: ErrorKind) {
        let e = &mut self.net.ends[end];
        e.broken = Some(kind);
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
            let (peer, to, whole) = (e.peer, e.peer_host, e.broken.is_none());
            let last = e.last_arrival;
            self.break_end(end, ErrorKind::ConnectionAborted);
            self.net.ends[end].dead = true;
            if orderly && whole && self.passes(host, to) {
                // What left before still arrives before.
                let at = (self.now() + self.latency(host, to)).max(last);
                self.schedule(at, Due::Reset { end: peer });
            }
        }
    }
}
