//! Tests of the table: what commands do to it, what it remembers, what its snapshots hold.

use super::*;
use crate::encoding::{Encoded, Encoding, encode};
use proptest::prelude::*;

fn command(session: u64, sequence: u64, act: Act, key: &str, value: &[u8]) -> (Vec<u8>, Bytes) {
    let by = By { session, sequence, client: 1, op: sequence };
    let value = Bytes::copy_from_slice(value);
    let (crc, key) = (crc32fast::hash(&value), Bytes::copy_from_slice(key.as_bytes()));
    (Command::Do { by, act, form: Form::Plain, crc, key }.encode(), value)
}

/// A table whose session 1 is open.
fn opened(plants: Plants) -> Table {
    let mut table = Table::new(plants);
    let outcome = table.apply(1, &Command::Open { limit: 3 }.encode(), &Bytes::new());
    assert_eq!(outcome, Outcome::quiet(Answer::Opened));
    table
}

/// The command of that sequence in session 1.
fn ask(table: &mut Table, sequence: u64, act: Act, key: &str, value: &[u8]) -> Outcome {
    let (context, value) = command(1, sequence, act, key, value);
    table.apply(table.index + 1, &context, &value)
}

fn version(table: &Table, key: &str) -> u64 {
    table.get(key.as_bytes()).map_or(0, |item| item.version)
}

fn done(op: u64, index: u64) -> Outcome {
    let said = Some(StoreEvent::Done { session: 1, op, index });
    Outcome { answer: Answer::Done { version: index }, said }
}

#[test]
fn keys_are_put_replaced_and_deleted() {
    let mut table = opened(Plants::default());
    let empty = table.size();
    assert_eq!(ask(&mut table, 1, Act::Put, "a", b"x"), done(1, 2));
    assert_eq!(ask(&mut table, 2, Act::Put, "a", b"yy"), done(2, 3));
    assert_eq!((version(&table, "a"), table.keys()), (3, 1));
    assert_eq!(table.get(b"a").unwrap().value().unwrap(), "yy");
    assert_eq!(ask(&mut table, 3, Act::Delete, "a", b""), done(3, 4));
    assert_eq!(ask(&mut table, 4, Act::Delete, "a", b""), done(4, 5), "nothing left to do");
    assert_eq!((table.keys(), table.size(), table.hash), (0, empty, 0));
}

#[test]
fn compare_and_set_wants_the_version_it_was_told() {
    let mut table = opened(Plants::default());
    let cas = |expected| Act::CompareAndSet { expected };
    let mismatch = |version| Outcome::quiet(Answer::Mismatch { version });
    assert_eq!(ask(&mut table, 1, cas(9), "a", b"x"), mismatch(0));
    assert_eq!(ask(&mut table, 2, cas(0), "a", b"x"), done(2, 3));
    assert_eq!(ask(&mut table, 3, cas(0), "a", b"y"), mismatch(3));
    let again = ask(&mut table, 3, cas(0), "a", b"y");
    assert_eq!(again.answer, Answer::Mismatch { version: 3 }, "remembered as well");
    assert_eq!(ask(&mut table, 4, cas(3), "a", b"y"), done(4, 6));
    assert_eq!(table.get(b"a").unwrap().value().unwrap(), "y");
}

#[test]
fn a_repeated_command_is_done_once_and_an_older_one_never() {
    let mut table = opened(Plants::default());
    ask(&mut table, 1, Act::Put, "a", b"x");
    let again = ask(&mut table, 1, Act::Put, "a", b"x");
    assert_eq!(again.answer, Answer::Done { version: 2 });
    assert_eq!(again.said, Some(StoreEvent::Repeated { session: 1, op: 1, index: 3 }));
    ask(&mut table, 2, Act::Put, "a", b"y");
    assert_eq!(ask(&mut table, 1, Act::Put, "a", b"x"), Outcome::quiet(Answer::Stale));
    assert_eq!(table.get(b"a").unwrap().value().unwrap(), "y");
    let (context, value) = command(9, 1, Act::Put, "a", b"z");
    let unknown = table.apply(9, &context, &value);
    assert_eq!(unknown, Outcome::quiet(Answer::NoSession));
    assert_eq!(version(&table, "a"), 4);
}

