//! Replay rules, without a disk: truncation by later entries, snapshots, and logs that begin in the
//! middle.

use super::super::codec::Encoder;
use super::*;
use crate::chain::{GENESIS, chain_entry};
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
    encoder.segment(1);
    let all = slots(1, 3, 1, GENESIS);
    all.iter().for_each(|s| encoder.entry(9, &s.entry, s.chain));
    let whole = encoder.finish();
    for cut in 0..=whole.len() {
        let mut segment = Segment { number: 1, bytes: cut, last: BTreeMap::new() };
        let mut replay = BTreeMap::new();
        let out = read_segment(&whole.slice(0, cut), &mut segment, &mut replay);
        let ends = [0, 62, 110, 158, 206];
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
