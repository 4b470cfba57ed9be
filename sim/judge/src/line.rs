//! A line of a file of histories. The file is untrusted: whatever it holds, the answer is a history or one
//! sentence that says which operation is wrong and how. JSON nests at most 128 deep, a history holds at most
//! a million operations, and unknown fields are ignored.
//!
//! `call` and `ret` are whole numbers that order events; of events at one position calls come first, so
//! that doubt never accuses. What never returned (`ret` missing or null) may have happened, whatever
//! its status says, unless that is `fail`. The answer of an operation that is not `ok` counts for nothing.
//! A missing `out` is a null one. `init` is the value before all operations: for `kv` that of every key, or
//! an object that tells it key by key; for `log` a list. `write` and `put` of null make a value absent.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::datum::Datum;
use crate::history::{Action, Op, Part, Status};
use crate::kafka::{self, KafkaOp};
use crate::verdict::{Content, History};

/// The most operations in a history.
const OPS: usize = 1_000_000;

/// What the operations mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Model {
    Register,
    CasRegister,
    Kv,
    Log,
    Kafka,
}

const MODELS: [(&str, Model); 5] = [
    ("register", Model::Register),
    ("cas-register", Model::CasRegister),
    ("kv", Model::Kv),
    ("log", Model::Log),
    ("kafka", Model::Kafka),
];

impl Model {
    fn words(self) -> &'static [&'static str] {
        match self {
            Model::Register => &["read", "write"],
            Model::CasRegister => &["read", "write", "cas"],
            Model::Kv => &["get", "put", "append"],
            Model::Log => &["append", "read"],
            Model::Kafka => &["send", "poll"],
        }
    }
}

/// Reads a line.
///
/// # Errors
/// One sentence if it is not a history.
pub fn parse(line: &str) -> Result<History, String> {
    let value: Value = serde_json::from_str(line).map_err(|e| format!("not JSON: {e}"))?;
    let Value::Object(line) = value else { return Err("not a JSON object".to_string()) };
    let id = match line.get("id") {
        Some(id @ (Value::String(_) | Value::Number(_))) => id.clone(),
        Some(_) => return Err("`id` is neither a string nor a number".to_string()),
        None => return Err("`id` is missing".to_string()),
    };
    let model = model(&line)?;
    let nil_is_absent = match line.get("nil_read") {
        None | Some(Value::Null) => true,
        Some(Value::String(word)) if word == "absent" => true,
        Some(Value::String(word)) if word == "any" => false,
        Some(other) => return Err(format!("`nil_read` is {other}; \"absent\" or \"any\"")),
    };
    let ops = match line.get("ops") {
        Some(Value::Array(ops)) if ops.len() <= OPS => ops,
        Some(Value::Array(ops)) => return Err(format!("{} ops; at most {OPS}", ops.len())),
        Some(_) => return Err("`ops` is not a list".to_string()),
        None => return Err("`ops` is missing".to_string()),
    };
    let reader = Reader { model, nil_is_absent };
    let mut events = Vec::new();
    let mut read = Vec::new();
    for (i, op) in ops.iter().enumerate() {
        let raw = raw(op).map_err(|why| format!("op {}: {why}", i + 1))?;
        events.push(raw.call);
        events.extend(raw.ret);
        read.push(raw);
    }
    events.sort_unstable();
    let init = line.get("init").unwrap_or(&Value::Null);
    let content = reader.content(init, &read)?;
    Ok(History { id, events, content })
}

fn model(line: &Map<String, Value>) -> Result<Model, String> {
    let all = MODELS.map(|(word, _)| word).join(", ");
    match line.get("model") {
        Some(Value::String(text)) => {
            let known = MODELS.iter().find(|(word, _)| word == text);
            known.map(|m| m.1).ok_or(format!("there is no model `{text}`; there are {all}"))
        }
        Some(_) => Err("`model` is not a string".to_string()),
        None => Err(format!("`model` is missing; there are {all}")),
    }
}

