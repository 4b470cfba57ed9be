//! What clients and nodes say to each other: small binary frames, a header and at most one value
//! that stays a shared slice. A reply names the request it answers, so many may be under way on a
//! connection. Lengths are compared with what is there before anything is made of them.
//!
//! ```text
//! request   1 put     kind u8, request u64, client u64, op u64, key length u16, key, value
//!           2 get     kind u8, request u64, key length u16, key
//!           3 status  kind u8, request u64
//! reply     kind u8, request u64, then by kind: version u64 | version, client, op u64 and value |
//!           nothing | leader u64 | code u8 | leader, index, hash, keys u64
//! ```

use bytes::{BufMut, Bytes};
use host::Chunks;
use raft_driver::rope::{Numbers, Reader};

/// Longest key.
pub(crate) const MAX_KEY: usize = 1024;

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Put { client: u64, op: u64, key: Bytes, value: Bytes },
    Get { key: Bytes },
    Status,
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
    Refused,
    /// Nobody knows what became of it.
    Lost,
    Status {
        leader: u64,
        index: u64,
        hash: u64,
        keys: u64,
    },
}

/// A request in a frame.
pub(crate) fn encode_request(id: u64, request: &Request) -> Chunks {
    let mut out = Vec::with_capacity(64);
    match request {
        Request::Put { client, op, key, value } => {
            out.put_u8(1);
            out.put_u64_le(id);
            out.put_u64_le(*client);
            out.put_u64_le(*op);
            put_key(&mut out, key);
            with_body(out, value)
        }
        Request::Get { key } => {
            out.put_u8(2);
            out.put_u64_le(id);
            put_key(&mut out, key);
            out.into()
        }
        Request::Status => {
            out.put_u8(3);
            out.put_u64_le(id);
            out.into()
        }
    }
}

fn put_key(out: &mut Vec<u8>, key: &Bytes) {
    assert!(key.len() <= MAX_KEY, "a key of {} bytes", key.len());
    out.put_u16_le(key.len() as u16);
    out.put_slice(key);
}

fn with_body(head: Vec<u8>, body: &Bytes) -> Chunks {
    let mut frame = Chunks::from(head);
    frame.push(body.clone());
    frame
}

/// A reply in a frame.
pub(crate) fn encode_reply(id: u64, reply: &Reply) -> Chunks {
    let mut out = Vec::with_capacity(41);
    let mut head = |kind: u8, numbers: &[u64]| {
        out.put_u8(kind);
        out.put_u64_le(id);
        numbers.iter().for_each(|n| out.put_u64_le(*n));
    };
    match reply {
        Reply::Done { version } => head(1, &[*version]),
        Reply::Value { version, client, op, value } => {
            head(2, &[*version, *client, *op]);
            return with_body(out, value);
        }
        Reply::Missing => head(3, &[]),
        Reply::Redirect { leader } => head(4, &[*leader]),
        Reply::Busy => head(5, &[]),
        Reply::Refused => head(6, &[]),
        Reply::Lost => head(7, &[]),
        Reply::Status { leader, index, hash, keys } => head(8, &[*leader, *index, *hash, *keys]),
    }
    out.into()
}

/// The request in a frame; `None` if it holds none.
pub(crate) fn decode_request(frame: &Chunks) -> Option<(u64, Request)> {
    let mut reader = Reader::new(frame);
    let (kind, id) = head(&mut reader)?;
    let request = match kind {
        1 => {
            let ids = reader.take(16)?;
            let mut n = Numbers(&ids);
            let (client, op) = (n.u64()?, n.u64()?);
            let key = take_key(&mut reader)?;
            Request::Put { client, op, key, value: reader.take(reader.left())? }
        }
        2 => Request::Get { key: take_key(&mut reader)? },
        3 => Request::Status,
        _ => return None,
    };
    (reader.left() == 0).then_some((id, request))
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
    let mut reader = Reader::new(frame);
    let (kind, id) = head(&mut reader)?;
    let count = match kind {
        1 | 4 => 1,
        2 => 3,
        8 => 4,
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
        6 => Reply::Refused,
        7 => Reply::Lost,
        8 => Reply::Status { leader: next()?, index: next()?, hash: next()?, keys: next()? },
        _ => return None,
    };
    (reader.left() == 0).then_some((id, reply))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(max: usize) -> impl Strategy<Value = Bytes> {
        prop::collection::vec(any::<u8>(), 0..max).prop_map(Bytes::from)
    }

    fn request() -> impl Strategy<Value = Request> {
        prop_oneof![
            (any::<u64>(), any::<u64>(), bytes(40), bytes(2000))
                .prop_map(|(client, op, key, value)| Request::Put { client, op, key, value }),
            bytes(40).prop_map(|key| Request::Get { key }),
            Just(Request::Status),
        ]
    }

    fn reply() -> impl Strategy<Value = Reply> {
        let n = any::<u64>;
        prop_oneof![
            n().prop_map(|version| Reply::Done { version }),
            (n(), n(), n(), bytes(2000)).prop_map(|(version, client, op, value)| Reply::Value {
                version,
                client,
                op,
                value
            }),
            Just(Reply::Missing),
            n().prop_map(|leader| Reply::Redirect { leader }),
            Just(Reply::Busy),
            Just(Reply::Refused),
            Just(Reply::Lost),
            (n(), n(), n(), n()).prop_map(|(leader, index, hash, keys)| Reply::Status {
                leader,
                index,
                hash,
                keys
            }),
        ]
    }

    proptest! {
        #[test]
        fn requests_and_replies_arrive(id in any::<u64>(), request in request(), reply in reply()) {
            prop_assert_eq!(decode_request(&encode_request(id, &request)), Some((id, request)));
            prop_assert_eq!(decode_reply(&encode_reply(id, &reply)), Some((id, reply)));
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let frame = Chunks::from(bytes);
            let _ = decode_request(&frame);
            let _ = decode_reply(&frame);
        }
    }
}
