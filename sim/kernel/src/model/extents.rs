//! A file's bytes as extents: shared slices by offset, holes between them.
//!
//! What is written stays the slice it was, however it arrived; an overwrite cuts its neighbours by
//! slicing and hands the replaced parts back, which is what the undo log of `inode` keeps.
//! Appending is one insert at the right edge. Holes read as zeroes from one static block.

use std::collections::BTreeMap;

use bytes::Bytes;
use host::Chunks;

static ZEROES: [u8; 64 * 1024] = [0; 64 * 1024];

/// Extents that were cut out, by offset.
pub(crate) type Cuttings = Vec<(u64, Bytes)>;

/// Non-overlapping, non-empty slices by their offset.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extents {
    map: BTreeMap<u64, Bytes>,
    bytes: u64,
}

fn end_of(at: u64, part: &Bytes) -> u64 {
    at + part.len() as u64
}

impl Extents {
    /// Bytes held, holes not counted.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Puts a slice where nothing is.
    pub fn put(&mut self, at: u64, part: Bytes) {
        if !part.is_empty() {
            self.bytes += part.len() as u64;
            self.map.insert(at, part);
        }
    }

    /// Puts back what `cut` returned, where nothing is.
    pub fn put_all(&mut self, cuttings: Cuttings) {
        for (at, part) in cuttings {
            self.put(at, part);
        }
    }

    /// Puts all slices of a rope where nothing is.
    pub fn put_rope(&mut self, mut at: u64, rope: &Chunks) {
        for part in rope.parts() {
            self.put(at, part.clone());
            at += part.len() as u64;
        }
    }

    /// Removes and returns everything in `from..to`.
    pub fn cut(&mut self, from: u64, to: u64) -> Cuttings {
        if from >= to
            || self.map.last_key_value().is_none_or(|(at, last)| end_of(*at, last) <= from)
        {
            return Cuttings::new();
        }
        self.split(from);
        self.split(to);
        let cut: Cuttings = self.map.extract_if(from..to, |_, _| true).collect();
        self.bytes -= size_of(&cut);
        cut
    }

    /// Bytes held in `from..to`.
    pub fn covered(&self, from: u64, to: u64) -> u64 {
        self.pieces(from, to).map(|(_, piece)| piece.len() as u64).sum()
    }

    /// The slices in `from..to`, cut to it.
    pub fn pieces(&self, from: u64, to: u64) -> impl Iterator<Item = (u64, Bytes)> + '_ {
        let start = self.map.range(..=from).next_back().map_or(from, |(at, _)| *at);
        self.map.range(start..to.max(start)).filter_map(move |(&at, part)| {
            let (a, b) = (at.max(from), end_of(at, part).min(to));
            (a < b).then(|| (a, part.slice((a - at) as usize..(b - at) as usize)))
        })
    }

    /// The bytes `from..to`, holes as zeroes.
    pub fn read(&self, from: u64, to: u64) -> Chunks {
        let mut out = Chunks::new();
        let mut at = from;
        for (start, piece) in self.pieces(from, to) {
            push_zeroes(&mut out, start - at);
            at = end_of(start, &piece);
            out.push(piece);
        }
        push_zeroes(&mut out, to.saturating_sub(at));
        out
    }

    /// Makes `at` a border between extents.
    fn split(&mut self, at: u64) {
        let Some((&start, part)) = self.map.range_mut(..at).next_back() else { return };
        if end_of(start, part) > at {
            let right = part.split_off((at - start) as usize);
            self.map.insert(at, right);
        }
    }
}

fn push_zeroes(out: &mut Chunks, mut count: u64) {
    while count > 0 {
        let here = count.min(ZEROES.len() as u64);
        out.push(Bytes::from_static(&ZEROES[..here as usize]));
        count -= here;
    }
}

/// Bytes in cuttings.
pub(crate) fn size_of(cuttings: &Cuttings) -> u64 {
    cuttings.iter().map(|(_, part)| part.len() as u64).sum()
}
