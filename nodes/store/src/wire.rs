//! What clients and nodes say to each other: small binary frames, a header and values that stay
//! shared slices. A reply names the request it answers, so many may be under way on a connection.
//! In front of each frame stands the crc32 of the rest, and a frame that it does not fit is none. Lengths
//! are compared with what is there before anything is made of them.
//!
//! ```text
//! request   1 put     kind u8, request u64, session, sequence, client, op u64, key, value
//!           2 get     kind u8, request u64, key
//!           3 status  kind u8, request u64
//!           4 open    kind u8, request u64
//!           5 delete  like put, without value
//!           6 compare and set   like put, but before the key the expected version u64
//!           7 range   kind u8, request u64, limit u32, from key, to key
//!           8 transfer  kind u8, request u64, member u64
//!           9 members   kind u8, request u64
//!          10 change    kind u8, request u64, flags u8 (1 catch up, 2 since), since u64,
//!                       voters, learners
//! reply     kind u8, request u64, then by kind: version u64 | version, client, op u64 and value |
//!           nothing | leader u64 | why u8 | me, leader, index, hash, keys u64 | session u64 |
//!           more u8, count u32, items (version, client, op u64, value length u32, key, value) |
//!           index u64, voters, old voters, learners
//! key       length u16, bytes; voters and the like: count u16, ids u64
//! ```

use bytes::{BufMut, Bytes};
use host::Chunks;
use raft_driver::members::{Membership, Refusal, Target};
use raft_driver::rope::{Numbers, Reader};

use crate::command::{Act, By, MAX_KEY};

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Open a session.
    Open,
    /// Do something to a key; a delete has no value.
    Do {
        by: By,
        act: Act,
        key: Bytes,
        value: Bytes,
    },
    Get {
        key: Bytes,
    },
    /// The keys from `from` on and before `to`, if that is not empty.
    Range {
        from: Bytes,
        to: Bytes,
        limit: u32,
    },
    Status,
    /// Let that member lead.
    Transfer {
        to: u64,
    },
    /// Who belongs to the cluster, by the leader's knowledge.
    Members,
    /// Let these belong to it.
    Change(Target),
}

/// An item of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The key.
    pub key: Bytes,
    /// The version of its value.
    pub version: u64,
    /// Who put it.
    pub client: u64,
    /// With which operation.
    pub op: u64,
    /// The value.
    pub value: Bytes,
}

/// The most members that are named at once.
pub(crate) const MAX_IDS: usize = 1000;

/// Bytes of an item in a frame beside its key and value.
const ITEM_HEAD: u64 = 30;

impl Item {
    /// What an item costs in a frame.
    pub(crate) fn len(key: &[u8], value: u64) -> u64 {
        ITEM_HEAD + key.len() as u64 + value
    }
}

/// Which rule a request is against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// The value is longer than the node's `max_value`.
    ValueTooLong,
    /// It names a member that there is not.
    NoSuchMember,
    /// The state machine can make nothing of it.
    NoCommand,
    /// What is kept of the value does not hold it.
    Unreadable,
    /// A change of members that was not begun, or not gone through with.
    Change(Refusal),
}

impl Rule {
    const ALL: [Rule; 10] = [
        Rule::ValueTooLong,
        Rule::NoSuchMember,
        Rule::NoCommand,
        Rule::Change(Refusal::Pending),
        Rule::Change(Refusal::NoVoter),
        Rule::Change(Refusal::Twice),
        Rule::Change(Refusal::Stranger),
        Rule::Change(Refusal::Behind),
        Rule::Change(Refusal::Moved),
        Rule::Unreadable,
    ];

    fn code(self) -> u8 {
        Rule::ALL.iter().position(|rule| *rule == self).expect("all are listed") as u8
    }

