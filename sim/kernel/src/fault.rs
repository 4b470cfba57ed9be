//! Causes: a fault acts on hosts and models and knows neither the protocol that runs on them nor the checks.
//! When it acts, on whom and for how long is the plan's business; the fault only knows how to begin and how
//! to end, and every effect it has is counted.

mod disks;
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
    /// Undoes it, after its time or at the heal.
    fn end(&self, control: &mut Control<'_>, hosts: &[usize]);
}

/// What a fault may do to the world. Every act is booked to the plan's line that asked for it.
pub struct Control<'a> {
    pub(crate) world: &'a mut World,
    /// The line of the plan that acts; effects are booked to it.
    pub(crate) line: usize,
    /// What the line's own draws are keyed by; a replay has the same.
    pub(crate) key: u64,
    pub(crate) rng: Rng,
    /// Outcomes of power losses by host, when an artifact is replayed. Who is not named had nothing to lose.
    pub(crate) replay: Option<Vec<(String, Vec<Survivor>)>>,
    /// Outcomes of the power losses of this act.
    pub(crate) survivors: Vec<(usize, Vec<Survivor>)>,
}

impl Control<'_> {
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
        &mut self.rng
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
