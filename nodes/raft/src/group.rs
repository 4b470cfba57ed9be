//! One Raft group as the loop sees it: the `raft` crate's state machine, the election timeout
//! pinned to a named draw, the facts that follow from changes of term and role, and who waits for
//! proposals and reads.
//!
//! The crate draws election timeouts from the operating system's entropy. After every step that
//! could have drawn one it is overwritten by a draw keyed by (group, count of role changes and
//! campaigns), so that a seed decides it and one more message shifts nothing.

mod asking;
mod emptied;
mod members;
mod planted;
mod reads;
mod timer;
mod transfer;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use host::{Host, Mono};
use raft::eraftpb::{Entry, Message, MessageType};
use raft::{RawNode, StateRole};

use crate::ProposeError;
use crate::answer::Answer;
use crate::apply::{Reply, Waiter};
use crate::config::Config;
use crate::driver::Plants;
use crate::event::RaftEvent;
use crate::lease::{Lease, Promise};
use crate::log::LogStore;
use crate::members::Membership;
use asking::Asking;
pub(crate) use members::ChangeReply;
use members::{Change, Farewell};
use transfer::Transfer;
pub(crate) use transfer::TransferReply;

/// Where a reader waits.
pub(crate) type ReadReply = Answer<()>;

#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    term: u64,
    role: StateRole,
    leader: u64,
}

/// A group.
pub(crate) struct Group {
    pub(crate) id: u32,
    pub(crate) raw: RawNode<LogStore>,
    seen: Seen,
    /// How many timeouts were drawn, and the last one.
    draws: u64,
    pinned: usize,
    election_ticks: (u64, u64),
    /// Only a leader, a granted vote and an own campaign restart the election timer.
    steady_timer: bool,
    /// Requests for votes leave before the own vote is durable.
    asks_early: bool,
    asking: Asking,
    /// The last valid message of a leader, or boot.
    heard: Mono,
    /// The term for which the own vote has left.
    own_vote: u64,
    pub(crate) committed: u64,
    /// How far the state machine is.
    pub(crate) applied: u64,
    /// Planted: the last entry that went to the state machine, committed or not.
    handed: u64,
    /// Commit moved and is not in the WAL; it goes with the next batch.
    pub(crate) commit_unwritten: bool,
    /// A peer's snapshot is being made durable; until then the group's time stands still.
    pub(crate) installing: bool,
    /// Batches in the WAL that have not completed.
    pub(crate) outstanding: u64,
    /// This turn's proposals.
    pub(crate) proposals: Vec<(Entry, Reply)>,
    pub(crate) waiters: VecDeque<Waiter>,
    /// Readers without a read index yet.
    reading: Vec<ReadReply>,
    /// When the first of them came.
    reading_since: Mono,
    /// Readers whose read index has been asked for, by the number under which it was, and when.
    asked: VecDeque<(u64, Mono, Vec<ReadReply>)>,
    read_count: u64,
    /// The last read index that was confirmed, or given up with the term.
    read_settled: u64,
    /// How long a reader waits for the leader to be sure that it leads.
    read_patience: Duration,
    /// Readers that wait for the state machine to reach an index.
    behind: Vec<(u64, ReadReply)>,
    /// The most waiters that were stated.
    stated_waiters: usize,
    /// The last promise that was stated: term, index, to whom.
    pub(crate) promised: (u64, u64, u64),
    plants: Plants,
    /// With `reads = "lease"`: what this node promises whoever leads.
    promise: Option<Promise>,
    /// Whether it has heard a leader in this boot.
    heard_any: bool,
    /// With `reads = "lease"`: what it may do while it leads.
    lease: Option<Lease>,
    /// The end of the lease that was stated last.
    lease_stated: Mono,
    /// Leadership is being handed over.
    transfer: Option<Transfer>,
    /// Who belongs to the group.
    pub(crate) membership: Membership,
    /// A change of members that this leader was asked for.
    change: Option<Change>,
    /// How far this leader, which is to be no voter, has come with leaving.
    farewell: Option<Farewell>,
    /// Whether entries are acknowledged before they are durable, and a power loss may take them.
    forgetful: bool,
    /// How long new voters have to catch up.
    patience: Duration,
    /// The time between two heartbeats.
    beat: Duration,
    /// The least time without a leader after which a node may campaign.
    least_silence: Duration,
}

