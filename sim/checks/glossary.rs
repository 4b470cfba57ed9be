//! What each measure means, for `explain`: one line per name, in the order of the files that measure.
//! The unit and the statistic are the last part of a name; bytes and times are those of one node at its
//! worst where a name ends in `max`, and of the whole cluster otherwise. A test holds this list against
//! the measures that runs have.

/// (name, meaning) of every measure.
pub(crate) const MEASURES: &[(&str, &str)] = &[
    ("elections", "Terms that some node stood for. Asking beforehand (pre-vote) begins no term."),
    (
        "needless_elections",
        "Elections after the first leader that nothing had caused: no node was down or paused and no \
         link between nodes was cut.",
    ),
    ("leader_changes", "How often a node began to lead that was not the leader before."),
    (
        "no_leader_total",
        "Time without a leader, summed up, from the first leader to the end of the settling. There is a \
         leader while a live node leads the highest term and a majority is in reach of it.",
    ),
    ("no_leader_max", "The longest stretch of time without a leader; see no_leader_total."),
    (
        "write_p50",
        "Half of all acknowledged writes took no longer than this, from the request to its \
         acknowledgement, retries included.",
    ),
    ("write_p99", "99 of 100 acknowledged writes took no longer than this; see write_p50."),
    ("write_max", "The slowest acknowledged write; see write_p50."),
    (
        "throughput",
        "Acknowledged operations per second, from the beginning of the load to its end.",
    ),
    ("acks", "Operations that were acknowledged to clients."),
    ("failures", "Operations of which a client was told that they surely did not happen."),
    ("unknowns", "Operations of which no client knows whether they happened."),
    ("snapshots", "Snapshots that nodes took of their own state and that became durable."),
    ("snapshot_max", "The longest time from the start of a snapshot to its durability."),
    ("snapshots_installed", "Snapshots that a node got from a peer."),
    ("thread_late_max", "How late a consensus loop ran at worst: its thread or core was held."),
    ("thread_late_count", "How often a consensus loop ran late by more than a heartbeat."),
    ("wal_segments_max", "The most files that one node's log had."),
    ("wal_bytes_max", "The most bytes that the files of one node's log had."),
    ("tails_lost", "Power losses that took something from a file."),
    ("lost_bytes", "Unsynced bytes that power losses took from files."),
    ("tail_cuts", "How often a node cut a torn tail off its log at its boot."),
    ("frames", "Frames that were sent between all hosts, clients among them."),
    ("frame_bytes", "The bytes of those frames."),
    ("device_syncs", "Flushes that devices did for all hosts."),
];
