//! A client for people and scripts: one command, one answer, one exit code. It runs on a machine of its
//! own without a disk, because the store's client asks a host for time and connections as nodes do.
//!
//! Exit codes keep apart what a script must keep apart: 1 is surely not done, 6 is nobody knows. A
//! read that nobody answered is 6 too: the key may or may not be there.

use std::io::{self, Read};
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use host::real::Machine;
use host::{Host, Members};
use store::client::{Client, Status};

use super::args::{Ask, Value, Whom};
use super::show::{self, Answer};
use super::{Failure, file};

/// Longest value that is read; the store's own bound is lower.
const VALUE_MAX: u64 = 64 << 20;

/// What is asked of the cluster as a whole.
enum Request {
    Put { key: String, value: Bytes },
    Get { key: String },
    Delete { key: String },
    CompareAndSet { key: String, expected: u64, value: Bytes },
    Range { from: String, to: String, limit: u32 },
    Transfer { to: u64 },
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
        Ask::Status { whom } => status(&whom),
    }
}

/// One operation by one client.
fn one(whom: &Whom, command: &'static str, request: Request) -> Result<ExitCode, Failure> {
    let (members, within) = (file::members(whom)?, whom.within);
    let machine = Machine::diskless("client").start().map_err(cannot)?;
    let (tx, rx) = mpsc::channel();
    let host = machine.host();
    let client = Client::new(host.clone(), members, identity(&host));
    host.thread("main").spawn("ask", async move {
        let _ = tx.send(perform(client, request, within).await);
    });
    let answer = rx.recv().map_err(|_| panicked(&machine))?;
    show::answer(command, &answer, whom.format)
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
    }
}

/// All members are asked at once, each by a client of its own: who is down holds up nobody.
fn status(whom: &Whom) -> Result<ExitCode, Failure> {
    let (members, within) = (file::members(whom)?, whom.within);
    let machine = Machine::diskless("client").start().map_err(cannot)?;
    let host = machine.host();
    let answers: Vec<mpsc::Receiver<Option<Status>>> =
        members.all.iter().map(|member| ask_one(&host, &members, member.id, within)).collect();
    let statuses: Result<Vec<_>, _> = answers.iter().map(mpsc::Receiver::recv).collect();
    show::status(&members, &statuses.map_err(|_| panicked(&machine))?, whom.format)
}

fn ask_one(
    host: &Host,
    members: &Members,
    id: u64,
    within: Duration,
) -> mpsc::Receiver<Option<Status>> {
    let (tx, rx) = mpsc::channel();
    let mut client = Client::new(host.clone(), members.clone(), identity(host));
    host.thread("main").spawn("status", async move {
        let _ = tx.send(client.status(id, within).await);
    });
    rx
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
