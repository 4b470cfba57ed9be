//! What a node does about its disk when it boots: a torn tail is cut and told, damage of what was once
//! durable is refused by name and place, and an empty folder is filled again by the others.
#![cfg(not(madsim))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

mod cluster;

use std::fs;
use std::path::PathBuf;

use cluster::{Cluster, until};

/// The segments of a node's log, oldest first.
fn segments(cluster: &Cluster, id: u64) -> Vec<PathBuf> {
    let dir = fs::read_dir(cluster.folder(id).join("wal")).unwrap();
    let mut paths: Vec<PathBuf> = dir.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// The name of a segment as messages have it.
fn name(path: &std::path::Path) -> String {
    format!("wal/{}", path.file_name().unwrap().to_string_lossy())
}

/// Flips one bit in the middle of a byte of a stopped node's log, and expects the node to refuse it.
fn refuses(cluster: &mut Cluster, id: u64, path: &PathBuf, at: usize) {
    let good = fs::read(path).unwrap();
    let mut bad = good.clone();
    bad[at] ^= 0x10;
    fs::write(path, &bad).unwrap();
    let before = cluster.log(id).len();
    cluster.boot(id);
    let status = cluster.ended(id);
    let said = cluster.log(id)[before..].to_string();
    assert_eq!(status.code(), Some(74), "{said}");
    let complaint = said.lines().last().unwrap_or("");
    assert!(complaint.contains(&format!("{} is damaged at byte ", name(path))), "{said}");
    assert!(complaint.contains(&cluster.folder(id).display().to_string()), "{said}");
    println!("byte {at} of {}: {complaint}", name(path));
    fs::write(path, &good).unwrap();
}

#[test]
fn a_torn_tail_is_cut_and_damage_is_refused() {
    let settings = "snapshot_every = 300\nsnapshot_phase = \"equal\"\nkeep_entries = 50\n\
                    wal_segment = \"32KiB\"\n";
    let mut cluster = Cluster::start("disks", 44, settings);
    let mut client = cluster.client(5);
    cluster.put_all(&mut client, 0..700);
    cluster.stop_all();

    // What a power loss may leave behind the last synced byte: bytes that are no record, or half of one.
    let last = segments(&cluster, 1).pop().unwrap();
    let mut bytes = fs::read(&last).unwrap();
    bytes.extend((0..100u8).map(|i| i.wrapping_mul(37)));
    fs::write(&last, bytes).unwrap();
    let last = segments(&cluster, 2).pop().unwrap();
    let bytes = fs::read(&last).unwrap();
    fs::write(&last, &bytes[..bytes.len() - 7]).unwrap();
    (1..=3).for_each(|id| cluster.boot(id));
    cluster.leader();
    cluster.expect_all(5, 0..700);
    cluster.put_all(&mut client, 700..760);
    for id in 1..=2 {
        let log = cluster.log(id);
        let cut = log.lines().find(|line| line.contains("torn bytes of wal/"));
        println!("{}", cut.unwrap_or_else(|| panic!("n{id} does not say what it cut")));
    }

    // The damage of what was durable: in an older segment, and early in the last one.
    cluster.agreed();
    assert_eq!(cluster.stop(3).code(), Some(0));
    let all = segments(&cluster, 3);
    assert!(all.len() >= 2, "{all:?}");
    let (first, last) = (all.first().unwrap().clone(), all.last().unwrap().clone());
    let len = |path: &PathBuf| fs::metadata(path).unwrap().len() as usize;
    let (middle, early) = (len(&first) / 2, len(&last) / 3);
    refuses(&mut cluster, 3, &first, middle);
    refuses(&mut cluster, 3, &last, early);
    cluster.put_all(&mut client, 760..800);
    cluster.boot(3);
    cluster.agreed();

    // An empty folder is filled by a snapshot and the log behind it, under the leader that counts on what
    // was in it, and nobody has to write for that.
    cluster.kill(3);
    fs::remove_dir_all(cluster.folder(3)).unwrap();
    let before = cluster.log(3).len();
    cluster.boot(3);
    let agreed = cluster.agreed();
    assert_eq!(agreed.keys, 800);
    let came = until("a snapshot in the log", || {
        let said = cluster.log(3)[before..].to_string();
        said.lines().find(|line| line.contains("installed")).map(str::to_string)
    });
    println!("{came}");
    cluster.expect_all(5, 0..800);
}
