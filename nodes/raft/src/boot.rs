//! From disk to a running node: recover the log, restore each group's snapshot, remove what no mark
//! refers to, listen, and start the tasks on the threads that the configuration names. The state
//! machine starts at its snapshot; Raft hands it the log behind that again once it knows it to be
//! committed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};

use host::{Host, Members};
use raft::eraftpb::ConfState;
use raft::{RawNode, ReadOnlyOption};
use tokio::sync::Notify;

use crate::apply::{Applier, Replica, Rhythm, SharedReplica, StateMachine, lock, restoring};
use crate::config::Config;
use crate::driver::{Driver, Input, Peer, Plants, Ticks};
use crate::event::RaftEvent;
use crate::group::Group;
use crate::log::LogStore;
use crate::mailbox::Mailbox;
use crate::members::Membership;
use crate::snapshot::file::path;
use crate::snapshot::read::read;
use crate::snapshot::take::{BUFFER, Taker};
use crate::transport::accept::{self, Accept};
use crate::transport::cluster_hash;
use crate::transport::codec::Sums;
use crate::transport::link::{self, Link, LinkConfig};
use crate::wal::codec::Owner;
use crate::wal::recover::{Defects, recover};
use crate::wal::writer::{Acks, Cycle, Writer};
use crate::{Raft, Shared};

/// Frames are closed after this many bytes, or after one message.
const FRAME_BYTES: u64 = 2_000_000;
/// Uncommitted bytes beyond which a leader refuses proposals.
const UNCOMMITTED_BYTES: u64 = 256_000_000;

pub(crate) fn invalid(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why.into())
}

/// Recovers from the host's disk and starts. `machines` makes the empty state machine of a group.
pub async fn start(
    host: &Host,
    config: &Config,
    members: &Members,
    groups: &[u32],
    machines: impl Fn(u32) -> Box<dyn StateMachine>,
) -> io::Result<Raft> {
    config.validate().map_err(invalid)?;
    let me = members.get(members.me).ok_or_else(|| invalid("this host is no member"))?;
    let groups: Vec<u32> = groups.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
    let fresh = first_voters(config, members)?;
    let disk = host.disk();
    let salt = host.rng("wal_salt", 0).below(1 << 32) as u32;
    let (limit, owner) = (config.wal_segment.0, owner(config, members)?);
    let defects = defects(host);
    let recovered = recover(&disk, limit, &groups, &fresh, (salt, owner), defects).await?;
    if let Some((segment, offset, bytes)) = recovered.cut {
        host.emit(RaftEvent::TailCut { group: 0, segment, offset, bytes });
    }
    if let Some(stranger) = recovered.logs.keys().find(|g| groups.binary_search(g).is_err()) {
        return Err(invalid(format!("the log holds group {stranger}, which is not configured")));
    }
    let rhythm = rhythm(host, config);
    let plants = plants(host);
    let replicas = replicas(host, config, plants, &recovered.logs, &machines).await?;
    remove_orphans(host, &replicas).await?;
    let chained = chained(config, &replicas);
    let listener = host.net().listen(&me.peer_addr).await?;

    let inbox = Mailbox::new();
    let raft_groups = raft_groups(host, config, plants, me.id, recovered.logs)?;
    let begin = raft_groups.iter().map(|g| g.membership.clone()).collect();
    let shared = Arc::new(Shared::new(inbox.clone(), groups.clone(), begin));
    let thread = host.thread(config.raft_thread.0);
    let accept = Arc::new(receiving(host, config, members, (groups, &replicas), &inbox));
    let driver = Driver {
        host: host.clone(),
        config: config.clone(),
        me: me.id,
        plants,
        snapshot_thread: host.thread(config.snapshot_thread.0),
        inbox: inbox.clone(),
        groups: raft_groups,
        dirty: Vec::new(),
        is_dirty: vec![false; shared.groups.len()],
        peers: peers(host, config, plants, members, &inbox),
        known: members.all.iter().map(|m| m.id).collect(),
        layout: recovered.layout,
        outstanding: VecDeque::new(),
        wal: Mailbox::new(),
        apply: Mailbox::new(),
        apply_jobs: Vec::new(),
        awaited: Arc::default(),
        take: Mailbox::new(),
        replicas,
        chained,
        ticks: ticks(host, config),
        now: host.clock().now(),
        stop_by: None,
        shared: shared.clone(),
        accept: accept.clone(),
        writer: None,
        applier: None,
        tasks: Vec::new(),
    };
    run(host, config, driver, rhythm, |tasks| {
        tasks.push(thread.spawn("raft_accept", accept::run(accept, listener)));
    });
    Ok(Raft::new(shared))
}

