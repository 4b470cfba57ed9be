//! A client for people and scripts: one command, one answer, one exit code. It runs on a machine of its
//! own without a disk, because the store's client asks a host for time and connections as nodes do.
//!
//! Exit codes keep apart what a script must keep apart: 1 is surely not done, 6 is nobody knows. A
//! read that nobody answered is 6 too: the key may or may not be there.
//!
//! Addresses that were typed are in no order: each node is asked who it is, and only then what was
//! wanted. A file says who is where, and is believed except by `status`, which says where it is wrong.

use std::io::{self, Read};
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use host::real::Machine;
use host::{Host, Member, Members};
use store::client::{Client, NOBODY};

use super::args::{Ask, Value, Whom};
use super::show::{self, Answer, Told};
use super::{Failure, file, members, say};

/// Longest value that is read; the store's own bound is lower.
const VALUE_MAX: u64 = 64 << 20;

/// How long nodes have to say who they are before one is asked without knowing.
const INTRODUCTION: Duration = Duration::from_millis(500);

/// What is asked of the cluster as a whole.
enum Request {
    Put { key: String, value: Bytes },
    Get { key: String },
    Delete { key: String },
    CompareAndSet { key: String, expected: u64, value: Bytes },
    Range { from: String, to: String, limit: u32 },
    Transfer { to: u64 },
    Members(members::Change),
}

/// Asks, prints the answer, and says how it ended.
pub fn ask(ask: Ask) -> Result<ExitCode, Failure> {
    match ask {
        Ask::Put { key, value, whom } => {
            one(&whom, "put", Request::Put { key, value: read_value(value)? })
        }
        Ask::Get { key, whom } => one(&whom, "get", Request::Get { key }),
        Ask::Delete { key, whom } => one(&whom, "delete", Request::Delete { key }),
        Ask::Cas { key, expected, value, whom } => {
            let value = read_value(value)?;
            one(&whom, "cas", Request::CompareAndSet { key, expected, value })
        }
        Ask::Range { from, to, limit, whom } => {
            one(&whom, "range", Request::Range { from, to, limit })
        }
        Ask::Transfer { to, whom } => one(&whom, "transfer", Request::Transfer { to }),
        Ask::Members(asked) => {
            let (change, whom) = asked.parts();
            one(&whom, "members", Request::Members(change))
        }
        Ask::Status { whom } => status(&whom),
    }
}

/// One operation by one client.
fn one(whom: &Whom, command: &'static str, request: Request) -> Result<ExitCode, Failure> {
    let (mut members, within) = (file::members(whom)?, whom.within);
    let machine = Machine::diskless("client").start().map_err(cannot)?;
    if whom.config.is_none() {
        members = arranged(&members, &ask_all(&machine, &members, within.min(INTRODUCTION))?);
    }
    let (tx, rx) = mpsc::channel();
    let host = machine.host();
    let client = Client::new(host.clone(), members.clone(), identity(&host));
    host.thread("main").spawn("ask", async move {
        let _ = tx.send(perform(client, request, within).await);
    });
    let answer = rx.recv().map_err(|_| panicked(&machine))?;
    let code = show::answer(command, &answer, whom.format)?;
    if answer.why() == Some(NOBODY) {
        for told in ask_all(&machine, &members, INTRODUCTION)? {
            told.err().into_iter().for_each(|why| say(format_args!("  {why}")));
        }
    }
    Ok(code)
}

async fn perform(mut client: Client, request: Request, within: Duration) -> Answer {
    match request {
        Request::Put { key, value } => client.put(key.as_bytes(), 1, value, within).await.into(),
        Request::Get { key } => client.get(key.as_bytes(), within).await.into(),
        Request::Delete { key } => client.delete(key.as_bytes(), 1, within).await.into(),
        Request::CompareAndSet { key, expected, value } => {
            client.compare_and_set(key.as_bytes(), 1, expected, value, within).await.into()
        }
        Request::Range { from, to, limit } => {
            client.range(from.as_bytes(), to.as_bytes(), limit, within).await.into()
        }
        Request::Transfer { to } => client.transfer(to, within).await.into(),
        Request::Members(change) => members::perform(&mut client, change, within).await,
    }
}

