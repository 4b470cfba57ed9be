//! Connections of a real machine: TCP. A frame is its length (u32, little-endian) and its bytes.
//!
//! Sending: frames go into a queue that one writer task per connection empties with vectored
//! writes; the queue is the window (bytes in it count until the kernel took them). `send` waits for
//! room, first come first served. Receiving: whoever calls `recv` reads the socket; what was read
//! of a frame stays with the connection if the call is dropped. Memory for a frame grows as its
//! bytes arrive ([`inbox`]).
//!
//! `Style::Datagram` is a TCP stream too, whose dialling end drops what does not fit the window
//! instead of waiting: frames may be lost, never damaged. The accepting end cannot know the style
//! and waits.
//!
//! A listener keeps so many connections and no more ([`room`]); those that a node dials itself are
//! counted apart, so that strangers at its ports cannot keep it from its peers.
//!
//! Closing: half-close is a FIN after the queue; abort is a reset. A connection given up at both
//! ends with unread input is read on for a while: closing it at once would reset it and destroy the
//! last answers.
//!
//! Left out: TCP keep-alive (nodes have heartbeats), TLS, and addresses other than TCP ones.

mod inbox;
mod room;

use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio_real::io::AsyncWriteExt;
use tokio_real::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_real::net::{TcpListener, TcpStream};
use tokio_real::runtime::Handle;
use tokio_real::sync::{Mutex as AsyncMutex, Notify, oneshot, watch};
use tokio_real::time::{sleep, timeout};

use super::{Limits, Step, boot_over, locked};
use crate::arm::{Close, ConnId, Done, ListenerId, Op, Style, TrySendError};
use crate::{Addr, Chunks};
use inbox::Inbox;
use room::{Occupant, Room, Seat};

/// How long unread input of a finished connection is read on.
const LINGER: Duration = Duration::from_secs(5);
/// How much of such input is read at once.
const WASTE: usize = 16 << 10;
/// How many slices go into one write.
const WRITE_SLICES: usize = 128;

#[derive(Default)]
struct Table {
    next: u64,
    conns: HashMap<ConnId, Arc<Conn>>,
    listeners: HashMap<ListenerId, Arc<Listening>>,
}

struct Listening {
    addr: Addr,
    socket: TcpListener,
    room: Room<Conn>,
}

pub(super) struct Sockets {
    limits: Limits,
    io: Handle,
    table: Mutex<Table>,
    /// For the connections that this machine dials.
    dialled: Room<Conn>,
}

impl Sockets {
    pub(super) fn new(limits: Limits, io: Handle) -> Arc<Sockets> {
        let dialled = Room::new(limits.connections, 0);
        Arc::new(Sockets { limits, io, table: Mutex::default(), dialled })
    }

    pub(super) fn start(self: &Arc<Sockets>, op: Op) -> Step {
        let sockets = self.clone();
        match op {
            Op::Listen { addr } => Step::Running(Box::pin(sockets.listen(addr))),
            Op::Dial { addr, within, style } => {
                Step::Running(Box::pin(sockets.dial(addr, within, style)))
            }
            Op::Accept { listener } => match locked(&self.table).listeners.get(&listener) {
                Some(listener) => Step::Running(Box::pin(sockets.accept(listener.clone()))),
                None => Step::Ready(Err(io::ErrorKind::NotConnected.into())),
            },
            Op::Send { conn, frame, .. } => match self.conn(conn) {
                Some(conn) => conn.send(frame),
                None => Step::Ready(Err(io::ErrorKind::NotConnected.into())),
            },
            Op::Recv { conn } => match self.conn(conn) {
                Some(conn) => Step::Running(Box::pin(conn.recv())),
                None => Step::Ready(Err(io::ErrorKind::NotConnected.into())),
            },
            other => Step::Ready(Err(io::Error::other(format!("not for the net: {other:?}")))),
        }
    }

    pub(super) fn try_send(&self, conn: ConnId, frame: Chunks) -> Result<(), TrySendError> {
        self.conn(conn).ok_or(TrySendError::Closed)?.try_send(frame)
    }

    pub(super) fn close(&self, id: ConnId, how: Close) {
        let Some(conn) = self.conn(id) else { return };
        if conn.close(how) {
            locked(&self.table).conns.remove(&id);
        }
    }

    pub(super) fn close_listener(&self, id: ListenerId) {
        let closed = locked(&self.table).listeners.remove(&id);
        drop(closed);
    }

