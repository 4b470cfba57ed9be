//! Records of the write-ahead log. A record is a header of 48 bytes, a small context and a body:
//!
//! ```text
//!  0 crc32 of bytes 4.. of the header and of the context     20 group
//!  4 kind   5 entry type   6 sectors not known durable       24 index (segment number, commit)
//!  8 context length                                          32 term
//! 12 body length                                             40 chain (vote)
//! 16 crc32 of the body
//! ```
//!
//! All numbers are little endian. The body's crc comes with the entry and is not computed here when
//! writing; reading verifies both. A length is believed only after the header's crc agrees.
//!
//! A header's crc starts from the salt of its segment, a number that the node draws at each boot
//! and writes at the beginning of each segment (there in place of a term, under a crc without
//! salt). So bytes that a client chose are no record, even if they are a copy of one: a torn value
//! must not look as if something whole came after it. Beside the salt stands whose log it is.
//!
//! Each record says how many sectors of 512 bytes before it were not known to be durable when it was
//! written (the greatest number: nobody knows). What is bad before such a place was durable once and
//! is damaged; behind it, sectors that a power loss tore may lie in front of whole records.

use bytes::{BufMut, Bytes, BytesMut};
use host::Chunks;
use raft::eraftpb::{ConfState, Entry, EntryType, HardState};

use crate::chain::body_crc;
use crate::log::Mark;
use crate::rope::{Numbers, Reader};

pub(crate) const HEADER: usize = 48;
const MAGIC: &[u8] = b"wavetank wal 3";
/// Length of the context with which a segment begins: the magic, cluster and member.
const BEGINNING: usize = MAGIC.len() + 16;
/// A context is a command header; anything longer is no record.
pub(crate) const MAX_CONTEXT: usize = 1 << 20;

const ENTRY: u8 = 1;
const HARD: u8 = 2;
const MARK: u8 = 3;
const SEGMENT: u8 = 4;

/// What a record says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Record {
    /// A log entry and the chain hash at it.
    Entry { group: u32, entry: Entry, chain: u64 },
    /// Term, vote and commit of a group.
    Hard { group: u32, hard: HardState },
    /// The group's snapshot up to there is durable.
    Mark { group: u32, mark: Mark, conf: ConfState },
    /// Begins a segment.
    Segment { segment: u64, salt: u32, owner: Owner },
}

/// Whose log it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Owner {
    /// The cluster's hash.
    pub(crate) cluster: u64,
    /// The member's id.
    pub(crate) member: u64,
}

struct Head {
    kind: u8,
    entry_type: u8,
    group: u32,
    index: u64,
    term: u64,
    chain: u64,
    body_len: u32,
    body_crc: u32,
}

fn put(out: &mut BytesMut, (salt, lag): (u32, u16), head: &Head, context: &[u8]) {
    assert!(context.len() <= MAX_CONTEXT, "a context of {} bytes", context.len());
    let start = out.len();
    out.put_u32_le(0);
    out.put_u8(head.kind);
    out.put_u8(head.entry_type);
    out.put_u16_le(lag);
    out.put_u32_le(context.len() as u32);
    out.put_u32_le(head.body_len);
    out.put_u32_le(head.body_crc);
    out.put_u32_le(head.group);
    out.put_u64_le(head.index);
    out.put_u64_le(head.term);
    out.put_u64_le(head.chain);
    debug_assert_eq!(out.len() - start, HEADER);
    out.put_slice(context);
    let crc = header_crc(head.kind, salt, &out[start + 4..], &[]);
    out[start..start + 4].copy_from_slice(&crc.to_le_bytes());
}

fn header_crc(kind: u8, salt: u32, header: &[u8], context: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(if kind == SEGMENT { 0 } else { salt });
    hasher.update(header);
    hasher.update(context);
    hasher.finalize()
}

/// Builds the rope of one batch: headers run together, bodies stay shared.
#[derive(Default)]
pub(crate) struct Encoder {
    flat: BytesMut,
    rope: Chunks,
    shared: u64,
    salt: u32,
    /// Bytes in front of the batch that are not known to be durable.
    since: u64,
}

/// The unit of the distance to what is known to be durable.
const SECTOR: u64 = 512;

/// Shorter bodies are copied behind their header: a slice of its own costs more than the copy.
const INLINE: usize = 256;

impl Encoder {
    /// Records for segments of this salt.
    pub(crate) fn new(salt: u32) -> Encoder {
        Encoder { salt, ..Encoder::default() }
    }

    pub(crate) fn len(&self) -> u64 {
        self.shared + self.flat.len() as u64
    }

    /// So many bytes in front of what comes next are not known to be durable.
    pub(crate) fn set_since(&mut self, bytes: u64) {
        self.since = bytes;
    }

