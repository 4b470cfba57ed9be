//! The file of a snapshot: a header of 64 bytes, the membership, the state machine's image.
//!
//! ```text
//!  0 crc32 of bytes 4.. of the header and of the membership   16 group
//!  4 magic "wtks"                                             24 index
//!  8 membership length                                        32 term
//! 12 crc32 of the image                                       40 chain   48 image length   56 since
//! ```
//!
//! `since` is 0 if the image is the whole state; else it holds what changed since the snapshot at that
//! index. A file may be several of these, one behind the other, each resting on the one before it.
//!
//! The image's crc is combined from the crcs of its parts, so an image of megabytes that the log
//! has summed already is not read again when it is written. Reading one back verifies all of it.

use bytes::{BufMut, Bytes, BytesMut};
use host::Chunks;
use raft::eraftpb::ConfState;

use crate::log::Mark;
use crate::rope::{Numbers, Reader};
use crate::wal::codec::{MAX_CONTEXT, decode_conf, encode_conf};

pub(crate) const HEADER: usize = 64;
/// No snapshot is longer; a longer one is not even begun to be received.
pub(crate) const MAX_LEN: u64 = 64 << 30;
const MAGIC: u32 = u32::from_le_bytes(*b"wtks");

/// A state machine's data as one rope, with its crc32.
#[derive(Clone, Debug, Default)]
pub struct Image {
    data: Chunks,
    crc: crc32fast::Hasher,
}

impl Image {
    /// Nothing yet.
    pub fn new() -> Image {
        Image::default()
    }

    /// Adds bytes of which nobody knows the crc32.
    pub fn push(&mut self, part: Bytes) {
        self.crc.update(&part);
        self.data.push(part);
    }

    /// Adds bytes whose crc32 is known; they are not read.
    pub fn push_summed(&mut self, part: Bytes, crc: u32) {
        let part_crc = crc32fast::Hasher::new_with_initial_len(crc, part.len() as u64);
        self.crc.combine(&part_crc);
        self.data.push(part);
    }

    /// The rope.
    pub fn data(&self) -> &Chunks {
        &self.data
    }
}

/// Where a finished snapshot lies.
pub(crate) fn path(group: u32, index: u64) -> String {
    format!("snap/{group}-{index:016}")
}

/// The file's bytes.
pub(crate) fn encode(
    group: u32,
    mark: Mark,
    conf: &ConfState,
    (since, image): (u64, &Image),
) -> Chunks {
    let members = encode_conf(conf);
    let mut out = BytesMut::with_capacity(HEADER + members.len());
    out.put_u32_le(0);
    out.put_u32_le(MAGIC);
    out.put_u32_le(members.len() as u32);
    out.put_u32_le(image.crc.clone().finalize());
    out.put_u32_le(group);
    out.put_u32_le(0);
    out.put_u64_le(mark.index);
    out.put_u64_le(mark.term);
    out.put_u64_le(mark.chain);
    out.put_u64_le(image.data.len());
    out.put_u64_le(since);
    debug_assert_eq!(out.len(), HEADER);
    out.put_slice(&members);
    let crc = crc32fast::hash(&out[4..]);
    out[..4].copy_from_slice(&crc.to_le_bytes());
    let mut rope = Chunks::from(out.freeze());
    rope.extend(&image.data);
    rope
}

/// What a file, or a part of one, holds.
#[derive(Debug)]
pub(crate) struct Read {
    /// The index of the snapshot that it rests on, or 0.
    pub(crate) since: u64,
    pub(crate) group: u32,
    pub(crate) mark: Mark,
    pub(crate) conf: ConfState,
    pub(crate) data: Chunks,
}

/// The fixed part in front, of which only the shape is known yet.
struct Head {
    crc: u32,
    members: u32,
    image_crc: u32,
    group: u32,
    mark: Mark,
    image_len: u64,
    since: u64,
}

impl Head {
    fn read(header: &[u8]) -> Result<Head, &'static str> {
        let numbers = || {
            let mut n = Numbers(header);
            let (crc, magic, members, image_crc) = (n.u32()?, n.u32()?, n.u32()?, n.u32()?);
            let (group, _) = (n.u32()?, n.u32()?);
            let mark = Mark { index: n.u64()?, term: n.u64()?, chain: n.u64()? };
            let (image_len, since) = (n.u64()?, n.u64()?);
            Some((magic, Head { crc, members, image_crc, group, mark, image_len, since }))
        };
        let (magic, head) = numbers().ok_or("its header is cut short")?;
        let plausible = magic == MAGIC && (1..=MAX_CONTEXT).contains(&(head.members as usize));
        if plausible { Ok(head) } else { Err("it is no snapshot") }
    }

    /// The membership behind the header, once both agree with the checksum.
    fn verify(&self, header: &[u8], members: &[u8]) -> Result<ConfState, &'static str> {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&header[4..]);
        hasher.update(members);
        if hasher.finalize() != self.crc {
            return Err("its header's checksum is wrong");
        }
        decode_conf(members).ok_or("its membership is not readable")
    }
}