    pub(super) fn listens_at(&self, addr: &Addr) -> bool {
        locked(&self.table).listeners.values().any(|listening| listening.addr == *addr)
    }

    /// Whether any connection still has frames that the kernel did not take.
    pub(super) fn queued(&self) -> bool {
        locked(&self.table).conns.values().any(|conn| locked(&conn.out).queued > 0)
    }

    pub(super) fn end(&self) {
        let table = std::mem::take(&mut *locked(&self.table));
        drop(table);
    }

    fn conn(&self, id: ConnId) -> Option<Arc<Conn>> {
        locked(&self.table).conns.get(&id).cloned()
    }

    async fn listen(self: Arc<Sockets>, addr: Addr) -> io::Result<Done> {
        let socket = TcpListener::bind(&*addr.0)
            .await
            .map_err(|why| io::Error::new(why.kind(), format!("cannot listen at {addr}: {why}")))?;
        // Among strangers' unfinished frames one of the greatest length finds room.
        let room = Room::new(self.limits.connections, 4 + self.limits.max_frame);
        let mut table = locked(&self.table);
        table.next += 1;
        let id = table.next;
        table.listeners.insert(id, Arc::new(Listening { addr, socket, room }));
        Ok(Done::Number(id))
    }

    async fn accept(self: Arc<Sockets>, listening: Arc<Listening>) -> io::Result<Done> {
        loop {
            match listening.socket.accept().await {
                Ok((stream, peer)) => {
                    if let Some(seat) = listening.room.stranger() {
                        let (done, conn) = self.adopt(stream, Style::Stream, seat)?;
                        listening.room.took(&conn);
                        return Ok(done);
                    }
                    if let Some(refused) = listening.room.refuse() {
                        tracing::warn!(
                            target: "wavetank",
                            %peer, refused, "too many connections; a newcomer is refused"
                        );
                    }
                }
                Err(why) if why.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(why) => {
                    // Out of descriptors, for instance: a caller that retries at once must not
                    // spin.
                    sleep(Duration::from_millis(50)).await;
                    return Err(why);
                }
            }
        }
    }

    async fn dial(
        self: Arc<Sockets>,
        addr: Addr,
        within: Duration,
        style: Style,
    ) -> io::Result<Done> {
        let Some(seat) = self.dialled.invited() else {
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, "too many connections"));
        };
        let stream = timeout(within, TcpStream::connect(&*addr.0)).await.map_err(|_| {
            let text = format!("{addr} did not answer within {}", crate::unit::show(within));
            io::Error::new(io::ErrorKind::TimedOut, text)
        })?;
        let unreachable =
            |why: io::Error| io::Error::new(why.kind(), format!("cannot reach {addr}: {why}"));
        self.adopt(stream.map_err(unreachable)?, style, seat).map(|(done, _)| done)
    }

    fn adopt(&self, stream: TcpStream, style: Style, seat: Seat) -> io::Result<(Done, Arc<Conn>)> {
        stream.set_nodelay(true)?;
        let peer = stream.peer_addr()?.to_string();
        let (read, write) = stream.into_split();
        let conn = Arc::new(Conn {
            style,
            limits: self.limits,
            read: Mutex::new(Some(Arc::new(read))),
            inbox: AsyncMutex::default(),
            out: Mutex::default(),
            wake: Notify::new(),
            aborted: watch::channel(false).0,
            seat,
        });
        self.io.spawn(conn.clone().write_out(write));
        let mut table = locked(&self.table);
        table.next += 1;
        let id = table.next;
        table.conns.insert(id, conn.clone());
        Ok((Done::Conn(id, peer), conn))
    }
}

struct Waiting {
    frame: Chunks,
    taken: oneshot::Sender<io::Result<Done>>,
}

#[derive(Default)]
struct Outbox {
    queue: VecDeque<Chunks>,
    /// Bytes in the queue or on their way to the kernel.
    queued: u64,
    waiting: VecDeque<Waiting>,
    half_closed: bool,
    reader_gone: bool,
    failed: Option<io::ErrorKind>,
}

impl Outbox {
    fn has_room(&self, frame: &Chunks, window: u64) -> bool {
        self.queued == 0 || self.queued + frame.len() <= window
    }

    fn take(&mut self, frame: Chunks) {
        self.queued += frame.len().max(1);
        self.queue.push_back(frame);
    }

