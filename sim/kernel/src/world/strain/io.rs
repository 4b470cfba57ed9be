//! What faults do to single operations on a host's files: errors, lies, writes that go astray, and a device
//! that is slow by episodes. Each line of the plan that acts has an entry with draws of its own, keyed by
//! the line's origin, the host, and the operation's millisecond and ordinal in it: what one of them draws
//! shifts nothing in another, and one more operation nothing in the next millisecond. An operation asks
//! the entries that mean its file, in the order in which they began, and the first that hits decides.
//!
//! While a host has no entry an operation pays for one look at an empty list. An error that a node gets
//! excuses it, should it end over that within a second. Everything that is done here goes into the digest.
//!
//! Left out: errors of opening, listing and renaming; the time that a device spends on retries.

use std::io::{Error, Result};

use host::unit::Ratio;
use host::{Chunks, Rng};

use crate::Time;
use crate::draw::mix;
use crate::model::files::{FileNo, Survivor, SyncMark};
use crate::model::latent::{Cause, Counts, Shows};
use crate::world::World;

/// What befalls operations.
#[derive(Clone, Debug)]
pub(crate) enum Io {
    /// Reads fail.
    ReadError(Ratio),
    /// Writes fail and leave nothing.
    WriteError(Ratio),
    /// Syncs fail; what they covered counts as clean, and the device does not have it. `Shows::Now` makes
    /// the cache forget it too.
    SyncError(Ratio, Shows),
    /// Syncs fail, and from the first on every one of that file until the next boot.
    SyncBreaks(Ratio),
    /// Syncs of files and of the folder say Ok and come true after so long, or when the line ends.
    SyncLies(Option<Time>),
    /// The next power loss undoes names: those not synced or, with a folder whose syncs lie, also others.
    NamesLost { lies: bool },
    /// The device never sees a write.
    LoseWrite(Ratio, Shows),
    /// A write goes to another place of the host's files.
    Misdirect(Ratio, Shows),
    /// Device jobs take longer for a while, again and again.
    Slow(Episodes),
}

/// A device that is slow by episodes. Their lengths and factors are drawn one after another, so they are a
/// function of time alone, whatever is asked of the device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Episodes {
    /// How many times slower, at least and at most.
    pub factor: (u64, u64),
    /// How long an episode takes at most; a tenth of it at least.
    pub slow_ns: Time,
    /// How long it is well in between, at most; a tenth of it at least.
    pub well_ns: Time,
    /// The present stretch: until when, and how many times slower.
    pub until: Time,
    pub now: u64,
}

impl Episodes {
    /// How many times slower a job is that begins now.
    fn factor_at(&mut self, now: Time, rng: &mut Rng) -> u64 {
        while self.until <= now {
            let slow = self.now == 1;
            self.now = if slow { rng.between(self.factor.0, self.factor.1) } else { 1 };
            let most = if slow { self.slow_ns } else { self.well_ns };
            self.until += rng.between(most / 10, most).max(1);
        }
        self.now
    }
}

/// An entry: what a line does to operations on files whose names begin so.
#[derive(Debug)]
pub(crate) struct Astray {
    pub line: usize,
    /// The line's origin, which keys its draws for single operations.
    pub key: u64,
    /// For what is drawn one after another: episodes, and names at power losses.
    pub rng: Rng,
    pub under: String,
    pub what: Io,
}

fn io_error() -> Error {
    Error::other("input/output error")
}

impl super::disks::DiskStrain {
    /// How many of `n` directory operations a power loss leaves, if a line wants names to be lost.
    pub(in crate::world) fn names_kept(&mut self, n: u64) -> Option<u64> {
        let lost = |e: &&mut Astray| matches!(e.what, Io::NamesLost { .. });
        let entry = self.io.iter_mut().find(lost)?;
        Some(entry.rng.below(n.max(1)))
    }
}

impl World {
    /// From now on the line does this to the host's operations on files whose names begin with `under`.
    pub(crate) fn astray(&mut self, host: usize, line: usize, key: u64, under: &str, what: Io) {
        let rng = self.draws.stream("astray", key, self.identity(host));
        let mut entry = Astray { line, key, rng, under: under.to_string(), what };
        if let Io::Slow(episodes) = &mut entry.what {
            // It begins with an episode.
            (episodes.until, episodes.now) = (self.now(), 1);
        }
        self.hosts[host].strain.disk.io.push(entry);
    }

