//! One client's connection to a node. Two tasks: one reads requests and starts them, one sends the
//! replies that have gathered. A request costs no task and no channel of its own: its outcome is a
//! reply pushed into the connection's outbox.
//!
//! A client that is broken or hostile costs no more than its connection: a frame that is no request
//! ends it at once, so does silence beyond `idle_timeout`; requests whose replies have not left are
//! counted, beyond `max_requests` they are answered `busy`, and who goes on asking without reading
//! is cut off at twice as many. Left out: limits on bytes, for the replies share the table's own.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use host::{Chunks, Class, Host, Receiver, Sender};

use crate::wire::{Reply, Request, decode_request, encode_reply};

const CLIENT: Class = Class("client");

/// How far a connection is from its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Open,
    /// What has gathered still leaves.
    Finishing,
    /// Nothing leaves any more.
    Closed,
}

#[derive(Default)]
struct Gathered {
    replies: VecDeque<(u64, Reply)>,
    /// Requests whose reply has not left.
    waiting: u64,
    waker: Option<Waker>,
    stage: Stage,
}

/// Replies on their way to one client.
#[derive(Clone, Default)]
pub(crate) struct Outbox(Arc<Mutex<Gathered>>);

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, Gathered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request; says how many there were.
    fn admit(&self) -> u64 {
        let mut state = self.lock();
        state.waiting += 1;
        state.waiting - 1
    }

    /// The reply to a request.
    pub(crate) fn push(&self, id: u64, reply: Reply) {
        let mut state = self.lock();
        if state.stage != Stage::Closed {
            state.replies.push_back((id, reply));
            wake(state);
        }
    }

    /// Lets what has gathered leave, then ends the connection.
    pub(crate) fn finish(&self) {
        let mut state = self.lock();
        if state.stage == Stage::Open {
            state.stage = Stage::Finishing;
            wake(state);
        }
    }

    /// Ends the connection.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.stage = Stage::Closed;
        state.replies.clear();
        wake(state);
    }

    /// The next reply; `None` at the end.
    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<(u64, Reply)>> {
        let mut state = self.lock();
        match state.replies.pop_front() {
            Some(reply) => Poll::Ready(Some(reply)),
            None if state.stage != Stage::Open => Poll::Ready(None),
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.stage == Stage::Closed {
            return Poll::Ready(());
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The replies that wait to leave.
    #[cfg(test)]
    pub(crate) fn gathered(&self) -> Vec<(u64, Reply)> {
        self.lock().replies.drain(..).collect()
    }

    /// A reply has left.
    fn left(&self) {
        self.lock().waiting -= 1;
    }
}

fn wake(mut state: MutexGuard<'_, Gathered>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// What one connection may cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Requests whose reply has not left; more are answered `busy`.
    pub(crate) requests: u64,
    /// How long it may be without a request.
    pub(crate) idle: Duration,
}

/// Reads requests and starts them by `serve`, until the client goes or breaks the rules.
pub(crate) async fn receive(
    host: Host,
    mut rx: Receiver,
    outbox: Outbox,
    limits: Limits,
    serve: impl Fn(&Outbox, u64, Request),
) {
    let clock = host.clock();
    // Set anew for each frame; an alarm that is only put off costs nothing.
    let mut alarm = clock.alarm();
    loop {
        alarm.set(clock.now() + limits.idle);
        let frame: Option<Chunks> = {
            let mut frame = pin!(rx.recv());
            poll_fn(|cx| match frame.as_mut().poll(cx) {
                Poll::Ready(frame) => Poll::Ready(frame.ok().flatten()),
                Poll::Pending => alarm.poll_ring(cx).map(|()| None),
            })
            .await
        };
        let Some((id, request)) = frame.as_ref().and_then(decode_request) else { break };
        match outbox.admit() {
            waiting if waiting < limits.requests => serve(&outbox, id, request),
            waiting if waiting < 2 * limits.requests => outbox.push(id, Reply::Busy),
            _ => break,
        }
    }
    outbox.close();
}

/// Sends replies until the connection breaks or the outbox ends. Whether it ended in order.
pub(crate) async fn reply(mut tx: Sender, outbox: Outbox) -> bool {
    while let Some((id, reply)) = poll_fn(|cx| outbox.poll_next(cx)).await {
        let frame = encode_reply(id, &reply);
        let mut send = pin!(tx.send(CLIENT, frame));
        // A client that does not read must not hold the task beyond the connection's end.
        let sent = poll_fn(|cx| match send.as_mut().poll(cx) {
            Poll::Ready(sent) => Poll::Ready(sent.is_ok()),
            Poll::Pending => outbox.poll_closed(cx).map(|()| false),
        });
        if !sent.await {
            outbox.close();
            break;
        }
        outbox.left();
    }
    let cut = outbox.lock().stage == Stage::Closed;
    if cut {
        tx.abort()
    } else {
        tx.close()
    }
    !cut
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(outbox: &Outbox) -> Poll<Option<(u64, Reply)>> {
        outbox.poll_next(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn what_has_gathered_leaves_before_the_end() {
        let outbox = Outbox::default();
        assert_eq!(next(&outbox), Poll::Pending);
        outbox.push(7, Reply::Missing);
        outbox.finish();
        assert_eq!(next(&outbox), Poll::Ready(Some((7, Reply::Missing))));
        assert_eq!(next(&outbox), Poll::Ready(None));
    }

    #[test]
    fn nothing_leaves_after_the_end() {
        let outbox = Outbox::default();
        outbox.push(7, Reply::Missing);
        outbox.close();
        outbox.push(8, Reply::Missing);
        assert_eq!(next(&outbox), Poll::Ready(None));
        outbox.finish();
        assert_eq!(outbox.lock().stage, Stage::Closed);
    }

    #[test]
    fn a_request_counts_until_its_reply_has_left() {
        let outbox = Outbox::default();
        assert_eq!((outbox.admit(), outbox.admit()), (0, 1));
        outbox.push(1, Reply::Busy);
        assert_eq!(outbox.admit(), 2);
        assert!(matches!(next(&outbox), Poll::Ready(Some(_))));
        outbox.left();
        assert_eq!(outbox.admit(), 2);
    }
}
