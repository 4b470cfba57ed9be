//! Measures: what a write costs each layer of a node's storage, in bytes written over all boots, by
//! the kernel's count of what reached the page cache and not by the node's word.
//!
//! The log is written once per entry, besides copies of hard states; snapshots are written again
//! and again, those that came from a peer included. `disk_write_factor` is all of that for each byte
//! of the log: 1.0 is a node that took no snapshot. Left out: amplification over what clients asked
//! to store, since no fact tells how large a value is; what the device below writes.

use kernel::check::{Check, Fact, Finding, Hears, Measure, Unit, View};
use kernel::registry::{CheckWord, Claim};

use crate::plain;

/// The word `layers`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "layers",
        about: "measures bytes written per layer, each for the node that has most: \
                wal_written_bytes, to log files; snapshot_written_bytes, to snapshots; \
                disk_write_factor, bytes written to both for each byte written to the log",
        claim: Claim::Measures,
        make: plain::<Layers>,
    }
}

#[derive(Default)]
struct Layers;

/// What one node has written.
#[derive(Clone, Copy)]
struct Written {
    wal: u64,
    snapshot: u64,
}

impl Written {
    /// Bytes in thousandths for each byte of the log.
    fn factor(self) -> Option<u64> {
        let all = u128::from(self.wal) + u128::from(self.snapshot);
        let thousandths = (all * 1000).checked_div(u128::from(self.wal))?;
        Some(u64::try_from(thousandths).unwrap_or(u64::MAX))
    }
}

fn all(nodes: &[Written]) -> Vec<Measure> {
    let most = |of: fn(&Written) -> u64| nodes.iter().map(of).max().unwrap_or(0);
    let one = |name, value, unit| Measure { name, value, unit };
    let mut out = vec![
        one("wal_written_bytes", most(|w| w.wal), Unit::Bytes),
        one("snapshot_written_bytes", most(|w| w.snapshot), Unit::Bytes),
    ];
    let factor = nodes.iter().filter_map(|w| w.factor()).max();
    out.extend(factor.map(|value| one("disk_write_factor", value, Unit::Ratio)));
    out
}

impl Check for Layers {
    fn hears(&self) -> Hears {
        Hears::Only(&[])
    }

    fn observe(&mut self, _: &Fact<'_>, _: &View<'_>) -> Result<(), Finding> {
        Ok(())
    }

    fn measures(&self, view: &View<'_>) -> Vec<Measure> {
        let of = |host| Written {
            wal: view.written(host, "wal"),
            snapshot: view.written(host, "snapshot"),
        };
        all(&(0..view.nodes()).map(of).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_node_counts_for_each_measure() {
        let nodes = [Written { wal: 4_000, snapshot: 0 }, Written { wal: 2_000, snapshot: 3_000 }];
        let values: Vec<u64> = all(&nodes).iter().map(|m| m.value).collect();
        assert_eq!(values, [4_000, 3_000, 2_500]);
        assert!(all(&nodes).iter().all(|m| word().about.contains(m.name)));
    }

    #[test]
    fn a_node_that_wrote_no_log_has_no_factor() {
        assert_eq!(all(&[Written { wal: 0, snapshot: 9 }]).len(), 2);
    }
}
