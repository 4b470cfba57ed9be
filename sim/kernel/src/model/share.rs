//! `k` identical servers that keyed queues share in quanta: the cores of a host (key = thread) and
//! a disk device (key = host and class, one server).
//!
//! Jobs of one key run in order and one at a time. When more keys have work than there are servers,
//! each runs for one quantum and goes to the back of the line. A slice belongs to the key, not to
//! the job, so many small jobs gain nothing over one large one. While nobody waits, slices renew
//! themselves silently: an idle or uncontended machine costs no events. Remaining work is kept in
//! millionths of a nanosecond, so that a change of speed loses nothing to rounding; a completion is
//! rounded up to the next nanosecond.
//!
//! Left out on purpose: priorities, affinity, caches that cool when a thread moves, the cost of a
//! switch.
//! Source: plain round robin, which CFS and blk-mq fair queueing approach for equal weights.

use std::collections::{BTreeMap, VecDeque};

use super::{MILLION, Time};

#[derive(Debug)]
struct Job {
    id: u64,
    /// Millionths of a nanosecond at full speed.
    left: u128,
}

#[derive(Debug, Default)]
struct Queue {
    jobs: VecDeque<Job>,
    frozen: u32,
    /// The server that works for this key.
    server: Option<usize>,
}

#[derive(Debug)]
struct Running<K> {
    key: K,
    /// Up to here the head job's remaining work is accounted for.
    since: Time,
    slice_end: Time,
    completes: Time,
}

/// What happens next on a server; completions come first among events of one instant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Completes,
    SliceEnds,
}

/// Servers shared by keyed queues.
#[derive(Debug)]
pub struct Share<K: Ord + Copy> {
    servers: Vec<Option<Running<K>>>,
    queues: BTreeMap<K, Queue>,
    /// Keys with work, not frozen and without a server, in the order of their turn.
    line: VecDeque<K>,
    quantum: u64,
    speed: u32,
    frozen: u32,
    finished: Vec<u64>,
    finished_at: Time,
}

impl<K: Ord + Copy> Share<K> {
    /// Idle servers at normal speed.
    ///
    /// # Panics
    /// If there is no server or the quantum is zero.
    pub fn new(servers: u32, quantum_ns: u64) -> Share<K> {
        assert!(servers > 0 && quantum_ns > 0, "a share needs a server and a quantum");
        Share {
            servers: (0..servers).map(|_| None).collect(),
            queues: BTreeMap::new(),
            line: VecDeque::new(),
            quantum: quantum_ns,
            speed: MILLION as u32,
            frozen: 0,
            finished: Vec::new(),
            finished_at: 0,
        }
    }

    /// Adds a job at the end of its key's queue. A job without demand is complete at once if
    /// nothing of its key is before it and nothing is frozen, and otherwise in its turn.
    pub fn submit(&mut self, now: Time, key: K, job: u64, demand_ns: u64) {
        self.run_to(now);
        let queue = self.queues.entry(key).or_default();
        if demand_ns == 0 && queue.jobs.is_empty() && queue.frozen == 0 && self.frozen == 0 {
            self.finish(now, job);
            return;
        }
        let left = u128::from(demand_ns) * u128::from(MILLION);
        queue.jobs.push_back(Job { id: job, left });
        if queue.jobs.len() == 1 && queue.frozen == 0 {
            self.stand_in_line(now, key);
        }
    }

    /// The time of the next event: a completion, or a slice end that somebody waits for.
    pub fn next(&self) -> Option<Time> {
        if !self.finished.is_empty() {
            return Some(self.finished_at);
        }
        self.next_event().map(|event| event.0)
    }

    /// Carries out all events up to `now` and adds the completed jobs in the order of their
    /// completion.
    pub fn advance(&mut self, now: Time, done: &mut Vec<u64>) {
        self.run_to(now);
        done.append(&mut self.finished);
    }

    /// Stops the world: what runs keeps its server and makes no progress. Freezes nest.
    pub fn freeze(&mut self, now: Time) {
        self.run_to(now);
        if self.frozen == 0 {
            self.charge_all(now);
        }
        self.frozen += 1;
    }

