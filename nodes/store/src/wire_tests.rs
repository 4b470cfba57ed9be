//! Round trips of requests and replies, and garbage.

use super::*;
use crate::command::tests::{act, by};
use proptest::prelude::*;

fn bytes(max: usize) -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..max).prop_map(Bytes::from)
}

fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        (by(), act(), bytes(40), bytes(2000)).prop_map(|(by, act, key, value)| {
            let value = if act == Act::Delete { Bytes::new() } else { value };
            Request::Do { by, act, key, value }
        }),
        bytes(40).prop_map(|key| Request::Get { key }),
        (bytes(40), bytes(40), any::<u32>()).prop_map(|(from, to, limit)| Request::Range {
            from,
            to,
            limit
        }),
        Just(Request::Status),
        Just(Request::Open),
        any::<u64>().prop_map(|to| Request::Transfer { to }),
        Just(Request::Members),
        (ids(), ids(), any::<bool>(), any::<Option<u64>>()).prop_map(
            |(voters, learners, catch_up, since)| {
                Request::Change(Target { voters, learners, catch_up, since })
            },
        ),
    ]
}

fn ids() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(any::<u64>(), 0..9)
}

fn item() -> impl Strategy<Value = Item> {
    (bytes(40), any::<[u64; 3]>(), bytes(300))
        .prop_map(|(key, [version, client, op], value)| Item { key, version, client, op, value })
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
        prop::sample::select(&Rule::ALL).prop_map(|rule| Reply::Refused { rule }),
        Just(Reply::Lost),
        any::<[u64; 5]>().prop_map(|[me, leader, index, hash, keys]| Reply::Status {
            me,
            leader,
            index,
            hash,
            keys
        }),
        n().prop_map(|version| Reply::Mismatch { version }),
        Just(Reply::NoSession),
        Just(Reply::Stale),
        n().prop_map(|session| Reply::Opened { session }),
        (any::<u64>(), ids(), ids(), ids()).prop_map(|(index, voters, outgoing, learners)| {
            Reply::Members(Membership { index, voters, outgoing, learners })
        }),
        (prop::collection::vec(item(), 0..5), any::<bool>())
            .prop_map(|(items, more)| Reply::Listing { items, more }),
    ]
}

proptest! {
    #[test]
    fn requests_and_replies_arrive(id in any::<u64>(), request in request(), reply in reply()) {
        prop_assert_eq!(decode_request(&encode_request(id, &request)), Some((id, request)));
        let frame = encode_reply(id, &reply);
        if let Reply::Listing { items, .. } = &reply {
            let len: u64 = items.iter().map(|i| Item::len(&i.key, i.value.len() as u64)).sum();
            prop_assert_eq!(frame.len(), 18 + len);
        }
        prop_assert_eq!(decode_reply(&frame), Some((id, reply)));
    }

    #[test]
    fn garbage_never_panics(
        kind in 0u8..16,
        rest in prop::collection::vec(any::<u8>(), 0..150),
    ) {
        let frame = seal([vec![0; SUM], vec![kind], rest].concat(), &[]);
        let _ = decode_request(&frame);
        let _ = decode_reply(&frame);
    }

    #[test]
    fn a_frame_cut_short_is_nothing(
        request in request(),
        reply in reply(),
        cut in any::<u16>(),
    ) {
        let short = |frame: Chunks| frame.slice(0, u64::from(cut) % frame.len());
        prop_assert_eq!(decode_request(&short(encode_request(1, &request))), None);
        prop_assert_eq!(decode_reply(&short(encode_reply(1, &reply))), None);
    }

    #[test]
    fn a_damaged_frame_is_nothing(
        request in request(),
        reply in reply(),
        at in any::<prop::sample::Index>(),
        flip in 1u8..,
    ) {
        let damage = |frame: Chunks| {
            let mut bytes = frame.to_bytes().to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            Chunks::from(bytes)
        };
        prop_assert_eq!(decode_request(&damage(encode_request(1, &request))), None);
        prop_assert_eq!(decode_reply(&damage(encode_reply(1, &reply))), None);
    }
}

#[test]
fn a_count_that_lies_is_no_listing() {
    let frame = encode_reply(1, &Reply::Listing { items: Vec::new(), more: false });
    let mut bytes = frame.to_bytes().to_vec();
    let at = bytes.len() - 4;
    bytes[at..].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(decode_reply(&seal(bytes, &[])), None);
}
