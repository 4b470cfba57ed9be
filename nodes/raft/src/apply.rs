//! The state machine's side of a group. Committed entries arrive in batches, go through the machine
//! in order, and their proposers get the machine's reply. The machine sits behind a lock together
//! with the position it stands for, so that a snapshot captures both or neither.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use host::{Chunks, Claim, Host, Thread, Work};
use raft::eraftpb::{ConfState, Entry};
use tokio::sync::Notify;

use crate::answer::Answer;
use crate::chain::ENVELOPE;
use crate::driver::{Input, Plants};
use crate::event::RaftEvent;
use crate::log::Mark;
use crate::mailbox::Mailbox;
use crate::members::is_change;
use crate::snapshot::file::Image;
use crate::snapshot::read::{Link, read};
use crate::snapshot::take::TakeJob;
use crate::{Applied, ProposeError};

/// What a state machine has left to do, on the apply thread and on disk.
pub type Settling = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// What is replicated. Deterministic: the same entries lead to the same state on every host.
pub trait StateMachine: Send {
    /// Carries out one command and returns what its proposer is told.
    fn apply(&mut self, index: u64, term: u64, context: &Bytes, data: &Bytes) -> Bytes;
    /// The whole state, sharing large values.
    fn snapshot(&self) -> Image;
    /// Replaces the state by one that `snapshot` once returned.
    fn restore(&mut self, image: Chunks) -> io::Result<()>;
    /// What changed since the entry at index `since` was applied, sharing large values; `None` if that
    /// is not known, and only the whole state will do.
    fn delta(&self, since: u64) -> Option<Image> {
        let _ = since;
        None
    }
    /// Carries the state to that in which `delta` was asked, from one in which its `since` was applied
    /// and nothing after it.
    fn patch(&mut self, delta: Chunks) -> io::Result<()> {
        drop(delta);
        Err(io::ErrorKind::Unsupported.into())
    }
    /// A number that equal states share.
    fn state_hash(&self) -> u64;
    /// Bytes that a snapshot will serialise.
    fn size(&self) -> u64;
    /// Whether proposers wait for `settle` before they are answered.
    fn settles(&self) -> bool {
        false
    }
    /// What is left to do for all that was applied or restored since the last call. Its error ends
    /// the node.
    fn settle(&mut self) -> Option<Settling> {
        None
    }
    /// The kind of work that serialising a snapshot is.
    fn serializing(&self) -> &'static str {
        "snapshot_serialize"
    }
    /// What has to be read before a snapshot can be made. Its error ends the snapshot.
    fn gather(&self) -> Option<Settling> {
        None
    }
}

/// Where a proposer waits.
pub(crate) type Reply = Answer<Applied>;

/// A proposal in the log.
pub(crate) struct Waiter {
    pub(crate) index: u64,
    pub(crate) term: u64,
    pub(crate) reply: Reply,
}

/// A state machine and the log position it stands for.
pub(crate) struct Replica {
    pub(crate) machine: Box<dyn StateMachine>,
    pub(crate) mark: Mark,
    pub(crate) conf: ConfState,
    /// A snapshot is being taken.
    pub(crate) snapshotting: bool,
    /// Its file is not written yet.
    pub(crate) writing: bool,
    /// The index at which the next one is due.
    pub(crate) next_snapshot: u64,
    /// The files of the newest snapshot, oldest first.
    pub(crate) links: Vec<Link>,
    /// The memory that a peer's snapshot takes until it is restored, if it is in one piece.
    pub(crate) piece: Option<Claim>,
}

impl Replica {
    /// A machine at that position.
    pub(crate) fn new(
        machine: Box<dyn StateMachine>,
        mark: Mark,
        conf: ConfState,
        next_snapshot: u64,
    ) -> Replica {
        let (snapshotting, writing, links, piece) = (false, false, Vec::new(), None);
        Replica { machine, mark, conf, snapshotting, writing, next_snapshot, links, piece }
    }

    /// A snapshot has its file. It is none of ours if a peer's came meanwhile.
    pub(crate) fn linked(&mut self, since: u64, link: Link) {
        let last = self.links.last().map_or(0, |link| link.index);
        if since == 0 && link.index >= last {
            self.links = vec![link];
        } else if since > 0 && since == last {
            self.links.push(link);
        }
    }

    /// A snapshot begins, unless one is under way.
    pub(crate) fn begin_snapshot(&mut self) -> bool {
        let begins = !self.snapshotting;
        (self.snapshotting, self.writing) = (true, self.writing || begins);
        begins
    }

    /// A snapshot was not taken. The next attempt comes after a tenth of the interval: not at once,
    /// for it may be as costly and as vain, and not a whole interval later, while the log grows.
    pub(crate) fn try_again(&mut self, every: u64) {
        self.snapshotting = false;
        self.next_snapshot = self.next_snapshot.min(self.mark.index + (every / 10).max(1));
    }
}

pub(crate) type SharedReplica = Arc<Mutex<Replica>>;

pub(crate) fn lock(replica: &SharedReplica) -> MutexGuard<'_, Replica> {
    replica.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the apply task does.
