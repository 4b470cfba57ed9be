//! Handing leadership over. The leader stops taking proposals, brings its successor up to date and
//! tells it to campaign at once; raft-rs gives that up after the lower election timeout. The order
//! may still be under way then, so who was told `Dropped` may yet see it happen.
//!
//! Proposals meanwhile are `Dropped` before they enter a log. Reads go on, without the lease.

use host::Host;

use super::Group;
use crate::ProposeError;
use crate::answer::Answer;
use crate::event::RaftEvent;

/// Where somebody waits for a hand-over.
pub(crate) type TransferReply = Answer<()>;

/// A hand-over under way.
pub(super) struct Transfer {
    to: u64,
    /// The term that ends with it.
    term: u64,
    replies: Vec<TransferReply>,
}

impl Group {
    /// Begins to hand leadership to another member.
    pub(crate) fn hand_over(&mut self, host: &Host, to: u64, reply: TransferReply) {
        // What was proposed before goes along.
        self.propose(host);
        let raft = &self.raw.raft;
        if !self.is_leader() {
            reply.give(Err(ProposeError::NotLeader { leader: self.leader() }));
            return;
        }
        if to == raft.id || !self.membership.votes(to) {
            reply.give(Err(ProposeError::Dropped));
            return;
        }
        let term = raft.term;
        if let Some(transfer) = self.transfer.as_mut().filter(|t| t.to == to && t.term == term) {
            transfer.replies.push(reply);
            return;
        }
        self.end_transfer(Err(ProposeError::Dropped));
        // Before the order to campaign can leave.
        if !self.plants.lease_survives_transfer {
            self.give_up_lease(host, term);
        }
        self.transfer = Some(Transfer { to, term, replies: vec![reply] });
        self.raw.transfer_leader(to);
        host.emit(RaftEvent::TransferStarted { group: self.id, term, to });
        self.observe(host, false);
    }

    /// Whether leadership is being handed over, and nobody knows yet how it ends.
    pub(crate) fn hands_over(&self) -> bool {
        self.transfer.is_some()
    }

    /// Ends the hand-over once another leader is known, or raft-rs has given it up.
    pub(super) fn watch_transfer(&mut self) {
        let Some(transfer) = &self.transfer else { return };
        let raft = &self.raw.raft;
        if raft.term > transfer.term && raft.leader_id != 0 && raft.leader_id != raft.id {
            self.end_transfer(Ok(()));
        } else if self.is_leader() && (raft.term > transfer.term || raft.lead_transferee.is_none())
        {
            self.end_transfer(Err(ProposeError::Dropped));
        }
    }

    fn end_transfer(&mut self, outcome: Result<(), ProposeError>) {
        if let Some(transfer) = self.transfer.take() {
            transfer.replies.into_iter().for_each(|reply| reply.give(outcome));
        }
    }
}
