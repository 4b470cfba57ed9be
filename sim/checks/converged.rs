//! After everything is healed every member of the group runs again and has put the same log through its state
//! machine, up to all that is known to be committed. Nobody is left behind by a lost snapshot, a
//! stuck queue, or a leader that forgot a follower. Members are the voters and learners of the newest
//! configuration; one that is joint still is to be left. Other nodes may be anywhere.
//!
//! The text says who lags, and by how much. A node that does not come back is awaited as well,
//! unless it refused to serve from a damaged disk. Left out: what the states are
//! (`state_machine_safety`) and whether clients get answers.

use std::collections::BTreeMap;

use kernel::check::{Check, Fact, Finding, Hears, Standing, View};
use kernel::registry::{CheckWord, Claim};
use raft_driver::event::RaftEvent;

use crate::configs::Configs;
use crate::{KERNEL, RAFT, death, node, of_group, plain};

/// The word `converged`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "converged",
        about: "once everything is healed, all members apply the same log up to its committed end",
        claim: Claim::Eventually,
        make: plain::<Converged>,
    }
}

/// How far a node has applied, and the chain hash there if it was stated.
type Applied = (u64, Option<u64>);

#[derive(Default)]
struct Group {
    committed: u64,
    applied: BTreeMap<usize, Applied>,
    configs: Configs,
}

/// How far each node is, in each group; dead ones are absent.
#[derive(Default)]
struct Converged {
    groups: BTreeMap<u32, Group>,
}

impl Group {
    /// What is still to happen with these nodes; `None` if they are equal.
    fn awaits(&self, nodes: impl Iterator<Item = usize>) -> Option<String> {
        let furthest = self.applied.values().map(|a| a.0).max().unwrap_or(0).max(self.committed);
        let newest = self.configs.newest();
        let mut lags = Vec::new();
        if newest.is_some_and(|config| config.is_joint()) {
            lags.push("a joint configuration is to be left".to_string());
        }
        let mut first: Option<(usize, u64)> = None;
        for host in nodes.filter(|host| newest.is_none_or(|c| c.belongs(*host))) {
            let name = node(host);
            match self.applied.get(&host) {
                None => lags.push(format!("{name} is not back")),
                Some((index, _)) if *index < furthest => {
                    let missing = furthest - index;
                    lags.push(format!("{name} has applied {index} of {furthest}, {missing} to go"));
                }
                Some((_, Some(chain))) => match first {
                    Some((other, known)) if known != *chain => {
                        lags.push(format!("{name} and {} differ at {furthest}", node(other)));
                    }
                    _ => first = Some((host, *chain)),
                },
                Some((_, None)) => {}
            }
        }
        (!lags.is_empty()).then(|| lags.join("; "))
    }
}

impl Converged {
    fn awaits(&self, nodes: impl Iterator<Item = usize> + Clone) -> Option<String> {
        let of = |(id, group): (&u32, &Group)| {
            Some(format!("equal logs{}: {}", of_group(*id), group.awaits(nodes.clone())?))
        };
        self.groups.iter().find_map(of)
    }

    fn dies(&mut self, host: usize) {
        for group in self.groups.values_mut() {
            group.applied.remove(&host);
        }
    }
}

impl Check for Converged {
    fn hears(&self) -> Hears {
        Hears::Only(&[KERNEL, RAFT])
    }

    fn observe(&mut self, fact: &Fact<'_>, _: &View<'_>) -> Result<(), Finding> {
        if death(fact).is_some() {
            self.dies(fact.host);
        }
        let Some(event) = fact.get::<RaftEvent>() else { return Ok(()) };
        if matches!(event, RaftEvent::ConfigChanged { .. }) {
            self.groups.entry(event.group()).or_default().configs.observe(fact, event);
            return Ok(());
        }
        let (applied, committed) = match event {
            RaftEvent::Recovered { snapshot_index, .. } => (Some((*snapshot_index, None)), 0),
            RaftEvent::Applied { last, chain, .. } => (Some((*last, Some(*chain))), 0),
            RaftEvent::SnapshotInstalled { index, chain, .. } => (Some((*index, Some(*chain))), 0),
            RaftEvent::Committed { index, .. } => (None, *index),
            _ => return Ok(()),
        };
        let group = self.groups.entry(event.group()).or_default();
        group.committed = group.committed.max(committed);
        if let Some(applied) = applied {
            group.applied.insert(fact.host, applied);
        }
        Ok(())
    }

    fn standing(&self, view: &View<'_>) -> Standing {
        match self.awaits((0..view.nodes()).filter(|host| !view.refused(*host))) {
            None => Standing::Holds,
            Some(what) => Standing::Awaits(what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configs::Config;

    fn group(committed: u64, applied: &[Applied]) -> Group {
        let applied = applied.iter().copied().enumerate().collect();
        Group { committed, applied, configs: Configs::default() }
    }

    #[test]
    fn equal_logs_have_converged_also_if_one_came_from_a_snapshot() {
        assert_eq!(group(9, &[(9, Some(90)), (9, None), (9, Some(90))]).awaits(0..3), None);
        assert_eq!(Converged::default().awaits(0..3), None);
    }

    #[test]
    fn who_lags_and_by_how_much_is_named() {
        let awaited =
            group(500, &[(500, Some(1)), (488, Some(2))]).awaits(0..3).expect("not equal");
        assert_eq!(awaited, "n2 has applied 488 of 500, 12 to go; n3 is not back");
        let all_behind = group(500, &[(499, Some(1)), (499, Some(1))]).awaits(0..2);
        assert!(all_behind.is_some());
    }

    #[test]
    fn equal_length_is_not_equality() {
        let awaited = group(9, &[(9, Some(90)), (9, Some(91))]).awaits(0..2).expect("not equal");
        assert_eq!(awaited, "n2 and n1 differ at 9");
    }

    #[test]
    fn only_members_are_awaited() {
        let at = |index| Some((index, Some(index)));
        let mut group = group(9, &[]);
        group.applied.extend([at(9), at(4), at(9)].into_iter().flatten().enumerate());
        let config = |index, outgoing| Config { index, voters: 0b101, outgoing, learners: 0 };
        group.configs.note(0, config(3, 0b111));
        let awaited = group.awaits(0..3).expect("it is joint");
        assert!(awaited.contains("is to be left") && awaited.contains("n2 has applied 4"));
        group.configs.note(0, config(4, 0));
        assert_eq!(group.awaits(0..3), None);
    }

    #[test]
    fn a_dead_node_is_awaited() {
        let mut check = Converged::default();
        check.groups.insert(0, group(9, &[(9, Some(90)), (9, Some(90))]));
        check.dies(1);
        assert_eq!(check.awaits(0..2).expect("awaited"), "equal logs: n2 is not back");
        assert_eq!(check.awaits(0..1), None, "nobody waits for one that refused to serve");
    }
}
