//! A client of the store, for workloads and for people. It says of each command whether it is
//! surely done, surely not, or nobody knows.
//!
//! Its first command opens a session; from then on each has the session's next number. While a
//! command's time is not over it is sent again, to one node after the other, *with the same
//! number*, and whichever attempt comes first is done: that is the point of sessions. After that
//! only "unknown" is honest, and the next command has the next number. A late duplicate of the
//! unknown one can then do no harm: if it comes before the next command, it is done, which
//! "unknown" allows; if it comes after it, it is refused, for its number is older.
//!
//! A session that the cluster has forgotten is replaced if nothing can have been done under it that
//! was not answered. One operation at a time; a crowd is many clients. Left out: pipelining.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use host::{Host, Members};

use crate::ask::{Asked, Asker, Met, Patience};
pub use crate::ask::{Manners, Pauses, Twice};
use crate::command::{Act, By, MAX_KEY};
pub use crate::wire::Item;
use crate::wire::{MAX_IDS, Reply, Request};
pub use raft_driver::members::{Membership, Target};

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Ok {
        /// The log index at which it was done, the version of a value that it put. 0 for a transfer
        /// of leadership, which is no command in the log.
        version: u64,
    },
    /// It is not done, and will not be: the key is not at the expected version.
    Mismatch {
        /// The key's version when it was compared; 0 if there was no such key.
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

/// What a range found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listing {
    /// Items in the order of their keys.
    Items {
        /// The items; those of one moment.
        items: Vec<Item>,
        /// There are more behind the last one: the limit was reached, or the node's bound on
        /// replies.
        more: bool,
    },
    /// No node answered in time.
    Fail(&'static str),
}

/// What a node says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Whom it follows; 0 nobody.
    pub leader: u64,
    /// The last log index that went through its state machine as a command.
    pub index: u64,
    /// The hash of its state.
    pub hash: u64,
    /// Its keys.
    pub keys: u64,
}

/// Why there is no answer: nodes were met, but none that leads.
pub const LATE: &str = "no leader in time";
/// Why there is no answer: not one node said a word.
pub const NOBODY: &str = "no node answered in time";
/// Why there is no answer: a node named a leader that is not among the client's members.
pub const STRANGERS: &str = "the leader is not among the nodes that were to be asked";
const TOO_LONG: &str = "the key is too long";

/// A client.
pub struct Client {
    asker: Asker,
    id: u64,
    session: Option<Session>,
}

/// An open session.
struct Session {
    id: u64,
    /// The number of its last command.
    sequence: u64,
}

impl Client {
    /// A client with a number of its own. Nothing is dialled yet; numbers spread over the nodes.
    ///
    /// # Panics
    /// If there are no members.
    pub fn new(host: Host, members: Members, id: u64) -> Client {
        Client { asker: Asker::new(host, members, id), id, session: None }
    }

    /// A client that asks before each attempt how to go about it.
    pub fn behaving(mut self, ways: impl Fn() -> Manners + Send + Sync + 'static) -> Client {
        self.asker.ways = Some(Box::new(ways));
        self
    }

    /// The client's number.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Puts a value. `op` names the operation among this client's; the item keeps it.
    pub async fn put(&mut self, key: &[u8], op: u64, value: Bytes, within: Duration) -> Outcome {
        self.command(Act::Put, key, op, value, within).await
    }

    /// Deletes a key, which need not be there.
    pub async fn delete(&mut self, key: &[u8], op: u64, within: Duration) -> Outcome {
        self.command(Act::Delete, key, op, Bytes::new(), within).await
    }

    /// Puts a value if the key is at version `expected`; 0: if there is no such key.
    pub async fn compare_and_set(
        &mut self,
        key: &[u8],
        op: u64,
        expected: u64,
        value: Bytes,
        within: Duration,
    ) -> Outcome {
        self.command(Act::CompareAndSet { expected }, key, op, value, within).await
    }

    /// Reads a key; linearizable.
    pub async fn get(&mut self, key: &[u8], within: Duration) -> Found {
        if key.len() > MAX_KEY {
            return Found::Missing;
        }
        let request = Request::Get { key: Bytes::copy_from_slice(key) };
        let patience = self.asker.patience(within);
        let asked = self.asker.ask(&request, patience).await;
        match asked.reply {
            Some(Reply::Value { version, client, op, value }) => {
                Found::Value { version, client, op, value }
            }
            Some(Reply::Missing) => Found::Missing,
            Some(Reply::Refused { rule }) => Found::Fail(rule.text()),
            Some(_) => Found::Fail("an answer that makes no sense"),
            None => Found::Fail(late(asked.met)),
        }
    }

    /// Reads at most `limit` keys, from `from` on and before `to`, or to the end if `to` is empty;
    /// linearizable.
    pub async fn range(&mut self, from: &[u8], to: &[u8], limit: u32, within: Duration) -> Listing {
        if from.len().max(to.len()) > MAX_KEY {
            return Listing::Fail(TOO_LONG);
        }
        let (from, to) = (Bytes::copy_from_slice(from), Bytes::copy_from_slice(to));
        let patience = self.asker.patience(within);
        let asked = self.asker.ask(&Request::Range { from, to, limit }, patience).await;
        match asked.reply {
            Some(Reply::Listing { items, more }) => Listing::Items { items, more },
            Some(Reply::Refused { rule }) => Listing::Fail(rule.text()),
            Some(_) => Listing::Fail("an answer that makes no sense"),
            None => Listing::Fail(late(asked.met)),
        }
    }

