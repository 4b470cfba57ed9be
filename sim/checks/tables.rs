//! Measures: what the store does with values beside its log. How much a table that lives on disk wrote
//! and how large its files grew, how large all files of a node grew together, how many commands its
//! batches had, and how many bytes of values went into each byte of log.
//!
//! Sizes of files are looked at when a log segment begins, when a snapshot is durable (while the one
//! before is still there) and at the end; between two looks they can be larger. The ratio counts a
//! value once for each node that encoded it, so a command that was proposed twice counts twice, as it
//! does in the log. It has no sense, and is absent, where values lie in the log as they came; so are
//! sizes of tables where there are none on disk. Left out: values that no node encoded.

use kernel::check::{Check, Fact, Finding, Hears, Measure, Unit, View};
use kernel::registry::{CheckWord, Claim};
use raft_driver::event::RaftEvent;
use store::event::StoreEvent;

use crate::{RAFT, STORE, plain};

/// The word `tables`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "tables",
        about: "measures what the store keeps beside its log, of the node with most: \
                table_written_bytes and table_bytes_max, bytes written to the table's files and their \
                size; disk_used_max, bytes of all files of a node; and of all nodes batch_mean, \
                commands of a batch, batches_given_up, those not applied in time, log_ratio, bytes of encoded values per byte of log, and \
                applied_after_close, nodes that applied a command after they had closed their table",
        claim: Claim::Measures,
        make: plain::<Tables>,
    }
}

/// Where nodes keep their table.
const TABLE: &str = "table/";

#[derive(Default)]
struct Tables {
    /// The most bytes of one node's table.
    table: u64,
    /// The most bytes of all files of one node.
    disk: u64,
    batches: u64,
    commands: u64,
    given_up: u64,
    /// Bytes of values that were encoded.
    raw: u64,
    /// Boots of nodes in which something was applied to a closed table.
    after_close: u64,
}

impl Tables {
    fn looked(&mut self, table: u64, disk: u64) {
        self.table = self.table.max(table);
        self.disk = self.disk.max(disk);
    }

    fn look(&mut self, view: &View<'_>, host: usize) {
        self.looked(view.bytes_below(host, TABLE), view.bytes_below(host, ""));
    }

    fn note(&mut self, event: &StoreEvent) {
        match event {
            StoreEvent::Batched { commands, .. } => {
                self.batches += 1;
                self.commands += commands;
            }
            StoreEvent::BatchGivenUp { .. } => self.given_up += 1,
            StoreEvent::Encoded { raw, .. } => self.raw += raw,
            StoreEvent::AppliedAfterClose { .. } => self.after_close += 1,
            _ => {}
        }
    }

    /// All measures, given the bytes that were written to the table and to the log, each by the node
    /// that wrote most.
    fn all(&self, table_written: u64, log_written: u64) -> Vec<Measure> {
        let one = |name, value, unit| Measure { name, value, unit };
        let mut out = Vec::new();
        if table_written > 0 {
            out.push(one("table_written_bytes", table_written, Unit::Bytes));
            out.push(one("table_bytes_max", self.table, Unit::Bytes));
        }
        out.push(one("disk_used_max", self.disk, Unit::Bytes));
        out.push(one("applied_after_close", self.after_close, Unit::Count));
        let batch = (self.commands * 1000).checked_div(self.batches);
        if let Some(value) = batch {
            out.push(one("batch_mean", value, Unit::Ratio));
            out.push(one("batches_given_up", self.given_up, Unit::Count));
        }
        let thousandths = (u128::from(self.raw) * 1000).checked_div(u128::from(log_written));
        let ratio = thousandths.filter(|_| self.raw > 0);
        let ratio = ratio.map(|value| u64::try_from(value).unwrap_or(u64::MAX));
        out.extend(ratio.map(|value| one("log_ratio", value, Unit::Ratio)));
        out
    }
}

impl Check for Tables {
    fn hears(&self) -> Hears {
        Hears::Only(&[RAFT, STORE])
    }

    fn observe(&mut self, fact: &Fact<'_>, view: &View<'_>) -> Result<(), Finding> {
        match fact.get() {
            Some(RaftEvent::WalRolled { .. } | RaftEvent::SnapshotFinished { .. }) => {
                self.look(view, fact.host);
            }
            Some(_) => {}
            None => {
                if let Some(event) = fact.get() {
                    self.note(event);
                }
            }
        }
        Ok(())
    }

    fn measures(&self, view: &View<'_>) -> Vec<Measure> {
        let nodes = 0..view.nodes();
        let most = |of: &dyn Fn(usize) -> u64| nodes.clone().map(of).max().unwrap_or(0);
        let mut end = Tables { ..*self };
        end.looked(
            most(&|host| view.bytes_below(host, TABLE)),
            most(&|host| view.bytes_below(host, "")),
        );
        end.all(most(&|host| view.written(host, "table")), most(&|host| view.written(host, "wal")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(all: &[Measure], name: &str) -> Option<u64> {
        all.iter().find(|m| m.name == name).map(|m| m.value)
    }

    #[test]
    fn batches_and_encoded_bytes_are_means_and_ratios() {
        let mut check = Tables::default();
        check.note(&StoreEvent::Batched { commands: 4, bytes: 9 });
        check.note(&StoreEvent::Batched { commands: 5, bytes: 9 });
        check.note(&StoreEvent::Encoded { raw: 850, body: 10 });
        check.note(&StoreEvent::AppliedAfterClose { index: 3 });
        check.note(&StoreEvent::BatchGivenUp { commands: 2 });
        check.looked(7, 20);
        check.looked(5, 30);
        let all = check.all(40, 10);
        assert_eq!(value(&all, "batch_mean"), Some(4_500));
        assert_eq!(value(&all, "log_ratio"), Some(85_000));
        assert_eq!(value(&all, "applied_after_close"), Some(1));
        assert_eq!(value(&all, "batches_given_up"), Some(1));
        assert_eq!(
            (value(&all, "table_bytes_max"), value(&all, "disk_used_max")),
            (Some(7), Some(30))
        );
        assert!(all.iter().all(|m| word().about.contains(m.name)));
    }

    #[test]
    fn what_there_was_not_is_absent() {
        let all = Tables::default().all(0, 900);
        let names: Vec<&str> = all.iter().map(|m| m.name).collect();
        assert_eq!(names, ["disk_used_max", "applied_after_close"]);
    }
}
