//! Whether a recorded history could have happened. Registers, keys and logs are judged by
//! linearizability: some order of the operations, each between its call and its return, must
//! explain every answer. Partitioned logs are judged by the anomalies that Jepsen's kafka workload names.
//!
//! Pure: it reads no file, knows no clock and prints nothing; the same history and budget give the same
//! judgement everywhere. The simulator's own check uses it, and so does the command `judge`, for histories
//! that were recorded elsewhere. Left out: weaker models such as sequential or causal consistency,
//! and transactions.

mod account;
mod datum;
mod history;
pub mod kafka;
mod line;
mod plan;
mod search;
mod tried;
mod verdict;
mod ways;

pub use account::{Account, account};
pub use datum::Datum;
pub use history::{Action, Op, Part, Status, prefix};
pub use line::parse;
pub use verdict::{
    Content, Decision, Failure, History, Judgement, Verdict, decide, decide_all, explain,
};

/// The budget of those who name none, in looks at a list of events.
pub const BUDGET: u64 = 1_000_000_000;
