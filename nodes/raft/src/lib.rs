//! Consensus for real nodes: tikv's `raft` with everything it leaves to its user. Several groups
//! per process share one write-ahead log, one connection per peer and one clock; snapshots are
//! taken on a named thread and streamed beside Raft; what a node did is stated as typed facts.
//!
//! [`start`] recovers from disk and runs; the [`Raft`] handle proposes, reads and stops. The
//! replicated thing is a [`StateMachine`]. The path of a write: `propose` -> loop (`driver`,
//! `group`) -> Ready (`ready`) -> WAL (`wal`) and peers (`transport`) -> commit -> `apply` -> the
//! proposer's answer.
//!
//! Left out: reads from followers.

mod answer;
mod apply;
mod boot;
mod chain;
mod config;
mod driver;
pub mod event;
mod group;
mod lease;
mod log;
mod mailbox;
pub mod members;
pub mod prior;
mod ready;
pub mod rope;
mod snapshot;
#[cfg(test)]
mod test_arm;
mod transport;
mod wal;

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};

pub use apply::{Settling, StateMachine};
pub use boot::start;
pub use chain::{GENESIS, chain};
pub use config::Config;
pub use snapshot::file::Image;

use answer::Answer;
use driver::Input;
use mailbox::Mailbox;
use members::{Changed, Membership, Target};

