//! The table on disk, as an embedded document database keeps it: pages of 8 KiB in a data file, and a
//! journal in front of it. Every value that is applied is written to the journal, in whole pages; once
//! those are a thousand, the journal is synced, its pages are written to the data file, each once, and
//! the journal is emptied. A value that is replaced by one of as many pages keeps its place; freed
//! pages are used again; the data file never shrinks.
//!
//! Sizes, operations and their order are real, the bytes are zeroes: nobody reads a value from here.
//! The truth is the log and its snapshots, so a crash loses nothing; at a boot, and when a peer's
//! snapshot is installed, both files are begun afresh and filled with the state as it was restored.
//! On a full disk the table waits for room, as the log does, and nobody is answered until there is some;
//! a node that is asked to stop then stops waiting, for the files are begun afresh anyway.
//! Left out: pages of indices and of the free list, several values on one page, a cache of pages.
//! Source: LiteDB 5 in its direct mode (8 KiB pages, a checkpoint every 1,000 of them).

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use host::{Chunks, Class, File, Host, OpenMode};

use crate::event::StoreEvent;

const TABLE: Class = Class("table");
/// Bytes of a page, and of those the ones that hold a value.
const PAGE: u64 = 8192;
const ROOM: u64 = PAGE - 32;
/// Pages in the journal at which it is emptied into the data file.
const CHECKPOINT: u64 = 1000;
/// Zeroes that all pages share.
static ZEROES: [u8; 1 << 20] = [0; 1 << 20];
/// Pause between two attempts to write to a full disk.
const ROOM_PAUSE: Duration = Duration::from_millis(50);
/// Bytes that are read at a time.
const PIECE: u64 = 4 << 20;

/// Consecutive pages of the data file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    first: u64,
    count: u64,
}

/// Which pages belong to what.
#[derive(Debug, Default)]
struct Layout {
    places: BTreeMap<Bytes, Vec<Run>>,
    free: Vec<Run>,
    /// Pages of the data file.
    end: u64,
    /// Pages in the journal.
    journal: u64,
    /// Pages of the data file that the journal holds newer.
    newer: BTreeSet<u64>,
}

impl Layout {
    /// The pages that a value of so many bytes needs.
    fn pages(bytes: u64) -> u64 {
        bytes.div_ceil(ROOM).max(1)
    }

    /// Gives a key a place for a value; says how many pages go to the journal.
    fn put(&mut self, key: &Bytes, bytes: u64) -> u64 {
        let count = Layout::pages(bytes);
        let there = self.places.get(key).map(|runs| runs.iter().map(|r| r.count).sum());
        if there != Some(count) {
            self.free_all(key);
            let runs = self.allocate(count);
            self.places.insert(key.clone(), runs);
        }
        for run in &self.places[key] {
            self.newer.extend(run.first..run.first + run.count);
        }
        self.journal += count;
        count
    }

    /// Frees a key's place; the page that says so goes to the journal.
    fn remove(&mut self, key: &Bytes) -> u64 {
        let Some(first) = self.places.get(key).map(|runs| runs[0].first) else { return 0 };
        self.newer.insert(first);
        self.free_all(key);
        self.journal += 1;
        1
    }

    fn free_all(&mut self, key: &Bytes) {
        self.free.extend(self.places.remove(key).unwrap_or_default());
    }

    /// Pages that nobody has: freed ones first, then new ones.
    fn allocate(&mut self, mut count: u64) -> Vec<Run> {
        let mut runs = Vec::new();
        while count > 0 {
            let mut run = self.free.pop().unwrap_or_else(|| {
                self.end += count;
                Run { first: self.end - count, count }
            });
            if run.count > count {
                self.free.push(Run { first: run.first + count, count: run.count - count });
                run.count = count;
            }
            count -= run.count;
            runs.push(run);
        }
        runs
    }

    /// What goes to the data file if the journal is full, which is empty then.
    fn checkpoint(&mut self) -> Option<Vec<Run>> {
        if self.journal < CHECKPOINT {
            return None;
        }
        self.journal = 0;
        let mut runs: Vec<Run> = Vec::new();
        for page in std::mem::take(&mut self.newer) {
            match runs.last_mut().filter(|run| run.first + run.count == page) {
                Some(run) => run.count += 1,
                None => runs.push(Run { first: page, count: 1 }),
            }
        }
        Some(runs)
    }
}

fn zeroes(pages: u64) -> Chunks {
    let mut out = Chunks::new();
    let mut left = pages * PAGE;
    while left > 0 {
        let piece = left.min(ZEROES.len() as u64);
        out.push(Bytes::from_static(&ZEROES[..piece as usize]));
        left -= piece;
    }
    out
}

/// Both files. Clones share them.
#[derive(Clone)]
pub(crate) struct Pages {
    host: Host,
    data: File,
    journal: File,
    layout: Arc<Mutex<Layout>>,
}

