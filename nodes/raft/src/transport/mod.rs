//! How messages travel between peers. `codec` turns the messages of one loop turn into frames,
//! `link` is the sending side towards one peer, `accept` the receiving side. Each node dials each
//! peer for what it sends itself; a connection's first frame is a hello that says who is there and
//! of which cluster.

pub(crate) mod accept;
pub(crate) mod codec;
pub(crate) mod link;

use bytes::{BufMut, Bytes, BytesMut};
use host::{Chunks, Members};

use crate::rope::Numbers;

/// What a hello begins with. The version counts: the frames of one are garbage to another.
const HELLO: u32 = 0x5754_4b32;
/// Magic, purpose, id, cluster, and the crc32 of these.
const HELLO_LEN: usize = 25;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Frames of messages, one way.
    Stream,
    /// Frames of messages, each answered.
    Request,
    /// One snapshot.
    Snapshot,
}

/// A number that two nodes share if and only if they were given the same members, and the same
/// number of first voters.
pub(crate) fn cluster_hash(members: &Members, voters: u64) -> u64 {
    members.all.iter().fold(crate::chain::GENESIS.wrapping_add(voters), |hash, m| {
        crate::chain::chain(hash, m.id, 0, crc32fast::hash(m.name.as_bytes()), 0)
    })
}

/// The first frame of a connection.
pub(crate) fn hello(purpose: Purpose, me: u64, cluster: u64) -> Chunks {
    let mut out = BytesMut::with_capacity(HELLO_LEN);
    out.put_u32_le(HELLO);
    out.put_u8(purpose as u8);
    out.put_u64_le(me);
    out.put_u64_le(cluster);
    let sum = crc32fast::hash(&out);
    out.put_u32_le(sum);
    out.freeze().into()
}

/// Who says hello, and why; `None` if it is none or of another cluster.
pub(crate) fn read_hello(frame: &Chunks, cluster: u64) -> Option<(Purpose, u64)> {
    let whole = frame.len() == HELLO_LEN as u64;
    let flat: Bytes = if whole { frame.to_bytes() } else { return None };
    let mut n = Numbers(&flat);
    let (magic, purpose, from, theirs) = (n.u32()?, n.u8()?, n.u64()?, n.u64()?);
    if n.u32()? != crc32fast::hash(&flat[..HELLO_LEN - 4]) {
        return None;
    }
    let purpose = match purpose {
        0 => Purpose::Stream,
        1 => Purpose::Request,
        2 => Purpose::Snapshot,
        _ => return None,
    };
    (magic == HELLO && theirs == cluster).then_some((purpose, from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_of_another_cluster_is_none() {
        let frame = hello(Purpose::Request, 3, 77);
        assert_eq!(read_hello(&frame, 77), Some((Purpose::Request, 3)));
        assert_eq!(read_hello(&frame, 78), None);
        assert_eq!(read_hello(&Chunks::from(vec![0; HELLO_LEN]), 77), None);
        for at in 0..HELLO_LEN {
            let mut damaged = hello(Purpose::Request, 3, 77).to_bytes().to_vec();
            damaged[at] ^= 1;
            assert_eq!(read_hello(&Chunks::from(damaged), 77), None);
        }
    }
}
