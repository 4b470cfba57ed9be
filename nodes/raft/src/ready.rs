//! What Raft wants done: the asynchronous path of a Ready. Its entries and hard state go to the WAL
//! under the Ready's number, messages that promise something wait there until that is durable,
//! committed entries go to the state machine. A Ready without anything to write waits only for
//! writes before it.
//!
//! A commit index alone is not written: Raft may forget it, and the next batch carries it.

use raft::Ready;
use raft::eraftpb::{Message, MessageType};

use crate::apply::{ApplyJob, lock};
use crate::driver::{Ack, Completes, Driver, Outstanding};
use crate::event::RaftEvent;
use crate::log::{Mark, snapshot_mark};
use crate::members::{Membership, is_change};
use crate::snapshot::take::{TakeJob, Taken};
use crate::wal::layout::{Change, Sync};

impl Driver {
    /// Carries out Readies of one group until there is none.
    pub(crate) fn ready(&mut self, at: usize) {
        while self.groups[at].raw.has_ready() {
            let mut ready = self.groups[at].raw.ready();
            for message in ready.take_messages() {
                self.post(at, message);
            }
            for state in ready.take_read_states() {
                self.groups[at].confirmed(&state.request_ctx, state.index);
            }
            let installed = self.install(at, &ready);
            let wrote = self.write(at, &mut ready, installed);
            self.commit(at, &mut ready);
            let number = ready.number();
            let messages = self.early(at, number, ready.take_persisted_messages());
            let ack = self.greatest_ack(at, &messages);
            self.groups[at].raw.advance_append_async(ready);
            if self.plants.own_log_before_fsync && self.groups[at].is_leader() {
                self.groups[at].raw.on_persist_ready(number);
            }
            let completes = Completes::Ready { number, messages, ack, installed };
            if wrote || self.groups[at].outstanding > 0 {
                self.groups[at].outstanding += 1;
                let seq = self.layout.seq();
                self.outstanding.push_back(Outstanding { seq, group: at, completes });
            } else {
                self.complete(at, completes);
            }
        }
        let leader = self.groups[at].leader();
        self.shared.set_leader(at, leader);
        if self.groups[at].raw.store().wants_snapshot() {
            self.take_snapshot(at);
        }
    }

    /// Takes a snapshot out of turn, unless one is being taken.
    fn take_snapshot(&mut self, at: usize) {
        let group = self.groups[at].id;
        if lock(&self.replicas[&group]).begin_snapshot() {
            let _ = self.take.push(TakeJob::Take { group });
        }
    }

    /// A peer's snapshot takes the place of the log. Its file is durable already.
    fn install(&mut self, at: usize, ready: &Ready) -> Option<Mark> {
        if ready.snapshot().is_empty() {
            return None;
        }
        let mark = snapshot_mark(ready.snapshot()).expect("checked when it was received");
        let conf = ready.snapshot().get_metadata().get_conf_state().clone();
        let group = &mut self.groups[at];
        self.layout.mark(group.id, mark, &conf);
        let membership = Membership::new(mark.index, &conf);
        group.raw.mut_store().install(mark, conf);
        group.follow(&self.host, membership);
        group.installing = true;
        // CockroachDB and TiKV write state, hard state and log of a snapshot as one batch for this
        // reason: what is removed first is missed by whoever boots on the rest.
        if self.plants.snapshot_installed_before_durable {
            group.raw.mut_store().mark_durable(mark);
            self.forget(at);
        }
        let group = &mut self.groups[at];
        // Whoever proposed an entry that the snapshot covers cannot learn what became of it, and what
        // lies behind it is gone here; being dropped answers that.
        group.waiters.clear();
        self.apply_jobs.push(ApplyJob::Install { group: group.id, mark });
        self.shared.set_members(at, &group.membership);
        Some(mark)
    }

