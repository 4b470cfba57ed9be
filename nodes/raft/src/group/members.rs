//! Changes of who belongs to the group, as one node carries them out. Every node switches to a
//! configuration when the entry that says so is committed. The leader leads a change through its
//! steps, one change at a time: new voters become learners first if that was asked for, then the
//! group enters a joint configuration, then it leaves it. Whoever leads a group that is joint makes
//! it leave, whether or not it began the change.
//!
//! A leader that is to be no voter hands over before it leaves the joint configuration; if that
//! comes to nothing it leaves all the same, tells the best of those who stay to campaign, and steps
//! down. A node that was removed and does not know it goes on to campaign: who hears a leader gives
//! it no answer, so it hinders nobody.
//!
//! Left out: abandoning a change once the joint configuration is in the log; it is gone through
//! with, by this leader or the next.

use std::time::Duration;

use host::{Host, Mono};
use raft::eraftpb::{
    ConfChangeSingle, ConfChangeType, ConfChangeV2, ConfState, Entry, Message, MessageType,
};

use super::Group;
use crate::ProposeError;
use crate::answer::Answer;
use crate::event::RaftEvent;
use crate::members::{Changed, Membership, Refusal, Target, bits, enter, is_change, leave, read};

/// Where somebody waits for a change.
pub(crate) type ChangeReply = Answer<Changed>;

/// Upper election timeouts that a new voter has to catch up.
const PATIENCE: u32 = 20;

/// A change under way at the leader that was asked for it.
pub(super) struct Change {
    target: Target,
    stage: Stage,
    replies: Vec<ChangeReply>,
}

impl Change {
    fn end(self, end: Changed) {
        self.replies.into_iter().for_each(|reply| reply.give(Ok(end)));
    }
}

#[derive(Clone, Copy)]
enum Stage {
    /// The new voters are learners, or will be; they need the log up to `goal`.
    Learning { goal: u64, until: Mono },
    /// The group enters the joint configuration of the target, or leaves it.
    Switching,
}

/// How a leader that is to be no voter prepares to leave a joint configuration.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Farewell {
    /// It hands over once the others have had the time to switch as well.
    From(Mono),
    /// It has tried to.
    Tried,
}

impl Group {
    /// Begins a change of members.
    pub(crate) fn change(
        &mut self,
        host: &Host,
        now: Mono,
        (target, known): (Target, &[u64]),
        reply: ChangeReply,
    ) {
        // What was proposed before lies before it in the log.
        self.propose(host);
        if !self.is_leader() {
            return reply.give(Err(ProposeError::NotLeader { leader: self.leader() }));
        }
        let refuse = |why| Ok(Changed::Refused(why));
        let target = match target.checked(|id| known.contains(&id)) {
            Ok(target) => target,
            Err(why) => return reply.give(refuse(why)),
        };
        if !self.plants.second_change_while_pending {
            let Some(reply) = self.joins(&target, reply) else { return };
            if self.change.is_some() || self.membership.is_joint() {
                return reply.give(refuse(Refusal::Pending));
            }
            // A change of an earlier leader may lie in the log, and nobody knows its end yet.
            if !self.raw.raft.commit_to_current_term() || self.raw.raft.has_pending_conf() {
                return reply.give(Err(ProposeError::Dropped));
            }
            return self.begin(host, now, target, reply);
        }
        self.begin(host, now, target, reply);
    }

    /// Who asks for the very change that is under way waits for its end; anybody else is given back.
    fn joins(&mut self, target: &Target, reply: ChangeReply) -> Option<ChangeReply> {
        let Membership { voters, learners, .. } = &self.membership;
        if self.change.is_none()
            && self.membership.is_joint()
            && (voters, learners) == (&target.voters, &target.learners)
        {
            // An earlier leader began it.
            let target = target.clone();
            self.change = Some(Change { target, stage: Stage::Switching, replies: Vec::new() });
        }
        match &mut self.change {
            Some(change) if change.target == *target => change.replies.push(reply),
            _ => return Some(reply),
        }
        None
    }

    fn begin(&mut self, host: &Host, now: Mono, target: Target, reply: ChangeReply) {
        if self.membership.is(&target) {
            return reply.give(Ok(Changed::Done { index: self.membership.index }));
        }
        if target.since.is_some_and(|index| index != self.membership.index) {
            return reply.give(Ok(Changed::Refused(Refusal::Moved)));
        }
        let first = self.membership.learning(&target);
        let until = now + self.patience;
        let stage = match first {
            Some(_) => Stage::Learning { goal: self.raw.raft.raft_log.last_index(), until },
            None => Stage::Switching,
        };
        let begins = match &first {
            Some(first) if self.membership.is(first) => true,
            first => self.enter(host, first.as_ref().unwrap_or(&target)),
        };
        match begins {
            true => self.change = Some(Change { target, stage, replies: vec![reply] }),
            false => reply.give(Err(ProposeError::Dropped)),
        }
    }

    /// Proposes to enter the joint configuration of a target. False if the log does not take it.
    fn enter(&mut self, host: &Host, target: &Target) -> bool {
        let entry = enter(&self.membership, target);
        self.append_change(host, entry)
    }

