//! The real arm: a host on tokio and the operating system. It compiles in both worlds, because the
//! suite in [`crate::conformance`] tests the simulated arm against it.
//!
//! Every named thread is one OS thread with a single-threaded runtime, so "while one task holds the
//! thread no other task of it is polled" needs no machinery here and `Op::Hold` completes at once:
//! the job itself takes the time. A task that blocks parks its OS thread. Sockets, timers and file
//! operations live on one small shared runtime. An operation is a boxed future under its ticket;
//! polling the ticket polls the future.
//!
//! Sleeps have the resolution of tokio's timer (1 ms, never early). `planted` is false, work has no
//! price, random streams begin at the operating system's entropy. A panic ends its task, is
//! recorded, and asks the machine to stop; the process decides what to do about it.
//!
//! A machine is one boot. After `shutdown` (or a drop) every operation of it starts nothing: its own
//! tasks wait until they are dropped, all others get an error.

mod disk;
mod memory;
mod net;
mod threads;

use std::collections::HashMap;
use std::future::Future;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Read};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Resource, getrlimit};
use tokio_real::runtime::{Builder as RuntimeBuilder, Handle, Runtime};
use tokio_real::sync::watch;
use tracing::{Level, debug, enabled, info, trace, warn};

use crate::arm::{
    Arm, BoxFuture, Class, Close, ConnId, Done, FileId, ListenerId, MemoryOp, Op, TaskId, ThreadId,
    Ticket, TrySendError,
};
use crate::{Addr, Chunks, Event, Host, Mono, Wall, Weight};

use disk::Files;
use memory::Claims;
use net::Sockets;
use threads::Threads;

/// How long `shutdown` waits for a job on a thread, and then for file operations in progress.
const LAST_JOBS: Duration = Duration::from_secs(10);

/// An operation in progress.
type Running = Pin<Box<dyn Future<Output = io::Result<Done>> + Send>>;

/// What an operation came to at its submission.
enum Step {
    Ready(io::Result<Done>),
    Running(Running),
    /// A task blocks its thread: nothing to do but to wake it when the boot ends.
    Blocked,
}

/// Bounds of one machine's network.
#[derive(Clone, Copy, Debug)]
struct Limits {
    max_frame: u64,
    window: u64,
    connections: usize,
}

/// Describes a machine before it starts.
#[derive(Clone, Debug)]
pub struct Builder {
    name: String,
    data_dir: Option<PathBuf>,
    limits: Limits,
}

impl Builder {
    /// The longest frame that is sent or received; default 64 MiB. A longer one is refused by its
    /// length alone, and the connection that announced it is broken.
    ///
    /// # Panics
    /// If the length does not fit the 32 bits in front of a frame.
    pub fn max_frame(mut self, bytes: u64) -> Builder {
        assert!(u32::try_from(bytes).is_ok(), "a frame's length has 32 bits");
        self.limits.max_frame = bytes;
        self
    }

    /// How many bytes a connection queues before `send` waits; default 4 MiB. One frame always
    /// fits.
    pub fn window(mut self, bytes: u64) -> Builder {
        self.limits.window = bytes;
        self
    }

    /// How many connections each listener keeps at a time, and how many the machine dials; default
    /// 1024, and at most a quarter of the descriptors that the process may have. When a listener
    /// has so many, the oldest that has sent no whole frame yet gives way to a newcomer; if there
    /// is none, the newcomer is closed.
    pub fn max_connections(mut self, count: usize) -> Builder {
        self.limits.connections = count;
        self
    }

