//! Histories that are hard to judge are decided within the default budget: many clients at once, few keys,
//! values that repeat, outcomes that nobody knows. With `--nocapture` it prints what each took.

mod generate;

use std::collections::BTreeMap;
use std::time::Instant;

use generate::{Rng, Shape, history};

const BASE: Shape = Shape {
    model: "kv",
    ops: 425,
    clients: 50,
    keys: 1,
    values: 0,
    reads: 50,
    unknown: 5,
    fail: 2,
    wrong: 0,
    texts: true,
    eager: 85,
};

/// Verdicts of a shape under some seeds.
fn verdicts(name: &str, shape: &Shape, seeds: u64) -> BTreeMap<&'static str, u64> {
    let mut verdicts = BTreeMap::new();
    let mut worst = 0;
    for seed in 0..seeds {
        let line = history(shape, &mut Rng(seed)).to_string();
        let began = Instant::now();
        let judged = judge::parse(&line).expect("a history").judge(judge::BUDGET);
        let took = began.elapsed().as_millis();
        worst = took.max(worst);
        *verdicts.entry(judged.verdict.word()).or_insert(0) += 1;
        assert_eq!(judged.verdict == judge::Verdict::Violated, judged.op.is_some());
    }
    println!("{name}: {verdicts:?}, the slowest in {worst} ms");
    verdicts
}

fn none_unknown(name: &str, shape: Shape) {
    for wrong in [0, 1, 40] {
        let shape = Shape { wrong, ..shape.clone() };
        let verdicts = verdicts(&format!("{name}, {wrong} answers changed"), &shape, 20);
        assert_eq!(verdicts.get("unknown"), None, "{name}");
        if wrong == 0 {
            assert_eq!(verdicts.get("violated"), None, "{name}");
        }
    }
}

#[test]
fn one_key_of_fifty_clients() {
    none_unknown("puts and appends of distinct texts to one key", BASE);
}

#[test]
fn several_keys_of_fifty_clients() {
    none_unknown("puts and appends to ten keys", Shape { keys: 10, ..BASE });
}

#[test]
fn values_that_repeat() {
    none_unknown(
        "puts and appends of five texts to ten keys",
        Shape { keys: 10, values: 5, ..BASE },
    );
}

#[test]
fn registers_of_fifty_clients() {
    let register = Shape { model: "register", ..BASE };
    none_unknown("distinct values", register.clone());
    none_unknown("three values", Shape { values: 3, ..register });
}

#[test]
fn logs_of_fifty_clients() {
    let log = Shape { model: "log", ..BASE };
    none_unknown("distinct items", log.clone());
    none_unknown("three items", Shape { values: 3, ..log });
}

#[test]
fn compare_and_set_of_ten_clients() {
    let cas = Shape { model: "cas-register", clients: 10, values: 5, reads: 40, ..BASE };
    none_unknown("five values", cas);
}

#[test]
fn compare_and_set_of_many_clients() {
    let cas = Shape { model: "cas-register", values: 5, reads: 35, unknown: 20, ..BASE };
    let ten = Shape { clients: 10, ops: 400, ..cas.clone() };
    let fifty = Shape { unknown: 10, ..cas };
    for (name, shape) in [("ten clients", ten), ("fifty clients", fifty)] {
        assert_eq!(verdicts(name, &shape, 20).get("linearizable"), Some(&20), "{name}");
    }
}
