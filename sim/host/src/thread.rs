//! Named threads. A task belongs to one thread from its spawn on; while one task of a thread holds it in
//! [`Thread::run`] or [`Thread::block`], no other task of that thread is polled. That is the whole of
//! snapshot starvation: a long `run` on the thread whose other task answers heartbeats. `run` needs a core
//! as well, `block` does not: it is a system call that has not returned.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use tokio_real::task::unconstrained;

use crate::arm::{Arm, Op, OpFuture, TaskId, ThreadId};

/// An amount of work of a named kind. Simulated, the profile's price list turns it into time on thread and
/// core (`[cost.snapshot_serialize] base, per_mb`); a kind without a price is free. Real: ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// The word under which the profile lists the price.
    pub kind: &'static str,
    /// How many bytes are worked on.
    pub bytes: u64,
}

/// A thread of the host.
#[derive(Clone)]
pub struct Thread {
    arm: Arc<dyn Arm>,
    id: ThreadId,
}

impl Thread {
    pub(crate) fn new(arm: Arc<dyn Arm>, id: ThreadId) -> Thread {
        Thread { arm, id }
    }

    /// Starts a task on this thread. A panic in it ends this boot of the node, and nothing else; the task
    /// ends with the boot.
    pub fn spawn(
        &self,
        what: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> Task {
        let id = self.arm.spawn(self.id, what, Box::pin(task));
        Task { arm: self.arm.clone(), id }
    }

    /// Runs `work`, which takes as long as the profile says (simulated) or as it takes (real). Call it from a
    /// task of this thread.
    pub async fn run<R>(&self, work: Work, job: impl FnOnce() -> R) -> R {
        let _ = OpFuture::new(self.arm.clone(), Op::Hold { thread: self.id, work }).await;
        job()
    }

    /// The outcome of `work`, for which the calling task holds the thread: no other task of it is polled
    /// before `work` has ended, as in a plain system call. Call it from a task of this thread.
    ///
    /// Waiting for a file, a timer or a connection is fine; whoever drives those is elsewhere. A future
    /// that needs another task of the same thread waits for ever. Real, the operating system's thread is
    /// parked inside one poll, so neither `cancel` nor a time limit around this call cuts it short; put the
    /// limit inside. Simulated, dropping the future lets go of the thread at once.
    pub async fn block<T>(&self, work: impl Future<Output = T>) -> T {
        let hold = OpFuture::new(self.arm.clone(), Op::Block { thread: self.id });
        let mut hold = std::pin::pin!(hold);
        // A parked thread has nobody to yield to, so tokio must not ask it to.
        let mut work = std::pin::pin!(unconstrained(work));
        let (parks, mut over) = (self.arm.parks(), false);
        std::future::poll_fn(|cx| {
            if over {
                return Poll::Pending;
            }
            if parks {
                let outcome = park(hold.as_mut(), work.as_mut());
                over = outcome.is_pending();
                return outcome;
            }
            // The hold comes first, so that it covers the first poll of the work.
            let _ = hold.as_mut().poll(cx);
            work.as_mut().poll(cx)
        })
        .await
    }

    /// Lets the other tasks of the thread have a turn.
    pub async fn yield_now(&self) {
        struct Once(bool);
        impl Future for Once {
            type Output = ();
            fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
                if self.0 {
                    return Poll::Ready(());
                }
                self.0 = true;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
        Once(false).await;
    }
}

/// Wakes an OS thread that is parked until some future goes on.
struct Parked {
    thread: std::thread::Thread,
    woken: AtomicBool,
}

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// Parks this OS thread until `work` has ended. Pending only if the boot ended first: then the task is to
/// be dropped, and its thread must be free for that.
fn park<T>(mut hold: Pin<&mut OpFuture>, mut work: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    let parked = Arc::new(Parked { thread: std::thread::current(), woken: AtomicBool::new(false) });
    let waker = Waker::from(parked.clone());
    let mut cx = Context::from_waker(&waker);
    loop {
        if hold.as_mut().poll(&mut cx).is_ready() {
            return Poll::Pending;
        }
        if let Poll::Ready(out) = work.as_mut().poll(&mut cx) {
            return Poll::Ready(out);
        }
        while !parked.woken.swap(false, Ordering::Acquire) {
            std::thread::park();
        }
    }
}

/// A spawned task. Dropping the handle lets it run on.
pub struct Task {
    arm: Arc<dyn Arm>,
    id: TaskId,
}

impl Task {
    /// Waits until the task has ended, however it ended.
    pub async fn join(self) {
        let _ = OpFuture::new(self.arm.clone(), Op::Join { task: self.id }).await;
    }

    /// Ends the task.
    pub fn cancel(self) {
        self.arm.cancel(self.id);
    }
}
