//! The log as Raft reads it: entries in memory from shortly behind the last snapshot, hard state,
//! and the metadata of the snapshot that is durable on this host. Beside each entry stand its chain
//! hash and the place in the WAL where it ends, for the facts that checks need. Owned by the
//! consensus loop alone, so there is no lock; it is readable as soon as a Ready was handed over,
//! durable or not.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};
use raft::{Error, GetEntriesContext, RaftState, Result, Storage, StorageError};

use crate::chain::{GENESIS, chain_entry};
use crate::members::is_change;

/// Where an entry ends in the WAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Place {
    pub(crate) segment: u64,
    pub(crate) end: u64,
}

/// An entry with what the driver knows about it.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) entry: Entry,
    pub(crate) chain: u64,
    pub(crate) place: Place,
}

/// A log position and what identifies it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) index: u64,
    pub(crate) term: u64,
    pub(crate) chain: u64,
}

impl Mark {
    pub(crate) const START: Mark = Mark { index: 0, term: 0, chain: GENESIS };
}

/// One group's log.
pub(crate) struct LogStore {
    /// The position just before the first entry that is held.
    before: Mark,
    slots: VecDeque<Slot>,
    hard: HardState,
    /// Who belongs to the group at the newest snapshot.
    conf: ConfState,
    /// A snapshot was asked for that names a member which the newest one does not know yet.
    wanted: AtomicBool,
    /// The newest snapshot; index 0 if there is none.
    snapshot: Mark,
    /// The newest whose mark is in the durable log: what a reboot would find.
    durable: Mark,
}

impl LogStore {
    pub(crate) fn new(conf: ConfState) -> LogStore {
        LogStore {
            before: Mark::START,
            slots: VecDeque::new(),
            hard: HardState::default(),
            conf,
            wanted: AtomicBool::new(false),
            snapshot: Mark::START,
            durable: Mark::START,
        }
    }

    pub(crate) fn hard(&self) -> &HardState {
        &self.hard
    }

    pub(crate) fn set_hard(&mut self, hard: HardState) {
        assert!(hard.term >= self.hard.term, "terms never fall");
        self.hard = hard;
    }

    pub(crate) fn conf(&self) -> &ConfState {
        &self.conf
    }

    pub(crate) fn snapshot_mark(&self) -> Mark {
        self.snapshot
    }

    /// The newest snapshot that a reboot would find; what lies behind it may go.
    pub(crate) fn durable_mark(&self) -> Mark {
        self.durable
    }

    /// The log that holds this snapshot's mark is durable.
    pub(crate) fn mark_durable(&mut self, mark: Mark) {
        if mark.index > self.durable.index {
            self.durable = mark;
        }
    }

    pub(crate) fn first(&self) -> u64 {
        self.before.index + 1
    }

    pub(crate) fn last(&self) -> u64 {
        self.before.index + self.slots.len() as u64
    }

    pub(crate) fn slot(&self, index: u64) -> Option<&Slot> {
        let offset = index.checked_sub(self.first())?;
        self.slots.get(usize::try_from(offset).ok()?)
    }

    /// Term and chain at an index that is held, or just before the first that is.
    pub(crate) fn mark(&self, index: u64) -> Option<Mark> {
        if index == self.before.index {
            return Some(self.before);
        }
        if index == self.snapshot.index {
            return Some(self.snapshot);
        }
        self.slot(index).map(|s| Mark { index, term: s.entry.term, chain: s.chain })
    }

    /// Where the entry at `index` of a term of at most `term` ends in the WAL.
    pub(crate) fn place(&self, index: u64, term: u64) -> Option<Place> {
        let slot = self.slot(index)?;
        (slot.entry.term <= term && index > self.snapshot.index).then_some(slot.place)
    }

    /// Puts an entry at its index; what lay there and after is gone. The chain hash is returned.
    pub(crate) fn append(&mut self, entry: Entry) -> u64 {
        let index = entry.index;
        assert!(index >= self.first(), "entry {index} lies before {}", self.first());
        assert!(index <= self.last() + 1, "entry {index} leaves a gap after {}", self.last());
        self.slots.truncate((index - self.first()) as usize);
        let before = self.slots.back().map_or(self.before.chain, |s| s.chain);
        let chain = chain_entry(before, &entry);
        self.slots.push_back(Slot { entry, chain, place: Place::default() });
        chain
    }

