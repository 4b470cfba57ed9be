//! Claims: what must always hold, what must come about once everything is healed, what should be seen now
//! and then, and what is merely measured. A check sees facts one by one, in O(1) where that is possible,
//! and never injects anything; the truth about durability is the kernel's, not a node's word.

use std::any::{Any, TypeId};

use host::{Event, Mono, Role};

use crate::Time;
use crate::world::World;

/// One fact as a check sees it.
pub struct Fact<'a> {
    /// Virtual time in nanoseconds.
    pub at: Time,
    /// Whose fact it is: an index into the run's hosts; nodes come first.
    pub host: usize,
    /// The boot of that host, counted from 1.
    pub boot: u32,
    /// What happened.
    pub event: &'a dyn Event,
}

impl Fact<'_> {
    /// The event, if it is one of that type.
    pub fn get<T: Event>(&self) -> Option<&T> {
        (self.event as &dyn Any).downcast_ref()
    }
}

/// When the run passed from phase to phase; `None` until it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Instants {
    /// The load began.
    pub load_began: Option<Time>,
    /// Every fault was over.
    pub healed: Option<Time>,
    /// The load ended: with the heal, unless the scenario has a `recovery`.
    pub load_ended: Option<Time>,
}

/// What a check may ask of the machinery.
pub struct View<'a> {
    pub(crate) world: &'a World,
    pub(crate) roles: &'a [Option<Role>],
}

impl View<'_> {
    /// Virtual time in nanoseconds.
    pub fn now(&self) -> Time {
        self.world.now()
    }

    /// How many hosts run the node under test; they are hosts `0..nodes`.
    pub fn nodes(&self) -> usize {
        self.world.nodes
    }

    /// When the run passed from phase to phase.
    pub fn instants(&self) -> Instants {
        self.world.instants
    }

    /// How many tasks the host's process has.
    pub fn tasks(&self, host: usize) -> usize {
        self.world.hosts[host].tasks.len()
    }

    /// A host's name.
    pub fn name(&self, host: usize) -> &str {
        &self.world.hosts[host].name
    }

    /// Whether the host's process exists (it may be paused).
    pub fn live(&self, host: usize) -> bool {
        self.world.hosts[host].live
    }

    /// Whether the host's process is paused.
    pub fn paused(&self, host: usize) -> bool {
        self.world.hosts[host].paused_at.is_some()
    }

    /// Whether frames that `a` sends now arrive at `b` without a fault having to end first.
    pub fn reaches(&self, a: usize, b: usize) -> bool {
        !self.world.links.is_silent(a, b)
    }

    /// Whether some node is down or paused, or some node does not hear another.
    pub fn disturbed(&self) -> bool {
        let nodes = 0..self.world.nodes;
        nodes.clone().any(|h| !self.live(h) || self.paused(h)) || self.world.links.any_silent()
    }

    /// Whether a fault took or changed bytes of the host's disk that were durable.
    pub fn damaged(&self, host: usize) -> bool {
        self.world.hosts[host].damaged
    }

    /// Whether the host lost durable bytes or names such that nobody could notice for sure.
    pub fn forgot(&self, host: usize) -> bool {
        self.world.hosts[host].strain.disk.forgot
    }

    /// Whether the host's node refused to serve from such a disk; it stays down.
    pub fn refused(&self, host: usize) -> bool {
        self.world.hosts[host].refused
    }

    /// How many bytes of a file would survive a power loss now, counted from its beginning.
    pub fn durable_len(&self, host: usize, path: &str) -> u64 {
        self.world.hosts[host].files.durable_len(path)
    }

    /// The virtual time at which the host's monotonic clock shows `mono_ns`, if it goes on as it goes now.
    pub fn true_time(&self, host: usize, mono_ns: u64) -> Time {
        self.world.true_time(host, Mono(mono_ns))
    }

    /// The boot of the host's process, counted from 1.
    pub fn boot(&self, host: usize) -> u32 {
        self.world.hosts[host].boot
    }

    /// Bytes that the host's node has written to files under this class, over all its boots.
    pub fn written(&self, host: usize, class: &str) -> u64 {
        self.world.hosts[host].written.get(class).copied().unwrap_or(0)
    }

    /// Bytes in the host's files whose names start with `prefix`, durable or not.
    pub fn bytes_below(&self, host: usize, prefix: &str) -> u64 {
        let files = &self.world.hosts[host].files;
        let found = files.list(prefix).into_iter().filter_map(|path| files.find(&path));
        found.map(|file| files.len(file)).sum()
    }

    /// Bytes that the host's process holds in memory.
    pub fn held(&self, host: usize) -> u64 {
        let host = &self.world.hosts[host];
        if host.live { host.heap.held() } else { 0 }
    }

    /// The most that it has held, over all its boots.
    pub fn held_max(&self, host: usize) -> u64 {
        self.world.hosts[host].heap.peak()
    }

    /// Bytes that it has allocated, over all its boots.
    pub fn allocated(&self, host: usize) -> u64 {
        self.world.hosts[host].heap.allocated()
    }

    /// What the host said it is: `leader`, `follower` ...
    pub fn role(&self, host: usize) -> Option<&'static str> {
        self.roles.get(host).copied().flatten().map(|r| r.word)
    }
}

