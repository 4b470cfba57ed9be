//! Answers as text and as JSON, and the exit codes that go with them. `get` writes the value and nothing
//! else, byte for byte, so that it can be piped; `range` writes a line `key, version, value` for each
//! key, separated by tabs and escaped as Rust's byte strings are. Everything that is no result goes
//! to stderr. JSON carries bytes as `value` where they are text and as `value_hex` where not.
//!
//! Left out: colours, and any form that only one command would have.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use bytes::Bytes;
use host::{Member, Members};
use serde_json::{Value, json};
use store::client::{Found, Item, Listing, Membership, Outcome, Status};

use super::args::Format;
use super::{Failure, say};

const MISMATCH: &str = "the key is not at the expected version";

/// Who the node at an address is and what it says of itself, or why it says nothing.
pub type Told = Result<(u64, Status), String>;

/// What became of a command.
pub enum Answer {
    /// It is done; a transfer has no version.
    Done { version: Option<u64> },
    /// A value was found.
    Value { version: u64, value: Bytes },
    /// Keys were listed; there may be more behind the last one.
    Items { items: Vec<Item>, more: bool },
    /// Who belongs to the cluster.
    Members { members: Membership },
    /// The key is at another version, so nothing was done.
    Mismatch { version: u64 },
    /// Surely not done.
    NotDone { why: String },
    /// Nobody knows whether it is done.
    Unknown { why: String },
    /// Nobody answered what only asks.
    Silence { why: String },
}

impl From<Outcome> for Answer {
    fn from(outcome: Outcome) -> Answer {
        match outcome {
            Outcome::Ok { version } => Answer::Done { version: Some(version).filter(|v| *v > 0) },
            Outcome::Mismatch { version } => Answer::Mismatch { version },
            Outcome::Fail(why) => Answer::NotDone { why: why.to_string() },
            Outcome::Unknown => {
                Answer::Unknown { why: "it may have been done, or may still be".to_string() }
            }
        }
    }
}

impl From<Found> for Answer {
    fn from(found: Found) -> Answer {
        match found {
            Found::Value { version, value, .. } => Answer::Value { version, value },
            Found::Missing => Answer::NotDone { why: "there is no such key".to_string() },
            Found::Fail(why) => Answer::Silence { why: why.to_string() },
        }
    }
}

impl From<Listing> for Answer {
    fn from(listing: Listing) -> Answer {
        match listing {
            Listing::Items { items, more } => Answer::Items { items, more },
            Listing::Fail(why) => Answer::Silence { why: why.to_string() },
        }
    }
}

impl Answer {
    fn word(&self) -> &'static str {
        match self {
            Answer::Done { .. } | Answer::Value { .. } => "done",
            Answer::Items { .. } | Answer::Members { .. } => "done",
            Answer::Mismatch { .. } | Answer::NotDone { .. } => "not_done",
            Answer::Unknown { .. } => "unknown",
            Answer::Silence { .. } => "no_answer",
        }
    }

    fn code(&self) -> u8 {
        match self {
            Answer::Done { .. } | Answer::Value { .. } => 0,
            Answer::Items { .. } | Answer::Members { .. } => 0,
            Answer::Mismatch { .. } | Answer::NotDone { .. } => 1,
            Answer::Unknown { .. } | Answer::Silence { .. } => 6,
        }
    }

    /// Why there is no result.
    pub fn why(&self) -> Option<&str> {
        match self {
            Answer::NotDone { why } | Answer::Unknown { why } | Answer::Silence { why } => {
                Some(why)
            }
            _ => None,
        }
    }

    fn json(&self, command: &str) -> Value {
        let mut object = json!({"command": command, "outcome": self.word()});
        match self {
            Answer::Done { version: None } => {}
            Answer::Done { version: Some(version) } => object["version"] = (*version).into(),
            Answer::Value { version, value } => {
                object["version"] = (*version).into();
                put_bytes(&mut object, "value", value);
            }
            Answer::Items { items, more } => {
                let items = items.iter().map(|item| {
                    let mut object = json!({"version": item.version});
                    put_bytes(&mut object, "key", &item.key);
                    put_bytes(&mut object, "value", &item.value);
                    object
                });
                object["items"] = items.collect();
                object["more"] = (*more).into();
            }
            Answer::Members { members } => {
                let Membership { index, voters, outgoing, learners } = members;
                object["since"] = (*index).into();
                object["voters"] = voters.clone().into();
                object["old_voters"] = outgoing.clone().into();
                object["learners"] = learners.clone().into();
            }
            Answer::Mismatch { version } => {
                object["version"] = (*version).into();
                object["why"] = MISMATCH.into();
            }
            Answer::NotDone { why } | Answer::Unknown { why } | Answer::Silence { why } => {
                object["why"] = (&**why).into();
            }
        }
        object
    }
}

