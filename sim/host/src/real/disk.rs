//! Files of a real machine: a folder of the operating system, worked on by a pool of blocking
//! threads.
//!
//! Operations on one file run one after another in the order of their submission, except that a
//! sync waits only for what was submitted before it and lets later operations go on. All handles of
//! one name share one file state, so the append offset is tracked in one place. Operations on names
//! form a queue of their own.
//!
//! A refused append leaves nothing: what was written of it is cut off again, and if that fails the
//! file is spoiled. A failed sync spoils its file for good: the kernel may have dropped the dirty
//! pages, and a second sync would report a success that is none. A spoiled file can be read, and
//! neither appended to nor synced. A refused `write_at` leaves the length as it was; extents before
//! the one that failed stay written. `sync_dir` syncs every folder in which a name
//! changed; at boot that is every folder, because the boot before may have died between a rename
//! and its sync.
//!
//! Left out: symbolic links (ignored by `list`), and names that are no UTF-8.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use tokio_real::runtime::Handle;
use tokio_real::sync::oneshot;

use super::{Step, boot_over, locked};
use crate::Chunks;
use crate::arm::{Done, FileId, Op, OpenMode};

type Job = Box<dyn FnOnce() + Send>;

/// Jobs that run one after another on the blocking pool, which they occupy only while there are
/// any.
#[derive(Default)]
struct Queue(Mutex<(bool, VecDeque<Job>)>);

impl Queue {
    fn push(self: &Arc<Queue>, io: &Handle, job: Job) {
        let mut state = locked(&self.0);
        state.1.push_back(job);
        if !std::mem::replace(&mut state.0, true) {
            let queue = self.clone();
            drop(io.spawn_blocking(move || queue.run()));
        }
    }

    fn run(&self) {
        loop {
            let job = {
                let mut state = locked(&self.0);
                state.0 = !state.1.is_empty();
                state.1.pop_front()
            };
            match job {
                Some(job) => job(),
                None => return,
            }
        }
    }
}

struct OpenFile {
    /// What it was called when it was opened.
    name: String,
    file: File,
    queue: Arc<Queue>,
    /// Where the next append begins. Held while the file is changed.
    end: Mutex<u64>,
    spoiled: AtomicBool,
}

#[derive(Default)]
struct State {
    next: FileId,
    open: BTreeMap<FileId, Arc<OpenFile>>,
    by_name: BTreeMap<String, Weak<OpenFile>>,
    unsynced_folders: BTreeSet<PathBuf>,
}

struct Folder {
    root: PathBuf,
    state: Mutex<State>,
    /// Syncs that succeeded: of files, and of folders one by one.
    syncs: AtomicU64,
    over: AtomicBool,
    /// Holds the lock on the folder.
    lock: Mutex<Option<File>>,
}

pub(super) struct Files {
    folder: Arc<Folder>,
    names: Arc<Queue>,
    io: Handle,
}

impl Files {
    /// Takes the folder for this boot; fails if another process or boot has it.
    pub(super) fn open(root: PathBuf, io: Handle) -> io::Result<Files> {
        let at = |why: io::Error| {
            io::Error::new(why.kind(), format!("the folder {}: {why}", root.display()))
        };
        fs::create_dir_all(&root).map_err(at)?;
        let lock = File::open(&root).map_err(at)?;
        lock.try_lock().map_err(|why| {
            let text = format!("{} is in use by another machine: {why}", root.display());
            io::Error::new(io::ErrorKind::ResourceBusy, text)
        })?;
        let mut state = State::default();
        walk(&root, &mut |path, is_folder| {
            if is_folder {
                state.unsynced_folders.insert(path.to_path_buf());
            }
        })?;
        state.unsynced_folders.insert(root.clone());
        let folder = Folder {
            root,
            state: Mutex::new(state),
            syncs: AtomicU64::new(0),
            over: AtomicBool::new(false),
            lock: Mutex::new(Some(lock)),
        };
        Ok(Files { folder: Arc::new(folder), names: Arc::default(), io })
    }

