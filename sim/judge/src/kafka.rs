//! Anomalies of partitions that clients send to and poll, as Jepsen's `jepsen.tests.kafka` names them.
//! All are judged against what anybody saw: for each partition the offsets that an acknowledged send or a
//! poll named, in order. Offsets that nobody named are no gaps, for brokers use some up themselves.
//!
//! `inconsistent-offsets`: one offset held two values. `duplicate`: one value stood at two offsets.
//! `nonmonotonic-send`: a client's later send came to a lower offset, or the same. `nonmonotonic-poll`,
//! `poll-skip`: within a poll, or from a client's poll to its next that brings something of the partition,
//! records went back (or stood), or passed over a known offset; nothing is passed over across a poll of that
//! client whose answer is lost. `lost-write`: an acknowledged send that no poll brought, below an offset that
//! one did. `unseen`: one above all that were; a history should end with polls that drain its partitions.
//!
//! An anomaly is dated by the return that makes it certain (of two facts that clash the later one, for
//! `unseen` the last), and a judgement names the operation that returns there. Left out: transactions,
//! rebalancing, reads of aborted sends. Cost: a sort and a few passes.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::datum::Datum;
use crate::history::Status;

/// What was asked of a partitioned log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A value for a partition, and the offset it was told.
    Send(String, Datum, Option<i64>),
    /// Partition, offset, value.
    Poll(Vec<(String, i64, Datum)>),
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaOp {
    /// As the history names it.
    pub id: Value,
    /// Who asked. Without one nothing is said of the order of its operations.
    pub client: Option<String>,
    /// What for.
    pub action: Action,
    /// The position of its call.
    pub call: i64,
    /// The position of its return, if it returned.
    pub ret: Option<i64>,
    /// How it ended.
    pub status: Status,
}

/// Something wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Anomaly {
    /// Its name.
    pub name: &'static str,
    /// The operation that it is about.
    pub op: Value,
    /// The position of the event that makes it certain.
    pub at: i64,
    /// One sentence.
    pub text: String,
}

/// A fact: at this position, this operation named the value at the offset.
struct Seen<'a> {
    value: &'a Datum,
    at: i64,
    op: &'a Value,
}

/// What is known of a partition.
#[derive(Default)]
struct Partition<'a> {
    /// Per offset the first that named it.
    offsets: BTreeMap<i64, Seen<'a>>,
    /// Per offset its place among them.
    ranks: BTreeMap<i64, usize>,
    /// Per value the first offset that held it.
    values: BTreeMap<&'a Datum, i64>,
    polled: BTreeMap<&'a Datum, ()>,
    /// The highest offset polled.
    top: Option<i64>,
}

/// All anomalies: for each name, each operation that shows it, by when it became certain.
pub fn anomalies(ops: &[KafkaOp]) -> Vec<Anomaly> {
    let done = |op: &&KafkaOp| op.status == Status::Ok && op.ret.is_some();
    let mut done: Vec<&KafkaOp> = ops.iter().filter(done).collect();
    done.sort_by_key(|op| op.ret);
    let mut found = Vec::new();
    let mut partitions: BTreeMap<&str, Partition<'_>> = BTreeMap::new();
    for op in &done {
        match &op.action {
            Action::Send(name, value, Some(offset)) => {
                let partition = partitions.entry(name).or_default();
                partition.names(name, *offset, value, op, &mut found);
            }
            Action::Send(name, ..) => {
                partitions.entry(name).or_default();
            }
            Action::Poll(records) => {
                for (name, offset, value) in records {
                    let partition = partitions.entry(name).or_default();
                    partition.names(name, *offset, value, op, &mut found);
                    partition.polled.insert(value, ());
                    partition.top = partition.top.max(Some(*offset));
                }
            }
        }
    }
    for partition in partitions.values_mut() {
        partition.ranks = partition.offsets.keys().copied().zip(0..).collect();
    }
    never_polled(&done, &partitions, &mut found);
    out_of_order(ops, &partitions, &mut found);
    found.sort_by(|a, b| (a.at, a.name).cmp(&(b.at, b.name)));
    found.dedup_by(|a, b| (a.name, &a.op) == (b.name, &b.op));
    found
}

impl<'a> Partition<'a> {
    /// Somebody named a value at an offset.
    fn names(
        &mut self,
        name: &str,
        offset: i64,
        value: &'a Datum,
        op: &'a KafkaOp,
        found: &mut Vec<Anomaly>,
    ) {
        let at = op.ret.unwrap_or(i64::MAX);
        let mut wrong = |name, text| found.push(Anomaly { name, op: op.id.clone(), at, text });
        match self.offsets.get(&offset) {
            Some(known) if known.value != value => {
                let (first, by) = (known.value, known.op);
                let text = format!("{name}@{offset} is {value}; to {by} it was {first}");
                wrong("inconsistent-offsets", text);
            }
            Some(_) => {}
            None => {
                self.offsets.insert(offset, Seen { value, at, op: &op.id });
            }
        }
        match self.values.get(value) {
            Some(known) if *known != offset => {
                let text = format!("{value} stands at {name}@{known} and at {name}@{offset}");
                wrong("duplicate", text);
            }
            Some(_) => {}
            None => {
                self.values.insert(value, offset);
            }
        }
    }

