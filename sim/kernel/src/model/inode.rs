//! The contents of one file and what of them a power loss may take back.
//!
//! There is one copy of the contents, the present one, and a log that can undo every change since
//! the last sync: an append needs only its place, an overwrite keeps the slices it replaced. A sync
//! drops the front of the log and touches no contents; a power loss undoes from the back. So an
//! append costs one insert, a sync costs what is synced, and memory holds nothing twice.
//!
//! What survives is a prefix of the changes in the order they were made, the last one perhaps torn
//! where a sector of the file ends. A change of length counts as one byte, so that a draw can fall
//! before or after it. Left out on purpose: reordering between writes of one file, and lengths that
//! reach the disk before the data; ALICE (Pillai et al., OSDI 2014) found file systems that do
//! both.

use std::collections::VecDeque;

use host::Chunks;

use super::Time;
use super::extents::{Cuttings, Extents, size_of};
use super::latent::{Latents, clip};

mod harm;

pub(crate) use harm::Emerged;
use harm::Harmed;
pub use harm::{Sector, Tear};

/// The unit that a device writes whole or not at all.
pub(crate) const SECTOR: u64 = 512;

/// How many syncs must have made a file longer, the one that covered a byte included, before damage
/// to that byte cannot pass for a torn end.
const SEALS: usize = 4;

#[derive(Clone, Debug)]
struct Overwrite {
    at: u64,
    len: u64,
    old_len: u64,
    old: Cuttings,
}

#[derive(Clone, Debug)]
struct Resize {
    old_len: u64,
    old: Cuttings,
}

/// How to undo one change. Appends are most of them, so the others are boxed.
#[derive(Clone, Debug)]
enum Undo {
    Append { at: u64, len: u64 },
    Overwrite(Box<Overwrite>),
    Resize(Box<Resize>),
}

impl Undo {
    fn weight(&self) -> u64 {
        match self {
            Undo::Append { len, .. } => *len,
            Undo::Overwrite(o) => o.len,
            Undo::Resize(_) => 1,
        }
    }

    fn held(&self) -> u64 {
        match self {
            Undo::Append { .. } => 0,
            Undo::Overwrite(o) => size_of(&o.old),
            Undo::Resize(r) => size_of(&r.old),
        }
    }

    /// Bytes before this one are untouched by the change.
    fn floor(&self, len: u64) -> u64 {
        match self {
            Undo::Append { at, .. } => *at,
            Undo::Overwrite(o) => o.at.min(o.old_len),
            Undo::Resize(r) => r.old_len.min(len),
        }
    }
}

/// One file's contents, the undo log of what is not durable, and what faults did to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inode {
    data: Extents,
    len: u64,
    log: VecDeque<Undo>,
    /// The number of the log's first change; numbers are never used twice.
    first: u64,
    dirty: u64,
    /// Bytes that only the log holds.
    undo_bytes: u64,
    /// Changes in the log that are not appends.
    others: usize,
    /// Where the device holds something else than what is read.
    latents: Latents,
    /// Syncs that lied: when each comes true, and the mark up to which it was promised.
    claims: Vec<(Time, u64)>,
    /// The durable lengths after the last syncs that made the file longer, oldest first.
    seals: [u64; SEALS],
    /// Ranges that cannot be read, each with the line of the plan that made it so.
    unreadable: Vec<(u64, u64, usize)>,
    /// Ranges that read as something else than was promised.
    harmed: Vec<Harmed>,
    /// How often the file is open.
    pub opens: u32,
    /// Whether it has a name now.
    pub named: bool,
}

impl Inode {
    /// An empty file that has just got its name.
    pub fn named() -> Inode {
        Inode { named: true, ..Inode::default() }
    }

    /// Whether anybody can reach it.
    pub fn live(&self) -> bool {
        self.named || self.opens > 0
    }

    pub fn len(&self) -> u64 {
        self.len
    }

    /// Bytes not durable; a change of length counts as one.
    pub fn dirty(&self) -> u64 {
        self.dirty
    }

    /// Bytes that occupy space, holes not counted.
    pub fn stored(&self) -> u64 {
        self.data.bytes()
    }

    /// Bytes in memory, those included that only the undo log holds.
    pub fn held(&self) -> u64 {
        self.data.bytes() + self.undo_bytes
    }

    /// Bytes that a write there would newly occupy.
    pub fn growth(&self, at: u64, len: u64) -> u64 {
        if at >= self.len { len } else { len - self.data.covered(at, at + len) }
    }

    pub fn read(&self, at: u64, len: u64) -> Chunks {
        let to = at.saturating_add(len).min(self.len);
        if at >= to { Chunks::new() } else { self.data.read(at, to) }
    }

