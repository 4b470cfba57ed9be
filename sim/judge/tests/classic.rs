//! Histories of textbooks, models, bad lines and the anomalies of partitioned logs, each told in a few words.

use judge::{Judgement, parse};
use serde_json::{Value, json};

/// `id client f in out call..ret`, one operation per line; `?` for an unknown outcome.
fn ops(text: &str) -> Value {
    let op = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [id, client, f, input, out, at] = words[..] else { panic!("{line}") };
        let value = |text: &str| serde_json::from_str::<Value>(text).expect(text);
        let (call, ret) = at.split_once("..").expect(at);
        let ret = ret.parse::<i64>().ok();
        let status = if ret.is_some() { "ok" } else { "unknown" };
        json!({
            "id": id, "client": client, "key": "k", "f": f, "in": value(input), "out": value(out),
            "call": call.parse::<i64>().unwrap(), "ret": ret, "status": status,
        })
    };
    text.trim().lines().map(op).collect()
}

fn judged(model: &str, init: Value, text: &str) -> Judgement {
    let line =
        json!({"id": 1, "model": model, "init": init, "nil_read": "absent", "ops": ops(text)});
    parse(&line.to_string()).expect("a history").judge(judge::BUDGET)
}

/// `linearizable`, or where it is violated.
fn verdict(model: &str, init: Value, text: &str) -> String {
    let judged = judged(model, init, text);
    match (judged.prefix_events, judged.op) {
        (Some(events), Some(op)) => format!("{} {events}", op.as_str().unwrap()),
        _ => judged.verdict.word().to_string(),
    }
}

#[test]
fn registers() {
    // A write that overlaps two reads of one client: the second may not go back.
    let there_and_back = "w a write [1] null 0..9\nr b read [] 1 1..2\ns b read [] 0 3..4";
    assert_eq!(verdict("register", json!(0), there_and_back), "s 5");
    let once = "w a write [1] null 0..9\nr b read [] 0 1..2\ns b read [] 1 3..4";
    assert_eq!(verdict("register", json!(0), once), "linearizable");
    // A write of unknown outcome may come late, but once only.
    let late =
        "w a write [1] null 0..?\nx b write [2] null 1..2\nr b read [] 2 3..4\ns b read [] 1 5..6";
    assert_eq!(verdict("register", json!(0), late), "linearizable");
    let twice = format!("{late}\ny b write [3] null 7..8\nt b read [] 1 9..10");
    assert_eq!(verdict("register", json!(0), &twice), "t 11");
    assert_eq!(verdict("register", Value::Null, "r a read [] null 0..1"), "linearizable");
    assert_eq!(verdict("register", json!(1), "r a read [] null 0..1"), "r 2");
}

#[test]
fn compare_and_set() {
    let both = "x a cas [0,1] true 0..3\ny b cas [0,2] true 1..2";
    assert_eq!(verdict("cas-register", json!(0), both), "x 4");
    let one = "x a cas [0,1] true 0..3\ny b cas [0,2] false 1..2";
    assert_eq!(verdict("cas-register", json!(0), one), "linearizable");
    let chain = "x a cas [0,1] null 0..?\ny b cas [1,2] true 1..2\nr b read [] 2 3..4";
    assert_eq!(verdict("cas-register", json!(0), chain), "linearizable");
    assert_eq!(verdict("cas-register", json!(0), "x a cas [0,1] false 0..1"), "x 2");
}

#[test]
fn keys_that_grow() {
    let texts =
        "a a append [\"x\"] null 0..3\nb b append [\"y\"] null 1..2\ng a get [] \"yx\" 4..5";
    assert_eq!(verdict("kv", Value::Null, texts), "linearizable");
    let lost = "a a append [\"x\"] null 0..1\nb b append [\"y\"] null 2..3\ng a get [] \"y\" 4..5";
    assert_eq!(verdict("kv", json!(""), lost), "g 6");
    let lists = "a a append [\"x\"] null 0..1\nb b append [2] null 2..3\ng a get [] [\"x\",2] 4..5";
    assert_eq!(verdict("kv", Value::Null, lists), "linearizable");
}

#[test]
fn logs() {
    let fork = "a a append [1] 0 0..3\nb b append [2] 1 1..2\nr a read [] [2,1] 4..5";
    assert_eq!(verdict("log", Value::Null, fork), "r 6");
    let same = "a a append [1] 0 0..3\nb b append [2] 0 1..2";
    assert_eq!(verdict("log", json!([]), same), "a 4");
    let gap = "a a append [1] 1 0..3\nu b append [2] null 1..?\nr a read [] [2,1] 4..5";
    assert_eq!(verdict("log", Value::Null, gap), "linearizable");
}

/// Names of anomalies, and the first operation that shows one.
fn anomalies(text: &str) -> String {
    let judged = judged("kafka", Value::Null, text);
    let names = judge::kafka::names(&judged.anomalies).join(" ");
    let op = judged.op.map_or(String::new(), |op| format!(" by {}", op.as_str().unwrap()));
    let events = judged.prefix_events.map_or(String::new(), |n| format!(" at {n}"));
    names + &op + &events
}

