//! The write-ahead log that all groups of a node share. `codec` is the format of records, `layout`
//! decides in the consensus loop where each batch goes, `writer` is the task that appends and
//! syncs, `recover` reads the segments back at boot. One append and one sync serve everything that
//! waits.

pub(crate) mod codec;
pub(crate) mod layout;
pub(crate) mod recover;
pub(crate) mod writer;

use host::Class;

/// Class word of all writes and syncs of the log.
pub(crate) const WAL: Class = Class("wal");
/// The name of a segment whose beginning is not durable yet.
pub(crate) const BEGUN: &str = "wal/new";