    /// What to tell people.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Rule::ValueTooLong => "refused: the value is longer than the node's `max_value`",
            Rule::NoSuchMember => "refused: there is no such member",
            Rule::NoCommand => "refused: the nodes can make nothing of it",
            Rule::Unreadable => "refused: what is kept of the value does not decompress",
            Rule::Change(why) => why.text(),
        }
    }
}

/// What a node answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Done {
        version: u64,
    },
    Value {
        version: u64,
        client: u64,
        op: u64,
        value: Bytes,
    },
    Missing,
    /// This node does not lead; surely nothing happened. 0 if it knows no leader.
    Redirect {
        leader: u64,
    },
    /// Surely nothing happened; try again later.
    Busy,
    /// The request is against the rules; surely nothing happened.
    Refused {
        rule: Rule,
    },
    /// Nobody knows what became of it.
    Lost,
    Status {
        /// The member that says so.
        me: u64,
        leader: u64,
        index: u64,
        hash: u64,
        keys: u64,
    },
    /// The key is not at the expected version but at this one; nothing happened.
    Mismatch {
        version: u64,
    },
    /// There is no such session; nothing happened now.
    NoSession,
    /// The session has gone on to a later command; nothing happened now.
    Stale,
    Opened {
        session: u64,
    },
    /// What a range found; `more` if it found more.
    Listing {
        items: Vec<Item>,
        more: bool,
    },
    /// Who belongs to the cluster.
    Members(Membership),
}

/// A request in a frame.
pub(crate) fn encode_request(id: u64, request: &Request) -> Chunks {
    let mut out = Vec::with_capacity(100);
    out.put_u32_le(0);
    let mut head = |kind: u8| {
        out.put_u8(kind);
        out.put_u64_le(id);
    };
    match request {
        Request::Open => head(4),
        Request::Do { by, act, key, value } => {
            head(match act {
                Act::Put => 1,
                Act::Delete => 5,
                Act::CompareAndSet { .. } => 6,
            });
            by.encode(&mut out);
            if let Act::CompareAndSet { expected } = act {
                out.put_u64_le(*expected);
            }
            put_key(&mut out, key);
            return seal(out, std::slice::from_ref(value));
        }
        Request::Get { key } => {
            head(2);
            put_key(&mut out, key);
        }
        Request::Range { from, to, limit } => {
            head(7);
            out.put_u32_le(*limit);
            put_key(&mut out, from);
            put_key(&mut out, to);
        }
        Request::Status => head(3),
        Request::Transfer { to } => {
            head(8);
            out.put_u64_le(*to);
        }
        Request::Members => head(9),
        Request::Change(Target { voters, learners, catch_up, since }) => {
            head(10);
            out.put_u8(u8::from(*catch_up) | u8::from(since.is_some()) << 1);
            out.put_u64_le(since.unwrap_or(0));
            put_ids(&mut out, voters);
            put_ids(&mut out, learners);
        }
    }
    seal(out, &[])
}

fn put_ids(out: &mut Vec<u8>, ids: &[u64]) {
    assert!(ids.len() <= MAX_IDS, "{} members", ids.len());
    out.put_u16_le(ids.len() as u16);
    ids.iter().for_each(|id| out.put_u64_le(*id));
}

fn take_ids(reader: &mut Reader<'_>) -> Option<Vec<u64>> {
    let count = reader.take(2)?;
    let count = usize::from(u16::from_le_bytes([count[0], count[1]]));
    if count > MAX_IDS {
        return None;
    }
    let ids = reader.take(8 * count as u64)?;
    let mut n = Numbers(&ids);
    (0..count).map(|_| n.u64()).collect()
}

fn put_key(out: &mut Vec<u8>, key: &[u8]) {
    assert!(key.len() <= MAX_KEY, "a key of {} bytes", key.len());
    out.put_u16_le(key.len() as u16);
    out.put_slice(key);
}

/// Bytes of the crc32 in front.
const SUM: usize = 4;

