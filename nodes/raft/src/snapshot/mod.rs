//! Snapshots: the file they are kept in (`file`), taking one (`take`), reading one back (`read`), and
//! streaming one to a peer beside Raft's own messages (`stream`). What the state in it means is the
//! state machine's own matter.

pub(crate) mod file;
pub(crate) mod read;
pub(crate) mod stream;
pub(crate) mod take;
