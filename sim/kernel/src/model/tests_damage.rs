//! What damage does to files: it stays hidden until its time, hits what it says and nothing else, is mended
//! by a rewrite, and what syncs that lied or failed have promised is told apart from what is durable.

use host::OpenMode;
use host::unit::Size;
use proptest::prelude::*;

use super::files::{Files, Sector, Toll};
use super::latent::{Cause, Counts, Shows};

fn cause(shows: Shows, counts: Counts) -> Cause {
    Cause { line: 3, shows, counts }
}

/// A disk with one durable file of these bytes.
fn disk(bytes: &[u8]) -> (Files, u64) {
    let mut files = Files::new(Size(1 << 20));
    let file = files.open("f", OpenMode::Fresh).unwrap();
    files.append(file, bytes.to_vec().into()).unwrap();
    files.sync_end(files.sync_begin(file));
    files.sync_dir();
    (files, file)
}

fn all(files: &Files, file: u64) -> Vec<u8> {
    files.read_at(file, 0, u64::MAX).to_bytes().to_vec()
}

proptest! {
    #[test]
    fn rot_shows_in_its_time_and_there_only(
        at in 0u64..4_000, len in 1u64..600, seed in any::<u64>(), when in 0usize..3,
    ) {
        let (mut files, file) = disk(&[7; 5_000]);
        let shows = [Shows::Now, Shows::Restart, Shows::PowerLoss][when];
        files.rot(file, (at, len), seed, cause(shows, Counts::Damaged));
        for (step, moment) in [Shows::Now, Shows::Restart, Shows::PowerLoss].into_iter().enumerate() {
            match moment {
                Shows::Now => {}
                Shows::Restart => files.crash(),
                Shows::PowerLoss => drop(files.power_loss(&mut |_, _| 0, None)),
            }
            let bytes = all(&files, file);
            let wrong: Vec<u64> = (0..5_000).filter(|i| bytes[*i as usize] != 7).collect();
            prop_assert_eq!(wrong.is_empty(), step < when, "{:?} at {:?}", shows, moment);
            prop_assert!(wrong.iter().all(|i| *i >= at && *i < at + len));
            prop_assert_eq!(files.durable_len("f"), 5_000, "nobody was told");
            let toll = files.take_toll();
            prop_assert_eq!(toll.damaged, step == when);
            prop_assert_eq!(toll.lines.len(), usize::from(step == when));
        }
    }

    #[test]
    fn a_rewrite_mends(
        at in 0u64..3_000, len in 1u64..900, from in 0u64..3_000, count in 1u64..900,
        unreadable in any::<bool>(),
    ) {
        let (mut files, file) = disk(&[7; 5_000]);
        let how = cause(Shows::Restart, Counts::Damaged);
        if unreadable {
            files.spoil(file, (at, len), how);
        } else {
            files.rot(file, (at, len), 5, how);
        }
        files.write_at(file, &[(from, vec![7; count as usize].into())]).unwrap();
        files.crash();
        let bytes = all(&files, file);
        for i in 0..5_000u64 {
            let left = i >= at && i < at + len && !(i >= from && i < from + count);
            let bad = files.unreadable(file, i, 1).is_some();
            prop_assert!(left || (bytes[i as usize] == 7 && !bad), "{}", i);
            prop_assert!(!left || !unreadable || bad, "{}", i);
        }
        let all_mended = from <= at && from + count >= at + len;
        prop_assert_eq!(files.take_toll().damaged, !all_mended);
        files.write_at(file, &[(0, vec![7; 5_000].into())]).unwrap();
        prop_assert!(files.unreadable(file, 0, u64::MAX).is_none());
    }

    #[test]
    fn a_lost_write_leaves_what_was_there(
        writes in prop::collection::vec((0u64..2_000, 1u64..700), 1..6), lost in 0usize..6,
    ) {
        let (mut files, file) = disk(&[1; 1_000]);
        let mut naive = vec![1u8; 1_000];
        for (n, (at, len)) in writes.iter().enumerate() {
            let byte = n as u8 + 2;
            files.write_at(file, &[(*at, vec![byte; *len as usize].into())]).unwrap();
            let end = (at + len) as usize;
            naive.resize(naive.len().max(end), 0);
            if n == lost {
                files.lose_last(file, 1, cause(Shows::PowerLoss, Counts::Forgot));
            } else {
                naive[*at as usize..end].fill(byte);
            }
        }
        files.sync_end(files.sync_begin(file));
        let shown = all(&files, file);
        prop_assert_eq!(files.durable_len("f"), shown.len() as u64);
        files.power_loss(&mut |_, _| 0, None);
        prop_assert_eq!(all(&files, file), naive);
    }

    #[test]
    fn tearing_leaves_each_sector_there_missing_or_garbage(
        synced in 0u64..2_000, lens in prop::collection::vec(1u64..1_500, 1..5),
        fates in prop::collection::vec(0u8..3, 20), kept in any::<u64>(),
    ) {
        let (mut files, file) = disk(&vec![1; synced as usize]);
        for len in &lens {
            files.append(file, vec![2; *len as usize].into()).unwrap();
        }
        let fate = |number: u64| match fates[number as usize % 20] {
            0 => Sector::There,
            1 => Sector::Missing,
            _ => Sector::Garbage(number),
        };
        files.power_loss(&mut |_, n| kept % (n + 1), Some((512, &mut |_, number| fate(number))));
        let bytes = all(&files, file);
        prop_assert!(bytes.len() as u64 >= synced);
        prop_assert!(bytes[..synced as usize].iter().all(|b| *b == 1), "durable bytes are not torn");
        for (i, byte) in bytes.iter().enumerate().skip(synced as usize) {
            match fate(i as u64 / 512) {
                Sector::There => prop_assert_eq!(*byte, 2),
                Sector::Missing => prop_assert_eq!(*byte, 0),
                Sector::Garbage(_) => {}
            }
        }
        prop_assert_eq!(files.durable_len("f"), bytes.len() as u64);
        prop_assert_eq!(files.used(), bytes.len() as u64 - missing(&bytes, synced, &fate));
    }
}

