//! Bytes that several hosts came to by themselves, each decoding the same entry of a log, kept once: the
//! contents of a cluster then take the memory of one host. The last few are remembered, for hosts apply an
//! entry at about the same time. Nothing of a run depends on whether they were found.
//!
//! Left out: what was shared long ago, and small contents, which cost less than the search.

use std::collections::VecDeque;

use bytes::Bytes;

/// Contents that are remembered.
const LATEST: usize = 64;
/// Shorter ones are not.
const SHORTEST: usize = 4096;

/// The contents that were shared last.
#[derive(Default)]
pub(crate) struct Contents {
    latest: VecDeque<Bytes>,
}

impl Contents {
    /// The same bytes, those of somebody else if there are any.
    pub(crate) fn share(&mut self, bytes: Bytes) -> Bytes {
        if bytes.len() < SHORTEST {
            return bytes;
        }
        if let Some(there) = self.latest.iter().rev().find(|there| **there == bytes) {
            return there.clone();
        }
        if self.latest.len() == LATEST {
            self.latest.pop_front();
        }
        self.latest.push_back(bytes.clone());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_contents_are_kept_once_and_others_are_not_mistaken_for_them() {
        let mut contents = Contents::default();
        let of = |byte: u8, len: usize| Bytes::from(vec![byte; len]);
        let first = contents.share(of(1, SHORTEST));
        let again = contents.share(of(1, SHORTEST));
        assert_eq!(first.as_ptr(), again.as_ptr());
        assert_eq!(contents.share(of(2, SHORTEST)), of(2, SHORTEST));
        assert_eq!(contents.share(of(1, SHORTEST + 1)).len(), SHORTEST + 1);
        (0..=LATEST).for_each(|i| drop(contents.share(of(3, SHORTEST + i))));
        assert_eq!(contents.latest.len(), LATEST);
    }
}
