//! Replay rules, without a disk: truncation by later entries, snapshots, and logs that begin in the
//! middle.

use super::super::codec::Encoder;
use super::*;
use crate::chain::{GENESIS, chain_entry};
use crate::test_arm::{TestArm, at_once};
use raft::eraftpb::Entry;

fn entry(index: u64, term: u64) -> Entry {
    let mut e = Entry::default();
    (e.index, e.term) = (index, term);
    e
}

fn slots(from: u64, to: u64, term: u64, mut chain: u64) -> Vec<Slot> {
    (from..=to)
        .map(|index| {
            let entry = entry(index, term);
            chain = chain_entry(chain, &entry);
            Slot { entry, chain, place: Place::default() }
        })
        .collect()
}

fn replayed(slots: Vec<Slot>) -> Replay {
    let mut replay = Replay::default();
    slots.into_iter().for_each(|s| replay.entry(s).unwrap());
    replay
}

#[test]
fn a_later_entry_truncates() {
    let first = slots(1, 5, 1, GENESIS);
    let second = slots(3, 4, 2, first[1].chain);
    let mut replay = replayed(first);
    second.into_iter().for_each(|s| replay.entry(s).unwrap());
    let log = replay.finish(&ConfState::default()).unwrap();
    assert_eq!((log.last(), log.mark(4).unwrap().term), (4, 2));
}

#[test]
fn a_gap_or_a_broken_chain_is_damage() {
    let all = slots(1, 5, 1, GENESIS);
    let mut replay = replayed(all[..2].to_vec());
    assert!(replay.entry(all[4].clone()).is_err());
    let mut wrong = all[2].clone();
    wrong.chain += 1;
    assert!(replay.entry(wrong).is_err());
}

#[test]
fn a_log_that_begins_in_the_middle_needs_its_snapshot() {
    let all = slots(1, 9, 1, GENESIS);
    let tail = all[4..].to_vec();
    let fresh = ConfState::default();
    assert!(replayed(tail.clone()).finish(&fresh).is_err());
    let mut replay = replayed(tail);
    let mark = Mark { index: 7, term: 1, chain: all[6].chain };
    replay.snapshot(mark, fresh.clone());
    let log = replay.finish(&fresh).unwrap();
    assert_eq!((log.first(), log.last(), log.hard().commit), (6, 9, 7));
    assert_eq!(log.mark(5).unwrap().term, 1);
}

#[test]
fn an_installed_snapshot_replaces_the_log() {
    let fresh = ConfState::default();
    let mut replay = replayed(slots(1, 5, 1, GENESIS));
    let mark = Mark { index: 100, term: 3, chain: 77 };
    replay.snapshot(mark, fresh.clone());
    slots(101, 103, 3, 77).into_iter().for_each(|s| replay.entry(s).unwrap());
    let log = replay.finish(&fresh).unwrap();
    assert_eq!((log.first(), log.last(), log.snapshot_mark()), (101, 103, mark));
}

#[test]
fn a_segment_reads_up_to_its_damage() {
    let mut encoder = Encoder::default();
    encoder.segment(1, Owner::default());
    let all = slots(1, 3, 1, GENESIS);
    all.iter().for_each(|s| encoder.entry(9, &s.entry, s.chain));
    let whole = encoder.finish();
    for cut in 0..=whole.len() {
        let mut segment = Segment { number: 1, bytes: cut, last: BTreeMap::new() };
        let mut replay = BTreeMap::new();
        let out = read_segment(&whole.slice(0, cut), true, &mut segment, &mut replay);
        let ends = [0, 78, 126, 174, 222];
        assert_eq!(out.is_ok(), ends.contains(&cut), "cut at {cut}");
        if let Err((offset, _)) = out {
            assert_eq!(Some(&offset), ends.iter().rev().find(|e| **e <= cut));
        }
    }
}

#[test]
fn a_log_of_which_nothing_is_known_begins_at_the_beginning() {
    let log = Replay::default().finish(&ConfState::default()).unwrap();
    assert_eq!((log.first(), log.last(), log.mark(0)), (1, 0, Some(Mark::START)));
}

#[test]
fn a_commit_index_without_its_entries_is_a_lost_tail() {
    let mut replay = replayed(slots(1, 5, 1, GENESIS));
    replay.hard.commit = 5;
    assert_eq!(replay.finish(&ConfState::default()).unwrap().hard().commit, 5);
    let mut replay = replayed(slots(1, 5, 1, GENESIS));
    replay.hard.commit = 6;
    let why = replay.finish(&ConfState::default()).err().unwrap();
    assert_eq!(why, "it is known to be committed up to 6, but ends at 5");
}

