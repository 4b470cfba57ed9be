//! The table as the state machine that consensus drives, and what applying a command costs beside the
//! change in memory: decoding a value that lies encoded in the log, writing it to the table's own
//! pages. That is done after each batch of entries, on the apply thread, before anybody is answered.
//! A table that lives in memory, of values that lie in the log as they came, has no such upkeep.
//!
//! On a graceful stop a table can be closed at once, which is a defect that systems have whose parts
//! are closed by somebody who does not ask what still uses them: a command that is applied then ends
//! consensus with an error, before it has drained. The command did take effect, and so it will after
//! the next boot, but nobody was told. The process was asked to end and does, as one whose runtime logs
//! such an error on its way out.
//! Left out: prices; they are the profile's, by the kinds `table_write`, `table_read`
//! (all values, before a snapshot of a table on pages) and `command_decode`.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use host::{Chunks, Claim, Host, Plant, Thread, Work};
use raft_driver::{Image, Settling, StateMachine};

use crate::Config;
use crate::buffers::Buffers;
use crate::command::{Act, Command};
use crate::encoding::Form;
use crate::event::StoreEvent;
use crate::pages::Pages;
use crate::table::{Item, Outcome, Plants, Table};

/// The table, shared between the state machine and those who read it.
#[derive(Clone)]
pub(crate) struct SharedTable {
    host: Host,
    table: Arc<Mutex<Table>>,
    pub(crate) buffers: Buffers,
    upkeep: Option<Arc<Upkeep>>,
    /// Whether the values are in memory, and not on disk alone.
    in_memory: bool,
    /// Whether values go into snapshots as the blocks that they are kept as.
    packs: bool,
}

impl SharedTable {
    /// An empty table; its files, if it has any, are begun afresh.
    pub(crate) async fn open(host: &Host, config: &Config) -> io::Result<SharedTable> {
        let plants = Plants {
            session_forgotten: host.planted(Plant("session_forgotten")),
            session_not_in_snapshot: host.planted(Plant("session_not_in_snapshot")),
            session_expires_by_own_clock: host.planted(Plant("session_expires_by_own_clock")),
            cas_blind: host.planted(Plant("cas_blind")),
            delete_forgotten: host.planted(Plant("delete_forgotten")),
            delta_skips_removed: host.planted(Plant("delta_skips_removed")),
        };
        let mut table = Table::new(plants);
        table.memory = Some(host.memory());
        let table = Arc::new(Mutex::new(table));
        let upkeep = Upkeep::open(host, config).await?.map(Arc::new);
        let buffers = Buffers::new(host, &config.own);
        let in_memory = config.own.table.0 == "memory";
        let packs = config.own.encoding.0 == "lz4";
        Ok(SharedTable { host: host.clone(), table, buffers, upkeep, in_memory, packs })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state machine; there is one of them.
    pub(crate) fn machine(&self) -> Machine {
        Machine { table: self.clone(), owed: Vec::new(), live: None, failed: None }
    }

    /// Whether something was applied after the table was closed.
    pub(crate) fn was_found_closed(&self) -> bool {
        self.upkeep.as_ref().is_some_and(|upkeep| upkeep.said.load(Ordering::SeqCst))
    }

    /// Closes the table; whoever still applies something finds it closed.
    pub(crate) fn close(&self) {
        if let Some(upkeep) = &self.upkeep {
            upkeep.closed.store(true, Ordering::SeqCst);
        }
    }
}

/// What is to be done for one entry.
enum Owed {
    /// A value was decoded, which is so long.
    Decode { raw: u64 },
    /// All there was is gone.
    Afresh,
    /// The key had a value of so many bytes when the state was restored.
    Fill { key: Bytes, raw: u64 },
    /// The key has a value of so many bytes.
    Put { key: Bytes, raw: u64 },
    /// The key is gone.
    Remove { key: Bytes },
}

/// What has to be done beside the table in memory.
struct Upkeep {
    host: Host,
    /// The thread that applies.
    thread: Thread,
    /// The thread that takes snapshots.
    snapshots: Thread,
    pages: Option<Pages>,
    closed: AtomicBool,
    /// Whether it was said that something was applied to the closed table.
    said: AtomicBool,
}

impl Upkeep {
    async fn open(host: &Host, config: &Config) -> io::Result<Option<Upkeep>> {
        let own = &config.own;
        let on_disk = own.table.0 == "pages";
        if !on_disk && own.encoding.0 == "raw" && own.close.0 == "drains" {
            return Ok(None);
        }
        let pages = if on_disk { Some(Pages::open(host).await?) } else { None };
        Ok(Some(Upkeep {
            host: host.clone(),
            thread: host.thread(config.raft.apply_thread.0),
            snapshots: host.thread(config.raft.snapshot_thread.0),
            pages,
            closed: AtomicBool::new(false),
            said: AtomicBool::new(false),
        }))
    }