/// Bytes of missing sectors: holes, which take no room.
fn missing(bytes: &[u8], from: u64, fate: &impl Fn(u64) -> Sector) -> u64 {
    let is = |i: &u64| fate(i / 512) == Sector::Missing;
    (from..bytes.len() as u64).filter(is).count() as u64
}

#[test]
fn a_sync_that_lied_is_believed_until_the_power_fails() {
    for (comes_true, left) in [(10, 1_500), (30, 1_000)] {
        let (mut files, file) = disk(&[1; 1_000]);
        files.append(file, vec![2; 500].into()).unwrap();
        files.sync_lies(files.sync_begin(file), comes_true);
        assert_eq!(files.durable_len("f"), 1_500);
        files.append(file, vec![3; 100].into()).unwrap();
        assert_eq!(files.durable_len("f"), 1_500, "of what came later nobody said so");
        files.settle(20);
        files.power_loss(&mut |_, _| 0, None);
        assert_eq!(files.len(file), left);
        assert_eq!(files.take_toll().forgot, left == 1_000);
    }
}

#[test]
fn an_honest_sync_makes_earlier_lies_true() {
    let (mut files, file) = disk(&[1; 1_000]);
    files.append(file, vec![2; 500].into()).unwrap();
    files.sync_lies(files.sync_begin(file), u64::MAX);
    files.append(file, vec![3; 100].into()).unwrap();
    files.sync_end(files.sync_begin(file));
    assert_eq!(files.power_loss(&mut |_, _| 0, None), []);
    assert_eq!((files.len(file), files.take_toll().forgot), (1_600, false));
}

#[test]
fn a_folder_whose_sync_lied_loses_names() {
    for truth in [false, true] {
        let (mut files, _) = disk(&[1; 10]);
        files.rename("f", "g").unwrap();
        let mark = files.sync_dir_begin();
        files.sync_lies(mark, u64::MAX);
        assert_eq!((files.durable_len("g"), files.believed_names()), (10, 1));
        if truth {
            files.settle_dir();
        }
        files.power_loss(&mut |_, _| 0, None);
        assert_eq!(files.find("g").is_some(), truth);
        assert_eq!(files.take_toll().forgot, !truth);
    }
}

#[test]
fn after_a_failed_sync_the_next_one_lies_and_the_kernel_knows() {
    let (mut files, file) = disk(&[1; 1_000]);
    files.append(file, vec![2; 500].into()).unwrap();
    files.sync_failed(files.sync_begin(file), cause(Shows::PowerLoss, Counts::Told));
    files.append(file, vec![3; 100].into()).unwrap();
    files.sync_end(files.sync_begin(file));
    assert_eq!(files.durable_len("f"), 1_000, "the next Ok is worth nothing for these");
    assert!(all(&files, file)[1_000..1_500].iter().all(|b| *b == 2), "the cache has them");
    // Whoever writes them anew is safe.
    let mut rewritten = files.clone();
    rewritten.write_at(file, &[(1_000, vec![2; 500].into())]).unwrap();
    rewritten.sync_end(rewritten.sync_begin(file));
    assert_eq!(rewritten.durable_len("f"), 1_600);
    files.power_loss(&mut |_, _| 0, None);
    let bytes = all(&files, file);
    assert!(bytes[1_000..1_500].iter().all(|b| *b == 0) && bytes[1_500..].iter().all(|b| *b == 3));
    let toll = files.take_toll();
    assert_eq!(toll, Toll::default(), "the node was told");
}