/// Deliberate defects that checks must catch, each with what it does. The first four break a
/// promise that leaves the node in a message: `one_vote_per_term` and `fsync_before_ack` name the
/// node. The next two break none that can be heard, and only a power loss brings them out.
/// `own_log_before_fsync` loses committed entries: `leader_completeness` sees it when the next
/// leader lacks them, and without that check `acked_durable` when clients read back; it takes a
/// stalled disk of the leader and a follower that lags, so a scenario made for it.
/// `compact_before_snapshot_durable`, `snapshot_installed_before_durable` and
/// `log_compacted_to_applied` leave a node that refuses to start, which ends the run, and so does
/// `frame_unchecked`, unless `log_matching` sees before that what a damaged frame said. Words that
/// begin with `neutral_` are no defects: no check may trip over them.
pub const PLANTS: &[(&str, &str)] = &[
    ("vote_before_fsync", "a vote leaves before the disk has it"),
    ("ack_before_fsync", "a follower acknowledges entries before its disk has them"),
    ("vote_not_persisted", "the hard state is written without the vote"),
    ("hardstate_without_sync", "a change of term or vote alone is not synced"),
    ("own_log_before_fsync", "a leader counts its own entries before its disk has them"),
    ("compact_before_snapshot_durable", "a snapshot replaces the log before its file is synced"),
    ("lease_from_ack", "a lease counts from when a heartbeat is acknowledged, not sent"),
    ("lease_survives_transfer", "a leader keeps its lease while it hands leadership over"),
    ("lease_on_wall_clock", "a lease is reckoned on the wall clock, which may be set"),
    ("lease_never_ends", "a leader reads under a lease that time has ended"),
    ("vote_right_after_boot", "a voter forgets at a boot what it had promised to a leader"),
    ("read_without_quorum", "a leader reads without asking whether it still leads"),
    ("log_never_compacted", "no log segment is ever removed"),
    ("frame_unchecked", "messages are taken without comparing the checksums of their frame"),
    ("sync_error_ignored", "a sync of the log that failed is taken for one that did not"),
    ("bad_record_ends_log", "at boot the log ends where it does not read, whatever came after"),
    ("torn_record_accepted", "at boot the bodies of log records are not verified"),
    ("heartbeat_resets_nothing", "a heartbeat does not keep a follower from campaigning"),
    ("vote_withheld", "a node that has heard a leader since its boot answers no request for votes"),
    ("waiters_leaked", "readers whom a leader can tell nothing wait for ever"),
    ("window_ignored", "a leader sends ahead, and queues, without a bound"),
    ("config_applied_when_appended", "a change of members is in force where it is not committed"),
    ("second_change_while_pending", "a change of members begins while another is under way"),
    ("joint_skipped", "a group goes from its old voters to the new ones in one step"),
    ("removed_still_votes", "a voter that is to be removed goes on by the voters there were"),
    ("learner_counts", "a learner's vote counts for that of a voter"),
    ("refusal_counts_as_vote", "a candidate counts answers, whether or not they grant the vote"),
    ("stale_grant_counts", "a candidate counts votes that were granted to it in an earlier term"),
    ("candidate_votes_again", "a candidate forgets its own vote when another asks for it"),
    ("vote_for_stale_log", "a voter does not look at the candidate's log"),
    ("vote_outlives_term", "a vote is not forgotten when a candidate brings a new term"),
    ("request_renews_promise", "a request for a vote renews what a voter promised to a leader"),
    ("candidate_waits_for_ever", "a campaign that was not decided is not repeated"),
    ("append_without_match", "a follower does not compare the term before the entries it is sent"),
    ("rejection_ignored", "a leader does not go back when a follower rejects its entries"),
    ("heartbeat_commit_unchecked", "a heartbeat commits what the follower was never compared on"),
    ("commit_goes_back", "a follower takes over its leader's commit index, also a lower one"),
    ("quorum_too_small", "a leader commits what half of the others have"),
    ("log_end_taken_for_committed", "after a restart the whole log counts as committed"),
    ("uncommitted_applied", "a leader applies entries before they are committed"),
    ("applied_forgotten", "after a restart the state is older in the books than it is"),
    ("read_before_own_term", "a new leader reads before an entry of its term is committed"),
    (
        "snapshot_installed_before_durable",
        "a peer's snapshot replaces the log before its mark lasts",
    ),
    ("snapshot_never_reported", "a leader does not learn that a snapshot was not delivered"),
    ("delta_base_forgotten", "a snapshot that others rest on goes as if it were superseded"),
    ("snapshot_mark_too_late", "a snapshot's position is read after its state was captured"),
    ("log_compacted_to_applied", "the log is removed up to what is applied, snapshot or not"),
    ("request_before_fsync", "a candidate asks for votes before its disk has its own"),
    ("answer_by_index_alone", "whoever waits at an index is answered, whatever entry came there"),
    ("old_entries_restamped", "a new leader writes its term on entries that are not yet committed"),
    ("neutral_heartbeat_twice", "harmless: each heartbeat is sent twice"),
    ("neutral_commit_synced", "harmless: a commit index alone is written and synced too"),
    ("neutral_yield_between_jobs", "harmless: the apply task lets others run between two jobs"),
    ("neutral_reads_in_reverse", "harmless: readers of one index are answered in reverse"),
    ("neutral_frame_per_message", "harmless: each message travels in a frame of its own"),
];

/// Longest body of a proposal.
pub const MAX_BODY: usize = transport::codec::MAX_BODY;
/// Longest context of a proposal.
pub const MAX_CONTEXT: usize = wal::codec::MAX_CONTEXT - chain::ENVELOPE;

/// What became of a proposal that went through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Its place in the log.
    pub index: u64,
    /// The term it was proposed in.
    pub term: u64,
    /// What the state machine answered.
    pub reply: Bytes,
}

/// Why a proposal or a read did not go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProposeError {
    /// This node does not lead; surely nothing happened. `leader` is 0 if it knows none.
    NotLeader {
        /// Who leads, as far as this node knows.
        leader: u64,
    },
    /// It never entered a log, or another entry was applied at its place: it is surely not applied.
    Dropped,
    /// Nobody here will learn what became of it: it may be applied, now or later.
    Stopped,
}

impl fmt::Display for ProposeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProposeError::NotLeader { leader: 0 } => f.write_str("no leader is known"),
            ProposeError::NotLeader { leader } => write!(f, "n{leader} leads"),
            ProposeError::Dropped => f.write_str("dropped"),
            ProposeError::Stopped => f.write_str("stopped, outcome unknown"),
        }
    }
}

