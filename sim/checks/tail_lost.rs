//! Should be seen now and then: a power loss took bytes that were not synced. Without that, a sweep
//! has not tested what a disk may forget. Judged by the kernel's truth about the disk, not by what
//! a node notices at its next boot; the blackout at the end of the run does not count.

use kernel::check::{Check, Fact, Finding, Hears, View};
use kernel::event::KernelEvent;
use kernel::registry::{CheckWord, Claim};

use crate::{KERNEL, enters, plain};

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

impl TailLost {
    fn note(&mut self, fact: &Fact<'_>) {
        self.dark |= enters(fact, "blackout");
        let lost = matches!(fact.get(), Some(KernelEvent::PowerLost { lost: 1.., .. }));
        self.count += u64::from(lost && !self.dark);
    }
}

impl Check for TailLost {
    fn hears(&self) -> Hears {
        Hears::Only(&[KERNEL])
    }

    fn observe(&mut self, fact: &Fact<'_>, _: &View<'_>) -> Result<(), Finding> {
        self.note(fact);
        Ok(())
    }

    fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(events: &[KernelEvent]) -> u64 {
        let mut check = TailLost::default();
        for event in events {
            check.note(&Fact { at: 1, host: 0, boot: 1, event });
        }
        check.count()
    }

    #[test]
    fn only_bytes_that_are_gone_count() {
        let (kept, lost) = (
            KernelEvent::PowerLost { unsynced: 9, lost: 0 },
            KernelEvent::PowerLost { unsynced: 9, lost: 1 },
        );
        assert_eq!(count(&[KernelEvent::Crashed { tasks: 3 }, kept.clone()]), 0);
        assert_eq!(count(&[lost.clone(), kept, lost]), 2);
    }

    #[test]
    fn the_blackout_does_not_count() {
        let lost = KernelEvent::PowerLost { unsynced: 9, lost: 9 };
        let (load, blackout) =
            (KernelEvent::Phase { name: "load" }, KernelEvent::Phase { name: "blackout" });
        assert_eq!(count(&[load, lost.clone(), blackout, lost]), 1);
    }
}
