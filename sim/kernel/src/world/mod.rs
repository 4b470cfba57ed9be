//! The world: all hosts, links, devices and the events that are still to come, in one place.
//!
//! One madsim plugin owns net, disk and cpu, because madsim walks its simulators in HashMap order. Events
//! wait in one heap ordered by (time, order of scheduling); the engine handles what is due and sleeps until
//! the next. A host's requests are slots that a ticket names. Everything a host had in flight ends with its
//! boot, in one sweep over those slots: that is the whole of "old handles do nothing".
//!
//! The laws of each resource are in `model`; the files beside this one apply them: `net`, `storage`,
//! `process` (threads, boots, crashes).

mod net;
mod process;
mod storage;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::BinaryHeap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use host::arm::{BoxFuture, Done, Ticket};
use host::{Event, Members};
use madsim::plugin::Simulator;
use madsim::rand::GlobalRng;
use madsim::runtime::NodeHandle;
use madsim::task::NodeId;
use madsim::time::TimeHandle;

use crate::Time;
use crate::digest::Digest;
use crate::draw::{Draws, Weather};
use crate::event::KernelEvent;
use crate::history::History;
use crate::model::clock::HostClock;
use crate::model::disk::{Cache, DiskLaw};
use crate::model::files::Files;
use crate::model::share::Share;
use crate::profile::Profile;

pub(crate) use net::{Item, Links, NetState};
pub(crate) use process::{Gate, HostThread, TaskState};
pub(crate) use storage::DeviceJob;

/// Something that will happen.
#[derive(Debug)]
pub(crate) enum Due {
    /// A slot completes with `Done::Unit`.
    Complete(Ticket),
    /// A dial has waited long enough.
    DialTimeout(Ticket),
    /// A connection request arrives.
    Syn { ticket: Ticket, from: usize, to: usize, port: u16, style: host::Style, attempt: u32 },
    /// Its answer arrives.
    SynAck { ticket: Ticket, end: usize, attempt: u32 },
    /// Its refusal arrives.
    Refused(Ticket),
    /// Something arrives at a connection end.
    Arrive { end: usize, item: Item },
    /// A held connection end tries again.
    Retry { end: usize },
    /// A reset arrives.
    Reset { end: usize },
    /// A host's cores have something to report.
    Cpu(usize),
    /// A device has something to report.
    Device(usize),
    /// A host's page cache may have something to write back.
    Writeback(usize),
    /// A host's process starts.
    Boot { host: usize },
    /// A node's main function returned.
    Exited { host: usize, boot: u32, error: Option<String> },
    /// A task panicked.
    Panicked { host: usize, boot: u32, text: String },
    /// A line of the plan acts.
    Fire { line: usize, there: Option<usize> },
    /// A line of the plan ends.
    FaultEnd { line: usize },
    /// The next step of the run's phases may be due.
    Phase,
}

impl Due {
    /// Whether this comes from the run's own bookkeeping rather than from what the hosts do.
    fn is_bookkeeping(&self) -> bool {
        matches!(self, Due::Phase | Due::Fire { .. } | Due::FaultEnd { .. } | Due::Writeback(_))
    }
}

struct Scheduled {
    at: Time,
    order: u64,
    due: Due,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}
impl Eq for Scheduled {}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// What a slot waits for; named in the verdict `deadlock`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    Sleep,
    Disk,
    Dial,
    Accept,
    Send(usize),
    Recv(usize),
    Hold(u32),
    Stop,
    Join(u64),
}

enum SlotState {
    Free,
    Waiting(Waits),
    Done(io::Result<Done>),
}

struct Slot {
    generation: u32,
    host: usize,
    task: u64,
    waker: Option<Waker>,
    state: SlotState,
    /// The thread that this slot holds until it is polled to its end or forgotten.
    holds: Option<u32>,
}

