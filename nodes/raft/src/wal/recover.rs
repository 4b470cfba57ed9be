//! Reading the log back at boot. Segments are read in order; a later entry at an index truncates
//! what lay there and after. Bytes at the end of the last segment that are no record are what a
//! power loss leaves of an unsynced append: they are cut, with whole records behind them unless one
//! knew that they had been durable. Anything else that does not read is damage of what was once
//! durable, and the node refuses to start rather than forget what it promised.
//!
//! What is found in the page cache after a mere crash need not be durable, nor does a sync that
//! says Ok make it so: after a sync that failed its pages count as clean. What no record knows to
//! be durable is written anew in its place, and synced, before anybody builds on it. Each boot
//! begins a segment of its own, because the copies of hard states at the beginning of the last one
//! may be incomplete without showing it.

use std::collections::{BTreeMap, VecDeque};
use std::io;

use host::{Chunks, Disk, File, OpenMode};
use raft::eraftpb::{ConfState, HardState};

use super::codec::{Bad, Owner, Record, decode, decode_with, known_durable, was_durable};
use super::layout::{Carried, Layout, Segment};
use super::{BEGUN, WAL};
use crate::chain::chain_entry;
use crate::event::wal_file;
use crate::log::{LogStore, Mark, Place, Slot};
use crate::rope::Reader;

/// Deliberate defects of reading back.
#[derive(Clone, Copy, Default)]
pub(crate) struct Defects {
    /// Whatever does not read ends the log.
    pub(crate) bad_record_ends_log: bool,
    /// Bodies of records are not verified.
    pub(crate) torn_record_accepted: bool,
}

/// What the disk remembers.
pub(crate) struct Recovered {
    pub(crate) layout: Layout,
    pub(crate) logs: BTreeMap<u32, LogStore>,
    /// Segment, offset and length of a tail that was cut.
    pub(crate) cut: Option<(u64, u64, u64)>,
}

/// One group while its records are read.
#[derive(Default)]
struct Replay {
    /// The position before the first slot; its term is unknown if the log begins in the middle.
    before: Option<Mark>,
    first: u64,
    slots: VecDeque<Slot>,
    hard: HardState,
    mark: Option<(Mark, ConfState)>,
}

impl Replay {
    fn last(&self) -> u64 {
        self.first + self.slots.len() as u64 - 1
    }

    fn entry(&mut self, slot: Slot) -> Result<(), Bad> {
        let index = slot.entry.index;
        if self.slots.is_empty() && self.first == 0 && index == 1 {
            (self.before, self.first) = (Some(Mark::START), 1);
        }
        let continues = self.first > 0 && index >= self.first && index <= self.last() + 1;
        if !continues {
            if self.first > 0 && index > self.last() && !self.slots.is_empty() {
                return Err(Bad("an entry leaves a gap"));
            }
            self.slots.clear();
            (self.before, self.first) = (None, index);
        }
        self.slots.truncate((index - self.first) as usize);
        let before = match self.slots.back() {
            Some(slot) => Some(slot.chain),
            None => self.before.map(|m| m.chain),
        };
        if before.is_some_and(|before| chain_entry(before, &slot.entry) != slot.chain) {
            return Err(Bad("an entry does not continue the chain"));
        }
        self.slots.push_back(slot);
        Ok(())
    }

    fn snapshot(&mut self, mark: Mark, conf: ConfState) {
        let held = |index: u64| {
            let offset = index.checked_sub(self.first)?;
            self.slots.get(offset as usize).map(|s| s.entry.term)
        };
        let behind = self.first > 0 && mark.index < self.first;
        if !behind && held(mark.index) != Some(mark.term) {
            self.slots.clear();
            (self.before, self.first) = (Some(mark), mark.index + 1);
        } else if self.first > 0 && mark.index + 1 == self.first {
            self.before = Some(mark);
        }
        self.mark = Some((mark, conf));
    }