    /// Asks the node of that id about itself, once. `None` if it does not answer, and if another
    /// node does.
    pub async fn status(&mut self, node: u64, within: Duration) -> Option<Status> {
        let at = self.asker.members.all.iter().position(|m| m.id == node)?;
        let (me, status) = self.status_at(at, within).await.ok()?;
        (me == node).then_some(status)
    }

    /// Asks the node at the address of the member at that position about itself, once: who it is,
    /// whatever the client believed, and what it says. An error says why nobody answered.
    ///
    /// # Panics
    /// If there are not so many members.
    pub async fn status_at(&mut self, at: usize, within: Duration) -> io::Result<(u64, Status)> {
        match self.asker.ask_node(at, &Request::Status, within).await? {
            Reply::Status { me, leader, index, hash, keys } => {
                Ok((me, Status { leader, index, hash, keys }))
            }
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Lets the member of that id lead. Said to be done also if it led already, or if another than
    /// `to` came to lead meanwhile.
    pub async fn transfer(&mut self, to: u64, within: Duration) -> Outcome {
        let patience = self.asker.patience(within);
        outcome(self.asker.ask(&Request::Transfer { to }, patience).await)
    }

    /// Who belongs to the cluster, by the leader's knowledge. An error says why there is no answer.
    pub async fn members(&mut self, within: Duration) -> Result<Membership, &'static str> {
        let patience = self.asker.patience(within);
        let asked = self.asker.ask(&Request::Members, patience).await;
        match asked.reply {
            Some(Reply::Members(members)) => Ok(members),
            Some(_) => Err("an answer that makes no sense"),
            None => Err(late(asked.met)),
        }
    }

    /// Lets these hosts belong to the cluster, and no others; `Ok` once it is so, with the log index
    /// since which it is. It may be asked for again: that is one change.
    pub async fn change(&mut self, target: Target, within: Duration) -> Outcome {
        if target.voters.len().max(target.learners.len()) > MAX_IDS {
            return Outcome::Fail("too many members");
        }
        let patience = self.asker.patience(within);
        outcome(self.asker.ask(&Request::Change(target), patience).await)
    }

    async fn command(
        &mut self,
        act: Act,
        key: &[u8],
        op: u64,
        value: Bytes,
        within: Duration,
    ) -> Outcome {
        if key.len() > MAX_KEY {
            return Outcome::Fail(TOO_LONG);
        }
        let key = Bytes::copy_from_slice(key);
        let patience = self.asker.patience(within);
        loop {
            let (session, sequence) = match self.next(patience).await {
                Ok(next) => next,
                Err(why) => return Outcome::Fail(why),
            };
            let by = By { session, sequence, client: self.id, op };
            let (key, value) = (key.clone(), value.clone());
            let asked = self.asker.ask(&Request::Do { by, act, key, value }, patience).await;
            if asked.reply == Some(Reply::NoSession) {
                self.session = None;
                if !asked.lost {
                    continue;
                }
            }
            return outcome(asked);
        }
    }

    /// The session, opened if need be, and the number of its next command. An attempt to open one
    /// that got lost may have left a session that nobody uses, until others make it go.
    async fn next(&mut self, patience: Patience) -> Result<(u64, u64), &'static str> {
        let session = match &mut self.session {
            Some(session) => session,
            none => {
                let asked = self.asker.ask(&Request::Open, patience).await;
                let Some(Reply::Opened { session }) = asked.reply else {
                    return Err(late(asked.met));
                };
                none.insert(Session { id: session, sequence: 0 })
            }
        };
        session.sequence += 1;
        Ok((session.id, session.sequence))
    }
}

/// What a command's answer means. A refusal is about the attempt that it answers; what became of
/// one that got lost before, only "done" and "mismatch" tell, which the session remembers.
fn outcome(asked: Asked) -> Outcome {
    match asked.reply {
        Some(Reply::Done { version }) => Outcome::Ok { version },
        Some(Reply::Mismatch { version }) => Outcome::Mismatch { version },
        _ if asked.lost => Outcome::Unknown,
        Some(Reply::Refused { rule }) => Outcome::Fail(rule.text()),
        None => Outcome::Fail(late(asked.met)),
        // An older number than the cluster knows, or another request's answer: neither is expected,
        // and neither says that nothing was done.
        Some(_) => Outcome::Unknown,
    }
}

/// Why there is no answer.
fn late(met: Met) -> &'static str {
    match met {
        Met::Nobody => NOBODY,
        Met::Nodes => LATE,
        Met::Strangers => STRANGERS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Rule;

    #[test]
    fn only_a_definite_answer_is_believed() {
        let told = |reply, lost| outcome(Asked { reply, lost, met: Met::Nodes });
        assert_eq!(told(Some(Reply::Done { version: 3 }), true), Outcome::Ok { version: 3 });
        let mismatch = Outcome::Mismatch { version: 0 };
        assert_eq!(told(Some(Reply::Mismatch { version: 0 }), true), mismatch);
        let refused = Reply::Refused { rule: Rule::NoSuchMember };
        let why = Rule::NoSuchMember.text();
        assert_eq!(told(Some(refused.clone()), false), Outcome::Fail(why));
        assert_eq!(told(None, false), Outcome::Fail(LATE));
        for reply in [None, Some(refused), Some(Reply::NoSession), Some(Reply::Stale)] {
            assert_eq!(told(reply, true), Outcome::Unknown);
        }
    }
}
