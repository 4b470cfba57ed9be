//! What is told of a violated history: the operation that makes it impossible, those around it, and what
//! its answer could have been. Possible answers are found by judging the prefix again with each in
//! place of the one that was given, so they are exact, as far as values occur in the history.
//! Left out: a proof. The shortest failing prefix is small enough to look at.

use crate::datum::Datum;
use crate::history::{Action, Op, Part, Status, prefix};
use crate::plan::in_lists;
use crate::verdict::{Failure, Verdict, decide, explain};

/// Answers that are tried.
const TRIED: usize = 64;
/// The budget for each of them, in looks at a list of events.
const EACH: u64 = 2_000_000;
/// Operations shown that ended before the failing one began.
const BEFORE: usize = 4;
/// Operations shown that overlap it.
const BESIDE: usize = 12;

/// The account of a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account<'a> {
    /// The operations around it by their calls, the failing one among them.
    pub around: Vec<&'a Op>,
    /// How many more overlap it.
    pub more: usize,
    /// What it could have answered.
    pub possible: Vec<String>,
}

/// Tells of a failure in a part.
pub fn account<'a>(part: &'a Part, failure: &Failure) -> Account<'a> {
    let failing = &part.ops[failure.op];
    let happened = |op: &&Op| op.status != Status::Fail && op.call <= failure.at;
    let others = part.ops.iter().filter(|op| happened(op) && !std::ptr::eq(*op, failing));
    let ended = |op: &&Op| op.end().is_some_and(|end| end < failing.call);
    let (mut before, mut beside): (Vec<&Op>, Vec<&Op>) = others.partition(ended);
    before.sort_by_key(|op| std::cmp::Reverse(op.end()));
    before.truncate(BEFORE);
    // Of those that overlap it the ones that began last tell most.
    beside.sort_by_key(|op| std::cmp::Reverse(op.call));
    let more = beside.len().saturating_sub(BESIDE);
    beside.truncate(BESIDE);
    let mut around: Vec<&Op> = before.into_iter().chain(beside).chain([failing]).collect();
    around.sort_by_key(|op| op.call);
    Account { around, more, possible: possible(part, failure) }
}

/// What the failing operation could have answered.
fn possible(part: &Part, failure: &Failure) -> Vec<String> {
    let cut = prefix(part, failure.at);
    let failing = &part.ops[failure.op];
    let Some(at) = cut.ops.iter().position(|op| op.id == failing.id && op.call == failing.call)
    else {
        return Vec::new();
    };
    let with = |action: Action| {
        let mut part = cut.clone();
        part.ops[at].action = action;
        part
    };
    let fits =
        |action: &Action| decide(&with(action.clone()), &mut EACH.clone()) == Verdict::Linearizable;
    let actions: Vec<Action> = match &failing.action {
        Action::Read(_) => {
            let values = values(&cut, &with(Action::Read(None)));
            values.into_iter().map(|value| Action::Read(Some(value))).collect()
        }
        Action::Append(item, _) => {
            (0..TRIED as u64).map(|at| Action::Append(item.clone(), Some(at))).collect()
        }
        Action::Cas(old, new, _) => {
            [true, false].map(|done| Action::Cas(old.clone(), new.clone(), Some(done))).to_vec()
        }
        Action::Write(_) => Vec::new(),
    };
    actions.iter().filter(|action| fits(action)).map(Action::to_string).collect()
}

/// The values that a read may be tried with: what it is before and after one order of all others, and
/// what was written, found or left by others.
fn values(cut: &Part, free: &Part) -> Vec<Datum> {
    let mut values = vec![cut.init.clone()];
    if let Some(order) = explain(free, &mut EACH.clone()) {
        let lists = in_lists(cut);
        let last = order.iter().fold(cut.init.clone(), |value, i| after(&value, cut, *i, lists));
        values.push(last);
    }
    for op in cut.ops.iter().filter(|op| op.status != Status::Fail) {
        match &op.action {
            Action::Read(Some(found)) => values.push(found.clone()),
            Action::Write(value) | Action::Cas(_, value, _) => values.push(value.clone()),
            _ => {}
        }
    }
    values.sort();
    values.dedup();
    values.truncate(TRIED);
    values
}

fn after(value: &Datum, part: &Part, op: usize, lists: bool) -> Datum {
    match &part.ops[op].action {
        Action::Read(_) => value.clone(),
        Action::Write(value) => value.clone(),
        Action::Append(item, _) => value.with(item, lists),
        Action::Cas(old, new, _) if old == value => new.clone(),
        Action::Cas(..) => value.clone(),
    }
}