/// A host.
pub(crate) struct Host {
    pub name: String,
    pub boot: u32,
    /// The process exists.
    pub live: bool,
    /// The machine has power: its kernel answers for a dead process.
    pub powered: bool,
    /// Faults that keep it down, and faults that keep it paused: it is back when the last of them ends.
    pub downs: u32,
    pub pauses: u32,
    pub paused_at: Option<Time>,
    pub paused_by: usize,
    pub stopping: bool,
    pub stop_waiters: Vec<Ticket>,
    pub threads: Vec<HostThread>,
    pub cpu: Share<u32>,
    pub cpu_armed: Option<Time>,
    pub clock: HostClock,
    pub files: Files,
    pub cache: Cache,
    pub writeback_armed: bool,
    pub open_files: BTreeMap<u64, u64>,
    pub warm: std::collections::BTreeSet<u64>,
    pub device: usize,
    pub weather: Weather,
    pub node: NodeHandle,
    pub tasks: Vec<u64>,
    pub error: Option<String>,
}

/// A device and the jobs that it works on.
pub(crate) struct Device {
    pub share: Share<(usize, &'static str)>,
    pub armed: Option<Time>,
    pub stalled_at: Option<Time>,
    pub stalls: u32,
    pub stalled_by: usize,
    pub jobs: BTreeMap<u64, DeviceJob>,
}

/// Everything that happens in a run happens here.
pub struct World {
    pub(crate) time: TimeHandle,
    now: Time,
    pub(crate) draws: Draws,
    pub(crate) profile: Profile,
    pub(crate) disk_law: DiskLaw,
    pub(crate) nodes: usize,
    pub(crate) hosts: Vec<Host>,
    pub(crate) names: BTreeMap<String, usize>,
    pub(crate) members: Members,
    pub(crate) links: Links,
    pub(crate) net: NetState,
    pub(crate) devices: Vec<Device>,
    pub(crate) tasks: Vec<TaskState>,
    /// The task that is being polled, for operations that belong to it.
    pub(crate) current: Option<u64>,
    pub(crate) digest: Digest,
    /// Kernel facts that wait for the engine to record them.
    pub(crate) outbox: Vec<(usize, KernelEvent)>,
    /// Futures of ended boots; dropped when nothing is locked.
    pub(crate) graveyard: Vec<BoxFuture>,
    pub(crate) effects: Vec<u64>,
    pub(crate) plants: Vec<String>,
    pub(crate) polls: u64,
    pub(crate) polls_max: u64,
    pub(crate) bytes_max: u64,
    pub(crate) queue_bytes: u64,
    pub(crate) livelock: Option<String>,
    pub(crate) panic: Option<String>,
    /// A panic of a node ends its boot, not the run.
    pub(crate) tolerates_panics: bool,
    /// A verdict was reached.
    pub(crate) stop: bool,
    pub(crate) wall_base: u64,
    /// Frames that arrived, their bytes, and syncs that completed.
    pub(crate) frames: u64,
    pub(crate) frame_bytes: u64,
    pub(crate) device_syncs: u64,
    /// Clients that are not done.
    pub(crate) clients_left: usize,
    next_job: u64,
    /// Outcomes of slots whose completion is scheduled.
    later: BTreeMap<Ticket, Done>,
    slots: Vec<Slot>,
    free_slots: Vec<usize>,
    heap: BinaryHeap<Reverse<Scheduled>>,
    foreground: usize,
    order: u64,
    engine: Option<Waker>,
    engine_armed: Time,
}

impl World {
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn new(time: TimeHandle, draws: Draws, profile: Profile, nodes: usize) -> World {
        let hw = &profile.hardware;
        let disk_law = DiskLaw {
            write_bandwidth: hw.disk_write_bandwidth,
            read_bandwidth: hw.disk_read_bandwidth,
            op_ns: host::unit::nanos(hw.disk_operation),
            cache_bandwidth: hw.cache_bandwidth,
            cache_op_ns: host::unit::nanos(hw.cache_operation),
            sync: hw.disk_sync.clone(),
            dirty_limit: hw.dirty_limit,
            writeback_after_ns: host::unit::nanos(hw.writeback_after),
        };
        World {
            time,
            now: 0,
            draws,
            disk_law,
            nodes,
            hosts: Vec::new(),
            names: BTreeMap::new(),
            members: Members { me: 0, all: Vec::new() },
            links: Links::default(),
            net: NetState::default(),
            devices: Vec::new(),
            tasks: Vec::new(),
            current: None,
            digest: Digest::default(),
            outbox: Vec::new(),
            graveyard: Vec::new(),
            effects: Vec::new(),
            plants: Vec::new(),
            polls: 0,
            polls_max: u64::MAX,
            bytes_max: u64::MAX,
            queue_bytes: 0,
            livelock: None,
            panic: None,
            tolerates_panics: false,
            stop: false,
            wall_base: 0,
            frames: 0,
            frame_bytes: 0,
            device_syncs: 0,
            clients_left: 0,
            next_job: 0,
            later: BTreeMap::new(),
            slots: Vec::new(),
            free_slots: Vec::new(),
            heap: BinaryHeap::new(),
            foreground: 0,
            order: 0,
            engine: None,
            engine_armed: Time::MAX,
            profile,
        }
    }

