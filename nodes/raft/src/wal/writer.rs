//! The task that writes the log. It takes everything that waits, appends it in as few writes as
//! possible, syncs once if anything needs it, and reports the last batch that is through: group
//! commit over all groups and over everything that arrived during the previous sync. An error of
//! the disk ends the node: after a failed sync nobody can know what the file holds.
//!
//! With a cycle everything is written as it comes, and synced at the cycle's times. Where nobody waits
//! for that, as in DotNext's log, the sync runs beside what is written meanwhile; a vote still waits
//! for its own.
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
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use host::{Chunks, File, Host, Mono, OpenMode, Plant, Thread};

use super::layout::{Job, Sync};
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

/// When a batch that is no vote counts as held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acks {
    /// Once it is synced.
    Synced,
    /// Once it is written.
    Written,
}

/// When the log is synced, and who waits for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cycle {
    /// Between two syncs; 0: as soon as there is something.
    pub(crate) interval: Duration,
    pub(crate) acks: Acks,
}

/// A sync that nobody waits for: the last batch that it covers, and its outcome.
type Flushing = (u64, Pin<Box<dyn Future<Output = io::Result<()>> + Send>>);

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
    cycle: Cycle,
    /// From when on cycles count.
    boot: Mono,
    /// When a sync is due that is owed.
    owed: Option<Mono>,
    flushing: Option<Flushing>,
    /// The last batch that was written, the last that was reported durable, and the last that was
    /// reported at all.
    through: u64,
    durable: u64,
    reported: u64,
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
        (cycle, patience): (Cycle, Duration),
        kept: Option<Vec<u64>>,
        jobs: &Mailbox<Job>,
        inbox: &Mailbox<Input>,
    ) -> Writer {
        Writer {
            host: host.clone(),
            thread: thread.clone(),
            cycle,
            boot: host.clock().now(),
            owed: None,
            flushing: None,
            through: 0,
            durable: 0,
            reported: 0,
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
        loop {
            round.append(&mut self.later);
            if round.is_empty() && !self.wait(&mut round).await? {
                break;
            }
            let urgent = self.plan(&mut round) == Sync::Now;
            let due = self.owed.is_some_and(|owed| owed <= clock.now());
            let waits = due && (urgent || self.cycle.acks == Acks::Synced);
            if waits {
                self.flushed().await?;
                self.steps.push_back(Step::Flush);
            }
            if !self.carry_out().await? {
                return Ok(());
            }
            if waits {
                self.owed = None;
            }
            self.report();
            if due && !waits && self.flushing.is_none() {
                self.owed = None;
                self.flushing = Some((self.through, Box::pin(self.flush())));
            }
        }
        self.flushed().await?;
        self.steps.push_back(Step::Flush);
        if self.carry_out().await? {
            self.owed = None;
            self.report();
        }
        Ok(())
    }

    /// Waits for jobs, for the time at which a sync is due, or for the end of one that is under way.
    /// False if there will be nothing more.
    async fn wait(&mut self, round: &mut Vec<Job>) -> io::Result<bool> {
        if self.owed.is_none() && self.flushing.is_none() {
            return Ok(self.jobs.take(round).await);
        }
        let mut alarm = self.host.clock().alarm();
        // One sync at a time; the next one covers what this one does not.
        alarm.set(self.owed.filter(|_| self.flushing.is_none()).unwrap_or(Mono::NEVER));
        std::future::poll_fn(|cx| {
            if let Some((through, flushing)) = &mut self.flushing
                && let Poll::Ready(outcome) = flushing.as_mut().poll(cx)
            {
                if outcome.is_ok() {
                    self.durable = *through;
                    let _ = self.inbox.push(Input::Persisted(*through));
                }
                self.flushing = None;
                return Poll::Ready(outcome.map(|()| true));
            }
            match self.jobs.poll_take(cx, round) {
                Poll::Pending => alarm.poll_ring(cx).map(|()| Ok(true)),
                taken => taken.map(Ok),
            }
        })
        .await
    }

    /// Waits for a sync that is under way: one that failed must not be followed by one that does not.
    async fn flushed(&mut self) -> io::Result<()> {
        match self.flushing.take() {
            Some((_, flushing)) => flushing.await,
            None => Ok(()),
        }
    }

    /// Says what counts as held.
    fn report(&mut self) {
        let through = self.through;
        if self.owed.is_none() && self.flushing.is_none() {
            if std::mem::replace(&mut self.durable, through) < through {
                let _ = self.inbox.push(Input::Persisted(through));
            }
        } else if self.cycle.acks == Acks::Written && self.reported < through {
            let _ = self.inbox.push(Input::Written(through));
        } else {
            return;
        }
        self.reported = through;
    }

    /// The first time from now on at which a cycle ends.
    fn cycle_end(&self) -> Mono {
        let now = self.host.clock().now();
        match host::unit::nanos(self.cycle.interval) {
            0 => now,
            every => Mono(self.boot.0 + now.0.saturating_sub(self.boot.0).div_ceil(every) * every),
        }
    }

    /// Turns a round into steps, with as few appends as possible, and notes when to sync. Returns the
    /// most urgent sync in it.
    fn plan(&mut self, round: &mut Vec<Job>) -> Sync {
        let mut urgent = Sync::Later;
        let mut at = self.open.as_ref().map(|open| (open.segment, open.len));
        let mut pending = Chunks::new();
        for job in round.drain(..) {
            match job {
                Job::Append { segment, offset, data, seq, sync } => {
                    assert_eq!(Some((segment, offset)), at, "batches follow one another");
                    at = Some((segment, offset + data.len()));
                    if pending.is_empty() {
                        pending = data;
                    } else {
                        pending.extend(&data);
                    }
                    self.through = seq;
                    urgent = urgent.max(sync);
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
        match urgent {
            Sync::Later => {}
            Sync::Cycle => self.owed = self.owed.or_else(|| Some(self.cycle_end())),
            Sync::Now => self.owed = Some(self.host.clock().now()),
        }
        urgent
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
            sync(&open.file, self.ignores_errors).await?;
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
        sync(&file, self.ignores_errors).await?;
        disk.rename(BEGUN, &wal_file(segment)).await?;
        disk.sync_dir().await.map_err(unsynced)
    }

    /// Makes durable what is written by now.
    fn flush(&self) -> impl Future<Output = io::Result<()>> + Send + use<> {
        let (disk, ignores_errors) = (self.host.disk(), self.ignores_errors);
        let kept: Vec<_> = self.kept.iter().flatten().map(|(s, f)| (*s, f.clone())).collect();
        let open = self.open.as_ref().map(|open| open.file.clone());
        // Beside a sync that nobody waits for segments may be removed.
        let may_be_gone = self.cycle.acks == Acks::Written;
        async move {
            for (segment, file) in kept {
                let file = match file {
                    Some(file) => file,
                    None => match disk.open(&wal_file(segment), OpenMode::Existing).await {
                        Err(e) if may_be_gone && e.kind() == io::ErrorKind::NotFound => continue,
                        opened => opened?,
                    },
                };
                sync(&file, ignores_errors).await?;
            }
            match &open {
                Some(file) => sync(file, ignores_errors).await,
                None => Ok(()),
            }
        }
    }
}

async fn sync(file: &File, ignores_errors: bool) -> io::Result<()> {
    match file.sync(WAL).await {
        Err(_) if ignores_errors => Ok(()),
        outcome => outcome.map_err(unsynced),
    }
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