    pub(super) fn syncs(&self) -> u64 {
        self.folder.syncs.load(Ordering::Relaxed)
    }

    pub(super) fn close(&self, file: FileId) {
        let closed = locked(&self.folder.state).open.remove(&file);
        drop(closed);
    }

    /// Jobs that have not begun will not begin.
    pub(super) fn end(&self) {
        self.folder.over.store(true, Ordering::SeqCst);
    }

    /// Another boot may have the folder.
    pub(super) fn unlock(&self) {
        locked(&self.folder.lock).take();
    }

    pub(super) fn start(&self, op: Op) -> Step {
        match op {
            Op::Append { file, data, .. } => {
                self.on_file(file, move |f| f.append(&data).map(Done::Number))
            }
            Op::WriteAt { file, extents, .. } => {
                self.on_file(file, move |f| f.write_at(&extents).map(|()| Done::Unit))
            }
            Op::ReadAt { file, offset, len } => {
                self.on_file(file, move |f| f.read_at(offset, len).map(Done::Data))
            }
            Op::Truncate { file, len } => {
                self.on_file(file, move |f| f.truncate(len).map(|()| Done::Unit))
            }
            Op::Len { file } => self.on_file(file, |f| Ok(Done::Number(*locked(&f.end)))),
            Op::Sync { file, .. } => self.sync(file),
            Op::Open { path, mode } => self
                .on_names(move |d| d.open(&path, mode).map(Done::File).map_err(|e| at(&path, e))),
            Op::Rename { from, to } => self.on_names(move |d| {
                d.rename(&from, &to).map(|()| Done::Unit).map_err(|e| at(&from, e))
            }),
            Op::Remove { path } => self
                .on_names(move |d| d.remove(&path).map(|()| Done::Unit).map_err(|e| at(&path, e))),
            Op::List { prefix } => self.on_names(move |d| d.list(&prefix).map(Done::Names)),
            Op::SyncDir => self.on_names(|d| d.sync_names().map(|()| Done::Unit)),
            Op::Space => self.on_names(|d| {
                let space = rustix::fs::statvfs(&d.root)?;
                Ok(Done::Number(space.f_bavail.saturating_mul(space.f_frsize)))
            }),
            other => Step::Ready(Err(io::Error::other(format!("not a file operation: {other:?}")))),
        }
    }

    fn on_names(&self, work: impl FnOnce(&Folder) -> io::Result<Done> + Send + 'static) -> Step {
        let folder = self.folder.clone();
        let (answer, step) = answer();
        let job = move || {
            if !folder.over.load(Ordering::SeqCst) {
                let _ = answer.send(work(&folder));
            }
        };
        self.names.push(&self.io, Box::new(job));
        step
    }

    fn on_file(
        &self,
        id: FileId,
        work: impl FnOnce(&OpenFile) -> io::Result<Done> + Send + 'static,
    ) -> Step {
        let Some(file) = self.file(id) else { return not_open() };
        let (answer, step) = answer();
        let (folder, target) = (self.folder.clone(), file.clone());
        let job = move || {
            if !folder.over.load(Ordering::SeqCst) {
                let _ = answer.send(work(&target).map_err(|why| at(&target.name, why)));
            }
        };
        file.queue.push(&self.io, Box::new(job));
        step
    }

    /// Takes its turn in the file's queue, then leaves the queue while the device works.
    fn sync(&self, id: FileId) -> Step {
        let Some(file) = self.file(id) else { return not_open() };
        let (answer, step) = answer();
        let (folder, target, io) = (self.folder.clone(), file.clone(), self.io.clone());
        let job = move || {
            let sync = move || {
                if !folder.over.load(Ordering::SeqCst) {
                    // Counted before it is answered: whoever was told finds it in the count.
                    let outcome = target.sync().inspect(|()| folder.count_sync());
                    let outcome = outcome.map_err(|why| at(&target.name, why));
                    let _ = answer.send(outcome.map(|()| Done::Unit));
                }
            };
            drop(io.spawn_blocking(sync));
        };
        file.queue.push(&self.io, Box::new(job));
        step
    }

