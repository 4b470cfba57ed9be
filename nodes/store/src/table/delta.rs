//! What changed in a table since an index, for a snapshot that rests on an earlier one: the items whose
//! version is later, the keys that are gone since, and all sessions, which are few and small. What came
//! and went meanwhile is not in it. To find the items each key's version is looked at, and no value.
//!
//! ```text
//! count of items, last index, count of sessions, since, count of keys that are gone
//! the sessions; each such key with its length in front; the items, as in a whole image
//! ```
//!
//! The keys that are gone are known since the last whole image; from before it there is no delta.

use bytes::{BufMut, Bytes, BytesMut};
use host::Chunks;
use raft_driver::Image;
use raft_driver::rope::{Numbers, Reader};

use super::{Table, put_item, take_item};
use crate::command::MAX_KEY;
use crate::session::{self, Sessions};

/// Bytes before the sessions.
const HEAD: u64 = 40;

impl Table {
    /// What is gone by now need not be known for a later delta.
    pub(crate) fn begin_deltas(&mut self) {
        self.removed.clear();
        self.deltas_from = self.index;
    }

    /// What changed since the entry at that index was applied.
    pub(crate) fn delta(&self, since: u64) -> Option<Image> {
        if since < self.deltas_from {
            return None;
        }
        // Planted: a column of versions names what is there. What is gone has none.
        let told = !self.plants.delta_skips_removed;
        let removed = || self.removed.iter().filter(|(_, at)| **at > since && told);
        let changed = || self.items.iter().filter(|(_, item)| item.version > since);
        let (mut image, mut flat) = (Image::new(), BytesMut::new());
        flat.put_u64_le(changed().count() as u64);
        flat.put_u64_le(self.index);
        flat.put_u64_le(self.kept_sessions() as u64);
        flat.put_u64_le(since);
        flat.put_u64_le(removed().count() as u64);
        if self.kept_sessions() > 0 {
            self.sessions.encode(&mut flat);
        }
        for (key, _) in removed() {
            flat.put_u32_le(key.len() as u32);
            flat.put_slice(key);
        }
        changed().for_each(|(key, item)| put_item(&mut image, &mut flat, key, item));
        image.push(flat.freeze());
        Some(image)
    }

    /// Carries out a delta; `None`, and the table is of no use any more, if it is none of this table's.
    pub(crate) fn patch(&mut self, delta: &Chunks) -> Option<()> {
        let mut reader = Reader::new(delta);
        let head = reader.take(HEAD)?;
        let mut n = Numbers(&head);
        let (count, index, sessions) = (n.u64()?, n.u64()?, n.u64()?);
        let (since, removed) = (n.u64()?, n.u64()?);
        if since < self.index || index < self.index {
            return None;
        }
        let sessions = reader.take(sessions.checked_mul(session::LEN as u64)?)?;
        self.sessions = Sessions::decode(&sessions, index)?;
        for _ in 0..removed {
            let len = Numbers(&reader.take(4)?).u32()?;
            let key = reader.take(u64::from(len)).filter(|key| key.len() <= MAX_KEY)?;
            self.remove(&key);
        }
        let mut last: Option<Bytes> = None;
        for _ in 0..count {
            let (key, item) = take_item(&mut reader, since + 1..=index)?;
            if last.is_some_and(|last| last >= key) {
                return None;
            }
            self.remove(&key);
            self.insert(key.clone(), item);
            last = Some(key);
        }
        (self.index, self.deltas_from) = (index, index);
        (reader.left() == 0).then_some(())
    }
}