/// An operation whose meaning depends on the model.
struct Raw<'a> {
    id: &'a Value,
    client: Option<String>,
    key: Option<String>,
    f: &'a str,
    input: &'a [Value],
    out: &'a Value,
    call: i64,
    ret: Option<i64>,
    status: Status,
}

impl Raw<'_> {
    /// Whether its answer counts.
    fn answered(&self) -> bool {
        self.status == Status::Ok
    }
}

fn raw(op: &Value) -> Result<Raw<'_>, String> {
    let Value::Object(op) = op else { return Err("not an object".to_string()) };
    let word = |name: &str| match op.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(Some(value.to_string())),
        Some(_) => Err(format!("`{name}` is neither a string nor a number")),
    };
    let id = op.get("id").ok_or("`id` is missing")?;
    if !matches!(id, Value::String(_) | Value::Number(_)) {
        return Err("`id` is neither a string nor a number".to_string());
    }
    let position = |name: &str| match op.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let whole = value.as_i64().or_else(|| match Datum::of(value) {
                Datum::Int(n) => Some(n),
                _ => None,
            });
            whole.map(Some).ok_or(format!("`{name}` is {value}, not a position"))
        }
    };
    let call = position("call")?.ok_or("`call` is missing")?;
    let ret = position("ret")?;
    if let Some(ret) = ret.filter(|ret| *ret <= call) {
        return Err(format!("it returns at {ret}, not after its call at {call}"));
    }
    let status = match (op.get("status").and_then(Value::as_str), ret) {
        (Some("ok"), Some(_)) => Status::Ok,
        (Some("fail"), _) => Status::Fail,
        (Some("ok" | "unknown"), _) => Status::Unknown,
        (Some(other), _) => return Err(format!("status `{other}`; ok, fail or unknown")),
        (None, _) => return Err("`status` is missing, or no string".to_string()),
    };
    let f = op.get("f").and_then(Value::as_str).ok_or("`f` is missing, or no string")?;
    let input = match op.get("in") {
        None | Some(Value::Null) => &[][..],
        Some(Value::Array(input)) => &input[..],
        Some(_) => return Err("`in` is not a list".to_string()),
    };
    let out = op.get("out").unwrap_or(&Value::Null);
    let (client, key) = (word("client")?, word("key")?);
    Ok(Raw { id, client, key, f, input, out, call, ret, status })
}

struct Reader {
    model: Model,
    nil_is_absent: bool,
}

