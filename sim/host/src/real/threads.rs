//! Named threads and their tasks. A thread is an OS thread that drives a single-threaded runtime
//! with neither sockets nor timers of its own; those belong to the machine's IO runtime. A task
//! never leaves its thread. A panic is caught at the task's edge, noted, and answered by asking the
//! machine to stop.
//!
//! Not modelled: cores, quanta and priorities; the operating system schedules as it likes.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio_real::runtime::{Builder, Handle};
use tokio_real::sync::{Notify, oneshot, watch};
use tokio_real::task::AbortHandle;

use super::{Step, locked};
use crate::arm::{BoxFuture, Done, TaskId, ThreadId};

/// The thread of a machine that has ended.
const NO_THREAD: ThreadId = ThreadId::MAX;

struct Worker {
    name: &'static str,
    runtime: Handle,
    quit: Arc<Notify>,
    ended: mpsc::Receiver<()>,
    id: std::thread::ThreadId,
}

struct Entry {
    abort: Option<AbortHandle>,
    ended: Option<oneshot::Receiver<()>>,
}

type Tasks = Arc<Mutex<HashMap<TaskId, Entry>>>;

pub(super) struct Threads {
    host: String,
    /// `None` once the machine has ended.
    workers: Mutex<Option<Vec<Worker>>>,
    /// The threads of all workers, also after the end.
    own: Mutex<Vec<std::thread::ThreadId>>,
    tasks: Tasks,
    next_task: AtomicU64,
    panics: Arc<Mutex<Vec<String>>>,
    stop: watch::Sender<bool>,
}

/// Removes the task from the table when its future is gone, however that came about.
struct Leaves {
    tasks: Tasks,
    id: TaskId,
    _ended: oneshot::Sender<()>,
}

impl Drop for Leaves {
    fn drop(&mut self) {
        let entry = locked(&self.tasks).remove(&self.id);
        drop(entry);
    }
}

impl Threads {
    pub(super) fn new(host: String, stop: watch::Sender<bool>) -> Threads {
        Threads {
            host,
            workers: Mutex::new(Some(Vec::new())),
            own: Mutex::default(),
            tasks: Tasks::default(),
            next_task: AtomicU64::new(1),
            panics: Arc::default(),
            stop,
        }
    }

    /// Whether the calling thread is one of these.
    pub(super) fn run_here(&self) -> bool {
        locked(&self.own).contains(&std::thread::current().id())
    }

    pub(super) fn panics(&self) -> Vec<String> {
        locked(&self.panics).clone()
    }

    /// # Panics
    /// If the operating system gives no thread.
    pub(super) fn named(&self, name: &'static str) -> ThreadId {
        let mut workers = locked(&self.workers);
        let Some(workers) = workers.as_mut() else { return NO_THREAD };
        if let Some(index) = workers.iter().position(|w| w.name == name) {
            return index as ThreadId;
        }
        let runtime = Builder::new_current_thread().build().expect("a runtime without drivers");
        let handle = runtime.handle().clone();
        let quit = Arc::new(Notify::new());
        let (ends, ended) = mpsc::channel();
        let asked = quit.clone();
        let thread = std::thread::Builder::new().name(format!("{}/{name}", self.host));
        let thread = thread.spawn(move || {
            runtime.block_on(asked.notified());
            // The tasks are dropped here, on their own thread.
            drop(runtime);
            let _ = ends.send(());
        });
        let id = thread.expect("the system gives a thread").thread().id();
        locked(&self.own).push(id);
        workers.push(Worker { name, runtime: handle, quit, ended, id });
        (workers.len() - 1) as ThreadId
    }

    pub(super) fn spawn(&self, thread: ThreadId, what: &'static str, task: BoxFuture) -> TaskId {
        let id = self.next_task.fetch_add(1, Ordering::Relaxed);
        let runtime = match locked(&self.workers).as_ref() {
            Some(workers) => workers[thread as usize].runtime.clone(),
            None => return id,
        };
        let (ends, ended) = oneshot::channel();
        let leaves = Leaves { tasks: self.tasks.clone(), id, _ended: ends };
        // In the table before it starts, since it may end before `spawn` returns.
        locked(&self.tasks).insert(id, Entry { abort: None, ended: Some(ended) });
        let (panics, stop) = (self.panics.clone(), self.stop.clone());
        let running = runtime.spawn(async move {
            let _leaves = leaves;
            if let Some(message) = contained(task).await {
                tracing::error!(target: "wavetank", task = what, "a task panicked: {message}");
                locked(&panics).push(format!("{what}: {message}"));
                stop.send_replace(true);
            }
        });
        if let Some(entry) = locked(&self.tasks).get_mut(&id) {
            entry.abort = Some(running.abort_handle());
        }
        id
    }

    pub(super) fn cancel(&self, task: TaskId) {
        let abort = locked(&self.tasks).get(&task).and_then(|entry| entry.abort.clone());
        if let Some(abort) = abort {
            abort.abort();
        }
    }

    pub(super) fn join(&self, task: TaskId) -> Step {
        let ended = locked(&self.tasks).get_mut(&task).and_then(|entry| entry.ended.take());
        let Some(ended) = ended else { return Step::Ready(Ok(Done::Unit)) };
        Step::Running(Box::pin(async move {
            // Nothing is ever sent: the sender is dropped with the task.
            let _ = ended.await;
            Ok(Done::Unit)
        }))
    }

    /// Drops all tasks; waits at most `patience` for jobs that hold a thread.
    pub(super) fn end(&self, patience: Option<Duration>) {
        let workers = locked(&self.workers).take().unwrap_or_default();
        for worker in &workers {
            worker.quit.notify_one();
        }
        let Some(patience) = patience else { return };
        let deadline = Instant::now() + patience;
        for worker in workers.iter().filter(|w| w.id != std::thread::current().id()) {
            let left = deadline.saturating_duration_since(Instant::now());
            let _ = worker.ended.recv_timeout(left);
        }
    }
}

/// Runs a task to its end; the message if that end was a panic.
async fn contained(mut task: BoxFuture) -> Option<String> {
    std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(cx))) {
        Ok(poll) => poll.map(|()| None),
        Err(payload) => {
            let text = payload.downcast_ref::<&str>().map(|s| s.to_string());
            let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
            Poll::Ready(Some(text.unwrap_or_else(|| "a panic without words".to_string())))
        }
    })
    .await
}