    /// Salt and distance for a record that is put now.
    fn stamp(&self) -> (u32, u16) {
        let sectors = (self.since + self.len()).div_ceil(SECTOR);
        (self.salt, u16::try_from(sectors).unwrap_or(u16::MAX))
    }

    pub(crate) fn entry(&mut self, group: u32, entry: &Entry, chain: u64) {
        let body_len = u32::try_from(entry.data.len()).expect("bodies are bounded");
        let head = Head {
            kind: ENTRY,
            entry_type: entry.entry_type as u8,
            group,
            index: entry.index,
            term: entry.term,
            chain,
            body_len,
            body_crc: body_crc(entry),
        };
        let stamp = self.stamp();
        put(&mut self.flat, stamp, &head, &entry.context);
        if entry.data.len() <= INLINE {
            self.flat.put_slice(&entry.data);
        } else {
            self.share(entry.data.clone());
        }
    }

    pub(crate) fn hard(&mut self, group: u32, hard: &HardState) {
        let (index, term, chain) = (hard.commit, hard.term, hard.vote);
        self.plain(HARD, group, Mark { index, term, chain }, &[]);
    }

    pub(crate) fn mark(&mut self, group: u32, mark: Mark, conf: &ConfState) {
        self.plain(MARK, group, mark, &encode_conf(conf));
    }

    pub(crate) fn segment(&mut self, segment: u64, owner: Owner) {
        let at = Mark { index: segment, term: u64::from(self.salt), chain: 0 };
        let mut context = Vec::with_capacity(BEGINNING);
        context.put_slice(MAGIC);
        context.put_u64_le(owner.cluster);
        context.put_u64_le(owner.member);
        self.plain(SEGMENT, 0, at, &context);
    }

    fn plain(&mut self, kind: u8, group: u32, at: Mark, context: &[u8]) {
        let head = Head {
            kind,
            entry_type: 0,
            group,
            index: at.index,
            term: at.term,
            chain: at.chain,
            body_len: 0,
            body_crc: 0,
        };
        let stamp = self.stamp();
        put(&mut self.flat, stamp, &head, context);
    }

    fn share(&mut self, body: Bytes) {
        let flat = self.flat.split().freeze();
        self.shared += (flat.len() + body.len()) as u64;
        self.rope.push(flat);
        self.rope.push(body);
    }

    /// The rope; the encoder is empty again.
    pub(crate) fn finish(&mut self) -> Chunks {
        let mut rope = std::mem::take(&mut self.rope);
        rope.push(self.flat.split().freeze());
        self.shared = 0;
        rope
    }
}

/// Why bytes are no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bad(pub(crate) &'static str);

/// Reads the next record of a segment of that salt; `None` at the end of the rope.
pub(crate) fn decode(reader: &mut Reader<'_>, salt: u32) -> Result<Option<Record>, Bad> {
    decode_with(reader, salt, true)
}

/// The same, and whether a body must agree with its checksum.
pub(crate) fn decode_with(
    reader: &mut Reader<'_>,
    salt: u32,
    verify: bool,
) -> Result<Option<Record>, Bad> {
    if reader.left() == 0 {
        return Ok(None);
    }
    let header = reader.take(HEADER as u64).ok_or(Bad("a header is cut short"))?;
    let mut n = Numbers(&header);
    let (crc, kind, entry_type) = (n.u32(), n.u8(), n.u8());
    let _lag = n.bytes(2);
    let (context_len, body_len, sum) = (n.u32(), n.u32(), n.u32());
    let (group, index, term, chain) = (n.u32(), n.u64(), n.u64(), n.u64());
    let all = (crc.zip(kind), entry_type.zip(context_len), body_len.zip(sum), group.zip(index));
    let (Some((crc, kind)), Some((entry_type, context_len)), Some((body_len, sum)), Some(gi)) = all
    else {
        return Err(Bad("a header is cut short"));
    };
    let (Some(term), Some(chain)) = (term, chain) else {
        return Err(Bad("a header is cut short"));
    };
    if context_len as usize > MAX_CONTEXT {
        return Err(Bad("a context is too long"));
    }
    let context = reader.take(u64::from(context_len)).ok_or(Bad("a context is cut short"))?;
    if header_crc(kind, salt, &header[4..], &context) != crc {
        return Err(Bad("a header's checksum is wrong"));
    }
    let body = reader.take(u64::from(body_len)).ok_or(Bad("a body is cut short"))?;
    if verify && crc32fast::hash(&body) != sum {
        return Err(Bad("a body's checksum is wrong"));
    }
    let (group, index) = gi;
    let mark = Mark { index, term, chain };
    match kind {
        ENTRY => entry_record(group, mark, entry_type, context, body).map(Some),
        HARD => {
            let mut hard = HardState::default();
            (hard.commit, hard.term, hard.vote) = (index, term, chain);
            Ok(Some(Record::Hard { group, hard }))
        }
        MARK => {
            let conf = decode_conf(&context).ok_or(Bad("a membership is not readable"))?;
            Ok(Some(Record::Mark { group, mark, conf }))
        }
        SEGMENT => {
            let owner = context.strip_prefix(MAGIC).and_then(|rest| {
                let mut n = Numbers(rest);
                let owner = Owner { cluster: n.u64()?, member: n.u64()? };
                n.0.is_empty().then_some(owner)
            });
            let owner = owner.ok_or(Bad("a segment of another format"))?;
            let salt = u32::try_from(term).map_err(|_| Bad("a salt is too long"))?;
            Ok(Some(Record::Segment { segment: index, salt, owner }))
        }
        _ => Err(Bad("a record is of no known kind")),
    }
}