    fn append_change(&mut self, host: &Host, entry: Entry) -> bool {
        if self.plants.second_change_while_pending {
            self.raw.raft.pending_conf_index = 0;
        }
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgPropose);
        message.from = self.raw.raft.id;
        message.set_entries(vec![entry].into());
        let taken = self.raw.step(message).is_ok();
        self.observe(host, false);
        taken
    }

    /// Goes on with a change, and with leaving a joint configuration, as far as that can be done now.
    pub(crate) fn pursue(&mut self, host: &Host, now: Mono) {
        if self.change.is_none() && !self.membership.is_joint() {
            return;
        }
        let raft = &self.raw.raft;
        let settled = raft.commit_to_current_term() && !raft.has_pending_conf();
        if !self.is_leader() || !settled || self.hands_over() {
            return;
        }
        if self.membership.is_joint() {
            self.leave(host, now);
            return;
        }
        let Some(Change { target, stage: Stage::Learning { goal, until }, .. }) = &self.change
        else {
            return;
        };
        let (goal, until) = (*goal, *until);
        let matched = |id: &u64| raft.prs().get(*id).map_or(0, |p| p.matched);
        if target.voters.iter().all(|id| matched(id) >= goal) {
            let target = target.clone();
            if self.enter(host, &target)
                && let Some(change) = &mut self.change
            {
                change.stage = Stage::Switching;
            }
        } else if now >= until
            && let Some(change) = self.change.take()
        {
            change.end(Changed::Refused(Refusal::Behind));
        }
    }

    /// Leaves a joint configuration, once a leader that is to be no voter has tried to hand over.
    fn leave(&mut self, host: &Host, now: Mono) {
        if !self.membership.voters.contains(&self.raw.raft.id) {
            match self.farewell {
                None => {
                    self.farewell = Some(Farewell::From(now + self.beat));
                    return;
                }
                Some(Farewell::From(from)) if now < from => return,
                Some(Farewell::From(_)) => {
                    self.farewell = Some(Farewell::Tried);
                    if let Some(to) = self.best_voter() {
                        return self.hand_over(host, to, Answer::new(|_| {}));
                    }
                }
                Some(Farewell::Tried) => {}
            }
        }
        self.append_change(host, leave());
    }

    /// The other voter that has most of the log, by this leader's knowledge; of equals the first.
    fn best_voter(&self) -> Option<u64> {
        let (me, prs) = (self.raw.raft.id, self.raw.raft.prs());
        let others = self.membership.voters.iter().copied().filter(|id| *id != me);
        let active = others.filter(|id| prs.get(*id).is_some_and(|p| p.recent_active));
        active.rev().max_by_key(|id| prs.get(*id).map_or(0, |p| p.matched))
    }

    /// Switches as committed entries say. Yields who belongs to the group from there on, if that
    /// changed.
    pub(crate) fn committed_changes(
        &mut self,
        host: &Host,
        entries: &[Entry],
    ) -> Option<ConfState> {
        if self.plants.config_applied_when_appended {
            return None;
        }
        let mut last = None;
        for entry in entries.iter().filter(|e| is_change(e)) {
            last = self.switch(host, entry).or(last);
        }
        last
    }

    /// States changes that enter the log here. Planted: goes by them at once.
    pub(crate) fn appended_changes(&mut self, host: &Host, changes: &[Entry]) {
        for entry in changes {
            let (group, index, term) = (self.id, entry.index, entry.term);
            host.emit(RaftEvent::ConfigAppended { group, index, term });
            if self.plants.config_applied_when_appended {
                self.switch(host, entry);
            }
        }
    }

    /// Goes by the configuration that an entry leads to. One that does not fit the present
    /// configuration is void, on every node alike.
    fn switch(&mut self, host: &Host, entry: &Entry) -> Option<ConfState> {
        let change = read(entry)?;
        if self.clings(&change) {
            return None;
        }
        let conf = match self.plants.joint_skipped && change.leave_joint() {
            true => self.raw.raft.prs().conf().to_conf_state(),
            false => self.raw.apply_conf_change(&change).ok()?,
        };
        let conf = match self.plants.joint_skipped && !change.leave_joint() {
            true => self.raw.apply_conf_change(&read(&leave())?).ok()?,
            false => conf,
        };
        let membership = Membership::new(entry.index, &conf);
        self.farewell = None;
        // Before a leader steps down over it, for whoever asked has got what was asked for.
        if let Some(change) = self.change.take_if(|c| membership.is(&c.target)) {
            change.end(Changed::Done { index: membership.index });
        }
        let me = self.raw.raft.id;
        let belonged = self.membership.belongs(me);
        self.follow(host, membership);
        if belonged && !self.membership.belongs(me) {
            // Nobody tells this node any more what becomes of the log.
            self.lets_go();
        }
        Some(conf)
    }

    /// Planted: whether a voter other than the leader goes on as if a change that removes it were
    /// not there.
    fn clings(&self, change: &ConfChangeV2) -> bool {
        let me = self.raw.raft.id;
        let removes = |step: &ConfChangeSingle| {
            step.node_id == me && step.get_change_type() == ConfChangeType::RemoveNode
        };
        let voter = self.membership.votes(me) && !self.is_leader();
        self.plants.removed_still_votes && voter && change.changes.iter().any(removes)
    }

    /// Goes by this configuration from now on.
    pub(crate) fn follow(&mut self, host: &Host, membership: Membership) {
        let (group, index) = (self.id, membership.index);
        let [voters, outgoing, learners] =
            [&membership.voters, &membership.outgoing, &membership.learners].map(|ids| bits(ids));
        host.emit(RaftEvent::ConfigChanged { group, index, voters, outgoing, learners });
        let ends_early = self
            .lease
            .as_mut()
            .is_some_and(|lease| lease.follows(&membership.voters, &membership.outgoing));
        self.membership = membership;
        if ends_early && self.lease_stated > Mono(0) {
            let term = self.raw.raft.term;
            host.emit(RaftEvent::LeaseEnded { group, term });
            self.lease_stated = Mono(0);
        }
        let me = self.raw.raft.id;
        if self.is_leader() && !self.membership.votes(me) {
            self.step_down(host);
        }
    }

    /// Leads no more, for it is no voter. Another is told to campaign.
    fn step_down(&mut self, host: &Host) {
        let (id, term) = (self.raw.raft.id, self.raw.raft.term);
        self.give_up_lease(host, term);
        if let Some(to) = self.best_voter() {
            host.emit(RaftEvent::TransferStarted { group: self.id, term, to });
            let mut order = Message { from: id, to, term, ..Message::default() };
            order.set_msg_type(MessageType::MsgTimeoutNow);
            self.raw.raft.msgs.push(order);
        }
        self.raw.raft.become_follower(term, 0);
        self.observe(host, false);
    }

    /// Whether this is a request for a vote from a host that by this node's knowledge does not belong
    /// to the group, while there is a leader: it was removed and has not heard of it. Without a
    /// leader it is answered, for it may know more than this node does. A learner that asks for
    /// votes has not heard of that either, but the leader needs it to come to one term with it.
    pub(super) fn is_stranger(&self, now: Mono, message: &Message) -> bool {
        use MessageType::{MsgRequestPreVote, MsgRequestVote};
        let asks = matches!(message.get_msg_type(), MsgRequestVote | MsgRequestPreVote);
        if !asks || self.membership.belongs(message.from) {
            return false;
        }
        let hears = self.raw.raft.leader_id != 0 && now.since(self.heard) < self.least_silence;
        self.is_leader() || hears
    }

    /// The answer to a leader of an earlier term that would never hear of a later one: this node may
    /// not campaign, or does not ask that leader for its vote, because it does not know how members
    /// have changed. raft-rs gives such an answer only with `check_quorum` or `pre_vote`.
    pub(super) fn protests(&self, message: &Message) -> Option<Message> {
        use MessageType::{MsgAppend, MsgAppendResponse, MsgHeartbeat};
        let raft = &self.raw.raft;
        let leads = matches!(message.get_msg_type(), MsgAppend | MsgHeartbeat);
        let stuck = !raft.promotable() || !self.membership.votes(message.from);
        if !leads || message.term >= raft.term || !stuck || raft.check_quorum || raft.pre_vote {
            return None;
        }
        let mut answer = Message { to: message.from, from: raft.id, ..Message::default() };
        answer.set_msg_type(MsgAppendResponse);
        answer.term = raft.term;
        Some(answer)
    }
}

