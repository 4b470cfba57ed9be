//! What a Raft node says it did. The checks of safety are written against these facts, so each is
//! emitted at the moment its name promises: `VoteGranted` and `AppendAcked` when the message is
//! handed to the transport, `Candidate` when the term begins, `Committed` when the node learns of
//! it. Events carry ranges and hashes, never entries.

use std::any::Any;

use host::unit::millis;
use host::{Event, Facts, Role, Weight};

/// Name of a log segment's file.
pub fn wal_file(segment: u64) -> String {
    format!("wal/{segment:08}")
}

/// The members that a set of bits stands for.
fn names(bits: u64) -> String {
    let ids = (1..=64_u64).filter(|id| bits >> (id - 1) & 1 == 1);
    ids.map(|id| format!("n{id}")).collect::<Vec<_>>().join(" ")
}

/// Declares the enum and derives word and facts from one list.
macro_rules! events {
    ($(
        $(#[$doc:meta])* $name:ident = $word:literal {
            $( $(#[$fdoc:meta])* $field:ident : $kind:ty ),* $(,)?
        }
    )*) => {
        /// A fact about one Raft group of one node.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum RaftEvent {
            $( $(#[$doc])* $name {
                /// The group.
                group: u32,
                $( $(#[$fdoc])* $field: $kind, )*
            }, )*
        }

        impl RaftEvent {
            /// The words of all events, for triggers.
            pub const WORDS: &'static [&'static str] = &[$($word),*];

            /// The group it is about; 0 for facts about the log file, which groups share.
            pub fn group(&self) -> u32 {
                match self { $( RaftEvent::$name { group, .. } => *group, )* }
            }

            fn event_word(&self) -> &'static str {
                match self { $( RaftEvent::$name { .. } => $word, )* }
            }

            fn all_facts(&self, facts: &mut Facts<'_>) {
                match self {
                    $( RaftEvent::$name { group, $($field),* } => {
                        facts.num(u64::from(*group));
                        $( facts.num(u64::from(*$field)); )*
                    } )*
                }
            }
        }
    };
}

events! {
    /// The node has read its disk.
    Recovered = "recovered" {
        /// The term it remembers.
        term: u64,
        /// Whom it voted for in that term; 0 nobody.
        vote: u64,
        /// What it knew to be committed.
        commit: u64,
        /// First log index on disk; one more than `last` if there is none.
        first: u64,
        /// Last log index.
        last: u64,
        /// Term of the last entry.
        last_term: u64,
        /// Index of the snapshot the state machine was restored from; 0 none.
        snapshot_index: u64,
    }
    /// A follower heard no leader for too long and campaigns.
    ElectionTimeout = "election_timeout" {
        /// Time since the last valid message from a leader, or since boot.
        silent_ns: u64,
    }
    /// The node asks whether it could win; no term begins.
    PreCandidate = "pre_candidate" {
        /// Its term.
        term: u64,
    }
    /// The node stands for election; this begins the term.
    Candidate = "candidate" {
        /// The new term.
        term: u64,
    }
    /// The node won.
    Leader = "leader_elected" {
        /// The term it leads.
        term: u64,
        /// Last index of its log at that moment.
        last_index: u64,
        /// Term of that entry.
        last_term: u64,
        /// Chain hash at that entry.
        chain: u64,
    }
    /// The node follows.
    Follower = "follower" {
        /// Its term.
        term: u64,
        /// Whom; 0 unknown.
        leader: u64,
    }
    /// A vote leaves; the own vote when the first request for votes leaves, for it counts from then
    /// on.
    VoteGranted = "vote_granted" {
        /// In this term.
        term: u64,
        /// For whom.
        to: u64,
    }
    /// Entries are in the log, though not yet durable; what lay at `first` and after is gone.
    Appended = "appended" {
        /// First new index.
        first: u64,
        /// Last index of the log.
        last: u64,
        /// Term of the last entry.
        term_last: u64,
        /// Chain hash at the last entry.
        chain_last: u64,
    }
    /// A promise leaves: the log up to `index` is durable here.
    AppendAcked = "append_acked" {
        /// In this term.
        term: u64,
        /// Up to here.
        index: u64,
        /// To this leader.
        to: u64,
        /// The segment that holds the entry at `index` (see `wal_file`).
        wal_segment: u64,
        /// The entry's end in that segment: so much of the file must be durable.
        wal_end: u64,
    }
    /// The node learned that the log is committed up to here.
    Committed = "committed" {
        /// Up to here.
        index: u64,
        /// Term of the entry there.
        term: u64,
        /// Chain hash there.
        chain: u64,
    }
    /// An entry that changes the configuration is in the log, though not yet durable.
    ConfigAppended = "config_appended" {
        /// Its index.
        index: u64,
        /// Its term.
        term: u64,
    }
    /// The node goes by this configuration from now on: it booted with it, a committed entry said
    /// so, or a snapshot did. Sets of members are bits, n1 the lowest; ids above 64 are left out.
    ConfigChanged = "config_changed" {
        /// The index of the entry or snapshot.
        index: u64,
        /// The voters; in a joint configuration the new ones.
        voters: u64,
        /// In a joint configuration the old voters, else none.
        outgoing: u64,
        /// The learners, and the voters that will be learners.
        learners: u64,
    }
    /// Entries went through the state machine.
    Applied = "applied" {
        /// First index.
        first: u64,
        /// Last index.
        last: u64,
        /// Chain hash at the last.
        chain: u64,
        /// The state machine's hash after the last.
        state_hash: u64,
    }
    /// The node began to serialise its state.
    SnapshotStarted = "snapshot_started" {
        /// Applied index at that moment.
        index: u64,
        /// Bytes to serialise.
        bytes: u64,
    }
    /// The snapshot is durable and the log behind it may go.
    SnapshotFinished = "snapshot_finished" {
        /// The index the snapshot stands for.
        index: u64,
        /// Bytes of its file.
        bytes: u64,
        /// From start to durability.
        took_ns: u64,
        /// From start to the end of the serialisation; writing it to the disk is the rest.
        serialized_ns: u64,
    }
    /// The node could not take a snapshot; it tries again before long.
    SnapshotFailed = "snapshot_failed" {
        /// Why: 1 for want of memory, 2 for want of room on the disk, 0 for another reason.
        why: u64,
    }
    /// There was no memory for a snapshot that is restored in one piece.
    RestoreFailed = "restore_failed" {
        /// The snapshot's index.
        index: u64,
        /// How many bytes it has.
        bytes: u64,
    }
    /// A peer's request was larger than this node takes; the connection was closed.
    BodyRefused = "body_refused" {
        /// The peer.
        from: u64,
        /// How many bytes it has.
        bytes: u64,
    }
    /// A snapshot was streamed to a peer.
    SnapshotSent = "snapshot_sent" {
        /// The peer.
        to: u64,
        /// Its index.
        index: u64,
        /// Whether the peer confirmed it.
        ok: bool,
    }
    /// A peer's snapshot replaced the state machine.
    SnapshotInstalled = "snapshot_installed" {
        /// Its index.
        index: u64,
        /// Term of the entry there.
        term: u64,
        /// Chain hash there.
        chain: u64,
        /// The state machine's hash.
        state_hash: u64,
    }
    /// The consensus loop ran much later than it had asked for.
    ThreadLate = "thread_late" {
        /// By how much.
        late_ns: u64,
        /// Ticks that fell due meanwhile.
        ticks: u64,
    }
    /// A new log segment began.
    WalRolled = "wal_rolled" {
        /// Its number.
        segment: u64,
        /// Segments on disk.
        segments: u64,
        /// Their bytes.
        bytes_total: u64,
    }
    /// Log segments that a snapshot made superfluous were removed.
    Compacted = "compacted" {
        /// The oldest segment that is left.
        first: u64,
        /// Bytes removed.
        bytes_removed: u64,
    }
    /// The leader holds a lease, or holds it for longer: until then no other node can be elected.
    LeaseHeld = "lease_held" {
        /// The term it leads.
        term: u64,
        /// Until when, on the host's monotonic clock.
        until_ns: u64,
    }
    /// The leader gave its lease up before its time: it stepped down, or hands leadership over.
    LeaseEnded = "lease_ended" {
        /// The term it led.
        term: u64,
    }
    /// Reads were admitted on the strength of the lease, without asking anybody.
    LeaseRead = "lease_read" {
        /// The term it leads.
        term: u64,
        /// They see at least what is committed up to here.
        index: u64,
        /// How many.
        reads: u64,
    }
    /// The leader hands leadership over.
    TransferStarted = "transfer_started" {
        /// The term it leads.
        term: u64,
        /// To whom.
        to: u64,
    }
    /// More than before in this boot wait here for what becomes of a proposal or a read.
    WaitersGrew = "waiters_grew" {
        /// How many.
        count: u64,
    }
    /// More bytes than before in this boot wait to be sent to a peer.
    QueueGrew = "queue_grew" {
        /// The peer.
        to: u64,
        /// How many bytes.
        bytes: u64,
    }
    /// The disk has no room for the log; the node waits for some.
    DiskFull = "disk_full_waits" {
        /// The segment that it could not write.
        segment: u64,
    }
    /// There is room again, and the log is written.
    DiskRoom = "disk_has_room" {
        /// How long it waited.
        waited_ns: u64,
    }
    /// The log file ended in bytes that are no record, as after a power loss; they were cut.
    TailCut = "tail_cut" {
        /// The segment.
        segment: u64,
        /// Where the good bytes end.
        offset: u64,
        /// How many bytes were cut.
        bytes: u64,
    }
}

impl Event for RaftEvent {
    fn source(&self) -> &'static str {
        "raft"
    }

    fn word(&self) -> &'static str {
        self.event_word()
    }

    fn facts(&self, facts: &mut Facts<'_>) {
        self.all_facts(facts);
    }

    fn text(&self) -> String {
        use RaftEvent::*;
        match self {
            Recovered { term, last, snapshot_index, .. } => {
                format!("recovered, term {term}, log to {last}, snapshot {snapshot_index}")
            }
            ElectionTimeout { silent_ns, .. } => {
                format!("no leader for {} ms", millis(*silent_ns))
            }
            PreCandidate { term, .. } => format!("pre-candidate, term {term}"),
            Candidate { term, .. } => format!("candidate, term {term}"),
            Leader { term, last_index, .. } => format!("leader, term {term}, log to {last_index}"),
            Follower { term, leader: 0, .. } => format!("follower, term {term}, no leader"),
            Follower { term, leader, .. } => format!("follows n{leader}, term {term}"),
            VoteGranted { term, to, .. } => format!("votes n{to}, term {term}"),
            Appended { first, last, .. } => format!("appends {first} to {last}"),
            AppendAcked { index, to, .. } => format!("acknowledges {index} to n{to}"),
            Committed { index, .. } => format!("knows {index} committed"),
            ConfigAppended { index, .. } => format!("appends a change of members at {index}"),
            ConfigChanged { index, voters, outgoing, learners, .. } => {
                let mut text = format!("members since {index}: {}", names(*voters));
                if *outgoing > 0 {
                    text += &format!(", jointly with {}", names(*outgoing));
                }
                if *learners > 0 {
                    text += &format!("; learners {}", names(*learners));
                }
                text
            }
            Applied { first, last, .. } => format!("applied {first} to {last}"),
            SnapshotStarted { index, bytes, .. } => {
                format!("snapshot starts at {index}, {bytes} bytes")
            }
            SnapshotFinished { index, took_ns, .. } => {
                format!("snapshot {index} durable after {} ms", millis(*took_ns))
            }
            SnapshotFailed { why, .. } => match why {
                1 => "snapshot failed for want of memory".to_string(),
                2 => "snapshot failed for want of room".to_string(),
                _ => "snapshot failed".to_string(),
            },
            RestoreFailed { index, bytes, .. } => {
                format!("no memory to restore snapshot {index}, {bytes} bytes")
            }
            BodyRefused { from, bytes, .. } => format!("refuses {bytes} bytes of n{from}"),
            SnapshotSent { to, index, ok: true, .. } => format!("snapshot {index} sent to n{to}"),
            SnapshotSent { to, index, .. } => format!("snapshot {index} did not reach n{to}"),
            SnapshotInstalled { index, .. } => format!("snapshot {index} installed"),
            ThreadLate { late_ns, ticks, .. } => {
                format!("thread late by {} ms, {ticks} ticks", millis(*late_ns))
            }
            WalRolled { segment, segments, .. } => {
                format!("begins {}, {segments} segments", wal_file(*segment))
            }
            Compacted { first, bytes_removed, .. } => {
                format!("removed {bytes_removed} bytes of log before {}", wal_file(*first))
            }
            LeaseHeld { until_ns, .. } => format!("lease until {} ms", millis(*until_ns)),
            LeaseEnded { .. } => "gives its lease up".to_string(),
            LeaseRead { index, reads, .. } => format!("{reads} reads at {index} under its lease"),
            TransferStarted { to, .. } => format!("hands leadership to n{to}"),
            WaitersGrew { count, .. } => format!("{count} wait for an outcome"),
            QueueGrew { to, bytes, .. } => format!("{bytes} bytes wait to be sent to n{to}"),
            DiskFull { segment, .. } => format!("no room for {}", wal_file(*segment)),
            DiskRoom { waited_ns, .. } => format!("room again after {} ms", millis(*waited_ns)),
            TailCut { segment, offset, bytes, .. } => {
                format!("cut {bytes} torn bytes of {} at {offset}", wal_file(*segment))
            }
        }
    }

    fn weight(&self) -> Weight {
        use RaftEvent::*;
        match self {
            Recovered { .. } | ElectionTimeout { .. } | PreCandidate { .. } | Candidate { .. } => {
                Weight::Story
            }
            Leader { .. } | Follower { .. } | ThreadLate { .. } | TailCut { .. } => Weight::Story,
            SnapshotFailed { .. } | RestoreFailed { .. } | BodyRefused { .. } => Weight::Story,
            TransferStarted { .. } | DiskFull { .. } | DiskRoom { .. } => Weight::Story,
            SnapshotStarted { .. } | SnapshotFinished { .. } | SnapshotInstalled { .. } => {
                Weight::Story
            }
            VoteGranted { .. } | SnapshotSent { .. } | WalRolled { .. } | Compacted { .. } => {
                Weight::Detail
            }
            LeaseEnded { .. } | ConfigAppended { .. } => Weight::Detail,
            ConfigChanged { index: 0, .. } => Weight::Detail,
            ConfigChanged { .. } => Weight::Story,
            WaitersGrew { .. } | QueueGrew { .. } => Weight::Detail,
            LeaseHeld { .. } | LeaseRead { .. } => Weight::Fine,
            Appended { .. } | AppendAcked { .. } | Committed { .. } | Applied { .. } => {
                Weight::Fine
            }
        }
    }

    fn warns(&self) -> bool {
        matches!(self, RaftEvent::DiskFull { .. })
    }

    fn role(&self) -> Option<Role> {
        match self {
            RaftEvent::Leader { .. } => Some(Role { word: "leader", mark: 'L' }),
            RaftEvent::Candidate { .. } => Some(Role { word: "candidate", mark: 'C' }),
            RaftEvent::Follower { .. } | RaftEvent::Recovered { .. } => {
                Some(Role { word: "follower", mark: '.' })
            }
            _ => None,
        }
    }
}

impl RaftEvent {
    /// The event as checks receive it.
    pub fn of(event: &dyn Event) -> Option<&RaftEvent> {
        (event as &dyn Any).downcast_ref()
    }
}
