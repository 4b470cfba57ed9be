//! Listening and dialling: a request travels to the other machine and its answer travels back.
//!
//! A machine whose process is dead, or does not listen, refuses; one without power, or behind a cut link,
//! is silent, and the request is sent again with doubling delay until the caller has waited long enough.
//!
//! Left out: bounded backlogs, ephemeral ports, simultaneous opens.

use std::collections::VecDeque;
use std::io::{Error, ErrorKind};

use host::arm::{Close, Done, Ticket};
use host::{Addr, Style};

use super::net::{End, Listener};
use super::{Due, Waits, World};

impl World {
    pub(crate) fn submit_listen(&mut self, host: usize, addr: &Addr) -> Ticket {
        let outcome = self.resolve(addr).and_then(|(at, port)| {
            if at != host {
                let text = format!("{addr} is not an address of this host");
                return Err(Error::new(ErrorKind::AddrNotAvailable, text));
            }
            if self.net.listeners.contains_key(&(host, port)) {
                return Err(Error::new(ErrorKind::AddrInUse, format!("{addr} is taken")));
            }
            self.net.next_listener += 1;
            let id = self.net.next_listener;
            let listener = Listener { id, backlog: VecDeque::new(), acceptors: VecDeque::new() };
            self.net.listeners.insert((host, port), listener);
            Ok(Done::Number(id))
        });
        self.ready(host, outcome)
    }

    pub(crate) fn submit_accept(&mut self, host: usize, id: u64) -> Ticket {
        let found = self.net.listeners.iter_mut().find(|(_, l)| l.id == id).map(|(k, _)| *k);
        let Some(key) = found else {
            return self.ready(host, Err(Error::new(ErrorKind::NotConnected, "not listening")));
        };
        let waiting = self.net.listeners.get_mut(&key).expect("found").backlog.pop_front();
        if let Some(end) = waiting {
            let peer = self.peer_name(end).to_string();
            return self.ready(host, Ok(Done::Conn(end as u64, peer)));
        }
        let ticket = self.slot(host, Waits::Accept);
        self.net.listeners.get_mut(&key).expect("found").acceptors.push_back(ticket);
        ticket
    }

    pub(crate) fn close_listener(&mut self, host: usize, id: u64) {
        let found = self.net.listeners.iter().find(|(k, l)| k.0 == host && l.id == id);
        if let Some(key) = found.map(|(k, _)| *k) {
            let listener = self.net.listeners.remove(&key).expect("found");
            for end in listener.backlog {
                self.close(end, Close::Abort);
            }
        }
    }

    pub(crate) fn submit_dial(
        &mut self,
        host: usize,
        addr: &Addr,
        within: std::time::Duration,
        style: Style,
    ) -> Ticket {
        let (to, port) = match self.resolve(addr) {
            Ok(target) => target,
            Err(error) => return self.ready(host, Err(error)),
        };
        let ticket = self.slot(host, Waits::Dial);
        let now = self.now();
        self.schedule(now.saturating_add(host::unit::nanos(within)), Due::DialTimeout(ticket));
        self.syn(ticket, host, to, port, style, 0);
        ticket
    }

    pub(crate) fn dial_timeout(&mut self, ticket: Ticket) {
        self.complete(ticket, Err(Error::new(ErrorKind::TimedOut, "no answer in time")));
    }

    fn syn(
        &mut self,
        ticket: Ticket,
        from: usize,
        to: usize,
        port: u16,
        style: Style,
        attempt: u32,
    ) {
        let now = self.now();
        let (delay, attempt) = if self.passes(from, to) {
            (self.latency(from, to), attempt)
        } else {
            let link = self.links.index(from, to);
            self.book_silence(from, to, None);
            (self.links.links[link].law.retry_delay(attempt), attempt + 1)
        };
        self.schedule(now + delay, Due::Syn { ticket, from, to, port, style, attempt });
    }

    pub(crate) fn on_syn(
        &mut self,
        (ticket, from, to, port): (Ticket, usize, usize, u16),
        style: Style,
        attempt: u32,
    ) {
        if !self.is_waiting(ticket) {
            return;
        }
        self.note("syn", self.identity(from), self.identity(to));
        if !self.passes(from, to) {
            return self.syn(ticket, from, to, port, style, attempt);
        }
        let now = self.now();
        if !self.hosts[to].live || !self.net.listeners.contains_key(&(to, port)) {
            if self.passes(to, from) {
                let back = self.latency(to, from);
                self.schedule(now + back, Due::Refused(ticket));
            }
            return;
        }
        let dialled = self.connect((from, to, port), style);
        if self.links.tricky > 0 && style == Style::Stream {
            self.may_echo(dialled, port);
        }
        self.syn_ack(ticket, dialled, 0);
    }

    /// Makes a connection and hands it to the listener there is. Returns its dialler's end.
    pub(super) fn connect(&mut self, (from, to, port): (usize, usize, u16), style: Style) -> usize {
        let dialled = self.net.ends.len();
        let way = self.links.index(from, to);
        self.links.dialled[way] += 1;
        for (host, peer_host, peer) in [(from, to, dialled + 1), (to, from, dialled)] {
            let number = self.links.dialled[way];
            self.net.ends.push(End { number, ..End::new(host, peer, peer_host, style) });
        }
        let listener = self.net.listeners.get_mut(&(to, port)).expect("somebody listens");
        match listener.acceptors.pop_front() {
            Some(acceptor) => {
                let peer = self.hosts[from].name.clone();
                self.complete(acceptor, Ok(Done::Conn(dialled as u64 + 1, peer)));
            }
            None => listener.backlog.push_back(dialled + 1),
        }
        dialled
    }

    fn syn_ack(&mut self, ticket: Ticket, end: usize, attempt: u32) {
        let now = self.now();
        let (to, from) = (self.net.ends[end].host, self.net.ends[end].peer_host);
        let (delay, attempt) = if self.passes(from, to) {
            (self.latency(from, to), 0)
        } else {
            let link = self.links.index(from, to);
            (self.links.links[link].law.retry_delay(attempt), attempt + 1)
        };
        self.schedule(now + delay, Due::SynAck { ticket, end, attempt });
    }

    pub(crate) fn on_syn_ack(&mut self, ticket: Ticket, end: usize, attempt: u32) {
        if attempt > 0 && self.is_waiting(ticket) {
            return self.syn_ack(ticket, end, attempt);
        }
        if !self.is_waiting(ticket) {
            return self.close(end, Close::Abort);
        }
        let peer = self.peer_name(end).to_string();
        self.complete(ticket, Ok(Done::Conn(end as u64, peer)));
    }

    pub(crate) fn refused(&mut self, ticket: Ticket) {
        self.complete(ticket, Err(Error::new(ErrorKind::ConnectionRefused, "nobody listens")));
    }
}
