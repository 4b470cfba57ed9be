//! The state machine: keys, each with its value, the version that the value is, and who put it. A
//! value is the slice of the frame it arrived in; snapshots share it too. The hash of the state is
//! a sum over the keys, so a put changes it in constant time, and equal states have equal hashes
//! whatever led to them.
//!
//! A put that repeats the last one of a key (same client and operation) is answered again and not
//! done again. Older repetitions are not recognised: clients do not repeat what they know not to
//! have failed.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{BufMut, Bytes, BytesMut};
use host::Chunks;
use raft_driver::rope::{Numbers, Reader};
use raft_driver::{GENESIS, Image, StateMachine, chain};

/// A key's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) value: Bytes,
    pub(crate) crc: u32,
    /// The log index of the put.
    pub(crate) version: u64,
    pub(crate) client: u64,
    pub(crate) op: u64,
}

/// The header of a put, as it lies in the log beside the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Put {
    pub(crate) client: u64,
    pub(crate) op: u64,
    pub(crate) crc: u32,
    pub(crate) key: Bytes,
}

const PUT: u8 = 1;

impl Put {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(21 + self.key.len());
        out.put_u8(PUT);
        out.put_u64_le(self.client);
        out.put_u64_le(self.op);
        out.put_u32_le(self.crc);
        out.put_slice(&self.key);
        out
    }

    fn decode(context: &Bytes) -> Option<Put> {
        let mut n = Numbers(context);
        let (kind, client, op, crc) = (n.u8()?, n.u64()?, n.u64()?, n.u32()?);
        (kind == PUT).then(|| Put { client, op, crc, key: Bytes::copy_from_slice(n.0) })
    }
}

fn item_hash(key: &[u8], item: &Item) -> u64 {
    let named = chain(GENESIS, item.version, key.len() as u64, crc32fast::hash(key), item.crc);
    chain(named, item.client, item.op, item.value.len() as u32, 0)
}

/// All keys.
#[derive(Debug, Default)]
pub(crate) struct Table {
    items: BTreeMap<Bytes, Item>,
    hash: u64,
    bytes: u64,
    /// The last log index that went through.
    pub(crate) index: u64,
}

/// Bytes of a snapshot's head, and of what stands before each item's key.
const HEAD: u64 = 16;
const ITEM_HEAD: usize = 36;

impl Table {
    pub(crate) fn get(&self, key: &[u8]) -> Option<&Item> {
        self.items.get(key)
    }

    pub(crate) fn keys(&self) -> u64 {
        self.items.len() as u64
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    fn put(&mut self, put: Put, version: u64, value: Bytes) -> u64 {
        let Put { client, op, crc, key } = put;
        if let Some(old) = self.items.get(&key) {
            if (old.client, old.op) == (client, op) {
                return old.version;
            }
            self.forget(&key);
        }
        let item = Item { value, crc, version, client, op };
        self.hash = self.hash.wrapping_add(item_hash(&key, &item));
        self.bytes += (ITEM_HEAD + key.len() + item.value.len()) as u64;
        self.items.insert(key, item);
        version
    }

    fn forget(&mut self, key: &Bytes) {
        let Some(old) = self.items.remove(key) else { return };
        self.hash = self.hash.wrapping_sub(item_hash(key, &old));
        self.bytes -= (ITEM_HEAD + key.len() + old.value.len()) as u64;
    }

    fn image(&self) -> Image {
        let mut image = Image::new();
        let mut flat = BytesMut::new();
        flat.put_u64_le(self.items.len() as u64);
        flat.put_u64_le(self.index);
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

    fn read(image: &Chunks) -> Option<Table> {
        let mut reader = Reader::new(image);
        let mut table = Table::default();
        let head = reader.take(HEAD)?;
        let mut n = Numbers(&head);
        let (count, index) = (n.u64()?, n.u64()?);
        for _ in 0..count {
            let head = reader.take(ITEM_HEAD as u64)?;
            let mut n = Numbers(&head);
            let (key_len, value_len, crc) = (n.u32()?, n.u32()?, n.u32()?);
            let (version, client, op) = (n.u64()?, n.u64()?, n.u64()?);
            let key = reader.take(u64::from(key_len))?;
            let value = reader.take(u64::from(value_len))?;
            // A key of a few bytes must not keep the whole of a snapshot's buffer.
            let key = Bytes::copy_from_slice(&key);
            table.put(Put { client, op, crc, key }, version, value);
        }
        table.index = index;
        (reader.left() == 0).then_some(table)
    }
}

/// The table, shared between the state machine and those who read it.
#[derive(Clone, Default)]
pub(crate) struct SharedTable(Arc<Mutex<Table>>);

impl SharedTable {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateMachine for SharedTable {
    fn apply(&mut self, index: u64, _: u64, context: &Bytes, data: &Bytes) -> Bytes {
        let mut table = self.lock();
        table.index = index;
        // Every node finds the same bytes at this index, so every node refuses them, at every boot;
        // dying of them would be just as unanimous.
        let Some(put) = Put::decode(context) else { return Bytes::new() };
        let version = table.put(put, index, data.clone());
        Bytes::copy_from_slice(&version.to_le_bytes())
    }

    fn snapshot(&self) -> Image {
        self.lock().image()
    }

    fn restore(&mut self, image: Chunks) -> io::Result<()> {
        let table = Table::read(&image);
        *self.lock() = table.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "the snapshot is not one of a store")
        })?;
        Ok(())
    }

