//! What faults do to one file beyond taking back what was not synced: syncs that lied or failed,
//! writes that the device never saw, bytes and sectors that went bad, and sectors that a power loss
//! tore out of what was on its way.
//!
//! A lying sync leaves the undo log as it is and remembers up to where it was believed. A failed one
//! drops its part of the log, as kernels do that mark the pages clean, and notes what the device
//! really holds there as a latent mark. Tearing goes by sectors of the file: each sector of a
//! surviving unsynced change is there, missing (as it was before), or garbage. Bytes that were
//! durable before are never torn, even in a sector that an append shares with them.
//!
//! Source: FoundationDB's AsyncFileNonDurable (pages and sectors after a reboot); Rebello et al.,
//! USENIX ATC 2020 (what file systems do after a failed fsync).

use bytes::Bytes;
use host::Chunks;

use super::{Inode, Time, Undo, clip};
use crate::model::extents::Cuttings;
use crate::model::latent::{Cause, Counts, Held, Latent, Shows};

/// What became of a sector that was on its way when the power failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sector {
    /// It arrived.
    There,
    /// It did not: what was there before is there still.
    Missing,
    /// Half of it did, or something else: bytes made from this number.
    Garbage(u64),
}

/// How a power loss tears one file: the size of its sectors, and what became of each by number.
pub struct Tear<'a> {
    /// Bytes of a sector.
    pub sector: u64,
    /// The fate of each; asked once for each sector, in ascending order.
    pub fate: &'a mut dyn FnMut(u64) -> Sector,
}

/// What came out of a file when its pages were gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Emerged {
    pub damaged: bool,
    pub forgot: bool,
    /// The lines of the plan whose marks these were, but for those of which the node was told.
    pub lines: Vec<usize>,
}

/// A range that reads as something else than was promised, and the mark behind the change that mended
/// it: until that change is durable a power loss may bring the harm back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Harmed {
    from: u64,
    to: u64,
    mended: Option<u64>,
}

impl Harmed {
    /// Whether the changes before the mark have mended it.
    pub(super) fn mended_by(&self, mark: u64) -> bool {
        self.mended.is_some_and(|mended| mended <= mark)
    }

    /// What is left of it when `from..to` is mended by the changes before the mark.
    fn parts(self, from: u64, to: u64, mark: u64) -> impl Iterator<Item = Harmed> {
        let (a, b) = match self.mended {
            None => (self.from.max(from).min(self.to), self.to.min(to).max(self.from)),
            Some(_) => (self.to, self.to),
        };
        let parts = [
            Harmed { to: a, ..self },
            Harmed { from: a, to: b, mended: Some(mark) },
            Harmed { from: a.max(b), ..self },
        ];
        parts.into_iter().filter(|part| part.from < part.to)
    }
}

impl Inode {
    /// Whether anything is marked here.
    pub(super) fn is_harmed(&self) -> bool {
        !(self.latents.is_empty() && self.unreadable.is_empty() && self.harmed.is_empty())
    }

    /// Whether a read of this range finds what a fault harmed and nobody mended.
    pub fn meets_harm(&self, from: u64, to: u64) -> bool {
        self.harmed.iter().any(|h| h.mended.is_none() && h.from < to && from < h.to)
    }

    /// Whether any read could find such a range, now or after a power loss.
    pub fn is_spoiled(&self) -> bool {
        !(self.unreadable.is_empty() && self.harmed.is_empty())
    }

    /// What mended a range and was not durable counts for nothing any more.
    pub(super) fn unmend(&mut self) {
        let durable = self.first;
        self.harmed.retain(|harmed| !harmed.mended_by(durable));
        for harmed in &mut self.harmed {
            harmed.mended = None;
        }
    }

