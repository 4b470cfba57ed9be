//! Taking snapshots. The serialisation runs as work *of the configured thread*: with
//! `snapshot_thread = "raft"` it holds the thread that answers heartbeats, which is the whole of
//! snapshot starvation. State and index are captured together, under the replica's lock, when the
//! work is done. Then the file is written beside the old one, synced, renamed, and only then does
//! the log learn of it. One that fails, for lack of room, of memory or otherwise, leaves nothing
//! behind and is tried again after a tenth of the interval.
//!
//! With `snapshot_kind = "incremental"` a file holds what changed since the snapshot before it, and
//! those that it rests on stay. When the changes have come to more than the last whole state, the
//! next one is whole again, and what it makes superfluous goes once the log has its mark.
//!
//! With `snapshot_form = "whole"` the image is an object of its own, as .NET's
//! `SerializeToUtf8Bytes` makes one: a buffer that doubles when it is full, the old one alive until
//! it is copied, and then a copy of just the right size.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use host::{Chunks, Claim, Class, Host, Memory, Mono, OpenMode, Thread, Work};
use raft::eraftpb::ConfState;
use tokio::sync::Notify;

use super::file::{Image, encode, path};
use super::read::{Link, rests_on};
use crate::apply::{Replica, SharedReplica, lock};
use crate::driver::{Input, Plants};
use crate::event::RaftEvent;
use crate::log::Mark;
use crate::mailbox::Mailbox;
use crate::wal::writer::is_full;

const SNAPSHOT: Class = Class("snapshot");
/// A large file is written in pieces, so that other writers get their turn at the device.
const PIECE: u64 = 4 << 20;
/// Memory of a snapshot that is streamed, and with which a whole one begins.
pub(crate) const BUFFER: u64 = 64 << 10;

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
    /// When the image was there, and nothing of it on the disk.
    pub(crate) serialized: Mono,
}

/// The snapshot task.
pub(crate) struct Taker {
    pub(crate) host: Host,
    pub(crate) plants: Plants,
    pub(crate) thread: Thread,
    /// The image is one object before it is written.
    pub(crate) whole: bool,
    /// A snapshot may rest on the one before it, and whether any may.
    pub(crate) incremental: bool,
    pub(crate) chained: bool,
    /// All garbage is collected when one is written.
    pub(crate) collects: bool,
    /// Told of every snapshot that is written, or given up.
    pub(crate) written: Arc<Notify>,
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
                        let input = self.attempt(group).await;
                        let _ = self.inbox.push(input);
                    }
                    TakeJob::Clean { group, before } => self.clean(group, before).await,
                }
            }
        }
    }

    async fn attempt(&self, group: u32) -> Input {
        let outcome = self.take(group).await;
        if self.collects && outcome.is_ok() {
            self.host.memory().collect().await;
        }
        lock(&self.replicas[&group]).writing = false;
        self.written.notify_one();
        match outcome {
            Ok(taken) => Input::SnapshotTaken(taken),
            Err(error) => {
                self.host.emit(RaftEvent::SnapshotFailed { group, why: reason(&error) });
                Input::SnapshotFailed { group }
            }
        }
    }

    async fn take(&self, group: u32) -> io::Result<Taken> {
        let replica = &self.replicas[&group];
        let started = self.host.clock().now();
        let (index, bytes, kind, rests) = {
            let replica = lock(replica);
            let delta = self.delta(&replica);
            let rests = delta.is_some();
            let bytes = delta.map_or_else(|| replica.machine.size(), |(_, d)| d.data().len());
            (replica.mark.index, bytes, replica.machine.serializing(), rests)
        };
        self.host.emit(RaftEvent::SnapshotStarted { group, index, bytes });
        let gathering = if rests { None } else { lock(replica).machine.gather() };
        if let Some(gathering) = gathering {
            gathering.await?;
        }
        let work = Work { kind, bytes };
        // State and index in two steps are two moments: a fuzzy snapshot, which needs a log that may
        // be applied to it twice, as ZooKeeper's; this one is said to hold what it lacks.
        let captured = self.plants.snapshot_mark_too_late.then(|| lock(replica).machine.snapshot());
        if captured.is_some() {
            self.host.disk().sync_dir().await?;
        }
        let capture = || {
            let replica = lock(replica);
            let delta = if captured.is_none() { self.delta(&replica) } else { None };
            let whole = || captured.unwrap_or_else(|| replica.machine.snapshot());
            let (since, image) = delta.unwrap_or_else(|| (0, whole()));
            let (mark, conf) = (replica.mark, replica.conf.clone());
            (mark, since, encode(group, mark, &conf, (since, &image)), conf)
        };
        let (mark, since, rope, conf) = self.thread.run(work, capture).await;
        let (bytes, serialized) = (rope.len(), self.host.clock().now());
        let _image = self.buffer(bytes)?;
        let target = path(group, mark.index);
        let tmp = format!("{target}.tmp");
        if let Err(error) = self.store(&rope, &tmp, &target).await {
            let _ = self.host.disk().remove(&tmp).await;
            return Err(error);
        }
        lock(replica).linked(since, Link { index: mark.index, bytes });
        Ok(Taken { group, mark, conf, bytes, started, serialized })
    }

    /// What changed since the newest snapshot, and its index, if that does for the next one.
    fn delta(&self, replica: &Replica) -> Option<(u64, Image)> {
        let (base, deltas) = replica.links.split_first().filter(|_| self.incremental)?;
        let since = deltas.last().unwrap_or(base).index;
        let heavy = deltas.iter().map(|link| link.bytes).sum::<u64>() > base.bytes;
        if heavy || since >= replica.mark.index {
            return None;
        }
        Some((since, replica.machine.delta(since)?))
    }

    /// The memory that an image of so many bytes takes while it is written.
    fn buffer(&self, bytes: u64) -> io::Result<Claim> {
        let memory = self.host.memory();
        if self.whole { serialised(&memory, bytes) } else { memory.claim(IMAGE, BUFFER) }
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
        let mut oldest = path(group, before);
        let prefix = format!("snap/{group}-");
        let names = disk.list(&prefix).await.unwrap_or_default();
        if self.chained && !self.plants.delta_base_forgotten {
            // What stays may rest on earlier ones.
            let stays = names.iter().find(|n| **n >= oldest && !n.contains('.'));
            let index = stays.and_then(|n| n.strip_prefix(&prefix)?.parse().ok());
            let Some(index) = index else { return };
            let Ok(chain) = rests_on(&disk, group, index).await else { return };
            oldest = path(group, chain[0]);
        }
        for name in names.iter().filter(|n| **n < oldest && !n.contains('.')) {
            let _ = disk.remove(name).await;
        }
    }
}

