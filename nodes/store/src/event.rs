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
    /// A client's command took effect in this node's state machine.
    Done {
        /// The client's session: the log index at which it was opened.
        session: u64,
        /// The operation, counted by the session.
        op: u64,
        /// The log index of the command.
        index: u64,
    },
    /// A client's command was there before: it was answered again and not done again.
    Repeated {
        /// The client's session.
        session: u64,
        /// The operation.
        op: u64,
        /// The log index of the repetition.
        index: u64,
    },
}

impl StoreEvent {
    /// The words of all events, for triggers.
    pub const WORDS: &'static [&'static str] = &["serving", "command_done", "command_repeated"];
}

impl Event for StoreEvent {
    fn source(&self) -> &'static str {
        "store"
    }

    fn word(&self) -> &'static str {
        match self {
            StoreEvent::Serving { .. } => "serving",
            StoreEvent::Done { .. } => "command_done",
            StoreEvent::Repeated { .. } => "command_repeated",
        }
    }

    fn text(&self) -> String {
        match self {
            StoreEvent::Serving { keys } => {
                format!("serves clients, {keys} keys from its snapshot")
            }
            StoreEvent::Done { session, op, index } => {
                format!("did op {op} of session {session} at {index}")
            }
            StoreEvent::Repeated { session, op, index } => {
                format!("answered op {op} of session {session} again at {index}")
            }
        }
    }

    fn facts(&self, facts: &mut Facts<'_>) {
        match self {
            StoreEvent::Serving { keys } => facts.num(*keys),
            StoreEvent::Done { session, op, index }
            | StoreEvent::Repeated { session, op, index } => {
                facts.num(*session).num(*op).num(*index)
            }
        };
    }

    fn weight(&self) -> Weight {
        match self {
            StoreEvent::Serving { .. } => Weight::Detail,
            StoreEvent::Done { .. } | StoreEvent::Repeated { .. } => Weight::Fine,
        }
    }
}
