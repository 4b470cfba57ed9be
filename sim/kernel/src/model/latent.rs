//! What a device holds in place of what the page cache shows: the marks that damage leaves in a file
//! before anybody can see it.
//!
//! A lost write, a misdirected one, bits that rotted and sectors that no longer read have this in
//! common: the cache still serves the right bytes, and the truth comes out when the page is gone.
//! Each is a range of one file with what is really there, and says when it shows: at once, when the
//! process ends (its clean pages were evicted), or when the power is lost. Whoever writes the range
//! anew mends it. A later mark replaces an earlier one where they overlap.
//!
//! Left out: damage to a part of a sector that a rewrite of another part would have to read, and
//! marks under changes that a power loss undoes: these leave what was there before.
//! Source: Bairavasundaram et al., FAST 2008 (latent sector errors, misdirected and lost writes).

use bytes::Bytes;

use super::extents::Cuttings;

/// When a mark shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shows {
    /// The next read finds it.
    Now,
    /// The next boot finds it: the cache lost these pages.
    Restart,
    /// It is found after a power loss.
    PowerLoss,
}

/// Whose fault a mark is and what it costs its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The line of the plan.
    pub line: usize,
    /// When it shows.
    pub shows: Shows,
    /// Who was told what: how it counts.
    pub counts: Counts,
}

/// What a mark makes of its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    /// Checksums notice: the host is damaged.
    Damaged,
    /// Nobody can notice for sure: the host has forgotten what was durable.
    Forgot,
    /// The node was told that its sync failed: the bytes never counted as durable.
    Told,
}

/// What the device holds.
#[derive(Clone, Debug)]
pub(crate) enum Held {
    /// These bytes by offset in the file, and zeroes between them.
    Bytes(Cuttings),
    /// Nothing that can be read.
    Unreadable,
}

/// A range of a file that is not what it seems.
#[derive(Clone, Debug)]
pub(crate) struct Latent {
    pub at: u64,
    pub len: u64,
    pub held: Held,
    pub cause: Cause,
}

impl Latent {
    fn end(&self) -> u64 {
        self.at + self.len
    }

    /// The part of it in `from..to`, if there is one.
    fn part(&self, from: u64, to: u64) -> Option<Latent> {
        let (at, end) = (self.at.max(from), self.end().min(to));
        let held = match &self.held {
            Held::Unreadable => Held::Unreadable,
            Held::Bytes(cuttings) => Held::Bytes(clip(cuttings, at, end)),
        };
        (at < end).then(|| Latent { at, len: end - at, held, cause: self.cause })
    }
}

/// The cuttings within `from..to`.
pub(crate) fn clip(cuttings: &Cuttings, from: u64, to: u64) -> Cuttings {
    let one = |(at, part): &(u64, Bytes)| {
        let (a, b) = ((*at).max(from), (at + part.len() as u64).min(to));
        (a < b).then(|| (a, part.slice((a - at) as usize..(b - at) as usize)))
    };
    cuttings.iter().filter_map(one).collect()
}

/// All marks of one file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latents(Vec<Latent>);

impl Latents {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts a mark over whatever marks its range had.
    pub fn put(&mut self, latent: Latent) {
        self.mend(latent.at, latent.end());
        if latent.len > 0 {
            self.0.push(latent);
        }
    }

    /// The range was written anew, or cut off: what was marked there is no more.
    pub fn mend(&mut self, from: u64, to: u64) {
        if from >= to || self.0.iter().all(|l| l.end() <= from || l.at >= to) {
            return;
        }
        let apart = |l: Latent| [l.part(0, from), l.part(to, u64::MAX)];
        self.0 = std::mem::take(&mut self.0).into_iter().flat_map(apart).flatten().collect();
    }

    /// The first byte that a node was told is not durable.
    pub fn told_from(&self) -> u64 {
        let told = self.0.iter().filter(|l| l.cause.counts == Counts::Told);
        told.map(|l| l.at).min().unwrap_or(u64::MAX)
    }

    /// The marks that show by `when`; they are no longer hidden.
    pub fn emerge(&mut self, when: Shows) -> Vec<Latent> {
        self.0.extract_if(.., |l| l.cause.shows <= when).collect()
    }
}