/// What the claims are called.
const IMAGE: &str = "snapshot_image";

/// An image in one object, with the buffers that it went through.
fn serialised(memory: &Memory, bytes: u64) -> io::Result<Claim> {
    let mut buffer = memory.claim(IMAGE, BUFFER)?;
    while buffer.bytes() < bytes {
        // The old one lives until the new one is there.
        buffer = memory.claim(IMAGE, buffer.bytes() * 2)?;
    }
    memory.claim(IMAGE, bytes)
}

/// Why a snapshot failed, as its event says it.
fn reason(error: &io::Error) -> u64 {
    match error.kind() {
        io::ErrorKind::OutOfMemory => 1,
        _ if is_full(error) => 2,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::StateMachine;
    use crate::snapshot::read::read;
    use crate::test_arm::{TestArm, at_once};
    use bytes::Bytes;
    use proptest::prelude::*;
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
        let mut replica = Replica::new(Box::new(Still), mark, conf, 100);
        assert!(replica.begin_snapshot() && !replica.begin_snapshot());
        Taker {
            whole: false,
            incremental: false,
            chained: false,
            collects: false,
            written: Arc::default(),
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

    #[test]
    fn a_whole_image_takes_its_buffers_and_a_streamed_one_next_to_nothing() {
        let (claimed, bytes) = (|arm: &TestArm| arm.memory_used(), 300_000);
        let arm = TestArm::new();
        let mut taker = taker(&arm);
        drop(taker.buffer(bytes).unwrap());
        assert_eq!(claimed(&arm), (0, BUFFER, 0));
        taker.whole = true;
        let image = taker.buffer(bytes).unwrap();
        // 64, 128, 256 and 512 KiB; the last beside the one before it, and then beside the image.
        assert_eq!(claimed(&arm), (bytes, (512 << 10) + bytes, 0));
        drop(image);
        for (largest, fits) in [(BUFFER, false), (bytes, false), (512 << 10, true)] {
            let arm = TestArm::new().with_largest(largest);
            let taker = Taker { whole: true, ..self::taker(&arm) };
            assert_eq!(taker.buffer(bytes).is_ok(), fits, "{largest}");
            assert_eq!(claimed(&arm).0, 0, "nothing stays");
        }
    }

    #[test]
    fn without_memory_a_snapshot_fails_and_says_so_and_garbage_goes_after_one() {
        for (largest, word) in [(BUFFER - 1, "snapshot_failed"), (BUFFER, "snapshot_started")] {
            let arm = TestArm::new().with_largest(largest);
            let taker = Taker { whole: true, collects: true, ..taker(&arm) };
            let input = at_once(taker.attempt(1)).unwrap();
            assert_eq!(matches!(input, Input::SnapshotTaken(_)), largest == BUFFER);
            assert_eq!(arm.files().len() as u64, arm.memory_used().2, "one for each");
            assert_eq!((arm.memory_used().0, arm.said().pop().unwrap().as_str()), (0, word));
            assert!(!lock(&taker.replicas[&1]).writing);
        }
    }

    /// Keys with their last index and value. None is ever removed.
    #[derive(Clone, Default)]
    struct Keys(Arc<Mutex<BTreeMap<u8, (u64, u8)>>>);

    impl Keys {
        fn image(&self, since: u64) -> Image {
            let mut image = Image::new();
            let keys = self.0.lock().unwrap();
            for (key, (at, value)) in keys.iter().filter(|(_, (at, _))| *at > since) {
                image.push([&[*key, *value], &at.to_le_bytes()[..]].concat().into());
            }
            image
        }
    }

    impl StateMachine for Keys {
        fn apply(&mut self, index: u64, _: u64, key: &Bytes, value: &Bytes) -> Bytes {
            self.0.lock().unwrap().insert(key[0], (index, value[0]));
            Bytes::new()
        }
        fn snapshot(&self) -> Image {
            self.image(0)
        }
        fn restore(&mut self, image: Chunks) -> io::Result<()> {
            self.0.lock().unwrap().clear();
            self.patch(image)
        }
        fn delta(&self, since: u64) -> Option<Image> {
            Some(self.image(since))
        }
        fn patch(&mut self, delta: Chunks) -> io::Result<()> {
            for item in delta.to_bytes().chunks(10) {
                let at = u64::from_le_bytes(item[2..].try_into().unwrap());
                self.0.lock().unwrap().insert(item[0], (at, item[1]));
            }
            Ok(())
        }
        fn state_hash(&self) -> u64 {
            0
        }
        fn size(&self) -> u64 {
            self.image(0).data().len()
        }
    }

    fn chaining(arm: &TestArm) -> (Taker, Keys) {
        let keys = Keys::default();
        let taker = Taker { incremental: true, chained: true, ..taker(arm) };
        {
            let mut replica = lock(&taker.replicas[&1]);
            (replica.machine, replica.mark) = (Box::new(keys.clone()), Mark::START);
        }
        (taker, keys)
    }

    /// Applies one entry to each of the keys, and takes a snapshot as if the log then had its mark.
    fn round(taker: &Taker, keys: &[u8], value: u8) -> Option<Mark> {
        {
            let mut replica = lock(&taker.replicas[&1]);
            for key in keys {
                let index = replica.mark.index + 1;
                replica.machine.apply(index, 1, &vec![*key].into(), &vec![value].into());
                replica.mark = Mark { index, term: 1, chain: index };
            }
        }
        at_once(taker.take(1)).map(|taken| taken.unwrap().mark)
    }

    fn comes_to(arm: &TestArm, mark: Mark) -> io::Result<BTreeMap<u8, (u64, u8)>> {
        let mut machine = Keys::default();
        at_once(read(&arm.host(), 1, mark)).expect("through")?.restore(&mut machine)?;
        Ok(machine.0.lock().unwrap().clone())
    }

    #[test]
    fn changes_rest_on_a_whole_state_until_they_outweigh_it() {
        let arm = TestArm::new();
        let (taker, keys) = chaining(&arm);
        let all: Vec<u8> = (0..60).collect();
        let mut files = Vec::new();
        for value in 0..9 {
            let mark = round(&taker, if value == 0 { &all } else { &all[..6] }, value).unwrap();
            assert_eq!(comes_to(&arm, mark).unwrap(), *keys.0.lock().unwrap());
            at_once(taker.clean(1, mark.index)).unwrap();
            files.push(arm.files().len());
        }
        // 704 bytes, and 164 for each change.
        assert_eq!(files, [1, 2, 3, 4, 5, 6, 1, 2, 3]);
    }

    #[test]
    fn a_chain_that_is_torn_or_lacks_a_file_is_refused() {
        let arm = TestArm::new();
        let taker = chaining(&arm).0;
        let marks = [0, 1, 2].map(|value| round(&taker, &[value, 9], value).unwrap());
        assert_eq!(arm.files().len(), 3);
        assert!(comes_to(&arm, marks[2]).is_ok());
        let wrong = Mark { chain: 77, ..marks[2] };
        assert_eq!(comes_to(&arm, wrong).unwrap_err().kind(), io::ErrorKind::InvalidData);
        for (name, bytes) in arm.files() {
            for damage in [Some(bytes.len() - 1), Some(bytes.len() / 2), None] {
                let arm = arm.copy();
                match damage {
                    Some(len) => arm.put(&name, &bytes[..len]),
                    None => drop(at_once(arm.host().disk().remove(&name)).unwrap()),
                }
                let error = comes_to(&arm, marks[2]).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{name}: {error}");
            }
        }
    }

    proptest! {
        #[test]
        fn wherever_it_ends_the_last_chain_with_a_mark_comes_to_its_state(
            rounds in prop::collection::vec((prop::collection::vec(0u8..40, 1..20), 0u8..), 1..9),
            budget in 0u64..120,
            power_loss in any::<bool>(),
        ) {
            let arm = TestArm::new().with_budget(budget);
            let (taker, keys) = chaining(&arm);
            let mut marked = None;
            for (round, value) in rounds {
                let Some(mark) = self::round(&taker, &round, value) else { break };
                marked = Some((mark, keys.0.lock().unwrap().clone()));
                if at_once(taker.clean(1, mark.index)).is_none() {
                    break;
                }
            }
            if let Some((mark, state)) = marked {
                prop_assert_eq!(comes_to(&arm.after(power_loss), mark).unwrap(), state);
            }
        }
    }
}
