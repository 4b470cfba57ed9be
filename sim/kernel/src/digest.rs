//! The chained digest: one 128-bit number for all that happened in a run.
//!
//! Every entry is hashed together with the digest so far, so order counts and a difference never heals. A
//! checkpoint every 1,024 entries lets two runs be bisected. Entries hold kernel facts and node events:
//! no addresses, no task ids, no wall time. Of a window of entries also the text can be kept, so that the
//! first entry in which two runs differ can be read.

use std::ops::Range;

use xxhash_rust::xxh3::xxh3_128;

use crate::Time;

/// Entries between two checkpoints.
pub const STRIDE: u64 = 1024;

/// A digest under construction.
#[derive(Debug, Default)]
pub struct Digest {
    state: u128,
    entries: u64,
    checkpoints: Vec<u128>,
    buffer: Vec<u8>,
    window: Range<u64>,
    seen: Vec<Entry>,
}

/// An entry as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Counted from 0.
    pub number: u64,
    /// Virtual time in nanoseconds.
    pub at: Time,
    /// The host's name.
    pub host: String,
    /// What happened.
    pub text: String,
    /// The digest with this entry in it.
    pub state: u128,
}

impl Digest {
    /// Keeps the text of these entries.
    pub fn keep(&mut self, window: Range<u64>) {
        self.window = window;
    }

    /// Adds one entry; `fill` appends its bytes to the buffer. Whether its text is to be kept.
    pub fn add(&mut self, fill: impl FnOnce(&mut Vec<u8>)) -> bool {
        self.buffer.clear();
        self.buffer.extend_from_slice(&self.state.to_le_bytes());
        fill(&mut self.buffer);
        self.state = xxh3_128(&self.buffer);
        self.entries += 1;
        if self.entries.is_multiple_of(STRIDE) {
            self.checkpoints.push(self.state);
        }
        self.window.contains(&(self.entries - 1))
    }

    /// Keeps the text of the entry that was added last.
    pub fn tell(&mut self, at: Time, host: &str, text: String) {
        let (number, host) = (self.entries - 1, host.to_string());
        self.seen.push(Entry { number, at, host, text, state: self.state });
    }

    /// The entries whose text was kept.
    pub fn take_entries(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.seen)
    }

    /// How many entries it holds.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// The digest as 32 hexadecimal digits.
    pub fn hex(&self) -> String {
        format!("{:032x}", self.state)
    }

    /// The states after every 1,024th entry.
    pub fn checkpoints(&self) -> &[u128] {
        &self.checkpoints
    }
}

/// The first entry range in which two runs differ, as (from, to) entry numbers.
pub fn first_difference(a: &[u128], b: &[u128]) -> (u64, u64) {
    let same = a.iter().zip(b).take_while(|(x, y)| x == y).count() as u64;
    (same * STRIDE, (same + 1) * STRIDE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(entries: &[u64]) -> Digest {
        let mut digest = Digest::default();
        for e in entries {
            digest.add(|b| b.extend_from_slice(&e.to_le_bytes()));
        }
        digest
    }

    #[test]
    fn order_counts_and_a_difference_never_heals() {
        assert_ne!(of(&[1, 2]).hex(), of(&[2, 1]).hex());
        assert_ne!(of(&[1, 3, 3]).hex(), of(&[2, 3, 3]).hex());
        assert_eq!(of(&[1, 2]).hex(), of(&[1, 2]).hex());
    }

    #[test]
    fn two_runs_can_be_bisected() {
        let mut entries: Vec<u64> = (0..5000).collect();
        let a = of(&entries);
        entries[3000] = 0;
        let b = of(&entries);
        assert_eq!(first_difference(a.checkpoints(), b.checkpoints()), (2048, 3072));
    }
}