    /// Puts entries and hard state into log and WAL. False if there was nothing to write.
    fn write(&mut self, at: usize, ready: &mut Ready, installed: Option<Mark>) -> bool {
        let entries = ready.take_entries();
        let group = &mut self.groups[at];
        let id = group.id;
        let range = entries.first().zip(entries.last()).map(|(a, b)| (a.index, b.index, b.term));
        if let Some((first, _, term)) = range {
            group.overwritten(first, term);
        }
        let mut changes = Vec::new();
        for entry in entries {
            if is_change(&entry) {
                changes.push(entry.clone());
            }
            let index = entry.index;
            let chain = group.raw.mut_store().append(entry);
            let slot = group.raw.store().slot(index).expect("appended above");
            let place = self.layout.entry(id, &slot.entry, chain);
            group.raw.mut_store().set_place(index, place);
        }
        let commits = self.plants.neutral_commit_synced && ready.hs().is_some();
        let must_sync = ready.must_sync() || commits;
        let mut sync = if must_sync { Sync::Cycle } else { Sync::Later };
        let has_body = range.is_some() || installed.is_some();
        if let Some(hard) = ready.hs() {
            let known = group.raw.store().hard();
            if must_sync && (hard.term, hard.vote) != (known.term, known.vote) {
                sync = Sync::Now;
            }
            group.raw.mut_store().set_hard(hard.clone());
            group.commit_unwritten = true;
        }
        if !must_sync && !has_body {
            return false;
        }
        if self.plants.hardstate_without_sync && !has_body {
            sync = Sync::Later;
        }
        if installed.is_some() {
            sync = Sync::Now;
        }
        self.write_hard(at);
        self.layout.close_batch(sync);
        if let Some((first, last, term_last)) = range {
            let chain_last = self.groups[at].raw.store().mark(last).expect("appended above").chain;
            let event = RaftEvent::Appended { group: id, first, last, term_last, chain_last };
            self.host.emit(event);
            self.groups[at].appended_changes(&self.host, &changes);
        }
        self.rolled();
        true
    }

    /// Adds the hard state to the batch.
    fn write_hard(&mut self, at: usize) {
        let group = &mut self.groups[at];
        let mut hard = group.raw.store().hard().clone();
        if self.plants.vote_not_persisted {
            hard.vote = 0;
        }
        self.layout.hard(group.id, &hard);
        group.commit_unwritten = false;
    }

    fn rolled(&mut self) {
        for Change { segment, segments, bytes } in self.layout.begun.drain(..) {
            let bytes_total = bytes;
            self.host.emit(RaftEvent::WalRolled { group: 0, segment, segments, bytes_total });
        }
    }

    /// Writes a commit index that no batch has carried yet; for the end of the node.
    pub(crate) fn write_commit(&mut self, at: usize) {
        if self.groups[at].commit_unwritten {
            self.write_hard(at);
            self.layout.close_batch(Sync::Later);
            self.rolled();
        }
    }

    /// Hands committed entries to the state machine.
    fn commit(&mut self, at: usize, ready: &mut Ready) {
        let mut entries = ready.take_committed_entries();
        let group = &mut self.groups[at];
        if self.plants.uncommitted_applied {
            entries = group.ahead(entries);
        }
        let committed = group.raw.raft.raft_log.committed;
        // Not `>`: that a commit index never falls is a promise for checks to see broken.
        if committed != group.committed {
            group.committed = committed;
            if let Some(Mark { index, term, chain }) = group.raw.store().mark(committed) {
                self.host.emit(RaftEvent::Committed { group: group.id, index, term, chain });
            }
        }
        let Some(last) = entries.last() else { return };
        let mark = group.raw.store().mark(last.index).expect("committed entries are held");
        let waiters = group.waiters_to(mark.index);
        let conf = group.committed_changes(&self.host, &entries);
        if conf.is_some() {
            self.shared.set_members(at, &group.membership);
        }
        self.apply_jobs.push(ApplyJob::Entries { group: group.id, entries, mark, conf, waiters });
    }

    /// Messages that go before the disk has what they promise: requests for votes, where their answers
    /// are held until then, and what planted defects let go. The others come back.
    fn early(&mut self, at: usize, number: u64, messages: Vec<Message>) -> Vec<Message> {
        let plants = self.plants;
        let asks = self.groups[at].asks_at_once(number, &messages);
        let planted =
            plants.vote_before_fsync || plants.ack_before_fsync || plants.request_before_fsync;
        if !asks && !planted {
            return messages;
        }
        let goes = |m: &Message| match m.get_msg_type() {
            MessageType::MsgRequestVoteResponse => plants.vote_before_fsync,
            // A request says that its sender has voted for itself.
            MessageType::MsgRequestVote => asks || plants.request_before_fsync,
            MessageType::MsgAppendResponse => plants.ack_before_fsync,
            _ => false,
        };
        let (now, later): (Vec<Message>, Vec<Message>) = messages.into_iter().partition(goes);
        let ack = self.greatest_ack(at, &now);
        self.leave(at, now, ack);
        later
    }

    /// The greatest promise among these messages, with the place in the WAL that it rests on.
    fn greatest_ack(&self, at: usize, messages: &[Message]) -> Option<Ack> {
        let store = self.groups[at].raw.store();
        let promises = messages.iter().filter(|m| {
            m.get_msg_type() == MessageType::MsgAppendResponse && !m.reject && m.index > 0
        });
        let ack = |m: &Message| {
            let place = store.place(m.index, m.term)?;
            Some(Ack { term: m.term, index: m.index, to: m.to, place })
        };
        promises.filter_map(ack).max_by_key(|a| a.index)
    }

