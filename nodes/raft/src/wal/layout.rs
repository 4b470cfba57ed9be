//! Where batches go. The consensus loop encodes records and assigns them their place in a segment
//! file before the writer has seen them, so a promise can name the byte up to which the file must
//! be durable. A record that does not fit begins a new segment, so segments keep to their limit
//! unless one record alone is larger; what stood before it is a batch of its own. Each segment begins
//! with copies of every group's hard state and snapshot mark, so that all segments before it can be
//! removed once their entries lie behind snapshots.
//!
//! Those copies say what was said *before* the batch that begins the segment. Its own hard state
//! may name a commit index among its own entries: repeated in front of them it would survive a
//! power loss that they do not, and recovery could not tell that from a lost tail.

use std::collections::{BTreeMap, VecDeque};

use host::Chunks;
use raft::eraftpb::{ConfState, Entry, HardState};

use super::codec::{Encoder, HEADER, Owner, encode_conf};
use crate::log::{Mark, Place};

/// When a batch is to be synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sync {
    /// With the next that is.
    Later,
    /// When entries are.
    Cycle,
    /// At once: it says whom this node votes for, or what replaces the log.
    Now,
}

/// What the writer does, in order.
pub(crate) enum Job {
    /// Appends one batch at exactly this offset.
    Append { segment: u64, offset: u64, data: Chunks, seq: u64, sync: Sync },
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

/// What the batch being built says of a group beside its entries.
enum Said {
    Hard(HardState),
    Mark(Mark, ConfState),
}

/// A segment that was begun, for the facts.
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
    /// What `carried` learns when the batch has its place.
    said: Vec<(u32, Said)>,
    salt: u32,
    owner: Owner,
    encoder: Encoder,
    /// The group and index of the batch's last entry.
    last: Option<(u32, u64)>,
    seq: u64,
    /// Batches that are not known to be durable: number, bytes, and when it is synced; and the sum
    /// of their bytes.
    flying: VecDeque<(u64, u64, Sync)>,
    flying_bytes: u64,
    /// Whether this boot has begun a segment.
    has_own: bool,
    /// Segments that were begun and not yet stated.
    pub(crate) begun: Vec<Change>,
    /// Jobs not yet handed to the writer.
    pub(crate) jobs: Vec<Job>,
}

impl Layout {
    /// Continues after what recovery found; new segments bear that salt and that owner.
    pub(crate) fn new(
        limit: u64,
        segments: VecDeque<Segment>,
        carried: BTreeMap<u32, Carried>,
        salt: u32,
        owner: Owner,
    ) -> Layout {
        Layout {
            limit,
            segments,
            carried,
            said: Vec::new(),
            salt,
            owner,
            encoder: Encoder::new(salt),
            last: None,
            seq: 0,
            flying: VecDeque::new(),
            flying_bytes: 0,
            has_own: false,
            begun: Vec::new(),
            jobs: Vec::new(),
        }
    }

    /// The last batch that was assigned a place.
    pub(crate) fn seq(&self) -> u64 {
        self.seq
    }

    /// The segments there are.
    pub(crate) fn segments(&self) -> Vec<u64> {
        self.segments.iter().map(|s| s.number).collect()
    }

    /// Adds an entry to the batch, and says where it ends.
    pub(crate) fn entry(&mut self, group: u32, entry: &Entry, chain: u64) -> Place {
        self.make_room((entry.context.len() + entry.data.len()) as u64);
        self.encoder.entry(group, entry, chain);
        self.last = Some((group, entry.index));
        let segment = self.segments.back().expect("there is a current segment");
        Place { segment: segment.number, end: segment.bytes + self.encoder.len() }
    }

    pub(crate) fn hard(&mut self, group: u32, hard: &HardState) {
        self.make_room(0);
        self.encoder.hard(group, hard);
        self.said.push((group, Said::Hard(hard.clone())));
    }

    pub(crate) fn mark(&mut self, group: u32, mark: Mark, conf: &ConfState) {
        self.make_room(encode_conf(conf).len() as u64);
        self.encoder.mark(group, mark, conf);
        self.said.push((group, Said::Mark(mark, conf.clone())));
    }

    /// Begins a segment if this boot has none yet, or if a record with so many bytes behind its header
    /// does not fit into the current one. One without entries takes any record.
    fn make_room(&mut self, len: u64) {
        let (limit, batch) = (self.limit, self.encoder.len());
        let full = |s: &Segment| {
            let holds = self.last.is_some() || !s.last.is_empty();
            holds && s.bytes + batch + HEADER as u64 + len > limit
        };
        if self.has_own && !self.segments.back().is_none_or(full) {
            return;
        }
        if batch > 0 {
            // The writer syncs a segment before it begins the next one.
            self.close_batch(Sync::Later);
        }
        self.roll();
    }

    /// Ends the batch, and gives it a number.
    pub(crate) fn close_batch(&mut self, sync: Sync) {
        let len = self.encoder.len();
        assert!(len > 0, "an empty batch has nothing to wait for");
        let data = self.encoder.finish();
        for (group, said) in self.said.drain(..) {
            let carried = self.carried.entry(group).or_default();
            match said {
                Said::Hard(hard) => carried.hard = hard,
                Said::Mark(mark, conf) => carried.mark = Some((mark, conf)),
            }
        }
        let segment = self.segments.back_mut().expect("there is a current segment");
        let (number, offset) = (segment.number, segment.bytes);
        segment.bytes += len;
        if let Some((group, index)) = self.last.take() {
            let greatest = segment.last.entry(group).or_default();
            *greatest = index.max(*greatest);
        }
        self.seq += 1;
        self.flying.push_back((self.seq, len, sync));
        self.flying_bytes += len;
        self.encoder.set_since(self.flying_bytes);
        self.jobs.push(Job::Append { segment: number, offset, data, seq: self.seq, sync });
    }