    /// The range was written anew or cut off.
    pub(super) fn mend(&mut self, from: u64, to: u64) {
        self.latents.mend(from, to);
        let apart =
            |(a, b, line): (u64, u64, usize)| [(a, b.min(from), line), (a.max(to), b, line)];
        let bad = std::mem::take(&mut self.unreadable);
        self.unreadable = bad.into_iter().flat_map(apart).filter(|(a, b, _)| a < b).collect();
        let (mark, harmed) = (self.mark(), std::mem::take(&mut self.harmed));
        self.harmed = harmed.into_iter().flat_map(|h| h.parts(from, to, mark)).collect();
    }

    /// The mark up to which syncs that lied have promised.
    pub(super) fn promised(&self) -> u64 {
        self.claims.iter().map(|(_, mark)| *mark).max().unwrap_or(0)
    }

    /// A sync up to the mark says Ok, and comes true at `at` unless a power loss comes first.
    pub fn lie(&mut self, mark: u64, at: Time) {
        if mark > self.first {
            self.claims.push((at, mark));
        }
    }

    /// The lies that are due by now come true.
    pub fn settle(&mut self, now: Time) {
        let due = self.claims.iter().filter(|(at, _)| *at <= now).map(|(_, mark)| *mark).max();
        if let Some(mark) = due {
            self.sync(mark);
        }
    }

    /// Unsynced bytes that somebody believes to be durable.
    pub fn believed(&self) -> u64 {
        let promised = self.promised().saturating_sub(self.first) as usize;
        self.log.iter().take(promised).map(Undo::weight).sum()
    }

    /// A sync up to the mark failed: its changes count as clean from now on, and the device holds
    /// what it held before them.
    pub fn sync_failed(&mut self, mark: u64, cause: Cause) -> Emerged {
        let count = mark.saturating_sub(self.first).min(self.log.len() as u64) as usize;
        self.unmend();
        let failed: Vec<Undo> = self.log.drain(..count).collect();
        for undo in &failed {
            self.first += 1;
            self.forget(undo);
        }
        // The oldest contents win, so the oldest change goes last.
        for undo in failed.iter().rev() {
            if let Some((at, len, old)) = undo.replaced() {
                self.put_mark(at, len.min(self.len.saturating_sub(at)), Held::Bytes(old), cause);
            }
        }
        // What was written since is still to be synced.
        let since: Vec<_> = self.log.iter().filter_map(Undo::replaced).collect();
        for (at, len, _) in since {
            self.latents.mend(at, at + len);
        }
        self.emerge(Shows::Now)
    }

    /// The device never sees the last `count` changes.
    pub fn lose_last(&mut self, count: usize, cause: Cause) {
        let from = self.log.len() - count.min(self.log.len());
        let lost: Vec<_> = self.log.range(from..).filter_map(Undo::replaced).collect();
        for (at, len, old) in lost {
            self.put_mark(at, len, Held::Bytes(old), cause);
        }
    }

    /// Where the last change was, and how long it is.
    pub fn last_write(&self) -> Option<(u64, u64)> {
        self.log.back().and_then(Undo::replaced).map(|(at, len, _)| (at, len))
    }

    /// Marks a range.
    pub fn put_mark(&mut self, at: u64, len: u64, held: Held, cause: Cause) {
        self.latents.put(Latent { at, len, held, cause });
    }

    /// The bytes that may be damaged such that whoever verifies them can tell: all that is durable,
    /// or, with the end spared, what several later syncs have followed.
    pub fn sound_len(&self, spare_end: bool) -> u64 {
        let sealed = if spare_end { self.seals[0] } else { u64::MAX };
        sealed.min(self.durable_len()).min(self.len)
    }

    /// The line of the plan that made a part of this range unreadable.
    pub fn unreadable(&self, from: u64, to: u64) -> Option<usize> {
        self.unreadable.iter().find(|(a, b, _)| *a < to && from < *b).map(|bad| bad.2)
    }

