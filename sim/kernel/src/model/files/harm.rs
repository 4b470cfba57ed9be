//! What faults do to the files of one host, each by its number or name: the part of `files` that
//! nobody needs who has no fault. What a single file does with it is `inode::harm`.
//!
//! A sync that lied leaves everything undoable and is believed all the same; a write that the device
//! never saw, rotten bytes and bad sectors are marks that show when the page cache is gone. What
//! came of it when they showed is kept as a toll until somebody asks.
//!
//! Left out: damage to the directory beyond names that come or go.

use host::Chunks;

use super::{Emerged, FileNo, Files, SyncMark};
use crate::model::Time;
use crate::model::inode::Inode;
use crate::model::latent::{Cause, Held, Shows};

/// What came out of a host's files when their pages were gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Toll {
    /// Durable bytes changed, and checksums can tell.
    pub damaged: bool,
    /// Durable bytes or names are gone without a trace.
    pub forgot: bool,
    /// Some of that left nothing that a read could find: names, or bytes beyond the end of a file.
    pub gone: bool,
    /// The lines of the plan whose marks came out, once for each mark.
    pub lines: Vec<usize>,
}

impl Toll {
    fn add(&mut self, emerged: Emerged) {
        self.damaged |= emerged.damaged;
        self.forgot |= emerged.forgot;
        self.lines.extend(emerged.lines);
    }
}

impl Files {
    /// What came out since this was asked last.
    pub fn take_toll(&mut self) -> Toll {
        std::mem::take(&mut self.toll)
    }

    pub(super) fn emerge(&mut self, when: Shows) {
        for inode in self.inodes.values_mut() {
            self.toll.add(inode.emerge(when));
        }
        self.reckon_spoiled();
    }

    fn reckon_spoiled(&mut self) {
        self.spoiled = self.inodes.values().any(Inode::is_spoiled);
    }

    /// A sync ends with a lie: it says Ok, and comes true at `at` unless a power loss comes first.
    pub fn sync_lies(&mut self, mark: SyncMark, at: Time) {
        match mark.file {
            Some(file) => {
                if let Some(inode) = self.inodes.get_mut(&file) {
                    inode.lie(mark.mark, at);
                }
            }
            None => self.journal_promised = self.journal_promised.max(mark.mark),
        }
    }

    /// The lies about files that are due by now come true.
    pub fn settle(&mut self, now: Time) {
        self.inodes.values_mut().for_each(|inode| inode.settle(now));
    }

    /// The lies about the directory come true.
    pub fn settle_dir(&mut self) {
        self.sync_end(SyncMark { file: None, mark: self.journal_promised });
    }

    /// Operations on the directory that somebody believes to be durable and that are not.
    pub fn believed_names(&self) -> u64 {
        self.journal_promised.saturating_sub(self.journal_first).min(self.journal.len() as u64)
    }

    /// A sync of a file fails: what it covered counts as clean, and the device does not have it.
    pub fn sync_failed(&mut self, mark: SyncMark, cause: Cause) {
        let Some(file) = mark.file else { return };
        let mut emerged = Emerged::default();
        // A file that is gone has nothing to lose.
        let _ = self.change(file, |inode| emerged = inode.sync_failed(mark.mark, cause));
        self.toll.add(emerged);
        self.reckon_spoiled();
    }

    /// The device never sees the last so many changes of the file.
    pub fn lose_last(&mut self, file: FileNo, count: usize, cause: Cause) {
        if let Some(inode) = self.inodes.get_mut(&file) {
            inode.lose_last(count, cause);
        }
    }

    /// Where the last change of the file was: offset and length.
    pub fn last_write(&self, file: FileNo) -> Option<(u64, u64)> {
        self.inodes.get(&file)?.last_write()
    }

    /// The device has these bytes here, cut to the file's length, instead of what is read; returns how
    /// many.
    pub fn overlay(&mut self, file: FileNo, at: u64, rope: &Chunks, cause: Cause) -> u64 {
        let Some(inode) = self.inodes.get_mut(&file) else { return 0 };
        let len = rope.len().min(inode.len().saturating_sub(at));
        inode.put_mark(at, len, Held::Bytes(Inode::placed(at, rope, len)), cause);
        len
    }

    /// Bits of this range change on the device.
    pub fn rot(&mut self, file: FileNo, (at, len): (u64, u64), seed: u64, cause: Cause) {
        let Some(inode) = self.inodes.get_mut(&file) else { return };
        let bytes = inode.flipped(at, len, seed);
        inode.put_mark(at, len, Held::Bytes(bytes), cause);
        self.shows_now(file, cause);
    }

    /// This range can no longer be read.
    pub fn spoil(&mut self, file: FileNo, (at, len): (u64, u64), cause: Cause) {
        let Some(inode) = self.inodes.get_mut(&file) else { return };
        inode.put_mark(at, len, Held::Unreadable, cause);
        self.shows_now(file, cause);
    }

    fn shows_now(&mut self, file: FileNo, cause: Cause) {
        if cause.shows == Shows::Now {
            let mut emerged = Emerged::default();
            // The file is there: it was marked a moment ago.
            let _ = self.change(file, |inode| emerged = inode.emerge(Shows::Now));
            self.toll.add(emerged);
            self.reckon_spoiled();
        }
    }

    /// The line of the plan that made a part of this range unreadable.
    pub fn unreadable(&self, file: FileNo, at: u64, len: u64) -> Option<usize> {
        if !self.spoiled {
            return None;
        }
        self.inodes.get(&file)?.unreadable(at, at.saturating_add(len))
    }

    /// Whether a read of this range finds what a fault harmed and nobody mended.
    pub fn meets_harm(&self, file: FileNo, at: u64, len: u64) -> bool {
        let find = |inode: &Inode| inode.meets_harm(at, at.saturating_add(len));
        self.spoiled && self.inodes.get(&file).is_some_and(find)
    }

    /// The bytes of a file that may be damaged such that whoever verifies them can tell: all that is
    /// durable, or, with the end spared, what several later syncs of the file have followed.
    pub fn sound_len(&self, path: &str, spare_end: bool) -> u64 {
        let durable = self.durable_len(path);
        let inode = self.names.get(path).map(|file| &self.inodes[file]);
        inode.map_or(0, |inode| inode.sound_len(spare_end).min(durable))
    }

    /// The disk as a power loss at this moment would leave it, keeping nothing that was not synced.
    pub fn copy(&self) -> Files {
        let mut copy = self.clone();
        copy.power_loss(&mut |_, _| 0, None);
        copy.toll = Toll::default();
        copy
    }

    /// Becomes that disk; numbers of files go on, so that none is used twice.
    pub fn replace(&mut self, with: Files) {
        let next_file = self.next_file.max(with.next_file);
        *self = Files { next_file, limit: self.limit, ..with };
    }

    /// Everything is gone.
    pub fn wipe(&mut self) {
        self.replace(Files::new(host::unit::Size(self.capacity)));
    }
}
