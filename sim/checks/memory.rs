//! Measures: what the processes of the nodes hold in memory, and how long their threads stand still
//! while it is collected.
//!
//! A process holds what its node has claimed, what was dropped and not collected, and what its runtime
//! needs; the node that held most counts. Collections of the young generation add to the time that
//! nodes stood still and are not counted: `collections` are full ones. What a node does not state is
//! not there; real memory is larger by fragmentation and by all that is small.

use kernel::Time;
use kernel::check::{Check, Fact, Finding, Hears, Measure, Unit, View};
use kernel::event::KernelEvent;
use kernel::registry::{CheckWord, Claim};

use crate::{KERNEL, plain};

/// The word `memory`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "memory",
        about: "measures memory: heap_max and heap_end, what the process that held most held at \
                most and at the end; gc_pause_max and gc_pause_total, how long collections stopped \
                the threads of their nodes; collections, the full ones; oom_kills, processes ended \
                over their memory; allocated_bytes, of the node that allocated most",
        claim: Claim::Measures,
        make: plain::<Memory>,
    }
}

#[derive(Default)]
struct Memory {
    pause_max: Time,
    pause_total: Time,
    collections: u64,
    kills: u64,
}

impl Memory {
    fn note(&mut self, event: &KernelEvent) {
        match event {
            KernelEvent::Collected { full, ns, .. } => {
                self.pause_max = self.pause_max.max(*ns);
                self.pause_total += ns;
                self.collections += u64::from(*full);
            }
            KernelEvent::OutOfMemory { .. } => self.kills += 1,
            _ => {}
        }
    }
}

impl Check for Memory {
    fn hears(&self) -> Hears {
        Hears::Only(&[KERNEL])
    }

    fn observe(&mut self, fact: &Fact<'_>, _: &View<'_>) -> Result<(), Finding> {
        if let Some(event) = fact.get() {
            self.note(event);
        }
        Ok(())
    }

    fn measures(&self, view: &View<'_>) -> Vec<Measure> {
        let most = |of: &dyn Fn(usize) -> u64| (0..view.nodes()).map(of).max().unwrap_or(0);
        let one = |name, value, unit| Measure { name, value, unit };
        vec![
            one("heap_max", most(&|host| view.held_max(host)), Unit::Bytes),
            one("heap_end", most(&|host| view.held(host)), Unit::Bytes),
            one("gc_pause_max", self.pause_max, Unit::Time),
            one("gc_pause_total", self.pause_total, Unit::Time),
            one("collections", self.collections, Unit::Count),
            one("oom_kills", self.kills, Unit::Count),
            one("allocated_bytes", most(&|host| view.allocated(host)), Unit::Bytes),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_add_up_and_only_full_collections_count() {
        let mut check = Memory::default();
        for (full, ns) in [(false, 30), (true, 500), (true, 200)] {
            check.note(&KernelEvent::Collected { full, live: 1, garbage: 2, ns });
        }
        check.note(&KernelEvent::OutOfMemory { held: 9 });
        check.note(&KernelEvent::Crashed { tasks: 1 });
        assert_eq!((check.pause_max, check.pause_total), (500, 730));
        assert_eq!((check.collections, check.kills), (2, 1));
    }
}
