//! No word: who belongs to a group, as the nodes state it, for the checks that count majorities.
//!
//! Each node goes by a configuration of its own until it learns of a later one; the newest is that
//! of the greatest log index which any node has stated. As long as nobody has stated one, all
//! nodes vote. Sets are bits, the first host the lowest; hosts beyond the 64th are not counted.

use std::collections::BTreeMap;

use kernel::check::Fact;
use raft_driver::event::RaftEvent;

/// A configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// The entry or snapshot that made it so.
    pub(crate) index: u64,
    pub(crate) voters: u64,
    /// The old voters of a joint configuration.
    pub(crate) outgoing: u64,
    pub(crate) learners: u64,
}

fn holds(set: u64, host: usize) -> bool {
    host < 64 && set >> host & 1 == 1
}

fn majority(set: u64, counts: &impl Fn(usize) -> bool) -> bool {
    let all = (0..64).filter(|host| holds(set, *host));
    let (mut size, mut counted) = (0, 0);
    for host in all {
        size += 1;
        counted += usize::from(counts(host));
    }
    counted > size / 2
}

impl Config {
    /// The configuration that a fact states.
    pub(crate) fn stated(event: &RaftEvent) -> Option<Config> {
        match event {
            RaftEvent::ConfigChanged { index, voters, outgoing, learners, .. } => Some(Config {
                index: *index,
                voters: *voters,
                outgoing: *outgoing,
                learners: *learners,
            }),
            _ => None,
        }
    }

    pub(crate) fn is_joint(&self) -> bool {
        self.outgoing != 0
    }

    /// Whether the host has a vote.
    pub(crate) fn votes(&self, host: usize) -> bool {
        holds(self.voters | self.outgoing, host)
    }

    /// Whether the host is to hold the log.
    pub(crate) fn belongs(&self, host: usize) -> bool {
        self.votes(host) || holds(self.learners, host)
    }

    /// Whether the hosts that count are a majority, in a joint configuration one of either half.
    pub(crate) fn has_quorum(&self, counts: impl Fn(usize) -> bool) -> bool {
        majority(self.voters, &counts) && (!self.is_joint() || majority(self.outgoing, &counts))
    }
}

/// The configurations of one group.
#[derive(Debug, Default)]
pub(crate) struct Configs {
    by_host: BTreeMap<usize, Config>,
    newest: Option<Config>,
}

impl Configs {
    /// A node states the configuration that it goes by.
    pub(crate) fn note(&mut self, host: usize, config: Config) {
        self.by_host.insert(host, config);
        if self.newest.is_none_or(|newest| newest.index <= config.index) {
            self.newest = Some(config);
        }
    }

    /// Takes notice of a fact about the group.
    pub(crate) fn observe(&mut self, fact: &Fact<'_>, event: &RaftEvent) -> bool {
        let stated = Config::stated(event);
        stated.into_iter().for_each(|config| self.note(fact.host, config));
        stated.is_some()
    }

    /// What a node goes by.
    pub(crate) fn of(&self, host: usize) -> Option<&Config> {
        self.by_host.get(&host)
    }

    /// The newest one.
    pub(crate) fn newest(&self) -> Option<&Config> {
        self.newest.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(index: u64, voters: u64, outgoing: u64) -> Config {
        Config { index, voters, outgoing, learners: 0b10_0000 }
    }

    #[test]
    fn a_joint_configuration_needs_both_majorities() {
        let joint = config(5, 0b11100, 0b00111);
        assert!(joint.has_quorum(|host| host == 0 || host == 2 || host == 3));
        assert!(!joint.has_quorum(|host| host >= 2), "one of the old three");
        assert!(!joint.has_quorum(|host| host <= 2), "one of the new three");
        assert!(joint.votes(0) && joint.votes(4) && !joint.votes(5) && joint.belongs(5));
    }

    #[test]
    fn a_majority_is_more_than_half_and_learners_count_nothing() {
        let four = config(5, 0b1111, 0);
        assert!(!four.has_quorum(|host| host < 2 || host == 5));
        assert!(four.has_quorum(|host| host < 3));
    }

    #[test]
    fn a_node_that_restarts_from_an_old_one_does_not_make_it_the_newest() {
        let mut configs = Configs::default();
        configs.note(0, config(0, 0b111, 0));
        configs.note(0, config(9, 0b110, 0));
        configs.note(1, config(0, 0b111, 0));
        assert_eq!(configs.newest().map(|c| c.index), Some(9));
        assert_eq!(configs.of(1).map(|c| c.index), Some(0));
    }
}
