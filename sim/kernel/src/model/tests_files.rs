//! The file system against a naive one: a vector of bytes a file, and the list of all changes since
//! the last sync. `World` plays the same operations on both, power losses included, and compares
//! whatever can be seen after each; what `durable_len` promised must be there after every loss.

use std::collections::BTreeMap;

use bytes::Bytes;
use host::unit::Size;
use host::{Chunks, OpenMode};
use proptest::prelude::*;

use super::files::{FileNo, Files, Survivor, SyncMark};

pub(super) const CAPACITY: u64 = 40_000;
const NAMES: [&str; 4] = ["a", "a/b", "a/c", "d"];

#[derive(Clone, Debug)]
pub(super) enum Op {
    Open(usize, u8),
    Append(usize, u64),
    WriteAt(usize, Vec<(u64, u64)>),
    Truncate(usize, u64),
    Rename(usize, usize),
    Remove(usize),
    Close(usize),
    SyncBegin(usize),
    SyncDirBegin,
    SyncEnd(usize),
    Crash,
    PowerLoss(u64),
}

pub(super) fn op() -> impl Strategy<Value = Op> {
    let name = 0usize..NAMES.len();
    let handle = 0usize..8;
    let extents = prop::collection::vec((0u64..3_000, 0u64..1_300), 1..4);
    prop_oneof![
        6 => (name.clone(), 0u8..6).prop_map(|(n, m)| Op::Open(n, m)),
        8 => (handle.clone(), 0u64..1_300).prop_map(|(h, l)| Op::Append(h, l)),
        5 => (handle.clone(), extents).prop_map(|(h, e)| Op::WriteAt(h, e)),
        2 => (handle.clone(), 0u64..4_000).prop_map(|(h, l)| Op::Truncate(h, l)),
        2 => (name.clone(), name.clone()).prop_map(|(a, b)| Op::Rename(a, b)),
        2 => name.prop_map(Op::Remove),
        2 => handle.clone().prop_map(Op::Close),
        3 => handle.clone().prop_map(Op::SyncBegin),
        1 => Just(Op::SyncDirBegin),
        3 => handle.prop_map(Op::SyncEnd),
        1 => Just(Op::Crash),
        1 => any::<u64>().prop_map(Op::PowerLoss),
    ]
}

/// Bytes of a file; `None` is a hole.
type Bytewise = Vec<Option<u8>>;

#[derive(Clone, Debug)]
enum Change {
    Write(u64, Vec<u8>),
    Resize(u64),
}

impl Change {
    fn weight(&self) -> u64 {
        match self {
            Change::Write(_, data) => data.len() as u64,
            Change::Resize(_) => 1,
        }
    }

