//! The checksum in front of every frame between clients and nodes: a crc32 of all that follows it. TCP's
//! own sum has 16 bits and is reckoned anew by every box on the way that splits or joins segments, so a
//! damaged frame may well arrive. One that its sum does not fit is no frame, and ends its connection.
//!
//! Left out: protection against anybody who means it. Source: Stone and Partridge, "When the CRC and TCP
//! checksum disagree" (2000).

use bytes::Bytes;
use host::Chunks;
use raft_driver::rope::{Numbers, Reader};

/// Bytes of the crc32 in front.
pub(crate) const SUM: usize = 4;

/// A frame of a head, in front of which there is room for the sum, and what follows it.
pub(crate) fn seal(mut head: Vec<u8>, rest: &[Bytes]) -> Chunks {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&head[SUM..]);
    rest.iter().for_each(|part| sum.update(part));
    head[..SUM].copy_from_slice(&sum.finalize().to_le_bytes());
    let mut frame = Chunks::from(head);
    rest.iter().for_each(|part| frame.push(part.clone()));
    frame
}

/// A reader of what follows the sum, if that fits.
pub(crate) fn unseal(frame: &Chunks) -> Option<Reader<'_>> {
    let mut reader = Reader::new(frame);
    let expected = Numbers(&reader.take(SUM as u64)?).u32()?;
    let (mut sum, mut skip) = (crc32fast::Hasher::new(), SUM);
    for part in frame.parts() {
        let here = skip.min(part.len());
        sum.update(&part[here..]);
        skip -= here;
    }
    (sum.finalize() == expected).then_some(reader)
}
