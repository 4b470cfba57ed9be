//! The store's settings: those of consensus, and a few of its own, as one flat list of keys.
//! Kept flat because an operator thinks of one node, not of its layers; which layer a key belongs to is
//! nobody's business but this file's.

use std::time::Duration;

use host::settings::{Field, Settings};
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
