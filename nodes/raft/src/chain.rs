//! The chain hash: one number per log position that stands for the whole log up to there. Two hosts
//! that hold an entry of the same (index, term) must hold the same number, so log matching is one
//! comparison. It mixes terms, lengths and the crc32 values that entries carry anyway; bodies are
//! not read again.
//!
//! An entry's context begins with the crc32 of its body (4 bytes, little endian): computed once
//! where the entry is proposed, carried through Raft, network and WAL, and verified when a log is
//! recovered.

use bytes::{BufMut, Bytes, BytesMut};
use raft::eraftpb::Entry;

/// Bytes of the envelope in front of the application's context.
pub(crate) const ENVELOPE: usize = 4;

/// The hash of an empty log.
pub const GENESIS: u64 = 0x9e37_79b9_7f4a_7c15;

/// Mixes two numbers; a bijection of `b` for every `a`, with good avalanche (splitmix64's
/// finisher).
fn mix(a: u64, b: u64) -> u64 {
    let mut z = a.rotate_left(23) ^ b.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The hash after one more entry.
pub fn chain(before: u64, term: u64, len: u64, body_crc: u32, context_crc: u32) -> u64 {
    let crcs = u64::from(body_crc) << 32 | u64::from(context_crc);
    mix(mix(mix(before, term), len), crcs)
}

/// The hash after `entry`, of which the body's crc is taken on trust.
pub(crate) fn chain_entry(before: u64, entry: &Entry) -> u64 {
    let context_crc = crc32fast::hash(&entry.context);
    chain(before, entry.term, entry.data.len() as u64, body_crc(entry), context_crc)
}

/// The crc that the entry carries; an entry of Raft's own, without context, has an empty body.
pub(crate) fn body_crc(entry: &Entry) -> u32 {
    match entry.context.get(..ENVELOPE) {
        Some(crc) => u32::from_le_bytes([crc[0], crc[1], crc[2], crc[3]]),
        None => 0,
    }
}

/// The context under which an entry travels.
pub(crate) fn seal(context: &[u8], body_crc: u32) -> Bytes {
    let mut sealed = BytesMut::with_capacity(ENVELOPE + context.len());
    sealed.put_u32_le(body_crc);
    sealed.put_slice(context);
    sealed.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ingredient_changes_the_chain() {
        let base = chain(GENESIS, 1, 2, 3, 4);
        assert_eq!(base, chain(GENESIS, 1, 2, 3, 4));
        for other in [
            chain(GENESIS + 1, 1, 2, 3, 4),
            chain(GENESIS, 2, 2, 3, 4),
            chain(GENESIS, 1, 3, 3, 4),
            chain(GENESIS, 1, 2, 4, 3),
            chain(GENESIS, 1, 2, 3, 5),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn order_matters() {
        let ab = chain(chain(GENESIS, 1, 1, 7, 0), 1, 1, 8, 0);
        let ba = chain(chain(GENESIS, 1, 1, 8, 0), 1, 1, 7, 0);
        assert_ne!(ab, ba);
    }

    #[test]
    fn a_sealed_context_names_its_body() {
        let context = seal(b"ctx", crc32fast::hash(b"body"));
        let entry = Entry { context, ..Entry::default() };
        assert_eq!(body_crc(&entry), crc32fast::hash(b"body"));
        assert_eq!(&entry.context[ENVELOPE..], b"ctx");
        assert_eq!(body_crc(&Entry::default()), crc32fast::hash(b""));
    }
}
