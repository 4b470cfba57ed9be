//! What the writer reports durable is durable, wherever the machine stops; what it does without
//! room; and what it syncs.

use super::*;
use crate::log::Mark;
use crate::test_arm::{TestArm, at_once};
use crate::wal::codec::Owner;
use crate::wal::layout::{Layout, Sync};
use crate::wal::recover::{Defects, Recovered, recover};
use host::arm::Arm as _;
use raft::eraftpb::{ConfState, Entry, HardState};

const OWNER: Owner = Owner { cluster: 77, member: 1 };

fn recovered(arm: &TestArm) -> Recovered {
    let disk = arm.host().disk();
    let fresh = ConfState::default();
    at_once(recover(&disk, 1000, &[1], &fresh, (9, OWNER), Defects::default()))
        .expect("through")
        .expect("readable")
}

fn entry(index: u64) -> Entry {
    Entry { index, term: 1, data: vec![7; 300].into(), ..Entry::default() }
}

/// Appends so many entries, one batch each, to what lies on the disk, and yields the jobs.
fn batches(recovered: Recovered, count: u64) -> (Layout, Vec<Job>) {
    let Recovered { mut layout, mut logs, .. } = recovered;
    let log = logs.get_mut(&1).expect("the group");
    for index in log.last() + 1..=log.last() + count {
        let entry = entry(index);
        let entry =
            Entry { context: crate::chain::seal(&[], crc32fast::hash(&entry.data)), ..entry };
        let chain = log.append(entry);
        let place = layout.entry(1, &log.slot(index).expect("appended").entry, chain);
        layout.hard(1, &HardState { term: 1, commit: index - 1, ..HardState::default() });
        layout.close_batch(Sync::Cycle);
        log.set_place(index, place);
    }
    let jobs = std::mem::take(&mut layout.jobs);
    (layout, jobs)
}

struct Bench {
    jobs: Mailbox<Job>,
    inbox: Mailbox<Input>,
    writer: Writer,
}

fn bench(arm: &TestArm, kept: Option<Vec<u64>>) -> Bench {
    cycled(arm, Cycle { interval: Duration::ZERO, acks: Acks::Synced }, kept)
}

fn cycled(arm: &TestArm, cycle: Cycle, kept: Option<Vec<u64>>) -> Bench {
    let (jobs, inbox, host) = (Mailbox::new(), Mailbox::new(), arm.host());
    let thread = host.thread("wal");
    let writer = Writer::new(&host, &thread, (cycle, Duration::MAX), kept, &jobs, &inbox);
    Bench { jobs, inbox, writer }
}

/// Runs the writer over the jobs, a round each, and yields the last batch that it reported.
fn write(arm: &TestArm, jobs: Vec<Job>) -> u64 {
    let Bench { jobs: queue, inbox, writer } = bench(arm, None);
    queue.push_all(&mut { jobs });
    queue.close();
    let _ = at_once(writer.run());
    let through = |input| match input {
        Input::Persisted(seq) => seq,
        Input::Failed(error) => panic!("{error}"),
        _ => 0,
    };
    inbox.take_now().into_iter().map(through).max().unwrap_or(0)
}

#[test]
fn what_is_reported_survives_a_power_loss_at_every_point() {
    let arm = TestArm::new();
    write(&arm, batches(recovered(&arm), 3).1);
    let mut reported = 0;
    for budget in 0.. {
        // One round for each batch, so that each is reported on its own.
        let stopped = arm.copy().with_budget(budget);
        let (_, jobs) = batches(recovered(&arm), 5);
        let Bench { jobs: queue, inbox, mut writer } = bench(&stopped, None);
        let mut through = 0;
        let mut finished = true;
        for job in jobs {
            let append = matches!(job, Job::Append { .. });
            let _ = queue.push(job);
            if !append {
                continue;
            }
            let _ = at_once(writer.serve());
            let seqs = inbox.take_now().into_iter().filter_map(|input| match input {
                Input::Persisted(seq) => Some(seq),
                _ => None,
            });
            let Some(seq) = seqs.max() else {
                finished = false;
                break;
            };
            through = seq;
        }
        let last = |power_loss| recovered(&stopped.after(power_loss)).logs[&1].last();
        assert!(last(true) >= 3 + through, "after {budget} operations");
        assert!(last(false) >= last(true));
        reported = reported.max(through);
        if finished {
            break;
        }
    }
    assert_eq!(reported, 5);
}

