//! The state machine: keys, each with its value, the version that the value is, and who put it, and
//! the sessions of the clients. A value is the slice of the frame it arrived in, or the block that it
//! was compressed to (see `encoding`); snapshots share it too. The hash of the state is a sum over keys
//! and sessions, so a command changes it in constant time, and equal states have equal hashes whatever
//! led to them.
//!
//! A command that repeats the last one of its session is answered again and not done again; see
//! `session`. A version is the log index of the command that made it, so a key that was deleted and
//! comes again has a greater one. Left out: tombstones, expiry, several keys at once.

use std::collections::{BTreeMap, VecDeque};
use std::ops::{Bound, RangeInclusive};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use host::{Chunks, Memory, Mono};
use raft_driver::rope::{Numbers, Reader};
use raft_driver::{GENESIS, Image, chain};

use crate::command::{Act, Answer, By, Command, MAX_KEY};
use crate::encoding::{self, Form};
use crate::event::StoreEvent;
use crate::session::{self, Sessions, Standing};

mod delta;

/// A key's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// As it is kept: the value, or a block that holds it.
    kept: Bytes,
    /// The value's length if a block is kept, else 0.
    packed: u32,
    /// Of what is kept.
    crc: u32,
    /// The log index of the command that made it.
    pub(crate) version: u64,
    pub(crate) client: u64,
    pub(crate) op: u64,
}

impl Item {
    /// The value's length.
    pub(crate) fn len(&self) -> u64 {
        if self.packed > 0 { u64::from(self.packed) } else { self.kept.len() as u64 }
    }

    /// The value; `None` if what is kept holds none.
    pub(crate) fn value(&self) -> Option<Bytes> {
        match self.packed {
            0 => Some(self.kept.clone()),
            raw => encoding::unpack(&self.kept, raw),
        }
    }

    /// Bytes in a snapshot, under a key of that length.
    fn stored(&self, key: usize) -> u64 {
        let length = if self.packed > 0 { PACKED_HEAD } else { 0 };
        (ITEM_HEAD + length + key + self.kept.len()) as u64
    }
}

fn item_hash(key: &[u8], item: &Item) -> u64 {
    let named = chain(GENESIS, item.version, key.len() as u64, crc32fast::hash(key), item.crc);
    chain(named, item.client, item.op, item.kept.len() as u32, item.packed)
}

/// Deliberate defects, looked up once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Plants {
    pub(crate) session_forgotten: bool,
    pub(crate) session_not_in_snapshot: bool,
    pub(crate) session_expires_by_own_clock: bool,
    pub(crate) cas_blind: bool,
    pub(crate) delete_forgotten: bool,
    pub(crate) delta_skips_removed: bool,
}

/// Planted: how long a session may be idle by a node's own clock.
const IDLE: Duration = Duration::from_millis(500);

/// What became of an entry.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) answer: Answer,
    pub(crate) said: Option<StoreEvent>,
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
    /// Keys that are gone, with the index of the command that removed them, and since when they are
    /// noted here.
    removed: BTreeMap<Bytes, u64>,
    deltas_from: u64,
    pub(crate) plants: Plants,
    /// Where values that were decoded are kept.
    pub(crate) memory: Option<Memory>,
    /// Planted: when this node applied its last entries.
    applied: VecDeque<(u64, Mono)>,
}

/// Bytes of a snapshot's head, and of what stands before each item's key.
const HEAD: u64 = 24;
const ITEM_HEAD: usize = 36;
/// Flag of a key's length: before the key stands the length of the value that a block holds.
const PACKED: u32 = 1 << 31;
const PACKED_HEAD: usize = 4;

/// What the table keeps of a command's body, and the length of the value if that is a block. `None`
/// if the body is not what the command says.
fn kept(form: Form, body: &Bytes, memory: Option<&Memory>) -> Option<(Bytes, u32)> {
    match form {
        Form::Plain => Some((body.clone(), 0)),
        Form::Text => {
            let value = encoding::from_text(body)?;
            Some((memory.map_or(value.clone(), |memory| memory.share(value)), 0))
        }
        Form::Block { raw } => encoding::is_plausible(body.len(), raw).then(|| (body.clone(), raw)),
    }
}

impl Table {
    /// No keys and no sessions.
    pub(crate) fn new(plants: Plants) -> Table {
        Table { plants, ..Table::default() }
    }

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

