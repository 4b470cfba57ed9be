//! How the value of a command lies in the log: as it came, as the base64 text that a JSON document
//! would hold, or compressed as one LZ4 block. Text is decoded when it is applied, so the table and
//! its snapshots hold what the client put; a block is made once, by whoever proposes it, and stays
//! one in log, table and snapshot until somebody reads it. A value that compression does not make
//! smaller stays as it came.
//!
//! A block states how long its value is. That is believed only within two bounds, before anything is
//! allocated: the greatest `max_value` that can be set, and what a block of its length can hold at
//! all. Both are constants, because every node must judge an entry alike. Left out: the rest of the
//! document around the value (keys and numbers are in the command's header), dictionaries, streams of
//! blocks. Source: document 002, insight 12; the LZ4 block format.

use bytes::Bytes;

/// The longest value there can be: the greatest `max_value`.
pub(crate) const LONGEST: u32 = 16 << 20;

/// What a node does to the values that it proposes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Raw,
    Json,
    Lz4,
}

impl Encoding {
    /// The encoding of that word of the setting.
    pub(crate) fn named(word: &str) -> Encoding {
        match word {
            "json" => Encoding::Json,
            "lz4" => Encoding::Lz4,
            _ => Encoding::Raw,
        }
    }
}

/// What the body of a command is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Form {
    /// The value.
    #[default]
    Plain,
    /// The value in base64.
    Text,
    /// A compressed value, which is so long.
    Block { raw: u32 },
}

/// A value as it goes into the log.
pub(crate) struct Encoded {
    pub(crate) form: Form,
    pub(crate) body: Bytes,
    /// Of the body.
    pub(crate) body_crc: u32,
    /// Of what the table will keep.
    pub(crate) kept_crc: u32,
}

/// Encodes a value; one that is empty is encoded already.
pub(crate) fn encode(encoding: Encoding, value: Bytes) -> Encoded {
    match encoding {
        Encoding::Json if !value.is_empty() => {
            let body = Bytes::from(to_text(&value));
            let (body_crc, kept_crc) = (crc32fast::hash(&body), crc32fast::hash(&value));
            Encoded { form: Form::Text, body, body_crc, kept_crc }
        }
        Encoding::Lz4 if !value.is_empty() && value.len() <= LONGEST as usize => {
            let block = lz4_flex::block::compress(&value);
            if block.len() >= value.len() {
                return plain(value);
            }
            let raw = value.len() as u32;
            // The compressor's buffer is as long as an incompressible value would need.
            let body = Bytes::copy_from_slice(&block);
            let crc = crc32fast::hash(&body);
            Encoded { form: Form::Block { raw }, body, body_crc: crc, kept_crc: crc }
        }
        _ => plain(value),
    }
}

fn plain(value: Bytes) -> Encoded {
    let crc = crc32fast::hash(&value);
    Encoded { form: Form::Plain, body: value, body_crc: crc, kept_crc: crc }
}

/// Whether a block of this length can hold a value of that one: a byte of a block adds at most 255
/// to it.
pub(crate) fn is_plausible(block: usize, raw: u32) -> bool {
    raw > 0 && raw <= LONGEST && u64::from(raw) <= 255 * block as u64
}