    /// The writer is through with all batches up to that one. Durable are those up to the last of them
    /// that was to be synced.
    pub(crate) fn persisted(&mut self, seq: u64) {
        let synced =
            self.flying.iter().rfind(|(number, _, sync)| *sync > Sync::Later && *number <= seq);
        let Some(synced) = synced.map(|(number, ..)| *number) else { return };
        while let Some((_, len, _)) = self.flying.pop_front_if(|(number, ..)| *number <= synced) {
            self.flying_bytes -= len;
        }
        self.encoder.set_since(self.flying_bytes);
    }

    fn roll(&mut self) {
        self.has_own = true;
        let number = self.segments.back().map_or(1, |s| s.number + 1);
        let mut encoder = Encoder::new(self.salt);
        encoder.segment(number, self.owner);
        for (group, carried) in &self.carried {
            encoder.hard(*group, &carried.hard);
            if let Some((mark, conf)) = &carried.mark {
                encoder.mark(*group, *mark, conf);
            }
        }
        let bytes = encoder.len();
        self.jobs.push(Job::Roll { segment: number, data: encoder.finish() });
        self.segments.push_back(Segment { number, bytes, last: BTreeMap::new() });
        let segments = self.segments.len() as u64;
        let bytes = self.segments.iter().map(|s| s.bytes).sum();
        self.begun.push(Change { segment: number, segments, bytes });
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
    use super::super::codec::{Record, decode};
    use super::*;
    use proptest::prelude::*;

    fn entry(index: u64) -> Entry {
        let mut e = Entry::default();
        (e.index, e.term) = (index, 1);
        e.data = vec![1; 300].into();
        e
    }

    #[test]
    fn a_full_segment_rolls_and_old_ones_go_with_the_snapshot() {
        let mut layout = Layout::new(1000, VecDeque::new(), BTreeMap::new(), 5, Owner::default());
        let mut rolled = 0;
        for index in 1..=10 {
            let place = layout.entry(1, &entry(index), index);
            layout.close_batch(Sync::Cycle);
            assert_eq!(layout.seq(), index);
            assert!(place.end <= 1000);
            rolled += layout.begun.drain(..).count();
        }
        assert!(rolled >= 4, "{rolled} segments");
        assert_eq!(layout.compact(|_| 1), None);
        let (first, bytes) = layout.compact(|_| 5).unwrap();
        assert!(first > 1 && bytes > 0);
        assert!(layout.segments[0].last[&1] > 5);
    }

    #[test]
    fn a_segment_begins_with_what_was_said_before_its_first_batch() {
        let mut layout = Layout::new(1000, VecDeque::new(), BTreeMap::new(), 5, Owner::default());
        for commit in 1..=2 {
            let hard = HardState { commit, ..HardState::default() };
            layout.entry(1, &Entry { data: vec![1; 900].into(), ..entry(commit) }, commit);
            layout.hard(1, &hard);
            layout.close_batch(Sync::Cycle);
        }
        let begins = layout.jobs.iter().filter_map(|job| match job {
            Job::Roll { data, .. } => Some(data),
            _ => None,
        });
        let commits = begins.map(|data| {
            let mut reader = crate::rope::Reader::new(data);
            let mut records = Vec::new();
            while let Some(record) = decode(&mut reader, 5).unwrap() {
                records.push(record);
            }
            match records.pop() {
                Some(Record::Hard { hard, .. }) => Some(hard.commit),
                _ => None,
            }
        });
        // Neither entry leaves room for the hard state behind it.
        assert_eq!(commits.collect::<Vec<_>>(), [None, None, Some(1)]);
    }

    proptest! {
        /// Whatever is put into batches, the jobs carry it in order, entries end where it was said, and
        /// a segment is larger than its limit only with one entry that is too large alone.
        #[test]
        fn segments_keep_to_their_limit(
            batches in prop::collection::vec(prop::collection::vec(0usize..1300, 1..9), 1..9),
        ) {
            let mut layout =
                Layout::new(1000, VecDeque::new(), BTreeMap::new(), 5, Owner::default());
            let (mut index, mut places) = (0, Vec::new());
            for batch in batches {
                for len in batch {
                    index += 1;
                    let data: bytes::Bytes = vec![1; len].into();
                    let context = crate::chain::seal(&[], crc32fast::hash(&data));
                    let entry = Entry { data, context, ..entry(index) };
                    places.push((index, layout.entry(1, &entry, index)));
                }
                layout.hard(1, &HardState { commit: index, ..HardState::default() });
                layout.close_batch(Sync::Cycle);
            }
            let mut files: BTreeMap<u64, Chunks> = BTreeMap::new();
            for job in &layout.jobs {
                match job {
                    Job::Roll { segment, data } => drop(files.insert(*segment, data.clone())),
                    Job::Append { segment, offset, data, .. } => {
                        let file = files.get_mut(segment).expect("begun");
                        prop_assert_eq!(file.len(), *offset);
                        file.extend(data);
                    }
                    Job::Remove { .. } => {}
                }
            }
            let mut found = Vec::new();
            for (segment, file) in &files {
                let (mut reader, mut entries) = (crate::rope::Reader::new(file), 0);
                while let Some(record) = decode(&mut reader, 5).unwrap() {
                    if let Record::Entry { entry, .. } = record {
                        let end = reader.position();
                        found.push((entry.index, Place { segment: *segment, end }));
                        entries += 1;
                    }
                }
                prop_assert!(file.len() <= 1000 || entries == 1, "{} bytes", file.len());
            }
            prop_assert_eq!(found, places);
        }
    }
}
