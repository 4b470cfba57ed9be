//! The sending side towards one peer. The consensus loop offers each turn's messages; on an open
//! stream with room they leave at once, without waking anybody. Otherwise they wait here, bounded
//! by bytes, and the link's task sends them when it can. While the peer cannot be reached they are
//! dropped: Raft resends what matters, and stale messages help nobody.
//!
//! In request mode the task sends one batch at a time and waits for its answer; what arises
//! meanwhile goes with the next batch.

use std::collections::VecDeque;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::BufMut;
use host::{Addr, Chunks, Class, Clock, Net, Receiver, Sender, Style, TrySendError};

use super::codec::{Envelope, Frame, body_bytes, encode};
use super::{Purpose, hello};
use crate::driver::Input;
use crate::mailbox::Mailbox;

/// Pause before a peer is dialled again, doubled up to the link's own ceiling.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// What a link needs to know.
#[derive(Clone)]
pub(crate) struct LinkConfig {
    pub(crate) net: Net,
    pub(crate) clock: Clock,
    pub(crate) addr: Addr,
    pub(crate) me: u64,
    pub(crate) peer: u64,
    pub(crate) cluster: u64,
    pub(crate) dial_timeout: Duration,
    /// Longest pause between two attempts to dial: half the lower election timeout, so that a peer that
    /// is back hears its leader before it campaigns.
    pub(crate) pause_max: Duration,
    /// How long an answer may take; `None` in stream mode.
    pub(crate) rpc_timeout: Option<Duration>,
    /// Bytes after which a frame is closed.
    pub(crate) frame_bytes: u64,
    /// Bytes that may wait.
    pub(crate) queue_bytes: u64,
    pub(crate) inbox: Mailbox<Input>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Dialing,
    Up,
    Down,
}

struct Inner {
    phase: Phase,
    tx: Option<Sender>,
    /// A frame that the window did not take.
    stalled: Option<Frame>,
    queue: VecDeque<Envelope>,
    bytes: u64,
    /// The task is in the middle of sending; nothing may overtake it.
    busy: bool,
    waker: Option<Waker>,
}

/// What became of a turn's messages.
pub(crate) struct Offered {
    /// None was dropped.
    pub(crate) whole: bool,
    /// Bytes that wait now.
    pub(crate) queued: u64,
}

/// A link. Clones share it.
#[derive(Clone)]
pub(crate) struct Link {
    inner: Arc<Mutex<Inner>>,
    frame_bytes: u64,
    queue_bytes: u64,
    stream: bool,
}

