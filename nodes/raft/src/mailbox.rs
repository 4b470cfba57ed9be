//! A queue with many writers and one reader, made for "batch per loop turn": the reader takes
//! everything that waits by swapping two vectors, and however many items arrive while it sleeps, it
//! is woken once. No allocation per item once the vectors have grown; no bound, because what flows
//! through it is bounded where it arises (frames by the window, proposals by their callers).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

struct Inner<T> {
    queue: Vec<T>,
    waker: Option<Waker>,
    closed: bool,
}

/// The queue. Clones share it.
pub(crate) struct Mailbox<T>(Arc<Mutex<Inner<T>>>);

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Self {
        Mailbox(self.0.clone())
    }
}

impl<T> Mailbox<T> {
    pub(crate) fn new() -> Mailbox<T> {
        Mailbox(Arc::new(Mutex::new(Inner { queue: Vec::new(), waker: None, closed: false })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an item; gives it back if nobody will ever read it.
    pub(crate) fn push(&self, item: T) -> Result<(), T> {
        let mut inner = self.lock();
        if inner.closed {
            return Err(item);
        }
        inner.queue.push(item);
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// Adds all items and leaves the vector empty. The reader is woken only if `urgent`, which is
    /// asked under the lock: what the reader says before it looks in here is known, and what it did
    /// not find when it looked finds it. Otherwise it sees the items when it next has a reason to
    /// look.
    pub(crate) fn push_lazily(&self, items: &mut Vec<T>, urgent: impl FnOnce() -> bool) {
        let mut inner = self.lock();
        if inner.closed {
            drop(inner);
            items.clear();
            return;
        }
        inner.queue.append(items);
        let waker = if urgent() { inner.waker.take() } else { None };
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Adds all items and leaves the vector empty; false if nobody will ever read them.
    pub(crate) fn push_all(&self, items: &mut Vec<T>) -> bool {
        if items.is_empty() {
            return true;
        }
        let mut inner = self.lock();
        if inner.closed {
            drop(inner);
            items.clear();
            return false;
        }
        inner.queue.append(items);
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    /// Takes everything that waits into the empty vector `out`. `false` after `close`, once nothing
    /// waits.
    pub(crate) fn poll_take(&self, cx: &mut Context<'_>, out: &mut Vec<T>) -> Poll<bool> {
        assert!(out.is_empty(), "what was taken before must be used first");
        let mut inner = self.lock();
        if !inner.queue.is_empty() {
            std::mem::swap(&mut inner.queue, out);
            return Poll::Ready(true);
        }
        if inner.closed {
            return Poll::Ready(false);
        }
        if !inner.waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            inner.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Waits for items.
    pub(crate) async fn take(&self, out: &mut Vec<T>) -> bool {
        std::future::poll_fn(|cx| self.poll_take(cx, out)).await
    }

    /// Takes what waits now.
    pub(crate) fn take_now(&self) -> Vec<T> {
        std::mem::take(&mut self.lock().queue)
    }

    /// Whether no more items can come.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// No more items; those that wait can still be taken.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Closes and drops what waits.
    pub(crate) fn abandon(&self) {
        self.close();
        drop(self.take_now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_out_in_order_and_the_end_after_them() {
        let mailbox = Mailbox::new();
        let mut cx = Context::from_waker(Waker::noop());
        let mut out = Vec::new();
        assert!(mailbox.poll_take(&mut cx, &mut out).is_pending());
        mailbox.push(1).unwrap();
        assert!(mailbox.push_all(&mut vec![2, 3]));
        mailbox.close();
        assert_eq!(mailbox.push(4), Err(4));
        assert_eq!(mailbox.poll_take(&mut cx, &mut out), Poll::Ready(true));
        assert_eq!(out, [1, 2, 3]);
        out.clear();
        assert_eq!(mailbox.poll_take(&mut cx, &mut out), Poll::Ready(false));
    }
}
