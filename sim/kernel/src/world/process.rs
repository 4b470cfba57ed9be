//! Threads, tasks, boots and deaths.
//!
//! A task may be polled while its boot lives, its host does not stand still and no other task holds its
//! thread.
//! `Thread::run` holds the thread from its submission until its job has run, and meanwhile competes for the
//! host's cores in quanta; `Thread::block` holds it without a core, for as long as what it waits for takes.
//! A crash ends the process and keeps the page cache; what a power loss keeps, `power` says.

use std::task::Waker;

use host::Work;
use host::arm::{BoxFuture, Done, Ticket};
use std::sync::{Arc, Mutex};

use super::{Due, Waits, World};
use crate::Time;
use crate::event::KernelEvent;

/// A task that is polled more often than this within a virtual second wakes itself.
const LIVELOCK_POLLS: u64 = 1_000_000;

/// A thread of a host.
pub(crate) struct HostThread {
    pub name: &'static str,
    /// The task that holds it, and how many holds it has.
    pub held: Option<(u64, u32)>,
    /// Tasks that were woken meanwhile.
    pub gated: Vec<u64>,
}

/// A task's future, which its wrapper and a crash compete for.
pub(crate) type TaskCell = Arc<Mutex<Option<BoxFuture>>>;

/// A task.
pub(crate) struct TaskState {
    pub host: usize,
    pub thread: u32,
    pub what: &'static str,
    pub cell: TaskCell,
    pub waker: Option<Waker>,
    pub gated: bool,
    pub done: bool,
    pub joiners: Vec<Ticket>,
    /// The line of the plan that makes it panic when it is polled next.
    pub doomed: Option<usize>,
    window: Time,
    polls: u64,
}

/// Whether a task may be polled now.
pub(crate) enum Gate {
    Run,
    /// It panics instead.
    Panic,
    Wait,
    Dead,
}

impl World {
    /// The thread of that name.
    pub(crate) fn thread(&mut self, host: usize, name: &'static str) -> u32 {
        let threads = &mut self.hosts[host].threads;
        if let Some(i) = threads.iter().position(|t| t.name == name) {
            return i as u32;
        }
        threads.push(HostThread { name, held: None, gated: Vec::new() });
        threads.len() as u32 - 1
    }

    /// Registers a task; the caller hands its wrapper to the executor.
    pub(crate) fn add_task(
        &mut self,
        host: usize,
        thread: u32,
        what: &'static str,
        future: BoxFuture,
    ) -> (u64, TaskCell) {
        let cell: TaskCell = Arc::new(Mutex::new(Some(future)));
        let id = self.tasks.len() as u64;
        self.tasks.push(TaskState {
            host,
            thread,
            what,
            cell: cell.clone(),
            waker: None,
            gated: false,
            done: false,
            joiners: Vec::new(),
            doomed: None,
            window: 0,
            polls: 0,
        });
        self.hosts[host].tasks.push(id);
        (id, cell)
    }

    /// Asks whether a task may be polled, and counts the poll if so.
    pub(crate) fn enter(&mut self, id: u64, waker: &Waker) -> Gate {
        self.read_clock();
        let now = self.now();
        let task = &mut self.tasks[id as usize];
        if task.done {
            return Gate::Dead;
        }
        if !task.waker.as_ref().is_some_and(|w| w.will_wake(waker)) {
            task.waker = Some(waker.clone());
        }
        let host = &mut self.hosts[task.host];
        let still = host.stands_still();
        let thread = &mut host.threads[task.thread as usize];
        let held = thread.held.is_some_and(|(holder, _)| holder != id);
        if still || held {
            if host.paused_at.is_some() {
                self.effects[host.paused_by] += u64::from(!task.gated);
            }
            if !task.gated {
                task.gated = true;
                thread.gated.push(id);
            }
            return Gate::Wait;
        }
        if !host.strain.steals.is_empty() && self.is_stolen(id) {
            return Gate::Wait;
        }
        self.polls += 1;
        let task = &mut self.tasks[id as usize];
        let second = now / 1_000_000_000;
        if task.window != second {
            (task.window, task.polls) = (second, 0);
        }
        task.polls += 1;
        if task.polls > LIVELOCK_POLLS && self.livelock.is_none() {
            self.livelock = Some(format!(
                "task `{}` of {} wakes itself: {} polls within one virtual second",
                task.what, self.hosts[task.host].name, task.polls
            ));
            self.stop = true;
            self.schedule(now, Due::Phase);
            return Gate::Wait;
        }
        self.current = Some(id);
        match task.doomed.take() {
            None => Gate::Run,
            Some(line) => {
                self.hosts[task.host].doomed_at = Some(now);
                self.effects[line] += 1;
                Gate::Panic
            }
        }
    }