/// Whose log it is.
pub(crate) fn owner(config: &Config, members: &Members) -> io::Result<Owner> {
    let me = members.get(members.me).ok_or_else(|| invalid("this host is no member"))?;
    Ok(Owner { cluster: cluster_hash(members, config.voters), member: me.id })
}

/// Who votes as long as the log says nothing else.
pub(crate) fn first_voters(config: &Config, members: &Members) -> io::Result<ConfState> {
    let (all, wanted) = (members.all.len(), config.voters as usize);
    if wanted > all {
        return Err(invalid(format!("voters {wanted} is more than there are hosts, {all}")));
    }
    let count = if wanted == 0 { all } else { wanted };
    let voters = members.all.iter().take(count).map(|m| m.id).collect();
    Ok(ConfState { voters, ..ConfState::default() })
}

fn rhythm(host: &Host, config: &Config) -> Rhythm {
    let every = config.snapshot_every;
    let offset = match config.snapshot_phase.0 {
        "own" => host.rng("snapshot_phase", 0).below(every),
        _ => 0,
    };
    Rhythm { every, offset }
}

/// The receiving side, which listens for all other members.
fn receiving(
    host: &Host,
    config: &Config,
    members: &Members,
    (groups, replicas): (Vec<u32>, &BTreeMap<u32, SharedReplica>),
    inbox: &Mailbox<Input>,
) -> Accept {
    let unchecked = host.planted(host::Plant("frame_unchecked"));
    Accept {
        host: host.clone(),
        thread: host.thread(config.raft_thread.0),
        me: members.me,
        cluster: cluster_hash(members, config.voters),
        peers: members.all.iter().map(|m| m.id).filter(|id| *id != members.me).collect(),
        groups,
        sums: if unchecked { Sums::Ignored } else { Sums::Compared },
        snapshot_stall: config.snapshot_stall,
        body_limit: config.body_limit.0,
        restores_whole: config.restore_form.0 == "whole",
        replicas: replicas.clone(),
        inbox: inbox.clone(),
        connections: Mutex::default(),
        current: Mutex::default(),
    }
}

