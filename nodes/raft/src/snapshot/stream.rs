//! A snapshot travels on a connection of its own, beside Raft's messages: an announcement (the
//! message without its data, and the file's length), the file in frames of at most a megabyte, and
//! one answer when the receiver has it durable. Only then does the receiver's Raft learn of it. A
//! receiver that restores in one piece must have the memory for it, or does without the snapshot and
//! is sent it again.
//!
//! The receiver believes nothing: what arrives is verified on the way to the disk, because once it
//! bears a snapshot's name the log is given up for it, and a bad one would stop every boot.

use std::io;
use std::time::Duration;

use host::{Addr, Chunks, Class, Host, OpenMode, Receiver, Sender, Style};
use raft::eraftpb::{Message, MessageType};

use super::file::{Arriving, MAX_LEN, path};
use super::read::rests_on;
use crate::driver::Input;
use crate::log::snapshot_mark;
use crate::mailbox::Mailbox;
use crate::transport::accept::Accept;
use crate::transport::codec::{decode_one, encode_one};
use crate::transport::{Purpose, hello};
use crate::wal::writer::is_full;

const SNAPSHOT: Class = Class("snapshot");
const PIECE: u64 = 1_000_000;
const DONE: &[u8] = b"done";
/// How long a sender waits for the answer that there is no room, and its next attempt with it.
const ROOM_PAUSE: Duration = Duration::from_secs(1);

/// A snapshot on its way to a peer.
pub(crate) struct Outgoing {
    pub(crate) host: Host,
    pub(crate) addr: Addr,
    pub(crate) me: u64,
    pub(crate) cluster: u64,
    pub(crate) dial_timeout: Duration,
    pub(crate) stall: Duration,
    /// The snapshot may rest on others; all of them are sent, as one file.
    pub(crate) chained: bool,
    pub(crate) group: u32,
    pub(crate) message: Message,
    pub(crate) inbox: Mailbox<Input>,
}

impl Outgoing {
    /// Sends it and reports how that went.
    pub(crate) async fn run(mut self) {
        let (group, to) = (self.group, self.message.to);
        let index = self.message.get_snapshot().get_metadata().index;
        let ok = self.transfer(index).await.is_ok();
        let _ = self.inbox.push(Input::SnapshotSent { group, to, index, ok });
    }

    async fn transfer(&mut self, index: u64) -> io::Result<()> {
        let disk = self.host.disk();
        let chain = match self.chained {
            true => rests_on(&disk, self.group, index).await?,
            false => vec![index],
        };
        let (mut files, mut len) = (Vec::new(), 0);
        for index in chain {
            let file = disk.open(&path(self.group, index), OpenMode::Existing).await?;
            let bytes = file.len().await?;
            files.push((file, bytes));
            len += bytes;
        }
        let net = self.host.net();
        let (mut tx, mut rx) =
            net.dial(&self.addr, self.dial_timeout, Style::Stream).await?.split();
        let clock = self.host.clock();
        tx.send(SNAPSHOT, hello(Purpose::Snapshot, self.me, self.cluster)).await?;
        let message = std::mem::take(&mut self.message);
        tx.send(SNAPSHOT, encode_one(self.group, message, len)).await?;
        for (file, len) in files {
            let mut at = 0;
            while at < len {
                let piece = file.read_at(at, PIECE.min(len - at)).await?;
                if piece.is_empty() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                at += piece.len();
                let sent = clock.within(self.stall, tx.send(SNAPSHOT, piece)).await;
                sent.ok_or(io::ErrorKind::TimedOut)??;
            }
        }
        let answer = clock.within(self.stall, rx.recv()).await.ok_or(io::ErrorKind::TimedOut)??;
        match answer {
            Some(answer) if answer.to_bytes()[..] == *DONE => Ok(()),
            _ => Err(io::ErrorKind::ConnectionReset.into()),
        }
    }
}

/// Receives one snapshot; any failure closes the connection and leaves nothing behind. Without room,
/// or memory, the sender is left waiting for a while, because it sends again as soon as it knows.
pub(crate) async fn receive(
    accept: &Accept,
    from: u64,
    number: u64,
    mut tx: Sender,
    mut rx: Receiver,
) {
    let mut tmp = None;
    match store(accept, from, number, &mut rx, &mut tmp).await {
        Ok(message) => {
            if accept.inbox.push(message).is_ok() {
                let _ = tx.send(SNAPSHOT, Chunks::from(DONE.to_vec())).await;
            }
        }
        Err(error) => {
            if let Some(tmp) = tmp {
                let _ = accept.host.disk().remove(&tmp).await;
            }
            if is_full(&error) || error.kind() == io::ErrorKind::OutOfMemory {
                let pause = ROOM_PAUSE.min(accept.snapshot_stall / 2);
                accept.host.clock().sleep(pause).await;
            }
            tx.abort();
        }
    }
}

async fn store(
    accept: &Accept,
    from: u64,
    number: u64,
    rx: &mut Receiver,
    tmp: &mut Option<String>,
) -> io::Result<Input> {
    let invalid = |why: &'static str| io::Error::new(io::ErrorKind::InvalidData, why);
    let clock = accept.host.clock();
    let stall = accept.snapshot_stall;
    let announced = next(clock.within(stall, rx.recv()).await)?;
    let (envelope, len) = decode_one(&announced).ok_or(invalid("no announcement"))?;
    let is_snapshot = envelope.message.get_msg_type() == MessageType::MsgSnapshot;
    let mark = snapshot_mark(envelope.message.get_snapshot());
    let Some(mark) = mark.filter(|_| is_snapshot && accept.addressed(from, &envelope)) else {
        return Err(invalid("not a snapshot for this node"));
    };
    let disk = accept.host.disk();
    if len > MAX_LEN {
        return Err(invalid("longer than any snapshot"));
    }
    if len > disk.space().await? {
        return Err(io::ErrorKind::StorageFull.into());
    }
    let conf = envelope.message.get_snapshot().get_metadata().get_conf_state();
    let mut arriving = Arriving::new(envelope.group, mark, conf, len);
    let target = path(envelope.group, mark.index);
    let name = tmp.insert(format!("{target}.{number}.recv")).clone();
    let file = disk.open(&name, OpenMode::Fresh).await?;
    let mut got = 0;
    while got < len {
        let piece = next(clock.within(stall, rx.recv()).await)?;
        got += piece.len();
        if got > len {
            return Err(invalid("more than announced"));
        }
        arriving.push(&piece).map_err(invalid)?;
        file.append(SNAPSHOT, piece).await?;
    }
    arriving.finish().map_err(invalid)?;
    accept.claim(envelope.group, mark.index, len)?;
    file.sync(SNAPSHOT).await?;
    disk.rename(&name, &target).await?;
    disk.sync_dir().await?;
    Ok(Input::Message(envelope))
}

fn next(frame: Option<io::Result<Option<Chunks>>>) -> io::Result<Chunks> {
    frame.ok_or(io::ErrorKind::TimedOut)??.ok_or(io::ErrorKind::UnexpectedEof.into())
}
