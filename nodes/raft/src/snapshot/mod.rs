//! Snapshots: the file they are kept in (`file`), taking one (`take`), and streaming one to a peer
//! beside Raft's own messages (`stream`).
//! Left out: incremental snapshots; each holds the whole state.

pub(crate) mod file;
pub(crate) mod stream;
pub(crate) mod take;
