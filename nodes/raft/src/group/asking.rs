//! With `vote_request = "at_once"`: a candidate asks for votes while its disk still writes its own.
//! The two need not wait for each other, as long as nobody leads who could forget that it stood: so
//! the answers that come before the own vote is durable are held until it is. A candidate that loses
//! power in between has asked in vain; it may grant that term's vote to another, for it was never
//! counted for itself.
//!
//! Source: Ongaro's dissertation, section 9.3, which leaves the candidate's write out of the time of an
//! election for this reason. Left out: entries of a leader, which leave at once in any case.

use host::{Host, Mono};
use raft::eraftpb::{Message, MessageType};

use super::Group;
use crate::event::RaftEvent;

/// A request for votes whose sender's own vote is not durable.
#[derive(Default)]
pub(super) struct Asking {
    /// The Ready that carries the vote, and its term.
    vote: Option<(u64, u64)>,
    /// Answers that came too soon.
    held: Vec<Message>,
}

impl Asking {
    pub(super) fn is_under_way(&self) -> bool {
        self.vote.is_some()
    }
}

impl Group {
    /// Whether the requests for votes among these messages of a Ready leave before it is durable.
    pub(crate) fn asks_at_once(&mut self, number: u64, messages: &[Message]) -> bool {
        if !self.asks_early {
            return false;
        }
        let requests = |m: &&Message| m.get_msg_type() == MessageType::MsgRequestVote;
        let Some(request) = messages.iter().find(requests) else { return false };
        // What answers an earlier request is of an earlier term.
        self.asking = Asking { vote: Some((number, request.term)), held: Vec::new() };
        true
    }

    /// Whether the message answers a request that went ahead of the own vote; then it is kept.
    pub(super) fn holds(&mut self, message: &Message) -> bool {
        let answers = message.get_msg_type() == MessageType::MsgRequestVoteResponse
            && self.asking.vote.is_some_and(|(_, term)| term == message.term);
        if answers {
            self.asking.held.push(message.clone());
        }
        answers
    }

    /// A Ready is durable: if it held the own vote, what was held counts now.
    pub(crate) fn vote_durable(&mut self, host: &Host, now: Mono, number: u64) {
        let Some((_, term)) = self.asking.vote.filter(|(ready, _)| *ready == number) else {
            return;
        };
        let held = std::mem::take(&mut self.asking).held;
        if self.own_vote < term {
            self.own_vote = term;
            let (group, to) = (self.id, self.raw.raft.id);
            host.emit(RaftEvent::VoteGranted { group, term, to });
        }
        for message in held {
            self.step(host, now, message);
        }
    }
}
