//! What a process holds in memory: the sum of what its node has claimed. Claims are named by numbers
//! that are used again.
//!
//! Left out on purpose: addresses, fragmentation, and every byte that the node does not state.

/// The memory of one process.
#[derive(Debug, Default)]
pub struct Heap {
    live: u64,
    claims: Vec<u64>,
    free: Vec<u64>,
}

impl Heap {
    /// A new claim.
    pub fn claim(&mut self, bytes: u64) -> u64 {
        let id = self.free.pop().unwrap_or(self.claims.len() as u64);
        if id == self.claims.len() as u64 {
            self.claims.push(0);
        }
        self.set(id, bytes);
        id
    }

    /// A claim has so many bytes from now on.
    pub fn set(&mut self, claim: u64, bytes: u64) {
        let held = &mut self.claims[claim as usize];
        self.live = self.live - *held + bytes;
        *held = bytes;
    }

    /// A claim is given up.
    pub fn release(&mut self, claim: u64) {
        self.set(claim, 0);
        self.free.push(claim);
    }

    /// What the process holds.
    pub fn held(&self) -> u64 {
        self.live
    }
}