const SENT: &str = "a p send [0,10] 0 0..1\nb p send [0,11] 1 2..3\nc p send [0,12] 3 4..5\n";

#[test]
fn anomalies_of_partitions() {
    let polls = |text: &str| anomalies(&format!("{SENT}{text}"));
    assert_eq!(polls("x q poll [] [[0,0,10],[0,1,11],[0,3,12]] 6..7"), "");
    assert_eq!(polls("x q poll [] [[0,0,10],[0,1,11]] 6..7"), "unseen by x at 8");
    assert_eq!(polls("x q poll [] [[0,1,11],[0,3,12]] 6..7"), "lost-write by x at 8");
    let skip =
        "x q poll [] [[0,0,10]] 6..7\ny q poll [] [[0,3,12]] 8..9\nz r poll [] [[0,1,11]] 10..11";
    assert_eq!(polls(skip), "poll-skip by y at 10");
    let back = "x q poll [] [[0,0,10],[0,1,11]] 6..7\ny q poll [] [[0,1,11],[0,3,12]] 8..9";
    assert_eq!(polls(back), "nonmonotonic-poll by y at 10");
    let twice = "x q poll [] [[0,0,10],[0,1,11],[0,3,12],[0,4,10]] 6..7";
    assert_eq!(polls(twice), "duplicate by x at 8");
    let clash = "x q poll [] [[0,0,10],[0,1,11],[0,3,12]] 6..7\ny r poll [] [[0,1,99]] 8..9";
    assert_eq!(polls(clash), "inconsistent-offsets by y at 10");
    let sends =
        "a p send [0,10] 1 0..1\nb p send [0,11] 0 2..3\nx q poll [] [[0,0,11],[0,1,10]] 4..5";
    assert_eq!(anomalies(sends), "nonmonotonic-send by b at 4");
    assert_eq!(anomalies("a p send [0,10] null 0..?"), "");
}

/// What a lost answer may have brought was not passed over; going back stays wrong. A record that others
/// saw later dates the anomaly, and the operation that saw it is the one that is named.
#[test]
fn polls_of_unknown_outcome_and_what_is_known_later() {
    let late = "y r poll [] [[0,1,11]] 8..9";
    let poll = |text: &str| anomalies(&format!("{text}\n{late}"));
    assert_eq!(
        poll("x q poll [] [[0,0,10]] 0..1\nz q poll [] [[0,2,12]] 4..5"),
        "poll-skip by y at 6"
    );
    let lost = "x q poll [] [[0,0,10]] 0..1\nu q poll [] null 2..?\n";
    assert_eq!(poll(&format!("{lost}z q poll [] [[0,2,12]] 4..5")), "");
    let again = format!(
        "{lost}z q poll [] [[0,2,12]] 4..5\nv q poll [] [[0,4,14]] 6..7\nw s poll [] [[0,3,13]] 10..11"
    );
    assert_eq!(poll(&again), "poll-skip by w at 11");
    assert_eq!(poll(&format!("{lost}z q poll [] [[0,0,10]] 4..5")), "nonmonotonic-poll by z at 5");
    let other = lost.replace("u q", "u p");
    assert_eq!(poll(&format!("{other}z q poll [] [[0,2,12]] 4..5")), "poll-skip by y at 7");
}

#[test]
fn bad_lines_say_what_is_wrong() {
    let op = |change: &str| {
        let op =
            json!({"id": 1, "f": "read", "in": [], "out": 1, "call": 0, "ret": 1, "status": "ok"});
        let mut op = op.as_object().unwrap().clone();
        let change: Value = serde_json::from_str(change).unwrap();
        op.extend(change.as_object().unwrap().clone());
        let line = json!({"id": 1, "model": "register", "init": 1, "ops": [op]});
        parse(&line.to_string()).err().unwrap_or_default()
    };
    assert_eq!(op("{}"), "");
    assert!(op(r#"{"ret": 0}"#).contains("op 1: it returns at 0, not after its call at 0"));
    assert!(op(r#"{"call": 0.5}"#).contains("not a position"));
    assert!(op(r#"{"status": "good"}"#).contains("status `good`; ok, fail or unknown"));
    assert!(op(r#"{"f": "get"}"#).contains("no operation `get` here; there are read, write"));
    assert!(op(r#"{"f": "write"}"#).contains("`write` takes 1 values"));
    let says = |line: &str| parse(line).err().unwrap_or_default();
    assert!(says(r#"{"id": 1, "model": "stack", "ops": []}"#).contains("no model `stack`"));
    assert!(says("[]").contains("not a JSON object"));
    assert!(says(&"[".repeat(100_000)).contains("not JSON"));
    assert_eq!(says(r#"{"id": 1, "model": "kv", "ops": []}"#), "");
}

#[test]
fn a_budget_that_is_used_up_says_so() {
    let text = "w a write [1] null 0..9\nr b read [] 1 1..2\ns b read [] 0 3..4";
    let line = json!({"id": 1, "model": "register", "init": 0, "ops": ops(text)});
    let judged = parse(&line.to_string()).unwrap().judge(1);
    assert_eq!((judged.verdict.word(), judged.prefix_events), ("unknown", None));
}