    fn finish(self, fresh: &ConfState) -> Result<LogStore, String> {
        let mut log = LogStore::new(fresh.clone());
        let (mark, conf) = self.mark.unwrap_or((Mark::START, fresh.clone()));
        let first = self.first.max(1);
        if first > mark.index + 1 {
            return Err(format!(
                "the log begins at {first}, but the snapshot ends at {}",
                mark.index
            ));
        }
        log.recovered_snapshot(mark, conf);
        let unknown = self.before.is_none() && first > 1;
        log.restart_after(match self.before {
            Some(before) => before,
            None if unknown => Mark { index: first - 1, term: 0, chain: 0 },
            None => Mark::START,
        });
        log.adopt(self.slots);
        if unknown {
            log.forget_to(first);
        }
        let mut hard = self.hard;
        hard.commit = hard.commit.max(mark.index).max(log.committed_by_changes());
        // A commit index is written behind its entries, into their segment or, once that is
        // durable, a later one, and what a power loss leaves of a file is a prefix: the index
        // cannot survive without them. To lower it would hide that a committed tail is lost.
        if hard.commit > log.last() {
            return Err(format!(
                "it is known to be committed up to {}, but ends at {}",
                hard.commit,
                log.last()
            ));
        }
        log.set_hard(hard);
        Ok(log)
    }
}

fn damaged(segment: u64, offset: u64, why: &str) -> io::Error {
    let text = format!("{} is damaged at byte {offset}: {why}", wal_file(segment));
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// Numbers of the segments: those left behind, and those that belong together, which is the last
/// unbroken run. A removal that a power loss undid may have left older ones behind.
async fn segments(disk: &Disk) -> io::Result<(Vec<u64>, Vec<u64>)> {
    let mut numbers = Vec::new();
    for name in disk.list("wal/").await? {
        if name == BEGUN {
            continue;
        }
        let digits = name.strip_prefix("wal/").unwrap_or(&name);
        let number = digits.parse::<u64>().ok().filter(|n| *n > 0 && wal_file(*n) == name);
        numbers.push(number.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{name} is no log segment"))
        })?);
    }
    numbers.sort_unstable();
    let gap = numbers.windows(2).rposition(|pair| pair[0] + 1 != pair[1]);
    let run = numbers.split_off(gap.map_or(0, |g| g + 1));
    Ok((numbers, run))
}

/// A log of somebody else is refused before anything in its folder is changed: a node that went on
/// with it would break what another has promised.
fn check_owner(theirs: Owner, own: Owner) -> io::Result<()> {
    let (of, here) = (theirs.member, own.member);
    let whose = if theirs.cluster != own.cluster {
        format!("n{of} of another cluster")
    } else if of != here {
        format!("n{of} of this cluster")
    } else {
        return Ok(());
    };
    let text = format!("the log in this folder belongs to {whose}, and this is n{here}");
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}