    fn file(&self, id: FileId) -> Option<Arc<OpenFile>> {
        locked(&self.folder.state).open.get(&id).cloned()
    }
}

fn answer() -> (oneshot::Sender<io::Result<Done>>, Step) {
    let (tx, rx) = oneshot::channel();
    let step = async move { rx.await.unwrap_or_else(|_| Err(boot_over())) };
    (tx, Step::Running(Box::pin(step)))
}

/// The operating system says what is wrong, and not with which file.
fn at(name: &str, why: io::Error) -> io::Error {
    io::Error::new(why.kind(), format!("{name}: {why}"))
}

fn not_open() -> Step {
    Step::Ready(Err(io::Error::new(io::ErrorKind::InvalidInput, "the file is not open")))
}

impl OpenFile {
    fn new(name: &str, file: File) -> io::Result<OpenFile> {
        let end = Mutex::new(file.metadata()?.len());
        let name = name.to_string();
        Ok(OpenFile { name, file, queue: Arc::default(), end, spoiled: AtomicBool::new(false) })
    }

    fn append(&self, data: &Chunks) -> io::Result<u64> {
        self.whole()?;
        let mut end = locked(&self.end);
        let at = *end;
        self.write(at, data).inspect_err(|_| self.cut_back(at))?;
        *end = at + data.len();
        Ok(at)
    }

    fn write_at(&self, extents: &[(u64, Chunks)]) -> io::Result<()> {
        self.whole()?;
        let mut end = locked(&self.end);
        let mut after = *end;
        for (offset, data) in extents {
            self.write(*offset, data).inspect_err(|_| self.cut_back(*end))?;
            after = after.max(offset + data.len());
        }
        *end = after;
        Ok(())
    }

    /// Takes back what a failed write has put behind the end, so that nobody finds it after a reboot.
    /// Called with `end` held.
    fn cut_back(&self, end: u64) {
        let cut = match self.file.metadata() {
            Ok(found) if found.len() <= end => Ok(()),
            _ => self.file.set_len(end),
        };
        if cut.is_err() {
            self.spoiled.store(true, Ordering::SeqCst);
        }
    }

    /// An error if the file is spoiled.
    fn whole(&self) -> io::Result<()> {
        if self.spoiled.load(Ordering::SeqCst) {
            return Err(io::Error::other("an earlier sync or append of this file failed"));
        }
        Ok(())
    }

    /// The bodies go to the kernel from where they lie. Called with `end` held: the file's cursor
    /// is shared.
    fn write(&self, at: u64, data: &Chunks) -> io::Result<()> {
        let parts: Vec<&[u8]> = data.parts().map(|part| &part[..]).collect();
        if let [part] = parts[..] {
            return self.file.write_all_at(part, at);
        }
        let mut slices: Vec<IoSlice<'_>> = parts.into_iter().map(IoSlice::new).collect();
        let mut slices = &mut slices[..];
        (&self.file).seek(SeekFrom::Start(at))?;
        while !slices.is_empty() {
            match (&self.file).write_vectored(slices) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut slices, written),
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                Err(why) => return Err(why),
            }
        }
        Ok(())
    }

    fn read_at(&self, offset: u64, len: u64) -> io::Result<Chunks> {
        let end = *locked(&self.end);
        let len = len.min(end.saturating_sub(offset));
        let mut bytes = vec![0; len as usize];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes.into())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let mut end = locked(&self.end);
        self.file.set_len(len)?;
        *end = len;
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.whole()?;
        self.file.sync_data().inspect_err(|_| self.spoiled.store(true, Ordering::SeqCst))
    }
}