    /// A task ended by itself.
    pub(crate) fn finish_task(&mut self, id: u64) {
        let task = &mut self.tasks[id as usize];
        task.done = true;
        let (host, thread) = (task.host, task.thread);
        for ticket in std::mem::take(&mut task.joiners) {
            self.complete(ticket, Ok(Done::Unit));
        }
        self.hosts[host].tasks.retain(|t| *t != id);
        self.release(host, thread, id, u32::MAX);
    }

    /// Ends a task from outside.
    pub(crate) fn cancel_task(&mut self, id: u64) {
        if self.tasks[id as usize].done {
            return;
        }
        let cell = self.tasks[id as usize].cell.clone();
        // A task that cancels itself is being polled; its future is dropped after that poll.
        if let Ok(mut future) = cell.try_lock() {
            self.graveyard.extend(future.take());
        }
        self.finish_task(id);
        if let Some(waker) = self.tasks[id as usize].waker.clone() {
            waker.wake();
        }
    }

    pub(crate) fn submit_join(&mut self, host: usize, task: u64) -> Ticket {
        if self.tasks.get(task as usize).is_none_or(|t| t.done) {
            return self.ready(host, Ok(Done::Unit));
        }
        let ticket = self.slot(host, Waits::Join(task));
        self.tasks[task as usize].joiners.push(ticket);
        ticket
    }

    /// Occupies a thread, and a core of its host, for the price of some work.
    pub(crate) fn submit_hold(&mut self, host: usize, thread: u32, work: Work) -> Ticket {
        let demand = self.profile.price(work);
        if demand == 0 {
            return self.ready(host, Ok(Done::Unit));
        }
        self.charged.insert(work.kind);
        self.hold_thread(host, thread);
        let ticket = self.slot(host, Waits::Hold(thread));
        let now = self.now();
        self.hosts[host].cpu.submit(now, thread, ticket, demand);
        self.pump_cpu(host);
        ticket
    }

    /// Occupies a thread, and no core, until the ticket is forgotten.
    pub(crate) fn submit_block(&mut self, host: usize, thread: u32) -> Ticket {
        self.hold_thread(host, thread);
        self.slot(host, Waits::Block(thread))
    }

    /// The task that is being polled has one more hold of its thread.
    fn hold_thread(&mut self, host: usize, thread: u32) {
        let task = self.current.expect("only a task can hold a thread");
        let name = self.hosts[host].threads[thread as usize].name;
        assert_eq!(
            self.tasks[task as usize].thread, thread,
            "task `{}` holds thread `{name}`, to which it does not belong",
            self.tasks[task as usize].what
        );
        let slot = &mut self.hosts[host].threads[thread as usize].held;
        *slot = Some((task, slot.map_or(0, |(_, n)| n) + 1));
    }

    /// Nobody waits for this work any more.
    pub(super) fn drop_cpu_job(&mut self, host: usize, thread: u32, ticket: Ticket) {
        let now = self.now();
        self.hosts[host].cpu.drop_job(now, thread, ticket);
        self.pump_cpu(host);
    }

    /// One hold of a task ends: the job that it was for has run, or never will.
    pub(crate) fn release(&mut self, host: usize, thread: u32, task: u64, holds: u32) {
        let slot = &mut self.hosts[host].threads[thread as usize];
        match &mut slot.held {
            Some((holder, n)) if *holder == task => {
                *n = n.saturating_sub(holds);
                if *n > 0 {
                    return;
                }
                slot.held = None;
            }
            _ => return,
        }
        // Work that nobody waits for any more does not go on.
        let now = self.now();
        self.hosts[host].cpu.drop_keys(now, |key| key == thread);
        self.wake_gated(host, thread);
    }

    pub(super) fn wake_gated(&mut self, host: usize, thread: u32) {
        for id in std::mem::take(&mut self.hosts[host].threads[thread as usize].gated) {
            let task = &mut self.tasks[id as usize];
            task.gated = false;
            if let Some(waker) = &task.waker {
                waker.wake_by_ref();
            }
        }
    }

    /// Lets the cores catch up with the clock and arms their next event.
    pub(crate) fn pump_cpu(&mut self, host: usize) {
        let now = self.now();
        let mut done = Vec::new();
        self.hosts[host].cpu.advance(now, &mut done);
        for ticket in done {
            self.complete(ticket, Ok(Done::Unit));
        }
        let next = self.hosts[host].cpu.next();
        if let Some(at) = next
            && self.hosts[host].cpu_armed.is_none_or(|armed| at < armed || armed <= now)
        {
            self.hosts[host].cpu_armed = Some(at);
            self.schedule(at, Due::Cpu(host));
        }
    }