    /// Boots the machine; its folder is created if missing and belongs to it alone until it ends.
    ///
    /// # Errors
    /// Those of the operating system, with the folder's path; `ResourceBusy` if another machine has
    /// the folder.
    pub fn start(mut self) -> io::Result<Machine> {
        if let Some(descriptors) = getrlimit(Resource::Nofile).current {
            let share = usize::try_from(descriptors / 4).unwrap_or(usize::MAX);
            self.limits.connections = self.limits.connections.min(share.max(1));
        }
        let runtime = RuntimeBuilder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(64)
            .thread_name(format!("{}/io", self.name))
            .enable_all()
            .build()?;
        let io = runtime.handle().clone();
        let (stop, _) = watch::channel(false);
        let arm = Arc::new(RealArm {
            origin: Instant::now(),
            over: RwLock::new(false),
            tickets: Mutex::default(),
            claims: Mutex::default(),
            threads: Threads::new(self.name.clone(), stop.clone()),
            files: self.data_dir.map(|root| Files::open(root, io.clone())).transpose()?,
            sockets: Sockets::new(self.limits, io.clone()),
            name: self.name,
            stop,
            io,
        });
        Ok(Machine { arm, runtime: Some(runtime) })
    }
}

/// One boot of a real machine.
pub struct Machine {
    arm: Arc<RealArm>,
    runtime: Option<Runtime>,
}

impl Machine {
    /// Describes a machine whose files live under `data_dir`.
    pub fn builder(name: &str, data_dir: PathBuf) -> Builder {
        Builder { data_dir: Some(data_dir), ..Machine::diskless(name) }
    }

    /// Describes a machine without a disk, for clients: every operation on files fails.
    pub fn diskless(name: &str) -> Builder {
        let limits = Limits { max_frame: 64 << 20, window: 4 << 20, connections: 1024 };
        Builder { name: name.to_string(), data_dir: None, limits }
    }

    /// The machine as a node sees it.
    pub fn host(&self) -> Host {
        Host::new(self.arm())
    }

    /// The arm itself, for those who wrap it.
    pub fn arm(&self) -> Arc<dyn Arm> {
        self.arm.clone()
    }

    /// Asks for a graceful stop: `Host::stopping` completes.
    pub fn stop(&self) {
        self.arm.stop.send_replace(true);
    }

    /// How often the operating system has said that bytes or names are durable: once per `sync`
    /// that succeeded, once per folder that a `sync_dir` has synced.
    pub fn syncs(&self) -> u64 {
        self.arm.files.as_ref().map_or(0, Files::syncs)
    }

    /// Whether something listens at this address here.
    pub fn listens_at(&self, addr: &Addr) -> bool {
        self.arm.sockets.listens_at(addr)
    }

    /// The panics of tasks so far, as `task: message`.
    pub fn panics(&self) -> Vec<String> {
        self.arm.threads.panics()
    }

    /// Waits until all frames taken by `send` went to the operating system, at most `within`. For
    /// the end of a process, so that last answers are not lost; do not call it from a task.
    pub fn settle(&self, within: Duration) {
        let deadline = Instant::now() + within;
        while self.arm.sockets.queued() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Ends this boot: tasks are dropped, connections broken, file operations in progress awaited
    /// (a bounded time). What was not yet sent or begun is lost. Do not call it from a task.
    pub fn shutdown(mut self) {
        self.end(Some(LAST_JOBS));
    }

    fn end(&mut self, patience: Option<Duration>) {
        let Some(runtime) = self.runtime.take() else { return };
        // The write lock also waits for polls in progress: a timer must not be polled on a dead
        // runtime.
        *self.arm.over.write().unwrap_or_else(PoisonError::into_inner) = true;
        self.arm.files.iter().for_each(Files::end);
        let slots = std::mem::take(&mut locked(&self.arm.tickets).slots);
        let (blocked, others): (HashMap<Ticket, Slot>, HashMap<Ticket, Slot>) =
            slots.into_iter().partition(|(_, slot)| matches!(slot.step, Step::Blocked));
        // A parked thread could not drop its tasks; it asks once more and is told.
        let parked: Vec<Waker> = blocked.values().filter_map(|slot| slot.waker.clone()).collect();
        locked(&self.arm.tickets).slots.extend(blocked);
        parked.into_iter().for_each(Waker::wake);
        let wakers: Vec<Waker> = others.into_values().filter_map(|slot| slot.waker).collect();
        self.arm.threads.end(patience);
        self.arm.sockets.end();
        match patience {
            Some(patience) => runtime.shutdown_timeout(patience),
            None => runtime.shutdown_background(),
        }
        self.arm.files.iter().for_each(Files::unlock);
        // Others may wait for operations of this boot; they learn that it is over.
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.end(None);
    }
}

#[derive(Default)]
struct Tickets {
    next: Ticket,
    slots: HashMap<Ticket, Slot>,
}

struct Slot {
    step: Step,
    waker: Option<Waker>,
}

struct RealArm {
    name: String,
    origin: Instant,
    over: RwLock<bool>,
    tickets: Mutex<Tickets>,
    claims: Mutex<Claims>,
    threads: Threads,
    files: Option<Files>,
    sockets: Arc<Sockets>,
    stop: watch::Sender<bool>,
    io: Handle,
}

impl RealArm {
    fn over(&self) -> RwLockReadGuard<'_, bool> {
        self.over.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self, op: Op) -> Step {
        match op {
            Op::Sleep { until } => Step::Running(Box::pin(sleep(self.origin, until))),
            Op::Stopping => {
                let mut stop = self.stop.subscribe();
                Step::Running(Box::pin(async move {
                    stop.wait_for(|asked| *asked).await.map_err(|_| boot_over())?;
                    Ok(Done::Unit)
                }))
            }
            // In reality the job that follows takes the time, and there is no collector.
            Op::Hold { .. } | Op::Collect => Step::Ready(Ok(Done::Unit)),
            Op::Block { .. } => Step::Blocked,
            Op::Join { task } => self.threads.join(task),
            Op::Listen { .. } | Op::Accept { .. } | Op::Dial { .. } => self.sockets.start(op),
            Op::Send { .. } | Op::Recv { .. } => self.sockets.start(op),
            file_op => match &self.files {
                Some(files) => files.start(file_op),
                None => {
                    let text = "this machine has no disk";
                    Step::Ready(Err(io::Error::new(io::ErrorKind::Unsupported, text)))
                }
            },
        }
    }
}

