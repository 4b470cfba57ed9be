//! Writes on their way into the log: one by one as they come, or in batches by one loop. The loop
//! takes what waits, up to a count and a size, and lingers a moment after the first for more; it
//! proposes all of it and goes on when fewer than so many batches are under way. A batch is over when
//! each of its commands has an outcome, and all its clients are told together; if that takes too long
//! it is given up, and who has no outcome is told that it is unknown. Such a command may still be
//! done: its session sees to it that it is done once.
//!
//! A node that does not lead sends clients on before they queue. What waits is bounded by what
//! connections may ask for at a time, so the queue has no bound of its own. Left out: one log entry
//! per batch (each command is its own, replicated with the others), an order between clients.
//! Source: the batching of document 002's system: 50 commands, 4 MiB, 1 ms, one under way, 10 s.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use host::{Clock, Host, Plant, Thread, Work};
use raft_driver::{Applied, ProposeError, Raft};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Notify, Semaphore};

use crate::command::{Act, By, Command};
use crate::config::Own;
use crate::connection::Outbox;
use crate::encoding::{Encoded, Encoding, encode};
use crate::event::StoreEvent;
use crate::machine::SharedTable;
use crate::server::{GROUP, outcome};
use crate::wire::Reply;

/// A client's write.
pub(crate) struct Write {
    pub(crate) outbox: Outbox,
    /// The request's number.
    pub(crate) id: u64,
    pub(crate) by: By,
    pub(crate) act: Act,
    pub(crate) key: Bytes,
    pub(crate) value: Bytes,
}

/// The way of writes into the log. Clones share it.
#[derive(Clone)]
pub(crate) struct Writes {
    host: Host,
    thread: Thread,
    raft: Raft,
    encoding: Encoding,
    table: SharedTable,
    /// Planted: a proposal counts as done.
    acked_early: bool,
    /// To how many a leader sends what it appends.
    peers: u64,
    /// Where the loop takes them from, if there is one.
    queue: Option<UnboundedSender<Write>>,
}

/// The loop's bounds.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    count: usize,
    bytes: u64,
    linger: Duration,
    in_flight: usize,
    timeout: Duration,
}

impl Writes {
    /// What the settings say, and the loop to be run on that thread if there is one.
    pub(crate) fn new(
        host: &Host,
        thread: &Thread,
        raft: &Raft,
        own: &Own,
        (table, peers): (&SharedTable, u64),
    ) -> (Writes, Option<impl Future<Output = ()> + Send + 'static>) {
        let (host, thread, raft) = (host.clone(), thread.clone(), raft.clone());
        let encoding = Encoding::named(own.encoding.0);
        let table = table.clone();
        let acked_early = host.planted(Plant("batch_acked_before_applied"));
        let queue = None;
        let mut writes = Writes { host, thread, raft, encoding, table, acked_early, peers, queue };
        if own.writes.0 != "batched" {
            return (writes, None);
        }
        let bounds = Bounds {
            count: own.batch_count as usize,
            bytes: own.batch_bytes.0,
            linger: own.batch_linger,
            in_flight: own.batches_in_flight as usize,
            timeout: own.replicate_timeout,
        };
        let (queue, waiting) = unbounded_channel();
        let batching = batching(writes.clone(), bounds, waiting);
        writes.queue = Some(queue);
        (writes, Some(batching))
    }

    /// Starts a write; its reply will be pushed into its outbox.
    pub(crate) fn start(&self, me: u64, write: Write) {
        if let Some(queue) = &self.queue {
            let leader = self.raft.leader(GROUP);
            if leader != me {
                return write.outbox.push(write.id, Reply::Redirect { leader });
            }
            if let Err(unsent) = queue.send(write) {
                unsent.0.outbox.push(unsent.0.id, Reply::Busy);
            }
            return;
        }
        let Write { outbox, id, .. } = &write;
        let (outbox, id) = (outbox.clone(), *id);
        let told = move |reply| outbox.push(id, reply);
        if self.encoding == Encoding::Raw {
            return self.propose(write, told);
        }
        let writes = self.clone();
        drop(self.thread.spawn("store_encode", async move {
            writes.charge(&write).await;
            writes.propose(write, told);
        }));
    }

    /// What encoding costs the thread that does it.
    async fn charge(&self, write: &Write) {
        if self.encoding != Encoding::Raw {
            let work = Work { kind: "command_encode", bytes: write.value.len() as u64 };
            self.thread.run(work, || ()).await;
        }
    }

    /// The encoded command, and what is sent of it to each peer.
    fn weigh(&self, body: u64) -> io::Result<()> {
        self.table.buffers.take("encoded command", body)?;
        (0..self.peers).try_for_each(|_| self.table.buffers.take("append", body))
    }

    fn propose(&self, write: Write, told: impl FnOnce(Reply) + Send + 'static) {
        let Write { by, act, key, value, .. } = write;
        let raw = value.len() as u64;
        let Encoded { form, body, body_crc, kept_crc: crc } = encode(self.encoding, value);
        if self.weigh(body.len() as u64).is_err() {
            return told(Reply::Busy);
        }
        if self.encoding != Encoding::Raw {
            self.host.emit(StoreEvent::Encoded { raw, body: body.len() as u64 });
        }
        let command = Command::Do { by, act, form, crc, key };
        let told = move |done: Result<Applied, ProposeError>| told(outcome(done));
        self.raft.propose_with(GROUP, &command.encode(), body, body_crc, told);
    }
}