/// Reads all segments. `fresh` is the membership of a group that nothing is known of; `salt` and
/// `owner` are what segments of this boot will bear. Needs no room on the disk.
pub(crate) async fn recover(
    disk: &Disk,
    limit: u64,
    groups: &[u32],
    fresh: &ConfState,
    (salt, owner): (u32, Owner),
    defects: Defects,
) -> io::Result<Recovered> {
    let mut replay: BTreeMap<u32, Replay> =
        groups.iter().map(|g| (*g, Replay::default())).collect();
    let mut found = VecDeque::new();
    let mut cut = None;
    let (stale, numbers) = segments(disk).await?;
    for (at, number) in numbers.iter().enumerate() {
        let is_last = at + 1 == numbers.len();
        let file = disk.open(&wal_file(*number), OpenMode::Existing).await?;
        let rope = file.read_at(0, file.len().await?).await?;
        let mut segment = Segment { number: *number, bytes: rope.len(), last: BTreeMap::new() };
        if let Ok(Some(Record::Segment { owner: theirs, .. })) = decode(&mut Reader::new(&rope), 0)
        {
            check_owner(theirs, owner)?;
        }
        let verify = !defects.torn_record_accepted;
        let mut ends = is_last;
        if let Err((offset, bad)) = read_segment(&rope, verify, &mut segment, &mut replay) {
            let torn = is_last && !was_durable(&rope, offset);
            if !torn && !defects.bad_record_ends_log {
                return Err(damaged(*number, offset, bad.0));
            }
            ends = true;
            cut = Some((*number, offset, rope.len() - offset));
            segment.bytes = offset;
            file.truncate(offset).await?;
        }
        if segment.bytes == 0 {
            if !ends {
                return Err(damaged(*number, 0, "it is empty, and others follow it"));
            }
            disk.remove(&wal_file(*number)).await?;
            continue;
        }
        if ends {
            make_durable(disk, &file, &rope, segment.bytes).await?;
        }
        found.push_back(segment);
        if ends {
            // Nothing follows, but for a defect.
            remove_all(disk, &numbers[at + 1..]).await?;
            break;
        }
    }
    let carried = replay
        .iter()
        .map(|(g, r)| (*g, Carried { hard: r.hard.clone(), mark: r.mark.clone() }))
        .collect();
    let finish = |(group, replay): (u32, Replay)| match replay.finish(fresh) {
        Ok(log) => Ok((group, log)),
        Err(why) => {
            let text = format!("the log of group {group}: {why}");
            Err(io::Error::new(io::ErrorKind::InvalidData, text))
        }
    };
    let logs = replay.into_iter().map(finish).collect::<io::Result<_>>()?;
    // Not before all that remains is known to do without them.
    remove_all(disk, &stale).await?;
    Ok(Recovered { layout: Layout::new(limit, found, carried, salt, owner), logs, cut })
}

async fn remove_all(disk: &Disk, segments: &[u64]) -> io::Result<()> {
    for number in segments {
        disk.remove(&wal_file(*number)).await?;
    }
    Ok(())
}

/// Makes the first `end` bytes of the last segment durable, and its name. Those that no record knows
/// to be so are written anew: a sync alone need not reach them.
async fn make_durable(disk: &Disk, file: &File, rope: &Chunks, end: u64) -> io::Result<()> {
    let known = known_durable(rope, end);
    file.write_at(WAL, vec![(known, rope.slice(known, end - known))]).await?;
    file.sync(WAL).await?;
    disk.sync_dir().await
}

/// Replays one segment; on damage says where and why, and what came before it has been replayed.
fn read_segment(
    rope: &Chunks,
    verify: bool,
    segment: &mut Segment,
    replay: &mut BTreeMap<u32, Replay>,
) -> Result<(), (u64, Bad)> {
    let mut reader = Reader::new(rope);
    let mut salt = 0;
    loop {
        let offset = reader.position();
        let at = |bad| (offset, bad);
        let Some(record) = decode_with(&mut reader, salt, verify).map_err(at)? else {
            return Ok(());
        };
        let begins = matches!(record, Record::Segment { .. });
        if begins != (offset == 0) {
            return Err(at(Bad("a segment begins with its header, and only there")));
        }
        match record {
            Record::Segment { segment: number, salt: theirs, .. } => {
                if number != segment.number {
                    return Err(at(Bad("the segment bears another number")));
                }
                salt = theirs;
            }
            Record::Entry { group, entry, chain } => {
                let greatest = segment.last.entry(group).or_default();
                *greatest = entry.index.max(*greatest);
                let place = Place { segment: segment.number, end: reader.position() };
                let slot = Slot { entry, chain, place };
                replay.entry(group).or_default().entry(slot).map_err(at)?;
            }
            Record::Hard { group, hard } => {
                let known = &mut replay.entry(group).or_default().hard;
                if hard.term < known.term {
                    return Err(at(Bad("a term falls")));
                }
                *known = hard;
            }
            Record::Mark { group, mark, conf } => {
                replay.entry(group).or_default().snapshot(mark, conf);
            }
        }
    }
}

#[cfg(test)]
#[path = "recover_tests.rs"]
mod tests;
