//! The world: all hosts, links, devices and the events that are still to come, in one place.
//!
//! One madsim plugin owns net, disk and cpu, because madsim walks its simulators in HashMap order. Events
//! wait in one heap ordered by (time, order of scheduling); the engine handles what is due and sleeps until
//! the next. A host's requests are slots that a ticket names. Everything a host had in flight ends with its
//! boot, in one sweep over those slots: that is the whole of "old handles do nothing".
//!
//! The laws of each resource are in `model`; the files beside this one apply them: `net`, `storage`,
//! `process` (threads, boots, crashes), `power` (its loss), `memory` (its collector), `strain` (what faults put on links, devices,
//! disks, cores and clocks).

mod closing;
mod cuts;
mod dial;
mod ghosts;
mod memory;
mod moments;
mod net;
mod power;
mod process;
mod receive;
mod shared;
mod sight;
mod slots;
mod storage;
mod strain;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::{BTreeMap, BTreeSet};
use std::task::Waker;

use host::Members;
use host::arm::{BoxFuture, Done, Ticket};
use madsim::runtime::NodeHandle;
use madsim::time::TimeHandle;

use crate::Time;
use crate::check::Instants;
use crate::digest::Digest;
use crate::draw::{Draws, Weather};
use crate::event::KernelEvent;
use crate::model::atlas::Atlas;
use crate::model::clock::HostClock;
use crate::model::disk::{Cache, DiskLaw};
use crate::model::files::Files;
use crate::model::memory::Heap;
use crate::model::overlaps::Overlaps;
use crate::model::share::Share;
use crate::profile::Profile;

pub(crate) use memory::Collecting;
pub(crate) use moments::{Moment, Moments};
pub(crate) use net::{Item, Links, NetState};
pub(crate) use power::Tearing;
pub(crate) use process::{Gate, HostThread, TaskState};
pub(crate) use shared::Locked;
pub use shared::{Plugin, Shared};
pub use sight::{HostSight, Sight};
use slots::Slot;
pub(crate) use slots::Waits;
pub(crate) use storage::DeviceJob;
pub(crate) use strain::{Episodes, Io, Slow, Steal, Strain, Trick, What};

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
    /// A ghost of a connection arrives.
    Echo { end: usize, line: usize },
    /// A slow reader comes round to a frame.
    Read { end: usize, spell: u64 },
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
    /// It acts again.
    FaultAgain { line: usize, number: u64 },
    /// A line of the plan ends.
    FaultEnd { line: usize },
    /// A collection may be over.
    Collected { host: usize, boot: u32 },
    /// A thread's core is no longer somebody else's.
    CoreBack { host: usize, boot: u32, thread: u32 },
    /// The next step of the run's phases may be due.
    Phase,
    /// The run leaves its seed's draws.
    Fork,
    /// Somebody wants to see how things stand.
    Look,
}

impl Due {
    /// Whether this comes from the run's own bookkeeping rather than from what the hosts do.
    fn is_bookkeeping(&self) -> bool {
        let of_plan =
            matches!(self, Due::Fire { .. } | Due::FaultAgain { .. } | Due::FaultEnd { .. });
        let of_run = matches!(self, Due::Phase | Due::Fork | Due::Look);
        of_plan || of_run || matches!(self, Due::Writeback(_))
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
        // The plan acts on what the instant came to.
        let key = |s: &Self| (s.at, matches!(s.due, Due::Fire { .. }), s.order);
        key(self).cmp(&key(other))
    }
}

/// A host.
pub(crate) struct Host {
    pub name: String,
    pub boot: u32,
    /// The process exists.
    pub live: bool,
    /// The machine has power: its kernel answers for a dead process.
    pub powered: bool,
    /// Lines that keep it down, and how many keep it paused: it is back when the last of them ends.
    pub downs: Overlaps<()>,
    pub pauses: u32,
    pub paused_at: Option<Time>,
    pub paused_by: usize,
    pub stopping: bool,
    pub stopped_by: usize,
    pub stop_waiters: Vec<Ticket>,
    /// When this boot last got an error from a fault or was refused memory, and when a fault made a task of
    /// it panic.
    pub erred_at: Option<Time>,
    pub doomed_at: Option<Time>,
    /// This boot has read what a fault harmed and nobody had mended.
    pub met_harm: bool,
    /// Bytes that were durable are gone or changed, by a fault.
    pub damaged: bool,
    /// It ended over such bytes and is not started again.
    pub refused: bool,
    pub threads: Vec<HostThread>,
    pub cpu: Share<u32>,
    pub cpu_armed: Option<Time>,
    pub clock: HostClock,
    pub strain: Strain,
    pub files: Files,
    pub cache: Cache,
    pub heap: Heap,
    /// The world of its process has stopped for a collection.
    pub collecting: Option<Collecting>,
    /// Bytes that were written, by class.
    pub written: BTreeMap<&'static str, u64>,
    pub writeback_armed: bool,
    pub open_files: BTreeMap<u64, u64>,
    pub warm: BTreeSet<u64>,
    pub device: usize,
    pub weather: Weather,
    pub node: NodeHandle,
    pub tasks: Vec<u64>,
}

