//! Memory at work: what nodes claim, when the world of a host stops for it, and when its process ends.
//!
//! The request that makes a collection due stops its host's world at that instant: the poll under way
//! ends, for polls take no time, and nothing of the host is polled before the collection is over. Work on
//! the cores keeps its progress. Links, disk and clocks go on, as for a process that is paused; but nothing
//! has failed, so no check excuses what comes of it. A pause in the middle prolongs the collection.
//!
//! A process that is ended over its memory is started again by its supervisor. So is one that gives up
//! because it was refused memory. Left out: stolen cores slow no collection; a process that is ended frees
//! its memory at once.

use std::io;

use host::arm::{Done, MemoryOp, Ticket};

use super::{Due, Waits, World};
use crate::Time;
use crate::event::KernelEvent;
use crate::model::memory::{Collection, Lack};

/// How long a supervisor waits before it starts again a process that was ended over its memory.
const RESTART_NS: Time = 1_000_000_000;

/// A stop of a host's world.
#[derive(Debug)]
pub(crate) struct Collecting {
    what: Collection,
    until: Time,
    /// Who asked for it.
    waiters: Vec<Ticket>,
}

impl World {
    /// Answers a request about memory.
    pub(crate) fn memory(&mut self, host: usize, op: MemoryOp) -> io::Result<u64> {
        let heap = &mut self.hosts[host].heap;
        let answer = match op {
            MemoryOp::Claim { what, bytes } => heap.claim(what, bytes),
            MemoryOp::Resize { claim, bytes } => heap.resize(claim, bytes).map(|()| 0),
            MemoryOp::Allocate { bytes, .. } => heap.allocate(bytes).map(|()| 0),
            MemoryOp::Release { claim } => {
                heap.release(claim);
                return Ok(0);
            }
            MemoryOp::Used => return Ok(heap.held()),
        };
        if let Some(collection) = heap.take_collection() {
            self.stop_the_world(host, collection);
        }
        answer.map_err(|lack| self.lacks(host, op, lack))
    }

    /// A full collection that the node asked for.
    pub(crate) fn submit_collect(&mut self, host: usize) -> Ticket {
        let heap = &mut self.hosts[host].heap;
        heap.collect();
        let Some(collection) = heap.take_collection() else {
            return self.ready(host, Ok(Done::Unit));
        };
        let ticket = self.slot(host, Waits::Collection);
        self.stop_the_world(host, collection).waiters.push(ticket);
        ticket
    }

    /// Nothing of the host is polled before the collection is over.
    fn stop_the_world(&mut self, host: usize, collection: Collection) -> &mut Collecting {
        let now = self.now();
        let machine = &mut self.hosts[host];
        let until = match &mut machine.collecting {
            Some(under_way) => {
                under_way.what = under_way.what.then(collection);
                under_way.until += collection.ns;
                under_way.until
            }
            none => {
                machine.cpu.freeze(now);
                let until = now + collection.ns;
                *none = Some(Collecting { what: collection, until, waiters: Vec::new() });
                until
            }
        };
        let boot = machine.boot;
        self.schedule(until, Due::Collected { host, boot });
        self.hosts[host].collecting.as_mut().expect("under way")
    }

    /// A collection may be over: not if it was prolonged, or if its process stands still or has ended.
    pub(crate) fn collected(&mut self, host: usize, boot: u32) {
        let now = self.now();
        let machine = &mut self.hosts[host];
        let over = |c: &mut Collecting| c.until <= now;
        if machine.boot != boot || machine.paused_at.is_some() {
            return;
        }
        let Some(Collecting { what, waiters, .. }) = machine.collecting.take_if(over) else {
            return;
        };
        machine.cpu.thaw(now);
        for ticket in waiters {
            self.complete(ticket, Ok(Done::Unit));
        }
        self.go_on(host);
        let Collection { full, live, garbage, ns } = what;
        self.outbox.push((host, KernelEvent::Collected { full, live, garbage, ns }));
    }

    /// A pause is over that began at `since`: what was left of a collection is still to be done.
    pub(super) fn prolong_collection(&mut self, host: usize, since: Time) {
        let now = self.now();
        let machine = &mut self.hosts[host];
        let Some(under_way) = &mut machine.collecting else { return };
        under_way.until += now - since;
        let (until, boot) = (under_way.until, machine.boot);
        self.schedule(until, Due::Collected { host, boot });
    }

    /// The process has ended, and its memory with it.
    pub(super) fn forget_memory(&mut self, host: usize) {
        let now = self.now();
        let machine = &mut self.hosts[host];
        machine.heap.clear();
        if machine.collecting.take().is_some() {
            machine.cpu.thaw(now);
        }
    }

    /// A request cannot be granted.
    fn lacks(&mut self, host: usize, op: MemoryOp, lack: Lack) -> io::Error {
        let now = self.now();
        let bytes = match op {
            MemoryOp::Claim { bytes, .. } | MemoryOp::Allocate { bytes, .. } => bytes,
            MemoryOp::Resize { bytes, .. } => bytes,
            MemoryOp::Release { .. } | MemoryOp::Used => 0,
        };
        match lack {
            Lack::Refused => {
                self.note("memory_refused", self.identity(host), bytes);
                self.hosts[host].erred_at = Some(now);
            }
            Lack::Ended { held } => {
                self.crash(host);
                self.outbox.pop();
                self.outbox.push((host, KernelEvent::OutOfMemory { held }));
                self.schedule(now + RESTART_NS, Due::Boot { host });
                // The engine has to be told at once what happened in the middle of a poll.
                self.schedule(now, Due::Phase);
            }
        }
        io::Error::new(io::ErrorKind::OutOfMemory, format!("{bytes} bytes do not fit"))
    }
}