/// A frame of a head, in front of which there is room for the sum, and what follows it.
fn seal(mut head: Vec<u8>, rest: &[Bytes]) -> Chunks {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&head[SUM..]);
    rest.iter().for_each(|part| sum.update(part));
    head[..SUM].copy_from_slice(&sum.finalize().to_le_bytes());
    let mut frame = Chunks::from(head);
    rest.iter().for_each(|part| frame.push(part.clone()));
    frame
}

/// A reader of what follows the sum, if that fits.
fn unseal(frame: &Chunks) -> Option<Reader<'_>> {
    let mut reader = Reader::new(frame);
    let expected = Numbers(&reader.take(SUM as u64)?).u32()?;
    let (mut sum, mut skip) = (crc32fast::Hasher::new(), SUM);
    for part in frame.parts() {
        let here = skip.min(part.len());
        sum.update(&part[here..]);
        skip -= here;
    }
    (sum.finalize() == expected).then_some(reader)
}

/// A reply in a frame.
pub(crate) fn encode_reply(id: u64, reply: &Reply) -> Chunks {
    let mut out = Vec::with_capacity(45);
    out.put_u32_le(0);
    let mut head = |kind: u8, numbers: &[u64]| {
        out.put_u8(kind);
        out.put_u64_le(id);
        numbers.iter().for_each(|n| out.put_u64_le(*n));
    };
    match reply {
        Reply::Done { version } => head(1, &[*version]),
        Reply::Value { version, client, op, value } => {
            head(2, &[*version, *client, *op]);
            return seal(out, std::slice::from_ref(value));
        }
        Reply::Missing => head(3, &[]),
        Reply::Redirect { leader } => head(4, &[*leader]),
        Reply::Busy => head(5, &[]),
        Reply::Refused { rule } => {
            head(6, &[]);
            out.put_u8(rule.code());
        }
        Reply::Lost => head(7, &[]),
        Reply::Status { me, leader, index, hash, keys } => {
            head(8, &[*me, *leader, *index, *hash, *keys]);
        }
        Reply::Mismatch { version } => head(9, &[*version]),
        Reply::NoSession => head(10, &[]),
        Reply::Stale => head(11, &[]),
        Reply::Opened { session } => head(12, &[*session]),
        Reply::Listing { items, more } => {
            head(13, &[]);
            out.put_u8(u8::from(*more));
            return with_items(out, items);
        }
        Reply::Members(Membership { index, voters, outgoing, learners }) => {
            head(14, &[*index]);
            [voters, outgoing, learners].iter().for_each(|ids| put_ids(&mut out, ids));
        }
    }
    seal(out, &[])
}

fn with_items(mut head: Vec<u8>, items: &[Item]) -> Chunks {
    head.put_u32_le(items.len() as u32);
    let mut rest = Vec::with_capacity(2 * items.len());
    for item in items {
        let mut out = Vec::with_capacity(ITEM_HEAD as usize + item.key.len());
        out.put_u64_le(item.version);
        out.put_u64_le(item.client);
        out.put_u64_le(item.op);
        out.put_u32_le(item.value.len() as u32);
        put_key(&mut out, &item.key);
        rest.push(out.into());
        rest.push(item.value.clone());
    }
    seal(head, &rest)
}

/// The request in a frame; `None` if it holds none.
pub(crate) fn decode_request(frame: &Chunks) -> Option<(u64, Request)> {
    let mut reader = unseal(frame)?;
    let (kind, id) = head(&mut reader)?;
    let request = match kind {
        1 | 5 | 6 => take_command(kind, &mut reader)?,
        2 => Request::Get { key: take_key(&mut reader)? },
        3 => Request::Status,
        4 => Request::Open,
        8 => Request::Transfer { to: Numbers(&reader.take(8)?).u64()? },
        9 => Request::Members,
        10 => {
            let flags = reader.take(1)?[0];
            let index = Numbers(&reader.take(8)?).u64()?;
            let (voters, learners) = (take_ids(&mut reader)?, take_ids(&mut reader)?);
            if flags > 3 {
                return None;
            }
            let since = (flags & 2 != 0).then_some(index);
            Request::Change(Target { voters, learners, catch_up: flags & 1 != 0, since })
        }
        7 => {
            let limit = Numbers(&reader.take(4)?).u32()?;
            Request::Range { from: take_key(&mut reader)?, to: take_key(&mut reader)?, limit }
        }
        _ => return None,
    };
    (reader.left() == 0).then_some((id, request))
}

