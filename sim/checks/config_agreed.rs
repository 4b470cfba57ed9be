//! All nodes go through the same configurations in the same order; each is in force only where the
//! entry that makes it so is committed; and from one set of voters to another there is a way only
//! through a joint configuration, so any two majorities that follow each other share a member.
//!
//! A node that boots or installs a snapshot states the configuration of that log position, which
//! must be the one that was in force there. Left out: that only one change is under way
//! (`one_change_at_a_time`), and whether members stay within reach. Source: Ongaro's thesis, 4.3.

use std::collections::BTreeMap;

use kernel::check::{Check, Fact, Finding, Hears, View};
use kernel::registry::{CheckWord, Claim};
use raft_driver::event::RaftEvent;

use crate::configs::Config;
use crate::{RAFT, node, of_group, plain};

/// The word `config_agreed`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "config_agreed",
        about: "nodes go through the same configurations, each once it is committed, and change \
                voters only through a joint one",
        claim: Claim::Always,
        make: plain::<ConfigAgreed>,
    }
}

#[derive(Default)]
struct Group {
    committed: u64,
    /// The configuration from each index on, and who stated it first.
    known: BTreeMap<u64, (usize, Config)>,
}

/// Commits and configurations of each group.
#[derive(Default)]
struct ConfigAgreed {
    groups: BTreeMap<u32, Group>,
}

/// Whether two configurations say the same.
fn same(a: &Config, b: &Config) -> bool {
    (a.voters, a.outgoing, a.learners) == (b.voters, b.outgoing, b.learners)
}

/// Whether the one may come right after the other.
fn follows(before: &Config, after: &Config) -> bool {
    let enters = !before.is_joint() && after.outgoing == before.voters;
    let leaves = before.is_joint()
        && !after.is_joint()
        && (before.voters, before.learners) == (after.voters, after.learners);
    same(before, after) || enters || leaves
}

impl ConfigAgreed {
    fn group(&mut self, group: u32) -> &mut Group {
        self.groups.entry(group).or_default()
    }

    fn states(&mut self, id: u32, host: usize, config: Config) -> Result<(), Finding> {
        let group = self.group(id);
        let (name, of, index) = (node(host), of_group(id), config.index);
        if index > group.committed {
            let text = format!(
                "{name} goes by the configuration{of} of entry {index}, and only {} is committed",
                group.committed
            );
            return Err(Finding::at(host, text));
        }
        let known = group.known.get(&index).copied();
        if known.is_some_and(|(_, first)| same(&first, &config)) {
            return Ok(());
        }
        if let Some((other, _)) = known {
            let text = format!(
                "{name} and {} go by different configurations{of} from {index} on",
                node(other)
            );
            return Err(Finding { hosts: vec![host, other], text });
        }
        let before = group.known.range(..index).next_back().map(|(_, (_, config))| config);
        // Whoever led has stated each change before anybody could state a later one.
        let is_newest = group.known.range(index + 1..).next().is_none();
        let fits = before.is_none_or(|before| match is_newest {
            true => follows(before, &config),
            false => same(before, &config),
        });
        if fits {
            group.known.insert(index, (host, config));
            return Ok(());
        }
        let text =
            format!("{name} goes by a configuration{of} from {index} on that nothing leads to");
        Err(Finding::at(host, text))
    }
}

impl Check for ConfigAgreed {
    fn hears(&self) -> Hears {
        Hears::Only(&[RAFT])
    }

    fn observe(&mut self, fact: &Fact<'_>, _: &View<'_>) -> Result<(), Finding> {
        let Some(event) = fact.get::<RaftEvent>() else { return Ok(()) };
        if let RaftEvent::Committed { group, index, .. } = event {
            let known = &mut self.group(*group).committed;
            *known = (*index).max(*known);
        }
        match Config::stated(event) {
            Some(config) => self.states(event.group(), fact.host, config),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(index: u64, voters: u64, outgoing: u64, learners: u64) -> Config {
        Config { index, voters, outgoing, learners }
    }

    /// n1 to n3 voted from the beginning, and n1 has gone to n3, n4 and n5.
    fn changed() -> ConfigAgreed {
        let mut check = ConfigAgreed::default();
        check.states(1, 0, config(0, 0b111, 0, 0)).unwrap();
        check.group(1).committed = 20;
        check.states(1, 0, config(10, 0b11100, 0b111, 0b10)).unwrap();
        check.states(1, 0, config(12, 0b11100, 0, 0b10)).unwrap();
        check
    }

    #[test]
    fn others_go_the_same_way_and_snapshots_join_it() {
        let mut check = changed();
        check.states(1, 1, config(0, 0b111, 0, 0)).unwrap();
        check.states(1, 1, config(10, 0b11100, 0b111, 0b10)).unwrap();
        check.states(1, 3, config(11, 0b11100, 0b111, 0b10)).unwrap();
        check.states(1, 4, config(17, 0b11100, 0, 0b10)).unwrap();
        check.states(1, 2, config(4, 0b111, 0, 0)).unwrap();
    }

    #[test]
    fn a_configuration_that_is_not_committed_is_found() {
        let finding = changed().states(1, 2, config(21, 0b11111, 0b11100, 0)).unwrap_err();
        let text = "n3 goes by the configuration of entry 21, and only 20 is committed";
        assert_eq!(finding.text, text);
    }

    #[test]
    fn disagreement_and_shortcuts_are_found() {
        assert!(changed().states(1, 1, config(10, 0b11101, 0b111, 0)).is_err());
        let direct = changed().states(1, 0, config(15, 0b111, 0, 0)).unwrap_err();
        assert!(direct.text.contains("nothing leads to"), "{}", direct.text);
        assert!(changed().states(1, 0, config(15, 0b111, 0b110, 0)).is_err(), "other old voters");
        let learner = config(15, 0b11110, 0, 0);
        assert!(changed().states(1, 0, learner).is_err(), "a learner that votes");
        let late = changed().states(1, 4, config(11, 0b11100, 0, 0b10)).unwrap_err();
        assert_eq!(late.hosts, [4]);
    }
}
