//! Should be seen now and then: a power loss took bytes that were not synced. Without that, a sweep
//! has not tested what a disk may forget. Judged by the kernel's truth about the disk, not by what
//! a node notices at its next boot; the blackout at the end of the run does not count.

use kernel::check::{Check, Fact, Finding, View};
use kernel::event::KernelEvent;
use kernel::registry::{CheckWord, Claim};

use crate::{enters, plain};

/// The word `tail_lost`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "tail_lost",
        about: "a power loss took bytes that were not synced",
        claim: Claim::Sometimes,
        make: plain::<TailLost>,
    }
}

#[derive(Default)]
struct TailLost {
    dark: bool,
    count: u64,
}

impl Check for TailLost {
    fn observe(&mut self, fact: &Fact<'_>, _: &View<'_>) -> Result<(), Finding> {
        self.dark |= enters(fact, "blackout");
        let lost = matches!(fact.get(), Some(KernelEvent::PowerLost { lost: 1.., .. }));
        self.count += u64::from(lost && !self.dark);
        Ok(())
    }

    fn count(&self) -> u64 {
        self.count
    }
}