impl Arm for RealArm {
    fn name(&self) -> &str {
        &self.name
    }

    fn submit(&self, op: Op) -> Ticket {
        let over = self.over();
        let step = if *over && !matches!(op, Op::Block { .. }) {
            Step::Ready(Err(boot_over()))
        } else {
            let _io = self.io.enter();
            self.start(op)
        };
        let mut tickets = locked(&self.tickets);
        tickets.next += 1;
        let ticket = tickets.next;
        tickets.slots.insert(ticket, Slot { step, waker: None });
        ticket
    }

    fn poll(&self, ticket: Ticket, cx: &mut Context<'_>) -> Poll<io::Result<Done>> {
        let over = self.over();
        // Taken out while it is polled, so that no other ticket waits for the lock meanwhile.
        let slot = locked(&self.tickets).slots.remove(&ticket);
        if *over {
            // A task of this boot is about to be dropped, and must not go on until then: it might never
            // let go of its thread. Only one that parks has to be told.
            let parks = slot.is_some_and(|slot| matches!(slot.step, Step::Blocked));
            if self.threads.run_here() && !parks {
                return Poll::Pending;
            }
            return Poll::Ready(Err(boot_over()));
        }
        let slot = slot.expect("a ticket is polled until it is ready and no longer");
        let mut running = match slot.step {
            Step::Ready(outcome) => return Poll::Ready(outcome),
            Step::Running(running) => running,
            Step::Blocked => {
                let slot = Slot { step: Step::Blocked, waker: Some(cx.waker().clone()) };
                locked(&self.tickets).slots.insert(ticket, slot);
                return Poll::Pending;
            }
        };
        // Whoever polls, sockets and timers belong to the IO runtime.
        let _io = self.io.enter();
        match running.as_mut().poll(cx) {
            Poll::Ready(outcome) => Poll::Ready(outcome),
            Poll::Pending => {
                let slot = Slot { step: Step::Running(running), waker: Some(cx.waker().clone()) };
                locked(&self.tickets).slots.insert(ticket, slot);
                Poll::Pending
            }
        }
    }

    fn forget(&self, ticket: Ticket) {
        let slot = locked(&self.tickets).slots.remove(&ticket);
        // Dropped here, outside the lock: a future's drop may wake others.
        drop(slot);
    }

    fn now(&self) -> Mono {
        Mono(since(self.origin))
    }