impl std::error::Error for ProposeError {}

/// What the loop and its handles share.
pub(crate) struct Shared {
    inbox: Mailbox<Input>,
    groups: Vec<u32>,
    /// Per group whom it follows.
    leaders: Vec<AtomicU64>,
    /// Per group who belongs to it, as this node knows.
    members: Mutex<Vec<Membership>>,
    outcome: Mutex<Option<Result<(), (io::ErrorKind, String)>>>,
    ended: Notify,
}

impl Shared {
    pub(crate) fn new(inbox: Mailbox<Input>, groups: Vec<u32>, members: Vec<Membership>) -> Shared {
        let leaders = groups.iter().map(|_| AtomicU64::new(0)).collect();
        let (members, outcome) = (Mutex::new(members), Mutex::new(None));
        Shared { inbox, groups, leaders, members, outcome, ended: Notify::new() }
    }

    fn members(&self) -> MutexGuard<'_, Vec<Membership>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_members(&self, at: usize, membership: &Membership) {
        self.members()[at] = membership.clone();
    }

    pub(crate) fn set_leader(&self, at: usize, leader: u64) {
        self.leaders[at].store(leader, Ordering::Relaxed);
    }

    pub(crate) fn finish(&self, outcome: io::Result<()>) {
        let kept = outcome.map_err(|e| (e.kind(), e.to_string()));
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        self.ended.notify_waiters();
    }
}

/// A running node's consensus. Clones share it.
#[derive(Clone)]
pub struct Raft {
    shared: Arc<Shared>,
}

impl Raft {
    pub(crate) fn new(shared: Arc<Shared>) -> Raft {
        Raft { shared }
    }

    /// Proposes a command: `context` is its small header, `data` its body, which is shared and not
    /// copied. The future completes when the command went through this node's state machine, or
    /// cannot. It is in the queue when this returns, whether or not anybody waits.
    pub fn propose(
        &self,
        group: u32,
        context: &[u8],
        data: Bytes,
    ) -> impl Future<Output = Result<Applied, ProposeError>> + Send + use<> {
        let (reply, outcome) = oneshot::channel();
        let data_crc = crc32fast::hash(&data);
        self.propose_with(group, context, data, data_crc, move |o| {
            let _ = reply.send(o);
        });
        async move { outcome.await.unwrap_or(Err(ProposeError::Stopped)) }
    }

    /// Like `propose`, for many at a time: `reply` is called with the outcome, on a thread of the
    /// driver, and must not take long. It is always called: with `Stopped` if nobody will learn the
    /// outcome. `data_crc` is the crc32 of `data`, on which the log will rely.
    pub fn propose_with(
        &self,
        group: u32,
        context: &[u8],
        data: Bytes,
        data_crc: u32,
        reply: impl FnOnce(Result<Applied, ProposeError>) + Send + 'static,
    ) {
        debug_assert_eq!(data_crc, crc32fast::hash(&data));
        let fits = context.len() <= MAX_CONTEXT && data.len() <= MAX_BODY;
        if !fits || self.shared.groups.binary_search(&group).is_err() {
            reply(Err(ProposeError::Dropped));
            return;
        }
        let context = chain::seal(context, data_crc);
        let reply = Answer::new(reply);
        drop(self.shared.inbox.push(Input::Propose { group, context, data, reply }));
    }

    /// Completes when this node's state machine holds everything that was acknowledged anywhere
    /// before the call: a read of it is then linearizable. Only a leader can say so.
    pub fn read(
        &self,
        group: u32,
    ) -> impl Future<Output = Result<(), ProposeError>> + Send + use<> {
        let (reply, outcome) = oneshot::channel();
        self.read_with(group, move |o| {
            let _ = reply.send(o);
        });
        async move { outcome.await.unwrap_or(Err(ProposeError::Stopped)) }
    }

