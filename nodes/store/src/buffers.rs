//! What values weigh in memory on their way through a node, as far as the node says so. Pooled, there is
//! one buffer as large as the largest value that went through, used again and again. Fresh, each hot
//! spot allocates: the body of a request, the encoded command, one append for each peer, the decoded
//! command and the document for the table's pages on every node, a reply. Those are rubbish as soon as
//! they were used, which is what a collector has to cope with. A snapshot of a table on disk loads all
//! values either way. Where strings are UTF-16, values weigh twice as much as their bytes.
//!
//! A table in memory has its size beside that. One on disk has nothing: its cache of pages is left
//! out, and so are connections, sessions and Raft's own log. Source: document 002, insight 13.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use host::{Claim, Host, Memory};

use crate::config::Own;

/// The buffers of a node. Clones share them.
#[derive(Clone)]
pub(crate) struct Buffers(Arc<Inner>);

struct Inner {
    memory: Memory,
    fresh: bool,
    /// Bytes in memory for each byte of text.
    width: u64,
    /// The size of the pooled buffer.
    largest: AtomicU64,
    pool: Mutex<Option<Claim>>,
}

impl Buffers {
    /// Pooled buffers, or fresh ones.
    pub(crate) fn new(host: &Host, own: &Own) -> Buffers {
        let (largest, pool) = (AtomicU64::new(0), Mutex::new(None));
        let (memory, fresh) = (host.memory(), own.buffers.0 == "fresh");
        let width = if own.strings.0 == "utf16" { 2 } else { 1 };
        Buffers(Arc::new(Inner { memory, fresh, width, largest, pool }))
    }

    /// Uses a value as text for a moment.
    pub(crate) fn take_text(&self, what: &'static str, bytes: u64) -> io::Result<()> {
        self.take(what, bytes.saturating_mul(self.0.width))
    }

    /// A value that is loaded as text, until it is dropped.
    pub(crate) fn load(&self, what: &'static str, bytes: u64) -> io::Result<Claim> {
        self.0.memory.claim(what, bytes.saturating_mul(self.0.width))
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
