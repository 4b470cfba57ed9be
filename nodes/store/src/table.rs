//! The state machine: keys, each with its value, the version that the value is, and who put it, and
//! the sessions of the clients. A value is the slice of the frame it arrived in; snapshots share it
//! too. The hash of the state is a sum over keys and sessions, so a command changes it in constant
//! time, and equal states have equal hashes whatever led to them.
//!
//! A command that repeats the last one of its session is answered again and not done again; see
//! `session`. A version is the log index of the command that made it, so a key that was deleted and
//! comes again has a greater one. Left out: tombstones, expiry, several keys at once.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use host::{Chunks, Host, Mono, Plant};
use raft_driver::rope::{Numbers, Reader};
use raft_driver::{GENESIS, Image, StateMachine, chain};

use crate::command::{Act, Answer, By, Command, MAX_KEY};
use crate::event::StoreEvent;
use crate::session::{self, Sessions, Standing};

/// A key's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) value: Bytes,
    pub(crate) crc: u32,
    /// The log index of the command that made it.
    pub(crate) version: u64,
    pub(crate) client: u64,
    pub(crate) op: u64,
}

fn item_hash(key: &[u8], item: &Item) -> u64 {
    let named = chain(GENESIS, item.version, key.len() as u64, crc32fast::hash(key), item.crc);
    chain(named, item.client, item.op, item.value.len() as u32, 0)
}

/// Deliberate defects, looked up once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Plants {
    session_forgotten: bool,
    session_not_in_snapshot: bool,
    session_expires_by_own_clock: bool,
    cas_blind: bool,
    delete_forgotten: bool,
}

/// Planted: how long a session may be idle by a node's own clock.
const IDLE: Duration = Duration::from_millis(500);

/// What became of an entry.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    answer: Answer,
    said: Option<StoreEvent>,
}

impl Outcome {
    fn quiet(answer: Answer) -> Outcome {
        Outcome { answer, said: None }
    }
}

/// All keys and sessions.
#[derive(Debug, Default)]
pub(crate) struct Table {
    items: BTreeMap<Bytes, Item>,
    sessions: Sessions,
    /// Of the items.
    hash: u64,
    /// Bytes of the items in a snapshot.
    bytes: u64,
    /// The last log index that went through.
    pub(crate) index: u64,
    plants: Plants,
    /// Planted: when this node applied its last entries.
    applied: VecDeque<(u64, Mono)>,
}

/// Bytes of a snapshot's head, and of what stands before each item's key.
const HEAD: u64 = 24;
const ITEM_HEAD: usize = 36;

impl Table {
    pub(crate) fn get(&self, key: &[u8]) -> Option<&Item> {
        self.items.get(key)
    }