/// Starts every task on its thread.
fn run(
    host: &Host,
    config: &Config,
    mut driver: Driver,
    rhythm: Rhythm,
    more: impl FnOnce(&mut Vec<host::Task>),
) {
    let raft_thread = host.thread(config.raft_thread.0);
    let wal_thread = host.thread(config.wal_thread.0);
    let apply_thread = host.thread(config.apply_thread.0);
    let snapshot_thread = host.thread(config.snapshot_thread.0);
    let kept = (config.wal_sync.0 == "kept").then(|| driver.layout.segments());
    let patience = config.election_timeout.max;
    let acks = if config.ack_waits_flush.0 == "on" { Acks::Synced } else { Acks::Written };
    let cycle = Cycle { interval: config.flush_interval, acks };
    let writer =
        Writer::new(host, &wal_thread, (cycle, patience), kept, &driver.wal, &driver.inbox);
    driver.writer = Some(wal_thread.spawn("raft_wal", writer.run()));
    let written = Arc::new(Notify::new());
    let applier = Applier {
        host: host.clone(),
        plants: driver.plants,
        thread: apply_thread.clone(),
        replicas: driver.replicas.clone(),
        rhythm,
        jobs: driver.apply.clone(),
        take: driver.take.clone(),
        inbox: driver.inbox.clone(),
        awaited: driver.awaited.clone(),
        written: (config.apply_during_snapshot.0 == "off").then(|| written.clone()),
    };
    driver.applier = Some(apply_thread.spawn("raft_apply", applier.run()));
    let taker = Taker {
        host: host.clone(),
        plants: driver.plants,
        thread: snapshot_thread.clone(),
        whole: config.snapshot_form.0 == "whole",
        incremental: config.snapshot_kind.0 == "incremental",
        chained: driver.chained,
        collects: config.collect_after_snapshot.0 == "on",
        written,
        replicas: driver.replicas.clone(),
        jobs: driver.take.clone(),
        inbox: driver.inbox.clone(),
    };
    driver.tasks.push(snapshot_thread.spawn("raft_snapshot", taker.run()));
    for peer in &driver.peers {
        let task = link::run(peer.link.clone(), peer.config.clone());
        driver.tasks.push(raft_thread.spawn("raft_send", task));
    }
    let (stopping, inbox) = (host.clone(), driver.inbox.clone());
    driver.tasks.push(raft_thread.spawn("raft_stopping", async move {
        stopping.stopping().await;
        let _ = inbox.push(Input::Stop);
    }));
    more(&mut driver.tasks);
    drop(raft_thread.spawn("raft_loop", driver.run()));
}

fn defects(host: &Host) -> Defects {
    let planted = |word| host.planted(host::Plant(word));
    Defects {
        bad_record_ends_log: planted("bad_record_ends_log"),
        torn_record_accepted: planted("torn_record_accepted"),
    }
}

fn plants(host: &Host) -> Plants {
    let planted = |word| host.planted(host::Plant(word));
    Plants {
        vote_before_fsync: planted("vote_before_fsync"),
        ack_before_fsync: planted("ack_before_fsync"),
        vote_not_persisted: planted("vote_not_persisted"),
        hardstate_without_sync: planted("hardstate_without_sync"),
        own_log_before_fsync: planted("own_log_before_fsync"),
        compact_before_snapshot_durable: planted("compact_before_snapshot_durable"),
        lease_from_ack: planted("lease_from_ack"),
        lease_survives_transfer: planted("lease_survives_transfer"),
        lease_on_wall_clock: planted("lease_on_wall_clock"),
        lease_never_ends: planted("lease_never_ends"),
        vote_right_after_boot: planted("vote_right_after_boot"),
        read_without_quorum: planted("read_without_quorum"),
        log_never_compacted: planted("log_never_compacted"),
        heartbeat_resets_nothing: planted("heartbeat_resets_nothing"),
        refusal_counts_as_vote: planted("refusal_counts_as_vote"),
        stale_grant_counts: planted("stale_grant_counts"),
        candidate_votes_again: planted("candidate_votes_again"),
        vote_for_stale_log: planted("vote_for_stale_log"),
        vote_outlives_term: planted("vote_outlives_term"),
        request_renews_promise: planted("request_renews_promise"),
        candidate_waits_for_ever: planted("candidate_waits_for_ever"),
        append_without_match: planted("append_without_match"),
        rejection_ignored: planted("rejection_ignored"),
        heartbeat_commit_unchecked: planted("heartbeat_commit_unchecked"),
        commit_goes_back: planted("commit_goes_back"),
        quorum_too_small: planted("quorum_too_small"),
        log_end_taken_for_committed: planted("log_end_taken_for_committed"),
        uncommitted_applied: planted("uncommitted_applied"),
        applied_forgotten: planted("applied_forgotten"),
        read_before_own_term: planted("read_before_own_term"),
        snapshot_installed_before_durable: planted("snapshot_installed_before_durable"),
        snapshot_never_reported: planted("snapshot_never_reported"),
        snapshot_mark_too_late: planted("snapshot_mark_too_late"),
        delta_base_forgotten: planted("delta_base_forgotten"),
        log_compacted_to_applied: planted("log_compacted_to_applied"),
        request_before_fsync: planted("request_before_fsync"),
        answer_by_index_alone: planted("answer_by_index_alone"),
        old_entries_restamped: planted("old_entries_restamped"),
        neutral_heartbeat_twice: planted("neutral_heartbeat_twice"),
        neutral_commit_synced: planted("neutral_commit_synced"),
        neutral_yield_between_jobs: planted("neutral_yield_between_jobs"),
        neutral_reads_in_reverse: planted("neutral_reads_in_reverse"),
        neutral_frame_per_message: planted("neutral_frame_per_message"),
        config_applied_when_appended: planted("config_applied_when_appended"),
        second_change_while_pending: planted("second_change_while_pending"),
        joint_skipped: planted("joint_skipped"),
        removed_still_votes: planted("removed_still_votes"),
        learner_counts: planted("learner_counts"),
        vote_withheld: planted("vote_withheld"),
        waiters_leaked: planted("waiters_leaked"),
        window_ignored: planted("window_ignored"),
    }
}