    fn leave(&mut self, at: usize, messages: Vec<Message>, ack: Option<Ack>) {
        if let Some(Ack { term, index, to, place }) = ack {
            let (wal_segment, wal_end) = (place.segment, place.end);
            let group = &mut self.groups[at];
            // A promise repeated word for word promises nothing new.
            if std::mem::replace(&mut group.promised, (term, index, to)) != (term, index, to) {
                let group = group.id;
                let event = RaftEvent::AppendAcked { group, term, index, to, wal_segment, wal_end };
                self.host.emit(event);
            }
        }
        for message in messages {
            self.post(at, message);
        }
    }

    /// Everything up to batch `seq` is durable.
    pub(crate) fn persisted(&mut self, seq: u64) {
        self.layout.persisted(seq);
        self.written(seq);
    }

    /// Everything up to batch `seq` counts as held.
    pub(crate) fn written(&mut self, seq: u64) {
        while self.outstanding.front().is_some_and(|o| o.seq <= seq) {
            let done = self.outstanding.pop_front().expect("looked at above");
            self.groups[done.group].outstanding -= 1;
            self.complete(done.group, done.completes);
            self.touch(done.group);
        }
    }

    fn complete(&mut self, at: usize, completes: Completes) {
        match completes {
            Completes::Ready { number, messages, ack, installed } => {
                self.groups[at].raw.on_persist_ready(number);
                self.groups[at].vote_durable(&self.host, self.now, number);
                self.leave(at, messages, ack);
                if let Some(mark) = installed {
                    self.installed(at, mark);
                }
            }
            Completes::Mark(taken) => self.snapshot_durable(at, taken),
        }
    }

    /// The log begins anew behind a peer's snapshot. Raft takes it for applied at once: the apply
    /// task keeps the order, and Raft itself looks at the applied index only for changes of
    /// membership.
    fn installed(&mut self, at: usize, mark: Mark) {
        let group = &mut self.groups[at];
        group.raw.mut_store().mark_durable(mark);
        // Another may have come meanwhile; then it goes on.
        group.installing = group.raw.store().snapshot_mark() != mark;
        group.advance_applied(mark.index);
        self.forget(at);
    }

    /// An own snapshot lies under its name; the log must learn of it before anything is removed.
    pub(crate) fn snapshot_taken(&mut self, taken: Taken) {
        let at = self.groups.binary_search_by_key(&taken.group, |g| g.id).expect("an own group");
        let store = self.groups[at].raw.store();
        if taken.mark.index <= store.snapshot_mark().index {
            lock(&self.replicas[&taken.group]).snapshotting = false;
            return;
        }
        self.layout.mark(taken.group, taken.mark, &taken.conf);
        self.layout.close_batch(Sync::Now);
        self.rolled();
        let seq = self.layout.seq();
        self.groups[at].outstanding += 1;
        let completes = Completes::Mark(taken);
        self.outstanding.push_back(Outstanding { seq, group: at, completes });
    }

    fn snapshot_durable(&mut self, at: usize, taken: Taken) {
        let Taken { group, mark, conf, bytes, started, serialized } = taken;
        lock(&self.replicas[&group]).snapshotting = false;
        let own = &mut self.groups[at];
        // The machine was there when it was serialised; Raft must not look behind it any more.
        own.applied = own.applied.max(mark.index);
        own.advance_applied(mark.index);
        let store = own.raw.mut_store();
        store.mark_durable(mark);
        if mark.index > store.snapshot_mark().index {
            store.snapshotted(mark, conf, self.config.keep_entries);
        }
        let took_ns = host::unit::nanos(self.host.clock().now().since(started));
        let serialized_ns = host::unit::nanos(serialized.since(started));
        let index = mark.index;
        let done = RaftEvent::SnapshotFinished { group, index, bytes, took_ns, serialized_ns };
        self.host.emit(done);
        self.forget(at);
    }

    /// Removes what the group's newest durable snapshot made superfluous. The apply task may still
    /// have to read an older one that it is to install.
    fn forget(&mut self, at: usize) {
        let group = &self.groups[at];
        let (id, durable) = (group.id, group.raw.store().durable_mark().index);
        let before = durable.min(group.applied);
        let (groups, plants) = (&self.groups, self.plants);
        let durable = |id: u32| match groups.binary_search_by_key(&id, |g| g.id) {
            // What is applied is in memory only, and a boot begins at the snapshot. The `raft`
            // crate's own example compacts so, for it keeps nothing on disk.
            Ok(at) if plants.log_compacted_to_applied => groups[at].applied,
            Ok(at) => groups[at].raw.store().durable_mark().index,
            Err(_) => 0,
        };
        if !self.plants.log_never_compacted
            && let Some((first, bytes_removed)) = self.layout.compact(durable)
        {
            self.host.emit(RaftEvent::Compacted { group: 0, first, bytes_removed });
        }
        let _ = self.take.push(TakeJob::Clean { group: id, before });
    }
}