impl Group {
    pub(crate) fn new(
        id: u32,
        raw: RawNode<LogStore>,
        config: &Config,
        plants: Plants,
        now: Mono,
    ) -> Group {
        let promise = Promise::new(config.tick, config.election_ticks().0);
        let promise = (config.reads.0 == "lease").then_some(promise);
        let lease = promise.map(|p| Lease::new(raw.raft.id, p, config.lease_drift));
        let seen = Seen { term: raw.raft.term, role: raw.raft.state, leader: raw.raft.leader_id };
        let committed = raw.raft.raft_log.committed;
        let applied = raw.raft.raft_log.applied;
        Group {
            id,
            raw,
            seen,
            draws: 0,
            pinned: 0,
            election_ticks: config.election_ticks(),
            steady_timer: config.timer_restarts.0 == "vote_granted",
            asks_early: config.vote_request.0 == "at_once",
            asking: Asking::default(),
            heard: now,
            own_vote: 0,
            committed,
            applied,
            handed: applied,
            commit_unwritten: false,
            installing: false,
            outstanding: 0,
            proposals: Vec::new(),
            waiters: VecDeque::new(),
            reading: Vec::new(),
            reading_since: now,
            asked: VecDeque::new(),
            read_count: 0,
            read_settled: 0,
            read_patience: config.election_timeout.max,
            behind: Vec::new(),
            stated_waiters: 0,
            promised: (0, 0, 0),
            plants,
            promise,
            heard_any: false,
            lease,
            lease_stated: Mono(0),
            transfer: None,
            membership: Membership::default(),
            change: None,
            farewell: None,
            forgetful: config.ack_waits_flush.0 == "off",
            patience: members::patience(config.election_timeout.max),
            beat: config.heartbeat(),
            least_silence: config.election_timeout.min,
        }
    }

    pub(crate) fn is_leader(&self) -> bool {
        self.raw.raft.state == StateRole::Leader
    }

    /// Whether a peer's snapshot is to be installed with the next Ready.
    pub(crate) fn has_snapshot(&self) -> bool {
        self.raw.raft.raft_log.unstable.snapshot.is_some()
    }

    /// Whom it follows; 0 if nobody is known. Who does not belong to the group hears of no leader
    /// any more, and sends nobody to the last one.
    pub(crate) fn leader(&self) -> u64 {
        let raft = &self.raw.raft;
        if self.membership.belongs(raft.id) { raft.leader_id } else { 0 }
    }

    /// Draws the next election timeout.
    pub(crate) fn redraw(&mut self, host: &Host) {
        let (min, max) = self.election_ticks;
        let key = u64::from(self.id) << 32 | self.draws;
        self.draws += 1;
        self.pinned = (min + host.rng("election", key).below(max - min)) as usize;
        self.raw.raft.set_randomized_election_timeout(self.pinned);
    }

    /// Ticks until something can happen by time alone.
    pub(crate) fn ticks_to_event(&self) -> u64 {
        let raft = &self.raw.raft;
        let ticks = if self.is_leader() {
            let heartbeat = raft.heartbeat_timeout().saturating_sub(raft.heartbeat_elapsed());
            let quorum = raft.election_timeout().saturating_sub(raft.election_elapsed);
            heartbeat.min(quorum)
        } else if !raft.promotable() {
            // It never campaigns.
            raft.election_timeout()
        } else {
            raft.randomized_election_timeout().saturating_sub(raft.election_elapsed)
        };
        ticks.max(1) as u64
    }