    fn state_hash(&self) -> u64 {
        self.lock().hash
    }

    fn size(&self) -> u64 {
        HEAD + self.lock().bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn put(table: &mut SharedTable, index: u64, key: &str, op: u64, value: &[u8]) -> u64 {
        let value = Bytes::copy_from_slice(value);
        let crc = crc32fast::hash(&value);
        let put = Put { client: 1, op, crc, key: Bytes::copy_from_slice(key.as_bytes()) };
        let reply = table.apply(index, 1, &put.encode().into(), &value);
        u64::from_le_bytes(reply[..].try_into().unwrap())
    }

    #[test]
    fn a_repeated_put_is_done_once() {
        let mut table = SharedTable::default();
        assert_eq!(put(&mut table, 1, "a", 7, b"x"), 1);
        assert_eq!(put(&mut table, 2, "a", 7, b"x"), 1);
        assert_eq!(put(&mut table, 3, "a", 8, b"y"), 3);
        assert_eq!(table.lock().get(b"a").unwrap().value, "y");
    }

    #[test]
    fn a_command_that_is_none_changes_nothing_and_is_refused() {
        let mut table = SharedTable::default();
        put(&mut table, 1, "a", 7, b"x");
        let before = table.state_hash();
        for wrong in [&b""[..], b"\x01short", &[9; 40]] {
            let reply = table.apply(2, 1, &Bytes::copy_from_slice(wrong), &Bytes::new());
            assert_eq!((reply.len(), table.state_hash()), (0, before));
        }
        assert_eq!(table.lock().index, 2);
    }

    proptest! {
        #[test]
        fn a_snapshot_restores_the_state_and_its_hash(
            puts in prop::collection::vec((0u8..5, 0usize..900), 0..20),
        ) {
            let mut table = SharedTable::default();
            for (i, (key, len)) in puts.iter().enumerate() {
                let i = i as u64 + 1;
                put(&mut table, i, &format!("key{key}"), i, &vec![*key; *len]);
            }
            let image = table.snapshot();
            prop_assert_eq!(image.data().len(), table.size());
            let mut other = SharedTable::default();
            other.restore(image.data().clone()).unwrap();
            prop_assert_eq!(other.state_hash(), table.state_hash());
            prop_assert_eq!(&other.lock().items, &table.lock().items);
            prop_assert_eq!(other.size(), table.size());
        }

        #[test]
        fn garbage_is_no_snapshot(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = SharedTable::default().restore(Chunks::from(bytes));
        }
    }
}
