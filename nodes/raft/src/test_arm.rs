//! A machine for tests of what the driver does to its disk: files in memory of which it is known what
//! is durable, a budget of disk operations after which the machine stands still for ever, and so
//! much room. Every operation completes at once, so a future that is polled once is through, or
//! waits for ever. No network, no threads.
//!
//! A power loss takes everything that was not synced, files and names alike; the simulator's own
//! disk draws what survives, which is not the subject here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use host::arm::{
    Arm, BoxFuture, Close, ConnId, Done, FileId, ListenerId, MemoryOp, Op, TaskId, ThreadId, Ticket,
};
use host::{Chunks, Class, Event, Host, Mono, OpenMode, TrySendError, Wall};

#[derive(Clone, Default)]
struct Inode {
    bytes: Vec<u8>,
    durable: Vec<u8>,
}

#[derive(Clone, Default)]
struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    open: BTreeMap<FileId, usize>,
    next: u64,
    now: u64,
    room: u64,
    /// Room that the end of each sleep brings.
    relief: u64,
    budget: u64,
    /// Whether sleepers wait for `set_now` instead of making time pass.
    still: bool,
    /// How many syncs go well before one is refused for lack of room.
    good_syncs: u64,
    /// The largest object that there is memory for.
    largest: u64,
    claims: BTreeMap<u64, u64>,
    claimed_most: u64,
    collections: u64,
    /// Frames that the peer has sent.
    arriving: VecDeque<Chunks>,
    said: Vec<String>,
    synced: Vec<String>,
}

/// Operations that were submitted and not asked for yet.
type Outcomes = BTreeMap<Ticket, Poll<io::Result<Done>>>;

/// The machine. Clones share it.
#[derive(Clone)]
pub(crate) struct TestArm(Arc<Mutex<(State, Outcomes)>>);

impl TestArm {
    /// An empty disk.
    pub(crate) fn new() -> TestArm {
        let most = u64::MAX;
        let state =
            State { room: most, budget: most, good_syncs: most, largest: most, ..State::default() };
        TestArm(Arc::new(Mutex::new((state, BTreeMap::new()))))
    }

    fn lock(&self) -> MutexGuard<'_, (State, Outcomes)> {
        self.0.lock().unwrap()
    }

    /// A boot on it.
    pub(crate) fn host(&self) -> Host {
        Host::new(Arc::new(self.clone()))
    }

    /// Another machine with the same disk.
    pub(crate) fn copy(&self) -> TestArm {
        TestArm(Arc::new(Mutex::new((self.lock().0.clone(), BTreeMap::new()))))
    }

    /// The machine stands still after so many disk operations from now on.
    pub(crate) fn with_budget(self, budget: u64) -> TestArm {
        self.lock().0.budget = budget;
        self
    }

    /// So many bytes fit from now on, and so many more after each sleep.
    pub(crate) fn with_room(self, room: u64, relief: u64) -> TestArm {
        let mut locked = self.lock();
        (locked.0.room, locked.0.relief) = (room, relief);
        drop(locked);
        self
    }

    /// So many syncs go well from now on; the next one is refused for lack of room, once.
    pub(crate) fn with_good_syncs(self, count: u64) -> TestArm {
        self.lock().0.good_syncs = count;
        self
    }

    /// The peer sends these frames, and then nothing.
    pub(crate) fn receives(&self, frames: &[&Chunks]) {
        self.lock().0.arriving.extend(frames.iter().map(|frame| (*frame).clone()));
    }

    /// No object may be larger than that.
    pub(crate) fn with_largest(self, bytes: u64) -> TestArm {
        self.lock().0.largest = bytes;
        self
    }

    /// Bytes that are claimed, the most that were at a time, and how often memory was collected.
    pub(crate) fn memory_used(&self) -> (u64, u64, u64) {
        let state = &self.lock().0;
        (state.claims.values().sum(), state.claimed_most, state.collections)
    }

    /// Time does not pass any more by itself.
    pub(crate) fn stand_still(&self) {
        self.lock().0.still = true;
    }

    /// What the clock says from now on.
    pub(crate) fn set_now(&self, now: u64) {
        self.lock().0.now = now;
    }

    /// What a process that was killed leaves, or what a power loss leaves.
    pub(crate) fn after(&self, power_loss: bool) -> TestArm {
        let after = self.copy().with_budget(u64::MAX).with_good_syncs(u64::MAX);
        let mut locked = after.lock();
        let state = &mut locked.0;
        state.open.clear();
        (state.said, state.synced) = (Vec::new(), Vec::new());
        if power_loss {
            state.names = state.durable_names.clone();
            state.inodes.iter_mut().for_each(|i| i.bytes = i.durable.clone());
        }
        drop(locked);
        after
    }

    /// All files by name.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let state = &self.lock().0;
        state.names.iter().map(|(n, i)| (n.clone(), state.inodes[*i].bytes.clone())).collect()
    }

    /// Puts a durable file there.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) {
        let state = &mut self.lock().0;
        state.inodes.push(Inode { bytes: bytes.to_vec(), durable: bytes.to_vec() });
        let inode = state.inodes.len() - 1;
        state.names.insert(name.to_string(), inode);
        state.durable_names.insert(name.to_string(), inode);
    }

    /// The words of the facts that were stated.
    pub(crate) fn said(&self) -> Vec<String> {
        self.lock().0.said.clone()
    }

    /// The files that were synced, in order.
    pub(crate) fn synced(&self) -> Vec<String> {
        self.lock().0.synced.clone()
    }
}