    /// The first offset known between two, exclusively.
    fn between(&self, a: i64, b: i64) -> Option<(i64, &Seen<'a>)> {
        let after = self.offsets.range(a.saturating_add(1)..b).next();
        after.map(|(offset, seen)| (*offset, seen))
    }
}

/// Acknowledged sends that no poll brought.
fn never_polled(
    done: &[&KafkaOp],
    partitions: &BTreeMap<&str, Partition<'_>>,
    found: &mut Vec<Anomaly>,
) {
    let end = done.last().and_then(|op| op.ret).unwrap_or(i64::MAX);
    let passes = passes(done);
    for op in done {
        let Action::Send(name, value, offset) = &op.action else { continue };
        let partition = &partitions[name.as_str()];
        if partition.polled.contains_key(value) {
            continue;
        }
        let acked = op.ret.unwrap_or(end);
        let below = offset.filter(|offset| partition.top.is_some_and(|top| *offset <= top));
        let Some(offset) = below else {
            let text = format!("{value} was acknowledged in {name} and never polled");
            found.push(Anomaly { name: "unseen", op: op.id.clone(), at: end, text });
            continue;
        };
        // The first poll that reached the offset or went beyond it.
        let passes = &passes[name.as_str()];
        let (_, passed, by) = &passes[passes.partition_point(|(top, ..)| *top < offset)];
        let (at, shows) = if *passed > acked { (*passed, *by) } else { (acked, &op.id) };
        let text =
            format!("{value} at {name}@{offset} was acknowledged, passed over and never polled");
        found.push(Anomaly { name: "lost-write", op: shows.clone(), at, text });
    }
}

/// Per partition, each poll that reached further than all before it: how far, when and which.
type Passes<'a> = BTreeMap<&'a str, Vec<(i64, i64, &'a Value)>>;

fn passes<'a>(done: &[&'a KafkaOp]) -> Passes<'a> {
    let mut passes: Passes<'a> = BTreeMap::new();
    for op in done {
        let Action::Poll(records) = &op.action else { continue };
        for (name, offset, _) in records {
            let steps = passes.entry(name).or_default();
            if steps.last().is_none_or(|(top, ..)| top < offset) {
                steps.push((*offset, op.ret.unwrap_or(i64::MAX), &op.id));
            }
        }
    }
    passes
}

/// What the order of a client's own operations shows. They come by their calls.
fn out_of_order(
    ops: &[KafkaOp],
    partitions: &BTreeMap<&str, Partition<'_>>,
    found: &mut Vec<Anomaly>,
) {
    let mut ops: Vec<&KafkaOp> = ops.iter().filter(|op| op.status != Status::Fail).collect();
    ops.sort_by_key(|op| op.call);
    // Per client and partition: the offset it sent to last, and the one it polled last, with how many
    // polls of the client had lost their answers by then.
    let mut sent: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    let mut polled: BTreeMap<(&str, &str), (i64, usize)> = BTreeMap::new();
    let mut own: BTreeMap<&str, (i64, usize)> = BTreeMap::new();
    let mut lost: BTreeMap<&str, usize> = BTreeMap::new();
    for op in ops {
        let Some(at) = op.ret.filter(|_| op.status == Status::Ok) else {
            if let (Action::Poll(_), Some(client)) = (&op.action, &op.client) {
                *lost.entry(client).or_default() += 1;
            }
            continue;
        };
        let mut wrong = |name, at, text| found.push(Anomaly { name, op: op.id.clone(), at, text });
        match (&op.action, &op.client) {
            (Action::Send(name, value, Some(offset)), Some(client)) => {
                let last = sent.insert((client, name), *offset);
                if let Some(last) = last.filter(|last| last >= offset) {
                    let text = format!("{value} came to {name}@{offset}, after {name}@{last}");
                    wrong("nonmonotonic-send", at, text);
                }
            }
            (Action::Poll(records), client) => {
                own.clear();
                let lost = client.as_ref().and_then(|client| lost.get(client.as_str()));
                let lost = lost.copied().unwrap_or(0);
                for (name, offset, _) in records {
                    let last = match client {
                        Some(client) => polled.insert((client, name), (*offset, lost)),
                        None => own.insert(name, (*offset, lost)),
                    };
                    let Some((last, before)) = last else { continue };
                    if *offset <= last {
                        let text = format!("{name}@{offset} was polled after {name}@{last}");
                        wrong("nonmonotonic-poll", at, text);
                    } else if before == lost
                        && let Some((skipped, seen)) =
                            partitions[name.as_str()].between(last, *offset)
                    {
                        let text = format!("from {name}@{last} to @{offset}, without @{skipped}");
                        wrong("poll-skip", at.max(seen.at), text);
                    }
                }
            }
            _ => {}
        }
    }
}

/// The names, in the order in which they are printed.
pub const ANOMALIES: [&str; 7] = [
    "lost-write",
    "duplicate",
    "inconsistent-offsets",
    "poll-skip",
    "nonmonotonic-poll",
    "nonmonotonic-send",
    "unseen",
];

/// Which anomalies there are, each name once.
pub fn names(anomalies: &[Anomaly]) -> Vec<&'static str> {
    let there = |name: &&&str| anomalies.iter().any(|a| a.name == **name);
    ANOMALIES.iter().filter(there).copied().collect()
}
