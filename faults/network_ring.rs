//! The nodes stand in a ring and reach only their nearest neighbours, as many on each side as make a
//! majority with themselves: everybody sees a majority, and no two see the same one. With five nodes
//! each reaches the one on its left and the one on its right.
//!
//! The order of the ring is drawn, by the line of the scenario. `on` only says of whom the story tells
//! it. With three nodes nobody is cut off, for each neighbour is next; with an even number each sees one
//! more than it needs. Clients reach everybody. Cuts nest, and the end heals what it cut. An effect is a
//! frame or request that vanished.
//!
//! Source: Jepsen's `majorities-ring`.

use std::sync::Arc;

use kernel::fault::{Control, Fault};
use kernel::registry::{NoParams, Word, fault};

struct NetworkRing;

/// The word `network_ring`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "All nodes stand in a ring and reach only their neighbours for `lasts`: each sees a \
                 majority, and no two the same.";
    fault("network_ring", about, |_: NoParams| NetworkRing)
}

/// The directed links between nodes of a ring in this order that are no neighbours.
fn strangers(ring: &[usize]) -> Vec<(usize, usize)> {
    let nodes = ring.len();
    let near = (nodes / 2).div_ceil(2);
    let mut links = Vec::new();
    for (i, from) in ring.iter().enumerate() {
        for (j, to) in ring.iter().enumerate() {
            let apart = i.abs_diff(j);
            if apart.min(nodes - apart) > near {
                links.push((*from, *to));
            }
        }
    }
    links
}

/// The ring, the same at the beginning and at the end.
fn ring(control: &Control<'_>) -> Vec<usize> {
    let mut ring: Vec<usize> = (0..control.nodes()).collect();
    crate::shuffle(&mut ring, &mut control.choice("network_ring"));
    ring
}

impl Fault for NetworkRing {
    fn begin(&self, control: &mut Control<'_>, _: &[usize]) -> String {
        let ring = ring(control);
        for (from, to) in strangers(&ring) {
            control.cut(from, to);
        }
        let names: Vec<String> = ring.iter().map(|h| control.name(*h)).collect();
        format!("{} - {}", names.join(" - "), names[0])
    }

    fn end(&self, control: &mut Control<'_>, _: &[usize]) {
        for (from, to) in strangers(&ring(control)) {
            control.heal(from, to);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::strangers;

    #[test]
    fn each_sees_a_majority_and_no_two_the_same() {
        for nodes in [5, 7, 9, 11] {
            let ring: Vec<usize> = (0..nodes).rev().collect();
            let cut: BTreeSet<(usize, usize)> = strangers(&ring).into_iter().collect();
            assert!(cut.iter().all(|(a, b)| cut.contains(&(*b, *a))));
            let sees = |a: usize| -> Vec<usize> {
                (0..nodes).filter(|b| !cut.contains(&(a, *b))).collect()
            };
            let seen: BTreeSet<Vec<usize>> = (0..nodes).map(sees).collect();
            assert_eq!(seen.len(), nodes);
            assert!(seen.iter().all(|s| s.len() > nodes / 2 && s.len() < nodes), "{seen:?}");
        }
        assert!(strangers(&[0, 1, 2]).is_empty());
        assert_eq!(strangers(&[0, 2, 1, 3]).len(), 4);
    }
}
