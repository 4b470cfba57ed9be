//! Every node puts the same entries through its state machine in the same order, each once; so
//! whoever has applied up to an index has the same log behind it and the same state, also after a
//! restart and when the state came as a snapshot.
//!
//! Compared are the chain hash and the state's own hash where two nodes stop at the same index;
//! positions far behind the newest are forgotten. Source: Raft, section 5.4.3, "State Machine
//! Safety"; TigerBeetle's StateChecker.

use std::collections::BTreeMap;

use kernel::check::{Check, Fact, Finding, Hears, View};
use kernel::registry::{CheckWord, Claim};
use raft_driver::event::RaftEvent;

use crate::log_matching::Window;
use crate::{RAFT, node, of_group, plain};

/// The word `state_machine_safety`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "state_machine_safety",
        about: "all nodes apply the same entries in the same order, once, and reach the same state",
        claim: Claim::Always,
        make: plain::<StateMachineSafety>,
    }
}

#[derive(Clone, Copy)]
struct State {
    chain: u64,
    hash: u64,
    host: usize,
}

/// Per group the states that were reached, and how far each node is.
#[derive(Default)]
struct StateMachineSafety {
    states: BTreeMap<u32, Window<State>>,
    applied: BTreeMap<(u32, usize), u64>,
}

impl StateMachineSafety {
    fn recovers(&mut self, group: u32, host: usize, index: u64) {
        self.applied.insert((group, host), index);
    }

    fn applies(
        &mut self,
        group: u32,
        (first, last): (u64, u64),
        state: State,
    ) -> Result<(), Finding> {
        let known = self.applied.entry((group, state.host)).or_insert(0);
        let before = std::mem::replace(known, last);
        if first != before + 1 {
            let (name, group) = (node(state.host), of_group(group));
            let text = format!("{name}{group} applied {first} to {last} upon {before}");
            return Err(Finding::at(state.host, text));
        }
        self.reaches(group, last, state)
    }

    fn installs(&mut self, group: u32, index: u64, state: State) -> Result<(), Finding> {
        self.applied.insert((group, state.host), index);
        self.reaches(group, index, state)
    }

    fn reaches(&mut self, group: u32, index: u64, state: State) -> Result<(), Finding> {
        let Some(slot) = self.states.entry(group).or_default().slot(index) else { return Ok(()) };
        let first = *slot.get_or_insert(state);
        let what = if first.chain != state.chain {
            "different entries"
        } else if first.hash != state.hash {
            "the same entries, but have different states"
        } else {
            return Ok(());
        };
        let (a, b, group) = (node(first.host), node(state.host), of_group(group));
        let text = format!("{a} and {b}{group} applied {what} (to {index})");
        Err(Finding { hosts: vec![first.host, state.host], text })
    }
}

impl Check for StateMachineSafety {
    fn hears(&self) -> Hears {
        Hears::Only(&[RAFT])
    }

    fn observe(&mut self, fact: &Fact<'_>, _: &View<'_>) -> Result<(), Finding> {
        let host = fact.host;
        match fact.get() {
            Some(RaftEvent::Recovered { group, snapshot_index, .. }) => {
                self.recovers(*group, host, *snapshot_index);
                Ok(())
            }
            Some(RaftEvent::Applied { group, first, last, chain, state_hash }) => {
                let state = State { chain: *chain, hash: *state_hash, host };
                self.applies(*group, (*first, *last), state)
            }
            Some(RaftEvent::SnapshotInstalled { group, index, chain, state_hash, .. }) => {
                let state = State { chain: *chain, hash: *state_hash, host };
                self.installs(*group, *index, state)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(chain: u64, hash: u64, host: usize) -> State {
        State { chain, hash, host }
    }

    #[test]
    fn equal_states_are_reached_by_log_and_by_snapshot_and_again_after_a_restart() {
        let mut check = StateMachineSafety::default();
        check.applies(0, (1, 4), state(40, 4, 0)).unwrap();
        check.applies(0, (5, 9), state(90, 9, 0)).unwrap();
        check.installs(0, 9, state(90, 9, 1)).unwrap();
        check.applies(0, (10, 10), state(100, 10, 1)).unwrap();
        check.recovers(0, 0, 4);
        check.applies(0, (5, 10), state(100, 10, 0)).unwrap();
    }

    #[test]
    fn other_entries_and_another_state_are_found() {
        let mut check = StateMachineSafety::default();
        check.applies(0, (1, 4), state(40, 4, 0)).unwrap();
        let finding = check.applies(0, (1, 4), state(41, 4, 1)).unwrap_err();
        assert_eq!(finding.text, "n1 and n2 applied different entries (to 4)");
        let finding = check.installs(0, 4, state(40, 5, 2)).unwrap_err();
        assert!(finding.text.contains("but have different states (to 4)"), "{}", finding.text);
    }

    #[test]
    fn an_entry_twice_and_a_hole_are_found() {
        let mut check = StateMachineSafety::default();
        check.applies(0, (1, 4), state(40, 4, 0)).unwrap();
        let finding = check.applies(0, (4, 5), state(50, 5, 0)).unwrap_err();
        assert_eq!(finding.text, "n1 applied 4 to 5 upon 4");
        assert!(check.applies(0, (7, 8), state(80, 8, 0)).is_err());
    }
}
