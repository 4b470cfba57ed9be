//! Claims of the real arm: counted, so that a node can read back what it has stated. There is no limit
//! and no collector: the allocator and the operating system have the last word, and what they give is
//! not counted here.

use std::io;

use crate::arm::MemoryOp;

/// What is claimed, by number of the claim.
#[derive(Default)]
pub(super) struct Claims {
    total: u64,
    bytes: Vec<u64>,
    free: Vec<usize>,
}

impl Claims {
    /// Answers a request; see [`MemoryOp`].
    pub(super) fn answer(&mut self, op: MemoryOp) -> io::Result<u64> {
        match op {
            MemoryOp::Claim { bytes, .. } => {
                let id = self.free.pop().unwrap_or(self.bytes.len());
                if id == self.bytes.len() {
                    self.bytes.push(0);
                }
                self.set(id, bytes);
                Ok(id as u64)
            }
            MemoryOp::Resize { claim, bytes } => {
                self.set(claim as usize, bytes);
                Ok(0)
            }
            MemoryOp::Release { claim } => {
                self.set(claim as usize, 0);
                self.free.push(claim as usize);
                Ok(0)
            }
            MemoryOp::Allocate { .. } => Ok(0),
            MemoryOp::Used => Ok(self.total),
        }
    }

    fn set(&mut self, id: usize, bytes: u64) {
        self.total = self.total - self.bytes[id] + bytes;
        self.bytes[id] = bytes;
    }
}
