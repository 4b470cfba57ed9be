//! What a node that only elects says beside what its consensus says: with which log it began, or that it
//! takes no part. Elections are told by the driver's events, and checks rest on those alone; these are for
//! whoever reads a story. Left out: whether a log is long enough to win.

use host::{Event, Facts};

/// A fact about such a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ElectorEvent {
    /// The host begins with a log that it did not write itself.
    LogGiven {
        /// How many entries it has.
        entries: u64,
    },
    /// The host will not take part.
    Absent,
}

impl ElectorEvent {
    /// The words of all events, for triggers.
    pub const WORDS: &'static [&'static str] = &["log_given", "absent"];
}

impl Event for ElectorEvent {
    fn source(&self) -> &'static str {
        "elector"
    }

    fn word(&self) -> &'static str {
        match self {
            ElectorEvent::LogGiven { .. } => "log_given",
            ElectorEvent::Absent => "absent",
        }
    }

    fn text(&self) -> String {
        match self {
            ElectorEvent::LogGiven { entries } => format!("begins with a log of {entries}"),
            ElectorEvent::Absent => "takes no part".to_string(),
        }
    }

    fn facts(&self, facts: &mut Facts<'_>) {
        match self {
            ElectorEvent::LogGiven { entries } => {
                facts.num(*entries);
            }
            ElectorEvent::Absent => {}
        }
    }
}
