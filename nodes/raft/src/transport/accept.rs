//! The receiving side: accepts connections, believes a hello of the same cluster, and hands
//! messages to the consensus loop, a frame at a time. A frame that is garbage, or a message that no
//! honest peer sends on this way, ends its connection and nothing else. So does a frame beyond
//! `body_limit`, as with an HTTP server's bound on bodies: its sender, told nothing, sends it again.
//! A peer that dials anew has given up what it dialled before, even if this end never heard of it:
//! its latest connection ends the one before.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use host::{Chunks, Class, Conn, Host, Listener, Receiver, Sender, Task, Thread};
use raft::eraftpb::MessageType;

use super::codec::{Envelope, Garbage, Sums, decode};
use super::{Purpose, read_hello};
use crate::apply::{SharedReplica, lock, restoring};
use crate::driver::Input;
use crate::event::RaftEvent;
use crate::mailbox::Mailbox;
use crate::snapshot::stream;

/// How long a new connection may wait with its hello.
const HELLO_WITHIN: Duration = Duration::from_secs(5);
/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// What the receiving side needs to know.
pub(crate) struct Accept {
    pub(crate) host: Host,
    pub(crate) thread: Thread,
    pub(crate) me: u64,
    pub(crate) cluster: u64,
    /// Ids of the peers that may send.
    pub(crate) peers: Vec<u64>,
    /// The groups that exist, in order.
    pub(crate) groups: Vec<u32>,
    /// Whether frames are compared with their checksums.
    pub(crate) sums: Sums,
    pub(crate) snapshot_stall: Duration,
    /// Longer frames are refused; 0: none is.
    pub(crate) body_limit: u64,
    /// A peer's snapshot is restored in one piece, for which there has to be memory.
    pub(crate) restores_whole: bool,
    pub(crate) replicas: BTreeMap<u32, SharedReplica>,
    pub(crate) inbox: Mailbox<Input>,
    /// Tasks of open connections, to be ended with the node.
    pub(crate) connections: Mutex<BTreeMap<u64, Task>>,
    /// The connection on which a peer sends its messages.
    pub(crate) current: Mutex<BTreeMap<u64, u64>>,
}

impl Accept {
    fn tasks(&self) -> MutexGuard<'_, BTreeMap<u64, Task>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self) -> MutexGuard<'_, BTreeMap<u64, u64>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the peer sends on this connection; false if it has dialled another since.
    fn replaces(&self, from: u64, number: u64) -> bool {
        let mut current = self.current();
        let before = current.get(&from).copied();
        if before.is_some_and(|before| before > number) {
            return false;
        }
        current.insert(from, number);
        drop(current);
        if let Some(task) = before.and_then(|before| self.tasks().remove(&before)) {
            task.cancel();
        }
        true
    }

    /// Claims the memory that a peer's snapshot takes until it is restored.
    pub(crate) fn claim(&self, group: u32, index: u64, bytes: u64) -> io::Result<()> {
        if self.restores_whole {
            let claim = restoring(&self.host, (group, index), bytes)?;
            lock(&self.replicas[&group]).piece = Some(claim);
        }
        Ok(())
    }

    /// Ends all connections.
    pub(crate) fn end(&self) {
        let tasks = std::mem::take(&mut *self.tasks());
        tasks.into_values().for_each(Task::cancel);
    }

    /// Whether an honest peer would send this message in a frame.
    fn accepts(&self, from: u64, envelope: &Envelope) -> bool {
        use MessageType::*;
        let message = &envelope.message;
        let expected = matches!(
            message.get_msg_type(),
            MsgAppend
                | MsgAppendResponse
                | MsgRequestVote
                | MsgRequestVoteResponse
                | MsgHeartbeat
                | MsgHeartbeatResponse
                | MsgRequestPreVote
                | MsgRequestPreVoteResponse
                | MsgTimeoutNow
        );
        expected && self.addressed(from, envelope)
    }

    /// Whether it is from that peer, to this node, about a group that exists.
    pub(crate) fn addressed(&self, from: u64, envelope: &Envelope) -> bool {
        let message = &envelope.message;
        message.from == from
            && message.to == self.me
            && message.term > 0
            && self.groups.binary_search(&envelope.group).is_ok()
    }
}

