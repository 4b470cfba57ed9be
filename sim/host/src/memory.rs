//! What a process holds in memory, as far as its node says so. A node states volumes where they are large: a
//! claim for what lives on, an allocation for what is rubbish as soon as it was used. The machine's profile
//! says what they cost: with a collector what is dropped stays until a collection, which stops every thread.
//!
//! A volume is the size of objects as the runtime would allocate them; nothing is allocated here. What a node
//! does not state does not exist. Real, claims are counted and nothing is ever refused: the operating system
//! and the allocator have the last word there.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use crate::arm::{Arm, ClaimId, MemoryOp, Op, OpFuture};

/// A host's memory. Cheap to clone.
#[derive(Clone)]
pub struct Memory {
    arm: Arc<dyn Arm>,
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Memory")
    }
}

impl Memory {
    pub(crate) fn new(arm: Arc<dyn Arm>) -> Memory {
        Memory { arm }
    }

    /// Claims so many bytes for one live object. `what` names it for people.
    ///
    /// # Errors
    /// `OutOfMemory` if no object may be that large, or if it does not fit.
    pub fn claim(&self, what: &'static str, bytes: u64) -> io::Result<Claim> {
        let id = self.arm.memory(MemoryOp::Claim { what, bytes })?;
        Ok(Claim { arm: self.arm.clone(), id, bytes })
    }

    /// Allocates an object of so many bytes that nobody refers to any more.
    ///
    /// # Errors
    /// As [`Memory::claim`].
    pub fn allocate(&self, what: &'static str, bytes: u64) -> io::Result<()> {
        self.arm.memory(MemoryOp::Allocate { what, bytes }).map(drop)
    }

    /// Bytes that the process holds: what is claimed, and what is dropped and not collected yet; simulated,
    /// also what the runtime itself needs.
    pub fn used(&self) -> u64 {
        self.arm.memory(MemoryOp::Used).unwrap_or(0)
    }

    /// The same bytes. Hosts that are simulated share one machine's memory: what several of them come to by
    /// themselves, such as a value that each of them decodes, is kept once. Nobody can tell the difference.
    pub fn share(&self, bytes: Bytes) -> Bytes {
        self.arm.share(bytes)
    }

    /// Collects everything that nobody claims, and compacts the rest: every thread of the host stands still
    /// meanwhile. Without a collector there is nothing to do.
    pub async fn collect(&self) {
        let _ = OpFuture::new(self.arm.clone(), Op::Collect).await;
    }
}

/// Live bytes: an object, or a collection of them. Dropping it gives them up.
pub struct Claim {
    arm: Arc<dyn Arm>,
    id: ClaimId,
    bytes: u64,
}

impl Claim {
    /// The claim has so many bytes from now on. What is added is one more object, what is taken away is
    /// given up.
    ///
    /// # Errors
    /// As [`Memory::claim`] for what is added; the claim is then as it was.
    pub fn set(&mut self, bytes: u64) -> io::Result<()> {
        if bytes != self.bytes {
            self.arm.memory(MemoryOp::Resize { claim: self.id, bytes })?;
            self.bytes = bytes;
        }
        Ok(())
    }

    /// How many bytes it has.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let _ = self.arm.memory(MemoryOp::Release { claim: self.id });
    }
}
