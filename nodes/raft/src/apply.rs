//! The state machine's side of a group. Committed entries arrive in batches, go through the machine
//! in order, and their proposers get the machine's reply. The machine sits behind a lock together
//! with the position it stands for, so that a snapshot captures both or neither.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use host::{Chunks, Claim, Host, OpenMode, Thread, Work};
use raft::eraftpb::{ConfState, Entry};
use tokio::sync::Notify;

use crate::answer::Answer;
use crate::chain::ENVELOPE;
use crate::driver::{Input, Plants};
use crate::event::RaftEvent;
use crate::log::Mark;
use crate::mailbox::Mailbox;
use crate::members::is_change;
use crate::snapshot::file::{self, Image, path};
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
        let (snapshotting, writing, piece) = (false, false, None);
        Replica { machine, mark, conf, snapshotting, writing, next_snapshot, piece }
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
        let read = read_file(&self.host, group, mark).await?;
        let work = Work { kind: "snapshot_restore", bytes: read.data.len() };
        let replica = &self.replicas[&group];
        let restore = || {
            let mut replica = lock(replica);
            replica.machine.restore(read.data)?;
            replica.mark = mark;
            (replica.conf, replica.piece) = (read.conf, None);
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

/// Reads and verifies the snapshot at `mark`.
pub(crate) async fn read_file(host: &Host, group: u32, mark: Mark) -> io::Result<file::Read> {
    let name = path(group, mark.index);
    let refuse = |why: &str| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{name} does not serve: {why}"))
    };
    let opened = host.disk().open(&name, OpenMode::Existing).await;
    let file = opened.map_err(|e| refuse(&e.to_string()))?;
    let rope = file.read_at(0, file.len().await?).await?;
    let read = file::decode(&rope).map_err(refuse)?;
    if read.group != group || read.mark != mark {
        return Err(refuse("it is of another group or position"));
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_are_due_at_the_hosts_own_phase() {
        let rhythm = Rhythm { every: 100, offset: 30 };
        assert_eq!([0, 29, 30, 129, 130].map(|i| rhythm.after(i)), [30, 30, 130, 130, 230]);
        let equal = Rhythm { every: 100, offset: 0 };
        assert_eq!([0, 99, 100].map(|i| equal.after(i)), [100, 100, 200]);
    }
}
