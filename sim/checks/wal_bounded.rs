//! The log files of a node never take more room than the size in parentheses. What counts is the
//! files themselves, not what the node says of them: all bytes below `wal/`, durable or not.
//!
//! They are looked at when a segment begins and when a snapshot is durable, which is just before
//! the log is cut; between two looks a log can be larger by less than a segment. The size has to
//! leave room for what the node may keep: the entries of a snapshot interval, those it keeps behind
//! a snapshot, one snapshot's time of writes, and a segment. Source: etcd's advice to compact, and
//! document 002, whose log grew with the snapshot interval.

use host::unit::{Size, parse_size, show_size};
use kernel::check::{Check, Fact, Finding, Hears, View};
use kernel::registry::{CheckWord, Claim};
use raft_driver::event::RaftEvent;

use crate::wal::LOG;
use crate::{RAFT, node};

/// The word `wal_bounded`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "wal_bounded",
        about: "the log files of a node never take more than the size in parentheses",
        claim: Claim::Always,
        make,
    }
}

fn make(argument: Option<&str>) -> Result<Box<dyn Check>, String> {
    let example = "write for example `wal_bounded(2MB)`";
    let text = argument.ok_or(format!("how large may the log be? {example}"))?;
    let most = parse_size(text)?;
    if most.0 == 0 {
        return Err(format!("no log fits into nothing; {example}"));
    }
    Ok(Box::new(WalBounded { most }))
}

struct WalBounded {
    most: Size,
}

impl WalBounded {
    fn looks(&self, host: usize, bytes: u64) -> Result<(), Finding> {
        let over = bytes.saturating_sub(self.most.0);
        if over == 0 {
            return Ok(());
        }
        let (name, most) = (node(host), show_size(self.most));
        let text = format!(
            "the log files of {name} take {bytes} bytes, {over} more than the {most} that they may"
        );
        Err(Finding::at(host, text))
    }
}

impl Check for WalBounded {
    fn hears(&self) -> Hears {
        Hears::Only(&[RAFT])
    }

    fn observe(&mut self, fact: &Fact<'_>, view: &View<'_>) -> Result<(), Finding> {
        match fact.get() {
            Some(RaftEvent::WalRolled { .. } | RaftEvent::SnapshotFinished { .. }) => {
                self.looks(fact.host, view.bytes_below(fact.host, LOG))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_given_with_its_unit() {
        assert!(make(Some("2MB")).is_ok());
        assert!(make(None).err().expect("refused").contains("wal_bounded(2MB)"));
        assert!(make(Some("2000")).err().expect("refused").contains("no unit"));
        assert!(make(Some("0B")).is_err());
    }

    #[test]
    fn a_log_may_fill_its_bound_and_no_more() {
        let check = WalBounded { most: Size(2_000_000) };
        check.looks(1, 2_000_000).unwrap();
        let finding = check.looks(1, 2_000_096).unwrap_err();
        assert_eq!(
            finding.text,
            "the log files of n2 take 2000096 bytes, 96 more than the 2MB that they may"
        );
    }
}