    /// The items from `from` on, in order; before `to` unless that is empty.
    pub(crate) fn range<'a>(
        &'a self,
        from: &'a [u8],
        to: &'a [u8],
    ) -> impl Iterator<Item = (&'a Bytes, &'a Item)> {
        let lower = Bound::Included(from);
        let before = move |key: &Bytes| to.is_empty() || key[..] < *to;
        self.items.range::<[u8], _>((lower, Bound::Unbounded)).take_while(move |(k, _)| before(k))
    }

    pub(crate) fn keys(&self) -> u64 {
        self.items.len() as u64
    }

    pub(crate) fn hash(&self) -> u64 {
        // Who forgets that sessions are state does not sum them either.
        match self.plants.session_not_in_snapshot {
            true => self.hash,
            false => self.hash.wrapping_add(self.sessions.hash()),
        }
    }

    fn apply(&mut self, index: u64, context: &[u8], value: &Bytes) -> Outcome {
        self.index = index;
        match Command::decode(context) {
            Some(Command::Open { limit }) => {
                self.sessions.open(index, limit);
                Outcome::quiet(Answer::Opened)
            }
            Some(Command::Do { by, act, crc, key }) => {
                let standing = self.sessions.standing(&by);
                match standing {
                    Standing::Last(answer) if !self.plants.session_forgotten => {
                        self.sessions.touch(by.session, index);
                        let (session, op) = (by.session, by.sequence);
                        let said = Some(StoreEvent::Repeated { session, op, index });
                        return Outcome { answer, said };
                    }
                    Standing::Older => {
                        self.sessions.touch(by.session, index);
                        return Outcome::quiet(Answer::Stale);
                    }
                    // A table that came without its sessions could not serve anybody if it did not
                    // take an unknown one on trust; that is how the defect would go unnoticed.
                    Standing::Unknown if !self.plants.session_not_in_snapshot => {
                        return Outcome::quiet(Answer::NoSession);
                    }
                    Standing::Next | Standing::Last(_) | Standing::Unknown => {}
                }
                let outcome = self.act(index, by, act, crc, key, value);
                self.sessions.remember(&by, outcome.answer, index);
                outcome
            }
            // Every node finds the same bytes at this index, so every node refuses them, at every
            // boot; dying of them would be just as unanimous.
            None => Outcome::quiet(Answer::Refused),
        }
    }

    /// Planted: time is not replicated, so whoever replays a log later finds other sessions idle.
    /// Leases of keys in etcd end by proposals of the leader for this reason, as do sessions in
    /// ZooKeeper.
    fn expire(&mut self, index: u64, now: Mono) {
        self.applied.push_back((index, now));
        while self.applied.front().is_some_and(|(_, at)| now.since(*at) > IDLE) {
            let (index, _) = self.applied.pop_front().expect("looked at above");
            self.sessions.expire(index);
        }
    }

    fn act(
        &mut self,
        index: u64,
        by: By,
        act: Act,
        crc: u32,
        key: Bytes,
        value: &Bytes,
    ) -> Outcome {
        let version = self.items.get(&key).map_or(0, |item| item.version);
        let mismatch = matches!(act, Act::CompareAndSet { expected } if expected != version);
        if mismatch && !self.plants.cas_blind {
            return Outcome::quiet(Answer::Mismatch { version });
        }
        if act != Act::Delete || !self.plants.delete_forgotten {
            self.remove(&key);
        }
        if act != Act::Delete {
            let By { client, op, .. } = by;
            let item = Item { value: value.clone(), crc, version: index, client, op };
            self.insert(key, item);
        }
        let said = StoreEvent::Done { session: by.session, op: by.sequence, index };
        Outcome { answer: Answer::Done { version: index }, said: Some(said) }
    }

    fn remove(&mut self, key: &Bytes) {
        if let Some(old) = self.items.remove(key) {
            self.hash = self.hash.wrapping_sub(item_hash(key, &old));
            self.bytes -= (ITEM_HEAD + key.len() + old.value.len()) as u64;
        }
    }

    /// Adds a key that is not there.
    fn insert(&mut self, key: Bytes, item: Item) {
        self.hash = self.hash.wrapping_add(item_hash(&key, &item));
        self.bytes += (ITEM_HEAD + key.len() + item.value.len()) as u64;
        let before = self.items.insert(key, item);
        debug_assert!(before.is_none(), "a key is removed before it comes anew");
    }

    /// Sessions that a snapshot takes along.
    fn kept_sessions(&self) -> usize {
        if self.plants.session_not_in_snapshot { 0 } else { self.sessions.len() }
    }

    fn size(&self) -> u64 {
        HEAD + self.bytes + (self.kept_sessions() * session::LEN) as u64
    }

    fn image(&self) -> Image {
        let mut image = Image::new();
        let mut flat = BytesMut::new();
        flat.put_u64_le(self.items.len() as u64);
        flat.put_u64_le(self.index);
        flat.put_u64_le(self.kept_sessions() as u64);
        if self.kept_sessions() > 0 {
            self.sessions.encode(&mut flat);
        }
        for (key, item) in &self.items {
            flat.put_u32_le(key.len() as u32);
            flat.put_u32_le(item.value.len() as u32);
            flat.put_u32_le(item.crc);
            flat.put_u64_le(item.version);
            flat.put_u64_le(item.client);
            flat.put_u64_le(item.op);
            flat.put_slice(key);
            image.push(flat.split().freeze());
            image.push_summed(item.value.clone(), item.crc);
        }
        image.push(flat.freeze());
        image
    }

    /// The table in an image. Keys must rise: what two keys mean by one name nobody could say.
    fn read(image: &Chunks, plants: Plants) -> Option<Table> {
        let mut reader = Reader::new(image);
        let head = reader.take(HEAD)?;
        let mut n = Numbers(&head);
        let (count, index, sessions) = (n.u64()?, n.u64()?, n.u64()?);
        let sessions = reader.take(sessions.checked_mul(session::LEN as u64)?)?;
        let sessions = Sessions::decode(&sessions, index)?;
        let mut table = Table { sessions, index, plants, ..Table::default() };
        for _ in 0..count {
            let head = reader.take(ITEM_HEAD as u64)?;
            let mut n = Numbers(&head);
            let (key_len, value_len, crc) = (n.u32()?, n.u32()?, n.u32()?);
            let (version, client, op) = (n.u64()?, n.u64()?, n.u64()?);
            let key = reader.take(u64::from(key_len))?;
            let value = reader.take(u64::from(value_len))?;
            // A key of a few bytes must not keep the whole of a snapshot's buffer.
            let key = Bytes::copy_from_slice(&key);
            let rises = table.items.last_key_value().is_none_or(|(last, _)| *last < key);
            if !rises || key.len() > MAX_KEY || !(1..=index).contains(&version) {
                return None;
            }
            table.insert(key, Item { value, crc, version, client, op });
        }
        (reader.left() == 0).then_some(table)
    }
}

