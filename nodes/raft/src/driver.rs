//! The consensus loop. It sleeps until something arrives or the first tick that can matter is due;
//! then it catches up with time, takes everything that waits, and carries out what Raft wants in
//! this order: messages that need no disk leave, entries and hard state go to the WAL, committed
//! entries go to the state machine. What needs the disk leaves when the WAL reports it durable. One
//! turn makes at most one frame per peer, one push to the WAL and one to the apply task, however
//! many groups took part.
//!
//! There is no tick timer: `tick()` is called as often as was due before inputs are looked at,
//! which is what a ticker that buffers its ticks does. A thread that was held therefore finds its
//! election timeout passed even though the heartbeats wait in the queue: with `missed_ticks =
//! "drop"` it does not.

mod stop;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use bytes::Bytes;
use host::{Host, Mono, Task, Thread};
use raft::SnapshotStatus;
use raft::eraftpb::{Message, MessageType};

use crate::apply::{ApplyJob, Reply, SharedReplica, lock};
use crate::config::Config;
use crate::event::RaftEvent;
use crate::group::{ChangeReply, Group, ReadReply, TransferReply, proposal};
use crate::log::{Mark, Place};
use crate::mailbox::Mailbox;
use crate::members::Target;
use crate::snapshot::stream::Outgoing;
use crate::snapshot::take::{TakeJob, Taken};
use crate::transport::accept::Accept;
use crate::transport::codec::Envelope;
use crate::transport::link::{Link, LinkConfig};
use crate::wal::layout::{Job, Layout};
use crate::{ProposeError, Shared};

/// Bytes by which a queue to a peer grows before that is stated again.
const QUEUE_STEP: u64 = 256_000;
/// With dropped ticks, the most ticks between two looks at the clock.
const LOOK_TICKS: u64 = 10;

/// What can happen to the loop.
pub(crate) enum Input {
    Message(Envelope),
    Propose {
        group: u32,
        context: Bytes,
        data: Bytes,
        reply: Reply,
    },
    Read {
        group: u32,
        reply: ReadReply,
    },
    Transfer {
        group: u32,
        to: u64,
        reply: TransferReply,
    },
    Change {
        group: u32,
        target: Target,
        reply: ChangeReply,
    },
    /// All batches up to this one are durable.
    Persisted(u64),
    /// All batches up to this one are written and, without `ack_waits_flush`, count as held.
    Written(u64),
    Applied {
        group: u32,
        index: u64,
    },
    SnapshotTaken(Taken),
    SnapshotFailed {
        group: u32,
    },
    SnapshotSent {
        group: u32,
        to: u64,
        index: u64,
        ok: bool,
    },
    Unreachable(u64),
    Failed(io::Error),
    /// The log has waited long for room on the disk.
    NoRoom,
    Stop,
}

/// What completes when a WAL batch does.
pub(crate) enum Completes {
    /// A Ready: its messages may leave.
    Ready { number: u64, messages: Vec<Message>, ack: Option<Ack>, installed: Option<Mark> },
    /// The mark of an own snapshot.
    Mark(Taken),
}

/// The greatest promise among a Ready's messages.
#[derive(Clone, Copy)]
pub(crate) struct Ack {
    pub(crate) term: u64,
    pub(crate) index: u64,
    pub(crate) to: u64,
    pub(crate) place: Place,
}

pub(crate) struct Outstanding {
    pub(crate) seq: u64,
    pub(crate) group: usize,
    pub(crate) completes: Completes,
}

/// The sending side towards one peer, and what this turn has for it.
pub(crate) struct Peer {
    pub(crate) id: u64,
    pub(crate) link: Link,
    pub(crate) config: LinkConfig,
    pub(crate) outbox: Vec<Envelope>,
    /// The largest queue that was stated.
    pub(crate) stated: u64,
}