impl Link {
    pub(crate) fn new(config: &LinkConfig) -> Link {
        let inner = Inner {
            phase: Phase::Dialing,
            tx: None,
            stalled: None,
            queue: VecDeque::new(),
            bytes: 0,
            busy: false,
            waker: None,
        };
        Link {
            inner: Arc::new(Mutex::new(inner)),
            frame_bytes: config.frame_bytes,
            queue_bytes: config.queue_bytes,
            stream: config.rpc_timeout.is_none(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is a connection to the peer, as far as anybody knows.
    pub(crate) fn is_up(&self) -> bool {
        self.lock().phase == Phase::Up
    }

    /// Takes a turn's messages.
    pub(crate) fn offer(&self, batch: &mut Vec<Envelope>) -> Offered {
        let mut inner = self.lock();
        if inner.phase == Phase::Down {
            batch.clear();
            return Offered { whole: false, queued: 0 };
        }
        let mut messages = batch.drain(..).peekable();
        let idle = !inner.busy && inner.queue.is_empty() && inner.stalled.is_none();
        if self.stream && idle && inner.phase == Phase::Up {
            while messages.peek().is_some() && inner.stalled.is_none() {
                let frame = encode(&mut messages, |bytes| bytes < self.frame_bytes);
                let tx = inner.tx.as_mut().expect("a link that is up has a sender");
                match tx.try_send(frame.class, frame.data.clone()) {
                    Ok(()) => {}
                    Err(TrySendError::Full) => inner.stalled = Some(frame),
                    Err(TrySendError::Closed) => {
                        inner.phase = Phase::Down;
                        messages.for_each(drop);
                        wake(inner);
                        return Offered { whole: false, queued: 0 };
                    }
                }
            }
        }
        let mut dropped = false;
        for envelope in messages {
            let bytes = 64 + body_bytes(&envelope.message);
            if inner.bytes > 0 && inner.bytes + bytes > self.queue_bytes {
                dropped = true;
                continue;
            }
            inner.bytes += bytes;
            inner.queue.push_back(envelope);
        }
        let queued = inner.bytes;
        if inner.phase == Phase::Up && (inner.stalled.is_some() || !inner.queue.is_empty()) {
            wake(inner);
        }
        Offered { whole: !dropped, queued }
    }

    /// The next frame to send, if any.
    fn next(&self) -> Option<Frame> {
        let mut inner = self.lock();
        let frame = inner.stalled.take().or_else(|| {
            if inner.queue.is_empty() {
                return None;
            }
            let Inner { queue, bytes, .. } = &mut *inner;
            let mut messages = std::iter::from_fn(|| {
                let envelope = queue.pop_front()?;
                *bytes -= 64 + body_bytes(&envelope.message);
                Some(envelope)
            });
            Some(encode(&mut messages, |bytes| bytes < self.frame_bytes))
        });
        inner.busy = frame.is_some();
        frame
    }

    fn poll_work(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.lock();
        if inner.stalled.is_some() || !inner.queue.is_empty() || inner.phase == Phase::Down {
            return Poll::Ready(());
        }
        inner.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn set(&self, phase: Phase, tx: Option<Sender>) {
        let mut inner = self.lock();
        inner.phase = phase;
        inner.busy = false;
        if phase == Phase::Down {
            inner.queue.clear();
            (inner.bytes, inner.stalled) = (0, None);
        }
        let old = std::mem::replace(&mut inner.tx, tx);
        drop(inner);
        if let Some(old) = old {
            old.abort();
        }
    }
}

fn wake(mut inner: MutexGuard<'_, Inner>) {
    let waker = inner.waker.take();
    drop(inner);
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// The link's task: dials, also before there is anything to say, serves the connection until it
/// breaks, and begins again.
pub(crate) async fn run(link: Link, config: LinkConfig) {
    let first = FIRST_PAUSE.min(config.pause_max);
    let mut pause = first;
    loop {
        if let Ok((tx, rx)) = dial(&config).await {
            pause = first;
            match config.rpc_timeout {
                None => stream(&link, tx, rx).await,
                Some(within) => request(&link, &config, within, tx, rx).await,
            }
        }
        link.set(Phase::Down, None);
        if config.inbox.push(Input::Unreachable(config.peer)).is_err() {
            return;
        }
        config.clock.sleep(pause).await;
        pause = (pause * 2).min(config.pause_max);
        link.set(Phase::Dialing, None);
    }
}

async fn dial(config: &LinkConfig) -> io::Result<(Sender, Receiver)> {
    let conn = config.net.dial(&config.addr, config.dial_timeout, Style::Stream).await?;
    let (mut tx, rx) = conn.split();
    let purpose = match config.rpc_timeout {
        None => Purpose::Stream,
        Some(_) => Purpose::Request,
    };
    tx.send(Class("hello"), hello(purpose, config.me, config.cluster)).await?;
    Ok((tx, rx))
}

/// Until the connection breaks. The peer sends nothing, so whatever it does send, or its silence's
/// end, is the end.
async fn stream(link: &Link, tx: Sender, mut rx: Receiver) {
    link.set(Phase::Up, Some(tx));
    let mut broken = pin!(rx.recv());
    loop {
        while let Some(frame) = link.next() {
            let sending = match link.lock().tx.as_mut() {
                Some(tx) => tx.send(frame.class, frame.data),
                None => return,
            };
            if sending.await.is_err() {
                return;
            }
        }
        let work = std::future::poll_fn(|cx| {
            if broken.as_mut().poll(cx).is_ready() {
                return Poll::Ready(false);
            }
            link.poll_work(cx).map(|()| true)
        });
        if !work.await || link.lock().phase == Phase::Down {
            return;
        }
    }
}

/// One batch at a time, each with its answer, until one fails to come.
async fn request(
    link: &Link,
    config: &LinkConfig,
    within: Duration,
    mut tx: Sender,
    mut rx: Receiver,
) {
    link.set(Phase::Up, None);
    let mut seq = 0u64;
    loop {
        let Some(frame) = link.next() else {
            let mut broken = pin!(rx.recv());
            let work = std::future::poll_fn(|cx| {
                if broken.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(false);
                }
                link.poll_work(cx).map(|()| true)
            });
            if !work.await {
                return;
            }
            continue;
        };
        seq += 1;
        let exchange = async {
            tx.send(frame.class, numbered(seq, &frame.data)).await?;
            rx.recv().await
        };
        match config.clock.within(within, exchange).await {
            Some(Ok(Some(answer))) if answer.to_bytes()[..] == seq.to_le_bytes() => {}
            _ => {
                tx.abort();
                return;
            }
        }
    }
}

/// A request is its number and a frame.
fn numbered(seq: u64, data: &Chunks) -> Chunks {
    let mut head = Vec::with_capacity(8);
    head.put_u64_le(seq);
    let mut out = Chunks::from(head);
    out.extend(data);
    out
}
