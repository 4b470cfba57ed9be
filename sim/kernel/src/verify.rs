//! Whether two runs of one seed are the same run. Digests are compared; if they differ, the checkpoints say
//! in which 1,024 entries the difference begins.
//! Polls and virtual time are compared too, for the digest holds neither.

use crate::digest::first_difference;
use crate::outcome::Outcome;

/// How two runs of one seed differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// One sentence.
    pub text: String,
}

/// What a run leaves for comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Print {
    /// The digest.
    pub digest: String,
    /// The digest after every 1,024th entry.
    pub checkpoints: Vec<u128>,
    /// How many entries there were.
    pub events: u64,
    /// How many polls, and how much virtual time: what the digest does not hold.
    pub effort: (u64, u64),
}

impl From<&Outcome> for Print {
    fn from(outcome: &Outcome) -> Print {
        Print {
            digest: outcome.digest.clone(),
            checkpoints: outcome.checkpoints.clone(),
            events: outcome.events,
            effort: (outcome.polls, outcome.virtual_ns),
        }
    }
}

/// Compares two runs; `None` if they are the same.
pub fn compare(a: &Print, b: &Print) -> Option<Difference> {
    if a == b {
        return None;
    }
    if a.digest == b.digest {
        let text = format!(
            "equal digests, but {} polls in {} ns and {} polls in {} ns",
            a.effort.0, a.effort.1, b.effort.0, b.effort.1
        );
        return Some(Difference { text });
    }
    let (from, to) = first_difference(&a.checkpoints, &b.checkpoints);
    let text = format!(
        "digest {} and {}; they part between entries {from} and {to} of {} and {}",
        &a.digest[..12.min(a.digest.len())],
        &b.digest[..12.min(b.digest.len())],
        a.events,
        b.events
    );
    Some(Difference { text })
}
