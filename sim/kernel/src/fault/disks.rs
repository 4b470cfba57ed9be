//! What faults may do to disks and the devices behind them.
//! Each act is put under the plan's line that asked for it, and its end takes back that line's own and no
//! other; the laws are `model::disk`, `model::files` and `model::share`.

use host::Rng;
use host::unit::{Ratio, Size};

use super::Control;
use crate::Time;
use crate::model::latent::{Cause, Counts};
use crate::world::{Episodes, Io};

pub use crate::model::latent::Shows;

impl Control<'_> {
    /// The device that serves the host makes no progress. On a shared device all its hosts stall.
    pub fn stall_disk(&mut self, host: usize) {
        self.world.stall_disk(host, self.line);
    }

    /// It works again.
    pub fn unstall_disk(&mut self, host: usize) {
        self.world.unstall_disk(host);
    }

    /// The device that serves the host works at a `factor`-th of its speed; where several say so, the
    /// slowest counts.
    pub fn slow_disk(&mut self, host: usize, factor: u64) {
        self.world.slow_disk(host, self.line, factor);
    }

    /// Undoes what this line did with `slow_disk`.
    pub fn unslow_disk(&mut self, host: usize) {
        self.world.unslow_disk(host, self.line);
    }

    /// The host's disk has room for so many more bytes and no more.
    pub fn fill_disk(&mut self, host: usize, leaves: Size) {
        self.world.fill_disk(host, self.line, leaves);
    }

    /// Undoes what this line did with `fill_disk`.
    pub fn unfill_disk(&mut self, host: usize) {
        self.world.unfill_disk(host, self.line);
    }

    /// From now on this befalls the host's operations on files whose names begin with `under`. Where it
    /// makes a host forget durable bytes, the atlas is asked; false if it spares the host.
    pub fn io(&mut self, host: usize, under: &str, what: Trouble) -> bool {
        if what.forgets() && !self.world.atlas.admits_forgetting(host) {
            return false;
        }
        self.world.astray(host, self.line, self.key, under, what.io());
        true
    }

    /// Undoes what this line did with `io`.
    pub fn no_io(&mut self, host: usize) {
        self.world.unastray(host, self.line);
    }

    /// Durable bytes of the host's files under a prefix go bad, in so many places; returns in how many,
    /// none if the atlas spares the host or if it has nothing that may be hit.
    pub fn damage(&mut self, host: usize, under: &str, places: u64, how: Damage) -> u64 {
        let files = &self.world.hosts[host].files;
        let sound = |name: String| {
            let len = files.sound_len(&name, how.spares_end) / SECTOR;
            Some((files.find(&name).filter(|_| len > 0)?, len))
        };
        let found: Vec<(u64, u64)> = files.list(under).into_iter().filter_map(sound).collect();
        let total: u64 = found.iter().map(|(_, sectors)| sectors).sum();
        if total == 0 || !self.world.atlas.admits_damage(host) {
            return 0;
        }
        let mut rng = self.stream("damage", host);
        let cause = Cause { line: self.line, shows: how.shows, counts: Counts::Damaged };
        for _ in 0..places {
            let (mut at, seed) = (rng.below(total), rng.bits());
            let hit = found.iter().find(|(_, sectors)| {
                let here = at < *sectors;
                at -= if here { 0 } else { *sectors };
                here
            });
            let file = hit.expect("a sector of the total belongs to a file").0;
            let range = (at * SECTOR, SECTOR);
            let files = &mut self.world.hosts[host].files;
            if how.unreadable {
                files.spoil(file, range, cause);
            } else {
                files.rot(file, range, seed, cause);
            }
            self.world.note("damage", file, at);
        }
        self.world.take_toll(host);
        places
    }

    /// The host loses power and its disk with it: it comes back with an empty one. False if the atlas
    /// spares the host. `unwipe` is the end.
    pub fn wipe_disk(&mut self, host: usize) -> bool {
        if !self.world.atlas.admits_forgetting(host) {
            return false;
        }
        self.world.hosts[host].downs.put(self.line, ());
        let used = self.world.hosts[host].files.used();
        self.world.wipe(host, self.line);
        self.effect(u64::from(used > 0));
        true
    }

    /// Starts the host that this line wiped.
    pub fn unwipe(&mut self, host: usize) {
        if self.world.unwipe(host, self.line) {
            self.boot(host);
        }
    }

    /// Keeps a copy of what is durable on the host's disk. False if the atlas spares the host.
    pub fn copy_disk(&mut self, host: usize) -> bool {
        let admitted = self.world.atlas.admits_forgetting(host);
        if admitted {
            self.world.copy_disk(host, self.line);
        }
        admitted
    }

    /// The host loses power and comes back with the disk that this line copied, if it did.
    pub fn restore_disk(&mut self, host: usize) {
        if self.world.restore_disk(host, self.line) {
            self.effect(1);
            if self.world.hosts[host].downs.is_empty() {
                self.world.boot(host);
            }
        }
    }

    /// Draws of this line for one host, the same in a replay.
    fn stream(&self, name: &str, host: usize) -> Rng {
        self.world.draws.stream(name, self.key, self.world.identity(host))
    }
}