    /// One tick. True if it may have made work.
    pub(crate) fn tick(&mut self, host: &Host, now: Mono) -> bool {
        if self.installing || self.waits_for_ever() {
            return false;
        }
        let was = self.raw.raft.state;
        let ready = self.raw.tick();
        self.watch_transfer();
        if !ready {
            return false;
        }
        if was == StateRole::Follower && self.raw.raft.state != StateRole::Follower {
            let silent_ns = host::unit::nanos(now.since(self.heard));
            host.emit(RaftEvent::ElectionTimeout { group: self.id, silent_ns });
        }
        let again = was == self.raw.raft.state && was != StateRole::Leader;
        self.observe(host, again);
        true
    }

    /// A message from a peer.
    pub(crate) fn step(&mut self, host: &Host, now: Mono, mut message: Message) {
        use MessageType::{MsgAppend, MsgHeartbeat, MsgSnapshot};
        if self.holds(&message) {
            return;
        }
        let orders = message.get_msg_type() == MessageType::MsgTimeoutNow;
        let silent = self.owes_silence(now, &message) || self.is_stranger(now, &message);
        self.renews(now, &message);
        if silent || (self.installing && orders) || self.mistakes(&mut message) {
            return;
        }
        if self.plants.vote_withheld && self.heard_any && asks_for_vote(&message) {
            return;
        }
        let protest = self.protests(&message);
        self.counts_learner(&mut message);
        self.stamps(host, now, &mut message);
        let (from, term) = (message.from, message.term);
        let leads = matches!(message.get_msg_type(), MsgAppend | MsgHeartbeat | MsgSnapshot);
        let elapsed = self.keeps_timer(&message);
        let timer = self.timer_before(&message);
        let disowned = self.disowns(&mut message);
        self.forgets(&message);
        let stated = (message.get_msg_type(), message.commit, message.reject);
        // Errors are messages from strangers and dropped proposals; neither needs an answer here.
        let _ = self.raw.step(message);
        self.concludes(from, term, stated);
        self.raw.raft.msgs.extend(disowned.into_iter().chain(protest));
        if leads && self.raw.raft.term == term && self.raw.raft.leader_id == from {
            (self.heard, self.heard_any) = (now, true);
        }
        if let Some(elapsed) = elapsed {
            self.raw.raft.election_elapsed = elapsed;
        }
        self.observe(host, false);
        self.timer_goes_on(timer);
    }

    /// Planted: the election timer as it stands, if a heartbeat of the known leader is to leave it.
    fn keeps_timer(&self, message: &Message) -> Option<usize> {
        let raft = &self.raw.raft;
        let known = message.get_msg_type() == MessageType::MsgHeartbeat
            && (message.term, message.from) == (raft.term, raft.leader_id);
        (self.plants.heartbeat_resets_nothing && known).then_some(raft.election_elapsed)
    }

    /// Pins the election timeout and states what has become of the node. `again` is a campaign that
    /// changed neither term nor role.
    pub(crate) fn observe(&mut self, host: &Host, again: bool) {
        let raft = &self.raw.raft;
        let now = Seen { term: raft.term, role: raft.state, leader: raft.leader_id };
        if now == self.seen && !again {
            if raft.randomized_election_timeout() != self.pinned {
                self.raw.raft.set_randomized_election_timeout(self.pinned);
            }
            return;
        }
        let before = std::mem::replace(&mut self.seen, now);
        self.redraw(host);
        self.lease_follows(host, before.role, before.term);
        self.watch_transfer();
        let (group, term) = (self.id, now.term);
        let stood = now.role == StateRole::Candidate
            || (now.role == StateRole::Leader && before.term != term);
        if stood && (before.term != term || again) {
            host.emit(RaftEvent::Candidate { group, term });
        }
        match now.role {
            StateRole::PreCandidate => host.emit(RaftEvent::PreCandidate { group, term }),
            StateRole::Candidate => {}
            StateRole::Follower => {
                host.emit(RaftEvent::Follower { group, term, leader: now.leader });
            }
            StateRole::Leader => {
                let log = self.raw.store();
                let last = log.mark(log.last()).expect("the last entry is held");
                let (last_index, last_term, chain) = (last.index, last.term, last.chain);
                host.emit(RaftEvent::Leader { group, term, last_index, last_term, chain });
                self.restamps();
            }
        }
        if before.role == StateRole::Leader && now.role != StateRole::Leader {
            self.change = None;
            self.lead_no_more(now.leader);
        }
    }