/// What a check objects to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The hosts concerned.
    pub hosts: Vec<usize>,
    /// One sentence.
    pub text: String,
}

impl Finding {
    /// A finding about one host.
    pub fn at(host: usize, text: impl Into<String>) -> Finding {
        Finding { hosts: vec![host], text: text.into() }
    }
}

/// Whether something that must come about has come about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It holds now.
    Holds,
    /// It does not; what is awaited, and by whom.
    Awaits(String),
}

/// What a check comes to once the run is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conclusion {
    /// Nothing is wrong, or it was said before.
    Holds,
    /// Something is.
    Violated(Finding),
    /// It could not be decided; why.
    Undecided(String),
}

/// The unit of a measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// The value is in nanoseconds and is shown in milliseconds.
    Time,
    /// Bytes.
    Bytes,
    /// The value is in thousandths of a per-second rate.
    Rate,
    /// A plain number.
    Count,
    /// The value is in thousandths.
    Ratio,
}

impl Unit {
    /// All there are.
    pub const ALL: [Unit; 5] = [Unit::Time, Unit::Bytes, Unit::Rate, Unit::Count, Unit::Ratio];

    /// As `--format json` names it.
    pub fn word(self) -> &'static str {
        match self {
            Unit::Time => "ms",
            Unit::Bytes => "bytes",
            Unit::Rate => "1/s",
            Unit::Count => "count",
            Unit::Ratio => "ratio",
        }
    }
}

/// A number that a run has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measure {
    /// Its name; unit or statistic last.
    pub name: &'static str,
    /// In the unit's smallest part.
    pub value: u64,
    /// The unit.
    pub unit: Unit,
}

impl Measure {
    /// The value in the unit that JSON and tables use.
    pub fn number(&self) -> f64 {
        match self.unit {
            Unit::Time => self.value as f64 / 1e6,
            Unit::Rate | Unit::Ratio => self.value as f64 / 1e3,
            Unit::Bytes | Unit::Count => self.value as f64,
        }
    }
}

/// Which facts a check takes notice of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hears {
    /// All of them.
    Everything,
    /// Events of these types. Others would change nothing in it, so it is not asked.
    Only(&'static [TypeId]),
}

impl Hears {
    /// Whether events of this type are among them.
    pub fn covers(self, event: TypeId) -> bool {
        match self {
            Hears::Everything => true,
            Hears::Only(types) => types.contains(&event),
        }
    }
}

/// A claim at work on one run.
pub trait Check: Send {
    /// Which facts it takes notice of, the same for as long as it lives. Most facts concern few checks,
    /// and asking all of them costs more than what they do.
    fn hears(&self) -> Hears {
        Hears::Everything
    }

    /// Takes notice of a fact. An `Err` is a violation.
    fn observe(&mut self, fact: &Fact<'_>, view: &View<'_>) -> Result<(), Finding>;

    /// The verdict of a check that needs the whole history. Asked once, after the last fact, and
    /// only of runs that no other check has failed.
    fn conclude(&mut self, _view: &View<'_>) -> Conclusion {
        Conclusion::Holds
    }

    /// For `eventually`: whether it holds now. Asked after everything is healed.
    fn standing(&self, _view: &View<'_>) -> Standing {
        Standing::Holds
    }

    /// For `sometimes`: how often it was seen.
    fn count(&self) -> u64 {
        0
    }

    /// What it measured, up to the moment the measures close.
    fn measures(&self, _view: &View<'_>) -> Vec<Measure> {
        Vec::new()
    }
}