/// Polls once: what it comes to, or `None` if it waits.
pub(crate) fn at_once<T>(work: impl Future<Output = T>) -> Option<T> {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(out) => Some(out),
        Poll::Pending => None,
    }
}

impl State {
    fn name_of(&self, inode: usize) -> String {
        self.names.iter().find(|(_, i)| **i == inode).map_or_else(String::new, |(n, _)| n.clone())
    }

    fn inode(&mut self, file: FileId) -> &mut Inode {
        let inode = self.open[&file];
        &mut self.inodes[inode]
    }

    fn open(&mut self, path: String, mode: OpenMode) -> io::Result<Done> {
        let inode = match self.names.get(&path) {
            Some(inode) => *inode,
            None if mode == OpenMode::Existing => return Err(ErrorKind::NotFound.into()),
            None => {
                self.inodes.push(Inode::default());
                self.names.insert(path, self.inodes.len() - 1);
                self.inodes.len() - 1
            }
        };
        if mode == OpenMode::Fresh {
            self.room = self.room.saturating_add(self.inodes[inode].bytes.len() as u64);
            self.inodes[inode].bytes.clear();
        }
        self.next += 1;
        self.open.insert(self.next, inode);
        Ok(Done::File(self.next))
    }

    fn append(&mut self, file: FileId, data: &Chunks) -> io::Result<Done> {
        self.room = self.room.checked_sub(data.len()).ok_or(ErrorKind::StorageFull)?;
        let inode = self.inode(file);
        let at = inode.bytes.len() as u64;
        inode.bytes.extend_from_slice(&data.to_bytes());
        Ok(Done::Number(at))
    }

    fn remove(&mut self, path: &str) -> io::Result<Done> {
        let inode = self.names.remove(path).ok_or(ErrorKind::NotFound)?;
        self.room = self.room.saturating_add(self.inodes[inode].bytes.len() as u64);
        Ok(Done::Unit)
    }

    fn sync_dir(&mut self) -> io::Result<Done> {
        self.durable_names = self.names.clone();
        Ok(Done::Unit)
    }

    fn on_disk(&mut self, op: Op) -> io::Result<Done> {
        match op {
            Op::Open { path, mode } => self.open(path, mode),
            Op::Append { file, data, .. } => self.append(file, &data),
            Op::ReadAt { file, offset, len } => {
                let bytes = &self.inode(file).bytes;
                let end = (offset + len).min(bytes.len() as u64);
                let begin = offset.min(end);
                Ok(Done::Data(bytes[begin as usize..end as usize].to_vec().into()))
            }
            Op::WriteAt { file, extents, .. } => {
                for (at, data) in extents {
                    let (at, data) = (at as usize, data.to_bytes());
                    let bytes = &mut self.inode(file).bytes;
                    bytes.resize(bytes.len().max(at + data.len()), 0);
                    bytes[at..at + data.len()].copy_from_slice(&data);
                }
                Ok(Done::Unit)
            }
            Op::Sync { .. } if self.good_syncs == 0 => {
                self.good_syncs = u64::MAX;
                Err(ErrorKind::StorageFull.into())
            }
            Op::Sync { file, .. } => {
                self.good_syncs -= 1;
                let inode = self.inode(file);
                inode.durable = inode.bytes.clone();
                let name = self.name_of(self.open[&file]);
                self.synced.push(name);
                Ok(Done::Unit)
            }
            Op::SyncDir => self.sync_dir(),
            Op::Rename { from, to } => {
                let inode = self.names.remove(&from).ok_or(ErrorKind::NotFound)?;
                self.names.insert(to, inode);
                Ok(Done::Unit)
            }
            Op::Remove { path } => self.remove(&path),
            Op::List { prefix } => {
                let names: BTreeSet<_> = self.names.keys().cloned().collect();
                Ok(Done::Names(names.into_iter().filter(|n| n.starts_with(&prefix)).collect()))
            }
            Op::Truncate { file, len } => {
                self.inode(file).bytes.resize(len as usize, 0);
                Ok(Done::Unit)
            }
            Op::Len { file } => Ok(Done::Number(self.inode(file).bytes.len() as u64)),
            Op::Space => Ok(Done::Number(self.room)),
            other => panic!("{other:?} is no disk operation"),
        }
    }
}

