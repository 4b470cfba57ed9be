//! The search against brute force: every order that respects real time, with every choice of the operations
//! whose outcome nobody knows, on whole histories without a word about keys being independent.
//! Verdict, length
//! of the shortest failing prefix and offending operation must be the same. `JUDGE_HISTORIES=100000` makes
//! it a hundred thousand.

mod generate;

use generate::{Rng, apply, small};
use serde_json::{Value, json};
use std::collections::BTreeMap;

type States = BTreeMap<String, Value>;

/// Whether some order explains the events up to `last`. Positions are those of a line.
fn explained(line: &Value, last: i64) -> bool {
    let called = |op: &&Value| op["status"] != "fail" && op["call"].as_i64().unwrap() <= last;
    let ops: Vec<&Value> = line["ops"].as_array().unwrap().iter().filter(called).collect();
    permute(line, &ops, last, &mut vec![false; ops.len()], &States::new())
}

/// Where the operation has to be done by.
fn end(op: &Value, last: i64) -> Option<i64> {
    let ret = op["ret"].as_i64()?;
    (op["status"] == "ok" && ret <= last).then_some(ret)
}

fn permute(line: &Value, ops: &[&Value], last: i64, done: &mut [bool], states: &States) -> bool {
    let left = |done: &[bool]| (0..ops.len()).filter(|i| !done[*i]).collect::<Vec<usize>>();
    let left = left(done);
    let due = left.iter().filter_map(|i| end(ops[*i], last)).min();
    let Some(due) = due else { return true };
    for i in left {
        if ops[i]["call"].as_i64().unwrap() > due {
            continue;
        }
        let (model, f) = (line["model"].as_str().unwrap(), ops[i]["f"].as_str().unwrap());
        let key = if model == "kv" { ops[i]["key"].to_string() } else { String::new() };
        let mut state = states.get(&key).cloned().unwrap_or(match (model, &line["init"]) {
            ("log", Value::Null) => json!([]),
            (_, init) => init.clone(),
        });
        let answer = apply(model, &mut state, f, ops[i]["in"].as_array().unwrap());
        let said = &ops[i]["out"];
        let silent = end(ops[i], last).is_none()
            || matches!(f, "write" | "put")
            || (f == "append" && model == "kv")
            || (said.is_null() && (line["nil_read"] == "any" || matches!(f, "append" | "cas")));
        let empty = model == "log" && f == "read" && said.is_null() && answer == json!([]);
        if !silent && !empty && answer != *said {
            continue;
        }
        let mut then = states.clone();
        then.insert(key, state);
        done[i] = true;
        let found = permute(line, ops, last, done, &then);
        done[i] = false;
        if found {
            return true;
        }
    }
    false
}

/// All positions of events, and which operation returns there.
fn events(line: &Value) -> BTreeMap<i64, Value> {
    let mut events = BTreeMap::new();
    for op in line["ops"].as_array().unwrap() {
        events.insert(op["call"].as_i64().unwrap(), Value::Null);
        if let Some(ret) = op["ret"].as_i64() {
            events.insert(ret, op["id"].clone());
        }
    }
    events
}

#[test]
fn search_and_brute_force_agree() {
    let count = std::env::var("JUDGE_HISTORIES").ok().and_then(|n| n.parse().ok());
    let count: u64 = count.unwrap_or(4_000);
    let mut violated = BTreeMap::new();
    for seed in 0..count {
        let line = small(&mut Rng(seed));
        let history = judge::parse(&line.to_string()).unwrap_or_else(|e| panic!("{e}: {line}"));
        let judged = history.judge(judge::BUDGET);
        let says = (judged.verdict.word(), judged.prefix_events, judged.op);
        let events = events(&line);
        let expected = match explained(&line, i64::MAX) {
            true => ("linearizable", None, None),
            false => {
                let first = events.iter().zip(1..).find(|((at, _), _)| !explained(&line, **at));
                let ((_, op), count) = first.expect("the whole cannot be explained");
                ("violated", Some(count), Some(op.clone()))
            }
        };
        assert_eq!(says, expected, "seed {seed}: {line}");
        let bad = violated.entry(line["model"].to_string()).or_insert((0, 0));
        *bad = (bad.0 + 1, bad.1 + u64::from(says.0 == "violated"));
    }
    println!("{count} histories, all the same; per model (histories, violated): {violated:?}");
    assert!(
        violated.values().all(|(all, bad)| bad * 5 > *all && bad * 5 < all * 4),
        "{violated:?}"
    );
}