    /// The line does so no more; what it lied about comes true unless another still lies.
    pub(crate) fn unastray(&mut self, host: usize, line: usize) {
        let machine = &mut self.hosts[host];
        let io = &mut machine.strain.disk.io;
        let Some(i) = io.iter().position(|entry| entry.line == line) else { return };
        io.remove(i);
        let dir_lies =
            |e: &Astray| matches!(e.what, Io::SyncLies(_) | Io::NamesLost { lies: true });
        if !io.iter().any(|e| matches!(e.what, Io::SyncLies(_))) {
            machine.files.settle(Time::MAX);
        }
        if !io.iter().any(dir_lies) {
            machine.files.settle_dir();
        }
    }

    /// The line whose entry hits this operation, the first that means the file and draws so, and what it
    /// goes on to draw from.
    fn hit(
        &mut self,
        host: usize,
        file: Option<FileNo>,
        share: impl Fn(&Io) -> Option<Ratio>,
    ) -> Option<(usize, Io, Rng)> {
        let (who, ms) = (self.identity(host), self.now() / 1_000_000);
        let before = self.hosts[host].strain.disk.ordinal;
        let ordinal = if before.0 == ms { before.1 + 1 } else { 0 };
        self.hosts[host].strain.disk.ordinal = (ms, ordinal);
        let machine = &self.hosts[host];
        let path = file.and_then(|file| machine.files.name(file)).unwrap_or("");
        for entry in &machine.strain.disk.io {
            let Some(share) = share(&entry.what) else { continue };
            if !path.starts_with(&entry.under) {
                continue;
            }
            let n = ms << 24 | ordinal;
            let mut rng = self.draws.stream("astray_io", mix(entry.key, who), n);
            if rng.chance(share.0) {
                return Some((entry.line, entry.what.clone(), rng));
            }
        }
        None
    }

    /// The node gets an error for which a fault accounts.
    fn fails(&mut self, host: usize, line: usize, what: &str, file: FileNo) -> Error {
        self.effects[line] += 1;
        self.hosts[host].erred_at = Some(self.now());
        self.note(what, self.identity(host), file);
        io_error()
    }

    /// Whether a read of this range succeeds.
    pub(in crate::world) fn reads(
        &mut self,
        host: usize,
        file: FileNo,
        (at, len): (u64, u64),
    ) -> Result<()> {
        let machine = &self.hosts[host];
        if let Some(line) = machine.files.unreadable(file, at, len) {
            self.effects[line] += 1;
            self.hosts[host].met_harm = true;
            self.note("bad_sector", self.identity(host), file);
            return Err(io_error());
        }
        if machine.strain.disk.is_fair() {
            return Ok(());
        }
        let share = |io: &Io| if let Io::ReadError(share) = io { Some(*share) } else { None };
        match self.hit(host, Some(file), share) {
            Some((line, ..)) => Err(self.fails(host, line, "read_error", file)),
            None => Ok(()),
        }
    }

    /// Whether a write to the file succeeds.
    pub(in crate::world) fn writes(&mut self, host: usize, file: FileNo) -> Result<()> {
        if self.hosts[host].strain.disk.is_fair() {
            return Ok(());
        }
        let share = |io: &Io| if let Io::WriteError(share) = io { Some(*share) } else { None };
        match self.hit(host, Some(file), share) {
            Some((line, ..)) => Err(self.fails(host, line, "write_error", file)),
            None => Ok(()),
        }
    }

    /// So many changes were just written to the file: where do they go?
    pub(in crate::world) fn goes_astray(&mut self, host: usize, file: FileNo, changes: usize) {
        if self.hosts[host].strain.disk.is_fair() || changes == 0 {
            return;
        }
        let share = |io: &Io| match io {
            Io::LoseWrite(share, _) | Io::Misdirect(share, _) => Some(*share),
            _ => None,
        };
        let Some((line, what, mut rng)) = self.hit(host, Some(file), share) else { return };
        let (Io::LoseWrite(_, shows) | Io::Misdirect(_, shows)) = what else { return };
        let cause = Cause { line, shows, counts: Counts::Forgot };
        self.note("astray", self.identity(host), file);
        let files = &mut self.hosts[host].files;
        let written = files.last_write(file).map(|(at, len)| files.read_at(file, at, len));
        files.lose_last(file, changes, cause);
        if let (Io::Misdirect(..), Some(rope)) = (&what, written) {
            self.lands_elsewhere((host, line), &rope, cause, &mut rng);
        }
    }

