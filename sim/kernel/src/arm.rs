//! The simulated arm of the seam: one per boot of a host. It translates requests into acts on the world,
//! and does nothing once its boot is over or the run has ended.
//! What needs the thread, the clock or the disk of a host is decided in `world`; here is no law.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use host::arm::{
    Arm, BoxFuture, Close, ConnId, Done, FileId, ListenerId, MemoryOp, Op, TaskId, ThreadId, Ticket,
};
use host::{Chunks, Class, Event, Mono, TrySendError, Wall};

use crate::draw::mix;
use crate::task::spawn;
use crate::world::{Locked, Shared, Waits, World};

/// A ticket of an ended boot: it never completes.
const NEVER: Ticket = Ticket::MAX;

/// One boot of a simulated host.
pub struct SimArm {
    shared: Arc<Shared>,
    host: usize,
    boot: u32,
    name: String,
}

impl SimArm {
    pub(crate) fn new(shared: Arc<Shared>, host: usize, boot: u32, name: String) -> SimArm {
        SimArm { shared, host, boot, name }
    }

    /// The world, unless this boot is over.
    fn world(&self) -> Option<Locked<'_, World>> {
        let world = self.shared.world_if_any()?;
        let host = &world.hosts[self.host];
        (host.live && host.boot == self.boot).then_some(world)
    }
}

impl Arm for SimArm {
    fn name(&self) -> &str {
        &self.name
    }

    fn submit(&self, op: Op) -> Ticket {
        let Some(mut world) = self.world() else { return NEVER };
        let (w, host) = (&mut *world, self.host);
        match op {
            Op::Sleep { until } => w.submit_sleep(host, until),
            Op::Open { path, mode } => w.open(host, &path, mode),
            Op::Append { file, data, class } => w.append(host, file, data, class),
            Op::WriteAt { file, extents, class } => w.write_at(host, file, &extents, class),
            Op::ReadAt { file, offset, len } => w.read_at(host, file, offset, len),
            Op::Sync { file, class } => w.sync(host, file, class),
            Op::SyncDir => w.sync_dir(host),
            Op::Rename { from, to } => w.rename(host, &from, &to),
            Op::Remove { path } => w.remove(host, &path),
            Op::List { prefix } => w.list(host, &prefix),
            Op::Truncate { file, len } => w.truncate(host, file, len),
            Op::Len { file } => w.file_len(host, file),
            Op::Space => w.space(host),
            Op::Listen { addr } => w.submit_listen(host, &addr),
            Op::Accept { listener } => w.submit_accept(host, listener),
            Op::Dial { addr, within, style } => w.submit_dial(host, &addr, within, style),
            Op::Send { conn, class, frame } => w.submit_send(host, conn as usize, class, frame),
            Op::Recv { conn } => w.submit_recv(host, conn as usize),
            Op::Hold { thread, work } => w.submit_hold(host, thread, work),
            Op::Block { thread } => w.submit_block(host, thread),
            Op::Stopping => w.submit_stopping(host),
            Op::Join { task } => w.submit_join(host, task),
            Op::Collect => w.submit_collect(host),
        }
    }

    fn poll(&self, ticket: Ticket, cx: &mut Context<'_>) -> Poll<io::Result<Done>> {
        match self.world() {
            Some(mut world) if ticket != NEVER => world.poll_slot(ticket, cx.waker()),
            _ => Poll::Pending,
        }
    }

    fn forget(&self, ticket: Ticket) {
        let Some(mut world) = self.world() else { return };
        if ticket == NEVER {
            return;
        }
        if let Some(Waits::Recv(end)) = world.free_slot(ticket) {
            world.forget_recv(end, ticket);
        }
    }

    fn now(&self) -> Mono {
        let world = self.shared.world_if_any();
        world.map_or(Mono(0), |mut w| w.read_mono(self.host))
    }

    fn wall(&self) -> Wall {
        let world = self.shared.world_if_any();
        world.map_or(Wall(0), |mut w| w.read_wall(self.host))
    }

    fn thread(&self, name: &'static str) -> ThreadId {
        self.world().map_or(0, |mut world| world.thread(self.host, name))
    }

    fn parks(&self) -> bool {
        false
    }

    fn spawn(&self, thread: ThreadId, what: &'static str, task: BoxFuture) -> TaskId {
        let Some(mut world) = self.world() else { return u64::MAX };
        spawn(&self.shared, &mut world, self.host, thread, what, task)
    }

    fn cancel(&self, task: TaskId) {
        let Some(mut world) = self.world() else { return };
        world.cancel_task(task);
        let dead = std::mem::take(&mut world.graveyard);
        drop(world);
        drop(dead);
    }

    fn try_send(&self, conn: ConnId, class: Class, frame: Chunks) -> Result<(), TrySendError> {
        match self.world() {
            Some(mut world) => world.try_send(conn as usize, class, frame),
            None => Err(TrySendError::Closed),
        }
    }

    fn close(&self, conn: ConnId, how: Close) {
        if let Some(mut world) = self.world() {
            world.close(conn as usize, how);
        }
    }

    fn close_file(&self, file: FileId) {
        if let Some(mut world) = self.world() {
            world.close_file(self.host, file);
        }
    }

    fn close_listener(&self, listener: ListenerId) {
        if let Some(mut world) = self.world() {
            world.close_listener(self.host, listener);
        }
    }

    fn draw_key(&self, stream: &'static str, key: u64) -> [u8; 32] {
        match self.world() {
            Some(world) => {
                let owner = world.identity(self.host) << 32 | u64::from(self.boot);
                world.draws.key(stream, owner, mix(key, 0))
            }
            None => [0; 32],
        }
    }

    fn memory(&self, op: MemoryOp) -> io::Result<u64> {
        match self.world() {
            Some(mut world) => world.memory(self.host, op),
            None => Err(io::Error::other("this boot of the host has ended")),
        }
    }

    fn share(&self, bytes: Bytes) -> Bytes {
        match self.world() {
            Some(mut world) => world.contents.share(bytes),
            None => bytes,
        }
    }

    fn emit(&self, event: &dyn Event) {
        if self.world().is_some() {
            self.shared.emit(self.host, event);
        }
    }

    fn planted(&self, plant: &'static str) -> bool {
        self.world().is_some_and(|world| world.plants.iter().any(|p| p == plant))
    }
}
