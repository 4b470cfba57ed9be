//! Named, keyed draws: the only source of chance besides the executor's schedule.
//!
//! `stream(seed, name, a, b)` is ChaCha12 under a key made of these four, so a stream is a pure function of
//! its name and key. One more message, fault or client shifts nothing in any other stream: studies compare
//! cells on common random numbers, and a shrunk plan means what it meant. Weather of links and disks is
//! keyed by (virtual millisecond, ordinal within it), load by (client, op), a node's own streams by
//! (stream, host, boot, key).

use host::Rng;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The draws of one run.
#[derive(Clone, Copy, Debug)]
pub struct Draws {
    seed: u64,
}

impl Draws {
    /// The draws under this seed.
    pub fn new(seed: u64) -> Draws {
        Draws { seed }
    }

    /// Other draws, that share nothing with these: those of a branch.
    pub fn branch(&self, number: u64) -> Draws {
        Draws { seed: mix(self.schedule_seed(0) ^ 0x6272_616e_6368, number) }
    }

    /// The ChaCha12 key of a stream.
    pub fn key(&self, stream: &str, a: u64, b: u64) -> [u8; 32] {
        let mut key = [0; 32];
        key[0..8].copy_from_slice(&self.seed.to_le_bytes());
        key[8..16].copy_from_slice(&xxh3_64(stream.as_bytes()).to_le_bytes());
        key[16..24].copy_from_slice(&a.to_le_bytes());
        key[24..32].copy_from_slice(&b.to_le_bytes());
        key
    }

    /// A stream.
    pub fn stream(&self, stream: &str, a: u64, b: u64) -> Rng {
        Rng::from_key(self.key(stream, a, b))
    }

    /// The executor's seed: only the schedule draws from it, so `weave` changes the interleaving of tasks
    /// and nothing else.
    pub fn schedule_seed(&self, weave: u64) -> u64 {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(b"schedule");
        bytes[8..16].copy_from_slice(&self.seed.to_le_bytes());
        bytes[16..].copy_from_slice(&weave.to_le_bytes());
        xxh3_64(&bytes)
    }
}

/// Folds a second number into a stream's key.
pub fn mix(a: u64, b: u64) -> u64 {
    xxh3_64_with_seed(&a.to_le_bytes(), b)
}

/// A stream that is keyed anew in every virtual millisecond, and drawn from by ordinal within it.
#[derive(Debug, Default)]
pub struct Weather {
    now: Option<(u64, Rng)>,
}

impl Weather {
    /// The next draw of this millisecond.
    pub fn draw(&mut self, draws: &Draws, stream: &str, key: u64, now_ns: u64) -> u64 {
        let ms = now_ns / 1_000_000;
        match &mut self.now {
            Some((at, rng)) if *at == ms => rng.bits(),
            _ => {
                let mut rng = draws.stream(stream, key, ms);
                let bits = rng.bits();
                self.now = Some((ms, rng));
                bits
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_pure_and_apart() {
        let draws = Draws::new(7);
        assert_eq!(draws.stream("link", 1, 2).bits(), draws.stream("link", 1, 2).bits());
        assert_ne!(draws.stream("link", 1, 2).bits(), draws.stream("link", 1, 3).bits());
        assert_ne!(draws.stream("link", 1, 2).bits(), draws.stream("disk", 1, 2).bits());
        assert_ne!(Draws::new(8).stream("link", 1, 2).bits(), draws.stream("link", 1, 2).bits());
        assert_ne!(draws.schedule_seed(0), draws.schedule_seed(1));
        assert_ne!(draws.branch(1).stream("link", 1, 2).bits(), draws.stream("link", 1, 2).bits());
        assert_ne!(draws.branch(1).seed, draws.branch(2).seed);
    }

    #[test]
    fn a_draw_in_one_millisecond_does_not_shift_the_next() {
        let draws = Draws::new(7);
        let (mut few, mut many) = (Weather::default(), Weather::default());
        few.draw(&draws, "link", 1, 10);
        for _ in 0..5 {
            many.draw(&draws, "link", 1, 10);
        }
        assert_eq!(few.draw(&draws, "link", 1, 1_000_000), many.draw(&draws, "link", 1, 1_000_000));
    }
}