    /// Moves waiting frames into the window. Those whose sender no longer waits are not sent.
    fn admit(&mut self, window: u64) {
        while let Some(first) = self.waiting.front() {
            if !first.taken.is_closed() && !self.has_room(&first.frame, window) {
                return;
            }
            let Some(first) = self.waiting.pop_front() else { return };
            if first.taken.is_closed() {
                continue;
            }
            if first.taken.send(Ok(Done::Unit)).is_ok() {
                self.take(first.frame);
            }
        }
    }

    fn fail(&mut self, kind: io::ErrorKind) {
        self.failed.get_or_insert(kind);
        self.queue.clear();
        self.queued = 0;
        for waiting in self.waiting.drain(..) {
            let _ = waiting.taken.send(Err(kind.into()));
        }
    }
}

/// What the writer task does next.
enum Next {
    Write(VecDeque<Bytes>, u64),
    Wait,
    Finish,
}

struct Conn {
    style: Style,
    limits: Limits,
    read: Mutex<Option<Arc<OwnedReadHalf>>>,
    inbox: AsyncMutex<Inbox>,
    out: Mutex<Outbox>,
    /// Wakes the writer task.
    wake: Notify,
    aborted: watch::Sender<bool>,
    seat: Seat,
}

impl Occupant for Conn {
    fn seat(&self) -> &Seat {
        &self.seat
    }

    fn evict(&self) {
        self.abort(io::ErrorKind::ConnectionAborted);
    }
}