    fn wall(&self) -> Wall {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Wall(crate::unit::nanos(now))
    }

    fn thread(&self, name: &'static str) -> ThreadId {
        self.threads.named(name)
    }

    fn parks(&self) -> bool {
        true
    }

    fn spawn(&self, thread: ThreadId, what: &'static str, task: BoxFuture) -> TaskId {
        self.threads.spawn(thread, what, task)
    }

    fn cancel(&self, task: TaskId) {
        self.threads.cancel(task);
    }

    fn try_send(&self, conn: ConnId, _: Class, frame: Chunks) -> Result<(), TrySendError> {
        if *self.over() {
            return Err(TrySendError::Closed);
        }
        self.sockets.try_send(conn, frame)
    }

    fn close(&self, conn: ConnId, how: Close) {
        self.sockets.close(conn, how);
    }

    fn close_file(&self, file: FileId) {
        self.files.iter().for_each(|files| files.close(file));
    }

    fn close_listener(&self, listener: ListenerId) {
        self.sockets.close_listener(listener);
    }

    fn draw_key(&self, stream: &'static str, key: u64) -> [u8; 32] {
        let mut out = [0; 32];
        for (i, part) in out.chunks_mut(8).enumerate() {
            let mut hasher = std::hash::DefaultHasher::new();
            hasher.write(entropy());
            hasher.write(self.name.as_bytes());
            hasher.write_u8(0xff);
            hasher.write(stream.as_bytes());
            hasher.write_u64(key);
            hasher.write_usize(i);
            part.copy_from_slice(&hasher.finish().to_le_bytes());
        }
        out
    }

    fn memory(&self, op: MemoryOp) -> io::Result<u64> {
        if *self.over() {
            return Err(boot_over());
        }
        locked(&self.claims).answer(op)
    }

    fn emit(&self, event: &dyn Event) {
        let (host, source, word) = (&*self.name, event.source(), event.word());
        // The text is built only if somebody listens.
        match event.weight() {
            _ if event.warns() => {
                warn!(target: "wavetank", host, source, word, "{}", event.text());
            }
            Weight::Story if enabled!(target: "wavetank", Level::INFO) => {
                info!(target: "wavetank", host, source, word, "{}", event.text());
            }
            Weight::Detail if enabled!(target: "wavetank", Level::DEBUG) => {
                debug!(target: "wavetank", host, source, word, "{}", event.text());
            }
            Weight::Fine if enabled!(target: "wavetank", Level::TRACE) => {
                trace!(target: "wavetank", host, source, word, "{}", event.text());
            }
            _ => {}
        }
    }

    fn planted(&self, _: &'static str) -> bool {
        false
    }
}

/// Sleeps in steps of at most a day, because a deadline may lie centuries away, and checks the
/// clock at the end: never early.
async fn sleep(origin: Instant, until: Mono) -> io::Result<Done> {
    loop {
        let now = since(origin);
        if now >= until.0 {
            return Ok(Done::Unit);
        }
        let left = Duration::from_nanos(until.0 - now).min(Duration::from_secs(86_400));
        tokio_real::time::sleep(left).await;
    }
}

fn since(origin: Instant) -> u64 {
    crate::unit::nanos(origin.elapsed())
}

/// Randomness of this process, from the operating system.
fn entropy() -> &'static [u8; 32] {
    static ENTROPY: OnceLock<[u8; 32]> = OnceLock::new();
    ENTROPY.get_or_init(|| {
        let mut bytes = [0; 32];
        let read = std::fs::File::open("/dev/urandom").and_then(|mut f| f.read_exact(&mut bytes));
        if read.is_err() {
            // The keys of std's hash maps come from the operating system too, on every platform.
            for part in bytes.chunks_mut(8) {
                let hash = std::hash::RandomState::new().hash_one(std::process::id());
                part.copy_from_slice(&hash.to_le_bytes());
            }
        }
        bytes
    })
}

fn boot_over() -> io::Error {
    io::Error::other("this boot of the machine has ended")
}

/// Nothing is left half-changed under these locks, so a panic elsewhere does not spoil them.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
