//! A file of histories is untrusted: whatever a line holds, the answer is a history or one sentence, and a
//! history that was read can be judged.

mod generate;

use generate::{Rng, small};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Reads and judges. The error is what was said of the line.
fn takes(line: &str) -> Result<(), String> {
    let history = judge::parse(line)?;
    let judgement = history.judge(20_000);
    let events = history.events.len();
    assert!(judgement.prefix_events.is_none_or(|prefix| prefix <= events), "{line}");
    Ok(())
}

/// What the format is made of.
const WORDS: [&str; 31] = [
    "id",
    "model",
    "init",
    "nil_read",
    "ops",
    "client",
    "key",
    "f",
    "in",
    "out",
    "call",
    "ret",
    "status",
    "ok",
    "fail",
    "unknown",
    "register",
    "cas-register",
    "kv",
    "log",
    "kafka",
    "read",
    "write",
    "cas",
    "get",
    "put",
    "append",
    "send",
    "poll",
    "absent",
    "any",
];

/// The words that the format knows, and some that it does not.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![4 => prop::sample::select(&WORDS[..]).prop_map(str::to_string), 1 => any::<String>()]
}

/// Any JSON, of these words.
fn json_value() -> impl Strategy<Value = Value> {
    let number = prop_oneof![(0_i64..6).prop_map(Value::from), any::<i64>().prop_map(Value::from)];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number,
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        let object = prop::collection::vec((word(), inner.clone()), 0..5);
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(Value::from),
            object.prop_map(|fields| Value::from(serde_json::Map::from_iter(fields))),
        ]
    })
}

/// A history of right form with some field or other replaced.
fn bent() -> impl Strategy<Value = Value> {
    let place = (any::<prop::sample::Index>(), word(), json_value());
    (any::<u64>(), prop::collection::vec(place, 0..4)).prop_map(|(seed, changes)| {
        let mut line = small(&mut Rng(seed));
        for (at, word, value) in changes {
            let ops = line["ops"].as_array().map_or(0, Vec::len);
            let place = match at.index(ops + 1).checked_sub(1) {
                Some(op) => &mut line["ops"][op],
                None => &mut line,
            };
            // An operation that was bent before may be no object any more.
            if let Value::Object(fields) = place {
                fields.insert(word, value);
            }
        }
        line
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_text_is_too_much(line in any::<String>()) {
        let _ = takes(&line);
    }

    #[test]
    fn nor_is_any_json(value in json_value(), ops in prop::collection::vec(json_value(), 0..4)) {
        let _ = takes(&value.to_string());
        let line = json!({"id": 1, "model": value, "ops": ops});
        let _ = takes(&line.to_string());
    }

    #[test]
    fn nor_a_history_with_a_field_too_strange(line in bent()) {
        let _ = takes(&line.to_string());
    }

    #[test]
    fn nor_a_history_that_was_cut_and_patched(
        seed: u64, cut in any::<prop::sample::Index>(), patch: String, skip in 0_usize..4,
    ) {
        let line = small(&mut Rng(seed)).to_string();
        prop_assert!(takes(&line).is_ok(), "{line}");
        let chars: Vec<char> = line.chars().collect();
        let at = cut.index(chars.len());
        let after = chars[at..].iter().skip(skip);
        let bad: String = chars[..at].iter().copied().chain(patch.chars()).chain(after.copied()).collect();
        let _ = takes(&bad);
    }
}

#[test]
fn what_is_too_deep_or_too_long_is_refused() {
    let deep = format!("{{\"id\": 1, \"x\": {}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    assert!(takes(&deep).unwrap_err().starts_with("not JSON"));
    for call in [i64::MIN, i64::MAX - 1] {
        let op =
            json!({"id": 1, "f": "read", "in": [], "call": call, "ret": i64::MAX, "status": "ok"});
        let line = json!({"id": 1, "model": "register", "ops": [op]});
        takes(&line.to_string()).expect("the ends of the order are positions, too");
    }
}