impl Conn {
    fn send(&self, frame: Chunks) -> Step {
        if frame.len() > self.limits.max_frame {
            let text =
                format!("a frame of {} bytes; at most {}", frame.len(), self.limits.max_frame);
            return Step::Ready(Err(io::Error::new(io::ErrorKind::InvalidInput, text)));
        }
        let mut out = locked(&self.out);
        if let Some(kind) = out.failed {
            return Step::Ready(Err(kind.into()));
        }
        if out.half_closed {
            return Step::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if out.waiting.is_empty() && out.has_room(&frame, self.limits.window) {
            out.take(frame);
            self.wake.notify_one();
            return Step::Ready(Ok(Done::Unit));
        }
        if self.style == Style::Datagram {
            return Step::Ready(Ok(Done::Unit));
        }
        let (taken, answer) = oneshot::channel();
        out.waiting.push_back(Waiting { frame, taken });
        Step::Running(Box::pin(async move { answer.await.unwrap_or_else(|_| Err(boot_over())) }))
    }

    fn try_send(&self, frame: Chunks) -> Result<(), TrySendError> {
        if frame.len() > self.limits.max_frame {
            // It would never fit, and the peer would break the connection over it.
            self.abort(io::ErrorKind::InvalidInput);
            return Err(TrySendError::Closed);
        }
        let mut out = locked(&self.out);
        if out.failed.is_some() || out.half_closed {
            return Err(TrySendError::Closed);
        }
        if !out.waiting.is_empty() || !out.has_room(&frame, self.limits.window) {
            return Err(TrySendError::Full);
        }
        out.take(frame);
        self.wake.notify_one();
        Ok(())
    }

    /// True when neither end is of use any more.
    fn close(&self, how: Close) -> bool {
        match how {
            Close::Abort => self.abort(io::ErrorKind::ConnectionAborted),
            Close::Half => locked(&self.out).half_closed = true,
            Close::Reader => locked(&self.out).reader_gone = true,
        }
        self.wake.notify_one();
        let out = locked(&self.out);
        out.half_closed && out.reader_gone
    }

    /// Closing a socket with a linger time of zero sends a reset. It closes once the last reader
    /// and the writer, both woken here, let go of it.
    fn abort(&self, kind: io::ErrorKind) {
        if let Some(read) = locked(&self.read).take() {
            let _ = AsRef::<TcpStream>::as_ref(&*read).set_zero_linger();
        }
        let mut out = locked(&self.out);
        out.half_closed = true;
        out.fail(kind);
        drop(out);
        self.aborted.send_replace(true);
        self.seat.leave();
    }

    async fn recv(self: Arc<Conn>) -> io::Result<Done> {
        let mut inbox = self.inbox.lock().await;
        loop {
            match inbox.frame(self.limits.max_frame) {
                Ok(Some(frame)) => {
                    self.seat.has_spoken();
                    return Ok(Done::Frame(Some(frame)));
                }
                Ok(None) if inbox.ended => return Ok(Done::Frame(None)),
                Ok(None) => {}
                Err(why) => {
                    self.abort(why.kind());
                    return Err(why);
                }
            }
            let read = locked(&self.read).clone();
            let Some(read) = read else { return Err(self.failure()) };
            tokio_real::select! {
                biased;
                () = self.raised() => return Err(self.failure()),
                ready = read.readable() => drop(ready?),
            }
            inbox.make_room();
            match read.try_read_buf(&mut inbox.bytes) {
                Ok(0) => self.at_end(&mut inbox)?,
                Ok(read) if self.seat.hold(read) => {}
                Ok(_) => {
                    self.abort(io::ErrorKind::QuotaExceeded);
                    let text = "strangers together hold too many bytes of unfinished frames";
                    return Err(io::Error::new(io::ErrorKind::QuotaExceeded, text));
                }
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => {}
                Err(why) => return Err(why),
            }
        }
    }

    fn at_end(&self, inbox: &mut Inbox) -> io::Result<()> {
        // A reset is reported by the kernel once; if the writer heard of it, it is no orderly end.
        if locked(&self.out).failed == Some(io::ErrorKind::ConnectionReset) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if !inbox.bytes.is_empty() {
            let text = "the connection ended within a frame";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        inbox.ended = true;
        Ok(())
    }

    fn failure(&self) -> io::Error {
        locked(&self.out).failed.unwrap_or(io::ErrorKind::ConnectionAborted).into()
    }

    async fn raised(&self) {
        let mut aborted = self.aborted.subscribe();
        let _ = aborted.wait_for(|aborted| *aborted).await;
    }

    /// The writer task: lives until the connection is finished or broken.
    async fn write_out(self: Arc<Conn>, mut write: OwnedWriteHalf) {
        let outcome = tokio_real::select! {
            biased;
            () = self.raised() => Ok(()),
            outcome = self.pump(&mut write) => outcome,
        };
        if let Err(why) = outcome {
            locked(&self.out).fail(why.kind());
        }
        // Dropping the half would send a FIN; by now one was sent, or a reset is to come.
        write.forget();
    }

    async fn pump(&self, write: &mut OwnedWriteHalf) -> io::Result<()> {
        loop {
            match self.next() {
                Next::Write(parts, frames_bytes) => {
                    write_all(write, parts).await?;
                    let mut out = locked(&self.out);
                    out.queued = out.queued.saturating_sub(frames_bytes);
                    out.admit(self.limits.window);
                }
                Next::Wait => self.wake.notified().await,
                Next::Finish => break,
            }
        }
        write.shutdown().await?;
        while !locked(&self.out).reader_gone {
            self.wake.notified().await;
        }
        let _ = timeout(LINGER, self.discard()).await;
        Ok(())
    }

    /// Takes frames for one write, with their lengths in front.
    fn next(&self) -> Next {
        let mut out = locked(&self.out);
        let (mut parts, mut taken) = (VecDeque::new(), 0);
        while parts.len() < WRITE_SLICES {
            let Some(frame) = out.queue.pop_front() else { break };
            parts.push_back(Bytes::copy_from_slice(&(frame.len() as u32).to_le_bytes()));
            parts.extend(frame.parts().cloned());
            taken += frame.len().max(1);
        }
        if !parts.is_empty() {
            return Next::Write(parts, taken);
        }
        // An aborted connection must not end in order: a FIN would hide the reset to come.
        let finished = out.half_closed && out.waiting.is_empty() && out.failed.is_none();
        if finished { Next::Finish } else { Next::Wait }
    }

    /// Reads to the end and keeps nothing.
    async fn discard(&self) -> io::Result<()> {
        let read = locked(&self.read).clone();
        let Some(read) = read else { return Ok(()) };
        let mut waste = vec![0; WASTE];
        loop {
            read.readable().await?;
            match read.try_read(&mut waste) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => {}
                Err(why) => return Err(why),
            }
        }
    }
}

async fn write_all(write: &OwnedWriteHalf, mut parts: VecDeque<Bytes>) -> io::Result<()> {
    while !parts.is_empty() {
        write.writable().await?;
        let slices: Vec<IoSlice<'_>> =
            parts.iter().take(WRITE_SLICES).map(|part| IoSlice::new(part)).collect();
        let mut written = match write.try_write_vectored(&slices) {
            Ok(written) => written,
            Err(why) if why.kind() == io::ErrorKind::WouldBlock => continue,
            Err(why) => return Err(why),
        };
        while let Some(part) = parts.front_mut() {
            if written < part.len() {
                part.advance(written);
                break;
            }
            written -= part.len();
            parts.pop_front();
        }
    }
    Ok(())
}
