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
         link between nodes was cut, nor had been for a second, nor had the last leader been lost to \
         that. Slow disks, slow links and held threads excuse nothing.",
    ),
    ("leader_changes", "How often a node began to lead that was not the leader before."),
    (
        "no_leader_total",
        "Time without a leader, summed up, from the first leader to the end of the settling. There is a \
         leader while a live node leads the highest term and a majority is in reach of it. One whose \
         thread is held or whose disk stalls still counts: what clients saw of that is in write_max \
         and lease_gap_max.",
    ),
    ("no_leader_max", "The longest stretch of time without a leader; see no_leader_total."),
    (
        "write_p50",
        "Half of all acknowledged writes took no longer than this, from the request to its \
         acknowledgement, retries included.",
    ),
    ("write_p99", "99 of 100 acknowledged writes took no longer than this; see write_p50."),
    ("write_max", "The slowest acknowledged write; see write_p50."),
    ("write_mean", "The mean latency of all acknowledged writes; see write_p50."),
    ("read_p50", "Half of all reads (get, range) that were answered took no longer than this."),
    ("read_p99", "99 of 100 reads that were answered took no longer than this."),
    (
        "write_q1_mean",
        "The mean latency of the first quarter of the acknowledged writes, in the order of their \
         acknowledgements. There are no quarters of fewer than four.",
    ),
    ("write_q2_mean", "The mean latency of the second quarter; see write_q1_mean."),
    ("write_q3_mean", "The mean latency of the third quarter; see write_q1_mean."),
    ("write_q4_mean", "The mean latency of the last quarter; see write_q1_mean."),
    (
        "write_slowdown",
        "How writes slow down as the load goes on: write_q4_mean over write_q1_mean; 1.00 is steady.",
    ),
    (
        "goodput_calm",
        "Acknowledgements per second from the beginning of the load to the first fault. Only runs that \
         `goodput_back` judges have it.",
    ),
    (
        "goodput_end",
        "Acknowledgements per second in the second half of the recovery; see goodput_calm.",
    ),
    ("goodput_ratio", "goodput_end over goodput_calm."),
    (
        "throughput",
        "Acknowledged operations per second, from the beginning of the load to its end.",
    ),
    ("acks", "Operations that were acknowledged to clients."),
    ("failures", "Operations of which a client was told that they surely did not happen."),
    ("unknowns", "Operations of which no client knows whether they happened."),
    ("writes_failed", "Writes that failed, or of which no client knows whether they happened."),
    (
        "wal_written_bytes",
        "Bytes that one node, the one with most, wrote to log files over all its boots.",
    ),
    (
        "snapshot_written_bytes",
        "Bytes that one node, the one with most, wrote to snapshots, those from peers included.",
    ),
    (
        "disk_write_factor",
        "Bytes written to log and snapshots for each byte written to the log, of the node with the \
         greatest factor; 1.00 is a node without snapshots.",
    ),
    (
        "lease_gap_max",
        "The longest time in which no node held an unexpired lease, by true time, from the first \
         lease to the end of the load. Absent where there was no lease.",
    ),
    (
        "lease_gap_total",
        "All the time in which no node held an unexpired lease; see lease_gap_max.",
    ),
    (
        "election_won",
        "From the death of the first leader to die, or if none dies from the moment the last node has \
         read its disk, until the next lasting leader wins: one whom a majority of the nodes then \
         follows. Absent where there was none.",
    ),
    ("election_heard", "Until the first of the others follows that leader; see election_won."),
    (
        "elections_split",
        "Terms before that leader's, since election_won began, in which somebody stood and nobody won.",
    ),
    ("lease_reads", "Reads that leaders admitted under their leases, without asking anybody."),
    (
        "bodies_refused",
        "Requests of peers that a node refused because they were larger than body_limit.",
    ),
    (
        "snapshots_failed",
        "Snapshots of their own state that nodes could not take, for want of memory, of room, or because \
         of an error of the disk.",
    ),
    (
        "restores_failed",
        "Snapshots, from a peer or at a boot, for which a node that restores in one piece had no memory.",
    ),
    ("snapshots", "Snapshots that nodes took of their own state and that became durable."),
    ("snapshot_max", "The longest time from the start of a snapshot to its durability."),
    ("snapshots_installed", "Snapshots that a node got from a peer."),
    (
        "snapshot_1",
        "How long the first snapshot of a host took from start to durability, at the host where that was \
         longest.",
    ),
    ("snapshot_2", "How long the second snapshot of a host took; see snapshot_1."),
    ("snapshot_3", "How long the third snapshot of a host took; see snapshot_1."),
    ("snapshot_4", "How long the fourth snapshot of a host took; see snapshot_1."),
    ("snapshot_5", "How long the fifth snapshot of a host took; see snapshot_1."),
    ("thread_late_max", "How late a consensus loop ran at worst: its thread or core was held."),
    ("thread_late_count", "How often a consensus loop ran late by more than a heartbeat."),
    ("wal_segments_max", "The most files that one node's log had."),
    ("wal_bytes_max", "The most bytes that the files of one node's log had."),
    (
        "table_written_bytes",
        "Bytes that one node, the one with most, wrote to its table's journal and data file. Absent \
         where tables live in memory.",
    ),
    (
        "table_bytes_max",
        "The most bytes that the table's files of one node had; see table_written_bytes.",
    ),
    (
        "disk_used_max",
        "The most bytes that all files of one node had, looked at when a log segment begins, when a \
         snapshot is durable, and at the end.",
    ),
    (
        "applied_after_close",
        "How often a node that was asked to stop applied a command after it had closed its table, and \
         ended without answering it.",
    ),
    (
        "batch_mean",
        "Commands in a batch that a node proposed, on average. Absent where writes go one by one.",
    ),
    (
        "batches_given_up",
        "Batches that were not applied within `replicate_timeout`; see batch_mean.",
    ),
    (
        "log_ratio",
        "Bytes of the values that nodes encoded for the log over bytes written to it, by the node \
         that wrote most: above 1 the log is smaller than what clients sent. Absent where values lie \
         in the log as they came.",
    ),
    ("tails_lost", "Power losses that took something from a file."),
    ("lost_bytes", "Unsynced bytes that power losses took from files."),
    ("tail_cuts", "How often a node cut a torn tail off its log at its boot."),
    (
        "heap_max",
        "The most memory that one node's process held: what it had claimed, what was dropped and not \
         collected, and what its runtime needs.",
    ),
    ("heap_end", "What the process that held most held when the measures closed; see heap_max."),
    (
        "gc_pause_max",
        "The longest collection: every thread of its node stood still. A pause by a fault in the \
         middle of it does not count.",
    ),
    ("gc_pause_total", "The time that all nodes stood still for collections, young ones included."),
    ("collections", "Full collections of all nodes, asked for or not."),
    (
        "oom_kills",
        "Processes that were ended over their memory, by the system or by their own runtime.",
    ),
    ("allocated_bytes", "Bytes that one node, the one with most, allocated over all its boots."),
    ("frames", "Frames that were sent between all hosts, clients among them."),
    ("frame_bytes", "The bytes of those frames."),
    ("device_syncs", "Flushes that devices did for all hosts."),
    (
        "nodes_excused",
        "Nodes that ended over an error or a panic that a fault had made within a second, or over memory \
         that they were refused, and were started again; a node counts each time.",
    ),
    (
        "nodes_refused",
        "Nodes that ended over bytes that a fault had harmed, and stayed down: after a read of such \
         bytes in that boot, or on a disk that lost what no read can find.",
    ),
];
