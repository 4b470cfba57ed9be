//! Ghosts: a connection's beginning that arrives a second time, as a connection of its own.
//!
//! No stream delivers a byte twice: sequence numbers see to that. What does happen is that all a dialler
//! sent in the beginning comes again later: a proxy that did not see the answer and tries another connection,
//! the early data of TCP Fast Open or TLS 1.3. The listener accepts somebody whom it heard before. What it
//! answers meets nobody and is reset; the ghost has said all it has to say and closes in order.
//!
//! Only a connection that ended unanswered has a ghost. Whoever repeats a request does so for want of its
//! answer; a copy of an answered one would do again what its client was told had surely not been done, and
//! no protocol over streams withstands that.
//!
//! Left out: ghosts of what listeners send, ghosts of ghosts. Source: RFC 7413 section 6.3, RFC 8446
//! section 8.

use host::arm::Close;
use host::{Chunks, Class, Style};

use super::net::Item;
use super::{Due, World};
use crate::Time;
use crate::draw::mix;
use crate::world::strain::What;

/// A ghost says no more frames than this.
const FRAMES_MAX: usize = 64;

/// What a ghost will say, and to whom.
pub(super) struct Echo {
    port: u16,
    frames: Vec<(Class, Chunks)>,
    line: usize,
    /// How long after the end of the connection it comes.
    after: Time,
    /// The connection has ended, unanswered.
    due: bool,
}

impl World {
    /// A stream was dialled: whether it may have a ghost, its two hosts and its number decide.
    pub(super) fn may_echo(&mut self, end: usize, port: u16) {
        let e = &self.net.ends[end];
        let (key, number) = (self.links.index(e.host, e.peer_host), e.number);
        let who = self.link_identity(e.host, e.peer_host);
        for trick in self.links.tricks[key].all().collect::<Vec<_>>() {
            let What::Duplicate { share, within_ns } = trick.what else { continue };
            let mut rng = self.draws.stream("frames_duplicated", mix(trick.key, who), number);
            if rng.chance(share.0) && self.net.ends[end].echo.is_none() {
                let after = 1 + rng.below(within_ns.max(1));
                let (line, frames) = (trick.line, Vec::new());
                let echo = Echo { port, frames, line, after, due: false };
                self.net.ends[end].echo = Some(Box::new(echo));
            }
        }
    }

    /// The dialler of a connection that may have a ghost gets an answer: it will have none.
    pub(super) fn answered(&mut self, end: usize) {
        self.net.ends[end].echo.take_if(|echo| !echo.due);
    }

    /// A connection is over at its dialler's end: what was not answered may come again from now on.
    pub(super) fn haunts(&mut self, end: usize) {
        let now = self.now();
        let Some(echo) = &mut self.net.ends[end].echo else { return };
        if !std::mem::replace(&mut echo.due, true) {
            let (at, line) = (now + echo.after, echo.line);
            self.schedule(at, Due::Echo { end, line });
        }
    }

    /// A connection that may have a ghost sends.
    pub(super) fn remember(&mut self, end: usize, item: &Item) {
        if let (Some(echo), Item::Frame(class, frame)) = (&mut self.net.ends[end].echo, item)
            && echo.frames.len() < FRAMES_MAX
        {
            echo.frames.push((*class, frame.clone()));
        }
    }

    /// The ghost comes, if somebody hears it and its fault is not over.
    pub(crate) fn echo(&mut self, end: usize, line: usize) {
        let e = &mut self.net.ends[end];
        let (from, to) = (e.host, e.peer_host);
        let Some(echo) = e.echo.take() else { return };
        let lasts = self.links.tricks[self.links.index(from, to)].has(line);
        let heard = self.hosts[to].live && self.net.listeners.contains_key(&(to, echo.port));
        if echo.frames.is_empty() || !lasts || !heard || !self.passes(from, to) {
            return;
        }
        self.note("ghost", end as u64, echo.frames.len() as u64);
        self.effects[line] += echo.frames.len() as u64;
        let ghost = self.connect((from, to, echo.port), Style::Stream);
        self.net.ends[ghost].reader_gone = true;
        for (class, frame) in echo.frames {
            self.put_on_link(ghost, Item::Frame(class, frame));
        }
        self.close(ghost, Close::Half);
    }
}