/// Ticks fall at a random phase, the same for all groups of the host.
fn ticks(host: &Host, config: &Config) -> Ticks {
    let tick_ns = host::unit::nanos(config.tick);
    let now = host.clock().now();
    let phase = host.rng("tick_phase", 0).below(tick_ns);
    let origin = now - std::time::Duration::from_nanos(phase);
    Ticks { origin, tick_ns, done: 0, wake_at: now }
}

async fn replicas(
    host: &Host,
    config: &Config,
    plants: Plants,
    logs: &BTreeMap<u32, LogStore>,
    machines: &impl Fn(u32) -> Box<dyn StateMachine>,
) -> io::Result<BTreeMap<u32, SharedReplica>> {
    let mut out = BTreeMap::new();
    for (&group, log) in logs {
        let mark = log.snapshot_mark();
        let mut machine = machines(group);
        let mut links = Vec::new();
        if mark.index > 0 {
            let whole = read(host, group, mark).await?;
            let bytes = if config.restore_form.0 == "whole" { whole.bytes() } else { BUFFER };
            let _piece = restoring(host, (group, mark.index), bytes)?;
            links.clone_from(&whole.links);
            whole.restore(&mut *machine)?;
            if let Some(settling) = machine.settle() {
                settling.await?;
            }
        }
        let mark = if plants.applied_forgotten { log.start() } else { mark };
        let next = rhythm(host, config).after(mark.index);
        let replica = Replica { links, ..Replica::new(machine, mark, log.conf().clone(), next) };
        out.insert(group, Arc::new(Mutex::new(replica)));
    }
    Ok(out)
}

/// Whether a snapshot may rest on others: it is to, or one on the disk does.
fn chained(config: &Config, replicas: &BTreeMap<u32, SharedReplica>) -> bool {
    let several = |replica: &SharedReplica| lock(replica).links.len() > 1;
    config.snapshot_kind.0 == "incremental" || replicas.values().any(several)
}

/// Removes snapshot files that no mark in the log refers to: unfinished ones, and finished ones
/// that a crash overtook.
async fn remove_orphans(host: &Host, replicas: &BTreeMap<u32, SharedReplica>) -> io::Result<()> {
    let names = |(group, replica): (&u32, &SharedReplica)| {
        let links = lock(replica).links.clone();
        links.into_iter().map(|link| path(*group, link.index)).collect::<Vec<_>>()
    };
    let marked: BTreeSet<String> = replicas.iter().flat_map(names).collect();
    let disk = host.disk();
    for name in disk.list("snap/").await? {
        if !marked.contains(&name) {
            disk.remove(&name).await?;
        }
    }
    Ok(())
}