    /// The facts of a message that is handed to the transport now.
    pub(crate) fn note_leaving(&mut self, host: &Host, me: u64, message: &Message) {
        let (group, term) = (self.id, message.term);
        match message.get_msg_type() {
            MessageType::MsgRequestVoteResponse if !message.reject => {
                host.emit(RaftEvent::VoteGranted { group, term, to: message.to });
            }
            MessageType::MsgRequestVote if self.own_vote < term && !self.asking.is_under_way() => {
                self.own_vote = term;
                host.emit(RaftEvent::VoteGranted { group, term, to: me });
            }
            _ => {}
        }
    }

    /// Puts this turn's proposals into the log, as one message.
    pub(crate) fn propose(&mut self, host: &Host) {
        if self.proposals.is_empty() {
            return;
        }
        let (entries, replies): (Vec<Entry>, Vec<Reply>) = self.proposals.drain(..).unzip();
        if !self.is_leader() {
            let leader = self.leader();
            for reply in replies {
                reply.give(Err(ProposeError::NotLeader { leader }));
            }
            return;
        }
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgPropose);
        message.from = self.raw.raft.id;
        message.set_entries(entries.into());
        let term = self.raw.raft.term;
        let accepted = self.raw.step(message).is_ok();
        if accepted {
            let last = self.raw.raft.raft_log.last_index();
            let first = last + 1 - replies.len() as u64;
            let waiter = |(index, reply)| Waiter { index, term, reply };
            self.waiters.extend((first..).zip(replies).map(waiter));
        } else {
            // Raft takes all entries of a message or none, so these are in no log.
            replies.into_iter().for_each(|reply| reply.give(Err(ProposeError::Dropped)));
        }
        self.observe(host, false);
    }

    /// Those who wait for entries up to `index`, in order.
    pub(crate) fn waiters_to(&mut self, index: u64) -> Vec<Waiter> {
        let n = self.waiters.partition_point(|w| w.index <= index);
        if n == 0 {
            return Vec::new();
        }
        self.waiters.drain(..n).collect()
    }

    /// Entries of `term` now lie at `first` and after, in place of what was proposed here. That is
    /// no loss yet: they are not committed, another node may still hold the old ones, win with them
    /// and commit them (figure 8 of the Raft paper). Only what is *applied* there decides, and this
    /// node does not keep who waits until then, so nobody knows.
    pub(crate) fn overwritten(&mut self, first: u64, term: u64) {
        if self.plants.answer_by_index_alone {
            return;
        }
        while self.waiters.back().is_some_and(|w| w.index >= first && w.term < term) {
            let waiter = self.waiters.pop_back().expect("looked at above");
            waiter.reply.give(Err(ProposeError::Stopped));
        }
    }

    /// Tells Raft how far the state machine is, as far as Raft can believe it.
    pub(crate) fn advance_applied(&mut self, index: u64) {
        let log = &self.raw.raft.raft_log;
        let known = index.min(log.committed).min(log.persisted);
        if known > log.applied {
            self.raw.advance_apply_to(known);
        }
    }
}

fn asks_for_vote(message: &Message) -> bool {
    use MessageType::{MsgRequestPreVote, MsgRequestVote};
    matches!(message.get_msg_type(), MsgRequestVote | MsgRequestPreVote)
}

/// An entry as it is proposed.
pub(crate) fn proposal(context: Bytes, data: Bytes) -> Entry {
    let mut entry = Entry::default();
    (entry.context, entry.data) = (context, data);
    entry
}
