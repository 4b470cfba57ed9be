//! One host's file system: what is in its files, and what of it survives.
//!
//! A process that dies leaves the page cache: everything written is still there. A power loss takes
//! what was not synced: of each file, a prefix of the unsynced changes survives (see `inode`); of
//! the directory, a prefix of the unsynced creates, renames and removes; a file without a surviving
//! name is gone. Data and directory are independent, so a synced file may have lost its name and a
//! name may point to an empty file. How much survives is drawn, or replayed from a record.
//!
//! The name space is flat: a path is a name that may contain slashes, and there are no directories
//! to create. Left out: permissions, links, times, and an order of writes that is not that of the
//! calls, but for sectors that a fault tears (`harm` is what faults do here). Source: the
//! persistence models of ALICE (OSDI 2014) and dm-log-writes; POSIX for the names.
//!
//! Whoever writes without ever syncing makes the undo log grow; the kernel bounds it by a mark that
//! it ends when the write-back of that file has landed.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::ops::Bound;

use host::unit::Size;
use host::{Chunks, OpenMode};

pub use super::inode::Sector;
use super::inode::{Emerged, Inode, Tear};
use super::latent::Shows;

mod harm;

pub use harm::Toll;

/// Names a file for as long as it exists, the same for all who have it open; never used twice.
pub type FileNo = u64;

/// A sync in progress: a point in the changes of a file, or of the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncMark {
    /// `None` is the directory.
    file: Option<FileNo>,
    mark: u64,
}

/// What a power loss left of one file's unsynced changes. An empty path is the directory, and its
/// numbers are operations instead of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survivor {
    /// The file, by the name under which it survives.
    pub path: String,
    /// Bytes that were not durable; a change of length counts as one.
    pub dirty_bytes: u64,
    /// How many of them, from the oldest on, survive.
    pub kept_bytes: u64,
}

/// How to undo an operation on the directory.
#[derive(Clone, Debug)]
enum Entry {
    Create { path: String },
    Rename { from: String, to: String, replaced: Option<FileNo> },
    Remove { path: String, file: FileNo },
}

/// What became of each sector of a file, by its name and number, that was on its way when the power
/// failed.
pub type Fates<'a> = dyn FnMut(&str, u64) -> Sector + 'a;

/// The files of one host.
#[derive(Clone, Debug)]
pub struct Files {
    capacity: u64,
    /// Less than the capacity while others fill the disk.
    limit: Option<u64>,
    used: u64,
    inodes: BTreeMap<FileNo, Inode>,
    names: BTreeMap<String, FileNo>,
    journal: Vec<Entry>,
    /// The number of the journal's first operation.
    journal_first: u64,
    /// Up to where syncs of the directory that lied have promised.
    journal_promised: u64,
    next_file: FileNo,
    /// What came out of the files since somebody asked.
    toll: Toll,
    /// Some range of some file cannot be read, or reads as something else than was promised.
    spoiled: bool,
}

fn error<T>(kind: ErrorKind, what: String) -> io::Result<T> {
    Err(io::Error::new(kind, what))
}

impl Files {
    /// An empty disk.
    pub fn new(capacity: Size) -> Files {
        Files {
            capacity: capacity.0,
            limit: None,
            used: 0,
            inodes: BTreeMap::new(),
            names: BTreeMap::new(),
            journal: Vec::new(),
            journal_first: 0,
            journal_promised: 0,
            next_file: 1,
            toll: Toll::default(),
            spoiled: false,
        }
    }

    /// Opens a file; `close` once for each time.
    pub fn open(&mut self, path: &str, mode: OpenMode) -> io::Result<FileNo> {
        if path.is_empty() {
            return error(ErrorKind::InvalidInput, "a file needs a name".into());
        }
        let file = match (self.names.get(path), mode) {
            (Some(&file), OpenMode::Fresh) => {
                self.change(file, |inode| inode.truncate(0))?;
                file
            }
            (Some(&file), _) => file,
            (None, OpenMode::Existing) => return error(ErrorKind::NotFound, missing(path)),
            (None, _) => self.create(path),
        };
        self.inode_mut(file)?.opens += 1;
        Ok(file)
    }

