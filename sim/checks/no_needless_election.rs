//! After the first leader nobody stands for election while nothing has failed: no node is down or
//! paused, no link between nodes is cut, and none was within the time in parentheses (1 s if there
//! are none). That time is the excuse for what a fault leaves behind; it should cover a few upper
//! election timeouts.
//!
//! It is meant for scenarios in which every delay (a sync's, a link's, a thread's) stays below half
//! the election timeout: there a leader that lives is always heard in time. Slow disks, slow links
//! and clocks excuse nothing here. An election that a leader asked for by handing over is not
//! needless; a node that only asks whether it could win does not stand. What follows the blackout
//! is not judged. How many there were, with an excuse of 1 s, is the measure
//! `needless_elections`.

use std::time::Duration;

use host::unit::{millis, nanos, parse_duration};
use kernel::check::{Check, Fact, Finding, Hears, View};
use kernel::registry::{CheckWord, Claim};

use crate::elections::{Excuse, Leadership};
use crate::{KERNEL, RAFT, enters, node};

/// The word `no_needless_election`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "no_needless_election",
        about: "after the first leader nobody stands for election while no node is down or paused \
                and no link is cut, and none was within the last second, or within the time in \
                parentheses; for scenarios whose delays stay below half the election timeout",
        claim: Claim::Always,
        make,
    }
}

fn make(argument: Option<&str>) -> Result<Box<dyn Check>, String> {
    let excused = argument.map_or(Ok(Duration::from_nanos(Excuse::USUAL)), parse_duration)?;
    Ok(Box::new(NoNeedlessElection {
        leadership: Leadership::default(),
        excuse: Excuse::new(nanos(excused)),
        dark: false,
    }))
}

struct NoNeedlessElection {
    leadership: Leadership,
    excuse: Excuse,
    dark: bool,
}

impl NoNeedlessElection {
    fn judge(&mut self, fact: &Fact<'_>, disturbed: impl Fn() -> bool) -> Result<(), Finding> {
        self.dark |= enters(fact, "blackout");
        self.excuse.note(fact);
        let Some(turn) = self.leadership.note(fact) else { return Ok(()) };
        if self.dark || !turn.begins_without_need() || disturbed() {
            return Ok(());
        }
        let Some(quiet) = self.excuse.is_over(fact.at) else { return Ok(()) };
        let text = format!(
            "{} stood for election, though for {} ms no node had been down or paused and no link \
             cut",
            node(fact.host),
            millis(quiet)
        );
        Err(Finding::at(fact.host, text))
    }
}

impl Check for NoNeedlessElection {
    fn hears(&self) -> Hears {
        Hears::Only(&[KERNEL, RAFT])
    }

    fn observe(&mut self, fact: &Fact<'_>, view: &View<'_>) -> Result<(), Finding> {
        self.judge(fact, || view.disturbed())
    }
}

#[cfg(test)]
mod tests {
    use host::Event;
    use kernel::event::KernelEvent;
    use raft_driver::event::RaftEvent;

    use super::*;

    const LEADS: RaftEvent =
        RaftEvent::Leader { group: 1, term: 1, last_index: 0, last_term: 0, chain: 0 };
    const STANDS: RaftEvent = RaftEvent::Candidate { group: 1, term: 2 };

    /// Facts: (ms, host, event).
    fn judge(facts: &[(u64, usize, &dyn Event)], disturbed: bool) -> Result<(), Finding> {
        let (leadership, dark) = (Leadership::default(), false);
        let excuse = Excuse::new(1_000_000_000);
        let mut check = NoNeedlessElection { leadership, excuse, dark };
        facts.iter().try_for_each(|(at, host, event)| {
            let fact = Fact { at: at * 1_000_000, host: *host, boot: 1, event: *event };
            check.judge(&fact, || disturbed)
        })
    }

    #[test]
    fn the_excuse_may_be_given() {
        assert!(make(None).is_ok() && make(Some("300ms")).is_ok());
        assert!(make(Some("300")).err().expect("refused").contains("no unit"));
    }

    #[test]
    fn an_election_without_a_failure_is_found() {
        let finding = judge(&[(200, 0, &LEADS), (3_000, 1, &STANDS)], false).unwrap_err();
        assert_eq!(
            finding.text,
            "n2 stood for election, though for 3000.000 ms no node had been down or paused and no \
             link cut"
        );
    }

    #[test]
    fn the_first_election_and_those_of_failures_are_not_needless() {
        judge(&[(3_000, 1, &STANDS)], false).unwrap();
        judge(&[(200, 0, &LEADS), (3_000, 1, &STANDS)], true).unwrap();
        let (pause, resume) = (KernelEvent::Paused, KernelEvent::Resumed { ns: 1 });
        let soon: [(u64, usize, &dyn Event); 4] =
            [(200, 0, &LEADS), (2_000, 2, &pause), (2_500, 2, &resume), (3_500, 1, &STANDS)];
        judge(&soon, false).unwrap();
        let mut late = soon;
        late[3].0 = 3_501;
        assert!(judge(&late, false).is_err());
    }

    #[test]
    fn handing_over_and_the_blackout_are_no_reason() {
        let hands = RaftEvent::TransferStarted { group: 1, term: 1, to: 2 };
        judge(&[(200, 0, &LEADS), (4_000, 0, &hands), (4_010, 1, &STANDS)], false).unwrap();
        let dark = KernelEvent::Phase { name: "blackout" };
        judge(&[(200, 0, &LEADS), (4_000, 0, &dark), (9_000, 1, &STANDS)], false).unwrap();
    }

    #[test]
    fn a_slow_disk_or_a_collection_is_no_excuse_and_a_process_that_was_ended_is() {
        let collected = KernelEvent::Collected { full: true, live: 1, garbage: 9, ns: 800_000_000 };
        let judged = |event: &KernelEvent| {
            judge(&[(200, 0, &LEADS), (2_900, 0, event), (3_000, 1, &STANDS)], false)
        };
        assert!(judged(&KernelEvent::DiskStalled).is_err());
        assert!(judged(&collected).is_err());
        judged(&KernelEvent::OutOfMemory { held: 9 }).unwrap();
    }
}