#[test]
fn a_change_of_members_says_that_the_one_before_is_committed() {
    let changes = |at: &[u64]| {
        let mut slots = slots(1, 9, 1, GENESIS);
        for slot in slots.iter_mut().filter(|s| at.contains(&s.entry.index)) {
            slot.entry = Entry { index: slot.entry.index, term: 1, ..crate::members::leave() };
        }
        let mut replay = replayed(slots);
        replay.hard.commit = 2;
        replay.finish(&ConfState::default()).unwrap().hard().commit
    };
    assert_eq!((changes(&[]), changes(&[7])), (2, 2));
    assert_eq!((changes(&[4, 7]), changes(&[3, 5, 8])), (4, 5));
}

const OWNER: Owner = Owner { cluster: 77, member: 1 };

fn boot(arm: &TestArm, owner: Owner) -> Option<io::Result<Recovered>> {
    let fresh = ConfState { voters: vec![1, 2, 3], ..ConfState::default() };
    let disk = arm.host().disk();
    at_once(async { recover(&disk, 1000, &[1], &fresh, (9, owner), Defects::default()).await })
}

/// A segment that begins with these hard states and holds these entries.
fn segment(number: u64, commit: u64, slots: &[Slot]) -> Vec<u8> {
    let mut encoder = Encoder::new(5);
    encoder.segment(number, OWNER);
    encoder.hard(1, &HardState { term: 2, vote: 3, commit, ..HardState::default() });
    slots.iter().for_each(|s| encoder.entry(1, &s.entry, s.chain));
    encoder.finish().to_bytes().to_vec()
}

/// Folders as power losses leave them, each with the last index that must be found.
fn folders() -> Vec<(&'static str, u64, TestArm)> {
    let all = slots(1, 9, 2, GENESIS);
    let (one, two) = (segment(1, 0, &all[..4]), segment(2, 4, &all[4..8]));
    let three = segment(3, 8, &all[8..]);
    let folder = |files: &[(u64, &[u8])]| {
        let arm = TestArm::new();
        files.iter().for_each(|(number, bytes)| arm.put(&wal_file(*number), bytes));
        arm
    };
    vec![
        ("whole", 8, folder(&[(1, &one), (2, &two)])),
        ("a torn tail", 7, folder(&[(1, &one), (2, &two[..two.len() - 5])])),
        ("a torn beginning", 8, folder(&[(1, &one), (2, &two), (3, &three[..60])])),
        ("an empty end", 8, folder(&[(1, &one), (2, &two), (3, &[])])),
        ("left behind and torn", 9, {
            // What lies before the gap was removed once; a power loss brought it back.
            let torn = [&segment(8, 4, &all[4..])[..], &[9; 20]].concat();
            folder(&[(2, &two), (7, &segment(7, 0, &all[..4])), (8, &torn)])
        }),
    ]
}

fn state(found: &Recovered) -> impl PartialEq + std::fmt::Debug + use<> {
    let log = &found.logs[&1];
    let entries: Vec<_> = (log.first()..=log.last()).map(|i| log.mark(i)).collect();
    (entries, log.hard().clone(), log.snapshot_mark(), found.layout.segments())
}

#[test]
fn a_recovery_that_stops_anywhere_is_made_good_by_the_next() {
    for (what, last, folder) in folders() {
        let expected = boot(&folder.copy(), OWNER).unwrap().unwrap();
        assert_eq!(expected.logs[&1].last(), last, "{what}");
        for power_loss in [false, true] {
            let mut budget = 0;
            loop {
                let stopped = folder.copy().with_budget(budget);
                let through = boot(&stopped, OWNER).is_some();
                let after = stopped.after(power_loss);
                let again = boot(&after, OWNER).unwrap().unwrap();
                assert_eq!(state(&again), state(&expected), "{what}, after {budget} operations");
                // What it built on is durable, so it is the same once more.
                let last = boot(&after.after(true), OWNER).unwrap().unwrap();
                assert_eq!(state(&last), state(&expected), "{what}, once more");
                budget += 1;
                if through {
                    break;
                }
            }
            assert!(budget > 5, "{what}");
        }
    }
}

#[test]
fn a_log_belongs_to_a_member_of_a_cluster() {
    let refused = |owner| {
        let folder = folders().pop().expect("some").2;
        let before = folder.files();
        let why = boot(&folder, owner).unwrap().err().expect("refused");
        assert_eq!(folder.files(), before, "nothing was changed");
        why.to_string()
    };
    assert_eq!(
        refused(Owner { cluster: 78, member: 2 }),
        "the log in this folder belongs to n1 of another cluster, and this is n2"
    );
    assert_eq!(
        refused(Owner { cluster: 77, member: 2 }),
        "the log in this folder belongs to n1 of this cluster, and this is n2"
    );
}