    /// Appends, sharing the slices, and returns the offset at which they begin.
    pub fn append(&mut self, file: FileNo, data: Chunks) -> io::Result<u64> {
        let at = self.inode_mut(file)?.len();
        self.write_at(file, &[(at, data)])?;
        Ok(at)
    }

    /// Writes all extents or, without space for them, none. Each is a change of its own to a power
    /// loss.
    pub fn write_at(&mut self, file: FileNo, extents: &[(u64, Chunks)]) -> io::Result<()> {
        self.check_space(file, extents)?;
        self.change(file, |inode| {
            for (at, rope) in extents {
                inode.write(*at, rope);
            }
        })
    }

    /// Reads, short at the end of the file; holes are zeroes. Empty if there is no such file.
    pub fn read_at(&self, file: FileNo, offset: u64, len: u64) -> Chunks {
        self.inodes.get(&file).map_or_else(Chunks::new, |inode| inode.read(offset, len))
    }

    /// The length of a file; zero if there is no such file.
    pub fn len(&self, file: FileNo) -> u64 {
        self.inodes.get(&file).map_or(0, Inode::len)
    }

    /// Cuts a file, or extends it by a hole.
    pub fn truncate(&mut self, file: FileNo, len: u64) -> io::Result<()> {
        self.change(file, |inode| inode.truncate(len))
    }

