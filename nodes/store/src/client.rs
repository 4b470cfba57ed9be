//! A client of the store, for workloads and for people. It keeps one connection, follows
//! redirections, turns to the next node after an error, and says of each put whether it is surely
//! done, surely not, or nobody knows: once a request has been sent and its reply does not come,
//! only "unknown" is honest.
//!
//! One operation at a time; a crowd is many clients.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use host::{Class, Host, Members, Mono, Receiver, Sender, Style};

use crate::wire::{MAX_KEY, Reply, Request, decode_reply, encode_request};

const CLIENT: Class = Class("client");
/// How long a connection may take before another node is tried.
const DIAL: Duration = Duration::from_millis(500);
/// Pause before a node that knows no leader is asked again.
const PAUSE: Duration = Duration::from_millis(20);

/// What became of a put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done, as this version.
    Ok {
        /// The version of the key's new value.
        version: u64,
    },
    /// It is surely not done, and will not be.
    Fail(&'static str),
    /// It may have been done, or may still be.
    Unknown,
}

/// What a read found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The key's value.
    Value {
        /// Its version.
        version: u64,
        /// Who put it.
        client: u64,
        /// With which operation.
        op: u64,
        /// The value.
        value: Bytes,
    },
    /// There is no such key.
    Missing,
    /// No node answered in time.
    Fail(&'static str),
}

/// What a node says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Whom it follows; 0 nobody.
    pub leader: u64,
    /// The last log index that went through its state machine as a put.
    pub index: u64,
    /// The hash of its state.
    pub hash: u64,
    /// Its keys.
    pub keys: u64,
}

/// Why one attempt brought no reply.
enum Missed {
    /// The request did not leave.
    Unsent,
    /// It left.
    Sent,
    /// Time is over, and whether it left is the flag.
    Late { sent: bool },
}

/// A client.
pub struct Client {
    host: Host,
    members: Members,
    id: u64,
    /// Position in `members.all` of the node to ask.
    target: usize,
    link: Option<(Sender, Receiver)>,
    requests: u64,
}

impl Client {
    /// A client with a number of its own. Nothing is dialled yet; numbers spread over the nodes.
    ///
    /// # Panics
    /// If there are no members.
    pub fn new(host: Host, members: Members, id: u64) -> Client {
        assert!(!members.all.is_empty(), "a client needs somebody to ask");
        let target = (id % members.all.len() as u64) as usize;
        Client { host, members, id, target, link: None, requests: 0 }
    }

    /// The client's number.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Puts a value. `op` names the operation among this client's.
    pub async fn put(&mut self, key: &[u8], op: u64, value: Bytes, within: Duration) -> Outcome {
        if key.len() > MAX_KEY {
            return Outcome::Fail("the key is too long");
        }
        let until = self.host.clock().now() + within;
        let key = Bytes::copy_from_slice(key);
        let request = Request::Put { client: self.id, op, key, value };
        loop {
            match self.attempt(&request, until).await {
                Ok(Reply::Done { version }) => return Outcome::Ok { version },
                Ok(Reply::Refused) => return Outcome::Fail("refused"),
                Ok(Reply::Redirect { leader }) => self.turn_to(leader).await,
                Ok(Reply::Busy) => self.host.clock().sleep(PAUSE).await,
                Ok(_) | Err(Missed::Sent | Missed::Late { sent: true }) => return Outcome::Unknown,
                Err(Missed::Unsent) => self.turn_to(0).await,
                Err(Missed::Late { sent: false }) => return Outcome::Fail("no leader in time"),
            }
        }
    }

    /// Reads a key; linearizable.
    pub async fn get(&mut self, key: &[u8], within: Duration) -> Found {
        let until = self.host.clock().now() + within;
        if key.len() > MAX_KEY {
            return Found::Missing;
        }
        let request = Request::Get { key: Bytes::copy_from_slice(key) };
        loop {
            match self.attempt(&request, until).await {
                Ok(Reply::Value { version, client, op, value }) => {
                    return Found::Value { version, client, op, value };
                }
                Ok(Reply::Missing) => return Found::Missing,
                Ok(Reply::Redirect { leader }) => self.turn_to(leader).await,
                Ok(_) => self.host.clock().sleep(PAUSE).await,
                Err(Missed::Unsent | Missed::Sent) => self.turn_to(0).await,
                Err(Missed::Late { .. }) => return Found::Fail("no answer in time"),
            }
        }
    }

    /// Asks the node of that id about itself.
    pub async fn status(&mut self, node: u64, within: Duration) -> Option<Status> {
        let until = self.host.clock().now() + within;
        let at = self.members.all.iter().position(|m| m.id == node)?;
        if at != self.target {
            self.link = None;
            self.target = at;
        }
        match self.attempt(&Request::Status, until).await {
            Ok(Reply::Status { leader, index, hash, keys }) => {
                Some(Status { leader, index, hash, keys })
            }
            _ => None,
        }
    }

    /// Chooses whom to ask next: the leader if one is known, else the next node after a pause.
    async fn turn_to(&mut self, leader: u64) {
        let known = self.members.all.iter().position(|m| m.id == leader);
        match known.filter(|at| *at != self.target) {
            Some(at) => self.target = at,
            None => {
                self.target = (self.target + 1) % self.members.all.len();
                self.host.clock().sleep(PAUSE).await;
            }
        }
        self.link = None;
    }

    fn left(&self, until: Mono) -> Duration {
        until.since(self.host.clock().now())
    }

    /// One request to the current node, and its reply. A connection whose reply did not come is
    /// given up.
    async fn attempt(&mut self, request: &Request, until: Mono) -> Result<Reply, Missed> {
        if self.left(until).is_zero() {
            return Err(Missed::Late { sent: false });
        }
        self.requests += 1;
        let id = self.requests;
        if self.connect(until).await.is_err() {
            return Err(Missed::Unsent);
        }
        let (mut tx, mut rx) = self.link.take().expect("connected above");
        let exchange = async {
            tx.send(CLIENT, encode_request(id, request)).await?;
            loop {
                let frame = rx.recv().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
                let (answered, reply) = decode_reply(&frame).ok_or(io::ErrorKind::InvalidData)?;
                if answered == id {
                    return io::Result::Ok(reply);
                }
            }
        };
        let outcome = self.host.clock().within(self.left(until), exchange).await;
        match outcome {
            Some(Ok(reply)) => {
                self.link = Some((tx, rx));
                Ok(reply)
            }
            Some(Err(_)) => {
                self.rotate();
                Err(Missed::Sent)
            }
            None => {
                tx.abort();
                self.rotate();
                Err(Missed::Late { sent: true })
            }
        }
    }

    fn rotate(&mut self) {
        self.target = (self.target + 1) % self.members.all.len();
    }

    async fn connect(&mut self, until: Mono) -> io::Result<()> {
        if self.link.is_none() {
            let addr = &self.members.all[self.target].client_addr;
            let within = DIAL.min(self.left(until));
            let conn = self.host.net().dial(addr, within, Style::Stream).await?;
            self.link = Some(conn.split());
        }
        Ok(())
    }
}
