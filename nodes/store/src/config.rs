//! The store's settings: those of consensus, and a few of its own, as one flat list of keys.
//! Kept flat because an operator thinks of one node, not of its layers; which layer a key belongs to is
//! nobody's business but this file's.

use std::time::Duration;

use host::settings::{Field, Settings, Word};
use host::unit::Size;

host::settings! {
    /// What the store adds to consensus.
    pub struct Own {
        /// Longest value that a client may put.
        max_value: Size = "2MB", "1B..16MiB";
        /// Requests of one connection that may be under way; more are answered `busy`.
        max_requests: u64 = "1024", "1..1000000";
        /// Bytes of a reply to a range; a single longer item still goes.
        max_range: Size = "1MB", "1KB..16MiB";
        /// Connections of clients at a time; more are closed at once.
        max_clients: u64 = "1024", "1..100000";
        /// A connection on which no request arrives for so long is closed.
        idle_timeout: Duration = "60s", "1ms..24h";
        /// Sessions of clients at a time; the least recently used makes room. The node that opens
        /// one decides for all.
        max_sessions: u64 = "10000", "1..1000000";
        /// How values lie in the log: as they came, as base64, which is decoded when it is applied,
        /// or compressed, which they stay in table and snapshots.
        encoding: Word = "raw", "raw|json|lz4";
        /// Each command is proposed as it comes, or one loop proposes batches of them.
        writes: Word = "direct", "direct|batched";
        /// The most commands of a batch.
        batch_count: u64 = "50", "1..100000";
        /// The most bytes of values in a batch; a single longer one still goes.
        batch_bytes: Size = "4MiB", "1B..1GiB";
        /// How long after its first command a batch waits for more.
        batch_linger: Duration = "1ms", "0ns..10s";
        /// Batches that may be under way at a time.
        batches_in_flight: u64 = "1", "1..1000";
        /// A batch that is not applied after so long is given up: its clients are told that its
        /// outcome is unknown.
        replicate_timeout: Duration = "10s", "1ms..1h";
        /// Values are held in memory alone, or also written to pages on disk when they are applied.
        table: Word = "memory", "memory|pages";
        /// One buffer is used again and again for the values that go through, or each use allocates.
        buffers: Word = "pooled", "pooled|fresh";
        /// How often the node has its garbage collected if it holds more than `collect_above`; 0 never.
        collect_every: Duration = "0ns", "0ns..24h";
        /// Bytes that a node may hold before `collect_every` collects.
        collect_above: Size = "500MB", "0B..1TiB";
        /// On a graceful stop the table is closed after the last command was applied, or at once.
        close: Word = "drains", "drains|at_once";
    }
}

/// All settings of a store node.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Those of consensus.
    pub raft: raft_driver::Config,
    /// The store's own.
    pub own: Own,
}

impl Config {
    /// Checks what no single range can say.
    pub fn validate(&self) -> Result<(), String> {
        self.raft.validate()
    }
}

impl Settings for Config {
    fn fields() -> Vec<Field> {
        let mut fields = raft_driver::Config::fields();
        fields.extend(Own::fields());
        fields
    }

    fn set(&mut self, name: &str, text: &str) -> Result<(), String> {
        match Own::fields().iter().any(|f| f.name == name) {
            true => self.own.set(name, text),
            false => self.raft.set(name, text),
        }
    }

    fn get(&self, name: &str) -> Option<String> {
        self.raft.get(name).or_else(|| self.own.get(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lists_are_one_without_repetition() {
        let mut config = Config::default();
        config.set("heartbeat", "50ms").unwrap();
        config.set("max_value", "1MB").unwrap();
        assert_eq!(config.get("heartbeat").unwrap(), "50ms");
        assert_eq!(config.get("max_value").unwrap(), "1MB");
        let mut names: Vec<_> = Config::fields().iter().map(|f| f.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