    /// Whether the host waits for its process to start.
    pub(crate) fn boot(&mut self, host: usize) {
        if self.hosts[host].live {
            return;
        }
        let now = self.now();
        let span = self.profile.hardware.boot_time;
        let boot = u64::from(self.hosts[host].boot);
        let mut rng = self.draws.stream("boot", self.identity(host), boot);
        let after = rng.between(host::unit::nanos(span.min), host::unit::nanos(span.max));
        self.hosts[host].powered = true;
        self.schedule(now + after, Due::Boot { host });
    }

    /// The process dies. Returns how many tasks ended with it.
    pub(crate) fn crash(&mut self, host: usize) -> u64 {
        if !self.hosts[host].live {
            return 0;
        }
        let tasks = self.end_process(host, true);
        self.hosts[host].files.crash();
        self.take_toll(host);
        self.outbox.push((host, KernelEvent::Crashed { tasks }));
        tasks
    }

    pub(super) fn end_process(&mut self, host: usize, orderly: bool) -> u64 {
        let now = self.now();
        if self.hosts[host].paused_at.is_some() {
            self.resume(host);
        }
        let ids = std::mem::take(&mut self.hosts[host].tasks);
        let mut joiners = Vec::new();
        for id in &ids {
            let task = &mut self.tasks[*id as usize];
            task.done = true;
            joiners.append(&mut task.joiners);
            if let Ok(mut future) = task.cell.try_lock() {
                self.graveyard.extend(future.take());
            }
            if let Some(waker) = task.waker.take() {
                waker.wake();
            }
        }
        self.free_slots_of(host);
        self.close_connections_of(host, orderly);
        let machine = &mut self.hosts[host];
        machine.live = false;
        machine.stopping = false;
        machine.stop_waiters.clear();
        machine.threads.clear();
        machine.open_files.clear();
        machine.cpu.drop_keys(now, |_| true);
        self.forget_memory(host);
        let machine = &mut self.hosts[host];
        let device = machine.device;
        self.drop_device_jobs(device, host);
        ids.len() as u64
    }

    /// The process no longer runs; its connections and its disk go on.
    pub(crate) fn pause(&mut self, host: usize, line: usize) {
        if !self.hosts[host].live || self.hosts[host].paused_at.is_some() {
            return;
        }
        let now = self.now();
        let machine = &mut self.hosts[host];
        machine.paused_at = Some(now);
        machine.paused_by = line;
        machine.cpu.freeze(now);
        self.outbox.push((host, KernelEvent::Paused));
    }

    /// It runs again.
    pub(crate) fn resume(&mut self, host: usize) {
        let now = self.now();
        let machine = &mut self.hosts[host];
        let Some(since) = machine.paused_at.take() else { return };
        machine.cpu.thaw(now);
        self.prolong_collection(host, since);
        self.go_on(host);
        self.outbox.push((host, KernelEvent::Resumed { ns: now - since }));
    }

    /// What stood still may run again, unless something else keeps it.
    pub(super) fn go_on(&mut self, host: usize) {
        let machine = &mut self.hosts[host];
        if machine.stands_still() {
            return;
        }
        machine.cpu_armed = None;
        let threads = machine.threads.len();
        for thread in 0..threads {
            if self.hosts[host].threads[thread].held.is_none() {
                self.wake_gated(host, thread as u32);
            } else {
                self.wake_holder(host, thread);
            }
        }
        self.pump_cpu(host);
    }

    /// The task that holds a thread may have been woken while the host was paused.
    fn wake_holder(&mut self, host: usize, thread: usize) {
        let slot = &mut self.hosts[host].threads[thread];
        let Some((holder, _)) = slot.held else { return };
        slot.gated.retain(|id| *id != holder);
        let task = &mut self.tasks[holder as usize];
        if task.gated {
            task.gated = false;
            if let Some(waker) = &task.waker {
                waker.wake_by_ref();
            }
        }
    }

    /// Asks the node to stop gracefully.
    pub(crate) fn ask_stop(&mut self, host: usize, line: usize) {
        if !self.hosts[host].live || self.hosts[host].stopping {
            return;
        }
        self.hosts[host].stopping = true;
        self.hosts[host].stopped_by = line;
        for ticket in std::mem::take(&mut self.hosts[host].stop_waiters) {
            self.complete(ticket, Ok(Done::Unit));
        }
        self.outbox.push((host, KernelEvent::StopAsked));
    }

    pub(crate) fn submit_stopping(&mut self, host: usize) -> Ticket {
        if self.hosts[host].stopping {
            return self.ready(host, Ok(Done::Unit));
        }
        let ticket = self.slot(host, Waits::Stop);
        self.hosts[host].stop_waiters.push(ticket);
        ticket
    }
}