    /// Like `read`, for many at a time.
    pub fn read_with(
        &self,
        group: u32,
        reply: impl FnOnce(Result<(), ProposeError>) + Send + 'static,
    ) {
        if self.shared.groups.binary_search(&group).is_err() {
            reply(Err(ProposeError::Dropped));
            return;
        }
        let reply = Answer::new(reply);
        drop(self.shared.inbox.push(Input::Read { group, reply }));
    }

    /// Hands leadership of the group to another member. Completes when another leader of a later
    /// term is known here, whoever it is. `NotLeader` if this node does not lead; `Dropped` if `to`
    /// is no other member, or if nothing came of it within the lower election timeout (it may still
    /// happen then). Waits for as long as no leader is known. Proposals meanwhile are `Dropped`.
    pub fn transfer(
        &self,
        group: u32,
        to: u64,
    ) -> impl Future<Output = Result<(), ProposeError>> + Send + use<> {
        let (reply, outcome) = oneshot::channel();
        self.transfer_with(group, to, move |o| {
            let _ = reply.send(o);
        });
        async move { outcome.await.unwrap_or(Err(ProposeError::Stopped)) }
    }

    /// Like `transfer`, without a future.
    pub fn transfer_with(
        &self,
        group: u32,
        to: u64,
        reply: impl FnOnce(Result<(), ProposeError>) + Send + 'static,
    ) {
        if self.shared.groups.binary_search(&group).is_err() {
            reply(Err(ProposeError::Dropped));
            return;
        }
        let reply = Answer::new(reply);
        drop(self.shared.inbox.push(Input::Transfer { group, to, reply }));
    }

    /// Makes the group what `target` says. Completes when it is so, or surely will not be by this
    /// call; `Dropped` means that nothing was begun and it may be tried again, `Stopped` that it
    /// may still be gone through with.
    pub fn change(
        &self,
        group: u32,
        target: Target,
    ) -> impl Future<Output = Result<Changed, ProposeError>> + Send + use<> {
        let (reply, outcome) = oneshot::channel();
        self.change_with(group, target, move |o| {
            let _ = reply.send(o);
        });
        async move { outcome.await.unwrap_or(Err(ProposeError::Stopped)) }
    }

    /// Like `change`, without a future.
    pub fn change_with(
        &self,
        group: u32,
        target: Target,
        reply: impl FnOnce(Result<Changed, ProposeError>) + Send + 'static,
    ) {
        if self.shared.groups.binary_search(&group).is_err() {
            reply(Err(ProposeError::Dropped));
            return;
        }
        let reply = Answer::new(reply);
        drop(self.shared.inbox.push(Input::Change { group, target, reply }));
    }

    /// Who belongs to the group, as this node knows; nobody if there is no such group.
    pub fn membership(&self, group: u32) -> Membership {
        match self.shared.groups.binary_search(&group) {
            Ok(at) => self.shared.members()[at].clone(),
            Err(_) => Membership::default(),
        }
    }

    /// Whom the group follows here; 0 if nobody is known.
    pub fn leader(&self, group: u32) -> u64 {
        match self.shared.groups.binary_search(&group) {
            Ok(at) => self.shared.leaders[at].load(Ordering::Relaxed),
            Err(_) => 0,
        }
    }

    /// Stops gracefully: no proposal is taken any more, leadership is handed over, and what is known
    /// to be committed is applied and answered, all of it within the upper election timeout. When
    /// this returns without error, everything that was promised is durable and no task runs any more;
    /// that takes as long as the disk does.
    pub async fn stop(&self) -> io::Result<()> {
        let _ = self.shared.inbox.push(Input::Stop);
        self.ended().await
    }

    /// Completes when consensus has ended here: by a stop, or with the error of a disk that failed.
    pub async fn ended(&self) -> io::Result<()> {
        loop {
            let notified = self.shared.ended.notified();
            let outcome =
                self.shared.outcome.lock().unwrap_or_else(PoisonError::into_inner).clone();
            match outcome {
                Some(outcome) => {
                    return outcome.map_err(|(kind, text)| io::Error::new(kind, text));
                }
                None => notified.await,
            }
        }
    }
}