pub(crate) enum ApplyJob {
    /// Applies committed entries that end at `mark`; `waiters` are those whose index is among them,
    /// and `conf` is who belongs to the group from there on, if that changed.
    Entries {
        group: u32,
        entries: Vec<Entry>,
        mark: Mark,
        conf: Option<ConfState>,
        waiters: Vec<Waiter>,
    },
    /// Replaces the state by the snapshot file at `mark`.
    Install { group: u32, mark: Mark },
}

impl ApplyJob {
    fn group(&self) -> u32 {
        match self {
            ApplyJob::Entries { group, .. } | ApplyJob::Install { group, .. } => *group,
        }
    }
}

/// The apply task.
pub(crate) struct Applier {
    pub(crate) host: Host,
    pub(crate) plants: Plants,
    pub(crate) thread: Thread,
    pub(crate) replicas: BTreeMap<u32, SharedReplica>,
    /// `snapshot_every` and this host's offset in it.
    pub(crate) rhythm: Rhythm,
    pub(crate) jobs: Mailbox<ApplyJob>,
    pub(crate) take: Mailbox<TakeJob>,
    pub(crate) inbox: Mailbox<Input>,
    /// Whether a reader waits for the machine, in any group.
    pub(crate) awaited: Arc<AtomicBool>,
    /// Told of every snapshot that is written, if entries wait for that.
    pub(crate) written: Option<Arc<Notify>>,
}

/// When snapshots are due: at indices that leave `offset` when divided by `every`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rhythm {
    pub(crate) every: u64,
    pub(crate) offset: u64,
}

impl Rhythm {
    /// The first such index after `index`.
    pub(crate) fn after(self, index: u64) -> u64 {
        assert!(self.offset < self.every);
        let next = index + 1;
        next + (self.every + self.offset - next % self.every) % self.every
    }
}

impl Applier {
    /// Serves until the mailbox is closed.
    pub(crate) async fn run(self) {
        let mut round = Vec::new();
        let mut reports = Vec::new();
        while self.jobs.take(&mut round).await {
            for job in round.drain(..) {
                if let Some(written) = &self.written {
                    self.idle(job.group(), written, &mut reports).await;
                }
                let report = match job {
                    ApplyJob::Entries { group, entries, mark, conf, waiters } => {
                        match self.entries(group, &entries, (mark, conf), waiters).await {
                            Ok(()) => Input::Applied { group, index: mark.index },
                            Err(error) => Input::Failed(error),
                        }
                    }
                    ApplyJob::Install { group, mark } => match self.install(group, mark).await {
                        Ok(()) => Input::Applied { group, index: mark.index },
                        Err(error) => Input::Failed(error),
                    },
                };
                reports.push(report);
                if self.plants.neutral_yield_between_jobs {
                    self.thread.yield_now().await;
                }
            }
            self.report(&mut reports);
        }
    }

    /// Raft needs to know how far the machine is only some time; a reader may be waiting for it.
    fn report(&self, reports: &mut Vec<Input>) {
        let failed = reports.iter().any(|r| matches!(r, Input::Failed(_)));
        self.inbox.push_lazily(reports, || failed || self.awaited.load(Ordering::SeqCst));
    }

    /// Waits while a snapshot of the group is written, as DotNext's applier does.
    async fn idle(&self, group: u32, written: &Notify, reports: &mut Vec<Input>) {
        while lock(&self.replicas[&group]).writing {
            self.report(reports);
            written.notified().await;
        }
    }

    /// Applies entries; a machine that settles does that before anybody is answered.
    async fn entries(
        &self,
        group: u32,
        entries: &[Entry],
        (mark, conf): (Mark, Option<ConfState>),
        waiters: Vec<Waiter>,
    ) -> io::Result<()> {
        let mut told = Vec::new();
        let (due, settling) = self.apply(group, entries, (mark, conf), waiters, &mut told);
        if let Some(settling) = settling {
            settling.await?;
        }
        told.drain(..).for_each(|(reply, outcome): (Reply, _)| reply.give(outcome));
        if due {
            let _ = self.take.push(TakeJob::Take { group });
        }
        Ok(())
    }

