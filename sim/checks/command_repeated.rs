//! Should be seen now and then: a command came a second time, and its client's session answered it
//! instead of doing it again. Without that, a sweep has not tested that commands take effect once.
//!
//! Each node that meets the repetition in its log counts. What follows the blackout does not count;
//! that nothing is done twice is the business of `exactly_once`.

use std::any::TypeId;

use kernel::check::Fact;
use kernel::registry::{CheckWord, Claim};
use store::event::StoreEvent;

use crate::{STORE, Seen, Sighting, plain};

/// The word `command_repeated`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "command_repeated",
        about: "a client's command came again and was answered from its session",
        claim: Claim::Sometimes,
        make: plain::<Seen<CommandRepeated>>,
    }
}

#[derive(Default)]
struct CommandRepeated;

impl Sighting for CommandRepeated {
    const AMONG: TypeId = STORE;

    fn sees(&mut self, fact: &Fact<'_>) -> bool {
        matches!(fact.get(), Some(StoreEvent::Repeated { .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::seen;

    #[test]
    fn a_repetition_counts_and_the_first_time_does_not() {
        let done = StoreEvent::Done { session: 7, op: 1, index: 20 };
        let again = StoreEvent::Repeated { session: 7, op: 1, index: 24 };
        assert_eq!(seen::<CommandRepeated>(&[(0, &done), (1, &done)]), 0);
        assert_eq!(seen::<CommandRepeated>(&[(0, &done), (0, &again), (1, &again)]), 2);
    }
}