/// Deliberate defects, looked up once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Plants {
    pub(crate) vote_before_fsync: bool,
    pub(crate) ack_before_fsync: bool,
    pub(crate) vote_not_persisted: bool,
    pub(crate) hardstate_without_sync: bool,
    pub(crate) own_log_before_fsync: bool,
    pub(crate) compact_before_snapshot_durable: bool,
    pub(crate) lease_from_ack: bool,
    pub(crate) lease_survives_transfer: bool,
    pub(crate) lease_on_wall_clock: bool,
    pub(crate) lease_never_ends: bool,
    pub(crate) vote_right_after_boot: bool,
    pub(crate) read_without_quorum: bool,
    pub(crate) log_never_compacted: bool,
    pub(crate) heartbeat_resets_nothing: bool,
    pub(crate) refusal_counts_as_vote: bool,
    pub(crate) stale_grant_counts: bool,
    pub(crate) candidate_votes_again: bool,
    pub(crate) vote_for_stale_log: bool,
    pub(crate) vote_outlives_term: bool,
    pub(crate) request_renews_promise: bool,
    pub(crate) candidate_waits_for_ever: bool,
    pub(crate) append_without_match: bool,
    pub(crate) rejection_ignored: bool,
    pub(crate) heartbeat_commit_unchecked: bool,
    pub(crate) commit_goes_back: bool,
    pub(crate) quorum_too_small: bool,
    pub(crate) log_end_taken_for_committed: bool,
    pub(crate) uncommitted_applied: bool,
    pub(crate) applied_forgotten: bool,
    pub(crate) read_before_own_term: bool,
    pub(crate) snapshot_installed_before_durable: bool,
    pub(crate) snapshot_never_reported: bool,
    pub(crate) snapshot_mark_too_late: bool,
    pub(crate) delta_base_forgotten: bool,
    pub(crate) log_compacted_to_applied: bool,
    pub(crate) request_before_fsync: bool,
    pub(crate) answer_by_index_alone: bool,
    pub(crate) old_entries_restamped: bool,
    pub(crate) neutral_heartbeat_twice: bool,
    pub(crate) neutral_commit_synced: bool,
    pub(crate) neutral_yield_between_jobs: bool,
    pub(crate) neutral_reads_in_reverse: bool,
    pub(crate) neutral_frame_per_message: bool,
    pub(crate) config_applied_when_appended: bool,
    pub(crate) second_change_while_pending: bool,
    pub(crate) joint_skipped: bool,
    pub(crate) removed_still_votes: bool,
    pub(crate) learner_counts: bool,
    pub(crate) vote_withheld: bool,
    pub(crate) waiters_leaked: bool,
    pub(crate) window_ignored: bool,
}

/// Where time stands, in ticks since a random phase before boot.
pub(crate) struct Ticks {
    pub(crate) origin: Mono,
    pub(crate) tick_ns: u64,
    pub(crate) done: u64,
    /// When the loop asked to be woken.
    pub(crate) wake_at: Mono,
}

impl Ticks {
    fn at(&self, point: Mono) -> u64 {
        (point.0.saturating_sub(self.origin.0) / self.tick_ns).max(self.done)
    }

    fn point(&self, ticks: u64) -> Mono {
        Mono(self.origin.0.saturating_add(ticks.saturating_mul(self.tick_ns)))
    }
}

/// The loop's state.
pub(crate) struct Driver {
    pub(crate) host: Host,
    pub(crate) config: Config,
    pub(crate) me: u64,
    pub(crate) plants: Plants,
    pub(crate) snapshot_thread: Thread,
    pub(crate) inbox: Mailbox<Input>,
    pub(crate) groups: Vec<Group>,
    /// Groups that may have something for us, without repetition.
    pub(crate) dirty: Vec<usize>,
    pub(crate) is_dirty: Vec<bool>,
    pub(crate) peers: Vec<Peer>,
    /// Ids of all hosts, this one included.
    pub(crate) known: Vec<u64>,
    pub(crate) layout: Layout,
    pub(crate) outstanding: VecDeque<Outstanding>,
    pub(crate) wal: Mailbox<Job>,
    pub(crate) apply: Mailbox<ApplyJob>,
    pub(crate) apply_jobs: Vec<ApplyJob>,
    /// Tells the apply task that a reader waits for it.
    pub(crate) awaited: Arc<AtomicBool>,
    pub(crate) take: Mailbox<TakeJob>,
    pub(crate) replicas: BTreeMap<u32, SharedReplica>,
    /// A snapshot may rest on others.
    pub(crate) chained: bool,
    pub(crate) ticks: Ticks,
    /// The clock as this turn read it, after it had taken its inputs.
    pub(crate) now: Mono,
    /// A graceful stop is under way, and goes on without waiting from then on.
    pub(crate) stop_by: Option<Mono>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) accept: Arc<Accept>,
    /// The WAL's task, awaited at the end.
    pub(crate) writer: Option<Task>,
    /// The apply task, awaited at a graceful end.
    pub(crate) applier: Option<Task>,
    /// Tasks that end with the loop.
    pub(crate) tasks: Vec<Task>,
}