#[test]
fn without_room_it_waits_and_goes_on_where_it_was() {
    let roomy = TestArm::new();
    write(&roomy, batches(recovered(&roomy), 6).1);
    let tight = TestArm::new().with_room(500, 200);
    assert_eq!(write_open(&tight, batches(recovered(&tight), 6).1, 40), 6);
    assert_eq!(tight.files(), roomy.files());
    let said = tight.said();
    assert!(said.len() >= 2 && said.len().is_multiple_of(2), "{said:?}");
    assert!(said.chunks(2).all(|pair| pair == ["disk_full_waits", "disk_has_room"]));
}

/// Like `write`, but the mailbox stays open.
fn write_open(arm: &TestArm, jobs: Vec<Job>, rounds: usize) -> u64 {
    let Bench { jobs: queue, inbox, mut writer } = bench(arm, None);
    let mut through = 0;
    let mut jobs = jobs.into_iter();
    for _ in 0..rounds {
        if let Some(job) = jobs.next() {
            let _ = queue.push(job);
        }
        let _ = at_once(writer.serve());
        for input in inbox.take_now() {
            if let Input::Persisted(seq) = input {
                through = seq;
            }
        }
    }
    through
}

#[test]
fn a_stop_does_not_wait_for_room() {
    let arm = TestArm::new().with_room(500, 0);
    let Bench { jobs, inbox, writer } = bench(&arm, None);
    jobs.push_all(&mut batches(recovered(&arm), 6).1);
    jobs.close();
    assert!(at_once(writer.run()).is_some());
    let said = inbox.take_now();
    assert!(!said.iter().any(|i| matches!(i, Input::Persisted(6) | Input::Failed(_))));
}

#[test]
fn what_may_go_makes_room_for_what_waits_before_it() {
    let arm = TestArm::new();
    write(&arm, batches(recovered(&arm), 6).1);
    let (mut layout, jobs) = batches(recovered(&arm), 2);
    let before = arm.files().len();
    let arm = arm.copy().with_room(0, 0);
    let mark = Mark { index: 5, term: 1, chain: 0 };
    assert!(layout.compact(|_| mark.index).is_some());
    // The writer must have a segment of its own open: only what lies before it may go early.
    let Bench { jobs: queue, inbox, mut writer } = bench(&arm, None);
    writer.open = Some(Open {
        segment: 99,
        file: at_once(arm.host().disk().open("wal/other", OpenMode::Fresh)).unwrap().unwrap(),
        len: 0,
    });
    queue.push_all(&mut { jobs });
    queue.push_all(&mut layout.jobs);
    let _ = at_once(writer.serve());
    let seqs = inbox.take_now().into_iter().filter(|i| matches!(i, Input::Persisted(2)));
    assert_eq!(seqs.count(), 1);
    assert!(arm.files().len() <= before + 1);
}

#[test]
fn a_flush_syncs_what_it_wrote_or_all_that_is_kept() {
    let arm = TestArm::new();
    write(&arm, batches(recovered(&arm), 6).1);
    let syncs = |kept: bool| {
        let arm = arm.after(false);
        let (layout, jobs) = batches(recovered(&arm), 1);
        let own = *layout.segments().last().expect("one was begun");
        let old: Vec<u64> = layout.segments().into_iter().filter(|s| *s < own).collect();
        let arm = arm.after(false);
        let Bench { jobs: queue, mut writer, .. } = bench(&arm, kept.then(|| old.clone()));
        queue.push_all(&mut { jobs });
        let _ = at_once(writer.serve());
        (arm.synced(), old, own)
    };
    let (synced, _, own) = syncs(false);
    assert_eq!(synced, [BEGUN.to_string(), wal_file(own)], "its beginning and its batch");
    let (synced, old, own) = syncs(true);
    assert!(old.len() >= 3);
    let all = old.iter().copied().chain([own]).map(wal_file);
    assert_eq!(synced[1..], all.collect::<Vec<_>>());
}

#[test]
fn a_sync_that_is_refused_for_lack_of_room_ends_the_node_and_nothing_more_is_reported() {
    let mut refused = 0;
    for good in 0..20 {
        let arm = TestArm::new().with_good_syncs(good);
        let Bench { jobs, inbox, mut writer } = bench(&arm, None);
        let mut through = 0;
        for job in batches(recovered(&arm), 6).1 {
            let _ = jobs.push(job);
            let ended = matches!(at_once(writer.serve()), Some(Err(_)));
            for input in inbox.take_now() {
                if let Input::Persisted(seq) = input {
                    through = seq;
                }
            }
            if ended {
                refused += 1;
                break;
            }
        }
        let found = recovered(&arm.after(true));
        assert!(
            found.logs[&1].last() >= through,
            "{through} were reported, {good} syncs went well"
        );
    }
    assert!(refused > 5, "{refused}");
}