    /// Does what is owed, for each entry by its log index.
    async fn settle(&self, owed: Vec<(u64, Owed)>) -> io::Result<()> {
        for (index, owed) in owed {
            self.is_open(index)?;
            self.one(owed).await?;
            self.is_open(index)?;
        }
        Ok(())
    }

    async fn one(&self, owed: Owed) -> io::Result<()> {
        let work = |kind, bytes| Work { kind, bytes };
        match (owed, &self.pages) {
            (Owed::Decode { raw }, _) => {
                self.thread.run(work("command_decode", raw), || ()).await;
                Ok(())
            }
            (_, None) => Ok(()),
            (Owed::Afresh, Some(pages)) => pages.begin_afresh().await,
            // What restoring costs beside the disk is consensus' to charge.
            (Owed::Fill { key, raw }, Some(pages)) => pages.put(&key, raw).await,
            (Owed::Put { key, raw }, Some(pages)) => {
                self.thread.run(work("table_write", raw), || ()).await;
                pages.put(&key, raw).await
            }
            (Owed::Remove { key }, Some(pages)) => {
                self.thread.run(work("table_write", 0), || ()).await;
                pages.remove(&key).await
            }
        }
    }

    fn is_open(&self, index: u64) -> io::Result<()> {
        if !self.closed.load(Ordering::SeqCst) {
            return Ok(());
        }
        if !self.said.swap(true, Ordering::SeqCst) {
            self.host.emit(StoreEvent::AppliedAfterClose { index });
        }
        Err(io::Error::other("the table was closed while commands were applied"))
    }
}

fn not_ours() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the snapshot is not one of a store")
}

/// The state machine.
pub(crate) struct Machine {
    table: SharedTable,
    owed: Vec<(u64, Owed)>,
    /// What the values in memory weigh.
    live: Option<Claim>,
    /// Why the node cannot go on.
    failed: Option<io::Error>,
}

impl Machine {
    /// States what the table weighs now, the value of that many bytes that was decoded for it, and its
    /// document for the pages.
    fn weigh(&mut self, raw: u64, table: u64) {
        let document = match self.table.in_memory {
            true => Ok(()),
            false => self.table.buffers.take("document", raw),
        };
        let decoded = self.table.buffers.take_text("decoded command", raw);
        let grown = self.live().and_then(|live| live.map_or(Ok(()), |live| live.set(table)));
        if let Err(error) = document.and(decoded).and(grown) {
            self.failed.get_or_insert(error);
        }
    }

    /// The claim for the values, if they are in memory.
    fn live(&mut self) -> io::Result<Option<&mut Claim>> {
        if self.table.in_memory && self.live.is_none() {
            self.live = Some(self.table.host.memory().claim("table", 0)?);
        }
        Ok(self.live.as_mut())
    }

    /// Notes what it costs that the whole table has come anew.
    fn refilled(&mut self) -> io::Result<()> {
        let shared = self.table.table.clone();
        let table = shared.lock().unwrap_or_else(PoisonError::into_inner);
        if self.table.upkeep.as_ref().is_some_and(|upkeep| upkeep.pages.is_some()) {
            let put = |(key, item): (&Bytes, &Item)| {
                (table.index, Owed::Fill { key: key.clone(), raw: item.len() })
            };
            // All of it, once, however many parts it comes in.
            self.owed.clear();
            self.owed.push((table.index, Owed::Afresh));
            self.owed.extend(table.range(b"", b"").map(put));
        }
        if let Some(live) = self.live()? {
            live.set(0)?;
            // Each value is an object of its own, however many come at once.
            let mut size = 0;
            for (_, item) in table.range(b"", b"") {
                size += item.len();
                live.set(size)?;
            }
            live.set(table.size())?;
        }
        Ok(())
    }