    /// Records where the entry lies in the WAL.
    pub(crate) fn set_place(&mut self, index: u64, place: Place) {
        let offset = (index - self.first()) as usize;
        self.slots[offset].place = place;
    }

    /// A peer's snapshot takes the place of the whole log. Its mark is not durable yet.
    pub(crate) fn install(&mut self, mark: Mark, conf: ConfState) {
        assert!(mark.index > self.snapshot.index, "an older snapshot replaces nothing");
        self.slots.clear();
        self.before = mark;
        self.snapshot = mark;
        self.conf = conf;
        self.hard.commit = self.hard.commit.max(mark.index);
    }

    /// The own snapshot at `mark` is durable; entries up to `keep` behind it stay in memory.
    pub(crate) fn snapshotted(&mut self, mark: Mark, conf: ConfState, keep: u64) {
        assert!(mark.index >= self.snapshot.index && mark.index <= self.last());
        (self.snapshot, self.conf) = (mark, conf);
        self.forget_to(mark.index.saturating_sub(keep));
    }

    /// Whether a new snapshot was asked for since this was asked last.
    pub(crate) fn wants_snapshot(&self) -> bool {
        self.wanted.swap(false, Ordering::Relaxed)
    }

    /// Drops entries up to and including `index`.
    pub(crate) fn forget_to(&mut self, index: u64) {
        while self.before.index < index {
            let Some(slot) = self.slots.pop_front() else { break };
            self.before =
                Mark { index: slot.entry.index, term: slot.entry.term, chain: slot.chain };
        }
    }

    /// Begins a recovered log: nothing is held, and the next entry comes right after `mark`.
    pub(crate) fn restart_after(&mut self, mark: Mark) {
        self.slots.clear();
        self.before = mark;
    }

    /// Takes over entries that recovery has read and verified.
    pub(crate) fn adopt(&mut self, slots: VecDeque<Slot>) {
        assert!(self.slots.is_empty());
        assert!(slots.front().is_none_or(|s| s.entry.index == self.first()));
        self.slots = slots;
    }

    /// The position just before the first entry that is held.
    pub(crate) fn start(&self) -> Mark {
        self.before
    }

    /// Planted: whatever the log holds counts as committed.
    pub(crate) fn commit_all(&mut self) {
        self.hard.commit = self.last();
    }

    /// Up to where the log is committed for the sole reason that it holds changes of members: a
    /// leader appends none before it knows the one before to be committed, and says so with it. A
    /// power loss may leave the later change without that word; a node that then stood for
    /// election by the voters of two changes ago could win against those of today.
    pub(crate) fn committed_by_changes(&self) -> u64 {
        let mut changes = self.slots.iter().rev().filter(|s| is_change(&s.entry));
        changes.nth(1).map_or(0, |slot| slot.entry.index)
    }

    /// Recovery found this durable snapshot.
    pub(crate) fn recovered_snapshot(&mut self, mark: Mark, conf: ConfState) {
        (self.snapshot, self.durable) = (mark, mark);
        self.conf = conf;
    }
}

impl Storage for LogStore {
    fn initial_state(&self) -> Result<RaftState> {
        let mut hard_state = self.hard.clone();
        hard_state.commit = hard_state.commit.max(self.snapshot.index);
        Ok(RaftState { hard_state, conf_state: self.conf.clone() })
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _: GetEntriesContext,
    ) -> Result<Vec<Entry>> {
        if low < self.first() {
            return Err(Error::Store(StorageError::Compacted));
        }
        assert!(high <= self.last() + 1, "entries to {high} asked of a log to {}", self.last());
        let max_size = max_size.into().unwrap_or(u64::MAX);
        let from = (low - self.first()) as usize;
        let until = (high - self.first()) as usize;
        let mut size = 0u64;
        let fits = |slot: &&Slot| {
            let first = size == 0;
            size += entry_size(&slot.entry);
            first || size <= max_size
        };
        Ok(self.slots.range(from..until).take_while(fits).map(|s| s.entry.clone()).collect())
    }

    fn term(&self, index: u64) -> Result<u64> {
        match self.mark(index) {
            Some(mark) => Ok(mark.term),
            None if index < self.first() => Err(Error::Store(StorageError::Compacted)),
            None => Err(Error::Store(StorageError::Unavailable)),
        }
    }