    /// Applies the change, or of a write the first `most` bytes.
    fn apply(&self, to: &mut Bytewise, most: u64) {
        match self {
            Change::Resize(len) => to.resize(*len as usize, None),
            Change::Write(at, data) => {
                let data = &data[..(data.len() as u64).min(most) as usize];
                let end = *at as usize + data.len();
                if !data.is_empty() {
                    to.resize(to.len().max(end), None);
                }
                for (i, byte) in data.iter().enumerate() {
                    to[*at as usize + i] = Some(*byte);
                }
            }
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Naive {
    base: Bytewise,
    changes: Vec<Change>,
    /// Changes that have become durable, ever.
    settled: usize,
}

impl Naive {
    fn dirty(&self) -> u64 {
        self.changes.iter().map(Change::weight).sum()
    }

    fn now(&self) -> Bytewise {
        self.kept(self.dirty())
    }

    /// The contents if the first `kept` bytes of the unsynced changes survive.
    fn kept(&self, mut kept: u64) -> Bytewise {
        let mut out = self.base.clone();
        for change in &self.changes {
            if kept >= change.weight() {
                kept -= change.weight();
                change.apply(&mut out, u64::MAX);
                continue;
            }
            if let Change::Write(at, _) = change {
                change.apply(&mut out, ((at + kept) / 512 * 512).saturating_sub(*at));
            }
            break;
        }
        out
    }

    fn settle(&mut self, upto: usize) {
        while self.settled < upto {
            self.changes.remove(0).apply(&mut self.base, u64::MAX);
            self.settled += 1;
        }
    }
}

/// The real file system and the naive one.
pub(super) struct World {
    pub files: Files,
    names: BTreeMap<String, FileNo>,
    /// Names as they were before each unsynced directory operation.
    history: Vec<BTreeMap<String, FileNo>>,
    settled_names: usize,
    naive: BTreeMap<FileNo, Naive>,
    open: Vec<FileNo>,
    marks: Vec<(SyncMark, Option<FileNo>, usize)>,
    next_byte: u8,
}

fn zeroed(bytes: &Bytewise) -> Vec<u8> {
    bytes.iter().map(|b| b.unwrap_or(0)).collect()
}

impl World {
    pub fn play(ops: &[Op]) -> World {
        let mut world = World {
            files: Files::new(Size(CAPACITY)),
            names: BTreeMap::new(),
            history: Vec::new(),
            settled_names: 0,
            naive: BTreeMap::new(),
            open: Vec::new(),
            marks: Vec::new(),
            next_byte: 0,
        };
        for op in ops {
            world.apply(op);
            world.compare();
        }
        world
    }

    fn apply(&mut self, op: &Op) {
        let handle = |h: usize| self.open.get(h % self.open.len().max(1)).copied();
        match op {
            Op::Open(name, mode) => self.open(NAMES[*name], *mode),
            Op::Append(h, len) => {
                if let Some(file) = handle(*h) {
                    let at = self.naive[&file].now().len() as u64;
                    self.write(file, &[(at, *len)], true);
                }
            }
            Op::WriteAt(h, extents) => {
                if let Some(file) = handle(*h) {
                    self.write(file, extents, false);
                }
            }
            Op::Truncate(h, len) => {
                if let Some(file) = handle(*h) {
                    self.files.truncate(file, *len).unwrap();
                    self.resize(file, *len);
                }
            }
            Op::Rename(from, to) => self.rename(NAMES[*from], NAMES[*to]),
            Op::Remove(name) => {
                let before = self.names.clone();
                let expected = self.names.remove(NAMES[*name]).is_some();
                assert_eq!(self.files.remove(NAMES[*name]).is_ok(), expected);
                self.history.extend(expected.then_some(before));
            }
            Op::Close(h) => {
                if let Some(file) = handle(*h) {
                    let at = h % self.open.len();
                    self.open.remove(at);
                    self.files.close(file);
                }
            }
            Op::SyncBegin(h) => {
                if let Some(file) = handle(*h) {
                    let naive = &self.naive[&file];
                    let upto = naive.settled + naive.changes.len();
                    self.marks.push((self.files.sync_begin(file), Some(file), upto));
                }
            }
            Op::SyncDirBegin => {
                let upto = self.settled_names + self.history.len();
                self.marks.push((self.files.sync_dir_begin(), None, upto));
            }
            Op::SyncEnd(mark) => self.sync_end(*mark),
            Op::Crash => {
                self.files.crash();
                self.open.clear();
            }
            Op::PowerLoss(seed) => {
                self.power_loss(*seed);
            }
        }
    }

    fn open(&mut self, name: &str, mode: u8) {
        let mode = match mode {
            0 => OpenMode::Existing,
            1 => OpenMode::Fresh,
            _ => OpenMode::CreateIfMissing,
        };
        let known = self.names.get(name).copied();
        let Ok(file) = self.files.open(name, mode) else {
            assert!(known.is_none() && mode == OpenMode::Existing);
            return;
        };
        self.open.push(file);
        match known {
            Some(known) => {
                assert_eq!(known, file);
                if mode == OpenMode::Fresh {
                    self.resize(file, 0);
                }
            }
            None => {
                self.history.push(self.names.clone());
                self.names.insert(name.into(), file);
                assert!(self.naive.insert(file, Naive::default()).is_none(), "a number used twice");
            }
        }
    }

    fn resize(&mut self, file: FileNo, len: u64) {
        let naive = self.naive.get_mut(&file).unwrap();
        if naive.now().len() as u64 != len {
            naive.changes.push(Change::Resize(len));
        }
    }

    fn write(&mut self, file: FileNo, extents: &[(u64, u64)], append: bool) {
        let mut data = Vec::new();
        for (at, len) in extents {
            self.next_byte = self.next_byte.wrapping_add(1);
            let bytes: Vec<u8> = (0..*len).map(|i| self.next_byte ^ (i / 7) as u8).collect();
            data.push((*at, bytes));
        }
        // Two slices each, so that extents begin and end inside of what was written.
        let rope = |bytes: &Vec<u8>| {
            let mut rope = Chunks::from(Bytes::copy_from_slice(&bytes[..bytes.len() / 3]));
            rope.push(Bytes::copy_from_slice(&bytes[bytes.len() / 3..]));
            rope
        };
        let ropes: Vec<(u64, Chunks)> = data.iter().map(|(at, b)| (*at, rope(b))).collect();
        let free = self.files.space_left();
        let result = if append {
            self.files.append(file, ropes[0].1.clone()).map(|at| assert_eq!(at, ropes[0].0))
        } else {
            self.files.write_at(file, &ropes)
        };
        if let Err(e) = result {
            assert_eq!(e.kind(), std::io::ErrorKind::StorageFull);
            assert!(data.iter().map(|d| d.1.len() as u64).sum::<u64>() > free);
            return;
        }
        let writes = data.into_iter().filter(|d| !d.1.is_empty());
        let changes = &mut self.naive.get_mut(&file).unwrap().changes;
        changes.extend(writes.map(|(at, bytes)| Change::Write(at, bytes)));
    }

    fn rename(&mut self, from: &str, to: &str) {
        let before = self.names.clone();
        let result = self.files.rename(from, to);
        assert_eq!(result.is_ok(), before.contains_key(from));
        if result.is_ok() && from != to {
            let file = self.names.remove(from).unwrap();
            self.names.insert(to.into(), file);
            self.history.push(before);
        }
    }

    fn sync_end(&mut self, mark: usize) {
        if self.marks.is_empty() {
            return;
        }
        let (mark, file, upto) = self.marks.remove(mark % self.marks.len());
        self.files.sync_end(mark);
        match file {
            Some(file) => self.naive.get_mut(&file).unwrap().settle(upto),
            None => {
                let count = upto.saturating_sub(self.settled_names);
                self.history.drain(..count);
                self.settled_names += count;
            }
        }
    }

    pub fn sync_all(&mut self) {
        for (name, file) in self.names.clone() {
            let naive = self.naive.get_mut(&file).unwrap();
            naive.settle(naive.settled + naive.changes.len());
            self.files.sync_end(self.files.sync_begin(file));
            assert_eq!(self.files.find(&name), Some(file));
        }
        self.files.sync_dir();
        self.settled_names += self.history.len();
        self.history.clear();
        self.compare();
    }

    /// Loses power by draws from the seed, on both sides.
    pub fn power_loss(&mut self, seed: u64) -> Vec<Survivor> {
        let promised: BTreeMap<String, Vec<u8>> = self
            .names
            .iter()
            .map(|(name, file)| {
                let len = self.files.durable_len(name);
                (name.clone(), self.files.read_at(*file, 0, len).to_bytes().to_vec())
            })
            .collect();
        let mut drawn = BTreeMap::new();
        let mut state = seed;
        let survivors = self.files.power_loss(
            &mut |what, n| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                let kept = (state >> 33) % (n + 1);
                assert!(drawn.insert(what.to_string(), kept).is_none());
                kept
            },
            None,
        );
        let kept_ops = drawn.get("").map_or(0, |kept| *kept as usize);
        if let Some(before) = self.history.get(kept_ops) {
            self.names = before.clone();
        }
        self.settled_names += self.history.len();
        self.history.clear();
        self.open.clear();
        for (name, file) in &self.names {
            let naive = self.naive.get_mut(file).unwrap();
            if naive.dirty() > 0 {
                naive.base = naive.kept(drawn[name]);
            }
            naive.settled += naive.changes.len();
            naive.changes.clear();
        }
        self.marks.retain(|(_, file, _)| file.is_none_or(|f| self.names.values().any(|n| *n == f)));
        for (name, bytes) in promised.iter().filter(|p| !p.1.is_empty()) {
            let file = self.files.find(name).expect("a durable name");
            assert!(self.files.read_at(file, 0, u64::MAX).to_bytes().starts_with(bytes), "{name}");
        }
        self.compare();
        survivors
    }

    /// All that can be seen is the same on both sides.
    pub fn compare(&self) {
        let names: Vec<String> = self.names.keys().cloned().collect();
        assert_eq!(self.files.list(""), names);
        let under_a: Vec<String> = names.into_iter().filter(|n| n.starts_with("a/")).collect();
        assert_eq!(self.files.list("a/"), under_a);
        let mut live: Vec<FileNo> = self.names.values().chain(&self.open).copied().collect();
        live.sort_unstable();
        live.dedup();
        let mut used = 0;
        for file in live {
            let naive = &self.naive[&file];
            let now = naive.now();
            used += now.iter().flatten().count() as u64;
            assert_eq!(self.files.len(file), now.len() as u64);
            assert_eq!(self.files.dirty(file), naive.dirty());
            let all = self.files.read_at(file, 0, u64::MAX);
            assert_eq!(&all.to_bytes()[..], &zeroed(&now)[..]);
            let (from, to) = (now.len() / 3, now.len() / 2);
            let part = self.files.read_at(file, from as u64, (to - from) as u64);
            assert_eq!(&part.to_bytes()[..], &zeroed(&now)[from..to]);
        }
        assert_eq!(CAPACITY - self.files.space_left(), used);
        assert!(self.files.bytes() >= used);
        for (name, file) in &self.names {
            assert!(self.files.durable_len(name) <= self.files.len(*file));
            assert_eq!(self.files.find(name), Some(*file));
            assert_eq!(self.files.name(*file), Some(name.as_str()));
        }
        assert_eq!(self.files.durable_len("missing"), 0);
    }
}

proptest! {
    #[test]
    fn files_behave_like_vectors_of_bytes(ops in prop::collection::vec(op(), 0..60)) {
        World::play(&ops);
    }
}
