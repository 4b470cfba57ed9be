//! Verdicts: a history is linearizable if each of its parts is, for keys and registers are independent
//! (Herlihy and Wing's locality). One that is not is cut down to its shortest failing prefix: beginnings of
//! linearizable histories are linearizable, so the return that makes the difference is found by
//! bisection, from the furthest that the search came. What has not returned by then counts as
//! having no answer yet.
//!
//! One budget is for the verdict, small parts first, and a second one for the prefix. If the second runs out
//! the verdict stands and the prefix is the shortest that is known to fail.

use serde_json::Value;

use crate::history::{Part, Status, prefix};
use crate::ways::{Found, search};

/// What is said of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Some order of the operations explains every answer.
    Linearizable,
    /// None does.
    Violated,
    /// The budget was used up.
    Unknown,
}

impl Verdict {
    /// As JSON names it.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Linearizable => "linearizable",
            Verdict::Violated => "violated",
            Verdict::Unknown => "unknown",
        }
    }
}

/// Where a history is first impossible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which part.
    pub part: usize,
    /// Which of its operations.
    pub op: usize,
    /// The position of its return.
    pub at: i64,
}

/// A decision on parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The verdict.
    pub verdict: Verdict,
    /// For a violated one, where.
    pub failure: Option<Failure>,
}

/// Whether one part is linearizable, within a budget that it draws on.
pub fn decide(part: &Part, budget: &mut u64) -> Verdict {
    match search(part, budget) {
        Found::Order(_) => Verdict::Linearizable,
        Found::None { .. } => Verdict::Violated,
        Found::Budget => Verdict::Unknown,
    }
}

/// An order of operations, by index, that explains every answer of a part, if one is found.
pub fn explain(part: &Part, budget: &mut u64) -> Option<Vec<usize>> {
    match search(part, budget) {
        Found::Order(order) => Some(order),
        _ => None,
    }
}

/// Decides independent parts together. `budget` is in looks at a list of events; a hundred
/// million take about half a second.
pub fn decide_all(parts: &[Part], budget: u64) -> Decision {
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by_key(|i| parts[*i].ops.len());
    let (mut left, mut spare) = (budget, budget);
    let mut verdict = Verdict::Linearizable;
    let mut failure: Option<Failure> = None;
    for i in order {
        match search(&parts[i], &mut left) {
            Found::Order(_) => {}
            Found::Budget => {
                left = 0;
                if verdict == Verdict::Linearizable {
                    verdict = Verdict::Unknown;
                }
            }
            Found::None { reached } => {
                verdict = Verdict::Violated;
                let (op, at) = first_failure(&parts[i], reached, &mut spare);
                if failure.as_ref().is_none_or(|known| at < known.at) {
                    failure = Some(Failure { part: i, op, at });
                }
            }
        }
    }
    Decision { verdict, failure }
}

/// The operation whose return makes a violated part impossible, and the position of that return.
fn first_failure(part: &Part, reached: i64, budget: &mut u64) -> (usize, i64) {
    let ends = part.ops.iter().enumerate().filter_map(|(i, op)| Some((op.end()?, i)));
    let mut ends: Vec<(i64, usize)> = ends.collect();
    ends.sort_unstable();
    let fails =
        |at: i64, budget: &mut u64| matches!(search(&prefix(part, at), budget), Found::None { .. });
    // Prefixes before `low` can be explained; the one that ends with `high` cannot.
    let mut low = ends.partition_point(|(at, _)| *at < reached);
    let mut high = ends.len() - 1;
    let mut probe = low;
    while low < high {
        if fails(ends[probe].0, budget) {
            high = probe;
        } else {
            low = probe + 1;
        }
        probe = low + (high - low) / 2;
    }
    (ends[high].1, ends[high].0)
}

/// A history and what is needed to speak of it.
#[derive(Clone, Debug)]
pub struct History {
    /// As the file names it.
    pub id: Value,
    /// The positions of all events, rising.
    pub events: Vec<i64>,
    /// What happened.
    pub content: Content,
}

/// What a history is about.
#[derive(Clone, Debug)]
pub enum Content {
    /// Values that are read and written, each by itself.
    Parts(Vec<Part>),
    /// Partitions that are sent to and polled.
    Kafka(Vec<crate::kafka::KafkaOp>),
}

/// All that is said of a history.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// For a violated one, how many events its shortest failing prefix has.
    pub prefix_events: Option<usize>,
    /// For a violated one, the operation whose return ends that prefix.
    pub op: Option<Value>,
    /// For a log of partitions, what is wrong with it.
    pub anomalies: Vec<crate::kafka::Anomaly>,
    /// For parts, where they fail.
    pub failure: Option<Failure>,
}

/// The operation whose return makes an anomaly certain.
fn dated_by(ops: &[crate::kafka::KafkaOp], anomaly: &crate::kafka::Anomaly) -> Value {
    let dates = |op: &&crate::kafka::KafkaOp| op.status == Status::Ok && op.ret == Some(anomaly.at);
    ops.iter().find(dates).map_or_else(|| anomaly.op.clone(), |op| op.id.clone())
}

impl History {
    /// Judges it, within a budget in looks at a list of events.
    pub fn judge(&self, budget: u64) -> Judgement {
        let events_up_to = |at: i64| self.events.partition_point(|event| *event <= at);
        match &self.content {
            Content::Parts(parts) => {
                let Decision { verdict, failure } = decide_all(parts, budget);
                let op = failure.as_ref().map(|f| parts[f.part].ops[f.op].id.clone());
                let prefix_events = failure.as_ref().map(|f| events_up_to(f.at));
                Judgement { verdict, prefix_events, op, anomalies: Vec::new(), failure }
            }
            Content::Kafka(ops) => {
                let anomalies = crate::kafka::anomalies(ops);
                let first = anomalies.iter().min_by_key(|a| a.at);
                let verdict = first.map_or(Verdict::Linearizable, |_| Verdict::Violated);
                Judgement {
                    verdict,
                    prefix_events: first.map(|a| events_up_to(a.at)),
                    op: first.map(|a| dated_by(ops, a)),
                    anomalies,
                    failure: None,
                }
            }
        }
    }
}
