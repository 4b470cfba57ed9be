//! What values weigh in memory on their way through a node, as far as the node says so. Pooled, there is
//! one buffer as large as the largest value that went through, used again and again. Fresh, each hot
//! spot allocates: the body of a request, the encoded command, one append for each peer, the decoded
//! command on every node, a reply, and all values once for a snapshot. Those are rubbish as soon as
//! they were used, which is what a collector has to cope with.
//!
//! A table in memory has its size beside that. One on disk has nothing: its cache of pages is left
//! out, and so are connections, sessions and Raft's own log. Source: document 002, insight 13.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use host::{Claim, Host, Memory};

/// The buffers of a node. Clones share them.
#[derive(Clone)]
pub(crate) struct Buffers(Arc<Inner>);

struct Inner {
    memory: Memory,
    fresh: bool,
    /// The size of the pooled buffer.
    largest: AtomicU64,
    pool: Mutex<Option<Claim>>,
}

impl Buffers {
    /// Pooled buffers, or fresh ones.
    pub(crate) fn new(host: &Host, fresh: bool) -> Buffers {
        let (largest, pool) = (AtomicU64::new(0), Mutex::new(None));
        Buffers(Arc::new(Inner { memory: host.memory(), fresh, largest, pool }))
    }

    /// Whether each use allocates.
    pub(crate) fn are_fresh(&self) -> bool {
        self.0.fresh
    }

    /// Uses a buffer of so many bytes for a moment.
    pub(crate) fn take(&self, what: &'static str, bytes: u64) -> io::Result<()> {
        let inner = &*self.0;
        if inner.fresh {
            return inner.memory.allocate(what, bytes);
        }
        if bytes <= inner.largest.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut pool = inner.pool.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *pool {
            Some(claim) => claim.set(bytes)?,
            none => *none = Some(inner.memory.claim("buffer", bytes)?),
        }
        inner.largest.store(bytes, Ordering::Relaxed);
        Ok(())
    }
}
