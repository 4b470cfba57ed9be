//! What a node may rely on from its disk while the machine lives: offsets, extents, names. Times
//! and the fate of unsynced bytes are not the subject here.
//! Source: POSIX for names and handles.

use std::io::ErrorKind;
use std::sync::Arc;

use super::{Bench, Outcome, Said, ask, ensure};
use crate::{Chunks, Class, Disk, File, OpenMode};

const CLASS: Class = Class("conformance");

fn rope(parts: &[&'static [u8]]) -> Chunks {
    let mut rope = Chunks::new();
    for part in parts {
        rope.push(bytes::Bytes::from_static(part));
    }
    rope
}

async fn fresh(disk: &Disk, name: &str) -> Result<File, String> {
    disk.open(name, OpenMode::Fresh).await.said(&format!("open {name} fresh"))
}

async fn whole(file: &File) -> Result<Vec<u8>, String> {
    Ok(file.read_at(0, 1 << 20).await.said("read")?.to_bytes().to_vec())
}

fn same(found: &[u8], expected: &[u8], what: &str) -> Outcome {
    let (found_text, expected_text) = (found.escape_ascii(), expected.escape_ascii());
    ensure!(found == expected, "{what}: `{found_text}` instead of `{expected_text}`");
    Ok(())
}

pub(super) async fn append_sync_reopen(bench: Arc<dyn Bench>) -> Outcome {
    let disk = bench.host("n1").disk();
    let file = fresh(&disk, "wal/000001").await?;
    let first = file.append(CLASS, rope(&[b"head", b"body"])).await.said("append")?;
    ensure!(first == 0, "the first append begins at {first}");
    let second = file.append(CLASS, rope(&[b"!"])).await.said("append")?;
    ensure!(second == 8, "the second append begins at {second} instead of 8");
    file.sync(CLASS).await.said("sync")?;
    disk.sync_dir().await.said("sync_dir")?;
    drop(file);
    let file = disk.open("wal/000001", OpenMode::Existing).await.said("reopen")?;
    same(&whole(&file).await?, b"headbody!", "after reopening")?;
    let third = file.append(CLASS, rope(&[b"?"])).await.said("append")?;
    ensure!(third == 9, "an append after reopening begins at {third} instead of 9");
    // Two handles are one file: the end is the file's, not the handle's.
    let other = disk.open("wal/000001", OpenMode::CreateIfMissing).await.said("second handle")?;
    let fourth = other.append(CLASS, rope(&[b"a"])).await.said("append")?;
    let fifth = file.append(CLASS, rope(&[b"b"])).await.said("append")?;
    ensure!((fourth, fifth) == (10, 11), "two handles append at {fourth} and {fifth}");
    same(&whole(&other).await?, b"headbody!?ab", "through the second handle")
}

pub(super) async fn appends_get_offsets_of_their_own(bench: Arc<dyn Bench>) -> Outcome {
    let host = bench.host("n1");
    let file = fresh(&host.disk(), "shared").await?;
    let replies: Vec<_> = (0..8u8)
        .map(|writer| {
            let file = file.clone();
            ask(&host, "append", async move {
                let mut offsets = Vec::new();
                for _ in 0..10 {
                    let record = Chunks::from(vec![writer; 3 + usize::from(writer)]);
                    let len = record.len();
                    offsets.push((file.append(CLASS, record).await.said("append")?, len, writer));
                }
                Ok(offsets)
            })
        })
        .collect();
    let mut extents = Vec::new();
    for reply in replies {
        extents.extend(reply.get(&host.clock()).await?);
    }
    extents.sort();
    let content = whole(&file).await?;
    let mut end = 0;
    for (offset, len, writer) in extents {
        ensure!(offset == end, "an append begins at {offset}, the one before ends at {end}");
        end = offset + len;
        let record = content.get(offset as usize..end as usize).unwrap_or_default();
        same(record, &vec![writer; len as usize], "a record of many writers")?;
    }
    let len = file.len().await.said("len")?;
    ensure!(len == end, "the file has {len} bytes instead of {end}");
    Ok(())
}

pub(super) async fn write_at_takes_several_extents(bench: Arc<dyn Bench>) -> Outcome {
    let file = fresh(&bench.host("n1").disk(), "pages").await?;
    file.append(CLASS, rope(&[b"..........", b".........."])).await.said("append")?;
    let extents = vec![(12, rope(&[b"cd"])), (0, rope(&[b"a", b"b"])), (19, rope(&[b"yz"]))];
    file.write_at(CLASS, extents).await.said("write_at")?;
    same(&whole(&file).await?, b"ab..........cd.....yz", "after three extents")?;
    let next = file.append(CLASS, rope(&[b"+"])).await.said("append")?;
    ensure!(next == 21, "after a write beyond the end an append begins at {next} instead of 21");
    Ok(())
}

pub(super) async fn holes_read_as_zero(bench: Arc<dyn Bench>) -> Outcome {
    let file = fresh(&bench.host("n1").disk(), "sparse").await?;
    file.write_at(CLASS, vec![(6, rope(&[b"x"])), (2, rope(&[b"y"]))]).await.said("write_at")?;
    same(&whole(&file).await?, b"\0\0y\0\0\0x", "a file with holes")
}

pub(super) async fn a_read_is_short_at_the_end(bench: Arc<dyn Bench>) -> Outcome {
    let file = fresh(&bench.host("n1").disk(), "short").await?;
    ensure!(file.is_empty().await.said("len")?, "a fresh file is not empty");
    file.append(CLASS, rope(&[b"01234", b"56789"])).await.said("append")?;
    for (offset, len, expected) in
        [(3, 4, &b"3456"[..]), (8, 100, b"89"), (10, 1, b""), (u64::MAX / 4, 9, b""), (4, 0, b"")]
    {
        let found = file.read_at(offset, len).await.said("read")?.to_bytes();
        same(&found, expected, &format!("read of {len} bytes at {offset}"))?;
    }
    Ok(())
}

pub(super) async fn truncate_cuts_and_extends(bench: Arc<dyn Bench>) -> Outcome {
    let file = fresh(&bench.host("n1").disk(), "cut").await?;
    file.append(CLASS, rope(&[b"abcdef"])).await.said("append")?;
    file.truncate(2).await.said("truncate")?;
    same(&whole(&file).await?, b"ab", "after a cut")?;
    file.truncate(4).await.said("truncate")?;
    same(&whole(&file).await?, b"ab\0\0", "what was cut must not come back")?;
    let next = file.append(CLASS, rope(&[b"z"])).await.said("append")?;
    ensure!(next == 4, "an append after an extension begins at {next} instead of 4");
    Ok(())
}

pub(super) async fn open_modes(bench: Arc<dyn Bench>) -> Outcome {
    let disk = bench.host("n1").disk();
    let missing = disk.open("deep/er/file", OpenMode::Existing).await.map(drop);
    let kind = missing.map_err(|why| why.kind());
    ensure!(kind == Err(ErrorKind::NotFound), "opening what is missing: {kind:?}");
    let created = disk.open("deep/er/file", OpenMode::CreateIfMissing).await.said("create")?;
    created.append(CLASS, rope(&[b"kept"])).await.said("append")?;
    let again = disk.open("deep/er/file", OpenMode::CreateIfMissing).await.said("open")?;
    same(&whole(&again).await?, b"kept", "CreateIfMissing of what exists")?;
    let emptied = fresh(&disk, "deep/er/file").await?;
    same(&whole(&emptied).await?, b"", "Fresh of what exists")?;
    let gone = disk.remove("missing").await.map_err(|why| why.kind());
    ensure!(gone == Err(ErrorKind::NotFound), "removing what is missing: {gone:?}");
    let moved = disk.rename("missing", "other").await.map_err(|why| why.kind());
    ensure!(moved == Err(ErrorKind::NotFound), "renaming what is missing: {moved:?}");
    ensure!(disk.space().await.said("space")? > 0, "no space is left on a new disk");
    Ok(())
}

pub(super) async fn rename_replaces_its_target(bench: Arc<dyn Bench>) -> Outcome {
    let disk = bench.host("n1").disk();
    let old = fresh(&disk, "state").await?;
    old.append(CLASS, rope(&[b"old"])).await.said("append")?;
    let new = fresh(&disk, "state.new").await?;
    new.append(CLASS, rope(&[b"newer"])).await.said("append")?;
    disk.rename("state.new", "state").await.said("rename over a file")?;
    let names = disk.list("").await.said("list")?;
    ensure!(names == ["state"], "after the rename there are {names:?}");
    let file = disk.open("state", OpenMode::Existing).await.said("open")?;
    same(&whole(&file).await?, b"newer", "the renamed file")?;
    // Handles follow the file, not the name.
    new.append(CLASS, rope(&[b"!"])).await.said("append")?;
    same(&whole(&file).await?, b"newer!", "a handle from before the rename")?;
    same(&whole(&old).await?, b"old", "a handle of the replaced file")?;
    disk.rename("state", "snap/state").await.said("rename to a free name")?;
    let names = disk.list("").await.said("list")?;
    ensure!(names == ["snap/state"], "after the second rename there are {names:?}");
    Ok(())
}

pub(super) async fn remove_spares_open_handles(bench: Arc<dyn Bench>) -> Outcome {
    let disk = bench.host("n1").disk();
    let file = fresh(&disk, "old").await?;
    file.append(CLASS, rope(&[b"still"])).await.said("append")?;
    disk.remove("old").await.said("remove")?;
    let names = disk.list("").await.said("list")?;
    ensure!(names.is_empty(), "after the removal there are {names:?}");
    same(&whole(&file).await?, b"still", "an open handle of a removed file")?;
    let second = fresh(&disk, "old").await?;
    same(&whole(&second).await?, b"", "a new file of a removed name")?;
    second.append(CLASS, rope(&[b"new"])).await.said("append")?;
    same(&whole(&file).await?, b"still", "a handle of the file that had the name before")
}

pub(super) async fn list_is_sorted_and_keeps_to_the_prefix(bench: Arc<dyn Bench>) -> Outcome {
    let disk = bench.host("n1").disk();
    for name in ["wal/000010", "wal/000002", "walrus", "snap/7", "wal/000001", "meta"] {
        fresh(&disk, name).await?;
    }
    for (prefix, expected) in [
        ("wal/", &["wal/000001", "wal/000002", "wal/000010"][..]),
        ("wal", &["wal/000001", "wal/000002", "wal/000010", "walrus"]),
        ("", &["meta", "snap/7", "wal/000001", "wal/000002", "wal/000010", "walrus"]),
        ("none", &[]),
    ] {
        let names = disk.list(prefix).await.said("list")?;
        ensure!(names == expected, "list(`{prefix}`): {names:?} instead of {expected:?}");
    }
    Ok(())
}
