//! Claims and measures. One file is one word that a scenario's `[check]` may name, or a group of
//! measures that every run has; the list below is all of them.
//!
//! A check sees facts and never acts. Its core is a small ledger that takes plain numbers, so that
//! each can be tested without a cluster. Nodes are indices here and `n1`, `n2` ... in texts.

use kernel::check::{Check, Fact};
use kernel::event::KernelEvent;
use kernel::registry::CheckWord;

mod acked_durable;
mod commit_monotonic;
mod converged;
mod election_safety;
mod elections;
mod fsync_before_ack;
mod glossary;
mod latency;
mod leader_changed;
mod leader_completeness;
mod leader_within;
mod log_matching;
mod one_vote_per_term;
mod snapshot_installed;
mod snapshot_starved;
mod snapshots;
mod state_machine_safety;
mod tail_lost;
mod threads;
mod wal;

/// Every check.
pub fn words() -> Vec<CheckWord> {
    vec![
        acked_durable::word(),
        commit_monotonic::word(),
        converged::word(),
        election_safety::word(),
        elections::word(),
        fsync_before_ack::word(),
        latency::word(),
        leader_changed::word(),
        leader_completeness::word(),
        leader_within::word(),
        log_matching::word(),
        one_vote_per_term::word(),
        snapshot_installed::word(),
        snapshot_starved::word(),
        snapshots::word(),
        state_machine_safety::word(),
        tail_lost::word(),
        threads::word(),
        wal::word(),
    ]
}

/// What each measure means, by name.
pub fn measures() -> Vec<(&'static str, &'static str)> {
    glossary::MEASURES.to_vec()
}

/// Makes a check that takes no argument.
fn plain<C: Check + Default + 'static>(argument: Option<&str>) -> Result<Box<dyn Check>, String> {
    match argument {
        None => Ok(Box::new(C::default())),
        Some(text) => Err(format!("it takes no argument; `({text})` is too much")),
    }
}

/// A node's name.
fn node(host: usize) -> String {
    format!("n{}", host + 1)
}

/// Where it matters which group: ` of group 3`. A node's only group is group 1.
fn of_group(group: u32) -> String {
    if group <= 1 { String::new() } else { format!(" of group {group}") }
}

/// Whether the run enters this phase by the fact.
fn enters(fact: &Fact<'_>, phase: &str) -> bool {
    matches!(fact.get(), Some(KernelEvent::Phase { name }) if *name == phase)
}

/// Whether the fact ends a process, and how.
fn death(fact: &Fact<'_>) -> Option<&'static str> {
    match fact.get()? {
        KernelEvent::Crashed { .. } => Some("crash"),
        KernelEvent::PowerLost { .. } => Some("power loss"),
        KernelEvent::Exited { .. } => Some("end"),
        KernelEvent::Panicked { .. } => Some("panic"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use kernel::registry::Claim;

    #[test]
    fn each_word_stands_once_and_explains_itself() {
        let words = super::words();
        let names: BTreeSet<&str> = words.iter().map(|w| w.word).collect();
        assert_eq!(names.len(), words.len());
        for word in words {
            assert!(!word.about.is_empty(), "{}", word.word);
            let plain = (word.make)(None).is_ok();
            assert!(plain || word.claim == Claim::Eventually, "{}", word.word);
            assert!((word.make)(Some("nonsense")).is_err(), "{}", word.word);
        }
    }
}
