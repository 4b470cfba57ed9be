//! Ropes: what net and disk move. A frame or a WAL record is a small header and shared body chunks, so a
//! value of one megabyte is never copied between a client's buffer and five nodes' logs.
//! Left out: mutation. A rope is built once and then only sliced and shared.

use bytes::Bytes;

/// A few shared byte slices that read as one.
#[derive(Clone, Debug, Default)]
pub struct Chunks {
    head: Bytes,
    rest: Vec<Bytes>,
}

impl Chunks {
    /// Nothing.
    pub fn new() -> Chunks {
        Chunks::default()
    }

    /// Adds a slice at the end; empty ones vanish.
    pub fn push(&mut self, part: Bytes) {
        if part.is_empty() {
            return;
        }
        if self.head.is_empty() {
            self.head = part;
        } else {
            self.rest.push(part);
        }
    }

    /// Adds all slices of another rope.
    pub fn extend(&mut self, other: &Chunks) {
        for part in other.parts() {
            self.push(part.clone());
        }
    }

    /// The slices in order.
    pub fn parts(&self) -> impl Iterator<Item = &Bytes> {
        std::iter::once(&self.head).chain(self.rest.iter()).filter(|p| !p.is_empty())
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.head.len() as u64 + self.rest.iter().map(|p| p.len() as u64).sum::<u64>()
    }

    /// Whether it holds no byte.
    pub fn is_empty(&self) -> bool {
        self.head.is_empty()
    }

    /// A part of the rope that shares its slices.
    ///
    /// # Panics
    /// If the range reaches beyond the end.
    pub fn slice(&self, from: u64, len: u64) -> Chunks {
        assert!(from + len <= self.len(), "slice {from}+{len} of a rope of {}", self.len());
        let mut out = Chunks::new();
        let (mut skip, mut left) = (from, len);
        for part in self.parts() {
            let here = part.len() as u64;
            if skip >= here {
                skip -= here;
                continue;
            }
            if left == 0 {
                break;
            }
            let take = left.min(here - skip);
            out.push(part.slice(skip as usize..(skip + take) as usize));
            skip = 0;
            left -= take;
        }
        out
    }

    /// One contiguous slice: shared if the rope has a single part, copied otherwise.
    pub fn to_bytes(&self) -> Bytes {
        if self.rest.is_empty() {
            return self.head.clone();
        }
        let mut flat = Vec::with_capacity(self.len() as usize);
        for part in self.parts() {
            flat.extend_from_slice(part);
        }
        flat.into()
    }
}

impl From<Bytes> for Chunks {
    fn from(head: Bytes) -> Chunks {
        Chunks { head, rest: Vec::new() }
    }
}

impl From<Vec<u8>> for Chunks {
    fn from(bytes: Vec<u8>) -> Chunks {
        Bytes::from(bytes).into()
    }
}

impl PartialEq for Chunks {
    fn eq(&self, other: &Chunks) -> bool {
        self.len() == other.len() && self.to_bytes() == other.to_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_slice_of_a_rope_is_the_slice_of_its_bytes(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..8), 0..6),
            a in 0usize..50, b in 0usize..50,
        ) {
            let flat: Vec<u8> = parts.concat();
            let mut rope = Chunks::new();
            for part in parts {
                rope.push(part.into());
            }
            prop_assert_eq!(rope.len() as usize, flat.len());
            let (a, b) = (a.min(flat.len()), b.min(flat.len()));
            let (a, b) = (a.min(b), a.max(b));
            prop_assert_eq!(&rope.slice(a as u64, (b - a) as u64).to_bytes()[..], &flat[a..b]);
        }
    }
}