impl Group {
    /// Planted: the requests for a vote that go to learners as well, whenever one goes to the first of
    /// the other voters.
    pub(crate) fn asks_learners(&self, message: &Message) -> Vec<Message> {
        use MessageType::{MsgRequestPreVote, MsgRequestVote};
        if !self.plants.learner_counts {
            return Vec::new();
        }
        let asks = matches!(message.get_msg_type(), MsgRequestVote | MsgRequestPreVote);
        let me = self.raw.raft.id;
        let first = self.membership.voters.iter().find(|id| **id != me);
        if !asks || first != Some(&message.to) {
            return Vec::new();
        }
        let learners = self.membership.learners.iter();
        learners.map(|id| Message { to: *id, ..message.clone() }).collect()
    }

    /// Planted: a learner's vote comes from a voter that has not answered.
    pub(super) fn counts_learner(&self, message: &mut Message) {
        use MessageType::{MsgRequestPreVoteResponse, MsgRequestVoteResponse};
        let votes =
            matches!(message.get_msg_type(), MsgRequestVoteResponse | MsgRequestPreVoteResponse);
        if !self.plants.learner_counts
            || !votes
            || message.reject
            || !self.membership.learners.contains(&message.from)
        {
            return;
        }
        let (me, answered) = (self.raw.raft.id, self.raw.raft.prs().votes());
        let silent = |id: &&u64| **id != me && !answered.contains_key(id);
        if let Some(voter) = self.membership.voters.iter().find(silent) {
            message.from = *voter;
        }
    }
}

/// How long new voters have to catch up, with that upper election timeout.
pub(super) fn patience(election_timeout: Duration) -> Duration {
    election_timeout * PATIENCE
}
