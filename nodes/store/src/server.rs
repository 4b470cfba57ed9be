//! The node: consensus underneath, a listener for clients on top, and what is done with each kind
//! of request. A command is proposed and answered when it went through the state machine; a read
//! waits until consensus admits it, then looks the table up; anything else is answered on the spot.
//!
//! Asked to stop, a node accepts nobody any more, lets consensus end, sends the replies that this
//! brought about, and closes its connections. Left out: telling clients where to go instead; they
//! know the members.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use host::{Conn, Host, Listener, Members, Plant, Task, Thread};
use raft_driver::members::{Changed, Target};
use raft_driver::rope::Numbers;
use raft_driver::{Applied, ProposeError, Raft};

use crate::Config;
use crate::batch::{Write, Writes};
use crate::command::{Answer, Command};
use crate::connection::{self, Limits, Outbox};
use crate::event::StoreEvent;
use crate::machine::SharedTable;
use crate::wire::{Item, Reply, Request, Rule};

/// The store's only Raft group.
pub(crate) const GROUP: u32 = 1;
/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// How long the last replies may take to leave.
const LAST_REPLIES: Duration = Duration::from_secs(1);

/// Runs a store node until it is stopped or its disk fails; called at each boot.
pub async fn run(host: Host, config: Config, members: Members) -> io::Result<()> {
    let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidInput, why);
    config.validate().map_err(invalid)?;
    let me = members.get(members.me).ok_or_else(|| invalid("this host is no member".into()))?;
    let table = SharedTable::open(&host, &config).await?;
    let machine = |_| -> Box<dyn raft_driver::StateMachine> { Box::new(table.machine()) };
    let raft = raft_driver::start(&host, &config.raft, &members, &[GROUP], machine).await?;
    let listener = host.net().listen(&me.client_addr).await?;
    host.emit(StoreEvent::Serving { keys: table.lock().keys() });
    let thread = host.thread("client");
    let weights = (&table, members.all.len() as u64 - 1);
    let (writes, batching) = Writes::new(&host, &thread, &raft, &config.own, weights);
    let batching = batching.map(|batching| thread.spawn("store_batches", batching));
    let node = Arc::new(Node {
        thread,
        writes,
        host,
        config,
        members,
        raft,
        table,
        open: Mutex::new(BTreeMap::new()),
    });
    let accepting = node.thread.spawn("store_accept", accept(node.clone(), listener));
    let own = &node.config.own;
    let collecting = (!own.collect_every.is_zero()).then(|| {
        let work = collect(node.host.clone(), own.collect_every, own.collect_above.0);
        node.thread.spawn("store_collect", work)
    });
    let mut ended = pin!(node.raft.ended());
    let mut stopping = pin!(node.host.stopping());
    let early = poll_fn(|cx| match ended.as_mut().poll(cx) {
        Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
        Poll::Pending => stopping.as_mut().poll(cx).map(|()| None),
    });
    let early = early.await;
    accepting.cancel();
    let outcome = match early {
        Some(outcome) => outcome,
        None => {
            if node.config.own.close.0 == "at_once" {
                node.table.close();
            }
            let outcome = ended.await;
            if node.table.was_found_closed() { Ok(()) } else { outcome }
        }
    };
    batching.into_iter().chain(collecting).for_each(Task::cancel);
    node.close().await;
    outcome
}

/// Has the garbage collected from time to time, if there may be much of it.
async fn collect(host: Host, every: Duration, above: u64) {
    let memory = host.memory();
    loop {
        host.clock().sleep(every).await;
        if memory.used() > above {
            memory.collect().await;
        }
    }
}

/// An open connection.
struct Open {
    outbox: Outbox,
    receiving: Task,
    replying: Task,
}

struct Node {
    host: Host,
    thread: Thread,
    config: Config,
    members: Members,
    raft: Raft,
    writes: Writes,
    table: SharedTable,
    /// By number, as they came.
    open: Mutex<BTreeMap<u64, Open>>,
}