/// Accepts until cancelled.
pub(crate) async fn run(accept: Arc<Accept>, listener: Listener) {
    let mut count = 0u64;
    loop {
        match listener.accept().await {
            Ok(conn) => {
                count += 1;
                let task = serve(accept.clone(), conn, count);
                let task = accept.thread.spawn("raft_receive", task);
                accept.tasks().insert(count, task);
            }
            Err(_) => accept.host.clock().sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn serve(accept: Arc<Accept>, conn: Conn, number: u64) {
    let (tx, mut rx) = conn.split();
    let first = accept.host.clock().within(HELLO_WITHIN, rx.recv()).await;
    let hello = match first {
        Some(Ok(Some(frame))) => read_hello(&frame, accept.cluster),
        _ => None,
    };
    match hello.filter(|(_, from)| accept.peers.contains(from)) {
        Some((Purpose::Snapshot, from)) => stream::receive(&accept, from, number, tx, rx).await,
        Some((_, from)) if !accept.replaces(from, number) => tx.abort(),
        Some((purpose, from)) => {
            receive(&accept, purpose, from, tx, rx).await;
            accept.current().retain(|_, current| *current != number);
        }
        None => tx.abort(),
    }
    accept.tasks().remove(&number);
}

async fn receive(accept: &Accept, purpose: Purpose, from: u64, mut tx: Sender, mut rx: Receiver) {
    let mut turn = Vec::new();
    while let Ok(Some(frame)) = rx.recv().await {
        if accept.body_limit > 0 && frame.len() > accept.body_limit {
            let event = RaftEvent::BodyRefused { group: 0, from, bytes: frame.len() };
            accept.host.emit(event);
            tx.abort();
            return;
        }
        let (seq, frame) = match purpose {
            Purpose::Request if frame.len() > 8 => {
                (Some(frame.slice(0, 8)), frame.slice(8, frame.len() - 8))
            }
            _ => (None, frame),
        };
        if take(accept, from, &frame, &mut turn).is_err() {
            tx.abort();
            return;
        }
        if !accept.inbox.push_all(&mut turn) {
            return;
        }
        if let Some(seq) = seq
            && tx.send(Class("answer"), seq).await.is_err()
        {
            return;
        }
    }
}

/// Decodes a frame; on any doubt none of it counts.
fn take(accept: &Accept, from: u64, frame: &Chunks, turn: &mut Vec<Input>) -> Result<(), Garbage> {
    let mut honest = true;
    let outcome = decode(frame, accept.sums, |envelope| {
        honest &= accept.accepts(from, &envelope);
        turn.push(Input::Message(envelope));
    });
    let outcome = outcome.and(if honest { Ok(()) } else { Err(Garbage("not for this node")) });
    if outcome.is_err() {
        turn.clear();
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_arm::{TestArm, at_once};
    use crate::transport::codec::encode;
    use raft::eraftpb::Message;

    fn accept(host: &Host, body_limit: u64) -> Accept {
        Accept {
            host: host.clone(),
            thread: host.thread("raft"),
            me: 1,
            cluster: 7,
            peers: vec![2],
            groups: vec![1],
            sums: Sums::Compared,
            snapshot_stall: Duration::ZERO,
            body_limit,
            restores_whole: false,
            replicas: BTreeMap::new(),
            inbox: Mailbox::new(),
            connections: Mutex::default(),
            current: Mutex::default(),
        }
    }

    #[test]
    fn a_body_beyond_the_limit_ends_its_connection_and_is_not_looked_at() {
        let mut message = Message { from: 2, to: 1, term: 1, ..Message::default() };
        message.set_msg_type(MessageType::MsgHeartbeat);
        let mut once = Some(Envelope { group: 1, message }).into_iter();
        let frame = encode(&mut once, |_| true).data;
        let len = frame.len();
        for (limit, taken) in [(0, 2), (len - 1, 0), (len, 2), (len + 1, 2)] {
            let arm = TestArm::new();
            arm.receives(&[&frame, &frame]);
            let accept = accept(&arm.host(), limit);
            let (net, addr) = (arm.host().net(), host::Addr("n2".to_string()));
            let conn = at_once(net.dial(&addr, Duration::ZERO, host::Style::Stream));
            let (tx, rx) = conn.expect("through").expect("dialled").split();
            let ended = at_once(receive(&accept, Purpose::Stream, 2, tx, rx)).is_some();
            assert_eq!((ended, accept.inbox.take_now().len()), (taken == 0, taken), "{limit}");
            let said: &[&str] = if taken == 0 { &["body_refused", "aborted"] } else { &[] };
            assert_eq!(arm.said(), said);
        }
    }
}
