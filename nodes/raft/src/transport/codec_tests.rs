//! Round trips, sharing of bodies, and garbage.

use super::*;
use proptest::prelude::*;
use raft::eraftpb::{Entry, EntryType};

fn append(group: u32, lens: &[usize]) -> Envelope {
    let mut message = Message::default();
    message.set_msg_type(MessageType::MsgAppend);
    (message.from, message.to, message.term, message.index) = (1, 2, 7, 41);
    let entries: Vec<Entry> = lens
        .iter()
        .enumerate()
        .map(|(i, len)| {
            let mut e = Entry::default();
            (e.index, e.term) = (42 + i as u64, 7);
            e.data = vec![i as u8; *len].into();
            e.context = crate::chain::seal(b"9", crc32fast::hash(&e.data));
            e
        })
        .collect();
    message.set_entries(entries.into());
    Envelope { group, message }
}

fn heartbeat() -> Envelope {
    let mut message = Message::default();
    message.set_msg_type(MessageType::MsgHeartbeat);
    message.to = 3;
    Envelope { group: 0, message }
}

fn all(frame: &Chunks) -> Result<Vec<Envelope>, Garbage> {
    let mut out = Vec::new();
    decode(frame, Sums::Compared, |e| out.push(e)).map(|()| out)
}

#[test]
fn bodies_are_shared_not_copied() {
    let sent = append(4, &[100_000]);
    let body = sent.message.entries[0].data.clone();
    let frame = encode(&mut Some(sent).into_iter(), |_| true);
    let got = all(&frame.data).unwrap();
    assert_eq!(got[0].message.entries[0].data.as_ptr(), body.as_ptr());
}

#[test]
fn the_class_is_append_as_soon_as_one_is_there() {
    let frame = |messages: Vec<Envelope>| encode(&mut messages.into_iter(), |_| true).class;
    assert_eq!(frame(vec![heartbeat(), heartbeat()]), Class("heartbeat"));
    assert_eq!(frame(vec![heartbeat(), append(1, &[])]), Class("append"));
    assert_eq!(frame(vec![append(1, &[3]), heartbeat()]), Class("append"));
}

/// What becomes of a message whose entries were changed.
fn changed(change: impl FnOnce(&mut Message)) -> Result<(), Garbage> {
    let mut envelope = append(1, &[10, 20, 30]);
    change(&mut envelope.message);
    all(&encode(&mut Some(envelope).into_iter(), |_| true).data).map(drop)
}

#[test]
fn entries_that_the_log_could_not_take_are_garbage() {
    assert_eq!(changed(|_| {}), Ok(()));
    assert!(changed(|m| m.entries[1].index += 1).is_err());
    assert!(changed(|m| m.entries[2].index -= 1).is_err());
    assert!(changed(|m| m.index -= 1).is_err());
    assert!(changed(|m| m.log_term = 8).is_err());
    assert!(changed(|m| m.entries[0].term = 6).is_ok());
    assert!(changed(|m| m.entries[1].term = 6).is_err());
    assert!(changed(|m| m.entries[2].term = 8).is_err());
    assert!(changed(|m| m.entries[0].context = vec![0; MAX_CONTEXT + 1].into()).is_err());
    assert!(changed(|m| m.entries[0].context = vec![0; 3].into()).is_err());
    assert!(changed(|m| m.entries[0].context.clear()).is_err());
    assert!(changed(|m| m.entries[0].entry_type = EntryType::EntryConfChangeV2).is_err());
    assert!(changed(|m| m.entries[0].data = vec![1; 10].into()).is_err(), "another body");
}

proptest! {
    #[test]
    fn what_is_sent_arrives(
        shapes in prop::collection::vec(
            (any::<u32>(), prop::collection::vec(0usize..900, 0..5)), 1..6,
        ),
        split in any::<bool>(),
    ) {
        let sent: Vec<Envelope> = shapes.iter().map(|(group, lens)| append(*group, lens)).collect();
        let frame = encode(&mut sent.clone().into_iter(), |_| true);
        let mut data = frame.data;
        if split {
            let flat = data.to_bytes();
            data = Chunks::new();
            flat.chunks(7).for_each(|c| data.push(c.to_vec().into()));
        }
        prop_assert_eq!(all(&data).unwrap(), sent);
    }

    #[test]
    fn garbage_is_refused_or_read_but_never_panics(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let _ = decode(&Chunks::from(bytes.clone()), Sums::Ignored, drop);
        let _ = decode_one(&Chunks::from(bytes));
    }

    #[test]
    fn damage_is_found_and_never_panics(
        at in any::<prop::sample::Index>(), flip in 1u8.., cut in any::<prop::sample::Index>(),
    ) {
        let frame = encode(&mut vec![append(1, &[10, 300]), heartbeat()].into_iter(), |_| true);
        let mut bytes = frame.data.to_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert!(all(&Chunks::from(bytes.clone())).is_err());
        let _ = decode(&Chunks::from(bytes.clone()), Sums::Ignored, drop);
        bytes.truncate(cut.index(bytes.len()));
        prop_assert!(all(&Chunks::from(bytes.clone())).is_err());
        let _ = decode(&Chunks::from(bytes), Sums::Ignored, drop);
    }
}