impl Driver {
    /// Runs until stopped or until the disk fails.
    pub(crate) async fn run(mut self) {
        let mut inputs = Vec::new();
        let mut alarm = self.host.clock().alarm();
        let inbox = self.inbox.clone();
        let outcome = loop {
            alarm.set(self.ticks.wake_at.min(self.stop_by.unwrap_or(Mono::NEVER)));
            std::future::poll_fn(|cx| {
                let arrived = inbox.poll_take(cx, &mut inputs).is_ready();
                let rang = !arrived && alarm.poll_ring(cx).is_ready();
                if arrived || rang { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            // Nothing that is decided in this turn rests on a later moment than this one.
            self.now = self.host.clock().now();
            self.catch_up(self.now);
            let failed = self.inputs(self.now, &mut inputs);
            self.turn();
            if let Some(error) = failed {
                break Err(error);
            }
            if self.is_drained() {
                break Ok(());
            }
        };
        self.end(outcome).await;
    }

    /// Delivers the ticks that are due.
    fn catch_up(&mut self, now: Mono) {
        let due = self.ticks.at(now) - self.ticks.done;
        let wake_at = self.ticks.wake_at;
        let in_time = self.ticks.at(wake_at.min(now)) - self.ticks.done;
        let missed = due - in_time;
        let late = now.since(wake_at);
        if late > self.config.heartbeat() {
            let late_ns = host::unit::nanos(late);
            let group = self.groups.first().map_or(0, |g| g.id);
            self.host.emit(RaftEvent::ThreadLate { group, late_ns, ticks: missed });
        }
        let deliver = match self.config.missed_ticks.0 {
            "drop" => in_time + missed.min(1),
            _ => due,
        };
        self.ticks.done += due;
        for _ in 0..deliver {
            for at in 0..self.groups.len() {
                if self.groups[at].tick(&self.host, now) {
                    self.touch(at);
                }
            }
        }
    }

    pub(crate) fn touch(&mut self, at: usize) {
        if !std::mem::replace(&mut self.is_dirty[at], true) {
            self.dirty.push(at);
        }
    }

    fn at(&self, group: u32) -> Option<usize> {
        self.groups.binary_search_by_key(&group, |g| g.id).ok()
    }

    /// Takes note of what arrived. Yields the error that ends the node.
    fn inputs(&mut self, now: Mono, inputs: &mut Vec<Input>) -> Option<io::Error> {
        let mut failed = None;
        for input in inputs.drain(..) {
            match input {
                Input::Message(Envelope { group, message }) => {
                    if let Some(at) = self.at(group) {
                        let is_snapshot = message.get_msg_type() == MessageType::MsgSnapshot;
                        self.groups[at].step(&self.host, now, message);
                        if is_snapshot && !self.groups[at].has_snapshot() {
                            lock(&self.replicas[&group]).piece = None;
                        }
                        self.touch(at);
                    }
                }
                Input::Propose { group, context, data, reply } => {
                    if let Some(at) = self.at(group) {
                        if self.stop_by.is_some() && self.groups[at].is_leader() {
                            reply.give(Err(ProposeError::Dropped));
                            continue;
                        }
                        self.groups[at].proposals.push((proposal(context, data), reply));
                        self.touch(at);
                    }
                }
                Input::Read { group, reply } => {
                    if let Some(at) = self.at(group) {
                        self.groups[at].add_reader(now, reply);
                        self.touch(at);
                    }
                }
                Input::Transfer { group, to, reply } => {
                    if let Some(at) = self.at(group) {
                        self.groups[at].hand_over(&self.host, to, reply);
                        self.touch(at);
                    }
                }
                Input::Change { group, target, reply } => self.change(now, group, target, reply),
                Input::Persisted(seq) => self.persisted(seq),
                Input::Written(seq) => self.written(seq),
                Input::Applied { group, index } => self.applied(group, index),
                Input::SnapshotTaken(taken) => self.snapshot_taken(taken),
                Input::SnapshotFailed { group } => {
                    lock(&self.replicas[&group]).try_again(self.config.snapshot_every);
                }
                Input::SnapshotSent { group, to, index, ok } => {
                    self.snapshot_sent(group, to, index, ok);
                }
                Input::Unreachable(peer) => self.unreachable(peer),
                Input::Failed(error) => failed = Some(error),
                Input::NoRoom => {
                    self.hand_all_over();
                    // Nothing that waits here can be applied here for as long as that lasts.
                    self.groups.iter_mut().for_each(Group::lets_go);
                }
                Input::Stop => self.begin_stop(now),
            }
        }
        failed
    }

    fn applied(&mut self, group: u32, index: u64) {
        let Some(at) = self.at(group) else { return };
        let group = &mut self.groups[at];
        group.applied = group.applied.max(index);
        group.advance_applied(index);
        group.release_reads();
        self.touch(at);
    }

    fn change(&mut self, now: Mono, group: u32, target: Target, reply: ChangeReply) {
        let Some(at) = self.at(group) else { return };
        if self.stop_by.is_some() && self.groups[at].is_leader() {
            return reply.give(Err(ProposeError::Dropped));
        }
        self.groups[at].change(&self.host, now, (target, &self.known), reply);
        self.touch(at);
    }

    fn unreachable(&mut self, peer: u64) {
        for at in 0..self.groups.len() {
            self.groups[at].raw.report_unreachable(peer);
            self.touch(at);
        }
    }

    fn snapshot_sent(&mut self, group: u32, to: u64, index: u64, ok: bool) {
        let Some(at) = self.at(group) else { return };
        self.host.emit(RaftEvent::SnapshotSent { group, to, index, ok });
        let status = if ok { SnapshotStatus::Finish } else { SnapshotStatus::Failure };
        // The library leaves a follower alone until it hears of its snapshot; etcd's documentation
        // of `ReportSnapshot` warns of users who forget to say so.
        if !self.plants.snapshot_never_reported {
            self.groups[at].raw.report_snapshot(to, status);
        }
        self.touch(at);
    }

    /// Carries out what this turn's inputs came to, then hands it over: frames, WAL, state machine.
    fn turn(&mut self) {
        while let Some(at) = self.dirty.pop() {
            self.is_dirty[at] = false;
            self.groups[at].propose(&self.host);
            self.groups[at].pursue(&self.host, self.now);
            self.groups[at].read(&self.host, self.now);
            self.groups[at].state_waiters(&self.host);
            self.ready(at);
        }
        for at in 0..self.peers.len() {
            let peer = &mut self.peers[at];
            if peer.outbox.is_empty() {
                continue;
            }
            let (id, taken) = (peer.id, peer.link.offer(&mut peer.outbox));
            if taken.queued > peer.stated + QUEUE_STEP {
                peer.stated = taken.queued;
                self.host.emit(RaftEvent::QueueGrew { group: 0, to: id, bytes: taken.queued });
            }
            if !taken.whole {
                self.unreachable(id);
            }
        }
        // `unreachable` makes no work of its own: it only lowers what Raft sends ahead.
        self.dirty.drain(..).for_each(|at| self.is_dirty[at] = false);
        self.wal.push_all(&mut self.layout.jobs);
        // Said before the inbox is looked at again, so no report is missed.
        let awaited = self.groups.iter().any(Group::has_readers);
        self.awaited.store(awaited, Ordering::SeqCst);
        self.apply.push_all(&mut self.apply_jobs);
        let wait = self.groups.iter().filter(|g| !g.installing).map(Group::ticks_to_event).min();
        // A ticker whose missed ticks are dropped notices a hold by its own lateness, so it has to
        // look often: what fell due before the next look counts as lived through.
        let wait = match self.config.missed_ticks.0 {
            "drop" => Some(wait.unwrap_or(LOOK_TICKS).min(LOOK_TICKS)),
            _ => wait,
        };
        self.ticks.wake_at = wait.map_or(Mono::NEVER, |w| self.ticks.point(self.ticks.done + w));
    }

    /// Hands a message to the transport at the end of the turn.
    pub(crate) fn post(&mut self, at: usize, message: Message) {
        for more in self.groups[at].asks_learners(&message) {
            self.send(at, more);
        }
        self.send(at, message);
    }

    fn send(&mut self, at: usize, mut message: Message) {
        let group = &mut self.groups[at];
        group.note_leaving(&self.host, self.me, &message);
        group.stamp(&self.host, self.now, &mut message);
        group.overstates(&mut message);
        let Some(peer) = self.peers.iter_mut().find(|p| p.id == message.to) else { return };
        let group = group.id;
        if message.get_msg_type() != MessageType::MsgSnapshot {
            let is_heartbeat = message.get_msg_type() == MessageType::MsgHeartbeat;
            if self.plants.neutral_heartbeat_twice && is_heartbeat {
                peer.outbox.push(Envelope { group, message: message.clone() });
            }
            peer.outbox.push(Envelope { group, message });
            return;
        }
        let outgoing = Outgoing {
            host: self.host.clone(),
            addr: peer.config.addr.clone(),
            me: self.me,
            cluster: peer.config.cluster,
            dial_timeout: self.config.dial_timeout,
            stall: self.config.snapshot_stall,
            chained: self.chained,
            group,
            message,
            inbox: self.inbox.clone(),
        };
        drop(self.snapshot_thread.spawn("raft_snapshot_send", outgoing.run()));
    }
}
