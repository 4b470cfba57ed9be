//! Files. A host has one flat folder; names may contain `/`, and `sync_dir` makes every entry of it durable
//! (the real arm syncs each folder it touched). Writes go to the page cache and are fast; only `sync`
//! promises that they outlive a power loss.

use std::io;
use std::sync::Arc;

use crate::Chunks;
use crate::arm::{Arm, Class, Done, FileId, Op, OpFuture, OpenMode};

/// The host's disk.
#[derive(Clone)]
pub struct Disk {
    arm: Arc<dyn Arm>,
}

impl Disk {
    pub(crate) fn new(arm: Arc<dyn Arm>) -> Disk {
        Disk { arm }
    }

    fn op(&self, op: Op) -> OpFuture {
        OpFuture::new(self.arm.clone(), op)
    }

    /// Opens a file. `NotFound` if it must exist and does not.
    pub async fn open(&self, path: &str, mode: OpenMode) -> io::Result<File> {
        match self.op(Op::Open { path: path.to_string(), mode }).await? {
            Done::File(id) => Ok(File { inner: Arc::new(Inner { arm: self.arm.clone(), id }) }),
            other => Err(unexpected(&other)),
        }
    }

    /// Makes created, renamed and removed names durable.
    pub async fn sync_dir(&self) -> io::Result<()> {
        self.op(Op::SyncDir).await.map(drop)
    }

    /// Renames; an existing target is replaced.
    pub async fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.op(Op::Rename { from: from.to_string(), to: to.to_string() }).await.map(drop)
    }

    /// Removes a file; `NotFound` if there is none. Open handles stay readable.
    pub async fn remove(&self, path: &str) -> io::Result<()> {
        self.op(Op::Remove { path: path.to_string() }).await.map(drop)
    }

    /// The names that start with `prefix`, sorted.
    pub async fn list(&self, prefix: &str) -> io::Result<Vec<String>> {
        match self.op(Op::List { prefix: prefix.to_string() }).await? {
            Done::Names(names) => Ok(names),
            other => Err(unexpected(&other)),
        }
    }

    /// Free bytes.
    pub async fn space(&self) -> io::Result<u64> {
        number(self.op(Op::Space).await?)
    }
}

struct Inner {
    arm: Arc<dyn Arm>,
    id: FileId,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.arm.close_file(self.id);
    }
}

/// An open file. Clones share it.
#[derive(Clone)]
pub struct File {
    inner: Arc<Inner>,
}

impl File {
    fn op(&self, op: Op) -> OpFuture {
        OpFuture::new(self.inner.arm.clone(), op)
    }

    /// Appends and returns the offset at which `data` begins.
    pub async fn append(&self, class: Class, data: Chunks) -> io::Result<u64> {
        number(self.op(Op::Append { file: self.inner.id, data, class }).await?)
    }

    /// Writes several extents (offset, data) as one operation.
    pub async fn write_at(&self, class: Class, extents: Vec<(u64, Chunks)>) -> io::Result<()> {
        self.op(Op::WriteAt { file: self.inner.id, extents, class }).await.map(drop)
    }

    /// Reads up to `len` bytes; short at the end of the file.
    pub async fn read_at(&self, offset: u64, len: u64) -> io::Result<Chunks> {
        match self.op(Op::ReadAt { file: self.inner.id, offset, len }).await? {
            Done::Data(data) => Ok(data),
            other => Err(unexpected(&other)),
        }
    }

    /// Makes the file's bytes durable (not its name: that is `sync_dir`).
    pub async fn sync(&self, class: Class) -> io::Result<()> {
        self.op(Op::Sync { file: self.inner.id, class }).await.map(drop)
    }

    /// Cuts the file, or extends it with zeroes.
    pub async fn truncate(&self, len: u64) -> io::Result<()> {
        self.op(Op::Truncate { file: self.inner.id, len }).await.map(drop)
    }

    /// Length in bytes.
    pub async fn len(&self) -> io::Result<u64> {
        number(self.op(Op::Len { file: self.inner.id }).await?)
    }

    /// Whether the file holds no byte.
    pub async fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len().await? == 0)
    }
}

fn number(done: Done) -> io::Result<u64> {
    match done {
        Done::Number(n) => Ok(n),
        other => Err(unexpected(&other)),
    }
}

pub(crate) fn unexpected(done: &Done) -> io::Error {
    io::Error::other(format!("the arm answered {done:?} to another question"))
}