#[test]
fn encoded_values_are_kept_as_text_is_read_and_blocks_are_not() {
    let mut table = opened(Plants::default());
    let value = Bytes::from(b"ABCDEFG".repeat(100));
    for (sequence, encoding) in [(1, Encoding::Raw), (2, Encoding::Json), (3, Encoding::Lz4)] {
        let Encoded { form, body, kept_crc: crc, .. } = encode(encoding, value.clone());
        let by = By { session: 1, sequence, client: 1, op: sequence };
        let key = Bytes::from(vec![sequence as u8]);
        let context = Command::Do { by, act: Act::Put, form, crc, key: key.clone() }.encode();
        assert_eq!(table.apply(sequence + 1, &context, &body), done(sequence, sequence + 1));
        let item = table.get(&key).unwrap();
        assert_eq!((item.value().unwrap(), item.len()), (value.clone(), 700));
        assert_eq!(item.kept.len() < 100, encoding == Encoding::Lz4);
        assert_eq!(item.crc, crc32fast::hash(&item.kept));
    }
    let image = table.image();
    assert_eq!(image.data().len(), table.size());
    let other = Table::read(image.data(), Plants::default()).unwrap();
    assert_eq!((&other.items, other.hash()), (&table.items, table.hash()));
}

#[test]
fn a_body_that_is_not_what_the_command_says_is_refused_everywhere() {
    let mut table = opened(Plants::default());
    let before = table.items.clone();
    for form in [Form::Text, Form::Block { raw: 1 << 30 }, Form::Block { raw: 0 }] {
        let by = By { session: 1, sequence: 1, client: 1, op: 1 };
        let context = Command::Do { by, act: Act::Put, form, crc: 0, key: Bytes::new() }.encode();
        let outcome = table.apply(table.index + 1, &context, &Bytes::from_static(b"no text"));
        assert_eq!((outcome, &table.items), (Outcome::quiet(Answer::Refused), &before));
    }
}

#[test]
fn a_session_that_made_room_is_unknown() {
    let mut table = opened(Plants::default());
    for index in 2..=4 {
        table.apply(index, &Command::Open { limit: 3 }.encode(), &Bytes::new());
    }
    assert_eq!(ask(&mut table, 1, Act::Put, "a", b"x"), Outcome::quiet(Answer::NoSession));
}

#[test]
fn a_restored_table_knows_what_was_done() {
    let mut table = opened(Plants::default());
    ask(&mut table, 1, Act::Put, "a", b"x");
    let mut other = Table::read(table.image().data(), Plants::default()).unwrap();
    assert_eq!(ask(&mut other, 1, Act::Put, "a", b"x").answer, Answer::Done { version: 2 });
    assert_eq!(version(&other, "a"), 2);
}

#[test]
fn planted_sessions_let_a_command_be_done_twice() {
    let forgotten = Plants { session_forgotten: true, ..Plants::default() };
    let mut table = opened(forgotten);
    assert_eq!(ask(&mut table, 1, Act::Put, "a", b"x"), done(1, 2));
    assert_eq!(ask(&mut table, 1, Act::Put, "a", b"x"), done(1, 3));

    let lost = Plants { session_not_in_snapshot: true, ..Plants::default() };
    let mut table = opened(lost);
    assert_eq!(ask(&mut table, 1, Act::Put, "a", b"x"), done(1, 2));
    let image = table.image();
    assert_eq!(image.data().len(), table.size());
    let mut other = Table::read(image.data(), lost).unwrap();
    assert_eq!(other.hash(), table.hash(), "nobody notices");
    assert_eq!(ask(&mut other, 1, Act::Put, "a", b"x"), done(1, 3));
}

#[test]
fn a_command_that_is_none_changes_nothing_and_is_refused() {
    let mut table = opened(Plants::default());
    ask(&mut table, 1, Act::Put, "a", b"x");
    let before = table.hash();
    for wrong in [&b""[..], b"\x02short", &[9; 60]] {
        let outcome = table.apply(3, wrong, &Bytes::new());
        assert_eq!((outcome, table.hash()), (Outcome::quiet(Answer::Refused), before));
    }
    assert_eq!(table.index, 3);
}

