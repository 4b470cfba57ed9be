//! Causes: a fault acts on hosts and models and knows neither the protocol that runs on them nor the checks.
//! When it acts, on whom and for how long is the plan's business; the fault only knows how to begin and how
//! to end, and every effect it has is counted.

mod clients;
mod disks;
mod frames;
mod hosts;
mod links;

pub use disks::{Damage, Shows, Trouble};

use host::Rng;

use crate::Time;
use crate::event::KernelEvent;
use crate::model::files::Survivor;
use crate::world::World;

/// What goes wrong.
pub trait Fault: Send + Sync {
    /// Hits the hosts. Returns a few words for the story.
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String;
    /// Acts again while it lasts, when `Control::again` said so and with the number that it gave.
    fn again(&self, _control: &mut Control<'_>, _hosts: &[usize], _number: u64) {}
    /// Undoes it, after its time or at the heal.
    fn end(&self, control: &mut Control<'_>, hosts: &[usize]);
}

/// What a fault may do to the world. Every act is booked to the plan's line that asked for it.
pub struct Control<'a> {
    pub(crate) world: &'a mut World,
    /// The line of the plan that acts; effects are booked to it.
    pub(crate) line: usize,
    /// For whom it hits and for what power losses leave; an artifact says both, and draws neither.
    pub(crate) rng: Rng,
    /// For all else that the fault draws, now and when it is replayed.
    pub(crate) own: Rng,
    /// What draws are keyed by that happen while this line lasts.
    pub(crate) key: u64,
    /// Outcomes of power losses by host, when an artifact is replayed. Who is not named had nothing to lose.
    pub(crate) replay: Option<Vec<(String, Vec<Survivor>)>>,
    /// Outcomes of the power losses of this act.
    pub(crate) survivors: Vec<(usize, Vec<Survivor>)>,
    /// When this line acts again, counted from this act (ns), and under which number.
    pub(crate) agains: Vec<(Time, u64)>,
}

impl Control<'_> {
    /// What that line may do now: its draws are keyed by the scenario's line and by the step.
    pub(crate) fn new(world: &mut World, line: usize, key: u64, step: u64) -> Control<'_> {
        let (replay, survivors, agains) = (None, Vec::new(), Vec::new());
        let rng = world.draws.stream("fire", key, step);
        let own = world.draws.stream("act", key, step);
        Control { world, line, rng, own, key, replay, survivors, agains }
    }

    /// Lets the fault act again, `after_ns` from this act on, unless it has ended by then. The draws of
    /// that act are keyed by `number`, so each number serves once.
    pub fn again(&mut self, after_ns: Time, number: u64) {
        self.agains.push((after_ns, number));
    }

    /// How many hosts run the node under test; they come first.
    pub fn nodes(&self) -> usize {
        self.world.nodes
    }

    /// How many hosts there are, those of clients included.
    pub fn hosts(&self) -> usize {
        self.world.hosts.len()
    }

    /// A host's name.
    pub fn name(&self, host: usize) -> String {
        self.world.hosts[host].name.clone()
    }

    /// This act's own draws.
    pub fn rng(&mut self) -> &mut Rng {
        &mut self.own
    }

    /// Draws that are the same at each step of this line: what its beginning chose, its end chooses too.
    pub fn choice(&self, name: &str) -> Rng {
        self.world.draws.stream(name, self.key, 0)
    }

    /// Tells the story that a fault of this kind is over for these hosts, where nothing else does.
    pub fn over(&mut self, kind: &'static str, hosts: &[usize]) {
        for host in hosts {
            self.world.outbox.push((*host, KernelEvent::FaultOver { kind }));
        }
    }

    /// Books effects of this act.
    pub fn effect(&mut self, count: u64) {
        self.world.effects[self.line] += count;
    }

    /// Virtual time.
    pub fn now(&self) -> Time {
        self.world.now()
    }
}
