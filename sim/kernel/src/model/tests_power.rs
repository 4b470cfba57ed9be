//! What power loss and sync promise, beyond the comparison with the naive file system in
//! `tests_files`: what was synced survives, a log survives as a prefix of itself, a careful
//! replacement leaves the old or the new, and a record replays a loss exactly.

use bytes::Bytes;
use host::unit::Size;
use host::{Chunks, OpenMode};
use proptest::prelude::*;

use super::files::{Files, Survivor};
use super::tests_files::{World, op};

fn all_of(files: &Files) -> Vec<(String, Vec<u8>)> {
    let read = |name: String| {
        let file = files.find(&name).unwrap();
        let bytes = files.read_at(file, 0, u64::MAX).to_bytes().to_vec();
        (name, bytes)
    };
    files.list("").into_iter().map(read).collect()
}

proptest! {
    #[test]
    fn a_record_reproduces_the_loss(
        ops in prop::collection::vec(op(), 0..50), seed in any::<u64>(),
    ) {
        let (mut drawn, mut replayed) = (World::play(&ops), World::play(&ops));
        let record = drawn.power_loss(seed);
        let again = replayed.files.power_loss_exact(&record, None);
        prop_assert_eq!(again, record);
        prop_assert_eq!(all_of(&drawn.files), all_of(&replayed.files));
        prop_assert_eq!(drawn.files.space_left(), replayed.files.space_left());
        prop_assert_eq!(drawn.files.bytes(), replayed.files.bytes());
    }

    #[test]
    fn what_was_synced_survives(ops in prop::collection::vec(op(), 0..50), seed in any::<u64>()) {
        let mut world = World::play(&ops);
        world.sync_all();
        let before = all_of(&world.files);
        for (name, bytes) in &before {
            prop_assert_eq!(world.files.durable_len(name), bytes.len() as u64);
        }
        prop_assert_eq!(world.power_loss(seed), vec![]);
        prop_assert_eq!(all_of(&world.files), before);
    }

    #[test]
    fn a_process_crash_loses_nothing(ops in prop::collection::vec(op(), 0..50)) {
        let mut world = World::play(&ops);
        let before = all_of(&world.files);
        world.files.crash();
        prop_assert_eq!(all_of(&world.files), before);
    }

    #[test]
    fn an_appended_log_survives_as_a_prefix_of_itself(
        records in prop::collection::vec(1u64..2_000, 1..30), synced in 0usize..30,
        kept in any::<u64>(),
    ) {
        let mut files = Files::new(Size(1 << 30));
        let file = files.open("log", OpenMode::Fresh).unwrap();
        files.sync_dir();
        let (mut all, mut ends, mut durable) = (Vec::new(), vec![0], 0);
        for (n, len) in records.iter().enumerate() {
            let bytes: Vec<u8> = (0..*len).map(|i| (n as u64 * 31 + i) as u8).collect();
            all.extend_from_slice(&bytes);
            files.append(file, bytes.into()).unwrap();
            ends.push(all.len() as u64);
            if n + 1 == synced {
                let mark = files.sync_begin(file);
                files.append(file, vec![9].into()).unwrap();
                files.sync_end(mark);
                durable = all.len() as u64;
                all.push(9);
            }
            prop_assert_eq!(files.durable_len("log"), durable);
        }
        let record = files.power_loss(&mut |_, n| kept % (n + 1), None);
        let left = files.read_at(file, 0, u64::MAX).to_bytes();
        prop_assert!(all.starts_with(&left));
        prop_assert!(left.len() as u64 >= durable);
        if let Some(Survivor { path, dirty_bytes, kept_bytes }) = record.first() {
            prop_assert_eq!(path, "log");
            prop_assert_eq!(*dirty_bytes, all.len() as u64 - durable);
            prop_assert_eq!(left.len() as u64, durable + kept_bytes);
            let len = left.len() as u64;
            let clean = ends.contains(&len) || ends.contains(&(len - len.min(1)));
            prop_assert!(clean || len.is_multiple_of(512), "torn inside of a sector at {}", len);
        }
    }
}

/// Writes a file the careful way and stops before step `steps`; true if the result must be the new
/// one.
fn replace(files: &mut Files, steps: usize) -> bool {
    let tmp = files.open("tmp", OpenMode::Fresh).unwrap();
    files.append(tmp, vec![2; 4_000].into()).unwrap();
    if steps > 0 {
        files.sync_end(files.sync_begin(tmp));
    }
    if steps > 1 {
        files.rename("tmp", "file").unwrap();
    }
    if steps > 2 {
        files.sync_dir();
    }
    steps > 2
}

proptest! {
    #[test]
    fn replacing_by_rename_leaves_the_old_or_the_new(
        steps in 0usize..4, draws in prop::collection::vec(any::<u64>(), 9),
    ) {
        let mut files = Files::new(Size(1 << 20));
        let old = files.open("file", OpenMode::Fresh).unwrap();
        files.append(old, vec![1; 3_000].into()).unwrap();
        files.sync_end(files.sync_begin(old));
        files.sync_dir();
        let certain = replace(&mut files, steps);
        let mut draws = draws.into_iter();
        files.power_loss(&mut |_, n| draws.next().unwrap() % (n + 1), None);
        let file = files.find("file").expect("the old name was durable");
        let bytes = files.read_at(file, 0, u64::MAX).to_bytes();
        let new = bytes[..] == [2; 4_000];
        prop_assert!(new || bytes[..] == [1; 3_000]);
        prop_assert!(new || !certain);
    }
}

#[test]
fn a_name_that_was_never_synced_can_vanish_with_its_synced_bytes() {
    let mut files = Files::new(Size(1 << 20));
    let file = files.open("new", OpenMode::CreateIfMissing).unwrap();
    files.append(file, vec![7; 10].into()).unwrap();
    files.sync_end(files.sync_begin(file));
    assert_eq!(files.durable_len("new"), 0);
    let record = files.power_loss(&mut |_, _| 0, None);
    assert_eq!(record, [Survivor { path: String::new(), dirty_bytes: 1, kept_bytes: 0 }]);
    assert_eq!((files.find("new"), files.bytes(), files.len(file)), (None, 0, 0));
    assert!(files.append(file, vec![1].into()).is_err());
}

#[test]
fn slices_stay_shared_and_holes_cost_nothing() {
    let mut files = Files::new(Size(1 << 20));
    let file = files.open("f", OpenMode::Fresh).unwrap();
    let value = Bytes::from(vec![5; 1_000]);
    files.append(file, Chunks::from(value.clone())).unwrap();
    files.truncate(file, 1 << 40).unwrap();
    assert_eq!(files.space_left(), (1 << 20) - 1_000);
    let read = files.read_at(file, 200, 300);
    assert_eq!(read.parts().next().unwrap().as_ptr(), value[200..].as_ptr());
    assert_eq!(files.read_at(file, (1 << 40) - 100_000, u64::MAX).len(), 100_000);
}

#[test]
fn a_million_small_appends_are_cheap_to_hold() {
    let mut files = Files::new(Size(1 << 40));
    let file = files.open("wal", OpenMode::Fresh).unwrap();
    let record = Bytes::from_static(&[1; 100]);
    for n in 0..1_000_000u64 {
        assert_eq!(files.append(file, record.clone().into()).unwrap(), n * 100);
        if n % 1_000 == 999 {
            files.sync_end(files.sync_begin(file));
        }
    }
    files.sync_dir();
    assert_eq!(files.durable_len("wal"), 100_000_000);
    assert_eq!(files.bytes(), 100_000_000);
}
