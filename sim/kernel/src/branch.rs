//! Branches: a seed's run up to an instant, and other draws from there on.
//!
//! Up to the instant a branch is its seed's run, event by event. Then every draw that is keyed is drawn under
//! the branch's number: weather, loads, timeouts that nodes draw from then on, the rest of the plan (lines
//! that have not acted are forgotten, and those of a new plan take their place), and the interleaving of
//! tasks. What acts already goes on to its end. So a rare state that was reached once is searched many times
//! (`sweep --branch-at`), and the instant from which on a failure is inevitable can be found (`cause`).
//!
//! Left out: draws that are under way, such as an election timeout that a node has already drawn.
//! Source: VOPR's and Antithesis' exploration from snapshots; here the prefix is run again instead.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use host::unit::{nanos, parse_duration, show};

use crate::Time;
use crate::outcome::Outcome;
use crate::registry::Registry;
use crate::run::{Options, run};
use crate::scenario::Scenario;

/// Where a run leaves its seed's draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Branch {
    /// When, in nanoseconds since the start of the run; what is due at that very time comes after.
    pub at: Time,
    /// Which of the branches there.
    pub number: u64,
}

impl Branch {
    /// Parses `1.25s:3`.
    pub fn parse(text: &str) -> Result<Branch, String> {
        let wrong = || format!("`{text}` is not TIME:NUMBER, such as 1.25s:3");
        let (at, number) = text.split_once(':').ok_or_else(wrong)?;
        let at = nanos(parse_duration(at)?);
        Ok(Branch { at, number: number.trim().parse().map_err(|_| wrong())? })
    }
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", show(Duration::from_nanos(self.at)), self.number)
    }
}

/// Runs a seed, and where it reaches the `sometimes` of `Options::explore` also as many branches from right
/// after it. A seed that fails by itself needs none.
pub fn explore(
    scenario: &Arc<Scenario>,
    registry: &'static Registry,
    options: &Options,
) -> Result<(Outcome, Vec<(Branch, Outcome)>), String> {
    let outcome = run(scenario, registry, options)?;
    let branches = options.explore.as_ref().map_or(0, |(_, branches)| *branches);
    let mut found = Vec::new();
    if let Some(at) = outcome.reached_at.filter(|_| !outcome.failed()) {
        for number in 1..=branches {
            let branch = Branch { at: at + 1, number };
            let options = Options { branch: Some(branch), explore: None, ..options.clone() };
            found.push((branch, run(scenario, registry, &options)?));
        }
    }
    Ok((outcome, found))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "1s", "1:2", "1s:x", ":", "1s:-1"] {
            assert!(Branch::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_branch_survives_printing(at in 0u64..10_000_000_000_000, number: u64) {
            let branch = Branch { at, number };
            prop_assert_eq!(Branch::parse(&branch.to_string()), Ok(branch));
        }
    }
}
