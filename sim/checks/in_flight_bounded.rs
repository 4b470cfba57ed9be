//! What a node has for a peer that does not take it stays bounded: the bytes that wait to be sent to one
//! peer never exceed the size in parentheses. A sender without a window fills its memory for as long as
//! one follower is slow or cut off, and what it has queued is stale when it gets there.
//!
//! The node counts, and says so whenever a queue has grown by 256 KB over the largest that it had to that
//! peer in that boot; so much may go unnoticed. What the connection's own window holds is not counted:
//! the machinery bounds that for everybody. Source: flow control of raft-rs and etcd, whose
//! `MaxInflightBytes` came after a leader that ran out of memory.

use host::unit::{Size, parse_size, show_size};
use kernel::check::{Check, Fact, Finding, Hears, View};
use kernel::registry::{CheckWord, Claim};
use raft_driver::event::RaftEvent;

use crate::{RAFT, node};

/// The word `in_flight_bounded`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "in_flight_bounded",
        about: "what waits in a node to be sent to one peer never exceeds the size in parentheses",
        claim: Claim::Always,
        make,
    }
}

fn make(argument: Option<&str>) -> Result<Box<dyn Check>, String> {
    let example = "write for example `in_flight_bounded(9MB)`";
    let most = parse_size(argument.ok_or(format!("how much? {example}"))?)?;
    if most.0 == 0 {
        return Err(format!("nothing can be sent without waiting; {example}"));
    }
    Ok(Box::new(InFlightBounded { most }))
}

struct InFlightBounded {
    most: Size,
}

impl InFlightBounded {
    fn judge(&self, fact: &Fact<'_>) -> Result<(), Finding> {
        match fact.get() {
            Some(RaftEvent::QueueGrew { to, bytes, .. }) if *bytes > self.most.0 => {
                let (name, most) = (node(fact.host), show_size(self.most));
                let text = format!("{bytes} bytes wait in {name} for n{to}; {most} may");
                Err(Finding::at(fact.host, text))
            }
            _ => Ok(()),
        }
    }
}

impl Check for InFlightBounded {
    fn hears(&self) -> Hears {
        Hears::Only(&[RAFT])
    }

    fn observe(&mut self, fact: &Fact<'_>, _: &View<'_>) -> Result<(), Finding> {
        self.judge(fact)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_given_with_its_unit() {
        assert!(make(Some("9MB")).is_ok());
        assert!(make(None).err().expect("refused").contains("in_flight_bounded(9MB)"));
        assert!(make(Some("9")).is_err() && make(Some("0B")).is_err());
    }

    #[test]
    fn a_queue_may_fill_its_bound_and_no_more() {
        let check = InFlightBounded { most: Size(2_000_000) };
        let judge = |bytes| {
            let event = RaftEvent::QueueGrew { group: 0, to: 4, bytes };
            check.judge(&Fact { at: 1, host: 0, boot: 1, event: &event }).map_err(|f| f.text)
        };
        assert_eq!(judge(2_000_000), Ok(()));
        assert_eq!(judge(2_000_001).unwrap_err(), "2000001 bytes wait in n1 for n4; 2MB may");
    }
}