    /// The pages are gone: what was hidden until then shows.
    pub fn emerge(&mut self, when: Shows) -> Emerged {
        let mut out = Emerged::default();
        if self.latents.is_empty() {
            return out;
        }
        for Latent { at, len, held, cause } in self.latents.emerge(when) {
            let end = (at + len).min(self.len);
            if at >= end {
                continue;
            }
            match held {
                Held::Unreadable => self.unreadable.push((at, end, cause.line)),
                Held::Bytes(bytes) => {
                    self.data.cut(at, end);
                    self.data.put_all(clip(&bytes, at, end));
                }
            }
            out.damaged |= cause.counts == Counts::Damaged;
            out.forgot |= cause.counts == Counts::Forgot;
            if cause.counts != Counts::Told {
                out.lines.push(cause.line);
                self.harmed.push(Harmed { from: at, to: end, mended: None });
            }
        }
        out
    }

    /// Tears sectors out of what survived of the unsynced changes.
    pub(super) fn tear(&mut self, tear: Option<&mut Tear<'_>>) {
        let Some(tear) = tear else { return };
        let changes: Vec<_> = self.log.iter().filter_map(Undo::replaced).collect();
        let mut numbers: Vec<u64> = changes
            .iter()
            .flat_map(|(at, len, _)| at / tear.sector..=(at + len - 1) / tear.sector)
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        for number in numbers {
            let fate = (tear.fate)(number);
            let (from, to) = (number * tear.sector, (number + 1) * tear.sector);
            let to = to.min(self.len);
            for (at, len, old) in changes.iter().rev() {
                let (a, b) = (from.max(*at), to.min(at + len));
                match fate {
                    Sector::There => {}
                    _ if a >= b => {}
                    Sector::Missing => {
                        self.data.cut(a, b);
                        self.data.put_all(clip(old, a, b));
                    }
                    Sector::Garbage(seed) => {
                        self.data.cut(a, b);
                        self.data.put(a, garbage(seed, b - a));
                    }
                }
            }
        }
    }

    /// What the range reads as with some of its bits changed.
    pub fn flipped(&self, at: u64, len: u64, seed: u64) -> Cuttings {
        let mut bytes = self.read(at, len).to_bytes().to_vec();
        for (byte, noise) in bytes.iter_mut().zip(garbage(seed, len)) {
            // About every fourth byte, and the first for certain.
            *byte ^= if noise % 4 == 0 { noise | 1 } else { 0 };
        }
        if let Some(first) = bytes.first_mut() {
            *first ^= 0x40;
        }
        vec![(at, bytes.into())]
    }

    /// A rope as it would stand at an offset.
    pub fn placed(at: u64, rope: &Chunks, len: u64) -> Cuttings {
        let mut out = Cuttings::new();
        let mut here = at;
        for part in rope.parts() {
            out.push((here, part.clone()));
            here += part.len() as u64;
        }
        clip(&out, at, at + len)
    }
}

impl Undo {
    /// Of a write, its first bytes only.
    pub(super) fn cut_to(self, len: u64) -> Undo {
        match self {
            Undo::Append { at, .. } => Undo::Append { at, len },
            Undo::Overwrite(mut o) => {
                (o.old, o.len) = (clip(&o.old, o.at, o.at + len), len);
                Undo::Overwrite(o)
            }
            Undo::Resize(resize) => Undo::Resize(resize),
        }
    }

    /// Range and former contents of a write; `None` for a change of length.
    fn replaced(&self) -> Option<(u64, u64, Cuttings)> {
        match self {
            Undo::Append { at, len } => Some((*at, *len, Cuttings::new())),
            Undo::Overwrite(o) => Some((o.at, o.len, o.old.clone())),
            Undo::Resize(_) => None,
        }
    }
}

/// Bytes made from a number (splitmix64).
fn garbage(seed: u64, len: u64) -> Bytes {
    let mut state = seed;
    let word = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let words = std::iter::repeat_with(word);
    words.flat_map(u64::to_le_bytes).take(len as usize).collect()
}