    /// Notes what an entry that was applied costs. Returns the length of its value.
    fn owe(&mut self, index: u64, context: &[u8], took_effect: bool) -> u64 {
        let Some(Command::Do { act, form, key, .. }) = Command::decode(context) else { return 0 };
        let raw = self.table.lock().get(&key).map_or(0, |item| item.len());
        if form != Form::Plain {
            self.owed.push((index, Owed::Decode { raw }));
        }
        if took_effect {
            let change = match act {
                Act::Delete => Owed::Remove { key },
                Act::Put | Act::CompareAndSet { .. } => Owed::Put { key, raw },
            };
            self.owed.push((index, change));
        }
        raw
    }
}

impl StateMachine for Machine {
    fn apply(&mut self, index: u64, _: u64, context: &Bytes, data: &Bytes) -> Bytes {
        let mut table = self.table.lock();
        if table.plants.session_expires_by_own_clock {
            table.expire(index, self.table.host.clock().now());
        }
        let Outcome { answer, said } = table.apply(index, context, data);
        let size = table.size();
        drop(table);
        let raw = match self.table.upkeep.is_some() {
            true => self.owe(index, context, matches!(said, Some(StoreEvent::Done { .. }))),
            false => data.len() as u64,
        };
        self.weigh(raw, size);
        if let Some(event) = said {
            self.table.host.emit(event);
        }
        Bytes::copy_from_slice(&answer.encode())
    }

    fn settles(&self) -> bool {
        self.table.upkeep.is_some()
    }

    fn settle(&mut self) -> Option<Settling> {
        if let Some(error) = self.failed.take() {
            return Some(Box::pin(async { Err(error) }));
        }
        let upkeep = self.table.upkeep.clone()?;
        let owed = std::mem::take(&mut self.owed);
        (!owed.is_empty())
            .then(|| -> Settling { Box::pin(async move { upkeep.settle(owed).await }) })
    }

    fn serializing(&self) -> &'static str {
        if self.table.packs { "snapshot_pack" } else { "snapshot_serialize" }
    }

    fn gather(&self) -> Option<Settling> {
        let upkeep = self.table.upkeep.as_ref();
        let pages = upkeep.and_then(|u| Some((u.pages.clone()?, u.snapshots.clone())));
        let buffers = self.table.buffers.clone();
        if pages.is_none() && !buffers.are_fresh() {
            return None;
        }
        let values: Vec<u64> = self.table.lock().range(b"", b"").map(|(_, i)| i.len()).collect();
        Some(Box::pin(async move {
            if let Some((pages, thread)) = pages {
                pages.read_all().await?;
                let work = Work { kind: "table_read", bytes: values.iter().sum() };
                thread.run(work, || ()).await;
            }
            let load = |bytes| buffers.load("snapshot", bytes);
            values.into_iter().map(load).collect::<io::Result<Vec<Claim>>>().map(drop)
        }))
    }

    fn snapshot(&self) -> Image {
        let mut table = self.table.lock();
        table.begin_deltas();
        table.image()
    }

    fn delta(&self, since: u64) -> Option<Image> {
        self.table.lock().delta(since)
    }

    fn restore(&mut self, image: Chunks) -> io::Result<()> {
        let mut table = self.table.lock();
        let memory = table.memory.take();
        *table = Table::read(&image, table.plants).ok_or_else(not_ours)?;
        table.memory = memory;
        drop(table);
        self.refilled()
    }

    fn patch(&mut self, delta: Chunks) -> io::Result<()> {
        self.table.lock().patch(&delta).ok_or_else(not_ours)?;
        self.refilled()
    }

    fn state_hash(&self) -> u64 {
        self.table.lock().hash()
    }

    fn size(&self) -> u64 {
        self.table.lock().size()
    }
}