    /// Virtual time in nanoseconds since the start of the run.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Reads madsim's clock, which stands still while a task is polled: once for each poll is enough.
    pub(crate) fn read_clock(&mut self) {
        let elapsed = self.time.elapsed();
        self.now = elapsed.as_secs() * 1_000_000_000 + u64::from(elapsed.subsec_nanos());
    }

    /// Bytes that the run holds: file contents, frames under way, open requests.
    pub(crate) fn bytes_held(&self) -> u64 {
        self.queue_bytes + self.hosts.iter().map(|h| h.files.bytes()).sum::<u64>()
    }

    /// Puts something into the future.
    pub(crate) fn schedule(&mut self, at: Time, due: Due) {
        self.order += 1;
        self.foreground += usize::from(!due.is_bookkeeping());
        self.heap.push(Reverse(Scheduled { at, order: self.order, due }));
        if at < self.engine_armed {
            self.arm_engine(at);
        }
    }

    /// Makes the engine wake at `at`. A timer of madsim has no cancellation; a stale one only wakes it early.
    fn arm_engine(&mut self, at: Time) {
        let Some(waker) = self.engine.clone() else { return };
        self.engine_armed = at;
        let deadline =
            self.time.now_instant() - self.time.elapsed() + std::time::Duration::from_nanos(at);
        let mut sleep = std::pin::pin!(self.time.sleep_until(deadline));
        sleep.as_mut().reset(deadline);
        let mut cx = std::task::Context::from_waker(&waker);
        if std::future::Future::poll(sleep, &mut cx).is_ready() {
            waker.wake();
        }
    }

    /// The next thing that is due by now, and for when it was scheduled.
    pub(crate) fn pop_due(&mut self, waker: &Waker) -> Option<(Time, Due)> {
        if !self.engine.as_ref().is_some_and(|w| w.will_wake(waker)) {
            self.engine = Some(waker.clone());
        }
        self.read_clock();
        let now = self.now();
        if self.heap.peek().is_some_and(|Reverse(next)| next.at <= now) {
            let Reverse(next) = self.heap.pop().expect("peeked");
            self.foreground -= usize::from(!next.due.is_bookkeeping());
            return Some((next.at, next.due));
        }
        self.engine_armed = Time::MAX;
        if let Some(Reverse(next)) = self.heap.peek() {
            self.arm_engine(next.at);
        }
        None
    }

    /// Forgets what the plan still has to do.
    pub(crate) fn drop_plan(&mut self) {
        self.heap.retain(|Reverse(s)| !matches!(s.due, Due::Fire { .. } | Due::FaultEnd { .. }));
    }

    /// Whether nothing is to come but the run's own bookkeeping.
    pub(crate) fn nothing_to_come(&self) -> bool {
        self.foreground == 0
    }

