//! Which seeds a sweep is about: a half-open range, or one shard of it. Shard i of n holds the seeds that
//! leave the remainder i - 1 when divided by n, so shards of any range are alike in size and in what they
//! meet, and a longer range adds seeds to a shard and moves none. Left out: contiguous shards, which would
//! change with every other end of the range.

use std::fmt;
use std::ops::Range;

/// Shards at most.
const SHARDS_MAX: u64 = 10_000;

/// One of several machines that share a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which one, from 1.
    pub number: u64,
    /// Of how many.
    pub of: u64,
}

/// The whole sweep is its only shard.
impl Default for Shard {
    fn default() -> Shard {
        Shard { number: 1, of: 1 }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

/// Seeds of a range that belong to a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seeds {
    /// The range, half-open.
    pub range: Range<u64>,
    /// The shard.
    pub shard: Shard,
}

impl From<Range<u64>> for Seeds {
    fn from(range: Range<u64>) -> Seeds {
        Seeds { range, shard: Shard::default() }
    }
}

impl fmt::Display for Seeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.range.start, self.range.end)?;
        if self.shard.of > 1 { write!(f, " shard {}", self.shard) } else { Ok(()) }
    }
}

impl Seeds {
    /// The first seed that is not below `from`.
    pub fn next(&self, from: u64) -> Option<u64> {
        let from = from.max(self.range.start);
        let Shard { number, of } = self.shard;
        let ahead = (number - 1 + of - from % of) % of;
        from.checked_add(ahead).filter(|seed| *seed < self.range.end)
    }

    /// Whether it is one of them.
    pub fn contains(&self, seed: u64) -> bool {
        self.range.contains(&seed) && seed % self.shard.of == self.shard.number - 1
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        let first = self.next(self.range.start);
        first.map_or(0, |first| (self.range.end - first).div_ceil(self.shard.of))
    }
}

/// Parses `1/4`.
pub fn shard(text: &str) -> Result<Shard, String> {
    let wrong =
        || format!("`{text}` is not a shard; write I/N with I from 1 to N, for example 1/4");
    let (number, of) = text.split_once('/').ok_or_else(wrong)?;
    let (number, of): (u64, u64) =
        (number.trim().parse().map_err(|_| wrong())?, of.trim().parse().map_err(|_| wrong())?);
    if of > SHARDS_MAX {
        return Err(format!("{of} shards; there may be {SHARDS_MAX}"));
    }
    if number == 0 || number > of { Err(wrong()) } else { Ok(Shard { number, of }) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(seeds: &Seeds) -> Vec<u64> {
        let mut out = Vec::new();
        let mut from = 0;
        while let Some(seed) = seeds.next(from) {
            out.push(seed);
            from = seed + 1;
        }
        out
    }

    #[test]
    fn shards_are_counted_from_one() {
        assert_eq!(shard("1/4"), Ok(Shard { number: 1, of: 4 }));
        for wrong in ["0/4", "5/4", "1", "1/0", "a/b", "1/99999", ""] {
            assert!(shard(wrong).is_err(), "{wrong}");
        }
        let seeds = Seeds { range: 10..20, shard: shard("2/4").unwrap() };
        assert_eq!(all(&seeds), [13, 17]);
        assert_eq!(seeds.to_string(), "10..20 shard 2/4");
        assert_eq!(Seeds::from(3..5).to_string(), "3..5");
    }

    proptest! {
        #[test]
        fn shards_share_a_range_and_nothing_else(from in 0u64..99, len in 1u64..99, of in 1u64..9) {
            let range = from..from + len;
            let mut union = Vec::new();
            for number in 1..=of {
                let seeds = Seeds { range: range.clone(), shard: Shard { number, of } };
                let mine = all(&seeds);
                prop_assert_eq!(mine.len() as u64, seeds.count());
                prop_assert!(mine.iter().all(|s| seeds.contains(*s)));
                union.extend(mine);
            }
            union.sort_unstable();
            prop_assert_eq!(union, range.collect::<Vec<_>>());
        }

        #[test]
        fn the_last_seeds_there_are(number in 1u64..5) {
            let seeds = Seeds { range: u64::MAX - 9..u64::MAX, shard: Shard { number, of: 4 } };
            prop_assert_eq!(all(&seeds).len() as u64, seeds.count());
        }
    }
}
