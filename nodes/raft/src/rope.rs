//! Reading a rope from front to back. Taking a slice shares the bytes where they lie in one part
//! and copies them only where they span two; every length is checked against what is left before
//! anything is made of it, so a hostile length can neither panic nor allocate.

use bytes::Bytes;
use host::Chunks;

/// A reader over a rope.
pub struct Reader<'a> {
    parts: Vec<&'a Bytes>,
    part: usize,
    /// Offset within the current part.
    at: usize,
    left: u64,
    read: u64,
}

impl<'a> Reader<'a> {
    /// Reads from the beginning.
    pub fn new(rope: &'a Chunks) -> Reader<'a> {
        Reader { parts: rope.parts().collect(), part: 0, at: 0, left: rope.len(), read: 0 }
    }

    /// Bytes not read yet.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Bytes read so far.
    pub fn position(&self) -> u64 {
        self.read
    }

    /// The next `n` bytes; `None` if there are fewer, and then nothing is read.
    pub fn take(&mut self, n: u64) -> Option<Bytes> {
        if n > self.left {
            return None;
        }
        self.left -= n;
        self.read += n;
        let n = usize::try_from(n).expect("bounded by what is in memory");
        if n == 0 {
            return Some(Bytes::new());
        }
        let here = self.parts[self.part].len() - self.at;
        if n <= here {
            let out = self.parts[self.part].slice(self.at..self.at + n);
            self.advance(n);
            return Some(out);
        }
        let mut flat = Vec::with_capacity(n);
        while flat.len() < n {
            let rest = &self.parts[self.part][self.at..];
            let step = rest.len().min(n - flat.len());
            flat.extend_from_slice(&rest[..step]);
            self.advance(step);
        }
        Some(flat.into())
    }

    fn advance(&mut self, n: usize) {
        self.at += n;
        if self.at == self.parts[self.part].len() {
            self.part += 1;
            self.at = 0;
        }
    }
}

/// Little-endian numbers out of a slice, front to back.
pub struct Numbers<'a>(pub &'a [u8]);

impl<'a> Numbers<'a> {
    /// The next `n` bytes.
    pub fn bytes(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }

    /// The next byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.bytes(1).map(|b| b[0])
    }

    /// The next four bytes.
    pub fn u32(&mut self) -> Option<u32> {
        self.bytes(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    }

    /// The next eight bytes.
    pub fn u64(&mut self) -> Option<u64> {
        let b = self.bytes(8)?;
        Some(u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn takes_are_consecutive_slices(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..6), 0..6),
            takes in prop::collection::vec(0u64..8, 0..12),
        ) {
            let flat: Vec<u8> = parts.concat();
            let mut rope = Chunks::new();
            for part in parts {
                rope.push(part.into());
            }
            let mut reader = Reader::new(&rope);
            let mut at = 0usize;
            for n in takes {
                match reader.take(n) {
                    Some(bytes) => {
                        prop_assert_eq!(&bytes[..], &flat[at..at + n as usize]);
                        at += n as usize;
                    }
                    None => prop_assert!(at + n as usize > flat.len()),
                }
                prop_assert_eq!(reader.position(), at as u64);
                prop_assert_eq!(reader.left(), (flat.len() - at) as u64);
            }
        }
    }
}