#[test]
fn damage_in_the_middle_is_refused_and_left_as_it_is() {
    let all = slots(1, 9, 2, GENESIS);
    let (mut one, two) = (segment(1, 0, &all[..4]), segment(2, 4, &all[4..8]));
    let at = one.len() - 5;
    one[at] ^= 1;
    let arm = TestArm::new();
    arm.put(&wal_file(1), &one);
    arm.put(&wal_file(2), &two);
    let before = arm.files();
    let why = boot(&arm, OWNER).unwrap().err().expect("refused").to_string();
    assert!(why.starts_with("wal/00000001 is damaged at byte"), "{why}");
    assert_eq!(arm.files(), before);
}

#[test]
fn a_segment_that_is_missing_or_empty_is_refused_and_nothing_is_removed() {
    let all = slots(1, 9, 2, GENESIS);
    let (one, three) = (segment(1, 0, &all[..4]), segment(3, 8, &all[8..]));
    for two in [None, Some(&[][..])] {
        let arm = TestArm::new();
        arm.put(&wal_file(1), &one);
        two.iter().for_each(|bytes| arm.put(&wal_file(2), bytes));
        arm.put(&wal_file(3), &three);
        let before = arm.files();
        assert!(boot(&arm, OWNER).unwrap().is_err());
        assert_eq!(arm.files(), before);
    }
}

/// A batch of one entry, stamped as if so many bytes before it were not known to be durable.
fn batch(slot: &Slot, since: u64) -> Vec<u8> {
    let mut encoder = Encoder::new(5);
    encoder.set_since(since);
    encoder.entry(1, &slot.entry, slot.chain);
    encoder.finish().to_bytes().to_vec()
}

/// Entries of 600 bytes in one segment, each in a batch of its own that knows all but so many of the
/// batches before it to be durable.
fn stamped(unsure: u64) -> (Vec<u8>, Vec<usize>) {
    let (mut bytes, mut ends, mut chain) = (segment(1, 0, &[]), Vec::new(), GENESIS);
    for index in 1..=6 {
        let data = bytes::Bytes::from(vec![7; 600]);
        let context = crate::chain::seal(&[], crc32fast::hash(&data));
        let entry = Entry { index, term: 2, data, context, ..Entry::default() };
        chain = chain_entry(chain, &entry);
        let slot = Slot { entry, chain, place: Place::default() };
        let len = batch(&slot, 0).len() as u64;
        bytes.extend(batch(&slot, unsure.min(index - 1) * len));
        ends.push(bytes.len());
    }
    (bytes, ends)
}

fn on_disk(bytes: &[u8]) -> TestArm {
    let arm = TestArm::new();
    arm.put(&wal_file(1), bytes);
    arm
}

#[test]
fn a_hole_is_damage_only_where_a_later_record_knew_it_to_be_durable() {
    for unsure in [1, 2] {
        let (whole, ends) = stamped(unsure as u64);
        for bad in 0..6 {
            let mut bytes = whole.clone();
            bytes[ends[bad] - 300..ends[bad] - 100].fill(0);
            let found = boot(&on_disk(&bytes), OWNER).unwrap();
            // Distances are rounded up to sectors, so a little less is known than there was.
            if bad + unsure + 1 < 6 {
                assert!(found.is_err(), "{bad} with {unsure} unsure");
            } else if bad + unsure >= 6 {
                assert_eq!(
                    found.unwrap().logs[&1].last(),
                    bad as u64,
                    "{bad} with {unsure} unsure"
                );
            }
        }
    }
}

#[test]
fn what_is_not_known_to_be_durable_is_written_anew() {
    let (bytes, ends) = stamped(1);
    let known = known_durable(&Chunks::from(bytes.clone()), bytes.len() as u64);
    assert!(known > ends[3] as u64 - 512 && known <= ends[4] as u64, "{known} {ends:?}");
    let arm = on_disk(&bytes);
    assert!(boot(&arm, OWNER).unwrap().is_ok());
    assert_eq!(arm.files()[&wal_file(1)], bytes, "with the same bytes");
}

#[test]
fn a_segment_that_was_not_finished_has_no_name() {
    let (bytes, _) = stamped(1);
    let arm = on_disk(&bytes);
    arm.put(crate::wal::BEGUN, &[3; 100]);
    assert_eq!(boot(&arm, OWNER).unwrap().unwrap().logs[&1].last(), 6);
}