/// What each member says of itself.
fn status(whom: &Whom) -> Result<ExitCode, Failure> {
    let (members, within) = (file::members(whom)?, whom.within);
    let machine = Machine::diskless("client").start().map_err(cannot)?;
    let told = ask_all(&machine, &members, within)?;
    show::status(&members, whom.config.as_deref(), &told, whom.format)
}

/// All members are asked at once who they are, each by a client of its own: who is down holds up nobody.
fn ask_all(machine: &Machine, members: &Members, within: Duration) -> Result<Vec<Told>, Failure> {
    let host = machine.host();
    let ask_one = |at: usize| {
        let (tx, rx) = mpsc::channel();
        let mut client = Client::new(host.clone(), members.clone(), identity(&host));
        let addr = members.all[at].client_addr.clone();
        host.thread("main").spawn("status", async move {
            let told = client.status_at(at, within).await;
            let _ = tx.send(told.map_err(|why| match why.to_string() {
                text if text.contains(&addr.0) => text,
                text => format!("{addr}: {text}"),
            }));
        });
        rx
    };
    let answers: Vec<mpsc::Receiver<Told>> = (0..members.all.len()).map(ask_one).collect();
    let told: Result<Vec<_>, _> = answers.iter().map(mpsc::Receiver::recv).collect();
    told.map_err(|_| panicked(machine))
}

/// Members by what they say of themselves, each once. Who says nothing is taken for one of those
/// that are missing, in order; a guess that is wrong costs an attempt.
fn arranged(members: &Members, told: &[Told]) -> Members {
    let says = |id: u64| told.iter().flatten().any(|(me, _)| *me == id);
    let mut missing = (1..).filter(|id| !says(*id));
    let mut all: Vec<Member> = Vec::new();
    for (member, told) in members.all.iter().zip(told) {
        let id = match told {
            Ok((me, _)) => *me,
            Err(_) => missing.next().expect("numbers do not end"),
        };
        if all.iter().all(|other| other.id != id) {
            all.push(file::named(id, member.peer_addr.clone(), member.client_addr.clone()));
        }
    }
    all.sort_by_key(|member| member.id);
    Members { me: 0, all }
}

/// A number that no other client bears, but for a chance of one in 2^64.
fn identity(host: &Host) -> u64 {
    host.rng("client", 0).bits()
}

fn read_value(value: Value) -> Result<Bytes, Failure> {
    let (name, source): (String, Box<dyn Read>) = match (value.value_file, value.value) {
        (Some(path), _) => {
            let name = path.display().to_string();
            let file = std::fs::File::open(&path);
            let file = file.map_err(|why| Failure::io(format!("{name}: {why}")))?;
            (name, Box::new(file))
        }
        (None, Some(text)) if text != "-" => return Ok(text.into()),
        (None, _) => ("stdin".to_string(), Box::new(io::stdin())),
    };
    let mut bytes = Vec::new();
    let read = source.take(VALUE_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|why| Failure::io(format!("{name}: {why}")))?;
    if bytes.len() as u64 > VALUE_MAX {
        return Err(Failure::usage(format!("{name} holds more than {VALUE_MAX} bytes")));
    }
    Ok(bytes.into())
}

fn cannot(why: io::Error) -> Failure {
    Failure::io(format!("the client cannot start: {why}"))
}

fn panicked(machine: &Machine) -> Failure {
    Failure { code: 3, text: format!("the client panicked: {}", machine.panics().join("; ")) }
}

#[cfg(test)]
mod tests {
    use host::Addr;
    use store::client::Status;

    use super::*;

    #[test]
    fn typed_addresses_are_in_no_order() {
        let at = |text: &str| Addr::from(text);
        let typed = ["c:1", "x:1", "a:1", "a:1"];
        let members = (1..).zip(typed).map(|(id, addr)| file::named(id, at(addr), at(addr)));
        let members = Members { me: 0, all: members.collect() };
        let status = Status { leader: 3, index: 0, hash: 0, keys: 0 };
        let told = [Ok((3, status)), Err("away".into()), Ok((1, status)), Ok((1, status))];
        let all = arranged(&members, &told).all;
        let pairs: Vec<_> = all.iter().map(|m| (m.id, &*m.client_addr.0)).collect();
        assert_eq!(pairs, [(1, "a:1"), (2, "x:1"), (3, "c:1")]);
    }
}