    /// Everybody who waits, and for what.
    pub(crate) fn waiters(&self) -> Vec<String> {
        let waiting = self.slots.iter().filter_map(|slot| match &slot.state {
            SlotState::Waiting(what) => Some((slot, *what)),
            _ => None,
        });
        waiting
            .map(|(slot, what)| {
                let host = &self.hosts[slot.host].name;
                let task = self.tasks.get(slot.task as usize).map_or("main", |t| t.what);
                let what = match what {
                    Waits::Recv(end) => format!("a frame from {}", self.peer_name(end)),
                    Waits::Send(end) => format!("room to send to {}", self.peer_name(end)),
                    Waits::Hold(thread) => {
                        format!(
                            "the thread {}",
                            self.hosts[slot.host].threads[thread as usize].name
                        )
                    }
                    Waits::Join(task) => format!("task {}", self.tasks[task as usize].what),
                    Waits::Sleep => "its alarm".into(),
                    Waits::Disk => "the disk".into(),
                    Waits::Dial => "a connection".into(),
                    Waits::Accept => "somebody to connect".into(),
                    Waits::Stop => "being asked to stop".into(),
                };
                format!("{host}/{task} waits for {what}")
            })
            .collect()
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
            Waits::Hold(thread) => Some(thread),
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

    /// A scheduled completion is due.
    pub(crate) fn complete_due(&mut self, ticket: Ticket) {
        let outcome = self.later.remove(&ticket).unwrap_or(Done::Unit);
        self.complete(ticket, Ok(outcome));
    }

    /// A ticket that is complete from the start.
    pub(crate) fn ready(&mut self, host: usize, outcome: io::Result<Done>) -> Ticket {
        let ticket = self.slot(host, Waits::Sleep);
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
            self.release(host, thread, task, 1);
        }
        match state {
            SlotState::Waiting(what) => Some(what),
            _ => None,
        }
    }

    /// Frees all slots of a host.
    fn free_slots_of(&mut self, host: usize) {
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

/// World and history of one run, as arms, tasks and engine share them.
pub struct Shared {
    world: Mutex<Option<World>>,
    history: Mutex<Option<History>>,
}

impl Shared {
    pub(crate) fn install(&self, world: World, history: History) {
        *self.world.lock().unwrap_or_else(PoisonError::into_inner) = Some(world);
        *self.history.lock().unwrap_or_else(PoisonError::into_inner) = Some(history);
    }

    pub(crate) fn take(&self) -> (World, History) {
        let world = self.world.lock().unwrap_or_else(PoisonError::into_inner).take();
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner).take();
        (world.expect("installed"), history.expect("installed"))
    }

    pub(crate) fn world(&self) -> Locked<'_, World> {
        Locked(self.world.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn history(&self) -> Locked<'_, History> {
        Locked(self.history.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The world, unless the run has ended: handles may outlive it.
    pub(crate) fn world_if_any(&self) -> Option<Locked<'_, World>> {
        let guard = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        guard.is_some().then_some(Locked(guard))
    }

    /// Records a node's event.
    pub(crate) fn emit(&self, host: usize, event: &dyn Event) {
        let mut world = self.world();
        let mut history = self.history();
        history.record(&mut world, host, event);
        let now = world.now();
        for (line, there, after) in history.due.drain(..) {
            world.schedule(now + after, Due::Fire { line, there: Some(there) });
        }
        if world.stop {
            world.schedule(now, Due::Phase);
        }
    }
}

/// Access to a part of the run.
pub(crate) struct Locked<'a, T>(MutexGuard<'a, Option<T>>);

impl<T> std::ops::Deref for Locked<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        self.0.as_ref().expect("the run is over")
    }
}

impl<T> std::ops::DerefMut for Locked<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("the run is over")
    }
}

/// The one plugin: it owns net, disk and cpu of the run.
pub struct Plugin {
    /// World and history.
    pub shared: Arc<Shared>,
}

impl Simulator for Plugin {
    fn new(_: &GlobalRng, _: &TimeHandle, _: &madsim::Config) -> Plugin {
        Plugin { shared: Arc::new(Shared { world: Mutex::new(None), history: Mutex::new(None) }) }
    }

    fn create_node(&self, _: NodeId) {}

    fn reset_node(&self, _: NodeId) {}
}
