//! With `timer_restarts = "vote_granted"`: an election timer that goes on where the Raft paper lets it
//! go on. Figure 2 of the paper restarts it when a leader is heard, when a vote is granted and when an
//! election begins; the library also does with every message of a later term, granted or not, and when
//! a majority has refused. With equal logs that is nearly the same. Where logs differ, a candidate that
//! cannot win holds up those that can, each time it asks.
//!
//! Source: figure 2 of the Raft paper; section 9.5 of Ongaro's dissertation on voters that refuse.

use raft::StateRole;
use raft::eraftpb::{Message, MessageType};

use super::Group;

/// The timer as it stood before a message that may have no right to restart it.
pub(super) struct Timer {
    elapsed: usize,
    pinned: usize,
    role: StateRole,
    /// Who gets a vote if the message asks for one: the candidate and its term.
    asks: Option<(u64, u64)>,
}

impl Group {
    /// The timer, if it is to go on unless this message brings about what restarts it.
    pub(super) fn timer_before(&self, message: &Message) -> Option<Timer> {
        use MessageType::{MsgRequestVote, MsgRequestVoteResponse};
        let raft = &self.raw.raft;
        if !self.steady_timer || raft.state == StateRole::Leader {
            return None;
        }
        let asks = match message.get_msg_type() {
            MsgRequestVote => Some((message.from, message.term)),
            MsgRequestVoteResponse => None,
            _ => return None,
        };
        let (elapsed, role) = (raft.election_elapsed, raft.state);
        Some(Timer { elapsed, pinned: self.pinned, role, asks })
    }

    /// Lets the timer go on, unless a vote was granted, the node leads, or a campaign began.
    pub(super) fn timer_goes_on(&mut self, timer: Option<Timer>) {
        let Some(Timer { elapsed, pinned, role, asks }) = timer else { return };
        let raft = &mut self.raw.raft;
        let granted = asks == Some((raft.vote, raft.term));
        let stands = raft.state == StateRole::Candidate && role != StateRole::Candidate;
        if granted || stands || raft.state == StateRole::Leader {
            return;
        }
        self.pinned = pinned;
        raft.election_elapsed = elapsed;
        raft.set_randomized_election_timeout(pinned);
    }
}
