//! Memory at work: what nodes claim and give up.

use std::io;

use host::arm::{Done, MemoryOp, Ticket};

use super::World;

impl World {
    /// Answers a request about memory.
    pub(crate) fn memory(&mut self, host: usize, op: MemoryOp) -> io::Result<u64> {
        let heap = &mut self.hosts[host].heap;
        match op {
            MemoryOp::Claim { bytes, .. } => return Ok(heap.claim(bytes)),
            MemoryOp::Resize { claim, bytes } => heap.set(claim, bytes),
            MemoryOp::Release { claim } => heap.release(claim),
            MemoryOp::Allocate { .. } => {}
            MemoryOp::Used => return Ok(heap.held()),
        }
        Ok(0)
    }

    /// Collects what nobody claims.
    pub(crate) fn submit_collect(&mut self, host: usize) -> Ticket {
        self.ready(host, Ok(Done::Unit))
    }
}
