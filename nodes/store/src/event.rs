//! What the store says beside what its consensus says.
//! Elections, log and snapshots are told by the Raft driver's events; here is only what clients can notice,
//! and of that only what no other event implies.

use host::{Event, Facts, Weight};

/// A fact about a store node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreEvent {
    /// Clients can connect.
    Serving {
        /// Keys that the snapshot brought.
        keys: u64,
    },
}

impl Event for StoreEvent {
    fn source(&self) -> &'static str {
        "store"
    }

    fn word(&self) -> &'static str {
        "serving"
    }

    fn text(&self) -> String {
        let StoreEvent::Serving { keys } = self;
        format!("serves clients, {keys} keys from its snapshot")
    }

    fn facts(&self, facts: &mut Facts<'_>) {
        let StoreEvent::Serving { keys } = self;
        facts.num(*keys);
    }

    fn weight(&self) -> Weight {
        Weight::Detail
    }
}
