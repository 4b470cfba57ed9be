//! What an operator can set about consensus. Timing words are Raft's (heartbeat, election timeout);
//! sizes bound what is in flight; the `*_thread` words say which named thread does which work,
//! because *that* decides whether a snapshot starves heartbeats. Relations between settings are
//! checked in `validate`, ranges of single settings by the macro.
//!
//! Left out: priorities. Who belongs to a group later is said to its leader (`members`), not here.

use std::time::Duration;

use host::settings::Word;
use host::unit::{Ratio, Size, Span, nanos};

host::settings! {
    /// How a node elects, replicates, writes its log and takes snapshots.
    pub struct Config {
        /// How many of the known hosts vote at first, in the order of their ids; 0 is all of them. The
        /// others belong to no group until somebody adds them. All hosts need the same.
        voters: u64 = "0", "0..64";
        /// Time between two heartbeats of a leader; 0 is half the lower election timeout.
        heartbeat: Duration = "75ms", "0ns..1h";
        /// How long a follower hears no leader before it campaigns; drawn anew from this range each
        /// time.
        election_timeout: Span = "150ms..300ms", "2ms..2h";
        /// Raft's unit of time: all timeouts are rounded down to it.
        tick: Duration = "1ms", "100us..10s";
        /// Ask whether an election could be won before starting a new term.
        pre_vote: Word = "on", "on|off";
        /// A candidate asks for votes when its own is durable, or at once; elected it is not before
        /// that either way.
        vote_request: Word = "durable", "durable|at_once";
        /// What restarts a node's election timer beside a leader, a vote that it grants and a campaign
        /// of its own: each new term and a lost election, as the library has it, or nothing, as the
        /// Raft paper has it.
        timer_restarts: Word = "new_term", "new_term|vote_granted";
        /// A leader that hears no majority for the lower election timeout steps down.
        check_quorum: Word = "on", "on|off";
        /// How a leader makes sure that nobody else leads before it answers a read: it asks a
        /// majority each time, or holds a lease that heartbeats extend.
        reads: Word = "index", "index|lease";
        /// The most by which the clocks of two hosts run apart; a lease is that much shorter.
        lease_drift: Ratio = "1%", "0%..50%";
        /// After its thread was held a node learns of all ticks that fell due meanwhile, or of one.
        missed_ticks: Word = "deliver", "deliver|drop";
        /// A leader tells followers at once that an entry is committed, in a message of its own, or
        /// with the next entries or heartbeat.
        commit_notice: Word = "at_once", "at_once|with_next";
        /// Peers exchange one-way streams of frames, or one acknowledged request at a time.
        transport: Word = "stream", "stream|request";
        /// How long a request of `transport = "request"` waits for its answer before the connection
        /// is given up; 0 is half the upper election timeout.
        rpc_timeout: Duration = "0ns", "0ns..1h";
        /// The largest request that a peer may send, or frame of a stream; the connection of one that
        /// sends a larger one is closed, and it is told nothing. 0 takes any.
        body_limit: Size = "0B", "0B..1TB";
        /// How long to wait for a connection to a peer.
        dial_timeout: Duration = "200ms", "1ms..1min";
        /// Unacknowledged log bytes that a leader sends ahead to one follower.
        max_inflight: Size = "4MB", "1KB..1GB";
        /// Log bytes in one append message; a single larger entry still goes.
        max_append: Size = "1MB", "1KB..64MB";
        /// Size at which a new log segment file begins.
        wal_segment: Size = "8MiB", "4KiB..1GiB";
        /// Entries are synced at multiples of this time since boot; 0 syncs as soon as something waits
        /// for it. Votes, terms and marks of snapshots do not wait for the cycle.
        flush_interval: Duration = "0ns", "0ns..10s";
        /// An entry counts as held, by its leader and by whoever acknowledges it, when it is synced, or
        /// as soon as it is written: a power loss may then take what a majority said it had.
        ack_waits_flush: Word = "on", "on|off";
        /// A flush syncs the segment that it wrote, or every segment that the log still keeps, as
        /// stores do that keep all of them mapped.
        wal_sync: Word = "segment", "segment|kept";
        /// Entries applied between two snapshots.
        snapshot_every: u64 = "10000", "1..1000000000";
        /// Each node snapshots at its own phase, or all of them at equal log positions.
        snapshot_phase: Word = "own", "own|equal";
        /// A snapshot holds the whole state, or what changed since the one before it; whole it is then
        /// only when the changes have come to more than the last whole one.
        snapshot_kind: Word = "full", "full|incremental";
        /// A snapshot is written from a small buffer, or serialised into one object, in a buffer that
        /// doubles as it fills, before it is written.
        snapshot_form: Word = "streamed", "streamed|whole";
        /// A snapshot is read through a small buffer, or into one object before it is restored.
        restore_form: Word = "streamed", "streamed|whole";
        /// Entries are applied while a snapshot is written, or wait until it is.
        apply_during_snapshot: Word = "on", "on|off";
        /// Whether all garbage is collected once a snapshot is written.
        collect_after_snapshot: Word = "off", "on|off";
        /// Entries kept in memory behind a snapshot, so that a slow follower needs no snapshot
        /// itself.
        keep_entries: u64 = "500", "0..1000000000";
        /// How long a snapshot transfer may stand still before it is given up.
        snapshot_stall: Duration = "10s", "10ms..1h";
        /// The thread that runs the consensus loop and the connections to peers.
        raft_thread: Word = "raft", "raft|wal|apply|snapshot";
        /// The thread that writes the log.
        wal_thread: Word = "wal", "raft|wal|apply|snapshot";
        /// The thread that applies committed entries to the state machine.
        apply_thread: Word = "apply", "raft|wal|apply|snapshot";
        /// The thread that serialises snapshots, and is held for as long as that takes.
        snapshot_thread: Word = "snapshot", "raft|wal|apply|snapshot";
    }
}

