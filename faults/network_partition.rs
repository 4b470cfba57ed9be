//! The selected hosts (`on`) are cut off from all other nodes; among themselves they still talk.
//! Cut links are black holes: frames vanish without a reset, senders retry with growing delay. With
//! `direction = "out"` or `"in"` the cut is one-way, which is the harder half: a leader that nobody
//! hears and that hears everybody, or a follower that campaigns because it is deaf.
//!
//! Clients reach both sides, as they do when a switch between racks fails; this is what tempts a
//! stale leader to answer. Cuts nest, so partitions may overlap and each end heals what it cut.
//!
//! Left out: links that are merely lossy or slow (`link_lossy`, `link_slow`), and bridges (two halves
//! that share one host). Shapes after Jepsen's partitioner and madsim's `clog`.

use std::sync::Arc;

use host::settings::Word as Choice;
use kernel::fault::{Control, Fault};
use kernel::registry::{Word, fault};

use crate::Sides;

host::settings! {
    /// The parameters of `network_partition`.
    pub struct Params {
        /// Which frames vanish: all between the two sides, those that the selected hosts send, or
        /// those that are sent to them.
        direction: Choice = "both", "both|out|in";
    }
}

struct NetworkPartition {
    sides: Sides,
}

/// The word `network_partition`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "The selected hosts and all other nodes no longer reach each other for `lasts`; \
                 `direction` makes it one-way.";
    fault("network_partition", about, |p: Params| NetworkPartition {
        sides: Sides { direction: p.direction.0, others: "nodes" },
    })
}

impl Fault for NetworkPartition {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        for (from, to) in self.sides.links(control, hosts) {
            control.cut(from, to);
        }
        let names = crate::names(control, hosts);
        match self.sides.direction {
            "both" => format!("{names} | the others"),
            "out" => format!("{names} -/-> the others"),
            _ => format!("{names} <-/- the others"),
        }
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        for (from, to) in self.sides.links(control, hosts) {
            control.heal(from, to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::registry::Params as Written;

    #[test]
    fn a_misspelt_direction_is_refused_with_the_nearest_word() {
        let written = Written::from([("direction".to_string(), "bot".to_string())]);
        let (key, why) = word().make(&written).err().expect("refused");
        assert_eq!(key, "direction");
        assert!(why.contains("did you mean `both`"), "{why}");
    }
}