const CYCLE: Duration = Duration::from_millis(100);

/// What the writer reported: the batch, and whether it said that it is durable.
fn reports(inbox: &Mailbox<Input>) -> Vec<(u64, bool)> {
    let report = |input| match input {
        Input::Persisted(seq) => Some((seq, true)),
        Input::Written(seq) => Some((seq, false)),
        Input::Failed(error) => panic!("{error}"),
        _ => None,
    };
    inbox.take_now().into_iter().filter_map(report).collect()
}

/// A segment's beginning and so many batches, the last of that urgency.
fn begun(arm: &TestArm, count: u64, last: Sync) -> Vec<Job> {
    let mut jobs = batches(recovered(arm), count).1;
    if let Some(Job::Append { sync, .. }) = jobs.last_mut() {
        *sync = last;
    }
    jobs
}

#[test]
fn entries_are_synced_at_multiples_of_the_cycle() {
    let arm = TestArm::new();
    let jobs = begun(&arm, 4, Sync::Cycle);
    arm.set_now(1_000_000);
    let cycle = Cycle { interval: CYCLE, acks: Acks::Synced };
    let Bench { jobs: queue, inbox, mut writer } = cycled(&arm, cycle, None);
    let mut at = Vec::new();
    for job in jobs {
        // Time passes only here and for whoever sleeps, so each batch waits for a cycle of its own.
        arm.set_now(arm.now().0 + if at.len() == 2 { 125_000_000 } else { 1 });
        let append = matches!(job, Job::Append { .. });
        let _ = queue.push(job);
        let _ = at_once(writer.serve());
        if append {
            at.push((reports(&inbox), arm.now().0 - 1_000_000));
        }
    }
    let end = |seq, cycles: u64| (vec![(seq, true)], cycles * 100_000_000);
    // Before the third came a segment, and both took a while.
    assert_eq!(at, [end(1, 1), end(2, 2), end(3, 5), end(4, 6)]);
}

#[test]
fn a_vote_waits_for_no_cycle() {
    for acks in [Acks::Synced, Acks::Written] {
        let arm = TestArm::new();
        let jobs = begun(&arm, 2, Sync::Now);
        let bench = cycled(&arm, Cycle { interval: CYCLE, acks }, None);
        let Bench { jobs: queue, inbox, mut writer } = bench;
        arm.set_now(7);
        queue.push_all(&mut { jobs });
        let _ = at_once(writer.serve());
        assert_eq!((reports(&inbox), arm.now()), (vec![(2, true)], Mono(7)));
        assert_eq!(recovered(&arm.after(true)).logs[&1].last(), 2);
    }
}

#[test]
fn where_nobody_waits_for_it_a_sync_follows_what_it_is_for() {
    let arm = TestArm::new();
    let jobs = begun(&arm, 2, Sync::Cycle);
    let cycle = Cycle { interval: CYCLE, acks: Acks::Written };
    let Bench { jobs: queue, inbox, mut writer } = cycled(&arm, cycle, None);
    arm.set_now(7);
    arm.stand_still();
    queue.push_all(&mut { jobs });
    let _ = at_once(writer.serve());
    assert_eq!(reports(&inbox), [(2, false)], "and that is said once");
    let last = |power_loss| recovered(&arm.after(power_loss)).logs[&1].last();
    assert_eq!((last(false), last(true)), (2, 0));
    let _ = at_once(writer.serve());
    assert_eq!(reports(&inbox), []);
    arm.set_now(100_000_000);
    let _ = at_once(writer.serve());
    assert_eq!(reports(&inbox), [(2, true)]);
    assert_eq!((last(false), last(true)), (2, 2));
}

#[test]
fn a_sync_that_nobody_waits_for_ends_the_node_if_it_fails() {
    // One is that of the segment's beginning.
    let arm = TestArm::new().with_good_syncs(1);
    let jobs = begun(&arm, 2, Sync::Cycle);
    let cycle = Cycle { interval: CYCLE, acks: Acks::Written };
    let Bench { jobs: queue, inbox, mut writer } = cycled(&arm, cycle, None);
    queue.push_all(&mut { jobs });
    assert!(matches!(at_once(writer.serve()), Some(Err(_))));
    assert_eq!(reports(&inbox), [(2, false)]);
}
