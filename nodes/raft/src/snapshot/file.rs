//! The file of a snapshot: a header of 64 bytes, the membership, the state machine's image.
//!
//! ```text
//!  0 crc32 of bytes 4.. of the header and of the membership   16 group
//!  4 magic "wtks"                                             24 index
//!  8 membership length                                        32 term
//! 12 crc32 of the image                                       40 chain   48 image length   56 zero
//! ```
//!
//! The image's crc is combined from the crcs of its parts, so an image of megabytes that the log
//! has summed already is not read again when it is written. Reading one back verifies all of it.

use bytes::{BufMut, Bytes, BytesMut};
use host::Chunks;
use raft::eraftpb::ConfState;

use crate::log::Mark;
use crate::rope::{Numbers, Reader};
use crate::wal::codec::{MAX_CONTEXT, decode_conf, encode_conf};

const HEADER: usize = 64;
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
pub(crate) fn encode(group: u32, mark: Mark, conf: &ConfState, image: &Image) -> Chunks {
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
    out.put_u64_le(0);
    debug_assert_eq!(out.len(), HEADER);
    out.put_slice(&members);
    let crc = crc32fast::hash(&out[4..]);
    out[..4].copy_from_slice(&crc.to_le_bytes());
    let mut rope = Chunks::from(out.freeze());
    rope.extend(&image.data);
    rope
}

/// What a file holds.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) group: u32,
    pub(crate) mark: Mark,
    pub(crate) conf: ConfState,
    pub(crate) data: Chunks,
}

/// Takes a file apart and verifies it.
pub(crate) fn decode(rope: &Chunks) -> Result<Read, &'static str> {
    let mut reader = Reader::new(rope);
    let header = reader.take(HEADER as u64).ok_or("its header is cut short")?;
    let numbers = || {
        let mut n = Numbers(&header);
        let (crc, magic, members, image_crc) = (n.u32()?, n.u32()?, n.u32()?, n.u32()?);
        let (group, _) = (n.u32()?, n.u32()?);
        let mark = Mark { index: n.u64()?, term: n.u64()?, chain: n.u64()? };
        Some((crc, magic, members, image_crc, group, mark, n.u64()?))
    };
    let (crc, magic, members, image_crc, group, mark, len) =
        numbers().ok_or("its header is cut short")?;
    if magic != MAGIC || members as usize > MAX_CONTEXT {
        return Err("it is no snapshot");
    }
    let members = reader.take(u64::from(members)).ok_or("its membership is cut short")?;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&header[4..]);
    hasher.update(&members);
    if hasher.finalize() != crc {
        return Err("its header's checksum is wrong");
    }
    let conf = decode_conf(&members).ok_or("its membership is not readable")?;
    if len != reader.left() {
        return Err("its length is wrong");
    }
    let data = rope.slice(rope.len() - len, len);
    let mut hasher = crc32fast::Hasher::new();
    data.parts().for_each(|part| hasher.update(part));
    if hasher.finalize() != image_crc {
        return Err("its image's checksum is wrong");
    }
    Ok(Read { group, mark, conf, data })
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
        (encode(3, Mark { index: 9, term: 2, chain: 4 }, &conf, &image), image.data)
    }

    #[test]
    fn a_snapshot_reads_back_and_shares_its_parts() {
        let (file, data) = sample();
        let read = decode(&file).unwrap();
        assert_eq!((read.group, read.mark.index, &read.conf.voters[..]), (3, 9, &[1, 2, 3][..]));
        assert_eq!(read.data, data);
    }

    proptest! {
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