/// The value in a block; `None` if it is none of that length.
pub(crate) fn unpack(block: &[u8], raw: u32) -> Option<Bytes> {
    if !is_plausible(block.len(), raw) {
        return None;
    }
    let value = lz4_flex::block::decompress(block, raw as usize).ok()?;
    (value.len() == raw as usize).then(|| value.into())
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Stands for a letter that is none.
const NONE: u8 = 0xff;

/// What each byte stands for.
const DIGITS: [u8; 256] = {
    let mut out = [NONE; 256];
    let mut at = 0;
    while at < 64 {
        out[ALPHABET[at] as usize] = at as u8;
        at += 1;
    }
    out
};

/// Base64 as in RFC 4648, section 4, with padding.
pub(crate) fn to_text(value: &[u8]) -> Vec<u8> {
    let mut out = vec![b'='; value.len().div_ceil(3) * 4];
    for (three, four) in value.chunks(3).zip(out.chunks_exact_mut(4)) {
        let at = |i: usize| u32::from(three.get(i).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for (i, letter) in four.iter_mut().take(three.len() + 1).enumerate() {
            *letter = ALPHABET[(bits >> (18 - 6 * i) & 63) as usize];
        }
    }
    out
}

/// The value in a text, which must be the one that `to_text` makes of it.
pub(crate) fn from_text(text: &[u8]) -> Option<Bytes> {
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let padding = text.iter().rev().take(2).take_while(|b| **b == b'=').count();
    let (whole, last) = text.split_at(text.len() - if padding > 0 { 4 } else { 0 });
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    for four in whole.chunks_exact(4) {
        let d = [0, 1, 2, 3].map(|i| DIGITS[four[i] as usize]);
        if (d[0] | d[1] | d[2] | d[3]) == NONE {
            return None;
        }
        let bits = d.iter().fold(0, |bits, d| bits << 6 | u32::from(*d));
        out.extend_from_slice(&bits.to_be_bytes()[1..]);
    }
    if padding > 0 {
        let mut bits = 0;
        for letter in &last[..4 - padding] {
            let digit = DIGITS[*letter as usize];
            if digit == NONE {
                return None;
            }
            bits = bits << 6 | u32::from(digit);
        }
        bits <<= 6 * padding;
        let bytes = bits.to_be_bytes();
        if bytes[4 - padding..].iter().any(|b| *b != 0) {
            return None;
        }
        out.extend_from_slice(&bytes[1..4 - padding]);
    }
    Some(out.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The value that an encoded one stands for.
    fn decoded(encoded: &Encoded) -> Option<Bytes> {
        match encoded.form {
            Form::Plain => Some(encoded.body.clone()),
            Form::Text => from_text(&encoded.body),
            Form::Block { raw } => unpack(&encoded.body, raw),
        }
    }

    #[test]
    fn texts_are_those_of_the_standard() {
        let pairs =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("fooba", "Zm9vYmE=")];
        for (value, text) in pairs {
            assert_eq!(to_text(value.as_bytes()), text.as_bytes());
            assert_eq!(from_text(text.as_bytes()).unwrap(), value);
        }
        for wrong in ["Zg=", "Zg", "Zh==", "Zm9=", "Z===", "====", "Zm 8", "Zm8=Zm8="] {
            assert_eq!(from_text(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn a_block_that_lies_about_its_length_allocates_nothing() {
        let block = lz4_flex::block::compress(&[7; 10_000]);
        assert_eq!(unpack(&block, 10_000).unwrap(), vec![7; 10_000]);
        for raw in [0, 9_999, 10_001, LONGEST, LONGEST + 1, u32::MAX] {
            assert_eq!(unpack(&block, raw), None, "{raw}");
        }
        assert!(!is_plausible(block.len(), 255 * block.len() as u32 + 1));
    }

    #[test]
    fn a_value_that_does_not_shrink_stays_as_it_came() {
        let noise: Vec<u8> =
            (0..2000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let encoded = encode(Encoding::Lz4, Bytes::from(b"abc".to_vec()));
        assert_eq!((encoded.form, &encoded.body[..]), (Form::Plain, &b"abc"[..]));
        let encoded = encode(Encoding::Lz4, noise.clone().into());
        assert!(encoded.body.len() <= noise.len());
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(
            value in prop::collection::vec(any::<u8>(), 0..300), times in 1usize..40,
        ) {
            let value = Bytes::from(value.repeat(times));
            for encoding in [Encoding::Raw, Encoding::Json, Encoding::Lz4] {
                let encoded = encode(encoding, value.clone());
                prop_assert_eq!(encoded.body_crc, crc32fast::hash(&encoded.body));
                prop_assert_eq!(decoded(&encoded), Some(value.clone()));
                if encoding == Encoding::Lz4 {
                    prop_assert!(encoded.body.len() <= value.len());
                }
            }
        }

        #[test]
        fn hostile_blocks_and_texts_are_nothing_or_what_they_say(
            bytes in prop::collection::vec(any::<u8>(), 0..400), raw in any::<u32>(), small in 0u32..2000,
        ) {
            for raw in [raw, small] {
                if let Some(value) = unpack(&bytes, raw) {
                    prop_assert_eq!(value.len(), raw as usize);
                    prop_assert!(value.len() <= 255 * bytes.len());
                }
            }
            if let Some(value) = from_text(&bytes) {
                prop_assert_eq!(to_text(&value), bytes);
            }
        }

        #[test]
        fn a_damaged_block_never_grows(at in any::<usize>(), with in any::<u8>(), len in 1usize..3000) {
            let mut block = lz4_flex::block::compress(&b"ABCDEFG".repeat(len));
            let at = at % block.len();
            block[at] = with;
            if let Some(value) = unpack(&block, 7 * len as u32) {
                prop_assert_eq!(value.len(), 7 * len);
            }
        }
    }
}
