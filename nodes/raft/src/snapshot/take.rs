//! Taking snapshots. The serialisation runs as work *of the configured thread*: with
//! `snapshot_thread = "raft"` it holds the thread that answers heartbeats, which is the whole of
//! snapshot starvation. State and index are captured together, under the replica's lock, when the
//! work is done. Then the file is written beside the old one, synced, renamed, and only then does
//! the log learn of it. One that fails, for lack of room or otherwise, leaves nothing behind and is
//! tried again after a tenth of the interval.

use std::collections::BTreeMap;
use std::io;

use host::{Chunks, Class, Host, Mono, OpenMode, Thread, Work};
use raft::eraftpb::ConfState;

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
    /// Who belongs to the group there.
    pub(crate) conf: ConfState,
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
        let gathering = lock(replica).machine.gather();
        if let Some(gathering) = gathering {
            gathering.await?;
        }
        let work = Work { kind: "snapshot_serialize", bytes };
        // State and index in two steps are two moments: a fuzzy snapshot, which needs a log that may
        // be applied to it twice, as ZooKeeper's; this one is said to hold what it lacks.
        let captured = self.plants.snapshot_mark_too_late.then(|| lock(replica).machine.snapshot());
        if captured.is_some() {
            self.host.disk().sync_dir().await?;
        }
        let capture = || {
            let replica = lock(replica);
            let image = captured.unwrap_or_else(|| replica.machine.snapshot());
            let (mark, conf) = (replica.mark, replica.conf.clone());
            (mark, encode(group, mark, &conf, &image), conf)
        };
        let (mark, rope, conf) = self.thread.run(work, capture).await;
        let bytes = rope.len();
        let target = path(group, mark.index);
        let tmp = format!("{target}.tmp");
        if let Err(error) = self.store(&rope, &tmp, &target).await {
            let _ = self.host.disk().remove(&tmp).await;
            return Err(error);
        }
        Ok(Taken { group, mark, conf, bytes, started })
    }

    /// Writes the file beside the old one and makes it and its name durable.
    async fn store(&self, rope: &Chunks, tmp: &str, target: &str) -> io::Result<()> {
        let disk = self.host.disk();
        let file = disk.open(tmp, OpenMode::Fresh).await?;
        let mut at = 0;
        while at < rope.len() {
            let piece = rope.slice(at, PIECE.min(rope.len() - at));
            at += piece.len();
            file.append(SNAPSHOT, piece).await?;
        }
        if !self.plants.compact_before_snapshot_durable {
            file.sync(SNAPSHOT).await?;
        }
        disk.rename(tmp, target).await?;
        disk.sync_dir().await
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::{Replica, StateMachine};
    use crate::snapshot::file::Image;
    use crate::test_arm::{TestArm, at_once};
    use bytes::Bytes;
    use std::sync::{Arc, Mutex};

    struct Still;

    impl StateMachine for Still {
        fn apply(&mut self, _: u64, _: u64, _: &Bytes, _: &Bytes) -> Bytes {
            Bytes::new()
        }
        fn snapshot(&self) -> Image {
            let mut image = Image::new();
            image.push(vec![5; 1000].into());
            image
        }
        fn restore(&mut self, _: Chunks) -> io::Result<()> {
            Ok(())
        }
        fn state_hash(&self) -> u64 {
            0
        }
        fn size(&self) -> u64 {
            1000
        }
    }

    fn taker(arm: &TestArm) -> Taker {
        let host = arm.host();
        let mark = Mark { index: 7, term: 1, chain: 3 };
        let conf = ConfState { voters: vec![1, 2, 3], ..ConfState::default() };
        let (snapshotting, next_snapshot) = (true, 100);
        let replica = Replica { machine: Box::new(Still), mark, conf, snapshotting, next_snapshot };
        Taker {
            plants: Plants::default(),
            thread: host.thread("snapshot"),
            host,
            replicas: BTreeMap::from([(1, Arc::new(Mutex::new(replica)))]),
            jobs: Mailbox::new(),
            inbox: Mailbox::new(),
        }
    }

    #[test]
    fn a_snapshot_that_was_taken_survives_a_power_loss() {
        let mut taken = 0;
        for budget in 0..12 {
            let arm = TestArm::new().with_budget(budget);
            if at_once(taker(&arm).take(1)).is_some() {
                taken += 1;
                let file = arm.after(true).files().remove(&path(1, 7)).expect("under its name");
                assert!(crate::snapshot::file::decode(&Chunks::from(file)).is_ok());
            }
        }
        assert!(taken > 0);
    }

    #[test]
    fn without_room_nothing_is_left_and_it_is_due_again_soon() {
        let arm = TestArm::new().with_room(900, 0);
        let taker = taker(&arm);
        let error = at_once(taker.take(1)).unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(arm.files().is_empty());
        let mut replica = lock(&taker.replicas[&1]);
        replica.try_again(50);
        assert_eq!((replica.snapshotting, replica.next_snapshot), (false, 12));
    }
}
