//! The contract between the typed handles and the machine behind them.
//!
//! An arm is a completion queue: `submit` starts an operation and returns a ticket, `poll` asks for the
//! outcome, `forget` is called when nobody waits any more. This shape costs no allocation per request
//! in simulation, and it makes "after a crash nothing of the old boot acts" one comparison in one place.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;

use crate::{Addr, Chunks, Event, Mono, Wall, Work};

/// Names one submitted operation.
pub type Ticket = u64;
/// Names an open file.
pub type FileId = u64;
/// Names a connection end.
pub type ConnId = u64;
/// Names a listener.
pub type ListenerId = u64;
/// Names a thread of the host.
pub type ThreadId = u32;
/// Names a spawned task.
pub type TaskId = u64;
/// Names a claim on memory.
pub type ClaimId = u64;
/// A task as the arm takes it.
pub type BoxFuture = Pin<Box<dyn Future<Output = ()> + Send + 'static>>;

/// What an operation is for; devices share their time fairly between classes, and faults select by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Class(pub &'static str);

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// The file must exist.
    Existing,
    /// An existing file is opened, a missing one is created empty.
    CreateIfMissing,
    /// An existing file is emptied, a missing one is created.
    Fresh,
}

/// What a connection promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Frames arrive once and in order, or the connection breaks.
    Stream,
    /// Frames may be lost or overtake each other; they are never damaged or invented. `send` never waits:
    /// what does not fit is dropped.
    Datagram,
}

/// Why `try_send` did not take a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrySendError {
    /// The window is full; the frame was not taken.
    Full,
    /// The connection is closed.
    Closed,
}

/// A request to the machine. The fields are those of the handle's method of the same name.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum Op {
    /// Completes at `until`, never before; `Done::Unit`.
    Sleep { until: Mono },
    /// `Done::File`.
    Open { path: String, mode: OpenMode },
    /// Appends to the page cache; `Done::Number` is the offset at which `data` begins.
    Append { file: FileId, data: Chunks, class: Class },
    /// Writes several extents as one operation; `Done::Unit`.
    WriteAt { file: FileId, extents: Vec<(u64, Chunks)>, class: Class },
    /// `Done::Data`; short at the end of the file.
    ReadAt { file: FileId, offset: u64, len: u64 },
    /// What was written before is durable when this completes; `Done::Unit`.
    Sync { file: FileId, class: Class },
    /// What was created, renamed or removed before is durable when this completes; `Done::Unit`.
    SyncDir,
    /// Replaces `to` if it exists; `Done::Unit`.
    Rename { from: String, to: String },
    /// `Done::Unit`.
    Remove { path: String },
    /// `Done::Names`, sorted, of the files whose name starts with `prefix`.
    List { prefix: String },
    /// Cuts or extends with zeroes; `Done::Unit`.
    Truncate { file: FileId, len: u64 },
    /// `Done::Number` of bytes.
    Len { file: FileId },
    /// `Done::Number` of free bytes.
    Space,
    /// `Done::Number` is the listener.
    Listen { addr: Addr },
    /// `Done::Conn`.
    Accept { listener: ListenerId },
    /// `Done::Conn`; an error of kind `TimedOut` after `within`, `ConnectionRefused` if nobody listens.
    Dial { addr: Addr, within: Duration, style: Style },
    /// Completes when the window has room for the frame; `Done::Unit`.
    Send { conn: ConnId, class: Class, frame: Chunks },
    /// `Done::Frame`; `None` after an orderly close by the peer.
    Recv { conn: ConnId },
    /// Occupies thread and core for the price of `work`; `Done::Unit`.
    Hold { thread: ThreadId, work: Work },
    /// Holds the thread for the task that polls, until the ticket is forgotten. Completes only if the boot
    /// ends while its caller parks.
    Block { thread: ThreadId },
    /// Completes when a graceful stop is asked for; `Done::Unit`.
    Stopping,
    /// Completes when the task has ended; `Done::Unit`.
    Join { task: TaskId },
    /// Collects what nobody claims; `Done::Unit`.
    Collect,
}

