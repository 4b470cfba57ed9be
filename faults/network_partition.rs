//! The selected hosts (`on`) are cut off from all other nodes; among themselves they still talk.
//! Cut links are black holes: frames vanish without a reset, senders retry with growing delay. With
//! `direction = "out"` or `"in"` the cut is one-way, which is the harder half: a leader that nobody
//! hears and that hears everybody, or a follower that campaigns because it is deaf.
//!
//! Clients reach both sides, as they do when a switch between racks fails; this is what tempts a
//! stale leader to answer. Cuts nest, so partitions may overlap and each end heals what it cut.
//!
//! Left out: lossy and slow links, and bridges (two halves that share one host).
//! Shapes after Jepsen's partitioner and madsim's `clog`.

use std::sync::Arc;

use host::settings::Word as Choice;
use kernel::fault::{Control, Fault};
use kernel::registry::{Word, fault};

host::settings! {
    /// The parameters of `network_partition`.
    pub struct Params {
        /// Which frames vanish: all between the two sides, those that the selected hosts send, or
        /// those that are sent to them.
        direction: Choice = "both", "both|out|in";
    }
}

struct NetworkPartition {
    direction: &'static str,
}

/// The word `network_partition`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "The selected hosts and all other nodes no longer reach each other for `lasts`; \
                 `direction` makes it one-way.";
    fault("network_partition", about, |p: Params| NetworkPartition { direction: p.direction.0 })
}

impl NetworkPartition {
    /// The directed links (from, to) that are cut when these of so many nodes are selected.
    fn links(&self, selected: &[usize], nodes: usize) -> Vec<(usize, usize)> {
        let mut links = Vec::new();
        for inside in selected {
            for outside in (0..nodes).filter(|h| !selected.contains(h)) {
                if self.direction != "in" {
                    links.push((*inside, outside));
                }
                if self.direction != "out" {
                    links.push((outside, *inside));
                }
            }
        }
        links
    }
}

impl Fault for NetworkPartition {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        for (from, to) in self.links(hosts, control.nodes()) {
            control.cut(from, to);
        }
        let names = crate::names(control, hosts);
        match self.direction {
            "both" => format!("{names} | the others"),
            "out" => format!("{names} -/-> the others"),
            _ => format!("{names} <-/- the others"),
        }
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        for (from, to) in self.links(hosts, control.nodes()) {
            control.heal(from, to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::registry::Params as Written;

    fn links(direction: &'static str, selected: &[usize]) -> Vec<(usize, usize)> {
        NetworkPartition { direction }.links(selected, 4)
    }

    #[test]
    fn links_between_the_sides_are_cut_and_links_within_a_side_are_not() {
        let both = links("both", &[0, 1]);
        assert_eq!(both.len(), 8);
        for (from, to) in both {
            assert_ne!(from < 2, to < 2, "{from} -> {to}");
        }
    }

    #[test]
    fn one_way_cuts_are_the_two_halves_of_a_cut() {
        assert_eq!(links("out", &[3]), [(3, 0), (3, 1), (3, 2)]);
        assert_eq!(links("in", &[3]), [(0, 3), (1, 3), (2, 3)]);
    }

    #[test]
    fn a_side_with_every_node_cuts_nothing() {
        assert!(links("both", &[0, 1, 2, 3]).is_empty());
    }

    #[test]
    fn a_misspelt_direction_is_refused_with_the_nearest_word() {
        let written = Written::from([("direction".to_string(), "bot".to_string())]);
        let (key, why) = word().make(&written).err().expect("refused");
        assert_eq!(key, "direction");
        assert!(why.contains("did you mean `both`"), "{why}");
    }
}
