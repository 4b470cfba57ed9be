//! Taking snapshots. The serialisation runs as work *of the configured thread*: with
//! `snapshot_thread = "raft"` it holds the thread that answers heartbeats, which is the whole of
//! snapshot starvation. State and index are captured together, under the replica's lock, when the
//! work is done. Then the file is written beside the old one, synced, renamed, and only then does
//! the log learn of it.

use std::collections::BTreeMap;
use std::io;

use host::{Class, Host, Mono, OpenMode, Thread, Work};

use super::file::{encode, path};
use crate::apply::{SharedReplica, lock};
use crate::driver::{Input, Plants};
use crate::event::RaftEvent;
use crate::log::Mark;
use crate::mailbox::Mailbox;

const SNAPSHOT: Class = Class("snapshot");
/// A large file is written in pieces, so that other writers get their turn at the device.
const PIECE: u64 = 4 << 20;

/// What the snapshot task is asked for.
pub(crate) enum TakeJob {
    /// Take a snapshot of this group now.
    Take { group: u32 },
    /// Snapshots of the group before this index are not needed any more.
    Clean { group: u32, before: u64 },
}

/// A snapshot that is durable under its name.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) group: u32,
    pub(crate) mark: Mark,
    pub(crate) bytes: u64,
    pub(crate) started: Mono,
}

/// The snapshot task.
pub(crate) struct Taker {
    pub(crate) host: Host,
    pub(crate) plants: Plants,
    pub(crate) thread: Thread,
    pub(crate) replicas: BTreeMap<u32, SharedReplica>,
    pub(crate) jobs: Mailbox<TakeJob>,
    pub(crate) inbox: Mailbox<Input>,
}

impl Taker {
    /// Serves until the mailbox is closed.
    pub(crate) async fn run(self) {
        let mut round = Vec::new();
        while self.jobs.take(&mut round).await {
            for job in round.drain(..) {
                match job {
                    TakeJob::Take { group } => {
                        let input = match self.take(group).await {
                            Ok(taken) => Input::SnapshotTaken(taken),
                            Err(_) => Input::SnapshotFailed { group },
                        };
                        let _ = self.inbox.push(input);
                    }
                    TakeJob::Clean { group, before } => self.clean(group, before).await,
                }
            }
        }
    }

    async fn take(&self, group: u32) -> io::Result<Taken> {
        let replica = &self.replicas[&group];
        let started = self.host.clock().now();
        let (index, bytes) = {
            let replica = lock(replica);
            (replica.mark.index, replica.machine.size())
        };
        self.host.emit(RaftEvent::SnapshotStarted { group, index, bytes });
        let work = Work { kind: "snapshot_serialize", bytes };
        let capture = || {
            let replica = lock(replica);
            (replica.mark, encode(group, replica.mark, &replica.conf, &replica.machine.snapshot()))
        };
        let (mark, rope) = self.thread.run(work, capture).await;
        let disk = self.host.disk();
        let target = path(group, mark.index);
        let tmp = format!("{target}.tmp");
        let file = disk.open(&tmp, OpenMode::Fresh).await?;
        let (mut at, bytes) = (0, rope.len());
        while at < bytes {
            let piece = rope.slice(at, PIECE.min(bytes - at));
            at += piece.len();
            if let Err(error) = file.append(SNAPSHOT, piece).await {
                let _ = disk.remove(&tmp).await;
                return Err(error);
            }
        }
        if !self.plants.compact_before_snapshot_durable {
            file.sync(SNAPSHOT).await?;
        }
        disk.rename(&tmp, &target).await?;
        disk.sync_dir().await?;
        Ok(Taken { group, mark, bytes, started })
    }

    /// Removes superseded files. A failure leaves a file behind that the next boot removes.
    async fn clean(&self, group: u32, before: u64) {
        let disk = self.host.disk();
        let oldest = path(group, before);
        let names = disk.list(&format!("snap/{group}-")).await.unwrap_or_default();
        for name in names.iter().filter(|n| **n < oldest && !n.contains('.')) {
            let _ = disk.remove(name).await;
        }
    }
}
