//! What disk operations cost in time, and a host's page cache as far as time needs it.
//!
//! A write costs a copy into the page cache and dirties it; the device sees it later, when a sync,
//! the age of the oldest dirty byte or the amount of dirty bytes asks for it. A writer is throttled
//! while the cache is over its dirty limit, and write-back begins at half of it. A sync costs one
//! operation, the file's dirty bytes and one flush with a tail. The device itself is a
//! `share::Share`, where these demands queue; what the bytes are and which of them survive is
//! `files`.
//!
//! Left out on purpose: head movement and locality, journal commits of the file system, eviction
//! (whatever was read or written once counts as cached if the kernel says so).
//! Source: Linux page write-back (`dirty_ratio`, `dirty_background_ratio`,
//! `dirty_expire_centisecs`).

use std::collections::{BTreeMap, BTreeSet};

use host::unit::{Quantiles, Rate, Size};

use super::files::FileNo;
use super::{Time, transfer_ns};

/// What a host's disk and page cache cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskLaw {
    /// The device's speed of writing; zero is unlimited, as for every rate here.
    pub write_bandwidth: Rate,
    /// The device's speed of reading.
    pub read_bandwidth: Rate,
    /// Fixed cost of a device operation.
    pub op_ns: u64,
    /// The speed of copies to and from the page cache.
    pub cache_bandwidth: Rate,
    /// Fixed cost of an operation on the page cache.
    pub cache_op_ns: u64,
    /// How long the device takes to flush its own cache.
    pub sync: Quantiles,
    /// Writers wait while more bytes than this are dirty; zero is no limit.
    pub dirty_limit: Size,
    /// Dirty bytes of this age are written back.
    pub writeback_after_ns: u64,
}

impl DiskLaw {
    /// Time to write into the page cache.
    pub fn write_cost(&self, bytes: u64) -> u64 {
        self.cache_op_ns.saturating_add(transfer_ns(bytes, self.cache_bandwidth))
    }

    /// Device time to write bytes back.
    pub fn device_write_demand(&self, bytes: u64) -> u64 {
        self.op_ns.saturating_add(transfer_ns(bytes, self.write_bandwidth))
    }

    /// Time to read: on the host if cached, on the device otherwise.
    pub fn read_cost(&self, bytes: u64, cached: bool) -> u64 {
        if cached {
            return self.write_cost(bytes);
        }
        self.op_ns.saturating_add(transfer_ns(bytes, self.read_bandwidth))
    }

    /// Device time of a sync of a file with that many dirty bytes.
    pub fn sync_demand(&self, file_dirty_bytes: u64, draw: u64) -> u64 {
        self.device_write_demand(file_dirty_bytes).saturating_add(self.sync.at(draw))
    }
}

#[derive(Debug, Default)]
struct Dirt {
    dirty: u64,
    /// On its way to the device.
    flying: u64,
    oldest: Time,
}

/// A host's dirty bytes: written to the cache and not yet to the device.
#[derive(Debug)]
pub struct Cache {
    limit: u64,
    after_ns: u64,
    files: BTreeMap<FileNo, Dirt>,
    /// Files with dirty bytes by the age of their oldest.
    ages: BTreeSet<(Time, FileNo)>,
    total: u64,
    flying: u64,
}

impl Cache {
    /// A clean cache.
    pub fn new(law: &DiskLaw) -> Cache {
        Cache {
            limit: if law.dirty_limit.0 == 0 { u64::MAX } else { law.dirty_limit.0 },
            after_ns: law.writeback_after_ns,
            files: BTreeMap::new(),
            ages: BTreeSet::new(),
            total: 0,
            flying: 0,
        }
    }

    /// Bytes were written to the cache.
    pub fn wrote(&mut self, now: Time, file: FileNo, bytes: u64) {
        if bytes == 0 {
            return;
        }
        let dirt = self.files.entry(file).or_default();
        if dirt.dirty == 0 {
            dirt.oldest = now;
            self.ages.insert((now, file));
        }
        dirt.dirty += bytes;
        self.total += bytes;
    }

    /// Hands all dirty bytes of a file to the device, for a sync or a write-back; `landed` follows.
    pub fn take(&mut self, file: FileNo) -> u64 {
        let Some(dirt) = self.files.get_mut(&file) else { return 0 };
        let bytes = std::mem::take(&mut dirt.dirty);
        if bytes > 0 {
            self.ages.remove(&(dirt.oldest, file));
        }
        dirt.flying += bytes;
        self.flying += bytes;
        bytes
    }

    /// Bytes that were taken are on the device; more than were taken count as all of them.
    pub fn landed(&mut self, file: FileNo, bytes: u64) {
        let Some(dirt) = self.files.get_mut(&file) else { return };
        let bytes = bytes.min(dirt.flying);
        dirt.flying -= bytes;
        self.flying -= bytes;
        self.total -= bytes;
        if dirt.flying == 0 && dirt.dirty == 0 {
            self.files.remove(&file);
        }
    }

    /// The file is gone, and its dirty bytes with it.
    pub fn forget(&mut self, file: FileNo) {
        let Some(dirt) = self.files.remove(&file) else { return };
        self.ages.remove(&(dirt.oldest, file));
        self.flying -= dirt.flying;
        self.total -= dirt.dirty + dirt.flying;
    }

    /// The host lost its power.
    pub fn clear(&mut self) {
        self.files.clear();
        self.ages.clear();
        self.total = 0;
        self.flying = 0;
    }

    /// Dirty bytes of a file that no sync or write-back has taken yet.
    pub fn dirty(&self, file: FileNo) -> u64 {
        self.files.get(&file).map_or(0, |dirt| dirt.dirty)
    }

    /// Bytes of a file on their way to the device; a sync is not complete before they are.
    pub fn flying(&self, file: FileNo) -> u64 {
        self.files.get(&file).map_or(0, |dirt| dirt.flying)
    }

    /// Bytes that are not on the device, those on their way included.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// When the oldest byte that nobody has taken was written.
    pub fn oldest(&self) -> Option<Time> {
        self.ages.first().map(|age| age.0)
    }

    /// The bytes over the limit, while writers have to wait.
    pub fn throttle(&self) -> Option<u64> {
        self.total.checked_sub(self.limit).filter(|over| *over > 0)
    }

    /// The file to write back now: the oldest, if it is old enough or if half the limit is dirty.
    pub fn writeback_due(&self, now: Time) -> Option<FileNo> {
        let (oldest, file) = *self.ages.first()?;
        let old = oldest.saturating_add(self.after_ns) <= now;
        (old || self.pressed()).then_some(file)
    }

    /// When `writeback_due` will next have a file, if nothing is written until then.
    pub fn writeback_next(&self, now: Time) -> Option<Time> {
        let oldest = self.oldest()?;
        Some(if self.pressed() { now } else { oldest.saturating_add(self.after_ns).max(now) })
    }

    /// What nobody has taken yet is over half the limit.
    fn pressed(&self) -> bool {
        self.total - self.flying > self.limit / 2
    }
}