/// The operations on names; only ever called by one job at a time.
impl Folder {
    fn open(&self, name: &str, mode: OpenMode) -> io::Result<FileId> {
        let path = self.resolve(name)?;
        let shared = locked(&self.state).by_name.get(name).and_then(Weak::upgrade);
        let file = match shared {
            Some(file) => {
                if mode == OpenMode::Fresh {
                    file.truncate(0)?;
                }
                file
            }
            None => Arc::new(self.open_new(name, &path, mode)?),
        };
        let mut state = locked(&self.state);
        state.next += 1;
        let id = state.next;
        state.by_name.retain(|_, file| file.strong_count() > 0);
        state.by_name.insert(name.to_string(), Arc::downgrade(&file));
        state.open.insert(id, file);
        Ok(id)
    }

    fn open_new(&self, name: &str, path: &Path, mode: OpenMode) -> io::Result<OpenFile> {
        let may_create = mode != OpenMode::Existing;
        if may_create && !path.try_exists()? {
            self.make_parents(path)?;
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(may_create)
            .truncate(mode == OpenMode::Fresh)
            .open(path)?;
        OpenFile::new(name, file)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (old, new) = (self.resolve(from)?, self.resolve(to)?);
        fs::metadata(&old)?;
        self.make_parents(&new)?;
        fs::rename(&old, &new)?;
        self.touch(&old);
        let mut state = locked(&self.state);
        let moved = state.by_name.remove(from);
        state.by_name.remove(to);
        if let Some(file) = moved {
            state.by_name.insert(to.to_string(), file);
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let path = self.resolve(name)?;
        fs::remove_file(&path)?;
        self.touch(&path);
        locked(&self.state).by_name.remove(name);
        Ok(())
    }

    fn list(&self, prefix: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        walk(&self.root, &mut |path, is_folder| {
            let name = path.strip_prefix(&self.root).ok().and_then(Path::to_str);
            if let Some(name) = name.filter(|n| !is_folder && n.starts_with(prefix)) {
                names.push(name.to_string());
            }
        })?;
        names.sort();
        Ok(names)
    }

    fn sync_names(&self) -> io::Result<()> {
        let folders = std::mem::take(&mut locked(&self.state).unsynced_folders);
        for folder in &folders {
            if let Err(why) = File::open(folder).and_then(|f| f.sync_all()) {
                locked(&self.state).unsynced_folders.extend(folders);
                return Err(why);
            }
            self.count_sync();
        }
        Ok(())
    }

    /// Bytes or names have become durable; a sync that failed is not counted.
    fn count_sync(&self) {
        self.syncs.fetch_add(1, Ordering::Relaxed);
    }

    /// Creates the missing folders above `path` and notes which folders get a new entry.
    fn make_parents(&self, path: &Path) -> io::Result<()> {
        let parent = path.parent().unwrap_or(&self.root);
        if !parent.try_exists()? {
            self.make_parents(parent)?;
            fs::create_dir(parent)?;
        }
        self.touch(path);
        Ok(())
    }

    fn touch(&self, path: &Path) {
        let parent = path.parent().unwrap_or(&self.root).to_path_buf();
        locked(&self.state).unsynced_folders.insert(parent);
    }

    /// A name's place under the root; a name cannot lead out of it.
    fn resolve(&self, name: &str) -> io::Result<PathBuf> {
        let bad =
            |part: &str| part.is_empty() || part == "." || part == ".." || part.contains('\0');
        if name.split('/').any(bad) {
            let text = format!("`{name}` is not a file name: parts between `/`, no `.` or `..`");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        Ok(self.root.join(name))
    }
}

/// Calls `found(path, is_folder)` for every file and folder below `folder`.
fn walk(folder: &Path, found: &mut impl FnMut(&Path, bool)) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let path = entry.path();
        if kind.is_dir() {
            found(&path, true);
            walk(&path, found)?;
        } else if kind.is_file() {
            found(&path, false);
        }
    }
    Ok(())
}
