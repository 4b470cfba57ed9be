//! Reading a snapshot back: its file, and those that it rests on. A file holds the whole state, or what
//! changed since an earlier snapshot, whose index it names; that one lies in a file of its own, and so
//! on down to a whole one. What came from a peer is such a chain in one file. All of it is verified:
//! a file that is missing, torn or of another group is damage of what was durable once, and is refused.

use std::collections::VecDeque;
use std::io;

use host::{Chunks, Disk, Host, OpenMode};
use raft::eraftpb::ConfState;

use super::file::{self, path};
use crate::apply::StateMachine;
use crate::log::Mark;

/// A snapshot's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// The index it stands for.
    pub(crate) index: u64,
    /// The bytes it has.
    pub(crate) bytes: u64,
}

/// The state at a position.
pub(crate) struct Whole {
    /// The whole state of some time ago, and what changed since, in order.
    parts: Vec<Chunks>,
    pub(crate) conf: ConfState,
    /// The files, oldest first.
    pub(crate) links: Vec<Link>,
}

impl Whole {
    /// Bytes of all images.
    pub(crate) fn bytes(&self) -> u64 {
        self.parts.iter().map(Chunks::len).sum()
    }

    /// Makes it the machine's state.
    pub(crate) fn restore(self, machine: &mut dyn StateMachine) -> io::Result<()> {
        let mut parts = self.parts.into_iter();
        machine.restore(parts.next().expect("a file has at least one part"))?;
        parts.try_for_each(|part| machine.patch(part))
    }
}

fn refuse(group: u32, index: u64, why: &str) -> io::Error {
    let text = format!("{} does not serve: {why}", path(group, index));
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// Reads and verifies the snapshot at `mark`.
pub(crate) async fn read(host: &Host, group: u32, mark: Mark) -> io::Result<Whole> {
    let disk = host.disk();
    let (mut parts, mut links) = (VecDeque::new(), VecDeque::new());
    let (mut index, mut conf) = (mark.index, None);
    loop {
        let refuse = |why: &str| refuse(group, index, why);
        let opened = disk.open(&path(group, index), OpenMode::Existing).await;
        let file = opened.map_err(|e| refuse(&e.to_string()))?;
        let rope = file.read_at(0, file.len().await?).await?;
        let mut sections = file::decode(&rope).map_err(refuse)?;
        let last = sections.last_mut().expect("there is at least one");
        let expected = if conf.is_none() { last.mark == mark } else { last.mark.index == index };
        if last.group != group || !expected {
            return Err(refuse("it is of another group or position"));
        }
        conf.get_or_insert_with(|| std::mem::take(&mut last.conf));
        links.push_front(Link { index, bytes: rope.len() });
        let since = sections[0].since;
        sections.into_iter().rev().for_each(|section| parts.push_front(section.data));
        if since == 0 {
            break;
        }
        if since >= index {
            return Err(refuse("it rests on no earlier one"));
        }
        index = since;
    }
    let conf = conf.expect("one file was read");
    Ok(Whole { parts: parts.into(), conf, links: links.into() })
}

/// The indices of the files that the snapshot at `index` consists of, oldest first, by what their
/// headers say.
pub(crate) async fn rests_on(disk: &Disk, group: u32, index: u64) -> io::Result<Vec<u64>> {
    let mut chain = vec![index];
    loop {
        let index = *chain.last().expect("never empty");
        let file = disk.open(&path(group, index), OpenMode::Existing).await?;
        let header = file.read_at(0, file::HEADER as u64).await?.to_bytes();
        match file::since(&header).map_err(|why| refuse(group, index, why))? {
            0 => break,
            since if since < index => chain.push(since),
            _ => return Err(refuse(group, index, "it rests on no earlier one")),
        }
    }
    chain.reverse();
    Ok(chain)
}