    /// Applies entries at one blow. Says whether a snapshot is due and what is left to do; who must
    /// wait for that is in `told`.
    fn apply(
        &self,
        group: u32,
        entries: &[Entry],
        (mark, conf): (Mark, Option<ConfState>),
        waiters: Vec<Waiter>,
        told: &mut Vec<(Reply, Result<Applied, ProposeError>)>,
    ) -> (bool, Option<Settling>) {
        let mut replica = lock(&self.replicas[&group]);
        assert_eq!(replica.mark.index + 1, entries[0].index, "entries are applied once, in order");
        let settles = replica.machine.settles();
        let mut waiters = waiters.into_iter().peekable();
        for entry in entries {
            let command = entry.context.len() >= ENVELOPE && !is_change(entry);
            let reply = if command {
                let context = entry.context.slice(ENVELOPE..);
                replica.machine.apply(entry.index, entry.term, &context, &entry.data)
            } else {
                Bytes::new()
            };
            while let Some(waiter) = waiters.next_if(|w| w.index <= entry.index) {
                // The index alone tells a proposer nothing after a change of leaders: "Students'
                // Guide to Raft", on clients.
                let own = waiter.term == entry.term || self.plants.answer_by_index_alone;
                let outcome = match waiter.index == entry.index {
                    true if own => {
                        Ok(Applied { index: entry.index, term: entry.term, reply: reply.clone() })
                    }
                    // What is applied at an index is all that ever will be.
                    true => Err(ProposeError::Dropped),
                    false => Err(ProposeError::Stopped),
                };
                match settles {
                    true => told.push((waiter.reply, outcome)),
                    false => waiter.reply.give(outcome),
                }
            }
        }
        replica.mark = mark;
        if let Some(conf) = conf {
            replica.conf = conf;
        }
        let state_hash = replica.machine.state_hash();
        let due = mark.index >= replica.next_snapshot && replica.begin_snapshot();
        if due {
            replica.next_snapshot = self.rhythm.after(mark.index);
        }
        let settling = replica.machine.settle();
        drop(replica);
        let (first, last, chain) = (entries[0].index, mark.index, mark.chain);
        self.host.emit(RaftEvent::Applied { group, first, last, chain, state_hash });
        (due, settling)
    }

    async fn install(&self, group: u32, mark: Mark) -> io::Result<()> {
        let mut whole = read(&self.host, group, mark).await?;
        let work = Work { kind: "snapshot_restore", bytes: whole.bytes() };
        let replica = &self.replicas[&group];
        let restore = || {
            let mut replica = lock(replica);
            (replica.conf, replica.piece) = (std::mem::take(&mut whole.conf), None);
            replica.links = std::mem::take(&mut whole.links);
            whole.restore(&mut *replica.machine)?;
            replica.mark = mark;
            replica.next_snapshot = self.rhythm.after(mark.index);
            io::Result::Ok(replica.machine.state_hash())
        };
        let state_hash = self.thread.run(work, restore).await?;
        let settling = lock(replica).machine.settle();
        if let Some(settling) = settling {
            settling.await?;
        }
        let Mark { index, term, chain } = mark;
        self.host.emit(RaftEvent::SnapshotInstalled { group, index, term, chain, state_hash });
        Ok(())
    }
}

/// The memory of a snapshot that is restored in one piece; says so if there is none.
pub(crate) fn restoring(host: &Host, (group, index): (u32, u64), bytes: u64) -> io::Result<Claim> {
    host.memory().claim("snapshot_restore", bytes).inspect_err(|_| {
        host.emit(RaftEvent::RestoreFailed { group, index, bytes });
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_arm::TestArm;
    use std::pin::pin;
    use std::task::{Context, Waker};

    #[test]
    fn snapshots_are_due_at_the_hosts_own_phase() {
        let rhythm = Rhythm { every: 100, offset: 30 };
        assert_eq!([0, 29, 30, 129, 130].map(|i| rhythm.after(i)), [30, 30, 130, 130, 230]);
        let equal = Rhythm { every: 100, offset: 0 };
        assert_eq!([0, 99, 100].map(|i| equal.after(i)), [100, 100, 200]);
    }

    struct Nothing;

    impl StateMachine for Nothing {
        fn apply(&mut self, _: u64, _: u64, _: &Bytes, _: &Bytes) -> Bytes {
            Bytes::new()
        }
        fn snapshot(&self) -> Image {
            Image::new()
        }
        fn restore(&mut self, _: Chunks) -> io::Result<()> {
            Ok(())
        }
        fn state_hash(&self) -> u64 {
            0
        }
        fn size(&self) -> u64 {
            0
        }
    }

    #[test]
    fn entries_wait_for_a_snapshot_that_is_written_if_they_are_to() {
        for waits in [false, true] {
            let host = TestArm::new().host();
            let mut replica =
                Replica::new(Box::new(Nothing), Mark::START, ConfState::default(), 1000);
            assert!(replica.begin_snapshot());
            let (replica, written) = (Arc::new(Mutex::new(replica)), Arc::new(Notify::new()));
            let applier = Applier {
                thread: host.thread("apply"),
                host,
                plants: Plants::default(),
                replicas: BTreeMap::from([(1, replica.clone())]),
                rhythm: Rhythm { every: 1000, offset: 0 },
                jobs: Mailbox::new(),
                take: Mailbox::new(),
                inbox: Mailbox::new(),
                awaited: Arc::default(),
                written: waits.then(|| written.clone()),
            };
            let entries = vec![Entry { index: 1, term: 1, ..Entry::default() }];
            let (mark, waiters) = (Mark { index: 1, term: 1, chain: 1 }, Vec::new());
            let job = ApplyJob::Entries { group: 1, entries, mark, conf: None, waiters };
            assert!(applier.jobs.push(job).is_ok());
            let mut task = pin!(applier.run());
            let mut turn = || {
                let _ = task.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                lock(&replica).mark.index
            };
            assert_eq!(turn(), u64::from(!waits));
            lock(&replica).writing = false;
            written.notify_one();
            assert_eq!(turn(), 1);
        }
    }
}
