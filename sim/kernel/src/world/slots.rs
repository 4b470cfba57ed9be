//! Slots: requests in flight, named by tickets.
//!
//! A ticket is an index and a generation; whatever frees a slot raises the generation, so a ticket of an
//! ended boot names nothing. A slot that holds a thread lets go of it when its outcome is taken: nobody else
//! is polled before that poll ends, so the job runs with the thread to itself.

use std::io;
use std::task::{Poll, Waker};

use host::Mono;
use host::arm::{Done, Ticket};

use super::{Due, World};

/// What a slot waits for; named in the verdict `deadlock`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    Sleep(Mono),
    Disk,
    Dial,
    Accept,
    Send(usize),
    Recv(usize),
    Hold(u32),
    /// Holds a thread while its task waits for something else.
    Block(u32),
    Stop,
    Join(u64),
    Collection,
}

pub(super) enum SlotState {
    Free,
    Waiting(Waits),
    Done(io::Result<Done>),
}

pub(super) struct Slot {
    pub(super) generation: u32,
    pub(super) host: usize,
    pub(super) task: u64,
    pub(super) waker: Option<Waker>,
    pub(super) state: SlotState,
    /// The thread that this slot holds until it is polled to its end or forgotten.
    pub(super) holds: Option<u32>,
}

impl World {
    /// Everybody who waits, and for what.
    pub(crate) fn waiters(&self) -> Vec<String> {
        let waiting = self.waiting().map(|(slot, what)| {
            let host = &self.hosts[slot.host].name;
            let task = self.tasks.get(slot.task as usize).map_or("main", |t| t.what);
            format!("{host}/{task} waits for {}", self.awaited(slot, what))
        });
        waiting.collect()
    }