#[test]
fn a_failed_sync_may_revert_the_contents() {
    let (mut files, file) = disk(&[1; 1_000]);
    files.write_at(file, &[(500, vec![2; 1_000].into())]).unwrap();
    let mark = files.sync_begin(file);
    files.write_at(file, &[(900, vec![3; 10].into())]).unwrap();
    files.sync_failed(mark, cause(Shows::Now, Counts::Told));
    let bytes = all(&files, file);
    assert_eq!(
        (bytes.len(), bytes[899], bytes[900], bytes[910], bytes[1_400]),
        (1_500, 1, 3, 1, 0)
    );
}

#[test]
fn the_end_of_a_log_is_spared_until_syncs_have_followed() {
    let (mut files, file) = disk(&[1; 1_000]);
    for n in 1..=4u64 {
        let sealed = if n < 4 { 0 } else { 1_000 };
        assert_eq!(files.sound_len("f", true), sealed, "after {n} syncs");
        assert_eq!(files.sound_len("f", false), n * 1_000);
        if n < 4 {
            files.append(file, vec![1; 1_000].into()).unwrap();
            files.sync_end(files.sync_begin(file));
        }
    }
    files.append(file, vec![1; 1_000].into()).unwrap();
    files.sync_end(files.sync_begin(file));
    assert_eq!(files.sound_len("f", true), 2_000);
}

#[test]
fn a_copy_is_what_was_durable_and_numbers_go_on() {
    let (mut files, file) = disk(&[1; 1_000]);
    files.append(file, vec![2; 500].into()).unwrap();
    let copy = files.copy();
    assert_eq!(files.len(file), 1_500, "the copy takes nothing away");
    files.open("later", OpenMode::Fresh).unwrap();
    files.replace(copy);
    assert_eq!((files.list(""), files.len(file)), (vec!["f".to_string()], 1_000));
    assert_eq!(files.open("new", OpenMode::Fresh).unwrap(), 3, "no number is used twice");
    files.wipe();
    assert_eq!((files.list(""), files.used(), files.bytes()), (vec![], 0, 0));
}

proptest! {
    #[test]
    fn harm_is_met_until_what_mended_it_is_durable(
        at in 0u64..3_000, len in 1u64..900, from in 0u64..3_000, count in 1u64..900,
        cut in any::<bool>(), synced in any::<bool>(),
    ) {
        let (mut files, file) = disk(&[7; 5_000]);
        prop_assert!(!files.meets_harm(file, 0, u64::MAX), "nothing has come out");
        files.rot(file, (at, len), 5, cause(Shows::Now, Counts::Damaged));
        let to = if cut {
            files.truncate(file, from).unwrap();
            u64::MAX
        } else {
            files.write_at(file, &[(from, vec![7; count as usize].into())]).unwrap();
            from + count
        };
        let check = |files: &Files, mended: bool| {
            for i in (0..5_000).step_by(7).chain([at, at + len - 1, from, from.saturating_sub(1)]) {
                let harmed = i >= at && i < at + len && !(mended && i >= from && i < to);
                prop_assert_eq!(files.meets_harm(file, i, 1), harmed, "{}", i);
            }
            Ok(())
        };
        check(&files, true)?;
        if synced {
            files.sync_end(files.sync_begin(file));
        }
        files.power_loss(&mut |_, _| 0, None);
        check(&files, synced)?;
    }
}

#[test]
fn bytes_that_a_node_was_told_of_are_no_harm_to_meet() {
    for (counts, harm) in [(Counts::Told, false), (Counts::Forgot, true)] {
        let (mut files, file) = disk(&[7; 5_000]);
        files.rot(file, (100, 10), 5, cause(Shows::Now, counts));
        assert_eq!(files.meets_harm(file, 0, 5_000), harm);
        assert!(!files.meets_harm(file, 110, 90) && !files.meets_harm(file, 0, 100));
    }
}
