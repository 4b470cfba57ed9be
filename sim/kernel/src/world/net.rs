//! Connections and their sending side: frames over directed links, with windows, and silence.
//!
//! A sender has at most a window of bytes under way, counted until the receiving node has taken them. A cut
//! link or a host without power swallows frames: the sending kernel holds what follows, tries again with
//! doubling delay, and gives the connection up in the end. A link that holds keeps all frames, of streams and
//! datagrams, until it lets go: they arrive even if their sender has given up meanwhile. A dead process on a
//! live machine answers with a reset; a machine that lost power answers nothing, so its peers stay half-open
//! until they send.
//!
//! Left out: the way back of acknowledgements (credit returns at once); frames that still waited for the
//! link's bandwidth when their machine lost its power arrive all the same.

use std::collections::{BTreeMap, VecDeque};
use std::io::{Error, ErrorKind};

use host::arm::{Done, Ticket};
use host::unit::Ratio;
use host::{Addr, Chunks, Class, Style, TrySendError};

use super::ghosts::Echo;
use super::strain::{Slow, Trick};
use super::{Due, Waits, World};
use crate::Time;
use crate::draw::Weather;
use crate::model::link::{Link, LinkLaw, Verdict};
use crate::model::overlaps::Overlaps;

/// Bytes that a frame costs on the link besides its own: headers of the layers below.
const FRAME_OVERHEAD: u64 = 70;

/// What travels.
#[derive(Debug)]
pub(crate) enum Item {
    /// A frame.
    Frame(Class, Chunks),
    /// The orderly end of one direction.
    Fin,
}

impl Item {
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Item::Frame(_, frame) => frame.len(),
            Item::Fin => 0,
        }
    }
}

/// What a link holds until a fault lets it go.
#[derive(Debug)]
pub(super) enum Parked {
    /// Something that this end sent.
    Item(usize, Item),
    /// A reset on its way to this end.
    Reset(usize),
}

/// All directed links.
#[derive(Default)]
pub(crate) struct Links {
    pub(super) hosts: usize,
    pub(super) nodes: usize,
    pub(crate) links: Vec<Link>,
    pub(super) weather: Vec<Weather>,
    /// The three silences: cut; holding; connections of which the way knows nothing any more.
    pub(super) cuts: Vec<Overlaps<()>>,
    pub(super) holds: Vec<Overlaps<()>>,
    pub(super) forgets: Vec<Overlaps<()>>,
    pub(super) parked: Vec<VecDeque<Parked>>,
    /// What faults do to single frames; `tricky` entries on all links.
    pub(super) tricks: Vec<Overlaps<Trick>>,
    pub(crate) tricky: usize,
    /// Class words that tricks name.
    pub(super) classes: Vec<String>,
    /// The latest millisecond with a frame under tricks, and how many there were in it.
    pub(super) ordinals: Vec<(u64, u64)>,
    /// Connections dialled over each link so far.
    pub(super) dialled: Vec<u64>,
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
            cuts: vec![Overlaps::default(); count],
            holds: vec![Overlaps::default(); count],
            forgets: vec![Overlaps::default(); count],
            parked: (0..count).map(|_| VecDeque::new()).collect(),
            tricks: vec![Overlaps::default(); count],
            tricky: 0,
            classes: Vec::new(),
            ordinals: vec![(0, 0); count],
            dialled: vec![0; count],
            slow: vec![Overlaps::default(); count],
            lossy: vec![Overlaps::default(); count],
        }
    }

    pub(crate) fn index(&self, from: usize, to: usize) -> usize {
        from * self.hosts + to
    }

    pub fn is_cut(&self, from: usize, to: usize) -> bool {
        self.links[self.index(from, to)].is_cut()
    }

    pub fn is_held(&self, from: usize, to: usize) -> bool {
        self.holds[self.index(from, to)].latest().is_some()
    }

    /// Whether nothing that is sent now arrives, until some fault is over.
    pub fn is_silent(&self, from: usize, to: usize) -> bool {
        self.is_cut(from, to) || self.is_held(from, to)
    }

    /// Whether some node does not hear another, or not on the connections that they have.
    pub fn any_silent(&self) -> bool {
        let forgot = |a, b| self.forgets[self.index(a, b)].latest().is_some();
        let silent = |a, b| self.is_silent(a, b) || forgot(a, b);
        (0..self.nodes).any(|a| (0..self.nodes).any(|b| silent(a, b)))
    }
}

