//! A host whose disk was emptied comes back under a leader that counts on what it acknowledged before.
//! The `raft` crate holds that to be impossible: the follower panics at the first heartbeat, and the
//! leader takes its rejections for stale ones. Here the follower, if its log is *empty*, rejects
//! what it is counted on for, and the leader forgets what it believed of a peer with an empty log
//! and begins again with it, by log or by snapshot. Less can only be too careful: a commit that was
//! made stays made.
//!
//! A log that is short but not empty is no such host but a broken promise, and still a panic; unless
//! entries are acknowledged before they are durable, for then a power loss shortens logs as well. What
//! this cannot give back is what an emptied disk has forgotten: its vote, and entries that a majority
//! held only with it. Until the host has caught up the cluster is one failure weaker than its size
//! says, and an operator empties one disk at a time.

use raft::ProgressState;
use raft::eraftpb::{Message, MessageType};

use super::Group;

impl Group {
    /// The rejection to send for a heartbeat that counts on entries which an emptied disk lost; the
    /// heartbeat then counts on none.
    pub(super) fn disowns(&self, message: &mut Message) -> Option<Message> {
        let is_heartbeat = message.get_msg_type() == MessageType::MsgHeartbeat;
        let raft = &self.raw.raft;
        let (current, last) = (message.term >= raft.term, raft.raft_log.last_index());
        let lacks = message.commit > last && (last == 0 || self.forgetful);
        if !is_heartbeat || !current || !lacks {
            return None;
        }
        let (index, reject_hint) = (message.commit, last);
        let mut answer = Message { reject: true, index, reject_hint, ..Message::default() };
        answer.set_msg_type(MessageType::MsgAppendResponse);
        (answer.to, answer.term) = (message.from, message.term);
        answer.from = raft.id;
        message.commit = 0;
        Some(answer)
    }

    /// A leader's belief in a peer ends when the peer says that its log is empty, or shorter where it
    /// may be. A rejection that is merely old costs a probe.
    pub(super) fn forgets(&mut self, message: &Message) {
        let is_answer = message.get_msg_type() == MessageType::MsgAppendResponse;
        let last = message.reject_hint;
        let short = message.reject && (last == 0 || self.forgetful);
        if !is_answer || !short || !self.is_leader() || message.term != self.raw.raft.term {
            return;
        }
        let Some(peer) = self.raw.raft.mut_prs().get_mut(message.from) else { return };
        if peer.matched > last && peer.state != ProgressState::Snapshot {
            peer.matched = 0;
            peer.become_probe();
            peer.next_idx = last + 1;
        }
    }
}
