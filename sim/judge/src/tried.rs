//! The memory of a search: 128-bit keys in an open table that grows by doubling. There is no removal, and
//! no order that anybody could come to depend on. Zero marks an empty slot; a key of zero is taken
//! for one. It stops growing at half a gigabyte: from then on what is new is not kept, and may
//! be tried again. What a key means, and that equal keys mean equal nodes, is up to the search.

/// What was tried: an open table of 128-bit keys.
#[derive(Default)]
pub(crate) struct Tried {
    slots: Vec<u128>,
    len: usize,
}

/// The most slots.
const SLOTS: usize = 1 << 25;

impl Tried {
    /// Whether the key is new.
    pub(crate) fn add(&mut self, key: u128) -> bool {
        let key = key.max(1);
        if self.len * 2 >= self.slots.len() {
            if self.slots.len() == SLOTS {
                return self.slots[self.slot(key)] == 0;
            }
            let old = std::mem::take(&mut self.slots);
            self.slots = vec![0; (old.len() * 2).max(64)];
            old.into_iter().filter(|key| *key != 0).for_each(|key| {
                let slot = self.slot(key);
                self.slots[slot] = key;
            });
        }
        let slot = self.slot(key);
        let new = self.slots[slot] == 0;
        self.slots[slot] = key;
        self.len += usize::from(new);
        new
    }

    /// Where the key is, or would be.
    fn slot(&self, key: u128) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = (key >> 64) as usize & mask;
        while self.slots[slot] != 0 && self.slots[slot] != key {
            slot = (slot + 1) & mask;
        }
        slot
    }
}