impl Host {
    /// Whether its process may refuse to go on: it has read what a fault harmed, or its disk lost what no
    /// read can find.
    pub(crate) fn may_refuse(&self) -> bool {
        self.met_harm || self.strain.disk.gone
    }

    /// Whether nothing of its process runs: a fault has paused it, or its collector is at work.
    pub(crate) fn stands_still(&self) -> bool {
        self.paused_at.is_some() || self.collecting.is_some()
    }
}

/// A device and the jobs that it works on.
pub(crate) struct Device {
    pub share: Share<(usize, &'static str)>,
    pub armed: Option<Time>,
    pub stalled_at: Option<Time>,
    pub stalls: u32,
    pub stalled_by: usize,
    /// How many times slower it is.
    pub slow: Overlaps<u64>,
    pub jobs: BTreeMap<u64, DeviceJob>,
}

/// Identities of clients begin here; nodes have those below.
const CLIENTS_FROM: u64 = 1 << 20;

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
    /// Triggers on moments that are counted here and not recorded.
    pub(crate) moments: Moments,
    /// When the run passed from phase to phase.
    pub(crate) instants: Instants,
    /// Whose disks may still be harmed for good.
    pub(crate) atlas: Atlas,
    pub(crate) plants: Vec<String>,
    pub(crate) polls: u64,
    pub(crate) polls_max: u64,
    pub(crate) bytes_max: u64,
    pub(crate) queue_bytes: u64,
    pub(crate) history_bytes: u64,
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
    /// Nodes that ended by themselves and were started again, and that stayed down, over a fault.
    pub(crate) nodes_excused: u64,
    pub(crate) nodes_refused: u64,
    /// Kinds of work that had a price.
    pub(crate) charged: BTreeSet<&'static str>,
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
            moments: Moments::default(),
            instants: Instants::default(),
            atlas: Atlas::default(),
            plants: Vec::new(),
            polls: 0,
            polls_max: u64::MAX,
            bytes_max: u64::MAX,
            queue_bytes: 0,
            history_bytes: 0,
            livelock: None,
            panic: None,
            tolerates_panics: false,
            stop: false,
            wall_base: 0,
            frames: 0,
            frame_bytes: 0,
            device_syncs: 0,
            nodes_excused: 0,
            nodes_refused: 0,
            charged: BTreeSet::new(),
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

    /// Who a host is, whatever else there is in the run: its draws are keyed by this, so that one more client
    /// or node shifts nothing for the others.
    pub(crate) fn identity(&self, host: usize) -> u64 {
        match host.checked_sub(self.nodes) {
            None => host as u64,
            Some(client) => CLIENTS_FROM + client as u64,
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

    /// Bytes that the run holds: file contents, frames under way or waiting, the trace.
    pub(crate) fn bytes_held(&self) -> u64 {
        let files: u64 = self.hosts.iter().map(|h| h.files.bytes()).sum();
        self.queue_bytes + self.history_bytes + files
    }

    /// Puts a small fact of the machinery into the digest.
    pub(crate) fn note(&mut self, what: &str, a: u64, b: u64) {
        let now = self.now;
        let kept = self.digest.add(|buffer| {
            buffer.extend_from_slice(what.as_bytes());
            buffer.extend_from_slice(&now.to_le_bytes());
            buffer.extend_from_slice(&a.to_le_bytes());
            buffer.extend_from_slice(&b.to_le_bytes());
        });
        if kept {
            let task = self.current.and_then(|task| self.tasks.get(task as usize));
            let host = task.map_or("kernel", |task| self.hosts[task.host].name.as_str());
            self.digest.tell(now, host, format!("{what} {a} {b}"));
        }
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
        let of_plan = |due: &Due| {
            matches!(due, Due::Fire { .. } | Due::FaultAgain { .. } | Due::FaultEnd { .. })
        };
        self.heap.retain(|Reverse(s)| !of_plan(&s.due));
        self.moments.clear();
    }

    /// Forgets what the plan has not begun.
    pub(crate) fn drop_fires(&mut self) {
        self.heap.retain(|Reverse(s)| !matches!(s.due, Due::Fire { .. }));
    }

    /// Whether nothing is to come but the run's own bookkeeping.
    pub(crate) fn nothing_to_come(&self) -> bool {
        self.foreground == 0
    }
}