/// On which snapshot the one with this header rests; 0: on none.
pub(crate) fn since(header: &[u8]) -> Result<u64, &'static str> {
    Head::read(header).map(|head| head.since)
}

/// Takes a file apart and verifies it. There is at least one part.
pub(crate) fn decode(rope: &Chunks) -> Result<Vec<Read>, &'static str> {
    let (mut all, mut at) = (Vec::<Read>::new(), 0);
    while all.is_empty() || at < rope.len() {
        let (read, len) = section(&rope.slice(at, rope.len() - at))?;
        let rests = |last: &Read| (read.group, read.since) == (last.group, last.mark.index);
        if !all.last().is_none_or(rests) {
            return Err("its parts do not rest on one another");
        }
        all.push(read);
        at += len;
    }
    Ok(all)
}

/// The part in front, and how long it is.
fn section(rope: &Chunks) -> Result<(Read, u64), &'static str> {
    let mut reader = Reader::new(rope);
    let header = reader.take(HEADER as u64).ok_or("its header is cut short")?;
    let head = Head::read(&header)?;
    let members = reader.take(u64::from(head.members)).ok_or("its membership is cut short")?;
    let conf = head.verify(&header, &members)?;
    let (front, len) = (reader.position(), head.image_len);
    if len > reader.left() {
        return Err("its length is wrong");
    }
    let data = rope.slice(front, len);
    let mut hasher = crc32fast::Hasher::new();
    data.parts().for_each(|part| hasher.update(part));
    if hasher.finalize() != head.image_crc {
        return Err("its image's checksum is wrong");
    }
    let Head { group, mark, since, .. } = head;
    Ok((Read { group, mark, conf, data, since }, front + len))
}

/// Verifies a file while it arrives, without holding it: it must be what was announced before it
/// may bear a snapshot's name, for the log then relies on it instead of its entries.
pub(crate) struct Arriving<'a> {
    pub(crate) group: u32,
    pub(crate) mark: Mark,
    pub(crate) conf: &'a ConfState,
    /// The length of the whole file.
    pub(crate) len: u64,
    /// Where the part that arrives begins, and on which snapshot it has to rest.
    begin: u64,
    before: u64,
    /// Its header and membership, as far as they are here.
    front: Vec<u8>,
    head: Option<Head>,
    image: crc32fast::Hasher,
    /// Bytes of its image that are to come.
    left: u64,
}

impl<'a> Arriving<'a> {
    pub(crate) fn new(group: u32, mark: Mark, conf: &'a ConfState, len: u64) -> Arriving<'a> {
        let (front, image) = (Vec::new(), crc32fast::Hasher::new());
        Arriving { group, mark, conf, len, begin: 0, before: 0, front, head: None, image, left: 0 }
    }

    /// The next bytes; an error as soon as they cannot belong to the file that was announced.
    pub(crate) fn push(&mut self, piece: &Chunks) -> Result<(), &'static str> {
        piece.parts().try_for_each(|part| self.part(part))
    }