    pub(crate) fn apply(&mut self, index: u64, context: &[u8], value: &Bytes) -> Outcome {
        self.index = index;
        match Command::decode(context) {
            Some(Command::Open { limit }) => {
                self.sessions.open(index, limit);
                Outcome::quiet(Answer::Opened)
            }
            Some(Command::Do { by, act, form, crc, key }) => {
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
                let Some((kept, packed)) = kept(form, value, self.memory.as_ref()) else {
                    return Outcome::quiet(Answer::Refused);
                };
                let item = Item { kept, packed, crc, version: index, client: by.client, op: by.op };
                let outcome = self.act(by, act, key, item);
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
    pub(crate) fn expire(&mut self, index: u64, now: Mono) {
        self.applied.push_back((index, now));
        while self.applied.front().is_some_and(|(_, at)| now.since(*at) > IDLE) {
            let (index, _) = self.applied.pop_front().expect("looked at above");
            self.sessions.expire(index);
        }
    }

    fn act(&mut self, by: By, act: Act, key: Bytes, item: Item) -> Outcome {
        let version = self.items.get(&key).map_or(0, |item| item.version);
        let mismatch = matches!(act, Act::CompareAndSet { expected } if expected != version);
        if mismatch && !self.plants.cas_blind {
            return Outcome::quiet(Answer::Mismatch { version });
        }
        if act != Act::Delete || !self.plants.delete_forgotten {
            self.remove(&key);
        }
        let index = item.version;
        if act != Act::Delete {
            self.removed.remove(&key);
            self.insert(key, item);
        } else if version > 0 {
            self.removed.insert(key, index);
        }
        let said = StoreEvent::Done { session: by.session, op: by.sequence, index };
        Outcome { answer: Answer::Done { version: index }, said: Some(said) }
    }

    fn remove(&mut self, key: &Bytes) {
        if let Some(old) = self.items.remove(key) {
            self.hash = self.hash.wrapping_sub(item_hash(key, &old));
            self.bytes -= old.stored(key.len());
        }
    }

    /// Adds a key that is not there.
    fn insert(&mut self, key: Bytes, item: Item) {
        self.hash = self.hash.wrapping_add(item_hash(&key, &item));
        self.bytes += item.stored(key.len());
        let before = self.items.insert(key, item);
        debug_assert!(before.is_none(), "a key is removed before it comes anew");
    }

    /// Sessions that a snapshot takes along.
    fn kept_sessions(&self) -> usize {
        if self.plants.session_not_in_snapshot { 0 } else { self.sessions.len() }
    }

    pub(crate) fn size(&self) -> u64 {
        HEAD + self.bytes + (self.kept_sessions() * session::LEN) as u64
    }

    pub(crate) fn image(&self) -> Image {
        let mut image = Image::new();
        let mut flat = BytesMut::new();
        flat.put_u64_le(self.items.len() as u64);
        flat.put_u64_le(self.index);
        flat.put_u64_le(self.kept_sessions() as u64);
        if self.kept_sessions() > 0 {
            self.sessions.encode(&mut flat);
        }
        self.items.iter().for_each(|(key, item)| put_item(&mut image, &mut flat, key, item));
        image.push(flat.freeze());
        image
    }

    /// The table in an image. Keys must rise: what two keys mean by one name nobody could say.
    pub(crate) fn read(image: &Chunks, plants: Plants) -> Option<Table> {
        let mut reader = Reader::new(image);
        let head = reader.take(HEAD)?;
        let mut n = Numbers(&head);
        let (count, index, sessions) = (n.u64()?, n.u64()?, n.u64()?);
        let sessions = reader.take(sessions.checked_mul(session::LEN as u64)?)?;
        let sessions = Sessions::decode(&sessions, index)?;
        let mut table = Table { sessions, index, deltas_from: index, plants, ..Table::default() };
        for _ in 0..count {
            let (key, item) = take_item(&mut reader, 1..=index)?;
            if !table.items.last_key_value().is_none_or(|(last, _)| *last < key) {
                return None;
            }
            table.insert(key, item);
        }
        (reader.left() == 0).then_some(table)
    }
}

/// Adds an item to an image; what is not pushed yet lies in `flat`.
fn put_item(image: &mut Image, flat: &mut BytesMut, key: &Bytes, item: &Item) {
    let flag = if item.packed > 0 { PACKED } else { 0 };
    flat.put_u32_le(key.len() as u32 | flag);
    flat.put_u32_le(item.kept.len() as u32);
    flat.put_u32_le(item.crc);
    flat.put_u64_le(item.version);
    flat.put_u64_le(item.client);
    flat.put_u64_le(item.op);
    if item.packed > 0 {
        flat.put_u32_le(item.packed);
    }
    flat.put_slice(key);
    image.push(flat.split().freeze());
    image.push_summed(item.kept.clone(), item.crc);
}

/// The next item of an image, of a version that may be.
fn take_item(reader: &mut Reader<'_>, versions: RangeInclusive<u64>) -> Option<(Bytes, Item)> {
    let head = reader.take(ITEM_HEAD as u64)?;
    let mut n = Numbers(&head);
    let (key_len, kept_len, crc) = (n.u32()?, n.u32()?, n.u32()?);
    let (version, client, op) = (n.u64()?, n.u64()?, n.u64()?);
    let packed = match key_len & PACKED {
        0 => 0,
        _ => Numbers(&reader.take(PACKED_HEAD as u64)?).u32()?,
    };
    let key = reader.take(u64::from(key_len & !PACKED))?;
    let kept = reader.take(u64::from(kept_len))?;
    let holds = key_len & PACKED == 0 || encoding::is_plausible(kept.len(), packed);
    if !holds || key.len() > MAX_KEY || !versions.contains(&version) {
        return None;
    }
    // A key of a few bytes must not keep the whole of a snapshot's buffer.
    let key = Bytes::copy_from_slice(&key);
    Some((key, Item { kept, packed, crc, version, client, op }))
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
