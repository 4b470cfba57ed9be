//! The task that writes the log. It takes everything that waits, appends it in as few writes as
//! possible, syncs once if anything needs it, and reports the last batch that is through: group
//! commit over all groups and over everything that arrived during the previous sync. An error of
//! the disk ends the node: after a failed sync nobody can know what the file holds.
//!
//! Its calls hold the thread, as plain system calls do: on a thread of its own nobody notices, on
//! the consensus thread a slow sync silences heartbeats.
//!
//! A disk without room is waited for, at the same offset, for an append that fails appends nothing.
//! Meanwhile segments that a snapshot made superfluous go first, whatever waits before them. But a
//! snapshot needs room too: a log that has filled its disk alone waits for its operator. If that
//! takes longer than an election, the loop is told, and whoever leads here lets another lead.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::time::Duration;

use host::{Chunks, File, Host, Mono, OpenMode, Plant, Thread};

use super::layout::Job;
use super::{BEGUN, WAL};
use crate::driver::Input;
use crate::event::{RaftEvent, wal_file};
use crate::mailbox::Mailbox;

/// Pause between two attempts to write to a full disk.
const ROOM_PAUSE: Duration = Duration::from_millis(50);
/// Kept segments whose files stay open; further ones are opened for each sync.
const KEPT_OPEN: usize = 256;

/// The segment that is open for appending.
struct Open {
    segment: u64,
    file: File,
    len: u64,
}

/// A piece of a round's work, which is done or not.
enum Step {
    Append(Chunks),
    Begin { segment: u64, data: Chunks },
    Remove(u64),
    Flush,
}

/// The writer's state.
pub(crate) struct Writer {
    host: Host,
    thread: Thread,
    flush_interval: Duration,
    /// How long to wait for room before the loop is told.
    patience: Duration,
    open: Option<Open>,
    /// Segments that every flush syncs beside the open one, with their files as far as those are
    /// open; `None` if a flush syncs only what it wrote.
    kept: Option<BTreeMap<u64, Option<File>>>,
    steps: VecDeque<Step>,
    /// Jobs that came while the disk was full.
    later: Vec<Job>,
    jobs: Mailbox<Job>,
    inbox: Mailbox<Input>,
    /// A planted defect: a sync that failed is taken for one that did not.
    ignores_errors: bool,
}

/// Whether the disk refuses for lack of room.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// A sync that failed is never tried again, for lack of room no more than for any other reason: the
/// next one would report a success that is none.
fn unsynced(error: io::Error) -> io::Error {
    io::Error::other(format!("a sync failed: {error}"))
}

impl Writer {
    /// A writer that has no segment open. `kept` are the segments there are, if each flush is to
    /// sync all that the log keeps.
    pub(crate) fn new(
        host: &Host,
        thread: &Thread,
        (flush_interval, patience): (Duration, Duration),
        kept: Option<Vec<u64>>,
        jobs: &Mailbox<Job>,
        inbox: &Mailbox<Input>,
    ) -> Writer {
        Writer {
            host: host.clone(),
            thread: thread.clone(),
            flush_interval,
            patience,
            open: None,
            kept: kept.map(|kept| kept.into_iter().map(|segment| (segment, None)).collect()),
            steps: VecDeque::new(),
            later: Vec::new(),
            jobs: jobs.clone(),
            inbox: inbox.clone(),
            ignores_errors: host.planted(Plant("sync_error_ignored")),
        }
    }

    /// Runs until the mailbox is closed and everything in it is durable, or finds no room.
    pub(crate) async fn run(mut self) {
        if let Err(error) = self.serve().await {
            let _ = self.inbox.push(Input::Failed(error));
        }
    }

    async fn serve(&mut self) -> io::Result<()> {
        let clock = self.host.clock();
        let mut round = Vec::new();
        let mut synced_at = Mono::default();
        loop {
            round.append(&mut self.later);
            if round.is_empty() && !self.jobs.take(&mut round).await {
                break;
            }
            let wants_sync = |j: &Job| matches!(j, Job::Append { sync: true, .. });
            if !self.flush_interval.is_zero() && round.iter().any(wants_sync) {
                clock.sleep_until(synced_at + self.flush_interval).await;
                round.append(&mut self.jobs.take_now());
            }
            let needs_sync = round.iter().any(wants_sync);
            let through = self.plan(&mut round);
            if needs_sync {
                self.steps.push_back(Step::Flush);
            }
            if !self.carry_out().await? {
                return Ok(());
            }
            if needs_sync {
                synced_at = clock.now();
            }
            if through > 0 {
                let _ = self.inbox.push(Input::Persisted(through));
            }
        }
        self.steps.push_back(Step::Flush);
        self.carry_out().await.map(drop)
    }

    /// Turns a round into steps, with as few appends as possible; returns the last batch in it.
    fn plan(&mut self, round: &mut Vec<Job>) -> u64 {
        let mut through = 0;
        let mut at = self.open.as_ref().map(|open| (open.segment, open.len));
        let mut pending = Chunks::new();
        for job in round.drain(..) {
            match job {
                Job::Append { segment, offset, data, seq, .. } => {
                    assert_eq!(Some((segment, offset)), at, "batches follow one another");
                    at = Some((segment, offset + data.len()));
                    if pending.is_empty() {
                        pending = data;
                    } else {
                        pending.extend(&data);
                    }
                    through = seq;
                }
                Job::Roll { segment, data } => {
                    at = Some((segment, data.len()));
                    self.append_later(std::mem::take(&mut pending));
                    self.steps.push_back(Step::Begin { segment, data });
                }
                Job::Remove { segments } => {
                    self.steps.extend(segments.into_iter().map(Step::Remove));
                }
            }
        }
        self.append_later(pending);
        through
    }