fn take_command(kind: u8, reader: &mut Reader<'_>) -> Option<Request> {
    let by = By::decode(&mut Numbers(&reader.take(By::LEN as u64)?))?;
    let act = match kind {
        1 => Act::Put,
        5 => Act::Delete,
        _ => Act::CompareAndSet { expected: Numbers(&reader.take(8)?).u64()? },
    };
    let key = take_key(reader)?;
    // What follows a delete's key is no part of it.
    let value = reader.take(if act == Act::Delete { 0 } else { reader.left() })?;
    Some(Request::Do { by, act, key, value })
}

fn head(reader: &mut Reader<'_>) -> Option<(u8, u64)> {
    let head = reader.take(9)?;
    let mut n = Numbers(&head);
    Some((n.u8()?, n.u64()?))
}

fn take_key(reader: &mut Reader<'_>) -> Option<Bytes> {
    let len = reader.take(2)?;
    let len = u16::from_le_bytes([len[0], len[1]]);
    if usize::from(len) > MAX_KEY {
        return None;
    }
    reader.take(u64::from(len))
}

/// The reply in a frame; `None` if it holds none.
pub(crate) fn decode_reply(frame: &Chunks) -> Option<(u64, Reply)> {
    let mut reader = unseal(frame)?;
    let (kind, id) = head(&mut reader)?;
    let count = match kind {
        1 | 4 | 9 | 12 | 14 => 1,
        2 => 3,
        8 => 5,
        _ => 0,
    };
    let numbers = reader.take(8 * count)?;
    let mut n = Numbers(&numbers);
    let mut next = || n.u64();
    let reply = match kind {
        1 => Reply::Done { version: next()? },
        2 => Reply::Value {
            version: next()?,
            client: next()?,
            op: next()?,
            value: reader.take(reader.left())?,
        },
        3 => Reply::Missing,
        4 => Reply::Redirect { leader: next()? },
        5 => Reply::Busy,
        6 => {
            let code = reader.take(1)?[0];
            Reply::Refused { rule: *Rule::ALL.get(usize::from(code))? }
        }
        7 => Reply::Lost,
        8 => Reply::Status {
            me: next()?,
            leader: next()?,
            index: next()?,
            hash: next()?,
            keys: next()?,
        },
        9 => Reply::Mismatch { version: next()? },
        10 => Reply::NoSession,
        11 => Reply::Stale,
        12 => Reply::Opened { session: next()? },
        13 => take_items(&mut reader)?,
        14 => Reply::Members(Membership {
            index: next()?,
            voters: take_ids(&mut reader)?,
            outgoing: take_ids(&mut reader)?,
            learners: take_ids(&mut reader)?,
        }),
        _ => return None,
    };
    (reader.left() == 0).then_some((id, reply))
}

fn take_items(reader: &mut Reader<'_>) -> Option<Reply> {
    let head = reader.take(5)?;
    let mut n = Numbers(&head);
    let (more, count) = (n.u8()?, n.u32()?);
    // An item is never shorter than its head, so a count that lies is found out early.
    let mut items = Vec::new();
    for _ in 0..count {
        let head = reader.take(ITEM_HEAD - 2)?;
        let mut n = Numbers(&head);
        let (version, client, op, len) = (n.u64()?, n.u64()?, n.u64()?, n.u32()?);
        let key = take_key(reader)?;
        items.push(Item { key, version, client, op, value: reader.take(len.into())? });
    }
    (more <= 1).then_some(Reply::Listing { items, more: more == 1 })
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
