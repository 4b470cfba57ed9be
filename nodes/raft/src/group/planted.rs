//! Mistakes of a consensus that is written from the paper, made around a library that does not make
//! them: what arrives is bent before the library sees it, and what the library concluded is bent
//! afterwards. Each is off unless it is planted, and each is one that somebody made; where no
//! project is named it is from the Raft paper's list of rules and the "Students' Guide to Raft"
//! (Gjengset 2016), which says which of them are forgotten.
//!
//! Mistakes at other spots of the driver (syncs, snapshots, reads, boot) stand where they are made.

use host::Mono;
use raft::eraftpb::{Entry, Message, MessageType};
use raft::{GetEntriesContext, StateRole};

use super::Group;

impl Group {
    /// A message arrives. True if it is taken for nothing.
    pub(super) fn mistakes(&mut self, message: &mut Message) -> bool {
        use MessageType::{
            MsgAppend, MsgAppendResponse, MsgHeartbeat, MsgRequestPreVote, MsgRequestVote,
            MsgRequestVoteResponse,
        };
        match message.get_msg_type() {
            MsgRequestVote | MsgRequestPreVote => self.mistakes_request(message),
            MsgRequestVoteResponse => self.mistakes_vote(message),
            MsgAppend => self.mistakes_append(message),
            MsgHeartbeat if self.plants.heartbeat_commit_unchecked => {
                message.commit = message.commit.min(self.raw.raft.raft_log.last_index());
            }
            MsgAppendResponse => {
                let current = self.is_leader() && message.term == self.raw.raft.term;
                // Without going back by one and trying again nobody who lags is ever found.
                return self.plants.rejection_ignored && current && message.reject;
            }
            _ => {}
        }
        false
    }

    fn mistakes_request(&mut self, message: &mut Message) {
        let real = message.get_msg_type() == MessageType::MsgRequestVote;
        let raft = &mut self.raw.raft;
        if real && self.plants.candidate_votes_again {
            // Who keeps "voted for" in the answer to requests only has not voted for itself.
            if message.term == raft.term && raft.state == StateRole::Candidate {
                raft.vote = 0;
            }
        }
        if self.plants.vote_for_stale_log {
            // The election restriction of section 5.4.1 left out.
            message.log_term = u64::MAX;
        }
        let leaderless = raft.leader_id == 0 || raft.election_elapsed >= raft.election_timeout();
        if real && self.plants.vote_outlives_term && message.term > raft.term && leaderless {
            // "If the term is greater: set it and become follower", and the vote stays.
            let vote = raft.vote;
            raft.become_follower(message.term, 0);
            raft.vote = vote;
        }
    }

    fn mistakes_vote(&mut self, message: &mut Message) {
        let raft = &self.raw.raft;
        if self.plants.refusal_counts_as_vote && message.term == raft.term {
            message.reject = false;
        }
        // The answer says for which term it is; who compares nothing counts it for this one.
        let stale = message.term < raft.term && raft.state == StateRole::Candidate;
        if self.plants.stale_grant_counts && stale && !message.reject {
            message.term = raft.term;
        }
    }

    fn mistakes_append(&mut self, message: &mut Message) {
        let log = &self.raw.raft.raft_log;
        // That there is an entry before the new ones is not that it is the same entry.
        if self.plants.append_without_match
            && message.index > log.committed
            && let Ok(term) = log.term(message.index)
            && term > 0
        {
            message.log_term = term;
        }
    }

    /// The library has taken a message with this commit index, or this refusal.
    pub(super) fn concludes(
        &mut self,
        from: u64,
        term: u64,
        (kind, commit, reject): (MessageType, u64, bool),
    ) {
        let raft = &mut self.raw.raft;
        let orders = matches!(kind, MessageType::MsgAppend | MessageType::MsgHeartbeat);
        if self.plants.commit_goes_back && orders && (raft.term, raft.leader_id) == (term, from) {
            // A new leader knows less; Kafka's high watermark went back this way before KIP-207.
            let log = &mut raft.raft_log;
            let least = log.applied.max(log.first_index() - 1);
            log.committed = log.committed.min(commit.max(least));
        }
        if kind != MessageType::MsgAppendResponse || reject || raft.state != StateRole::Leader {
            return;
        }
        if self.plants.quorum_too_small {
            // n / 2 is a majority only of the others, with oneself counted besides.
            let voters = self.raw.store().conf().voters.clone();
            self.commits_copies(&voters, voters.len() / 2);
        }
    }

