//! What must not change a verdict: other names for values, clients and keys, stretched positions, failed
//! operations left out, two histories of one key put together as two keys of one history.

mod generate;

use generate::{Rng, Shape, history, small};
use judge::{Judgement, Verdict};
use serde_json::{Value, json};

fn judged(line: &Value) -> Judgement {
    let history = judge::parse(&line.to_string()).unwrap_or_else(|e| panic!("{e}: {line}"));
    history.judge(judge::BUDGET)
}

/// Every operation changed.
fn mapped(line: &Value, change: impl Fn(&mut Value)) -> Value {
    let mut line = line.clone();
    line["ops"].as_array_mut().unwrap().iter_mut().for_each(change);
    line
}

/// A value under another name; appending still means the same.
fn renamed(value: &Value) -> Value {
    let letter =
        |c: char| if c.is_ascii_lowercase() { (b'z' - (c as u8 - b'a')) as char } else { c };
    match value {
        Value::Number(n) => json!(1000 - n.as_i64().unwrap()),
        Value::String(text) => text.chars().map(letter).collect::<String>().into(),
        Value::Array(items) => items.iter().map(renamed).collect(),
        other => other.clone(),
    }
}

fn lines() -> impl Iterator<Item = Value> {
    (0..1_500).map(|seed| small(&mut Rng(1_000_000 + seed)))
}

#[test]
fn values_clients_and_keys_have_any_names() {
    for line in lines() {
        let mut other = mapped(&line, |op| {
            op["in"] = renamed(&op["in"]);
            if op["f"] != "append" {
                op["out"] = renamed(&op["out"]);
            }
            op["client"] = json!(format!("client of {}", op["client"]));
            op["key"] = json!(format!("the key {}", op["key"]));
        });
        other["init"] = renamed(&line["init"]);
        assert_eq!(judged(&other).verdict, judged(&line).verdict, "{line}\n{other}");
        assert_eq!(judged(&other).prefix_events, judged(&line).prefix_events, "{line}\n{other}");
    }
}

#[test]
fn only_the_order_of_positions_counts() {
    for line in lines() {
        let stretch =
            |at: &Value| at.as_i64().map_or(Value::Null, |at| json!(at * at * 3 + at - 40));
        let mut other = mapped(&line, |op| {
            op["call"] = stretch(&op["call"]);
            op["ret"] = stretch(&op["ret"]);
        });
        other["ops"].as_array_mut().unwrap().reverse();
        let (a, b) = (judged(&line), judged(&other));
        assert_eq!(
            (a.verdict, a.prefix_events, a.op),
            (b.verdict, b.prefix_events, b.op),
            "{line}"
        );
    }
}

#[test]
fn what_failed_can_be_left_out() {
    for line in lines() {
        let mut other = line.clone();
        other["ops"].as_array_mut().unwrap().retain(|op| op["status"] != "fail");
        let (a, b) = (judged(&line), judged(&other));
        assert_eq!((a.verdict, a.op), (b.verdict, b.op), "{line}");
    }
}

#[test]
fn keys_are_independent() {
    let shape = |texts| Shape {
        model: "kv",
        ops: 7,
        clients: 3,
        keys: 1,
        values: 3,
        reads: 50,
        unknown: 15,
        fail: 5,
        wrong: 1,
        texts,
        eager: 60,
    };
    let mut seen = [0; 3];
    for seed in 0..1_500 {
        let shape = shape(seed % 2 == 0);
        let (a, b) = (history(&shape, &mut Rng(seed)), history(&shape, &mut Rng(seed + 70_000)));
        let mut both = mapped(&a, |op| {
            op["call"] = json!(op["call"].as_i64().unwrap() * 2);
            op["ret"] = op["ret"].as_i64().map_or(Value::Null, |at| json!(at * 2));
        });
        let other = mapped(&b, |op| {
            op["key"] = json!("another");
            op["call"] = json!(op["call"].as_i64().unwrap() * 2 + 1);
            op["ret"] = op["ret"].as_i64().map_or(Value::Null, |at| json!(at * 2 + 1));
        });
        both["ops"].as_array_mut().unwrap().extend(other["ops"].as_array().unwrap().clone());
        // One history has one word on what null says.
        let (mut a, mut b) = (a, b);
        a["nil_read"] = json!("absent");
        b["nil_read"] = json!("absent");
        both["nil_read"] = json!("absent");
        let violated = |line: &Value| judged(line).verdict == Verdict::Violated;
        let count = usize::from(violated(&a)) + usize::from(violated(&b));
        seen[count] += 1;
        assert_eq!(violated(&both), count > 0, "{a}\n{b}");
    }
    assert!(seen.iter().all(|n| *n > 50), "all cases occur: {seen:?}");
}
