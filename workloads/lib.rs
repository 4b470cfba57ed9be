//! Loads. One file is one word that a scenario's `[[workload]]` may name; this list is all of them.
//! `kv` is no word: it is what the loads on the store share.
//!
//! A load is what one client after another asks for. It goes through the client library of the node
//! that it is made for, records through its own host what it asked and was told, and knows nothing
//! of the faults.

use std::sync::Arc;

use kernel::registry::Word;
use kernel::workload::Workload;

mod await_leader;
mod kv;
mod kv_mixed;
mod kv_write;
mod reconfigure;

/// Every workload.
pub fn words() -> Vec<Word<Arc<dyn Workload>>> {
    vec![await_leader::word(), kv_mixed::word(), kv_write::word(), reconfigure::word()]
}
