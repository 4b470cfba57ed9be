//! Claims and measures. One file is one word that a scenario's `[check]` may name, or a group of
//! measures that every run has; the list below is all of them.
//!
//! A check sees facts and never acts. Its core is a small ledger that takes plain numbers, so that
//! each can be tested without a cluster. Nodes are indices here and `n1`, `n2` ... in texts.

use std::any::TypeId;

use kernel::check::{Check, Fact, Finding, Hears, View};
use kernel::event::{ClientEvent, KernelEvent};
use kernel::registry::CheckWord;
use raft_driver::event::RaftEvent;
use store::event::StoreEvent;

mod acked_durable;
mod command_repeated;
mod commit_monotonic;
mod config_agreed;
mod configs;
mod converged;
mod disk_full_waited;
mod election_safety;
mod election_times;
mod elections;
mod exactly_once;
mod fsync_before_ack;
mod glossary;
mod goodput_back;
mod in_flight_bounded;
mod latency;
mod layers;
mod leader_append_only;
mod leader_changed;
mod leader_completeness;
mod leader_within;
mod leadership_transferred;
mod lease_exclusive;
mod lease_served;
mod leases;
mod linearizable;
mod log_matching;
mod membership_changed;
mod memory;
mod no_needless_election;
mod one_change_at_a_time;
mod one_vote_per_term;
mod read_fresh;
mod recoverable_or_refuse;
mod refusals;
mod snapshot_installed;
mod snapshot_starved;
mod snapshots;
mod state_machine_safety;
mod tables;
mod tail_lost;
mod threads;
mod waiters_bounded;
mod wal;
mod wal_bounded;

/// Every check.
pub fn words() -> Vec<CheckWord> {
    vec![
        acked_durable::word(),
        command_repeated::word(),
        commit_monotonic::word(),
        config_agreed::word(),
        converged::word(),
        disk_full_waited::word(),
        election_safety::word(),
        election_times::word(),
        elections::word(),
        exactly_once::word(),
        fsync_before_ack::word(),
        goodput_back::word(),
        in_flight_bounded::word(),
        latency::word(),
        layers::word(),
        leader_append_only::word(),
        leader_changed::word(),
        leader_completeness::word(),
        leader_within::word(),
        leadership_transferred::word(),
        lease_exclusive::word(),
        lease_served::word(),
        leases::word(),
        linearizable::word(),
        log_matching::word(),
        membership_changed::word(),
        memory::word(),
        no_needless_election::word(),
        one_change_at_a_time::word(),
        one_vote_per_term::word(),
        read_fresh::word(),
        recoverable_or_refuse::word(),
        refusals::word(),
        snapshot_installed::word(),
        snapshot_starved::word(),
        snapshots::word(),
        state_machine_safety::word(),
        tables::word(),
        tail_lost::word(),
        threads::word(),
        waiters_bounded::word(),
        wal::word(),
        wal_bounded::word(),
    ]
}

/// What each measure means, by name.
pub fn measures() -> Vec<(&'static str, &'static str)> {
    glossary::MEASURES.to_vec()
}

/// What checks hear of, by who says it.
const KERNEL: TypeId = TypeId::of::<KernelEvent>();
const CLIENTS: TypeId = TypeId::of::<ClientEvent>();
const RAFT: TypeId = TypeId::of::<RaftEvent>();
const STORE: TypeId = TypeId::of::<StoreEvent>();

/// Makes a check that takes no argument.
fn plain<C: Check + Default + 'static>(argument: Option<&str>) -> Result<Box<dyn Check>, String> {
    match argument {
        None => Ok(Box::new(C::default())),
        Some(text) => Err(format!("it takes no argument; `({text})` is too much")),
    }
}

/// What a `sometimes` looks for.
trait Sighting: Default + Send {
    /// Of which type the facts are among which it looks.
    const AMONG: TypeId;

    /// Whether this fact is one.
    fn sees(&mut self, fact: &Fact<'_>) -> bool;
}

/// Counts sightings. What follows the blackout does not count: no fault and no load is behind it.
#[derive(Default)]
struct Seen<S> {
    sighting: S,
    dark: bool,
    count: u64,
}

impl<S: Sighting> Seen<S> {
    fn note(&mut self, fact: &Fact<'_>) {
        self.dark |= enters(fact, "blackout");
        self.count += u64::from(!self.dark && self.sighting.sees(fact));
    }
}

impl<S: Sighting> Check for Seen<S> {
    fn hears(&self) -> Hears {
        Hears::Only(const { &[KERNEL, S::AMONG] })
    }

    fn observe(&mut self, fact: &Fact<'_>, _: &View<'_>) -> Result<(), Finding> {
        self.note(fact);
        Ok(())
    }

    fn count(&self) -> u64 {
        self.count
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

/// Whether clients ask no more from this fact on: with the heal, or after the recovery if there is one.
fn ends_load(fact: &Fact<'_>, view: &View<'_>) -> bool {
    let over = enters(fact, "heal") || enters(fact, "settle");
    over && view.instants().load_ended.is_some()
}

/// Whether the fact ends a process, and how.
fn death(fact: &Fact<'_>) -> Option<&'static str> {
    match fact.get()? {
        KernelEvent::Crashed { .. } => Some("crash"),
        KernelEvent::OutOfMemory { .. } => Some("out-of-memory kill"),
        KernelEvent::PowerLost { .. } => Some("power loss"),
        KernelEvent::Exited { .. } => Some("end"),
        KernelEvent::Panicked { .. } => Some("panic"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use host::Event;
    use kernel::registry::Claim;

    use super::*;

    #[test]
    fn each_word_stands_once_and_explains_itself() {
        let words = super::words();
        let names: BTreeSet<&str> = words.iter().map(|w| w.word).collect();
        assert_eq!(names.len(), words.len());
        for word in words {
            assert!(!word.about.is_empty(), "{}", word.word);
            let plain = (word.make)(None).is_ok();
            let says_so = word.about.contains("in parentheses");
            assert!(plain || says_so, "{}: what it needs is not explained", word.word);
            assert!(plain || word.claim != Claim::Measures, "{}: nobody gives it one", word.word);
            assert!((word.make)(Some("nonsense")).is_err(), "{}", word.word);
        }
    }

    /// How often facts are seen, one host's after another's.
    pub(crate) fn seen<S: Sighting>(facts: &[(usize, &dyn Event)]) -> u64 {
        let mut seen = Seen::<S>::default();
        for (host, event) in facts {
            seen.note(&Fact { at: 1, host: *host, boot: 1, event: *event });
        }
        seen.count()
    }

    #[derive(Default)]
    struct Pauses;

    impl Sighting for Pauses {
        const AMONG: TypeId = KERNEL;

        fn sees(&mut self, fact: &Fact<'_>) -> bool {
            matches!(fact.get(), Some(KernelEvent::Paused))
        }
    }

    #[test]
    fn sightings_count_until_the_blackout() {
        let (seen_one, other) = (KernelEvent::Paused, KernelEvent::StopAsked);
        let dark = KernelEvent::Phase { name: "blackout" };
        assert_eq!(seen::<Pauses>(&[(0, &seen_one), (1, &other), (2, &seen_one)]), 2);
        assert_eq!(seen::<Pauses>(&[(0, &seen_one), (0, &dark), (0, &seen_one)]), 1);
    }
}
