//! Loads: who asks for what. A workload is an async function of one client; it knows the node's client
//! library and nothing of the faults. What it asks and what it is told it records through its own host.
//! What a run's load remembers dies with the run: a workload makes a new load for each.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use host::{Host, Members};

use crate::event::{ClientEvent, OpEnd};
use crate::plan::Mask;
use crate::world::Shared;

/// A boxed future of a client.
pub type ClientFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A load as a scenario describes it.
pub trait Workload: Send + Sync {
    /// How many clients it has; each gets a host of its own.
    fn clients(&self) -> u64;
    /// The load of one run; what it remembers ends with the run.
    fn start(&self) -> Arc<dyn Load>;
}

/// The load of one run.
pub trait Load: Send + Sync {
    /// One client's load; ends when it has asked for all it wants.
    fn load(self: Arc<Self>, client: Client) -> ClientFuture;
    /// One client's reading back after the blackout of what it was promised.
    fn read_back(self: Arc<Self>, client: Client) -> ClientFuture;
}

/// What a fault urges a client to, for as long as it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urge {
    /// Wait no longer than this for an answer, and then ask again at once.
    Hurry {
        /// How long to wait.
        within: Duration,
    },
    /// Send every request twice, under one number.
    Repeat {
        /// How long after the first.
        after: Duration,
        /// Whether the second goes to another node.
        elsewhere: bool,
    },
}

/// What all faults together urge a client to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Urges {
    /// The shortest time that it is to wait for an answer before it asks again at once.
    pub hurry: Option<Duration>,
    /// Send every request twice: how long after the first, the shortest counts, and whether to another
    /// node.
    pub repeat: Option<(Duration, bool)>,
}

impl Urges {
    fn of(all: impl Iterator<Item = Urge>) -> Urges {
        let mut urges = Urges::default();
        for urge in all {
            match urge {
                Urge::Hurry { within } => {
                    urges.hurry = Some(urges.hurry.map_or(within, |least| least.min(within)));
                }
                Urge::Repeat { after, elsewhere } => {
                    let one = (after, elsewhere);
                    urges.repeat = Some(urges.repeat.map_or(one, |least| least.min(one)));
                }
            }
        }
        urges
    }
}

/// One client: its machine, its number, and the cluster it talks to.
#[derive(Clone)]
pub struct Client {
    /// The client's own machine.
    pub host: Host,
    /// Counted from 0 within the run.
    pub number: u64,
    /// Counted from 0 within the workload.
    pub index: u64,
    /// The cluster.
    pub members: Members,
    /// Operations that the plan leaves out.
    pub(crate) mask: Arc<Mask>,
    pub(crate) shared: Arc<Shared>,
    /// Among the run's hosts.
    pub(crate) at: usize,
}

impl Client {
    /// Whether the plan leaves this operation out (an artifact that was shrunk).
    pub fn skips(&self, op: u64) -> bool {
        self.mask.skips(self.number, op)
    }

    /// To what faults urge this client now. To ask is to follow: it is an effect of the latest of them.
    pub fn urges(&self) -> Urges {
        let Some(mut world) = self.shared.world_if_any() else { return Urges::default() };
        let world = &mut *world;
        let urges = &world.hosts[self.at].strain.urges;
        if let Some(line) = urges.latest() {
            world.effects[line] += 1;
        }
        Urges::of(urges.all())
    }

    /// Completes with the next event, from now on, that has one of these words. A client that is on no
    /// node's side of a connection can wait so for what nodes and their machines record.
    pub fn event(&self, words: &'static [&'static str]) -> impl Future<Output = ()> + Send + use<> {
        let shared = self.shared.clone();
        let place = shared.history().awaited.begin(words);
        std::future::poll_fn(move |cx| shared.history().awaited.poll(place, cx))
    }

    /// Records a request.
    pub fn invoked(&self, op: u64, kind: &'static str, key: &str, value: u64) {
        let key = key.to_string();
        self.host.emit(ClientEvent::Invoked { client: self.number, op, kind, key, value });
    }

    /// Records which version an operation wants its key to have. Comes right after its request.
    pub fn expects(&self, op: u64, version: u64) {
        self.host.emit(ClientEvent::Expects { client: self.number, op, version });
    }

    /// Records an outcome.
    pub fn returned(&self, op: u64, end: OpEnd, version: u64, value: u64) {
        self.host.emit(ClientEvent::Returned { client: self.number, op, end, version, value });
    }

    /// Records what an operation found at a key: (version, value). Comes before its outcome.
    pub fn read(&self, op: u64, key: &str, found: Option<(u64, u64)>) {
        let key = key.to_string();
        self.host.emit(ClientEvent::Read { client: self.number, op, key, found });
    }

    /// Records what a key reads as after the blackout: (version, value).
    pub fn read_back(&self, key: &str, found: Option<(u64, u64)>) {
        let key = key.to_string();
        self.host.emit(ClientEvent::ReadBack { client: self.number, key, found });
    }

    /// Records that a key could not be read after the blackout.
    pub fn read_back_failed(&self, key: &str) {
        let key = key.to_string();
        self.host.emit(ClientEvent::ReadBackFailed { client: self.number, key });
    }
}
