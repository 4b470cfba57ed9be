//! A node promises only what its disk holds: when the acknowledgement of a log entry leaves, the
//! bytes of that entry are durable. What is durable is the kernel's word, the length of the log
//! file that a power loss at this moment would leave, and not the node's.
//!
//! The guilty node is named at once, without waiting for the power loss that would expose it.
//! What it does not see: votes and terms (a vote that was forgotten, `one_vote_per_term` finds);
//! acknowledgements at or below a snapshot, for which a node states no place in its log, or in
//! segments that a snapshot has replaced; the leader's own log, which it counts without sending a
//! message. Source: Raft, section 5.3 and figure 2 ("updated on stable storage before
//! responding"); hashicorp/raft #661 and the plant `ack_before_fsync` break it.

use std::collections::BTreeMap;

use kernel::check::{Check, Fact, Finding, Hears, View};
use kernel::registry::{CheckWord, Claim};
use raft_driver::event::{RaftEvent, wal_file};

use crate::{RAFT, node, of_group, plain};

/// The word `fsync_before_ack`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "fsync_before_ack",
        about: "a node acknowledges a log entry only once it would survive a power loss",
        claim: Claim::Always,
        make: plain::<FsyncBeforeAck>,
    }
}

#[derive(Default)]
struct FsyncBeforeAck {
    /// The oldest segment of each node that no snapshot has replaced.
    oldest: BTreeMap<usize, u64>,
    /// The segment that was named last, and its file: acknowledgements come in thousands, segments
    /// in tens.
    named: Option<(u64, String)>,
}

/// An acknowledgement.
struct Ack {
    group: u32,
    index: u64,
    to: u64,
    segment: u64,
    end: u64,
}

impl FsyncBeforeAck {
    fn acks(
        &mut self,
        host: usize,
        ack: &Ack,
        durable: impl Fn(&str) -> u64,
    ) -> Result<(), Finding> {
        if self.oldest.get(&host).is_some_and(|oldest| ack.segment < *oldest) {
            return Ok(());
        }
        let named = self.named.take().filter(|(segment, _)| *segment == ack.segment);
        let (_, file) =
            self.named.insert(named.unwrap_or_else(|| (ack.segment, wal_file(ack.segment))));
        let missing = ack.end.saturating_sub(durable(file));
        if missing == 0 {
            return Ok(());
        }
        let Ack { group, index, to, .. } = ack;
        let (name, group) = (node(host), of_group(*group));
        let text = format!(
            "{name} acknowledged entry {index}{group} to n{to} while {missing} bytes of {file} \
             up to that entry were not durable"
        );
        Err(Finding::at(host, text))
    }
}

impl Check for FsyncBeforeAck {
    fn hears(&self) -> Hears {
        Hears::Only(&[RAFT])
    }

    fn observe(&mut self, fact: &Fact<'_>, view: &View<'_>) -> Result<(), Finding> {
        match fact.get() {
            Some(RaftEvent::AppendAcked { group, index, to, wal_segment, wal_end, .. }) => {
                let (segment, end) = (*wal_segment, *wal_end);
                let ack = Ack { group: *group, index: *index, to: *to, segment, end };
                self.acks(fact.host, &ack, |file| view.durable_len(fact.host, file))
            }
            Some(RaftEvent::Compacted { first, .. }) => {
                self.oldest.insert(fact.host, *first);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACK: Ack = Ack { group: 0, index: 17, to: 1, segment: 2, end: 400 };

    #[test]
    fn durable_entries_may_be_acknowledged() {
        let mut check = FsyncBeforeAck::default();
        check.acks(1, &ACK, |_| 400).unwrap();
        check.acks(1, &ACK, |file| if file == "wal/00000002" { 900 } else { 0 }).unwrap();
    }

    #[test]
    fn an_entry_that_is_not_durable_is_found() {
        let finding = FsyncBeforeAck::default().acks(1, &ACK, |_| 304).unwrap_err();
        assert_eq!(
            finding.text,
            "n2 acknowledged entry 17 to n1 while 96 bytes of wal/00000002 up to that entry were \
             not durable"
        );
    }

    #[test]
    fn a_segment_that_a_snapshot_replaced_needs_no_bytes() {
        let mut check = FsyncBeforeAck::default();
        check.oldest.insert(1, 3);
        check.acks(1, &ACK, |_| 0).unwrap();
        assert!(check.acks(0, &ACK, |_| 0).is_err());
    }
}