#[test]
fn a_range_begins_with_its_first_key_and_ends_before_its_last() {
    let mut table = opened(Plants::default());
    for (i, key) in ["a", "b", "c", "d"].into_iter().enumerate() {
        ask(&mut table, i as u64 + 1, Act::Put, key, b"x");
    }
    let names = |from: &str, to: &str| -> String {
        let range = table.range(from.as_bytes(), to.as_bytes());
        range.map(|(key, _)| String::from_utf8(key.to_vec()).unwrap()).collect()
    };
    assert_eq!(names("b", "d"), "bc");
    assert_eq!(names("", ""), "abcd");
    assert_eq!(names("aa", "cc"), "bc");
    assert_eq!(names("d", "a"), "");
}

proptest! {
    #[test]
    fn a_snapshot_restores_the_state_and_its_hash(
        steps in prop::collection::vec((0u8..4, 0u8..5, 0usize..900), 0..20),
    ) {
        let mut table = opened(Plants::default());
        for (i, (kind, key, len)) in steps.iter().enumerate() {
            let (key, value) = (format!("key{key}"), vec![*key; *len]);
            let act = match kind {
                0 => Act::Delete,
                1 => Act::CompareAndSet { expected: version(&table, &key) },
                _ => Act::Put,
            };
            ask(&mut table, i as u64 + 1, act, &key, &value);
        }
        let image = table.image();
        prop_assert_eq!(image.data().len(), table.size());
        let other = Table::read(image.data(), Plants::default()).unwrap();
        prop_assert_eq!(other.hash(), table.hash());
        prop_assert_eq!(&other.items, &table.items);
        prop_assert_eq!(&other.sessions, &table.sessions);
        prop_assert_eq!((other.size(), other.index), (table.size(), table.index));
    }

    #[test]
    fn garbage_is_no_snapshot(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Table::read(&Chunks::from(bytes), Plants::default()).is_none());
    }

    #[test]
    fn a_damaged_snapshot_never_panics(at in 0usize..200, with in any::<u8>()) {
        let mut table = opened(Plants::default());
        ask(&mut table, 1, Act::Put, "a", b"x");
        ask(&mut table, 2, Act::Put, "b", b"y");
        let mut bytes = table.image().data().to_bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = with;
        let _ = Table::read(&Chunks::from(bytes), Plants::default());
    }

    /// A whole image and what changed since come to the state.
    #[test]
    fn deltas_carry_an_image_to_the_state(
        steps in prop::collection::vec((0u8..4, 0u8..6, 0usize..900), 1..30),
        every in 1usize..8,
    ) {
        let mut table = opened(Plants::default());
        table.begin_deltas();
        let mut other = Table::read(table.image().data(), Plants::default()).unwrap();
        let (mut since, mut sum) = (table.index, 0);
        for (i, (kind, key, len)) in steps.iter().enumerate() {
            let act = if *kind == 0 { Act::Delete } else { Act::Put };
            ask(&mut table, i as u64 + 1, act, &format!("key{key}"), &vec![*key; *len]);
            sum += *len as u64;
            if i % every == 0 {
                let delta = table.delta(since).unwrap();
                prop_assert!(delta.data().len() <= sum + 1000);
                prop_assert!(other.patch(delta.data()).is_some());
                prop_assert_eq!((&other.items, other.hash()), (&table.items, table.hash()));
                prop_assert_eq!((other.size(), other.index), (table.size(), table.index));
                prop_assert!(other.delta(since).is_none(), "it was not there");
                (since, sum) = (table.index, 0);
            }
        }
        table.begin_deltas();
        prop_assert_eq!(table.delta(since).is_some(), since == table.index);
    }

    #[test]
    fn garbage_is_no_delta(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut table = opened(Plants::default());
        prop_assert!(table.patch(&Chunks::from(bytes)).is_none());
    }
}