impl Arm for TestArm {
    fn name(&self) -> &str {
        "n1"
    }

    fn submit(&self, op: Op) -> Ticket {
        let mut locked = self.lock();
        let state = &mut locked.0;
        let outcome = match op {
            Op::Block { .. } => Poll::Pending,
            Op::Collect => {
                state.collections += 1;
                Poll::Ready(Ok(Done::Unit))
            }
            Op::Dial { .. } => Poll::Ready(Ok(Done::Conn(0, "n2".to_string()))),
            Op::Recv { .. } => match state.arriving.pop_front() {
                Some(frame) => Poll::Ready(Ok(Done::Frame(Some(frame)))),
                None => Poll::Pending,
            },
            Op::Hold { .. } => Poll::Ready(Ok(Done::Unit)),
            Op::Sleep { until } if state.still && until.0 > state.now => Poll::Pending,
            Op::Sleep { until } => {
                (state.now, state.room) =
                    (until.0.max(state.now), state.room.saturating_add(state.relief));
                Poll::Ready(Ok(Done::Unit))
            }
            _ if state.budget == 0 => Poll::Pending,
            op => {
                state.budget -= 1;
                Poll::Ready(state.on_disk(op))
            }
        };
        state.next += 1;
        let ticket = state.next;
        locked.1.insert(ticket, outcome);
        ticket
    }

    fn poll(&self, ticket: Ticket, _: &mut Context<'_>) -> Poll<io::Result<Done>> {
        let mut locked = self.lock();
        match locked.1.remove(&ticket) {
            Some(Poll::Ready(outcome)) => Poll::Ready(outcome),
            _ => Poll::Pending,
        }
    }

    fn forget(&self, _: Ticket) {}

    fn now(&self) -> Mono {
        Mono(self.lock().0.now)
    }

    fn wall(&self) -> Wall {
        Wall(0)
    }

    fn thread(&self, _: &'static str) -> ThreadId {
        0
    }

    fn parks(&self) -> bool {
        false
    }

    fn spawn(&self, _: ThreadId, what: &'static str, _: BoxFuture) -> TaskId {
        panic!("{what} is not run here")
    }

    fn cancel(&self, _: TaskId) {}

    fn try_send(&self, _: ConnId, _: Class, _: Chunks) -> Result<(), TrySendError> {
        Err(TrySendError::Closed)
    }

    fn close(&self, _: ConnId, how: Close) {
        if how == Close::Abort {
            self.lock().0.said.push("aborted".to_string());
        }
    }

    fn close_file(&self, file: FileId) {
        self.lock().0.open.remove(&file);
    }

    fn close_listener(&self, _: ListenerId) {}

    fn draw_key(&self, _: &'static str, _: u64) -> [u8; 32] {
        [0; 32]
    }

    fn memory(&self, op: MemoryOp) -> io::Result<u64> {
        let mut locked = self.lock();
        let state = &mut locked.0;
        match op {
            MemoryOp::Claim { bytes, .. } if bytes > state.largest => {
                return Err(ErrorKind::OutOfMemory.into());
            }
            MemoryOp::Claim { bytes, .. } => {
                state.next += 1;
                state.claims.insert(state.next, bytes);
                state.claimed_most = state.claimed_most.max(state.claims.values().sum());
                return Ok(state.next);
            }
            MemoryOp::Resize { claim, bytes } => drop(state.claims.insert(claim, bytes)),
            MemoryOp::Release { claim } => drop(state.claims.remove(&claim)),
            MemoryOp::Allocate { .. } | MemoryOp::Used => {}
        }
        Ok(state.claims.values().sum())
    }

    fn emit(&self, event: &dyn Event) {
        self.lock().0.said.push(event.word().to_string());
    }

    fn planted(&self, _: &'static str) -> bool {
        false
    }
}