    /// Renames a file and replaces what had the new name.
    pub fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        if to.is_empty() {
            return error(ErrorKind::InvalidInput, "a file needs a name".into());
        }
        let Some(&file) = self.names.get(from) else {
            return error(ErrorKind::NotFound, missing(from));
        };
        if from == to {
            return Ok(());
        }
        self.names.remove(from);
        let replaced = self.names.insert(to.into(), file);
        self.journal.push(Entry::Rename { from: from.into(), to: to.into(), replaced });
        if let Some(replaced) = replaced {
            self.unname(replaced);
        }
        Ok(())
    }

    /// Takes a file's name away; the file goes when it is closed.
    pub fn remove(&mut self, path: &str) -> io::Result<()> {
        let Some(file) = self.names.remove(path) else {
            return error(ErrorKind::NotFound, missing(path));
        };
        self.journal.push(Entry::Remove { path: path.into(), file });
        self.unname(file);
        Ok(())
    }

    /// The names that start so, sorted.
    pub fn list(&self, prefix: &str) -> Vec<String> {
        let from = self.names.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        from.map(|(name, _)| name).take_while(|n| n.starts_with(prefix)).cloned().collect()
    }

    /// A sync of a file begins: it covers what has been written so far.
    pub fn sync_begin(&self, file: FileNo) -> SyncMark {
        SyncMark { file: Some(file), mark: self.inodes.get(&file).map_or(0, Inode::mark) }
    }

    /// A sync of the directory begins.
    pub fn sync_dir_begin(&self) -> SyncMark {
        SyncMark { file: None, mark: self.journal_first + self.journal.len() as u64 }
    }

    /// A sync ends: what it covers is durable, unless a power loss came first.
    pub fn sync_end(&mut self, mark: SyncMark) {
        match mark.file {
            Some(file) => {
                if let Some(inode) = self.inodes.get_mut(&file) {
                    inode.sync(mark.mark);
                }
            }
            None => {
                let count = mark.mark.saturating_sub(self.journal_first);
                let count = count.min(self.journal.len() as u64);
                self.journal_first += count;
                let settled: Vec<Entry> = self.journal.drain(..count as usize).collect();
                for entry in settled {
                    if let Some(file) = entry.detached() {
                        self.collect(file);
                    }
                }
            }
        }
    }

    /// Makes all names durable at once.
    pub fn sync_dir(&mut self) {
        self.sync_end(self.sync_dir_begin());
    }

    /// How much of a file, from its beginning, every power loss would leave as it is; zero if its
    /// name is not durable.
    pub fn durable_len(&self, path: &str) -> u64 {
        let promised = self.journal_promised.saturating_sub(self.journal_first) as usize;
        if self.journal.iter().skip(promised).any(|entry| entry.touches(path)) {
            return 0;
        }
        self.names.get(path).map_or(0, |file| self.inodes[file].durable_len())
    }

    /// Bytes of a file that are not durable; a change of length counts as one.
    pub fn dirty(&self, file: FileNo) -> u64 {
        self.inodes.get(&file).map_or(0, Inode::dirty)
    }

    /// The present name of a file.
    pub fn name(&self, file: FileNo) -> Option<&str> {
        self.names.iter().find(|(_, f)| **f == file).map(|(name, _)| name.as_str())
    }

    /// The file of that name.
    pub fn find(&self, path: &str) -> Option<FileNo> {
        self.names.get(path).copied()
    }

    /// Bytes in memory, those included that only a power loss could bring back.
    pub fn bytes(&self) -> u64 {
        self.inodes.values().map(Inode::held).sum()
    }

    /// Free bytes.
    pub fn space_left(&self) -> u64 {
        self.capacity.min(self.limit.unwrap_or(u64::MAX)).saturating_sub(self.used)
    }

    /// Bytes that the files take.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// Until this is taken back, the files may not take more than so many bytes. What is there already
    /// stays, and what is removed makes room.
    pub fn set_limit(&mut self, limit: Option<u64>) {
        self.limit = limit;
    }

    /// Undoes one `open`; a file without a name vanishes with the last.
    pub fn close(&mut self, file: FileNo) {
        let Some(inode) = self.inodes.get_mut(&file) else { return };
        let was_live = inode.live();
        inode.opens = inode.opens.saturating_sub(1);
        self.after_detach(file, was_live);
    }

    /// The process dies: its files are closed, and all that it wrote is still there.
    pub fn crash(&mut self) {
        self.close_all();
        self.emerge(Shows::Restart);
        self.sweep();
    }

    fn close_all(&mut self) {
        for inode in self.inodes.values_mut() {
            inode.opens = 0;
        }
    }

    /// The power is lost. `draw(what, n)` says how much of the unsynced part survives, from 0 to
    /// `n`: for the directory (`what` is empty) in operations, for a file in bytes. With `tear`, the
    /// size of a sector and what became of each, sectors are torn out of that.
    pub fn power_loss(
        &mut self,
        draw: &mut impl FnMut(&str, u64) -> u64,
        mut tear: Option<(u64, &mut Fates<'_>)>,
    ) -> Vec<Survivor> {
        let mut survivors = Vec::new();
        let entries = self.journal.len() as u64;
        if entries > 0 {
            let kept = draw("", entries).min(entries);
            let gone = self.journal_first + kept < self.journal_promised;
            self.toll.forgot |= gone;
            self.toll.gone |= gone;
            self.undo_journal(kept as usize);
            survivors.push(Survivor {
                path: String::new(),
                dirty_bytes: entries,
                kept_bytes: kept,
            });
        }
        self.close_all();
        self.sweep();
        for (path, file) in &self.names {
            let inode = self.inodes.get_mut(file).expect("a name has a file");
            let dirty_bytes = inode.dirty();
            if dirty_bytes > 0 {
                let believed = inode.believed();
                let kept = draw(path, dirty_bytes).min(dirty_bytes);
                let kept_bytes = match &mut tear {
                    None => inode.power_loss(kept, None),
                    Some((sector, fates)) => {
                        let fate = &mut |number| fates(path, number);
                        inode.power_loss(kept, Some(&mut Tear { sector: *sector, fate }))
                    }
                };
                let gone = kept_bytes < believed;
                self.toll.forgot |= gone;
                self.toll.gone |= gone;
                survivors.push(Survivor { path: path.clone(), dirty_bytes, kept_bytes });
            }
        }
        self.emerge(Shows::PowerLoss);
        self.sweep();
        survivors
    }

    /// The power is lost with a recorded outcome. What the record does not name loses all that was
    /// not durable, and what it keeps of something smaller is all of it.
    pub fn power_loss_exact(
        &mut self,
        record: &[Survivor],
        tear: Option<(u64, &mut Fates<'_>)>,
    ) -> Vec<Survivor> {
        let kept: BTreeMap<&str, u64> =
            record.iter().map(|s| (s.path.as_str(), s.kept_bytes)).collect();
        self.power_loss(&mut |what, _| kept.get(what).copied().unwrap_or(0), tear)
    }

    fn create(&mut self, path: &str) -> FileNo {
        let file = self.next_file;
        self.next_file += 1;
        self.inodes.insert(file, Inode::named());
        self.names.insert(path.into(), file);
        self.journal.push(Entry::Create { path: path.into() });
        file
    }

    fn inode_mut(&mut self, file: FileNo) -> io::Result<&mut Inode> {
        match self.inodes.get_mut(&file) {
            Some(inode) => Ok(inode),
            None => error(ErrorKind::NotFound, format!("file {file} does not exist")),
        }
    }

    /// Changes contents and keeps the sum of used bytes.
    fn change(&mut self, file: FileNo, change: impl FnOnce(&mut Inode)) -> io::Result<()> {
        let inode = self.inode_mut(file)?;
        let before = inode.stored();
        change(inode);
        let (after, live) = (inode.stored(), inode.live());
        if live {
            self.used = self.used - before + after;
        }
        Ok(())
    }

    fn check_space(&mut self, file: FileNo, extents: &[(u64, Chunks)]) -> io::Result<()> {
        let most: u64 = extents.iter().map(|(_, rope)| rope.len()).sum();
        let left = self.space_left();
        let inode = self.inode_mut(file)?;
        if extents.iter().any(|(at, rope)| at.checked_add(rope.len()).is_none()) {
            return error(ErrorKind::InvalidInput, "a write beyond the largest offset".into());
        }
        // What overwrites needs no space; only looked at where it decides.
        if most > left {
            let growth: u64 = extents.iter().map(|(at, r)| inode.growth(*at, r.len())).sum();
            if growth > left {
                return error(ErrorKind::StorageFull, format!("{growth} bytes, {left} are free"));
            }
        }
        Ok(())
    }

    fn unname(&mut self, file: FileNo) {
        let inode = self.inodes.get_mut(&file).expect("a name has a file");
        let was_live = inode.live();
        inode.named = false;
        self.after_detach(file, was_live);
    }

    /// A file that has lost its last name and its last opener frees its space.
    fn after_detach(&mut self, file: FileNo, was_live: bool) {
        let inode = &self.inodes[&file];
        if was_live && !inode.live() {
            self.used -= inode.stored();
        }
        self.collect(file);
    }

    /// Lets a dead file go unless undoing the journal could bring its name back.
    fn collect(&mut self, file: FileNo) {
        let dead = self.inodes.get(&file).is_some_and(|inode| !inode.live());
        if dead && !self.journal.iter().any(|entry| entry.detached() == Some(file)) {
            self.inodes.remove(&file);
        }
    }

    /// Drops all dead files and reckons the used bytes anew.
    fn sweep(&mut self) {
        let journal = &self.journal;
        self.inodes.retain(|file, inode| {
            inode.live() || journal.iter().any(|entry| entry.detached() == Some(*file))
        });
        self.used = self.inodes.values().filter(|i| i.live()).map(Inode::stored).sum();
    }

    fn undo_journal(&mut self, kept: usize) {
        self.journal_first += self.journal.len() as u64;
        for entry in self.journal.drain(..).skip(kept).rev() {
            match entry {
                Entry::Create { path } => {
                    self.names.remove(&path);
                }
                Entry::Remove { path, file } => {
                    self.names.insert(path, file);
                }
                Entry::Rename { from, to, replaced } => {
                    let file = self.names.remove(&to).expect("a renamed file has its name");
                    self.names.insert(from, file);
                    self.names.extend(replaced.map(|replaced| (to, replaced)));
                }
            }
        }
        for inode in self.inodes.values_mut() {
            inode.named = false;
        }
        for file in self.names.values() {
            self.inodes.get_mut(file).expect("a name has a file").named = true;
        }
    }
}

impl Entry {
    /// The file that this operation left without a name.
    fn detached(&self) -> Option<FileNo> {
        match self {
            Entry::Create { .. } => None,
            Entry::Rename { replaced, .. } => *replaced,
            Entry::Remove { file, .. } => Some(*file),
        }
    }

    fn touches(&self, name: &str) -> bool {
        match self {
            Entry::Create { path } | Entry::Remove { path, .. } => path == name,
            Entry::Rename { from, to, .. } => from == name || to == name,
        }
    }
}

fn missing(path: &str) -> String {
    format!("no file `{path}`")
}
