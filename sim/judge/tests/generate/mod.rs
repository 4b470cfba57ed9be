//! Random histories as lines of JSON: clients take turns, each operation takes effect at a moment between its
//! call and its return on a simple store, and then some answers are changed. Values come from tiny sets so
//! that they repeat, unless they shall be distinct.

#![allow(dead_code)]

use serde_json::{Value, json};

/// splitmix64.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

pub const MODELS: [&str; 4] = ["register", "cas-register", "kv", "log"];

/// What a history is made of.
#[derive(Clone)]
pub struct Shape {
    pub model: &'static str,
    pub ops: u64,
    pub clients: u64,
    pub keys: u64,
    /// Values come from 0 to this; 0: all are distinct.
    pub values: u64,
    /// In percent: reads, unknown outcomes, failures.
    pub reads: u64,
    pub unknown: u64,
    pub fail: u64,
    /// How many answers are changed.
    pub wrong: u64,
    /// Appends of kv are of strings, or of list items.
    pub texts: bool,
    /// How eagerly operations begin rather than end, in percent: concurrency.
    pub eager: u64,
}

struct Going {
    op: usize,
    client: u64,
    applied: bool,
}

/// What the store answers; absent is null.
pub fn apply(model: &str, state: &mut Value, f: &str, input: &[Value]) -> Value {
    match f {
        "read" | "get" => state.clone(),
        "write" | "put" => {
            *state = input[0].clone();
            Value::Null
        }
        "cas" => {
            let matches = *state == input[0];
            if matches {
                *state = input[1].clone();
            }
            json!(matches)
        }
        _ => {
            let position = state.as_array().map_or(0, Vec::len);
            *state = match (&*state, &input[0]) {
                (Value::String(a), Value::String(b)) => json!(format!("{a}{b}")),
                (Value::Null, Value::String(b)) if model == "kv" => json!(b),
                (Value::Array(items), item) => {
                    let mut items = items.clone();
                    items.push(item.clone());
                    json!(items)
                }
                (Value::Null, item) => json!([item]),
                (other, item) => json!([other, item]),
            };
            if model == "log" { json!(position) } else { Value::Null }
        }
    }
}

fn ask(shape: &Shape, rng: &mut Rng, n: u64) -> (&'static str, Vec<Value>) {
    let mut value = |tag: u64| match (shape.values, shape.model) {
        (0, "kv") if shape.texts => json!(format!("x {tag} {n} y")),
        (0, _) => json!(n * 2 + tag),
        (most, "kv") if shape.texts => {
            let item = rng.below(most);
            json!(["a", "b", "ab", "ba", "aa"][(item % 5) as usize])
        }
        (most, _) => json!(rng.below(most)),
    };
    let (a, b) = (value(0), value(1));
    let read = rng.chance(shape.reads);
    match shape.model {
        "kv" if read => ("get", vec![]),
        // List items need a list to begin with.
        "kv" if rng.chance(30) && shape.texts => ("put", vec![a]),
        "kv" if rng.chance(20) && !shape.texts => ("put", vec![json!([a])]),
        "kv" => ("append", vec![a]),
        _ if read => ("read", vec![]),
        "log" => ("append", vec![a]),
        "cas-register" if rng.chance(50) => ("cas", vec![a, b]),
        _ => ("write", vec![a]),
    }
}

