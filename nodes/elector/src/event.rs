//! What a node that only elects says beside what its consensus says: with which log it began.

use host::{Event, Facts};

/// A fact about such a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ElectorEvent {
    /// The host begins with a log that is as long as any, or long enough to win with.
    LogGiven {
        /// How many entries it has.
        entries: u64,
    },
    /// The host begins with a log so short that it cannot win: most of the others know better.
    LogShort {
        /// How many entries it has.
        entries: u64,
    },
    /// The host will not take part.
    Absent,
}

impl ElectorEvent {
    /// The words of all events, for triggers.
    pub const WORDS: &'static [&'static str] = &["log_given", "log_short", "absent"];
}

impl Event for ElectorEvent {
    fn source(&self) -> &'static str {
        "elector"
    }

    fn word(&self) -> &'static str {
        match self {
            ElectorEvent::LogGiven { .. } => "log_given",
            ElectorEvent::LogShort { .. } => "log_short",
            ElectorEvent::Absent => "absent",
        }
    }

    fn text(&self) -> String {
        match self {
            ElectorEvent::LogGiven { entries } => format!("begins with a log of {entries}"),
            ElectorEvent::LogShort { entries } => {
                format!("begins with a log of {entries}, too short to win")
            }
            ElectorEvent::Absent => "takes no part".to_string(),
        }
    }

    fn facts(&self, facts: &mut Facts<'_>) {
        match self {
            ElectorEvent::LogGiven { entries } | ElectorEvent::LogShort { entries } => {
                facts.num(*entries);
            }
            ElectorEvent::Absent => {}
        }
    }
}
