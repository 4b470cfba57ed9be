//! Causes. One file is one word that a scenario's `[[fault]]` may name; this list is all of them.
//!
//! A fault acts on hosts and models, never on the protocol that runs there, so each works for any
//! node. It keeps nothing between its beginning and its end: it is shared between runs, and faults
//! overlap, so an end undoes exactly what the beginning did to the same hosts.

use std::sync::Arc;

use host::Rng;
use kernel::fault::{Control, Fault, Shows};
use kernel::registry::Word;

mod bit_rot;
mod class_lossy;
mod clock_coarse;
mod clock_drift;
mod clock_step;
mod clock_strobe;
mod clock_suspended;
mod connection_reset;
mod cpu_steal;
mod crash;
mod crash_loop;
mod dir_entry_lost;
mod disk_fail_slow;
mod disk_full;
mod disk_restored;
mod disk_slow;
mod disk_stall;
mod disk_wiped;
mod frames_corrupted;
mod frames_duplicated;
mod frames_reordered;
mod ids_duplicated;
mod link_flaps;
mod link_grey;
mod link_half_open;
mod link_holds;
mod link_lossy;
mod link_slow;
mod network_bridge;
mod network_partition;
mod network_ring;
mod pause;
mod power_loss;
mod rack_power_loss;
mod read_error;
mod reader_slow;
mod retry_storm;
mod sector_error;
mod stop;
mod sync_error;
mod sync_lies;
mod task_panic;
mod timers_late;
mod write_error;
mod write_lost;
mod write_misdirected;
mod write_torn;

/// Every fault.
pub fn words() -> Vec<Word<Arc<dyn Fault>>> {
    vec![
        bit_rot::word(),
        class_lossy::word(),
        clock_coarse::word(),
        clock_drift::word(),
        clock_step::word(),
        clock_strobe::word(),
        clock_suspended::word(),
        connection_reset::word(),
        cpu_steal::word(),
        crash::word(),
        crash_loop::word(),
        dir_entry_lost::word(),
        disk_fail_slow::word(),
        disk_full::word(),
        disk_restored::word(),
        disk_slow::word(),
        disk_stall::word(),
        disk_wiped::word(),
        frames_corrupted::word(),
        frames_duplicated::word(),
        frames_reordered::word(),
        ids_duplicated::word(),
        link_flaps::word(),
        link_grey::word(),
        link_half_open::word(),
        link_holds::word(),
        link_lossy::word(),
        link_slow::word(),
        network_bridge::word(),
        network_partition::word(),
        network_ring::word(),
        pause::word(),
        power_loss::word(),
        rack_power_loss::word(),
        read_error::word(),
        reader_slow::word(),
        retry_storm::word(),
        sector_error::word(),
        stop::word(),
        sync_error::word(),
        sync_lies::word(),
        task_panic::word(),
        timers_late::word(),
        write_error::word(),
        write_lost::word(),
        write_misdirected::word(),
        write_torn::word(),
    ]
}

/// The hosts' names, for the story.
fn names(control: &Control<'_>, hosts: &[usize]) -> String {
    hosts.iter().map(|h| control.name(*h)).collect::<Vec<_>>().join(", ")
}

/// Puts the hosts into an order that the draws decide.
fn shuffle(hosts: &mut [usize], rng: &mut Rng) {
    for i in (1..hosts.len()).rev() {
        hosts.swap(i, rng.below(i as u64 + 1) as usize);
    }
}

/// The hosts for which `act` says yes; it is asked for each.
fn admitted(hosts: &[usize], mut act: impl FnMut(usize) -> bool) -> Vec<usize> {
    hosts.iter().copied().filter(|host| act(*host)).collect()
}

/// Whom of the hosts it hit and what it did there, and who was spared, for the story.
fn told(control: &Control<'_>, hosts: &[usize], hit: &[usize], what: &str) -> String {
    let spared: Vec<usize> = hosts.iter().copied().filter(|host| !hit.contains(host)).collect();
    let hit = [names(control, hit), what.to_string()].map(|s| s.trim().to_string());
    let hit = hit.into_iter().filter(|s| !s.is_empty()).collect::<Vec<_>>().join(", ");
    match (spared.is_empty(), spared.len() == hosts.len()) {
        (true, _) => hit,
        (_, true) => format!("spares {}", names(control, &spared)),
        _ => format!("{hit}; spares {}", names(control, &spared)),
    }
}

/// When damage shows, by its word.
fn shows(word: &str) -> Shows {
    match word {
        "now" => Shows::Now,
        "restart" => Shows::Restart,
        _ => Shows::PowerLoss,
    }
}

/// ` of wal/`, or nothing where all files are meant.
fn of(under: &str) -> String {
    if under.is_empty() { String::new() } else { format!(" of {under}") }
}

/// ` to wal/`, or nothing.
fn to(under: &str) -> String {
    if under.is_empty() { String::new() } else { format!(" to {under}") }
}

/// The two sides of a fault on links: the selected hosts, and others.
struct Sides {
    /// `both`, `out` of the selected hosts, or `in`.
    direction: &'static str,
    /// The other `nodes`, the `clients`, or `all` of them.
    others: &'static str,
}

impl Sides {
    /// The directed links (from, to) between the sides.
    fn links(&self, control: &Control<'_>, selected: &[usize]) -> Vec<(usize, usize)> {
        self.between(selected, control.nodes(), control.hosts())
    }

    /// With that many nodes among that many hosts.
    fn between(&self, selected: &[usize], nodes: usize, hosts: usize) -> Vec<(usize, usize)> {
        let others = match self.others {
            "nodes" => 0..nodes,
            "clients" => nodes..hosts,
            _ => 0..hosts,
        };
        let mut links = Vec::new();
        for inside in selected {
            for outside in others.clone().filter(|h| !selected.contains(h)) {
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

    /// For the story.
    fn show(&self, control: &Control<'_>, selected: &[usize]) -> String {
        let others = match self.others {
            "nodes" => "the others",
            "clients" => "the clients",
            _ => "all others",
        };
        let way = match self.direction {
            "both" => "<->",
            "out" => "->",
            _ => "<-",
        };
        format!("{} {way} {others}", names(control, selected))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use kernel::registry::Params;

    use super::Sides;

    #[test]
    fn links_between_the_sides_are_all_that_is_hit() {
        let links = |direction, others, selected: &[usize]| {
            Sides { direction, others }.between(selected, 4, 6)
        };
        let both = links("both", "nodes", &[0, 1]);
        assert_eq!(both.len(), 8);
        assert!(both.iter().all(|(from, to)| (*from < 2) != (*to < 2) && *from < 4 && *to < 4));
        assert_eq!(links("out", "nodes", &[3]), [(3, 0), (3, 1), (3, 2)]);
        assert_eq!(links("in", "nodes", &[3]), [(0, 3), (1, 3), (2, 3)]);
        assert_eq!(links("out", "clients", &[3]), [(3, 4), (3, 5)]);
        assert_eq!(links("in", "all", &[3]).len(), 5);
        assert!(links("both", "nodes", &[0, 1, 2, 3]).is_empty());
    }

    #[test]
    fn each_word_stands_once_explains_itself_and_works_as_it_is() {
        let words = super::words();
        let names: BTreeSet<&str> = words.iter().map(|w| w.word).collect();
        assert_eq!(names.len(), words.len());
        for word in words {
            assert!(!word.about.is_empty(), "{}", word.word);
            assert!(word.make(&Params::new()).is_ok(), "{}", word.word);
        }
    }
}