/// Damage goes by sectors of this size, in bytes.
const SECTOR: u64 = 512;

/// How durable bytes go bad.
#[derive(Clone, Copy, Debug)]
pub struct Damage {
    /// Reads fail; otherwise bits are changed.
    pub unreadable: bool,
    /// Only what several later syncs of the same file have followed is hit: damage to the last bytes of a
    /// log cannot be told from a torn end.
    pub spares_end: bool,
    /// When it shows.
    pub shows: Shows,
}

/// What befalls single operations; shares are of operations.
#[derive(Clone, Copy, Debug)]
pub enum Trouble {
    /// Reads fail.
    ReadError(Ratio),
    /// Writes fail and leave nothing.
    WriteError(Ratio),
    /// Syncs fail. The pages count as clean; the device does not have them.
    SyncErrorClean(Ratio),
    /// Syncs fail, and the contents are as before the writes.
    SyncErrorReverts(Ratio),
    /// Syncs fail, and every later one of that file until the next boot.
    SyncErrorStays(Ratio),
    /// Syncs say Ok and come true after so long (ns), or at the end.
    SyncLies(Option<Time>),
    /// The next power loss undoes the latest operations on names; `synced` ones as well.
    NamesLost {
        /// Syncs of the folder lie meanwhile.
        synced: bool,
    },
    /// The device never sees a write.
    LoseWrite(Ratio, Shows),
    /// A write lands at another place.
    Misdirect(Ratio, Shows),
    /// The device is slow by episodes: how many times at least and at most, how long an episode and how
    /// long a good time take at most (ns; a tenth of it at least).
    Episodes {
        /// Times slower.
        factor: (u64, u64),
        /// An episode.
        slow_ns: Time,
        /// Between two.
        well_ns: Time,
    },
}

impl Trouble {
    /// Whether the host may lose durable bytes over it without a trace.
    fn forgets(self) -> bool {
        use Trouble::{LoseWrite, Misdirect, NamesLost, SyncLies};
        matches!(self, SyncLies(_) | NamesLost { synced: true } | LoseWrite(..) | Misdirect(..))
    }

    fn io(self) -> Io {
        match self {
            Trouble::ReadError(share) => Io::ReadError(share),
            Trouble::WriteError(share) => Io::WriteError(share),
            Trouble::SyncErrorClean(share) => Io::SyncError(share, Shows::PowerLoss),
            Trouble::SyncErrorReverts(share) => Io::SyncError(share, Shows::Now),
            Trouble::SyncErrorStays(share) => Io::SyncBreaks(share),
            Trouble::SyncLies(delay) => Io::SyncLies(delay),
            Trouble::NamesLost { synced } => Io::NamesLost { lies: synced },
            Trouble::LoseWrite(share, shows) => Io::LoseWrite(share, shows),
            Trouble::Misdirect(share, shows) => Io::Misdirect(share, shows),
            Trouble::Episodes { factor, slow_ns, well_ns } => {
                Io::Slow(Episodes { factor, slow_ns, well_ns, until: 0, now: 1 })
            }
        }
    }
}