/// What an operation came to.
#[derive(Debug)]
pub enum Done {
    /// Nothing but success.
    Unit,
    /// A number: an offset, a length, a listener.
    Number(u64),
    /// An open file.
    File(FileId),
    /// Bytes read.
    Data(Chunks),
    /// A frame, or the orderly end.
    Frame(Option<Chunks>),
    /// File names.
    Names(Vec<String>),
    /// A connection and the name of its other end.
    Conn(ConnId, String),
}

/// A request about memory, answered at once. The fields are those of the handle's method of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum MemoryOp {
    /// The answer is the claim.
    Claim { what: &'static str, bytes: u64 },
    /// The answer means nothing.
    Resize { claim: ClaimId, bytes: u64 },
    /// The answer means nothing.
    Release { claim: ClaimId },
    /// The answer means nothing.
    Allocate { what: &'static str, bytes: u64 },
    /// The answer is how many bytes the process holds.
    Used,
}

/// How a connection end is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// No more frames from this end; those sent before still arrive.
    Half,
    /// At once and in both directions; the peer sees a reset.
    Abort,
    /// This end no longer reads.
    Reader,
}

/// A machine. Implemented twice: `real`, and the simulated one in `kernel`.
pub trait Arm: Send + Sync + 'static {
    /// The host's name.
    fn name(&self) -> &str;
    /// Starts an operation.
    fn submit(&self, op: Op) -> Ticket;
    /// Asks for the outcome; the ticket is spent once it is ready.
    fn poll(&self, ticket: Ticket, cx: &mut Context<'_>) -> Poll<io::Result<Done>>;
    /// Nobody waits for this ticket any more.
    fn forget(&self, ticket: Ticket);
    /// The monotonic clock.
    fn now(&self) -> Mono;
    /// The wall clock.
    fn wall(&self) -> Wall;
    /// The thread of that name.
    fn thread(&self, name: &'static str) -> ThreadId;
    /// Whether a task that blocks its thread has to park it: true where it is one of the operating system,
    /// false where `Op::Block` alone keeps the thread's other tasks from being polled.
    fn parks(&self) -> bool;
    /// Starts a task on a thread.
    fn spawn(&self, thread: ThreadId, what: &'static str, task: BoxFuture) -> TaskId;
    /// Ends a task; its future is dropped soon.
    fn cancel(&self, task: TaskId);
    /// Sends without waiting.
    fn try_send(&self, conn: ConnId, class: Class, frame: Chunks) -> Result<(), TrySendError>;
    /// Gives up a connection end.
    fn close(&self, conn: ConnId, how: Close);
    /// Closes a file.
    fn close_file(&self, file: FileId);
    /// Stops listening.
    fn close_listener(&self, listener: ListenerId);
    /// The key of a random stream.
    fn draw_key(&self, stream: &'static str, key: u64) -> [u8; 32];
    /// Claims memory, gives it up, or asks how much is held; nothing happens once the boot is over. What
    /// does not fit is an error of kind `OutOfMemory`.
    fn memory(&self, op: MemoryOp) -> io::Result<u64>;
    /// The same bytes, kept but once where the machine has them already.
    fn share(&self, bytes: Bytes) -> Bytes {
        bytes
    }
    /// Records a fact.
    fn emit(&self, event: &dyn Event);
    /// Whether a defect is planted.
    fn planted(&self, plant: &'static str) -> bool;
}

/// An operation in flight. Dropping it forgets the ticket.
pub struct OpFuture {
    arm: Arc<dyn Arm>,
    op: Option<Op>,
    ticket: Option<Ticket>,
}

impl OpFuture {
    /// Submits at the first poll, so that a future that is never polled does nothing.
    pub fn new(arm: Arc<dyn Arm>, op: Op) -> OpFuture {
        OpFuture { arm, op: Some(op), ticket: None }
    }

    /// Submits now, for operations whose order of submission matters.
    pub fn started(arm: Arc<dyn Arm>, op: Op) -> OpFuture {
        let ticket = arm.submit(op);
        OpFuture { arm, op: None, ticket: Some(ticket) }
    }
}

impl Future for OpFuture {
    type Output = io::Result<Done>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(op) = self.op.take() {
            self.ticket = Some(self.arm.submit(op));
        }
        let ticket = self.ticket.expect("polled after completion");
        let outcome = self.arm.poll(ticket, cx);
        if outcome.is_ready() {
            self.ticket = None;
        }
        outcome
    }
}

impl Drop for OpFuture {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.arm.forget(ticket);
        }
    }
}