impl Node {
    fn open(&self) -> MutexGuard<'_, BTreeMap<u64, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all connections once their last replies have left, or have had the time to.
    async fn close(&self) {
        let open = std::mem::take(&mut *self.open());
        let (mut outboxes, mut replying) = (Vec::new(), Vec::new());
        for connection in open.into_values() {
            connection.receiving.cancel();
            connection.outbox.finish();
            outboxes.push(connection.outbox);
            replying.push(connection.replying);
        }
        let sent = async {
            for task in replying {
                task.join().await;
            }
        };
        if self.host.clock().within(LAST_REPLIES, sent).await.is_none() {
            outboxes.iter().for_each(Outbox::close);
        }
    }
}

async fn accept(node: Arc<Node>, listener: Listener) {
    for number in 0.. {
        match listener.accept().await {
            Ok(conn) if node.open().len() as u64 >= node.config.own.max_clients => {
                conn.split().0.abort();
            }
            Ok(conn) => welcome(&node, number, conn),
            Err(_) => node.host.clock().sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Starts the two tasks of a connection. They run on the thread that accepts, so neither ends
/// before it is noted as open.
fn welcome(node: &Arc<Node>, number: u64, conn: Conn) {
    let (tx, rx) = conn.split();
    let outbox = Outbox::default();
    let own = &node.config.own;
    let limits = Limits { requests: own.max_requests, idle: own.idle_timeout };
    let server = node.clone();
    let serve = move |outbox: &Outbox, id, request| serve(&server, outbox, id, request);
    let receiving = connection::receive(node.host.clone(), rx, outbox.clone(), limits, serve);
    let replying = connection::reply(tx, outbox.clone());
    let server = node.clone();
    let replying = async move {
        let in_order = replying.await;
        // Who vanishes without a word is counted as a client for ever: the leak of many a pool.
        if !in_order && server.host.planted(Plant("place_not_freed")) {
            return;
        }
        if let Some(ended) = server.open().remove(&number) {
            ended.receiving.cancel();
        }
    };
    let receiving = node.thread.spawn("store_receive", receiving);
    let replying = node.thread.spawn("store_reply", replying);
    node.open().insert(number, Open { outbox, receiving, replying });
}

/// Starts a request; its reply will be pushed into the outbox.
fn serve(node: &Arc<Node>, outbox: &Outbox, id: u64, request: Request) {
    let own = &node.config.own;
    match request {
        Request::Do { value, .. } if value.len() as u64 > own.max_value.0 => {
            outbox.push(id, Reply::Refused { rule: Rule::ValueTooLong });
        }
        Request::Do { value, .. }
            if node.table.buffers.take_text("request", value.len() as u64).is_err() =>
        {
            outbox.push(id, Reply::Busy);
        }
        Request::Do { by, act, key, value } => {
            let outbox = outbox.clone();
            node.writes.start(node.members.me, Write { outbox, id, by, act, key, value });
        }
        Request::Open => open_session(node, outbox, id),
        Request::Get { key } if node.host.planted(Plant("stale_get")) => {
            outbox.push(id, look_up(&node.table, &key));
        }
        Request::Get { key } => read(node, outbox, id, move |table| look_up(table, &key)),
        Request::Range { from, to, limit } => {
            let most = own.max_range.0;
            read(node, outbox, id, move |table| list(table, &from, &to, limit, most));
        }
        Request::Transfer { to } if node.members.get(to).is_none() => {
            outbox.push(id, Reply::Refused { rule: Rule::NoSuchMember });
        }
        Request::Transfer { to } => transfer(node, outbox, id, to),
        Request::Members => members(node, outbox, id),
        Request::Change(target) => change(node, outbox, id, target),
        Request::Status => {
            let table = node.table.lock();
            let (index, hash, keys) = (table.index, table.hash(), table.keys());
            let (me, leader) = (node.members.me, node.raft.leader(GROUP));
            outbox.push(id, Reply::Status { me, leader, index, hash, keys });
        }
    }
}

fn open_session(node: &Node, outbox: &Outbox, id: u64) {
    let outbox = outbox.clone();
    let open = Command::Open { limit: node.config.own.max_sessions }.encode();
    node.raft.propose_with(GROUP, &open, Bytes::new(), crc32fast::hash(b""), move |done| {
        outbox.push(id, outcome(done));
    });
}

fn read(
    node: &Node,
    outbox: &Outbox,
    id: u64,
    look: impl FnOnce(&SharedTable) -> Reply + Send + 'static,
) {
    let (outbox, table) = (outbox.clone(), node.table.clone());
    node.raft.read_with(GROUP, move |outcome| {
        outbox.push(id, outcome.map_or_else(refusal, |()| look(&table)));
    });
}

/// Lets `to` lead. If it does already, that is what was wanted; so a request that is sent again,
/// by a client that does not know what became of it, finds its end.
fn transfer(node: &Node, outbox: &Outbox, id: u64, to: u64) {
    if to == node.members.me && node.raft.leader(GROUP) == to {
        return outbox.push(id, Reply::Done { version: 0 });
    }
    let outbox = outbox.clone();
    node.raft.transfer_with(GROUP, to, move |outcome| {
        outbox.push(
            id,
            match outcome {
                Ok(()) => Reply::Done { version: 0 },
                // Nothing came of it in time, but it may still happen.
                Err(ProposeError::Dropped) => Reply::Lost,
                Err(error) => refusal(error),
            },
        );
    });
}

/// Who belongs to the cluster, if this node leads as far as it knows.
fn members(node: &Node, outbox: &Outbox, id: u64) {
    let leader = node.raft.leader(GROUP);
    outbox.push(
        id,
        match leader == node.members.me {
            true => Reply::Members(node.raft.membership(GROUP)),
            false => Reply::Redirect { leader },
        },
    );
}

fn change(node: &Node, outbox: &Outbox, id: u64, target: Target) {
    let outbox = outbox.clone();
    node.raft.change_with(GROUP, target, move |outcome| {
        outbox.push(
            id,
            match outcome {
                Ok(Changed::Done { index }) => Reply::Done { version: index },
                Ok(Changed::Refused(why)) => Reply::Refused { rule: Rule::Change(why) },
                Err(error) => refusal(error),
            },
        );
    });
}

/// What a proposer of a command is told.
pub(crate) fn outcome(outcome: Result<Applied, ProposeError>) -> Reply {
    outcome.map_or_else(refusal, answer)
}

fn answer(applied: Applied) -> Reply {
    match Answer::decode(&mut Numbers(&applied.reply)) {
        Some(Answer::Opened) => Reply::Opened { session: applied.index },
        Some(Answer::Done { version }) => Reply::Done { version },
        Some(Answer::Mismatch { version }) => Reply::Mismatch { version },
        Some(Answer::NoSession) => Reply::NoSession,
        Some(Answer::Stale) => Reply::Stale,
        // The state machine found no command and did nothing, on every node alike.
        Some(Answer::Refused) | None => Reply::Refused { rule: Rule::NoCommand },
    }
}

/// `Busy` promises that surely nothing happened, and the client repeats the request on its
/// strength; so only an error that promises the same may become one.
fn refusal(error: ProposeError) -> Reply {
    match error {
        ProposeError::NotLeader { leader } => Reply::Redirect { leader },
        ProposeError::Dropped => Reply::Busy,
        ProposeError::Stopped => Reply::Lost,
    }
}

fn look_up(table: &SharedTable, key: &[u8]) -> Reply {
    let found = table.lock().get(key).cloned();
    let Some(item) = found else { return Reply::Missing };
    if table.buffers.take_text("reply", item.len()).is_err() {
        return Reply::Busy;
    }
    match item.value() {
        Some(value) => {
            Reply::Value { version: item.version, client: item.client, op: item.op, value }
        }
        None => Reply::Refused { rule: Rule::Unreadable },
    }
}

/// At most `limit` items and, but for a single longer one, `most` bytes.
fn list(shared: &SharedTable, from: &[u8], to: &[u8], limit: u32, most: u64) -> Reply {
    let table = shared.lock();
    let (mut items, mut bytes) = (Vec::new(), 0);
    for (key, item) in table.range(from, to) {
        bytes += Item::len(key, item.len());
        if items.len() >= limit as usize || (bytes > most && !items.is_empty()) {
            return Reply::Listing { items, more: true };
        }
        if shared.buffers.take_text("reply", item.len()).is_err() {
            return Reply::Busy;
        }
        let (version, client, op) = (item.version, item.client, item.op);
        let Some(value) = item.value() else {
            return Reply::Refused { rule: Rule::Unreadable };
        };
        items.push(Item { key: key.clone(), version, client, op, value });
    }
    Reply::Listing { items, more: false }
}
