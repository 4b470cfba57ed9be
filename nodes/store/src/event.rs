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
    /// A value was encoded for the log.
    Encoded {
        /// Bytes that the client sent.
        raw: u64,
        /// Bytes that the log gets.
        body: u64,
    },
    /// A batch of commands was proposed.
    Batched {
        /// How many.
        commands: u64,
        /// Bytes of their values.
        bytes: u64,
    },
    /// A batch was not applied in time; its clients were told that its outcome is unknown.
    BatchGivenUp {
        /// Commands of the batch whose outcome is unknown.
        commands: u64,
    },
    /// The table's files find no room on the disk; nothing is applied until there is some.
    TableWaits,
    /// A command was being applied while the table had been closed already.
    AppliedAfterClose {
        /// The log index of the command.
        index: u64,
    },
}

impl StoreEvent {
    /// The words of all events, for triggers.
    pub const WORDS: &'static [&'static str] = &[
        "serving",
        "command_done",
        "command_repeated",
        "command_encoded",
        "batch_proposed",
        "batch_given_up",
        "table_waits",
        "applied_after_close",
    ];
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
            StoreEvent::Encoded { .. } => "command_encoded",
            StoreEvent::Batched { .. } => "batch_proposed",
            StoreEvent::BatchGivenUp { .. } => "batch_given_up",
            StoreEvent::TableWaits => "table_waits",
            StoreEvent::AppliedAfterClose { .. } => "applied_after_close",
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
            StoreEvent::Encoded { raw, body } => format!("encoded {raw} bytes as {body}"),
            StoreEvent::Batched { commands, bytes } => {
                format!("proposes {commands} commands of {bytes} bytes")
            }
            StoreEvent::BatchGivenUp { commands } => {
                format!("gave up {commands} commands of a batch, outcome unknown")
            }
            StoreEvent::TableWaits => "no room for the table".to_string(),
            StoreEvent::AppliedAfterClose { index } => {
                format!("the table was closed before {index} was applied")
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
            StoreEvent::Encoded { raw, body } => facts.num(*raw).num(*body),
            StoreEvent::Batched { commands, bytes } => facts.num(*commands).num(*bytes),
            StoreEvent::BatchGivenUp { commands } => facts.num(*commands),
            StoreEvent::TableWaits => facts,
            StoreEvent::AppliedAfterClose { index } => facts.num(*index),
        };
    }

    fn weight(&self) -> Weight {
        match self {
            StoreEvent::BatchGivenUp { .. }
            | StoreEvent::TableWaits
            | StoreEvent::AppliedAfterClose { .. } => Weight::Story,
            StoreEvent::Serving { .. } => Weight::Detail,
            StoreEvent::Done { .. }
            | StoreEvent::Repeated { .. }
            | StoreEvent::Encoded { .. }
            | StoreEvent::Batched { .. } => Weight::Fine,
        }
    }
}