    /// Ends one freeze; with the last one everything continues where it stood.
    ///
    /// # Panics
    /// If nothing was frozen.
    pub fn thaw(&mut self, now: Time) {
        assert!(self.frozen > 0, "thaw without freeze");
        self.frozen -= 1;
        if self.frozen > 0 {
            return;
        }
        for running in self.servers.iter_mut().flatten() {
            running.slice_end = running.slice_end.saturating_add(now - running.since);
            running.since = now;
        }
        self.reschedule_all();
    }

    /// Stalls one key: its work keeps its progress and gives up its server. Freezes nest.
    pub fn freeze_key(&mut self, now: Time, key: K) {
        self.run_to(now);
        let queue = self.queues.entry(key).or_default();
        queue.frozen += 1;
        if queue.frozen > 1 {
            return;
        }
        match queue.server {
            Some(server) => self.release(now, server),
            None => self.line.retain(|k| *k != key),
        }
    }

    /// Ends one freeze of a key; with the last one it stands in line again.
    ///
    /// # Panics
    /// If the key was not frozen.
    pub fn thaw_key(&mut self, now: Time, key: K) {
        self.run_to(now);
        let queue = self.queues.entry(key).or_default();
        assert!(queue.frozen > 0, "thaw without freeze");
        queue.frozen -= 1;
        if queue.frozen == 0 && !queue.jobs.is_empty() {
            self.stand_in_line(now, key);
        }
    }

    /// Sets the speed in parts per million of the normal one; at least 1, since `freeze` is what
    /// stops.
    pub fn set_speed(&mut self, now: Time, ppm: u32) {
        self.run_to(now);
        if self.frozen == 0 {
            self.charge_all(now);
        }
        self.speed = ppm.max(1);
        self.reschedule_all();
    }

    /// The speed in parts per million of the normal one.
    pub fn speed(&self) -> u32 {
        self.speed
    }

    /// Removes the jobs and freezes of the chosen keys and returns the jobs, by key and in order.
    /// Jobs that were complete before `now` are not among them.
    pub fn drop_keys(&mut self, now: Time, f: impl Fn(K) -> bool) -> Vec<u64> {
        self.run_to(now);
        self.line.retain(|k| !f(*k));
        let mut dropped = Vec::new();
        let mut idle = Vec::new();
        self.queues.retain(|key, queue| {
            if !f(*key) {
                return true;
            }
            dropped.extend(queue.jobs.iter().map(|job| job.id));
            idle.extend(queue.server);
            false
        });
        for &server in &idle {
            self.servers[server] = None;
        }
        for server in idle {
            self.serve_next(now, server);
        }
        dropped
    }

    /// Removes one job that is not complete; whether there was one.
    pub fn drop_job(&mut self, now: Time, key: K, job: u64) -> bool {
        self.run_to(now);
        let Some(queue) = self.queues.get_mut(&key) else { return false };
        let Some(i) = queue.jobs.iter().position(|j| j.id == job) else { return false };
        queue.jobs.remove(i);
        let (empty, server) = (queue.jobs.is_empty(), queue.server);
        match server {
            Some(server) if empty => {
                queue.server = None;
                self.servers[server] = None;
                self.serve_next(now, server);
            }
            Some(server) if i == 0 => {
                if let Some(running) = self.servers[server].as_mut().filter(|_| self.frozen == 0) {
                    running.since = now;
                }
                self.reschedule(server);
            }
            None if empty => self.line.retain(|k| *k != key),
            _ => {}
        }
        true
    }

    /// Jobs of a key that are not complete, the running one included.
    pub fn queued(&self, key: K) -> usize {
        self.queues.get(&key).map_or(0, |queue| queue.jobs.len())
    }

    /// Servers that have a job.
    pub fn busy(&self) -> u32 {
        self.servers.iter().flatten().count() as u32
    }

    fn next_event(&self) -> Option<(Time, What, usize)> {
        if self.frozen > 0 {
            return None;
        }
        let contended = !self.line.is_empty();
        let mut first: Option<(Time, What, usize)> = None;
        for (server, running) in self.servers.iter().enumerate() {
            let Some(running) = running else { continue };
            let event = if contended && running.slice_end < running.completes {
                (running.slice_end, What::SliceEnds, server)
            } else {
                (running.completes, What::Completes, server)
            };
            if first.is_none_or(|f| event < f) {
                first = Some(event);
            }
        }
        first
    }

