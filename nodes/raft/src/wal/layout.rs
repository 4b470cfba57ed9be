//! Where batches go. The consensus loop encodes records and assigns them their place in a segment
//! file before the writer has seen them, so a promise can name the byte up to which the file must
//! be durable. A batch never spans two segments. Each segment begins with copies of every group's
//! hard state and snapshot mark, so that all segments before it can be removed once their entries
//! lie behind snapshots.

use std::collections::{BTreeMap, VecDeque};

use host::Chunks;
use raft::eraftpb::{ConfState, Entry, HardState};

use super::codec::Encoder;
use crate::log::{Mark, Place};

/// What the writer does, in order.
pub(crate) enum Job {
    /// Appends one batch at exactly this offset.
    Append { segment: u64, offset: u64, data: Chunks, seq: u64, sync: bool },
    /// Syncs the current segment and begins the next one with these bytes.
    Roll { segment: u64, data: Chunks },
    /// Removes segments, oldest first.
    Remove { segments: Vec<u64> },
}

/// A segment on disk, as far as removal is concerned.
pub(crate) struct Segment {
    pub(crate) number: u64,
    pub(crate) bytes: u64,
    /// Per group the greatest entry index that was ever written to it.
    pub(crate) last: BTreeMap<u32, u64>,
}

/// What a segment's beginning repeats for each group.
#[derive(Clone, Default)]
pub(crate) struct Carried {
    pub(crate) hard: HardState,
    pub(crate) mark: Option<(Mark, ConfState)>,
}

/// A roll or a removal, for the facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) segment: u64,
    pub(crate) segments: u64,
    pub(crate) bytes: u64,
}

/// The layout of the log.
pub(crate) struct Layout {
    limit: u64,
    segments: VecDeque<Segment>,
    carried: BTreeMap<u32, Carried>,
    encoder: Encoder,
    seq: u64,
    /// Whether this boot has begun its first segment.
    begun: bool,
    /// Jobs not yet handed to the writer.
    pub(crate) jobs: Vec<Job>,
}

/// Bytes of an entry's record.
#[cfg(test)]
pub(crate) fn entry_len(entry: &Entry) -> u64 {
    (super::codec::HEADER + entry.context.len() + entry.data.len()) as u64
}

impl Layout {
    /// Continues after what recovery found.
    pub(crate) fn new(
        limit: u64,
        segments: VecDeque<Segment>,
        carried: BTreeMap<u32, Carried>,
    ) -> Layout {
        let encoder = Encoder::default();
        Layout { limit, segments, carried, encoder, seq: 0, begun: false, jobs: Vec::new() }
    }

    /// The last batch that was assigned a place.
    pub(crate) fn seq(&self) -> u64 {
        self.seq
    }

    /// Bytes of the batch so far.
    pub(crate) fn batch_len(&self) -> u64 {
        self.encoder.len()
    }

    pub(crate) fn entry(&mut self, group: u32, entry: &Entry, chain: u64) {
        self.encoder.entry(group, entry, chain);
    }

    pub(crate) fn hard(&mut self, group: u32, hard: &HardState) {
        self.encoder.hard(group, hard);
        self.carried.entry(group).or_default().hard = hard.clone();
    }

    pub(crate) fn mark(&mut self, group: u32, mark: Mark, conf: &ConfState) {
        self.encoder.mark(group, mark, conf);
        self.carried.entry(group).or_default().mark = Some((mark, conf.clone()));
    }

    /// Ends the batch: it gets a number and the place where its first byte goes. Begins a segment
    /// first if the current one is full, and says so.
    pub(crate) fn close_batch(
        &mut self,
        sync: bool,
        last: Option<(u32, u64)>,
    ) -> (u64, Place, Option<Change>) {
        let len = self.encoder.len();
        assert!(len > 0, "an empty batch has nothing to wait for");
        let data = self.encoder.finish();
        let full = |s: &Segment| s.bytes + len > self.limit && !s.last.is_empty();
        let rolls = !self.begun || self.segments.back().is_none_or(full);
        let change = rolls.then(|| self.roll());
        let segment = self.segments.back_mut().expect("there is a current segment");
        let (number, offset) = (segment.number, segment.bytes);
        segment.bytes += len;
        if let Some((group, index)) = last {
            let greatest = segment.last.entry(group).or_default();
            *greatest = index.max(*greatest);
        }
        self.seq += 1;
        self.jobs.push(Job::Append { segment: number, offset, data, seq: self.seq, sync });
        (self.seq, Place { segment: number, end: offset }, change)
    }

    fn roll(&mut self) -> Change {
        self.begun = true;
        let number = self.segments.back().map_or(1, |s| s.number + 1);
        let mut encoder = Encoder::default();
        encoder.segment(number);
        for (group, carried) in &self.carried {
            encoder.hard(*group, &carried.hard);
            if let Some((mark, conf)) = &carried.mark {
                encoder.mark(*group, *mark, conf);
            }
        }
        let bytes = encoder.len();
        self.jobs.push(Job::Roll { segment: number, data: encoder.finish() });
        self.segments.push_back(Segment { number, bytes, last: BTreeMap::new() });
        self.change()
    }

    fn change(&self) -> Change {
        Change {
            segment: self.segments.back().map_or(0, |s| s.number),
            segments: self.segments.len() as u64,
            bytes: self.segments.iter().map(|s| s.bytes).sum(),
        }
    }

    /// Removes the oldest segments whose entries all lie behind their groups' durable snapshots.
    /// Yields the oldest that stays and the bytes that go.
    pub(crate) fn compact(&mut self, durable: impl Fn(u32) -> u64) -> Option<(u64, u64)> {
        let (mut gone, mut bytes) = (Vec::new(), 0);
        while self.segments.len() > 1
            && self.segments[0].last.iter().all(|(group, last)| *last <= durable(*group))
        {
            let segment = self.segments.pop_front().expect("counted above");
            bytes += segment.bytes;
            gone.push(segment.number);
        }
        if gone.is_empty() {
            return None;
        }
        self.jobs.push(Job::Remove { segments: gone });
        Some((self.segments[0].number, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(index: u64) -> Entry {
        let mut e = Entry::default();
        (e.index, e.term) = (index, 1);
        e.data = vec![1; 300].into();
        e
    }

    #[test]
    fn a_full_segment_rolls_and_old_ones_go_with_the_snapshot() {
        let mut layout = Layout::new(1000, VecDeque::new(), BTreeMap::new());
        let mut rolled = 0;
        for index in 1..=10 {
            layout.entry(1, &entry(index), index);
            let (seq, place, change) = layout.close_batch(true, Some((1, index)));
            assert_eq!(seq, index);
            assert!(place.end + entry_len(&entry(index)) <= 1000);
            rolled += u64::from(change.is_some());
        }
        assert!(rolled >= 4, "{rolled} segments");
        assert_eq!(layout.compact(|_| 1), None);
        let (first, bytes) = layout.compact(|_| 5).unwrap();
        assert!(first > 1 && bytes > 0);
        assert!(layout.segments[0].last[&1] > 5);
    }
}