/// The table, shared between the state machine and those who read it.
#[derive(Clone)]
pub(crate) struct SharedTable {
    host: Host,
    table: Arc<Mutex<Table>>,
}

impl SharedTable {
    pub(crate) fn new(host: &Host) -> SharedTable {
        let plants = Plants {
            session_forgotten: host.planted(Plant("session_forgotten")),
            session_not_in_snapshot: host.planted(Plant("session_not_in_snapshot")),
            session_expires_by_own_clock: host.planted(Plant("session_expires_by_own_clock")),
            cas_blind: host.planted(Plant("cas_blind")),
            delete_forgotten: host.planted(Plant("delete_forgotten")),
        };
        let table = Table { plants, ..Table::default() };
        SharedTable { host: host.clone(), table: Arc::new(Mutex::new(table)) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateMachine for SharedTable {
    fn apply(&mut self, index: u64, _: u64, context: &Bytes, data: &Bytes) -> Bytes {
        let mut table = self.lock();
        if table.plants.session_expires_by_own_clock {
            table.expire(index, self.host.clock().now());
        }
        let Outcome { answer, said } = table.apply(index, context, data);
        drop(table);
        if let Some(event) = said {
            self.host.emit(event);
        }
        Bytes::copy_from_slice(&answer.encode())
    }

    fn snapshot(&self) -> Image {
        self.lock().image()
    }

    fn restore(&mut self, image: Chunks) -> io::Result<()> {
        let mut table = self.lock();
        *table = Table::read(&image, table.plants).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "the snapshot is not one of a store")
        })?;
        Ok(())
    }

    fn state_hash(&self) -> u64 {
        self.lock().hash()
    }

    fn size(&self) -> u64 {
        self.lock().size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn command(session: u64, sequence: u64, act: Act, key: &str, value: &[u8]) -> (Vec<u8>, Bytes) {
        let by = By { session, sequence, client: 1, op: sequence };
        let value = Bytes::copy_from_slice(value);
        let (crc, key) = (crc32fast::hash(&value), Bytes::copy_from_slice(key.as_bytes()));
        (Command::Do { by, act, crc, key }.encode(), value)
    }

    /// A table whose session 1 is open.
    fn opened(plants: Plants) -> Table {
        let mut table = Table { plants, ..Table::default() };
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
        assert_eq!(table.get(b"a").unwrap().value, "yy");
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
        assert_eq!(table.get(b"a").unwrap().value, "y");
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
        assert_eq!(table.get(b"a").unwrap().value, "y");
        let (context, value) = command(9, 1, Act::Put, "a", b"z");
        let unknown = table.apply(9, &context, &value);
        assert_eq!(unknown, Outcome::quiet(Answer::NoSession));
        assert_eq!(version(&table, "a"), 4);
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
    }
}
