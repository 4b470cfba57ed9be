//! The task that writes the log. It takes everything that waits, appends it in as few writes as
//! possible, syncs once if anything needs it, and reports the last batch that is through: group
//! commit over all groups and over everything that arrived during the previous sync. An error of
//! the disk ends the node: after a failed sync nobody can know what the file holds.

use std::io;
use std::time::Duration;

use host::{Chunks, Clock, Disk, File, Mono, OpenMode};

use super::WAL;
use super::layout::Job;
use crate::driver::Input;
use crate::event::wal_file;
use crate::mailbox::Mailbox;

/// The segment that is open for appending.
pub(crate) struct Open {
    pub(crate) segment: u64,
    pub(crate) file: File,
    pub(crate) len: u64,
}

/// The writer's state.
pub(crate) struct Writer {
    pub(crate) disk: Disk,
    pub(crate) clock: Clock,
    pub(crate) flush_interval: Duration,
    pub(crate) open: Option<Open>,
    pub(crate) jobs: Mailbox<Job>,
    pub(crate) inbox: Mailbox<Input>,
}

impl Writer {
    /// Runs until the mailbox is closed and everything in it is durable.
    pub(crate) async fn run(mut self) {
        if let Err(error) = self.serve().await {
            let _ = self.inbox.push(Input::Failed(error));
        }
    }

    async fn serve(&mut self) -> io::Result<()> {
        let mut round = Vec::new();
        let mut synced_at = Mono::default();
        while self.jobs.take(&mut round).await {
            let wants_sync = |j: &Job| matches!(j, Job::Append { sync: true, .. });
            if !self.flush_interval.is_zero() && round.iter().any(wants_sync) {
                self.clock.sleep_until(synced_at + self.flush_interval).await;
                self.take_more(&mut round).await;
            }
            let needs_sync = round.iter().any(wants_sync);
            let through = self.write(&mut round).await?;
            if needs_sync {
                self.sync().await?;
                synced_at = self.clock.now();
            }
            if through > 0 {
                let _ = self.inbox.push(Input::Persisted(through));
            }
        }
        self.sync().await
    }

    /// Adds what arrived while waiting for the flush interval.
    async fn take_more(&mut self, round: &mut Vec<Job>) {
        let mut more = Vec::new();
        std::future::poll_fn(|cx| {
            let _ = self.jobs.poll_take(cx, &mut more);
            std::task::Poll::Ready(())
        })
        .await;
        round.append(&mut more);
    }

    /// Carries out one round without its sync; returns the last batch in it.
    async fn write(&mut self, round: &mut Vec<Job>) -> io::Result<u64> {
        let mut through = 0;
        let mut pending = Chunks::new();
        for job in round.drain(..) {
            match job {
                Job::Append { segment, offset, data, seq, .. } => {
                    let open = self.open.as_ref().expect("a segment is begun before it is written");
                    assert_eq!((segment, offset), (open.segment, open.len + pending.len()));
                    if pending.is_empty() {
                        pending = data;
                    } else {
                        pending.extend(&data);
                    }
                    through = seq;
                }
                Job::Roll { segment, data } => {
                    self.append(std::mem::take(&mut pending)).await?;
                    self.roll(segment, data).await?;
                }
                Job::Remove { segments } => {
                    for segment in segments {
                        self.disk.remove(&wal_file(segment)).await?;
                    }
                }
            }
        }
        self.append(pending).await?;
        Ok(through)
    }

    async fn append(&mut self, data: Chunks) -> io::Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        let open = self.open.as_mut().expect("a segment is begun before it is written");
        let len = data.len();
        let at = open.file.append(WAL, data).await?;
        assert_eq!(at, open.len, "somebody else wrote {}", wal_file(open.segment));
        open.len += len;
        Ok(())
    }

    async fn roll(&mut self, segment: u64, data: Chunks) -> io::Result<()> {
        self.sync().await?;
        let file = self.disk.open(&wal_file(segment), OpenMode::Fresh).await?;
        self.open = Some(Open { segment, file, len: 0 });
        self.append(data).await?;
        self.sync().await?;
        self.disk.sync_dir().await
    }

    async fn sync(&mut self) -> io::Result<()> {
        match &self.open {
            Some(open) => open.file.sync(WAL).await,
            None => Ok(()),
        }
    }
}
