//! The node: consensus underneath, a listener for clients on top. A connection has two tasks: one
//! reads requests and starts them, one sends the replies that have gathered. A request costs no
//! task and no channel of its own: its outcome is a reply pushed into the connection's outbox.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use host::{Chunks, Class, Conn, Host, Listener, Members, Sender, Task, Thread};
use raft_driver::{Applied, ProposeError, Raft};

use crate::Config;
use crate::event::StoreEvent;
use crate::table::{Put, SharedTable};
use crate::wire::{Reply, Request, decode_request, encode_reply};

/// The store's only Raft group.
const GROUP: u32 = 1;
const CLIENT: Class = Class("client");
/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Runs a store node until it is stopped or its disk fails; called at each boot.
pub async fn run(host: Host, config: Config, members: Members) -> io::Result<()> {
    let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidInput, why);
    config.validate().map_err(invalid)?;
    let me = members.get(members.me).ok_or_else(|| invalid("this host is no member".into()))?;
    let table = SharedTable::default();
    let machine = |_| -> Box<dyn raft_driver::StateMachine> { Box::new(table.clone()) };
    let raft = raft_driver::start(&host, &config.raft, &members, &[GROUP], machine).await?;
    let listener = host.net().listen(&me.client_addr).await?;
    host.emit(StoreEvent::Serving { keys: table.lock().keys() });
    let node = Arc::new(Node {
        thread: host.thread("client"),
        host,
        config,
        raft: raft.clone(),
        table,
        tasks: Mutex::new(BTreeMap::new()),
    });
    let accepting = node.thread.spawn("store_accept", accept(node.clone(), listener));
    let outcome = raft.ended().await;
    accepting.cancel();
    std::mem::take(&mut *node.tasks()).into_values().for_each(Task::cancel);
    outcome
}

struct Node {
    host: Host,
    thread: Thread,
    config: Config,
    raft: Raft,
    table: SharedTable,
    /// Tasks of open connections, to be ended with the node.
    tasks: Mutex<BTreeMap<u64, Task>>,
}

impl Node {
    fn tasks(&self) -> MutexGuard<'_, BTreeMap<u64, Task>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(node: Arc<Node>, listener: Listener) {
    let mut count = 0;
    loop {
        match listener.accept().await {
            Ok(conn) => {
                let outbox = Outbox::default();
                let (receiving, sending) = (count, count + 1);
                count += 2;
                let (tx, task) = receive(node.clone(), conn, outbox.clone(), receiving);
                let task = node.thread.spawn("store_receive", task);
                node.tasks().insert(receiving, task);
                let task = reply(node.clone(), tx, outbox, sending);
                let task = node.thread.spawn("store_reply", task);
                node.tasks().insert(sending, task);
            }
            Err(_) => node.host.clock().sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Replies on their way to one client.
#[derive(Clone, Default)]
struct Outbox(Arc<Waiting>);

#[derive(Default)]
struct Waiting {
    state: Mutex<Gathered>,
    /// Requests that have no reply yet.
    pending: AtomicU64,
}

#[derive(Default)]
struct Gathered {
    replies: VecDeque<(u64, Reply)>,
    waker: Option<Waker>,
    closed: bool,
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, Gathered> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, id: u64, reply: Reply) {
        self.0.pending.fetch_sub(1, Ordering::Relaxed);
        let mut state = self.lock();
        if state.closed {
            return;
        }
        state.replies.push_back((id, reply));
        wake(state);
    }

    fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        wake(state);
    }

    /// The next reply; `None` after `close`.
    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<(u64, Reply)>> {
        let mut state = self.lock();
        match state.replies.pop_front() {
            _ if state.closed => Poll::Ready(None),
            Some(reply) => Poll::Ready(Some(reply)),
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

fn wake(mut state: MutexGuard<'_, Gathered>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Splits a connection into its sending end and the task that reads it. A frame that is no request
/// ends it.
fn receive(
    node: Arc<Node>,
    conn: Conn,
    outbox: Outbox,
    number: u64,
) -> (Sender, impl Future<Output = ()> + Send) {
    let (tx, mut rx) = conn.split();
    let task = async move {
        while let Ok(Some(frame)) = rx.recv().await {
            let Some((id, request)) = decode_request(&frame) else { break };
            serve(&node, &outbox, id, request);
        }
        outbox.close();
        node.tasks().remove(&number);
    };
    (tx, task)
}

async fn reply(node: Arc<Node>, mut tx: Sender, outbox: Outbox, number: u64) {
    while let Some((id, reply)) = std::future::poll_fn(|cx| outbox.poll_next(cx)).await {
        let frame: Chunks = encode_reply(id, &reply);
        if tx.send(CLIENT, frame).await.is_err() {
            break;
        }
    }
    outbox.close();
    tx.close();
    node.tasks().remove(&number);
}

/// Starts a request; its reply will be pushed into the outbox.
fn serve(node: &Arc<Node>, outbox: &Outbox, id: u64, request: Request) {
    let pending = outbox.0.pending.fetch_add(1, Ordering::Relaxed);
    if pending >= node.config.own.max_requests {
        outbox.push(id, Reply::Busy);
        return;
    }
    match request {
        Request::Put { value, .. } if value.len() as u64 > node.config.own.max_value.0 => {
            outbox.push(id, Reply::Refused);
        }
        Request::Put { client, op, key, value } => {
            let crc = crc32fast::hash(&value);
            let command = Put { client, op, crc, key }.encode();
            let outbox = outbox.clone();
            node.raft.propose_with(GROUP, &command, value, crc, move |outcome| {
                outbox.push(id, put_reply(outcome));
            });
        }
        Request::Get { key } => {
            let (outbox, table) = (outbox.clone(), node.table.clone());
            node.raft.read_with(GROUP, move |outcome| {
                let reply = outcome.map_or_else(refusal, |()| look_up(&table, &key));
                outbox.push(id, reply);
            });
        }
        Request::Status => {
            let table = node.table.lock();
            let (index, hash, keys) = (table.index, table.hash(), table.keys());
            let leader = node.raft.leader(GROUP);
            outbox.push(id, Reply::Status { leader, index, hash, keys });
        }
    }
}

fn put_reply(outcome: Result<Applied, ProposeError>) -> Reply {
    match outcome {
        Ok(applied) => match applied.reply[..].try_into() {
            Ok(version) => Reply::Done { version: u64::from_le_bytes(version) },
            // The state machine refused the command and did nothing, on every node alike.
            Err(_) => Reply::Refused,
        },
        Err(error) => refusal(error),
    }
}

/// `Busy` promises that surely nothing happened, and the client repeats the put on its strength; so
/// only an error that promises the same may become one.
fn refusal(error: ProposeError) -> Reply {
    match error {
        ProposeError::NotLeader { leader } => Reply::Redirect { leader },
        ProposeError::Dropped => Reply::Busy,
        ProposeError::Stopped => Reply::Lost,
    }
}

fn look_up(table: &SharedTable, key: &[u8]) -> Reply {
    match table.lock().get(key) {
        Some(item) => Reply::Value {
            version: item.version,
            client: item.client,
            op: item.op,
            value: item.value.clone(),
        },
        None => Reply::Missing,
    }
}