    fn part(&mut self, mut part: &[u8]) -> Result<(), &'static str> {
        while !part.is_empty() {
            let members = self.head.as_ref().map_or(0, |h| h.members as usize);
            let missing = HEADER + members - self.front.len();
            if missing > 0 {
                let (front, rest) = part.split_at(missing.min(part.len()));
                self.front.extend_from_slice(front);
                part = rest;
                if front.len() < missing {
                    return Ok(());
                }
                match &self.head {
                    None => self.head = Some(Head::read(&self.front)?),
                    Some(head) => self.left = self.agrees(head)?,
                }
            } else {
                let (image, rest) = part.split_at(part.len().min(self.left as usize));
                self.image.update(image);
                self.left -= image.len() as u64;
                part = rest;
            }
            let members = self.head.as_ref().map_or(0, |h| h.members as usize);
            if members > 0 && self.front.len() == HEADER + members && self.left == 0 {
                self.ends()?;
            }
        }
        Ok(())
    }

    /// Whether the part with this front belongs here; yields the length of its image.
    fn agrees(&self, head: &Head) -> Result<u64, &'static str> {
        let (header, members) = self.front.split_at(HEADER);
        let conf = head.verify(header, members)?;
        let front = self.begin + self.front.len() as u64;
        let end = head.image_len.checked_add(front);
        if end.is_none_or(|end| end > self.len) {
            return Err("its length is not the one that was announced");
        }
        let fits = match end == Some(self.len) {
            true => head.mark == self.mark && conf == *self.conf,
            false => head.mark.index < self.mark.index,
        };
        if !fits || (head.group, head.since) != (self.group, self.before) {
            return Err("it is not the snapshot that was announced");
        }
        Ok(head.image_len)
    }

    /// All of a part is here.
    fn ends(&mut self) -> Result<(), &'static str> {
        let head = self.head.take().expect("its front is here");
        self.begin += self.front.len() as u64 + head.image_len;
        self.before = head.mark.index;
        self.front.clear();
        let fits = std::mem::take(&mut self.image).finalize() == head.image_crc;
        if fits { Ok(()) } else { Err("its image's checksum is wrong") }
    }

    /// All announced bytes were pushed: whether they are the snapshot.
    pub(crate) fn finish(self) -> Result<(), &'static str> {
        let whole = self.begin == self.len && self.before == self.mark.index;
        if whole { Ok(()) } else { Err("it is cut short") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> (Chunks, Chunks) {
        let mut image = Image::new();
        image.push(Bytes::from_static(b"head"));
        let body = Bytes::from(vec![5u8; 3000]);
        image.push_summed(body.clone(), crc32fast::hash(&body));
        image.push(Bytes::from_static(b"tail"));
        let conf = ConfState { voters: vec![1, 2, 3], ..ConfState::default() };
        (encode(3, Mark { index: 9, term: 2, chain: 4 }, &conf, (0, &image)), image.data)
    }

    /// A whole state and two changes, which come to that of `sample`.
    fn chain() -> Chunks {
        let conf = ConfState { voters: vec![1, 2], ..ConfState::default() };
        let mut file = Chunks::new();
        for (since, index) in [(0, 5), (5, 7)] {
            let mut image = Image::new();
            image.push(vec![index as u8; 300 * (index as usize - 5)].into());
            file.extend(&encode(3, Mark { index, term: 2, chain: 3 }, &conf, (since, &image)));
        }
        let (last, image) = sample();
        let conf = decode(&last).unwrap().remove(0).conf;
        let image = Image { crc: crc(&image), data: image };
        file.extend(&encode(3, Mark { index: 9, term: 2, chain: 4 }, &conf, (7, &image)));
        file
    }

    fn crc(data: &Chunks) -> crc32fast::Hasher {
        let mut crc = crc32fast::Hasher::new();
        data.parts().for_each(|part| crc.update(part));
        crc
    }

    #[test]
    fn parts_rest_on_one_another() {
        let file = chain();
        let all = decode(&file).unwrap();
        let marks: Vec<_> = all.iter().map(|r| (r.since, r.mark.index, r.data.len())).collect();
        assert_eq!(marks, [(0, 5, 0), (5, 7, 600), (7, 9, sample().1.len())]);
        // Without the one in the middle.
        let (first, last) = (HEADER as u64 + 32, all[2].data.len() + HEADER as u64 + 40);
        let mut holed = file.slice(0, first);
        holed.extend(&file.slice(file.len() - last, last));
        assert_eq!(decode(&holed).unwrap_err(), "its parts do not rest on one another");
        assert!(!arrives(&holed, all[2].mark, &[1, 2, 3], 50));
    }

    #[test]
    fn a_snapshot_reads_back_and_shares_its_parts() {
        let (file, data) = sample();
        let read = decode(&file).unwrap().remove(0);
        assert_eq!((read.group, read.mark.index, &read.conf.voters[..]), (3, 9, &[1, 2, 3][..]));
        assert_eq!(read.data, data);
    }

    fn arrives(file: &Chunks, announced: Mark, voters: &[u64], step: usize) -> bool {
        let conf = ConfState { voters: voters.to_vec(), ..ConfState::default() };
        let mut arriving = Arriving::new(3, announced, &conf, file.len());
        let flat = file.to_bytes();
        let mut pieces = flat.chunks(step).map(|c| Chunks::from(c.to_vec()));
        pieces.all(|piece| arriving.push(&piece).is_ok()) && arriving.finish().is_ok()
    }

    #[test]
    fn what_arrives_must_be_what_was_announced() {
        let mark = Mark { index: 9, term: 2, chain: 4 };
        let steps = [1, 7, 64, 100, 10_000].into_iter();
        for (step, file) in steps.flat_map(|step| [(step, sample().0), (step, chain())]) {
            assert!(arrives(&file, mark, &[1, 2, 3], step));
            assert!(!arrives(&file, Mark { index: 10, ..mark }, &[1, 2, 3], step));
            assert!(!arrives(&file, Mark { chain: 5, ..mark }, &[1, 2, 3], step));
            assert!(!arrives(&file, mark, &[1, 2], step));
            assert!(!arrives(&file.slice(0, file.len() - 1), mark, &[1, 2, 3], step));
            assert!(!arrives(&file.slice(0, 70), mark, &[1, 2, 3], step));
        }
    }

    proptest! {
        #[test]
        fn damage_is_noticed_on_arrival(
            at in any::<prop::sample::Index>(),
            flip in 1u8..,
            step in 1usize..500,
            chained in any::<bool>(),
        ) {
            let file = if chained { chain() } else { sample().0 };
            let mut bytes = file.to_bytes().to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            let mark = Mark { index: 9, term: 2, chain: 4 };
            prop_assert!(!arrives(&Chunks::from(bytes), mark, &[1, 2, 3], step));
        }

        #[test]
        fn damage_is_noticed(at in any::<prop::sample::Index>(), flip in 1u8..) {
            let mut bytes = sample().0.to_bytes().to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            prop_assert!(decode(&Chunks::from(bytes)).is_err());
        }

        #[test]
        fn a_cut_is_noticed(at in any::<prop::sample::Index>()) {
            let bytes = sample().0.to_bytes();
            let cut = bytes.slice(..at.index(bytes.len()));
            prop_assert!(decode(&Chunks::from(cut)).is_err());
        }
    }
}