/// Proposes batches of what waits until nothing more can come.
async fn batching(writes: Writes, bounds: Bounds, mut waiting: UnboundedReceiver<Write>) {
    let slots = Arc::new(Semaphore::new(bounds.in_flight));
    let mut left_over = None;
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let clock = writes.host.clock();
        let Some(batch) = gather(&clock, bounds, &mut waiting, &mut left_over).await else {
            return;
        };
        let commands = batch.len() as u64;
        let bytes = batch.iter().map(|write| write.value.len() as u64).sum();
        writes.host.emit(StoreEvent::Batched { commands, bytes });
        let whole = Arc::new(Batch::new(&batch));
        let until = clock.now() + bounds.timeout;
        for (at, write) in batch.into_iter().enumerate() {
            writes.charge(&write).await;
            let told = whole.clone();
            if writes.acked_early {
                let version = writes.table.lock().index + 1 + at as u64;
                told.told(at, Reply::Done { version });
                writes.propose(write, drop);
            } else {
                writes.propose(write, move |reply| told.told(at, reply));
            }
        }
        let host = writes.host.clone();
        drop(writes.thread.spawn("store_batch", async move {
            let clock = host.clock();
            let over = clock.within(until.since(clock.now()), whole.over.notified());
            let in_time = over.await.is_some();
            let unknown = whole.finish();
            if !in_time {
                host.emit(StoreEvent::BatchGivenUp { commands: unknown });
            }
            drop(slot);
        }));
    }
}

/// The next batch; `None` if nothing more can come. What did not fit any more is left over.
async fn gather(
    clock: &Clock,
    bounds: Bounds,
    waiting: &mut UnboundedReceiver<Write>,
    left_over: &mut Option<Write>,
) -> Option<Vec<Write>> {
    let first = match left_over.take() {
        Some(first) => first,
        None => waiting.recv().await?,
    };
    let until = clock.now() + bounds.linger;
    let mut bytes = first.value.len() as u64;
    let mut batch = vec![first];
    while batch.len() < bounds.count && bytes < bounds.bytes {
        let next = match waiting.try_recv() {
            Ok(next) => Some(next),
            Err(_) => clock.within(until.since(clock.now()), waiting.recv()).await.flatten(),
        };
        let Some(next) = next else { break };
        bytes += next.value.len() as u64;
        if bytes > bounds.bytes {
            *left_over = Some(next);
            break;
        }
        batch.push(next);
    }
    Some(batch)
}

/// A batch that is under way.
struct Batch {
    replies: Mutex<Replies>,
    over: Notify,
}

struct Replies {
    /// Each command's client, request and, once it is known, outcome.
    all: Vec<(Outbox, u64, Option<Reply>)>,
    open: usize,
}

impl Batch {
    fn new(writes: &[Write]) -> Batch {
        let all: Vec<_> = writes.iter().map(|w| (w.outbox.clone(), w.id, None)).collect();
        let open = all.len();
        Batch { replies: Mutex::new(Replies { all, open }), over: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Replies> {
        self.replies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The outcome of a command; one that comes after the end is nobody's.
    fn told(&self, at: usize, reply: Reply) {
        let mut replies = self.lock();
        let Some((.., outcome)) = replies.all.get_mut(at) else { return };
        *outcome = Some(reply);
        replies.open -= 1;
        if replies.open == 0 {
            self.over.notify_one();
        }
    }

    /// Tells all clients; says for how many the outcome is unknown.
    fn finish(&self) -> u64 {
        let all = std::mem::take(&mut self.lock().all);
        let mut unknown = 0;
        for (outbox, id, reply) in all {
            unknown += u64::from(reply.is_none());
            outbox.push(id, reply.unwrap_or(Reply::Lost));
        }
        unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(id: u64, len: usize) -> Write {
        let by = By { session: 1, sequence: id, client: 1, op: id };
        let value = Bytes::from(vec![0; len]);
        let (outbox, act) = (Outbox::default(), Act::Put);
        Write { outbox, id, by, act, key: Bytes::new(), value }
    }

    #[test]
    fn a_batch_is_over_when_every_command_has_an_outcome() {
        let batch = Batch::new(&[write(1, 1), write(2, 1)]);
        batch.told(1, Reply::Done { version: 7 });
        assert_eq!(batch.lock().open, 1);
        batch.told(0, Reply::Busy);
        assert_eq!(batch.lock().open, 0);
        assert_eq!(batch.finish(), 0);
        batch.told(0, Reply::Busy);
        assert_eq!(batch.finish(), 0, "what comes late is nobody's");
    }

    #[test]
    fn who_has_no_outcome_in_time_does_not_know_it() {
        let writes = [write(1, 1), write(2, 1), write(3, 1)];
        let batch = Batch::new(&writes);
        batch.told(1, Reply::Done { version: 7 });
        assert_eq!(batch.finish(), 2);
        let told = writes.each_ref().map(|w| w.outbox.gathered());
        let done = vec![(2, Reply::Done { version: 7 })];
        assert_eq!(told, [vec![(1, Reply::Lost)], done, vec![(3, Reply::Lost)]]);
    }
}