impl Config {
    /// Checks what no single range can say.
    pub fn validate(&self) -> Result<(), String> {
        let span = self.election_timeout;
        let heartbeat = self.heartbeat();
        if heartbeat < self.tick {
            return Err(format!("heartbeat {heartbeat:?} is shorter than tick {:?}", self.tick));
        }
        if self.ticks(heartbeat) >= self.ticks(span.min) {
            return Err(format!(
                "heartbeat {heartbeat:?} must be at least a tick shorter than the lower election \
                 timeout {:?}",
                span.min
            ));
        }
        if self.max_append > self.max_inflight {
            return Err(format!(
                "max_append {} is more than max_inflight {}",
                host::unit::show_size(self.max_append),
                host::unit::show_size(self.max_inflight)
            ));
        }
        Ok(())
    }

    /// A duration in ticks, at least one.
    pub(crate) fn ticks(&self, d: Duration) -> u64 {
        (nanos(d) / nanos(self.tick)).max(1)
    }

    /// The election timeouts in ticks: least, and one more than the greatest.
    pub(crate) fn election_ticks(&self) -> (u64, u64) {
        let min = self.ticks(self.election_timeout.min);
        let max = self.ticks(self.election_timeout.max);
        (min, max.max(min) + 1)
    }

    /// The time between two heartbeats with its default resolved.
    pub(crate) fn heartbeat(&self) -> Duration {
        if self.heartbeat.is_zero() { self.election_timeout.min / 2 } else { self.heartbeat }
    }

    /// The request timeout with its default resolved.
    pub(crate) fn rpc_timeout(&self) -> Duration {
        if self.rpc_timeout.is_zero() { self.election_timeout.max / 2 } else { self.rpc_timeout }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use host::settings::Settings;

    #[test]
    fn defaults_are_valid_and_nonsense_is_named() {
        Config::default().validate().unwrap();
        let mut config = Config::default();
        config.set("heartbeat", "150ms").unwrap();
        assert!(config.validate().unwrap_err().contains("heartbeat"));
        let mut config = Config::default();
        config.set("heartbeat", "0ns").unwrap();
        config.set("election_timeout", "12ms..24ms").unwrap();
        config.validate().unwrap();
        assert_eq!(config.heartbeat(), Duration::from_millis(6));
        config.set("tick", "10ms").unwrap();
        assert!(config.validate().unwrap_err().contains("heartbeat 6ms is shorter than tick"));
        let mut config = Config::default();
        config.set("max_append", "8MB").unwrap();
        assert!(config.validate().unwrap_err().contains("max_append"));
    }
}