    fn first_index(&self) -> Result<u64> {
        Ok(self.first())
    }

    fn last_index(&self) -> Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, request_index: u64, to: u64) -> Result<Snapshot> {
        // Nobody installs a snapshot by which it does not belong to the group.
        let conf = &self.conf;
        let mut named = conf.voters.iter().chain(&conf.learners).chain(&conf.voters_outgoing);
        if !named.any(|id| *id == to) {
            self.wanted.store(true, Ordering::Relaxed);
            return Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable));
        }
        if self.snapshot.index == 0 || self.snapshot.index < request_index {
            return Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable));
        }
        Ok(snapshot_message(self.snapshot, &self.conf))
    }
}

/// Bytes that an entry takes in a message, nearly.
pub(crate) fn entry_size(entry: &Entry) -> u64 {
    (entry.data.len() + entry.context.len() + 24) as u64
}

/// The snapshot as Raft sees it: metadata, and the chain hash in place of data, which lies in a
/// file.
pub(crate) fn snapshot_message(mark: Mark, conf: &ConfState) -> Snapshot {
    let mut snapshot = Snapshot::default();
    let meta = snapshot.mut_metadata();
    meta.index = mark.index;
    meta.term = mark.term;
    meta.set_conf_state(conf.clone());
    snapshot.data = mark.chain.to_le_bytes().to_vec().into();
    snapshot
}

/// The position that such a snapshot stands for; `None` if it is not one of ours.
pub(crate) fn snapshot_mark(snapshot: &Snapshot) -> Option<Mark> {
    let chain = u64::from_le_bytes(snapshot.data.as_ref().try_into().ok()?);
    let meta = snapshot.get_metadata();
    (meta.index > 0).then_some(Mark { index: meta.index, term: meta.term, chain })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(index: u64, term: u64, len: usize) -> Entry {
        let mut e = Entry::default();
        (e.index, e.term) = (index, term);
        e.data = vec![7; len].into();
        e
    }

    #[test]
    fn a_later_entry_truncates_what_lay_there() {
        let mut log = LogStore::new(ConfState::default());
        for i in 1..=5 {
            log.append(entry(i, 1, 1));
        }
        let before = log.mark(3).unwrap().chain;
        log.append(entry(3, 2, 1));
        assert_eq!(log.last(), 3);
        assert_ne!(log.mark(3).unwrap().chain, before);
        assert!(log.term(4).is_err());
    }

    #[test]
    fn compaction_keeps_the_term_before_the_first_entry() {
        let mut log = LogStore::new(ConfState::default());
        for i in 1..=10 {
            log.append(entry(i, i, 1));
        }
        let conf = ConfState { voters: vec![1, 2], ..ConfState::default() };
        log.snapshotted(log.mark(8).unwrap(), conf, 3);
        assert_eq!(log.first(), 6);
        assert_eq!(log.term(5).unwrap(), 5);
        assert_eq!(log.term(4), Err(Error::Store(StorageError::Compacted)));
        assert_eq!(log.snapshot(0, 2).unwrap().get_metadata().index, 8);
        assert_eq!(snapshot_mark(&log.snapshot(0, 2).unwrap()), log.mark(8));
        assert!(!log.wants_snapshot());
        assert!(log.snapshot(0, 3).is_err(), "it does not know 3");
        assert!(log.wants_snapshot() && !log.wants_snapshot());
    }

    #[test]
    fn an_installed_snapshot_is_no_durable_one() {
        let mut log = LogStore::new(ConfState::default());
        let mark = |index| Mark { index, term: 1, chain: index };
        log.install(mark(73), ConfState::default());
        log.mark_durable(mark(51));
        assert_eq!((log.snapshot_mark().index, log.durable_mark().index), (73, 51));
        log.mark_durable(mark(73));
        log.mark_durable(mark(51));
        assert_eq!(log.durable_mark().index, 73);
    }

    #[test]
    fn a_message_holds_at_least_one_entry_and_no_more_than_fits() {
        let mut log = LogStore::new(ConfState::default());
        for i in 1..=4 {
            log.append(entry(i, 1, 1000));
        }
        let take = |max| log.entries(1, 5, max, GetEntriesContext::empty(false)).unwrap().len();
        assert_eq!((take(0), take(2100), take(u64::MAX)), (1, 2, 4));
    }
}