/// Prints what became of a command.
pub fn answer(command: &str, answer: &Answer, format: Format) -> Result<ExitCode, Failure> {
    match (format, answer) {
        (Format::Json, _) => out(format!("{}\n", answer.json(command)).as_bytes())?,
        (Format::Human, Answer::Done { version: None }) => out(b"done\n")?,
        (Format::Human, Answer::Done { version: Some(version) }) => {
            out(format!("done, version {version}\n").as_bytes())?;
        }
        (Format::Human, Answer::Value { value, .. }) => out(value)?,
        (Format::Human, Answer::Items { items, more }) => {
            let line = |item: &Item| {
                let (key, value) = (item.key.escape_ascii(), item.value.escape_ascii());
                format!("{key}\t{}\t{value}\n", item.version)
            };
            out(items.iter().map(line).collect::<String>().as_bytes())?;
            if *more {
                say("there are more keys behind the last one");
            }
        }
        (Format::Human, Answer::Members { members }) => out(list(members).as_bytes())?,
        (Format::Human, Answer::Mismatch { version }) => {
            say(format_args!("not done: {MISMATCH}, but at {version}"));
        }
        (Format::Human, Answer::NotDone { why }) => say(format_args!("not done: {why}")),
        (Format::Human, Answer::Unknown { why }) => say(format_args!("unknown: {why}")),
        (Format::Human, Answer::Silence { why }) => say(format_args!("no answer: {why}")),
    }
    Ok(ExitCode::from(answer.code()))
}

/// A line for each kind of member that there is.
fn list(members: &Membership) -> String {
    let Membership { voters, outgoing, learners, .. } = members;
    let kinds = [("voters", voters), ("old voters", outgoing), ("learners", learners)];
    let line = |(kind, ids): &(&str, &Vec<u64>)| {
        let ids: Vec<String> = ids.iter().map(|id| format!("n{id}")).collect();
        format!("{kind:<10}  {}\n", ids.join(" "))
    };
    kinds.iter().filter(|(_, ids)| !ids.is_empty()).map(line).collect()
}

/// Prints what each member says of itself. Code 6 if nobody answered. A node that is another than
/// `file` has at its address is an error, once everything is printed.
pub fn status(
    members: &Members,
    file: Option<&Path>,
    told: &[Told],
    format: Format,
) -> Result<ExitCode, Failure> {
    let text = match format {
        Format::Human => table(members, file.is_some(), told),
        Format::Json => {
            let pairs = members.all.iter().zip(told);
            let all: Vec<Value> = pairs.map(|(m, told)| object(m, file.is_some(), told)).collect();
            format!("{}\n", json!({"command": "status", "members": all}))
        }
    };
    out(text.as_bytes())?;
    if format == Format::Human {
        told.iter().filter_map(|told| told.as_ref().err()).for_each(say);
    }
    let others = file.map(|file| others(members, file, told)).unwrap_or_default();
    if !others.is_empty() {
        return Err(Failure::bad_file(others.join("; ")));
    }
    let nobody = told.iter().all(Result::is_err);
    Ok(if nobody { ExitCode::from(6) } else { ExitCode::SUCCESS })
}

/// Where another node is than the file says.
fn others(members: &Members, file: &Path, told: &[Told]) -> Vec<String> {
    let other = |(member, told): (&Member, &Told)| {
        let (me, file) = (told.as_ref().ok()?.0, file.display());
        let (id, addr) = (member.id, &member.client_addr);
        (me != id).then(|| format!("{addr} says that it is n{me}, but {file} has n{id} there"))
    };
    members.all.iter().zip(told).filter_map(other).collect()
}

/// Who is at an address: whoever says so, or whom the file has there.
fn who(member: &Member, filed: bool, told: &Told) -> Option<u64> {
    told.as_ref().ok().map(|(me, _)| *me).or(filed.then_some(member.id))
}