    pub fn write(&mut self, at: u64, rope: &Chunks) {
        let len = rope.len();
        if len == 0 {
            return;
        }
        if at == self.len {
            self.note(Undo::Append { at, len });
        } else {
            let old = self.data.cut(at, at + len);
            self.note(Undo::Overwrite(Box::new(Overwrite { at, len, old_len: self.len, old })));
        }
        self.data.put_rope(at, rope);
        self.len = self.len.max(at + len);
        if self.is_harmed() {
            self.mend(at, at + len);
        }
    }

    pub fn truncate(&mut self, len: u64) {
        if len == self.len {
            return;
        }
        let old = self.data.cut(len, self.len);
        self.note(Undo::Resize(Box::new(Resize { old_len: self.len, old })));
        self.len = len;
        self.seals = self.seals.map(|seal| seal.min(len));
        if self.is_harmed() {
            self.mend(len, u64::MAX);
        }
    }

    /// A mark behind the changes made so far.
    pub fn mark(&self) -> u64 {
        self.first + self.log.len() as u64
    }

    /// The changes before the mark are durable.
    pub fn sync(&mut self, mark: u64) {
        let before = self.first;
        while self.first < mark {
            let Some(undo) = self.log.pop_front() else { break };
            self.first += 1;
            self.forget(&undo);
        }
        if self.first > before {
            self.claims.retain(|(_, promised)| *promised > self.first);
            self.harmed.retain(|harmed| !harmed.mended_by(self.first));
            let durable = self.durable_len();
            if durable > self.seals[SEALS - 1] {
                self.seals.rotate_left(1);
                self.seals[SEALS - 1] = durable;
            }
        }
    }

    /// The first bytes of the file that every power loss would leave as they are, as far as anybody
    /// was told: a sync that lied counts, and so does what was damaged without notice.
    pub fn durable_len(&self) -> u64 {
        let whole = self.len;
        // Later appends lie behind earlier ones.
        let relevant = if self.others == 0 { 1 } else { self.log.len() };
        let promised = self.promised().saturating_sub(self.first) as usize;
        let open = self.log.iter().skip(promised).take(relevant);
        let floor = open.map(|undo| undo.floor(whole)).fold(whole, u64::min);
        if self.latents.is_empty() { floor } else { floor.min(self.latents.told_from()) }
    }

    /// The power is lost: of the `dirty` bytes the first `kept` survive, rounded down to where a
    /// change or, within a change, a sector of the file ends; within these each sector is as `tear`
    /// says. Returns what was kept; all of it is durable now.
    pub fn power_loss(&mut self, kept: u64, tear: Option<&mut Tear<'_>>) -> u64 {
        // Marks of syncs that the loss interrupted must cover nothing that is written after it.
        let next = self.mark();
        while self.dirty > kept {
            let undo = self.log.pop_back().expect("dirty bytes have a log");
            let before = self.dirty - undo.weight();
            self.forget(&undo);
            let last = tear.is_some().then(|| undo.clone());
            let torn = self.revert(undo, kept.saturating_sub(before));
            self.dirty = before + torn;
            if torn > 0 {
                // What is left of it can be torn as well; the log is not read for anything else now.
                self.log.extend(last.map(|undo| undo.cut_to(torn)));
                break;
            }
        }
        let kept = self.dirty;
        self.unmend();
        self.tear(tear);
        self.first = next;
        self.log.clear();
        (self.dirty, self.undo_bytes, self.others) = (0, 0, 0);
        self.claims.clear();
        self.seals = self.seals.map(|seal| seal.min(self.len));
        kept
    }

    /// Undoes a change but for its first `keep` bytes rounded down to a sector's end; returns how
    /// many.
    fn revert(&mut self, undo: Undo, keep: u64) -> u64 {
        let (at, len, old_len, old) = match undo {
            Undo::Append { at, len } => (at, len, at, Cuttings::new()),
            Undo::Overwrite(o) => (o.at, o.len, o.old_len, o.old),
            Undo::Resize(r) => {
                // Shortened or extended by a hole: either way nothing lies beyond the present
                // length.
                self.data.put_all(r.old);
                self.len = r.old_len;
                return 0;
            }
        };
        let torn_end = ((at + keep) / SECTOR * SECTOR).max(at);
        let new: Vec<_> = self.data.pieces(at, torn_end).collect();
        self.data.cut(at, at + len);
        self.data.put_all(old);
        self.len = old_len;
        if torn_end > at {
            self.data.cut(at, torn_end);
            self.data.put_all(new);
            self.len = self.len.max(torn_end);
        }
        torn_end - at
    }

    fn note(&mut self, undo: Undo) {
        self.dirty += undo.weight();
        self.undo_bytes += undo.held();
        self.others += usize::from(!matches!(undo, Undo::Append { .. }));
        self.log.push_back(undo);
    }

    /// Takes a change that has left the log out of the sums.
    fn forget(&mut self, undo: &Undo) {
        self.dirty -= undo.weight();
        self.undo_bytes -= undo.held();
        self.others -= usize::from(!matches!(undo, Undo::Append { .. }));
    }
}
