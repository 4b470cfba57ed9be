//! A history as it was recorded: operations between two positions in one total order of events. What a line
//! of JSON says is read by `line`; what a simulation recorded is put together by its check. Left out: when
//! things happened. Only the order counts.

use serde_json::Value;

use crate::datum::Datum;

/// How an operation ended, as its client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It was done, and answered.
    Ok,
    /// It surely was not done, and never will be.
    Fail,
    /// It may be done at any time after its call, or never.
    Unknown,
}

/// What was asked for, and what came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A read that found this; `None` says nothing.
    Read(Option<Datum>),
    /// The value becomes this one.
    Write(Datum),
    /// The value grows by an item, which came to stand at this position, counted from 0.
    Append(Datum, Option<u64>),
    /// The second value in place of the first, and whether that was done; `None`: if it could be.
    Cas(Datum, Datum, Option<bool>),
}

/// One operation on one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Op {
    /// As the history names it.
    pub id: Value,
    /// Who asked.
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

impl Op {
    /// Where it ends for those who may rely on its effect: nowhere unless it was done.
    pub fn end(&self) -> Option<i64> {
        if self.status == Status::Ok { self.ret } else { None }
    }
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Action::Read(None) => f.write_str("read -> anything"),
            Action::Read(Some(found)) => write!(f, "read -> {found}"),
            Action::Write(value) => write!(f, "write {value}"),
            Action::Append(item, None) => write!(f, "append {item}"),
            Action::Append(item, Some(at)) => write!(f, "append {item} -> {at}"),
            Action::Cas(old, new, None) => write!(f, "cas {old} {new}"),
            Action::Cas(old, new, Some(done)) => write!(f, "cas {old} {new} -> {done}"),
        }
    }
}

/// All operations on one value: a register, one key, one log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The key, where there are several.
    pub key: Option<String>,
    /// The value before all operations.
    pub init: Datum,
    /// In no particular order.
    pub ops: Vec<Op>,
}

/// The part of a history that lies up to an event. What returned later has not returned yet, and has no
/// answer.
pub fn prefix(part: &Part, last: i64) -> Part {
    let ops = part.ops.iter().filter(|op| op.call <= last).map(|op| {
        let mut op = op.clone();
        if op.ret.is_some_and(|ret| ret > last) && op.status != Status::Fail {
            op.ret = None;
            op.status = Status::Unknown;
        }
        op
    });
    Part { key: part.key.clone(), init: part.init.clone(), ops: ops.collect() }
}