impl Reader {
    fn content(&self, init: &Value, ops: &[Raw<'_>]) -> Result<Content, String> {
        let at = |i: usize| move |why| format!("op {}: {why}", i + 1);
        if self.model == Model::Kafka {
            let ops = ops.iter().enumerate().map(|(i, op)| self.kafka(op).map_err(at(i)));
            return Ok(Content::Kafka(ops.collect::<Result<_, String>>()?));
        }
        let mut parts: BTreeMap<Option<&str>, Part> = BTreeMap::new();
        for (i, op) in ops.iter().enumerate() {
            let action = self.action(op).map_err(at(i))?;
            let key = match (self.model, &op.key) {
                (Model::Kv, None) => return Err(at(i)("`key` is missing".to_string())),
                (Model::Kv, Some(key)) => Some(key.as_str()),
                _ => None,
            };
            let init = self.init(init, key)?;
            let empty = || Part { key: key.map(str::to_string), init, ops: Vec::new() };
            let part = parts.entry(key).or_insert_with(empty);
            part.ops.push(Op {
                id: op.id.clone(),
                client: op.client.clone(),
                action,
                call: op.call,
                ret: op.ret,
                status: op.status,
            });
        }
        self.init(init, None)?;
        Ok(Content::Parts(parts.into_values().collect()))
    }

    fn init(&self, init: &Value, key: Option<&str>) -> Result<Datum, String> {
        match (self.model, init) {
            (Model::Log, Value::Null) => Ok(Datum::List(Vec::new())),
            (Model::Log, Value::Array(_)) => Ok(Datum::of(init)),
            (Model::Log, other) => Err(format!("`init` is {other}; a log begins as a list")),
            (Model::Kv, Value::Object(keys)) => {
                Ok(key.and_then(|key| keys.get(key)).map_or(Datum::Absent, Datum::of))
            }
            (_, init) => Ok(Datum::of(init)),
        }
    }

    /// The arguments, if there are as many as there should be.
    fn arguments<'a, const N: usize>(&self, op: &Raw<'a>) -> Result<&'a [Value; N], String> {
        let count = op.input.len();
        op.input.try_into().map_err(|_| format!("`{}` takes {N} values in `in`, not {count}", op.f))
    }

    fn unknown<T>(&self, f: &str) -> Result<T, String> {
        let all = self.model.words().join(", ");
        Err(format!("there is no operation `{f}` here; there are {all}"))
    }

    fn action(&self, op: &Raw<'_>) -> Result<Action, String> {
        if !self.model.words().contains(&op.f) {
            return self.unknown(op.f);
        }
        match op.f {
            "read" | "get" => {
                self.arguments::<0>(op)?;
                self.read(op)
            }
            "write" | "put" => {
                let [value] = self.arguments(op)?;
                Ok(Action::Write(Datum::of(value)))
            }
            "append" => {
                let [item] = self.arguments(op)?;
                Ok(Action::Append(Datum::of(item), self.position(op)?))
            }
            _ => {
                let [old, new] = self.arguments(op)?;
                let done = match op.out {
                    Value::Bool(done) => Some(*done),
                    Value::Null => None,
                    _ if !op.answered() => None,
                    other => return Err(format!("a cas answers true or false, not {other}")),
                };
                Ok(Action::Cas(Datum::of(old), Datum::of(new), done))
            }
        }
    }

    fn read(&self, op: &Raw<'_>) -> Result<Action, String> {
        let found = match (self.model, op.out) {
            _ if !op.answered() => None,
            (_, Value::Null) if !self.nil_is_absent => None,
            (Model::Log, Value::Null) => Some(Datum::List(Vec::new())),
            (Model::Log, Value::Array(_)) => Some(Datum::of(op.out)),
            (Model::Log, other) => return Err(format!("a log reads as a list, not {other}")),
            (_, out) => Some(Datum::of(out)),
        };
        Ok(Action::Read(found))
    }

    fn position(&self, op: &Raw<'_>) -> Result<Option<u64>, String> {
        if self.model != Model::Log || !op.answered() || op.out.is_null() {
            return Ok(None);
        }
        let told = op.out.as_u64().map(Some);
        told.ok_or(format!("an append answers a position from 0 on, not {}", op.out))
    }

    fn kafka(&self, op: &Raw<'_>) -> Result<KafkaOp, String> {
        let action = match op.f {
            "send" => {
                let [partition, value] = self.arguments(op)?;
                let offset = match op.out {
                    out if !op.answered() || out.is_null() => None,
                    out => Some(out.as_i64().ok_or(format!("{out} is not an offset"))?),
                };
                kafka::Action::Send(partition_name(partition)?, Datum::of(value), offset)
            }
            "poll" => {
                self.arguments::<0>(op)?;
                kafka::Action::Poll(if op.answered() { records(op.out)? } else { Vec::new() })
            }
            other => return self.unknown(other),
        };
        Ok(KafkaOp {
            id: op.id.clone(),
            client: op.client.clone(),
            action,
            call: op.call,
            ret: op.ret,
            status: op.status,
        })
    }
}

fn partition_name(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(n) => Ok(n.to_string()),
        other => Err(format!("{other} is no partition: neither a string nor a number")),
    }
}

fn records(out: &Value) -> Result<Vec<(String, i64, Datum)>, String> {
    let wrong = || "a poll answers a list of [partition, offset, value]".to_string();
    match out {
        Value::Null => Ok(Vec::new()),
        Value::Array(records) => {
            let record = |record: &Value| {
                let Some([partition, offset, value]) = record.as_array().map(Vec::as_slice) else {
                    return Err(wrong());
                };
                let offset = offset.as_i64().ok_or(format!("{offset} is not an offset"))?;
                Ok((partition_name(partition)?, offset, Datum::of(value)))
            };
            records.iter().map(record).collect()
        }
        _ => Err(wrong()),
    }
}