    /// Every task that waits, and for what.
    pub(super) fn waits(&self) -> impl Iterator<Item = (u64, String)> + '_ {
        self.waiting().map(|(slot, what)| (slot.task, self.awaited(slot, what)))
    }

    fn waiting(&self) -> impl Iterator<Item = (&Slot, Waits)> + '_ {
        self.slots.iter().filter_map(|slot| match &slot.state {
            SlotState::Waiting(Waits::Block(_)) => None,
            SlotState::Waiting(what) => Some((slot, *what)),
            _ => None,
        })
    }

    fn awaited(&self, slot: &Slot, what: Waits) -> String {
        match what {
            Waits::Recv(end) => format!("a frame from {}", self.peer_name(end)),
            Waits::Send(end) => format!("room to send to {}", self.peer_name(end)),
            Waits::Hold(thread) | Waits::Block(thread) => {
                format!("the thread {}", self.hosts[slot.host].threads[thread as usize].name)
            }
            Waits::Join(task) => format!("task {}", self.tasks[task as usize].what),
            Waits::Sleep(_) => "its alarm".into(),
            Waits::Disk => "the disk".into(),
            Waits::Dial => "a connection".into(),
            Waits::Accept => "somebody to connect".into(),
            Waits::Collection => "the collection it asked for".into(),
            Waits::Stop => "being asked to stop".into(),
        }
    }

    pub(crate) fn slot(&mut self, host: usize, waits: Waits) -> Ticket {
        let task = self.current.unwrap_or(u64::MAX);
        let index = self.free_slots.pop().unwrap_or_else(|| {
            let slot = Slot {
                generation: 0,
                host,
                task,
                waker: None,
                state: SlotState::Free,
                holds: None,
            };
            self.slots.push(slot);
            self.slots.len() - 1
        });
        let slot = &mut self.slots[index];
        (slot.host, slot.task) = (host, task);
        slot.state = SlotState::Waiting(waits);
        slot.holds = match waits {
            Waits::Hold(thread) | Waits::Block(thread) => Some(thread),
            _ => None,
        };
        u64::from(slot.generation) << 32 | index as u64
    }

    fn slot_of(&mut self, ticket: Ticket) -> Option<&mut Slot> {
        let slot = self.slots.get_mut((ticket & 0xffff_ffff) as usize)?;
        (u64::from(slot.generation) == ticket >> 32).then_some(slot)
    }

    pub(crate) fn is_waiting(&mut self, ticket: Ticket) -> bool {
        self.slot_of(ticket).is_some_and(|s| matches!(s.state, SlotState::Waiting(_)))
    }

    pub(crate) fn complete(&mut self, ticket: Ticket, outcome: io::Result<Done>) {
        let Some(slot) = self.slot_of(ticket) else { return };
        if matches!(slot.state, SlotState::Waiting(_)) {
            slot.state = SlotState::Done(outcome);
            if let Some(waker) = slot.waker.take() {
                waker.wake();
            }
        }
    }

    /// Completes when the host's clock shows `until`.
    pub(crate) fn submit_sleep(&mut self, host: usize, until: Mono) -> Ticket {
        let ticket = self.slot(host, Waits::Sleep(until));
        self.book_clock(host);
        let at = self.true_time(host, until).max(self.now());
        let at = self.timer_late(host, at);
        self.schedule(at, Due::Complete(ticket));
        ticket
    }

    /// The host's clock goes otherwise than it went: whoever waits for it is reckoned anew. What was
    /// scheduled before finds the sleeper gone, or not yet due. Returns how many sleepers there are.
    pub(super) fn reckon_sleeps(&mut self, host: usize) -> u64 {
        let mut sleepers = 0;
        for index in 0..self.slots.len() {
            let slot = &self.slots[index];
            let (owner, generation) = (slot.host, u64::from(slot.generation));
            if let SlotState::Waiting(Waits::Sleep(until)) = slot.state
                && owner == host
            {
                let at = self.true_time(host, until).max(self.now());
                self.schedule(at, Due::Complete(generation << 32 | index as u64));
                sleepers += 1;
            }
        }
        sleepers
    }

    /// Whether the ticket is that of a sleeper whose clock has not come so far.
    fn is_early(&mut self, ticket: Ticket) -> bool {
        let now = self.now();
        let Some(slot) = self.slot_of(ticket) else { return false };
        let (host, state) = (slot.host, &slot.state);
        let SlotState::Waiting(Waits::Sleep(until)) = *state else { return false };
        let machine = &self.hosts[host];
        machine.strain.clock.shows(machine.clock.mono(now)) < until
    }

    /// A scheduled completion is due.
    pub(crate) fn complete_due(&mut self, ticket: Ticket) {
        if self.is_early(ticket) {
            return;
        }
        let outcome = self.later.remove(&ticket).unwrap_or(Done::Unit);
        self.complete(ticket, Ok(outcome));
    }

    /// A ticket that is complete from the start.
    pub(crate) fn ready(&mut self, host: usize, outcome: io::Result<Done>) -> Ticket {
        let ticket = self.slot(host, Waits::Disk);
        self.slot_of(ticket).expect("fresh").state = SlotState::Done(outcome);
        ticket
    }

    pub(crate) fn poll_slot(&mut self, ticket: Ticket, waker: &Waker) -> Poll<io::Result<Done>> {
        let Some(slot) = self.slot_of(ticket) else { return Poll::Pending };
        match std::mem::replace(&mut slot.state, SlotState::Free) {
            SlotState::Done(outcome) => {
                self.free_slot(ticket);
                Poll::Ready(outcome)
            }
            waiting => {
                slot.state = waiting;
                match &mut slot.waker {
                    Some(known) if known.will_wake(waker) => {}
                    known => *known = Some(waker.clone()),
                }
                Poll::Pending
            }
        }
    }

    /// Frees the slot; returns what it was waiting for, so that the waiting can be undone.
    pub(crate) fn free_slot(&mut self, ticket: Ticket) -> Option<Waits> {
        let index = (ticket & 0xffff_ffff) as usize;
        let slot = self.slot_of(ticket)?;
        slot.generation = slot.generation.wrapping_add(1);
        slot.waker = None;
        let state = std::mem::replace(&mut slot.state, SlotState::Free);
        let (host, task, holds) = (slot.host, slot.task, slot.holds.take());
        self.free_slots.push(index);
        // Nobody else is polled before this poll ends, so the job still runs with the thread to itself.
        if let Some(thread) = holds {
            if matches!(state, SlotState::Waiting(Waits::Hold(_))) {
                self.drop_cpu_job(host, thread, ticket);
            }
            self.release(host, thread, task, 1);
        }
        match state {
            SlotState::Waiting(what) => Some(what),
            _ => None,
        }
    }

    /// Frees all slots of a host.
    pub(super) fn free_slots_of(&mut self, host: usize) {
        for index in 0..self.slots.len() {
            let slot = &mut self.slots[index];
            if slot.host == host && !matches!(slot.state, SlotState::Free) {
                slot.generation = slot.generation.wrapping_add(1);
                slot.waker = None;
                slot.holds = None;
                slot.state = SlotState::Free;
                self.free_slots.push(index);
            }
        }
    }
}