    /// Commits what so many of these members hold.
    fn commits_copies(&mut self, voters: &[u64], copies: usize) {
        let raft = &mut self.raw.raft;
        let matched = |id: &u64| raft.prs().get(*id).map_or(0, |p| p.matched);
        let mut held: Vec<u64> = voters.iter().map(matched).collect();
        held.sort_unstable_by(|a, b| b.cmp(a));
        let Some(index) = held.get(copies.saturating_sub(1)).copied() else { return };
        let of_term = raft.raft_log.term(index).is_ok_and(|term| term == raft.term);
        if of_term && index > raft.raft_log.committed {
            raft.raft_log.commit_to(index);
        }
    }

    /// Leadership begins. In other consensus algorithms a new leader that sends on what it found must do
    /// so under its own number, as the Raft paper says at the end of section 5.4.2; whoever takes that over
    /// overwrites entries of a log that must only grow while it leads.
    pub(super) fn restamps(&mut self) {
        let raft = &mut self.raw.raft;
        let (me, term, known) = (raft.id, raft.term, raft.raft_log.committed);
        if !self.plants.old_entries_restamped {
            return;
        }
        let found = raft.raft_log.entries(known + 1, None, GetEntriesContext::empty(false));
        let mut entries = found.expect("what is not committed is held");
        if entries.iter().all(|entry| entry.term == term) {
            return;
        }
        entries.iter_mut().for_each(|entry| entry.term = term);
        raft.raft_log.append(&entries);
        // They are not on the disk, and what leaves now follows them.
        raft.raft_log.persisted = raft.raft_log.persisted.min(known);
        if let Some(own) = raft.mut_prs().get_mut(me) {
            (own.matched, own.next_idx) = (known, known + 1);
        }
        let appends = |m: &&mut Message| m.get_msg_type() == MessageType::MsgAppend;
        for message in raft.msgs.iter_mut().filter(appends).filter(|m| m.index > known) {
            message.log_term = term;
        }
    }

    /// A message leaves: a heartbeat's commit index is bounded by what the follower is known to hold,
    /// which etcd's comment on `sendHeartbeat` explains with capitals.
    pub(crate) fn overstates(&self, message: &mut Message) {
        let is_heartbeat = message.get_msg_type() == MessageType::MsgHeartbeat;
        if self.plants.heartbeat_commit_unchecked && is_heartbeat {
            message.commit = self.raw.raft.raft_log.committed;
        }
    }

    /// Whoever resets its timer at any request, and not only when it grants one, keeps the cluster
    /// from electing anybody; here it is the timer of the promise.
    pub(super) fn renews(&mut self, now: Mono, message: &Message) {
        let asks = message.get_msg_type() == MessageType::MsgRequestVote;
        if self.plants.request_renews_promise && asks && self.promise.is_some() {
            self.heard = now;
        }
    }

    /// A timer that is armed when a follower campaigns, and never by a candidate.
    pub(super) fn waits_for_ever(&self) -> bool {
        let campaigns =
            matches!(self.raw.raft.state, StateRole::Candidate | StateRole::PreCandidate);
        self.plants.candidate_waits_for_ever && campaigns
    }

    /// What a leader that takes `entries()` of a Ready for `committed_entries()` applies: everything
    /// that lies in its log. Others apply what is committed and was not yet applied.
    pub(crate) fn ahead(&mut self, committed: Vec<Entry>) -> Vec<Entry> {
        let store = self.raw.store();
        let next = self.handed.max(store.snapshot_mark().index) + 1;
        let entries: Vec<Entry> = match self.is_leader() {
            true => {
                let slots = (next..=store.last()).filter_map(|index| store.slot(index));
                slots.map(|slot| slot.entry.clone()).collect()
            }
            false => committed.into_iter().filter(|e| e.index >= next).collect(),
        };
        self.handed = entries.last().map_or(self.handed, |e| e.index);
        entries
    }
}