/// A history as a line's object.
pub fn history(shape: &Shape, rng: &mut Rng) -> Value {
    let init = match (shape.model, rng.below(3)) {
        ("log", 0) => json!([0]),
        ("log", _) | ("kv", _) | (_, 0) => Value::Null,
        _ => json!(0),
    };
    let nil = if rng.chance(75) { "absent" } else { "any" };
    let mut states = vec![init.clone(); shape.keys as usize];
    if shape.model == "log" && init.is_null() {
        states[0] = json!([]);
    }
    let mut ops: Vec<Value> = Vec::new();
    let mut going: Vec<Going> = Vec::new();
    let mut dropped = 0;
    let mut position = 0;
    while (ops.len() as u64) < shape.ops || !going.is_empty() {
        let room = (going.len() as u64) < shape.clients && (ops.len() as u64) < shape.ops;
        let begin = room && (going.is_empty() || rng.chance(shape.eager));
        if begin {
            let (f, input) = ask(shape, rng, ops.len() as u64);
            let free = (0..shape.clients).find(|c| going.iter().all(|g| g.client != *c));
            let client = free.expect("there is room");
            let key = rng.below(shape.keys);
            ops.push(json!({
                "id": ops.len(), "client": client + 1000 * dropped, "f": f, "in": input, "call": position,
                "ret": null, "status": "unknown", "key": format!("k{key}"),
            }));
            going.push(Going { op: ops.len() - 1, client, applied: false });
            position += 1;
            continue;
        }
        let at = rng.below(going.len() as u64) as usize;
        if !going[at].applied {
            let fails = rng.chance(shape.fail);
            let op = &mut ops[going[at].op];
            let key = op["key"].as_str().unwrap()[1..].parse::<usize>().unwrap();
            let (f, input) = (op["f"].clone(), op["in"].clone());
            if fails {
                op["status"] = json!("fail");
            } else if rng.chance(90) || !rng.chance(shape.unknown) {
                let f = f.as_str().unwrap();
                op["out"] = apply(shape.model, &mut states[key], f, input.as_array().unwrap());
                op["status"] = json!("ok");
            }
            going[at].applied = true;
            continue;
        }
        let ended = going.swap_remove(at);
        let op = &mut ops[ended.op];
        if op["status"] == "ok" && rng.chance(shape.unknown) || op["status"] == "unknown" {
            op["status"] = json!("unknown");
            op["out"] = Value::Null;
            dropped += 1;
            if rng.chance(50) {
                continue;
            }
        }
        op["ret"] = json!(position);
        position += 1;
    }
    for _ in 0..shape.wrong {
        let at = rng.below(ops.len() as u64) as usize;
        if rng.chance(50) {
            swap(&mut ops, at, rng);
        } else {
            change(shape, &mut ops[at], rng);
        }
    }
    json!({"id": "h", "model": shape.model, "init": init, "nil_read": nil, "ops": ops})
}

/// Gives an operation the answer of another one of its kind and key: a plausible one, too early or late.
fn swap(ops: &mut [Value], at: usize, rng: &mut Rng) {
    let alike = |a: &Value, b: &Value| {
        ["f", "key", "status"].iter().all(|field| a[*field] == b[*field]) && a["out"] != b["out"]
    };
    let others: Vec<usize> = (0..ops.len()).filter(|i| alike(&ops[*i], &ops[at])).collect();
    if !others.is_empty() {
        let other = others[rng.below(others.len() as u64) as usize];
        ops[at]["out"] = ops[other]["out"].clone();
    }
}

/// Changes an answer, if it is one that can be wrong.
fn change(shape: &Shape, op: &mut Value, rng: &mut Rng) {
    let values = shape.values.max(3);
    let wrong = match (op["f"].as_str().unwrap(), shape.model) {
        ("get", _) if shape.texts => json!(["", "a", "b", "ab", "aba"][rng.below(5) as usize]),
        ("get", _) | ("read", "log") => {
            let len = rng.below(3);
            (0..len).map(|_| json!(rng.below(values))).collect()
        }
        ("read", _) => match rng.below(values + 1) {
            0 => Value::Null,
            n => json!(n - 1),
        },
        ("append", "log") => json!(rng.below(4)),
        ("cas", _) => json!(rng.chance(50)),
        _ => return,
    };
    if op["status"] == "ok" {
        op["out"] = wrong;
    }
}

/// A small history of a random shape.
pub fn small(rng: &mut Rng) -> Value {
    let model = MODELS[rng.below(4) as usize];
    let shape = Shape {
        model,
        ops: 2 + rng.below(6),
        clients: 1 + rng.below(4),
        keys: if model == "kv" { 1 + rng.below(2) } else { 1 },
        values: 2 + rng.below(3),
        reads: 30 + rng.below(40),
        unknown: 15 * rng.below(3),
        fail: 10 * rng.below(2),
        wrong: [0, 2, 3, 4][rng.below(4) as usize],
        texts: rng.chance(50),
        eager: 30 + rng.below(50),
    };
    history(&shape, rng)
}
