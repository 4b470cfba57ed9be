//! Should be seen now and then: a node got its state as a snapshot from a peer, because the log it
//! lacked was gone. What follows the blackout does not count.
//!
//! How often, per run, is the measure `snapshots_installed`. Source: Raft, section 7.

use kernel::check::{Check, Fact, Finding, View};
use kernel::registry::{CheckWord, Claim};
use raft_driver::event::RaftEvent;

use crate::{enters, plain};

/// The word `snapshot_installed`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "snapshot_installed",
        about: "a node got its state as a snapshot from a peer",
        claim: Claim::Sometimes,
        make: plain::<SnapshotInstalled>,
    }
}

#[derive(Default)]
struct SnapshotInstalled {
    dark: bool,
    count: u64,
}

impl Check for SnapshotInstalled {
    fn observe(&mut self, fact: &Fact<'_>, _: &View<'_>) -> Result<(), Finding> {
        self.dark |= enters(fact, "blackout");
        let installed = matches!(fact.get(), Some(RaftEvent::SnapshotInstalled { .. }));
        self.count += u64::from(installed && !self.dark);
        Ok(())
    }

    fn count(&self) -> u64 {
        self.count
    }
}
