//! Whether two runs of one seed are the same run. Digests are compared; if they differ, the checkpoints say
//! in which 1,024 entries the difference begins.

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
}

impl From<&Outcome> for Print {
    fn from(outcome: &Outcome) -> Print {
        Print {
            digest: outcome.digest.clone(),
            checkpoints: outcome.checkpoints.clone(),
            events: outcome.events,
        }
    }
}

/// Compares two runs; `None` if they are the same.
pub fn compare(a: &Print, b: &Print) -> Option<Difference> {
    if a.digest == b.digest && a.events == b.events {
        return None;
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