/// A connection end.
pub(crate) struct End {
    pub(super) host: usize,
    pub(super) peer: usize,
    pub(super) peer_host: usize,
    pub(super) style: Style,
    /// Which of the connections that its dialler made to that host.
    pub(super) number: u64,
    /// Faults under which the way knows nothing of this connection.
    pub(super) forgotten: Overlaps<()>,
    /// What a ghost of this connection will say.
    pub(super) echo: Option<Box<Echo>>,
    /// The process that owned it is gone, or it was given up on both sides.
    pub(super) dead: bool,
    pub(super) inbox: VecDeque<Chunks>,
    /// Frames of the inbox that a slow reader has come round to.
    pub(super) readable: usize,
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

impl End {
    /// One end of a new connection.
    pub(super) fn new(host: usize, peer: usize, peer_host: usize, style: Style) -> End {
        End {
            host,
            peer,
            peer_host,
            style,
            number: 0,
            forgotten: Overlaps::default(),
            echo: None,
            dead: false,
            inbox: VecDeque::new(),
            readable: 0,
            eof: false,
            broken: None,
            receiver: None,
            reader_gone: false,
            writer_gone: false,
            queue: VecDeque::new(),
            held: VecDeque::new(),
            held_since: 0,
            attempt: 0,
            flight: 0,
            last_arrival: 0,
        }
    }
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
    pub(crate) fn link_identity(&self, from: usize, to: usize) -> u64 {
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
        self.hosts[to].powered && !self.links.is_silent(from, to)
    }

    /// Whether what this end sends now is carried, if only to where it is held.
    pub(super) fn is_carried(&self, end: usize) -> bool {
        let e = &self.net.ends[end];
        let open = self.hosts[e.peer_host].powered && !self.links.is_cut(e.host, e.peer_host);
        open && e.forgotten.latest().is_none()
    }

    /// A frame did not get through: to whom that is booked, if a fault has done it.
    pub(super) fn book_silence(&mut self, from: usize, to: usize, end: Option<usize>) {
        let key = self.links.index(from, to);
        let forgotten = end.and_then(|end| self.net.ends[end].forgotten.latest());
        let (cut, held) = (self.links.cuts[key].latest(), self.links.holds[key].latest());
        if let Some(line) = cut.or(forgotten).or(held) {
            self.effects[line] += 1;
        }
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
        if self.links.tricky > 0 && self.is_dropped(end, class) {
            return self.ready(host, Ok(Done::Unit));
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
        if self.links.tricky > 0 && self.is_dropped(end, class) {
            return Ok(());
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

    pub(super) fn send_datagram(&mut self, end: usize, item: Item) {
        let (from, to) = (self.net.ends[end].host, self.net.ends[end].peer_host);
        if !self.is_carried(end) {
            return self.book_silence(from, to, Some(end));
        }
        if self.links.is_held(from, to) {
            return self.park(end, item);
        }
        let (now, key) = (self.now(), self.links.index(from, to));
        let who = self.link_identity(from, to);
        let latency = self.links.weather[key].draw(&self.draws, "link", who, now);
        let loss = self.links.weather[key].draw(&self.draws, "link", who, now);
        let bytes = item.bytes() + FRAME_OVERHEAD;
        self.book_strain(key, loss);
        if let Verdict::Arrives(at) =
            self.links.links[key].transmit_datagram(now, bytes, latency, loss)
        {
            if self.links.tricky > 0 {
                return self.trick_datagram(end, at, item);
            }
            self.datagram_arrives(end, at, item);
        }
    }

    pub(super) fn datagram_arrives(&mut self, end: usize, at: Time, item: Item) {
        self.net.ends[end].last_arrival = self.net.ends[end].last_arrival.max(at);
        self.send_off(end, at, item);
    }

    fn send_off(&mut self, end: usize, at: Time, item: Item) {
        self.queue_bytes += item.bytes();
        let peer = self.net.ends[end].peer;
        self.schedule(at, Due::Arrive { end: peer, item });
    }

    /// Hands an item of a stream to the link, behind those that are held.
    pub(super) fn put_on_link(&mut self, end: usize, item: Item) {
        self.net.ends[end].flight += item.bytes();
        if self.net.ends[end].echo.is_some() {
            self.remember(end, &item);
        }
        if !self.net.ends[end].held.is_empty() {
            self.hold(end, item);
            return;
        }
        self.transmit(end, item);
    }

    pub(super) fn transmit(&mut self, end: usize, item: Item) {
        let e = &self.net.ends[end];
        let (from, to, last) = (e.host, e.peer_host, e.last_arrival);
        let (now, key) = (self.now(), self.links.index(from, to));
        let who = self.link_identity(from, to);
        if !self.is_carried(end) {
            return self.hold(end, item);
        }
        if self.links.is_held(from, to) {
            return self.park(end, item);
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
        match self.links.links[key].transmit(now, bytes, latency, loss) {
            Verdict::Arrives(at) => {
                let (item, late) = match self.links.tricky {
                    0 => (item, 0),
                    _ => self.trick(end, item),
                };
                let at = Link::in_order(at, late, last);
                self.net.ends[end].last_arrival = at;
                self.send_off(end, at, item);
            }
            Verdict::Held | Verdict::Lost => self.hold(end, item),
        }
    }

    pub(super) fn hold(&mut self, end: usize, item: Item) {
        let now = self.now();
        self.queue_bytes += item.bytes();
        let e = &self.net.ends[end];
        let (from, to) = (e.host, e.peer_host);
        let key = self.links.index(from, to);
        self.book_silence(from, to, Some(end));
        let e = &mut self.net.ends[end];
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
        if !self.is_carried(end) {
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
    pub(super) fn flush(&mut self, end: usize) {
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
}
