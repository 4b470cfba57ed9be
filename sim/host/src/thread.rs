//! Named threads. A task belongs to one thread from its spawn on; while one task of a thread holds it in
//! [`Thread::run`], no other task of that thread is polled. That is the whole of snapshot starvation: a
//! long `run` on the thread whose other task answers heartbeats.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

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