fn entry_record(
    group: u32,
    mark: Mark,
    entry_type: u8,
    context: Bytes,
    body: Bytes,
) -> Result<Record, Bad> {
    let mut entry = Entry::default();
    (entry.index, entry.term) = (mark.index, mark.term);
    entry.entry_type = match entry_type {
        0 => EntryType::EntryNormal,
        1 => EntryType::EntryConfChange,
        2 => EntryType::EntryConfChangeV2,
        _ => return Err(Bad("an entry is of no known type")),
    };
    (entry.context, entry.data) = (context, body);
    Ok(Record::Entry { group, entry, chain: mark.chain })
}

/// A membership in bytes: four lists with their lengths. Nobody leaves a joint one by itself.
pub(crate) fn encode_conf(conf: &ConfState) -> Vec<u8> {
    assert!(!conf.auto_leave, "a leader leaves a joint membership, and says so in the log");
    let lists = [&conf.voters, &conf.learners, &conf.voters_outgoing, &conf.learners_next];
    let mut out = Vec::with_capacity(16 + 8 * lists.iter().map(|l| l.len()).sum::<usize>());
    for list in lists {
        out.put_u32_le(list.len() as u32);
        list.iter().for_each(|id| out.put_u64_le(*id));
    }
    out
}

/// The membership in those bytes.
pub(crate) fn decode_conf(bytes: &[u8]) -> Option<ConfState> {
    let mut n = Numbers(bytes);
    let mut list = || {
        let len = n.u32()?;
        (0..len).map(|_| n.u64()).collect::<Option<Vec<u64>>>()
    };
    let mut conf = ConfState::default();
    (conf.voters, conf.learners) = (list()?, list()?);
    (conf.voters_outgoing, conf.learners_next) = (list()?, list()?);
    n.0.is_empty().then_some(conf)
}

/// Up to where a record at `at` with this header knew the segment to be durable.
fn known_before(at: u64, header: &[u8]) -> u64 {
    match u16::from_le_bytes([header[6], header[7]]) {
        u16::MAX => 0,
        lag => at.saturating_sub(u64::from(lag) * SECTOR),
    }
}

/// Up to where the segment is known to be durable, by what its records before `end` say; all of
/// them are valid.
pub(crate) fn known_durable(rope: &Chunks, end: u64) -> u64 {
    let (mut at, mut known) = (0, 0);
    while at + HEADER as u64 <= end {
        let header = rope.slice(at, HEADER as u64).to_bytes();
        known = known_before(at, &header).max(known);
        let len = |i: usize| {
            u64::from(u32::from_le_bytes([header[i], header[i + 1], header[i + 2], header[i + 3]]))
        };
        at += HEADER as u64 + len(8) + len(12);
    }
    known
}

/// Whether what is bad at `from` was durable once, and so is damage and not the torn end of the
/// segment: whether a whole, valid record of this segment follows that knew it.
pub(crate) fn was_durable(rope: &Chunks, from: u64) -> bool {
    let Ok(Some(Record::Segment { salt, .. })) = decode(&mut Reader::new(rope), 0) else {
        // Without its salt no record can be told from bytes that a client chose. But a segment gets
        // its name when its beginning is durable, and before that rule nothing was written to it
        // earlier: a torn one is short, or nothing but the zeros of a file that grew before its
        // bytes arrived.
        let zeros = rope.parts().all(|part| part.iter().all(|b| *b == 0));
        return rope.len() >= (HEADER + BEGINNING) as u64 && !zeros;
    };
    let flat = rope.slice(from, rope.len() - from).to_bytes();
    (0..flat.len().saturating_sub(HEADER - 1)).any(|at| {
        let plausible = (ENTRY..SEGMENT).contains(&flat[at + 4]) && flat[at + 5] <= 2;
        plausible && known_before(from + at as u64, &flat[at..]) > from && {
            let rest = Chunks::from(flat.slice(at..));
            matches!(decode(&mut Reader::new(&rest), salt), Ok(Some(_)))
        }
    })
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