    fn run_to(&mut self, now: Time) {
        while let Some((at, what, server)) = self.next_event() {
            if at > now {
                return;
            }
            match what {
                What::Completes => self.complete(at, server),
                What::SliceEnds => self.preempt(at, server),
            }
        }
    }

    fn finish(&mut self, at: Time, job: u64) {
        self.finished.push(job);
        self.finished_at = at;
    }

    fn complete(&mut self, at: Time, server: usize) {
        let running = self.servers[server].as_mut().expect("a completion has a server");
        let queue = self.queues.get_mut(&running.key).expect("a running key has a queue");
        let job = queue.jobs.pop_front().expect("a running key has a job");
        running.since = at;
        if queue.jobs.is_empty() {
            queue.server = None;
            self.servers[server] = None;
            self.serve_next(at, server);
        } else {
            self.reschedule(server);
        }
        self.finish(at, job.id);
    }

    fn preempt(&mut self, at: Time, server: usize) {
        let key = self.servers[server].as_ref().expect("a slice has a server").key;
        // In line before the server is given on: with k keys on k servers a key may follow itself.
        self.line.push_back(key);
        self.release(at, server);
    }

    /// Takes the server away from its key, which keeps what is left of its work.
    fn release(&mut self, at: Time, server: usize) {
        if self.frozen == 0 {
            self.charge(at, server);
        }
        let running = self.servers[server].take().expect("a busy server");
        self.queues.get_mut(&running.key).expect("a running key has a queue").server = None;
        self.serve_next(at, server);
    }

    fn stand_in_line(&mut self, now: Time, key: K) {
        if let Some(server) = self.servers.iter().position(Option::is_none) {
            self.serve(now, server, key);
            return;
        }
        if self.line.is_empty() {
            self.renew_slices(now);
        }
        self.line.push_back(key);
    }

    /// Slices that ended while nobody waited began anew each time.
    fn renew_slices(&mut self, now: Time) {
        let (quantum, frozen) = (self.quantum, self.frozen > 0);
        for running in self.servers.iter_mut().flatten() {
            let at = if frozen { running.since } else { now };
            if running.slice_end <= at {
                let missed = (at - running.slice_end) / quantum + 1;
                running.slice_end = running.slice_end.saturating_add(missed * quantum);
            }
        }
    }

    fn serve_next(&mut self, now: Time, server: usize) {
        if let Some(key) = self.line.pop_front() {
            self.serve(now, server, key);
        }
    }

    fn serve(&mut self, now: Time, server: usize, key: K) {
        let slice_end = now.saturating_add(self.quantum);
        self.queues.get_mut(&key).expect("a key in line has a queue").server = Some(server);
        self.servers[server] = Some(Running { key, since: now, slice_end, completes: 0 });
        self.reschedule(server);
    }

    fn charge_all(&mut self, now: Time) {
        for server in 0..self.servers.len() {
            self.charge(now, server);
        }
    }

    fn charge(&mut self, now: Time, server: usize) {
        let Some(running) = self.servers[server].as_mut() else { return };
        let queue = self.queues.get_mut(&running.key).expect("a running key has a queue");
        let job = queue.jobs.front_mut().expect("a running key has a job");
        let work = u128::from(now - running.since) * u128::from(self.speed);
        job.left = job.left.saturating_sub(work);
        running.since = now;
    }

    fn reschedule_all(&mut self) {
        for server in 0..self.servers.len() {
            self.reschedule(server);
        }
    }

    fn reschedule(&mut self, server: usize) {
        let Some(running) = self.servers[server].as_mut() else { return };
        let job = self.queues[&running.key].jobs.front().expect("a running key has a job");
        let ns = job.left.div_ceil(u128::from(self.speed));
        let ns = u64::try_from(ns).unwrap_or(u64::MAX);
        running.completes = running.since.saturating_add(ns);
    }
}