impl Pages {
    /// Begins both files afresh.
    pub(crate) async fn open(host: &Host) -> io::Result<Pages> {
        let disk = host.disk();
        let data = disk.open("table/data", OpenMode::Fresh).await?;
        let journal = disk.open("table/journal", OpenMode::Fresh).await?;
        Ok(Pages { host: host.clone(), data, journal, layout: Arc::default() })
    }

    fn layout(&self) -> MutexGuard<'_, Layout> {
        self.layout.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Empties both files.
    pub(crate) async fn begin_afresh(&self) -> io::Result<()> {
        *self.layout() = Layout::default();
        self.journal.truncate(0).await?;
        self.data.truncate(0).await
    }

    /// Writes a value of so many bytes.
    pub(crate) async fn put(&self, key: &Bytes, bytes: u64) -> io::Result<()> {
        let pages = self.layout().put(key, bytes);
        self.write(pages).await
    }

    /// Removes a key.
    pub(crate) async fn remove(&self, key: &Bytes) -> io::Result<()> {
        let pages = self.layout().remove(key);
        self.write(pages).await
    }

    async fn write(&self, pages: u64) -> io::Result<()> {
        if pages > 0 {
            self.with_room(|| async { self.journal.append(TABLE, zeroes(pages)).await.map(drop) })
                .await?;
        }
        let Some(runs) = self.layout().checkpoint() else { return Ok(()) };
        // A sync may be tried again here: nothing rests on what these files hold.
        self.with_room(|| self.journal.sync(TABLE)).await?;
        let extent = |run: &Run| (run.first * PAGE, zeroes(run.count));
        let extents = || runs.iter().map(extent).collect::<Vec<_>>();
        self.with_room(|| self.data.write_at(TABLE, extents())).await?;
        self.journal.truncate(0).await
    }

    /// Tries until there is room, or until the node is asked to stop.
    async fn with_room<F>(&self, attempt: impl Fn() -> F) -> io::Result<()>
    where
        F: Future<Output = io::Result<()>>,
    {
        let mut waits = false;
        loop {
            let full = |kind| matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
            match attempt().await {
                Err(error) if full(error.kind()) => {}
                done => return done,
            }
            if !std::mem::replace(&mut waits, true) {
                self.host.emit(StoreEvent::TableWaits);
            }
            if self.stops_within(ROOM_PAUSE).await {
                return Ok(());
            }
        }
    }

    async fn stops_within(&self, pause: Duration) -> bool {
        let clock = self.host.clock();
        let (mut stopping, mut pause) = (pin!(self.host.stopping()), pin!(clock.sleep(pause)));
        poll_fn(|cx| match stopping.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(true),
            Poll::Pending => pause.as_mut().poll(cx).map(|_| false),
        })
        .await
    }

    /// Reads all of the data file, as a snapshot does.
    pub(crate) async fn read_all(&self) -> io::Result<()> {
        let (mut at, end) = (0, self.data.len().await?);
        while at < end {
            let piece = self.data.read_at(at, PIECE.min(end - at)).await?;
            if piece.is_empty() {
                break;
            }
            at += piece.len();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn count(runs: &[Run]) -> u64 {
        runs.iter().map(|run| run.count).sum()
    }

    #[test]
    fn values_take_whole_pages() {
        assert_eq!([0, 1, ROOM, ROOM + 1, 1_000_000].map(Layout::pages), [1, 1, 1, 2, 123]);
        assert_eq!(zeroes(300).len(), 300 * PAGE);
    }

    #[test]
    fn a_full_journal_is_written_to_the_data_file_each_page_once() {
        let mut layout = Layout::default();
        let key = Bytes::from_static(b"a");
        for _ in 0..8 {
            assert_eq!(layout.put(&key, 1_000_000), 123);
            assert_eq!(layout.checkpoint(), None);
        }
        layout.put(&key, 1_000_000);
        assert_eq!(layout.checkpoint(), Some(vec![Run { first: 0, count: 123 }]));
        assert_eq!((layout.journal, layout.end), (0, 123));
    }

    proptest! {
        /// Keys never share a page, no page is lost, and what the journal held is written.
        #[test]
        fn every_page_has_one_owner(
            steps in prop::collection::vec((0u8..6, 0u64..60_000, any::<bool>()), 0..80),
        ) {
            let mut layout = Layout::default();
            let mut sizes = BTreeMap::new();
            for (key, bytes, put) in steps {
                let key = Bytes::from(vec![key]);
                if put {
                    prop_assert_eq!(layout.put(&key, bytes), Layout::pages(bytes));
                    sizes.insert(key, Layout::pages(bytes));
                } else {
                    prop_assert_eq!(layout.remove(&key), u64::from(sizes.remove(&key).is_some()));
                }
                let mut seen = BTreeSet::new();
                let owned = layout.places.values().flatten().chain(&layout.free);
                for page in owned.flat_map(|run| run.first..run.first + run.count) {
                    prop_assert!(page < layout.end && seen.insert(page), "page {}", page);
                }
                prop_assert_eq!(seen.len() as u64, layout.end);
                for (key, pages) in &sizes {
                    prop_assert_eq!(count(&layout.places[key]), *pages);
                }
            }
        }
    }
}