fn raft_groups(
    host: &Host,
    config: &Config,
    plants: Plants,
    me: u64,
    logs: BTreeMap<u32, LogStore>,
) -> io::Result<Vec<Group>> {
    let logger = slog::Logger::root(slog::Discard, slog::o!());
    let now = host.clock().now();
    let (min, max) = config.election_ticks();
    let mut groups = Vec::new();
    for (id, mut log) in logs {
        let snapshot_index = log.snapshot_mark().index;
        // The library asks its user how far the state is; etcd kept that index beside its data only
        // from 3.0 on, and applied entries a second time before (issue 3843 of CockroachDB is one
        // more). Here the log begins a little before the snapshot.
        let applied = if plants.applied_forgotten { log.start().index } else { snapshot_index };
        // What a log ends with may be on this disk alone, and be overwritten by the next leader.
        if plants.log_end_taken_for_committed {
            log.commit_all();
        }
        let (first, last) = (log.first(), log.last());
        let raft_config = raft::Config {
            id: me,
            election_tick: min as usize,
            min_election_tick: min as usize,
            max_election_tick: max as usize,
            heartbeat_tick: config.ticks(config.heartbeat()) as usize,
            applied,
            max_size_per_msg: config.max_append.0,
            max_inflight_msgs: inflight(config, plants),
            check_quorum: config.check_quorum.0 == "on",
            pre_vote: config.pre_vote.0 == "on",
            read_only_option: ReadOnlyOption::Safe,
            max_uncommitted_size: UNCOMMITTED_BYTES,
            skip_bcast_commit: config.commit_notice.0 == "with_next",
            ..raft::Config::default()
        };
        let raw = RawNode::new(&raft_config, log, &logger).map_err(|e| invalid(e.to_string()))?;
        let mut group = Group::new(id, raw, config, plants, now);
        group.redraw(host);
        let raft = &group.raw.raft;
        let last_term = raft.raft_log.last_term();
        let (term, vote, commit) = (raft.term, raft.vote, raft.raft_log.committed);
        host.emit(RaftEvent::Recovered {
            group: id,
            term,
            vote,
            commit,
            first,
            last,
            last_term,
            snapshot_index,
        });
        let conf = group.raw.raft.prs().conf().to_conf_state();
        group.follow(host, Membership::new(snapshot_index, &conf));
        groups.push(group);
    }
    Ok(groups)
}

/// Append messages that a leader sends ahead. Planted: as many as there are.
fn inflight(config: &Config, plants: Plants) -> usize {
    match plants.window_ignored {
        true => 1 << 14,
        false => (config.max_inflight.0 / config.max_append.0).max(1) as usize,
    }
}

fn peers(
    host: &Host,
    config: &Config,
    plants: Plants,
    members: &Members,
    inbox: &Mailbox<Input>,
) -> Vec<Peer> {
    let frame_bytes = if plants.neutral_frame_per_message { 1 } else { FRAME_BYTES };
    let request = config.transport.0 == "request";
    let others = members.all.iter().filter(|m| m.id != members.me);
    let peer = |m: &host::Member| {
        let config = LinkConfig {
            net: host.net(),
            clock: host.clock(),
            addr: m.peer_addr.clone(),
            me: members.me,
            peer: m.id,
            cluster: cluster_hash(members, config.voters),
            dial_timeout: config.dial_timeout,
            pause_max: config.election_timeout.min / 2,
            rpc_timeout: request.then(|| config.rpc_timeout()),
            frame_bytes,
            queue_bytes: if plants.window_ignored { u64::MAX } else { config.max_inflight.0 * 2 },
            inbox: inbox.clone(),
        };
        Peer { id: m.id, link: Link::new(&config), config, outbox: Vec::new(), stated: 0 }
    };
    others.map(peer).collect()
}
