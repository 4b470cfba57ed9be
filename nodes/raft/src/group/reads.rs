//! Reads: at the leader's commit index, once it is sure that it still leads, and once the state
//! machine is there. It is sure because a quorum says so after the read came (a read index), or
//! because it holds a lease (`lease`). Here too is what a lease means for messages: stamps on
//! heartbeats, and the silence that a voter owes.
//!
//! A leader that cannot learn whether it leads, cut off and without a check of its quorum, keeps
//! nobody waiting: after the upper election timeout a reader is told to ask again, and raft-rs, which
//! forgets nothing before the term ends, is not asked for ever more.

use host::{Host, Mono};
use raft::eraftpb::{Message, MessageType};
use raft::{CAMPAIGN_TRANSFER, StateRole};

use super::{Group, ReadReply};
use crate::ProposeError;
use crate::event::RaftEvent;
use crate::lease::Stamp;

/// Read indices that raft-rs is asked for before it has answered one of them.
const UNSETTLED_MAX: u64 = 256;
/// By how many waiters have to be more before that is stated again.
const WAITERS_STEP: usize = 32;

impl Group {
    /// Reads that had no answer yet must be asked of somebody else; proposals may still succeed.
    pub(super) fn lead_no_more(&mut self, leader: u64) {
        let refused = || Err(ProposeError::NotLeader { leader });
        self.read_settled = self.read_count;
        let asked = self.asked.drain(..).flat_map(|(_, _, replies)| replies);
        for reply in asked.chain(self.reading.drain(..)) {
            reply.give(refused());
        }
    }

    /// A reader came.
    pub(crate) fn add_reader(&mut self, now: Mono, reply: ReadReply) {
        if self.reading.is_empty() {
            self.reading_since = now;
        }
        self.reading.push(reply);
    }

    /// Admits all readers that came, once this leader may: at once under its lease, else by asking
    /// for a read index.
    ///
    /// `now` was read after the readers were taken from the queue and before anything is decided:
    /// that moment is where their reads lie in the order of things. If the lease held then, nobody
    /// else led, so all that had been acknowledged anywhere was committed here; that this thread
    /// may be held from there on, for longer than the lease lasts, takes nothing away.
    pub(crate) fn read(&mut self, host: &Host, now: Mono) {
        if self.reading.is_empty() && self.asked.is_empty() {
            return;
        }
        if !self.is_leader() {
            self.lead_no_more(self.leader());
            return;
        }
        self.refuse_late(now);
        if self.reading.is_empty() {
            return;
        }
        // A majority has just elected this leader, so it looks as if nothing had to be asked. But it
        // may not know yet what the one before it committed: TiKV's issue 6340.
        let early = self.plants.read_before_own_term && !self.raw.raft.commit_to_current_term();
        if !early && !self.raw.raft.commit_to_current_term() {
            return;
        }
        let held = self.holds_lease(host, now);
        if held || early || self.plants.read_without_quorum {
            let index = self.raw.raft.raft_log.committed;
            if held && !early {
                let (group, term) = (self.id, self.raw.raft.term);
                let reads = self.reading.len() as u64;
                host.emit(RaftEvent::LeaseRead { group, term, index, reads });
            }
            self.behind.extend(self.reading.drain(..).map(|r| (index, r)));
            self.release_reads();
            return;
        }
        if self.read_count - self.read_settled >= UNSETTLED_MAX && !self.plants.waiters_leaked {
            return;
        }
        self.read_count += 1;
        let number = self.read_count;
        self.asked.push_back((number, now, std::mem::take(&mut self.reading)));
        self.raw.read_index(number.to_le_bytes().to_vec());
    }

    /// Readers that have waited too long for the leader to be sure of itself are told to ask again: for them
    /// nothing was done.
    fn refuse_late(&mut self, now: Mono) {
        if self.plants.waiters_leaked {
            return;
        }
        let patience = self.read_patience;
        let late = |since: Mono| now.since(since) > patience;
        while self.asked.front().is_some_and(|(_, since, _)| late(*since)) {
            let (_, _, replies) = self.asked.pop_front().expect("looked at above");
            replies.into_iter().for_each(|reply| reply.give(Err(ProposeError::Dropped)));
        }
        if late(self.reading_since) {
            self.reading.drain(..).for_each(|reply| reply.give(Err(ProposeError::Dropped)));
        }
    }

    /// States how many wait here, when they have become clearly more than ever before.
    pub(crate) fn state_waiters(&mut self, host: &Host) {
        let asked: usize = self.asked.iter().map(|(_, _, replies)| replies.len()).sum();
        let count = self.waiters.len() + self.reading.len() + asked + self.behind.len();
        if count >= self.stated_waiters + WAITERS_STEP {
            self.stated_waiters = count;
            host.emit(RaftEvent::WaitersGrew { group: self.id, count: count as u64 });
        }
    }

    /// The leader is still the leader: all reads asked for under that number may read at `index`.
    pub(crate) fn confirmed(&mut self, context: &[u8], index: u64) {
        let Ok(number) = context.try_into().map(u64::from_le_bytes) else { return };
        self.read_settled = self.read_settled.max(number);
        while self.asked.front().is_some_and(|(n, ..)| *n <= number) {
            let (_, _, replies) = self.asked.pop_front().expect("looked at above");
            self.behind.extend(replies.into_iter().map(|r: ReadReply| (index, r)));
        }
        self.release_reads();
    }