    /// The bytes land somewhere in the files that the line means.
    fn lands_elsewhere(
        &mut self,
        (host, line): (usize, usize),
        rope: &Chunks,
        cause: Cause,
        rng: &mut Rng,
    ) {
        let machine = &mut self.hosts[host];
        let io = &machine.strain.disk.io;
        let Some(entry) = io.iter().find(|e| e.line == line) else { return };
        let names = machine.files.list(&entry.under);
        let found: Vec<FileNo> = names.iter().filter_map(|n| machine.files.find(n)).collect();
        let sectors = |file: &FileNo| machine.files.len(*file).div_ceil(SECTOR);
        let total: u64 = found.iter().map(sectors).sum();
        if total == 0 {
            return;
        }
        let mut sector = rng.below(total);
        for file in found {
            let here = machine.files.len(file).div_ceil(SECTOR);
            if sector < here {
                machine.files.overlay(file, sector * SECTOR, rope, cause);
                return;
            }
            sector -= here;
        }
    }

    /// A sync of a file has taken its time: whether it succeeds, and what is durable then.
    pub(in crate::world) fn synced(
        &mut self,
        host: usize,
        file: FileNo,
        mark: SyncMark,
    ) -> Result<()> {
        if self.hosts[host].strain.disk.is_fair() {
            self.hosts[host].files.sync_end(mark);
            return Ok(());
        }
        let (boot, now) = (self.hosts[host].boot, self.now());
        if let Some((since, line)) = self.hosts[host].strain.disk.broken.get(&file).copied()
            && since == boot
        {
            return Err(self.fails(host, line, "sync_error", file));
        }
        let share = |io: &Io| match io {
            Io::SyncError(share, _) | Io::SyncBreaks(share) => Some(*share),
            Io::SyncLies(_) => Some(Ratio(1_000_000)),
            _ => None,
        };
        match self.hit(host, Some(file), share) {
            Some((line, Io::SyncLies(delay), _)) => {
                self.effects[line] += 1;
                self.note("sync_lies", self.identity(host), file);
                let at = delay.map_or(Time::MAX, |ns| now + ns);
                self.hosts[host].files.sync_lies(mark, at);
                Ok(())
            }
            Some((line, Io::SyncError(_, shows), _)) => {
                let cause = Cause { line, shows, counts: Counts::Told };
                self.hosts[host].files.sync_failed(mark, cause);
                self.take_toll(host);
                Err(self.fails(host, line, "sync_error", file))
            }
            Some((line, ..)) => {
                self.hosts[host].strain.disk.broken.insert(file, (boot, line));
                Err(self.fails(host, line, "sync_error", file))
            }
            None => {
                self.hosts[host].files.sync_end(mark);
                Ok(())
            }
        }
    }

    /// A sync of the folder has taken its time.
    pub(in crate::world) fn synced_dir(&mut self, host: usize, mark: SyncMark) {
        let machine = &mut self.hosts[host];
        let lies = |e: &&Astray| matches!(e.what, Io::SyncLies(_) | Io::NamesLost { lies: true });
        match machine.strain.disk.io.iter().find(lies).map(|e| e.line) {
            None => machine.files.sync_end(mark),
            Some(line) => {
                machine.files.sync_lies(mark, Time::MAX);
                self.effects[line] += u64::from(self.hosts[host].files.believed_names() > 0);
            }
        }
    }

    /// What a power loss did to names is booked to the line that wanted it.
    pub(in crate::world) fn book_names(&mut self, host: usize, survivors: &[Survivor]) {
        let io = &self.hosts[host].strain.disk.io;
        let lost = |e: &&Astray| matches!(e.what, Io::NamesLost { .. });
        if let Some(line) = io.iter().find(lost).map(|e| e.line) {
            let names = survivors.iter().filter(|s| s.path.is_empty());
            self.effects[line] += names.map(|s| s.dirty_bytes - s.kept_bytes).sum::<u64>();
        }
    }

    /// How long a device job of the host really takes.
    pub(in crate::world) fn prolonged(&mut self, host: usize, demand: Time) -> Time {
        let now = self.now();
        let mut worst = (1, None);
        for entry in &mut self.hosts[host].strain.disk.io {
            if let Io::Slow(episodes) = &mut entry.what {
                let factor = episodes.factor_at(now, &mut entry.rng);
                if factor > worst.0 {
                    worst = (factor, Some(entry.line));
                }
            }
        }
        if let (factor, Some(line)) = worst {
            self.effects[line] += 1;
            return demand.saturating_mul(factor);
        }
        demand
    }
}

/// Misdirected writes land where a sector begins.
const SECTOR: u64 = 512;