fn object(member: &Member, filed: bool, told: &Told) -> Value {
    let mut object = json!({
        "member": who(member, filed, told),
        "client": member.client_addr.0,
        "reachable": told.is_ok(),
    });
    match told {
        Ok((_, Status { leader, index, hash, keys, .. })) => {
            object["leader"] = (*leader).into();
            object["index"] = (*index).into();
            object["keys"] = (*keys).into();
            object["hash"] = format!("{hash:016x}").into();
        }
        Err(why) => object["why"] = (&**why).into(),
    }
    object
}

fn table(members: &Members, filed: bool, told: &[Told]) -> String {
    let cells = ["member", "clients at", "says", "index", "keys", "hash"].map(String::from);
    let mut rows = vec![cells];
    for (member, told) in members.all.iter().zip(told) {
        let id = who(member, filed, told).map_or("?".to_string(), |id| format!("n{id}"));
        let addr = member.client_addr.0.clone();
        rows.push(match told {
            Err(_) => [id, addr, "no answer".into(), "-".into(), "-".into(), "-".into()],
            Ok((me, Status { leader, index, hash, keys, .. })) => {
                let says = match *leader {
                    0 => "knows no leader".to_string(),
                    leader if leader == *me => "leads".to_string(),
                    leader => format!("follows n{leader}"),
                };
                let hash = format!("{hash:016x}");
                [id, addr, says, index.to_string(), keys.to_string(), hash]
            }
        });
    }
    let widths = std::array::from_fn::<usize, 6, _>(|column| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)
    });
    let line = |row: &[String; 6]| {
        let padded = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
            let number = (3..5).contains(&column);
            if number { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        format!("{}\n", padded.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// Text as `name`, other bytes as `name_hex`.
fn put_bytes(object: &mut Value, name: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => object[name] = text.into(),
        Err(_) => object[format!("{name}_hex")] = hex(bytes).into(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn out(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
    written.map_err(|why| Failure::io(format!("stdout: {why}")))
}

#[cfg(test)]
mod tests {
    use host::Addr;

    use super::*;

    #[test]
    fn a_table_says_who_leads_and_who_is_away() {
        let member = |id: u64| Member {
            id,
            name: format!("n{id}"),
            peer_addr: Addr::from("h:1"),
            client_addr: Addr(format!("h:{id}000")),
        };
        let members = Members { me: 0, all: (1..=3).map(member).collect() };
        let leads = Status { leader: 1, index: 12, hash: 255, keys: 3 };
        let lost = Status { leader: 0, index: 9, ..leads };
        let told = [Ok((3, Status { leader: 3, ..leads })), Err("away".into()), Ok((1, lost))];
        let expected = "\
member  clients at  says             index  keys  hash
n3      h:1000      leads               12     3  00000000000000ff
?       h:2000      no answer            -     -  -
n1      h:3000      knows no leader      9     3  00000000000000ff
";
        assert_eq!(table(&members, false, &told), expected);
        assert!(table(&members, true, &told).contains("n2      h:2000"));
        assert_eq!(object(&members.all[1], false, &told[1])["why"], "away");
        let others = others(&members, Path::new("x.toml"), &told);
        assert_eq!(others[0], "h:1000 says that it is n3, but x.toml has n1 there");
        assert_eq!(others.len(), 2);
    }

    #[test]
    fn json_carries_any_value() {
        let text = Answer::Value { version: 3, value: Bytes::from_static(b"hello") };
        assert_eq!(text.json("get")["value"], "hello");
        let bytes = Answer::Value { version: 3, value: Bytes::from_static(&[0xff, 0]) };
        assert_eq!(bytes.json("get")["value_hex"], "ff00");
        let mismatch = Answer::from(Outcome::Mismatch { version: 7 });
        assert_eq!((mismatch.code(), &mismatch.json("cas")["version"]), (1, &json!(7)));
        let unknown = Answer::from(Outcome::Unknown);
        assert_eq!((unknown.code(), &unknown.json("put")["outcome"]), (6, &json!("unknown")));
        let nobody = Answer::from(Found::Fail("away"));
        assert_eq!((nobody.code(), &nobody.json("get")["outcome"]), (6, &json!("no_answer")));
        assert_eq!(Answer::from(Found::Missing).code(), 1);
        let learners = vec![4];
        let members = Membership { index: 9, voters: vec![1, 3], outgoing: vec![], learners };
        assert_eq!(list(&members), "voters      n1 n3\nlearners    n4\n");
        let members = Answer::Members { members }.json("members");
        assert_eq!((&members["voters"], &members["since"]), (&json!([1, 3]), &json!(9)));
    }
}