    fn append_later(&mut self, data: Chunks) {
        if !data.is_empty() {
            self.steps.push_back(Step::Append(data));
        }
    }

    /// Takes all steps; waits for room where there is none. False if the node ended meanwhile, and
    /// steps were left.
    async fn carry_out(&mut self) -> io::Result<bool> {
        let clock = self.host.clock();
        let (mut full_since, mut told) = (None, false);
        loop {
            let thread = self.thread.clone();
            match thread.block(self.take_steps()).await {
                Ok(()) => break,
                Err(error) if !is_full(&error) => return Err(error),
                // At the end of the node nobody waits for an operator. What found no room was not
                // reported durable, so nothing was promised that rests on it.
                Err(_) if self.jobs.is_closed() => {
                    return Ok(false);
                }
                Err(_) => {}
            }
            match full_since {
                None => {
                    full_since = Some(clock.now());
                    let segment = self.segment_in_need();
                    self.host.emit(RaftEvent::DiskFull { group: 0, segment });
                }
                Some(since) if !told && clock.now().since(since) >= self.patience => {
                    told = true;
                    let _ = self.inbox.push(Input::NoRoom);
                }
                Some(_) => {}
            }
            clock.sleep(ROOM_PAUSE).await;
            self.bring_removals_forward();
        }
        if let Some(since) = full_since {
            let waited_ns = host::unit::nanos(clock.now().since(since));
            self.host.emit(RaftEvent::DiskRoom { group: 0, waited_ns });
        }
        Ok(true)
    }

    fn segment_in_need(&self) -> u64 {
        match self.steps.front() {
            Some(Step::Begin { segment, .. }) => *segment,
            _ => self.open.as_ref().map_or(0, |open| open.segment),
        }
    }

    /// What may be removed goes before what needs room: of this round and of all that has arrived.
    /// Only segments before the open one: nothing that waits belongs to those.
    fn bring_removals_forward(&mut self) {
        self.later.append(&mut self.jobs.take_now());
        let open = self.open.as_ref().map_or(0, |open| open.segment);
        let mut first = Vec::new();
        for job in &mut self.later {
            if let Job::Remove { segments } = job {
                first.extend(segments.extract_if(.., |segment| *segment < open));
            }
        }
        let (removals, rest) = std::mem::take(&mut self.steps)
            .into_iter()
            .partition(|step| matches!(step, Step::Remove(segment) if *segment < open));
        self.steps = removals;
        self.steps.extend(first.into_iter().map(Step::Remove));
        self.steps.extend::<VecDeque<Step>>(rest);
    }

    /// Takes steps until all are taken or one fails; that one and what follows it stay.
    async fn take_steps(&mut self) -> io::Result<()> {
        while let Some(step) = self.steps.pop_front() {
            let outcome = match &step {
                Step::Append(data) => self.append(data.clone()).await,
                Step::Begin { segment, data } => self.begin(*segment, data.clone()).await,
                Step::Remove(segment) => {
                    if let Some(kept) = &mut self.kept {
                        kept.remove(segment);
                    }
                    self.host.disk().remove(&wal_file(*segment)).await
                }
                Step::Flush => self.flush().await,
            };
            if let Err(error) = outcome {
                self.steps.push_front(step);
                return Err(error);
            }
        }
        Ok(())
    }

    async fn append(&mut self, data: Chunks) -> io::Result<()> {
        let open = self.open.as_mut().expect("a segment is begun before it is written");
        let len = data.len();
        let at = open.file.append(WAL, data).await?;
        assert_eq!(at, open.len, "somebody else wrote {}", wal_file(open.segment));
        open.len += len;
        Ok(())
    }

    /// Begins a segment; what fails half way is begun afresh. It gets its name when its beginning is
    /// durable: one that cannot be read is damaged then, and not torn.
    async fn begin(&mut self, segment: u64, data: Chunks) -> io::Result<()> {
        if let Some(open) = self.open.take_if(|open| open.segment < segment) {
            self.sync(&open.file).await?;
            if let Some(kept) = &mut self.kept {
                let few = kept.values().flatten().count() < KEPT_OPEN;
                kept.insert(open.segment, few.then_some(open.file));
            }
        }
        let disk = self.host.disk();
        let file = disk.open(BEGUN, OpenMode::Fresh).await?;
        let open = self.open.insert(Open { segment, file: file.clone(), len: 0 });
        open.len = data.len();
        let at = file.append(WAL, data).await?;
        assert_eq!(at, 0, "{} was opened afresh", wal_file(segment));
        self.sync(&file).await?;
        disk.rename(BEGUN, &wal_file(segment)).await?;
        disk.sync_dir().await.map_err(unsynced)
    }

    /// Makes what was written durable.
    async fn flush(&self) -> io::Result<()> {
        let disk = self.host.disk();
        for (segment, kept) in self.kept.iter().flatten() {
            let file = match kept {
                Some(file) => file.clone(),
                None => disk.open(&wal_file(*segment), OpenMode::Existing).await?,
            };
            self.sync(&file).await?;
        }
        match &self.open {
            Some(open) => self.sync(&open.file).await,
            None => Ok(()),
        }
    }

    async fn sync(&self, file: &File) -> io::Result<()> {
        match file.sync(WAL).await {
            Err(_) if self.ignores_errors => Ok(()),
            outcome => outcome.map_err(unsynced),
        }
    }
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