    /// Whether a reader waits for the state machine.
    pub(crate) fn has_readers(&self) -> bool {
        !self.behind.is_empty()
    }

    /// Everybody who waits learns that nobody here can say what will become of it.
    pub(crate) fn lets_go(&mut self) {
        self.waiters.clear();
        self.behind.clear();
    }

    /// Lets readers go whose index the state machine has reached.
    pub(crate) fn release_reads(&mut self) {
        let applied = self.applied;
        let due = self.behind.extract_if(.., |(index, _)| *index <= applied);
        if self.plants.neutral_reads_in_reverse {
            due.collect::<Vec<_>>().into_iter().rev().for_each(|(_, reply)| reply.give(Ok(())));
            return;
        }
        for (_, reply) in due {
            reply.give(Ok(()));
        }
    }

    /// The clock of the lease: the monotonic one, unless a defect is planted.
    fn lease_clock(&self, host: &Host, now: Mono) -> Mono {
        if self.plants.lease_on_wall_clock { Mono(host.clock().wall().0) } else { now }
    }

    fn holds_lease(&mut self, host: &Host, now: Mono) -> bool {
        let clock = self.lease_clock(host, now);
        let Some(lease) = &mut self.lease else { return false };
        lease.extend_alone(clock);
        let was_taken = lease.until() > Mono(0);
        let held = lease.holds(clock) || (was_taken && self.plants.lease_never_ends);
        self.state_lease(host, now);
        held
    }

    /// States the lease if it was taken or extended since it was stated last.
    fn state_lease(&mut self, host: &Host, now: Mono) {
        let clock = self.lease_clock(host, now);
        let Some(lease) = &self.lease else { return };
        let until = lease.until();
        if until > self.lease_stated && self.raw.raft.commit_to_current_term() {
            self.lease_stated = until;
            let (group, term) = (self.id, self.raw.raft.term);
            let until_ns = (now + until.since(clock)).0;
            host.emit(RaftEvent::LeaseHeld { group, term, until_ns });
        }
    }

    /// The lease of a term begins and ends with its leadership.
    pub(super) fn lease_follows(&mut self, host: &Host, was: StateRole, term: u64) {
        let leads = self.is_leader();
        if was == StateRole::Leader && !leads {
            self.give_up_lease(host, term);
        } else if leads
            && was != StateRole::Leader
            && let Some(lease) = &mut self.lease
        {
            lease.begin();
            self.lease_stated = Mono(0);
        }
    }

    pub(super) fn give_up_lease(&mut self, host: &Host, term: u64) {
        let clock = self.lease_clock(host, host.clock().now());
        let stated = self.lease_stated > Mono(0);
        if self.lease.as_mut().is_some_and(|lease| lease.give_up(clock)) && stated {
            host.emit(RaftEvent::LeaseEnded { group: self.id, term });
        }
    }

    /// Puts the leader's stamp on a heartbeat that leaves.
    pub(crate) fn stamp(&self, host: &Host, now: Mono, message: &mut Message) {
        if let Some(lease) = &self.lease
            && message.get_msg_type() == MessageType::MsgHeartbeat
        {
            message.context = lease.stamp(self.lease_clock(host, now)).seal(&message.context);
        }
    }

    /// Takes note of stamps on a message that arrived, and leaves what raft-rs should see of it.
    pub(super) fn stamps(&mut self, host: &Host, now: Mono, message: &mut Message) {
        match message.get_msg_type() {
            // It comes back with the answer, as a promise, unless this node does not make it.
            MessageType::MsgHeartbeat => {
                let mut context = message.context.clone();
                let Some(stamp) = Stamp::take(&mut context) else { return };
                if !self.promise.is_some_and(|p| p.covers(stamp)) {
                    message.context = context;
                }
            }
            MessageType::MsgHeartbeatResponse => {
                let Some(stamp) = Stamp::take(&mut message.context) else { return };
                // A boot leads terms that no boot before it led, so this boot's clock read it.
                if !self.is_leader() || message.term != self.raw.raft.term {
                    return;
                }
                let clock = self.lease_clock(host, now);
                let sent = if self.plants.lease_from_ack { clock } else { stamp.sent };
                if let Some(lease) = &mut self.lease {
                    lease.returned(message.from, sent, clock);
                    self.state_lease(host, now);
                }
            }
            _ => {}
        }
    }

    /// Whether this is a request for a vote that a promise to a leader forbids to answer. A campaign
    /// that the leader itself asked for is exempt, and one of an earlier term cannot win.
    pub(super) fn owes_silence(&self, now: Mono, message: &Message) -> bool {
        use MessageType::{MsgRequestPreVote, MsgRequestVote};
        let Some(promise) = self.promise else { return false };
        matches!(message.get_msg_type(), MsgRequestVote | MsgRequestPreVote)
            && !self.is_leader()
            && message.term >= self.raw.raft.term
            && message.context != CAMPAIGN_TRANSFER
            && (self.heard_any || !self.plants.vote_right_after_boot)
            && promise.binds(self.heard, now)
    }
}
