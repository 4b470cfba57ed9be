//! Measures: what nodes refused or had to give up. A peer's request beyond `body_limit`, a snapshot of
//! the own state that could not be taken, and a snapshot that could not be restored for want of
//! memory. Each is tried again, so a lasting cause is counted again and again. Left out: snapshots that
//! did not reach a peer, which their sender states.

use kernel::check::{Check, Fact, Finding, Hears, Measure, Unit, View};
use kernel::registry::{CheckWord, Claim};
use raft_driver::event::RaftEvent;

use crate::{RAFT, plain};

/// The word `refusals`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "refusals",
        about: "measures what nodes refused or gave up: bodies_refused, requests of peers beyond \
                body_limit; snapshots_failed, own snapshots that could not be taken; \
                restores_failed, snapshots for which there was no memory",
        claim: Claim::Measures,
        make: plain::<Refusals>,
    }
}

#[derive(Default)]
struct Refusals {
    bodies: u64,
    snapshots: u64,
    restores: u64,
}

impl Refusals {
    fn note(&mut self, event: &RaftEvent) {
        match event {
            RaftEvent::BodyRefused { .. } => self.bodies += 1,
            RaftEvent::SnapshotFailed { .. } => self.snapshots += 1,
            RaftEvent::RestoreFailed { .. } => self.restores += 1,
            _ => {}
        }
    }
}

impl Check for Refusals {
    fn hears(&self) -> Hears {
        Hears::Only(&[RAFT])
    }

    fn observe(&mut self, fact: &Fact<'_>, _: &View<'_>) -> Result<(), Finding> {
        if let Some(event) = fact.get() {
            self.note(event);
        }
        Ok(())
    }

    fn measures(&self, _: &View<'_>) -> Vec<Measure> {
        let one = |name, value| Measure { name, value, unit: Unit::Count };
        vec![
            one("bodies_refused", self.bodies),
            one("snapshots_failed", self.snapshots),
            one("restores_failed", self.restores),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_attempt_counts() {
        let mut check = Refusals::default();
        for _ in 0..2 {
            check.note(&RaftEvent::BodyRefused { group: 0, from: 1, bytes: 1 });
        }
        check.note(&RaftEvent::SnapshotFailed { group: 0, why: 1 });
        check.note(&RaftEvent::SnapshotSent { group: 0, to: 2, index: 1, ok: false });
        assert_eq!((check.bodies, check.snapshots, check.restores), (2, 1, 0));
        check.note(&RaftEvent::RestoreFailed { group: 0, index: 1, bytes: 1 });
        assert_eq!(check.restores, 1);
    }
}
