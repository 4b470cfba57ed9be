//! Who belongs to a group: voters, of whom majorities are made, and learners, who follow and do not
//! count. All of them are known hosts; a host that is neither runs, follows nothing and never
//! stands for election.
//!
//! Every change goes through a joint configuration, even one that a single step could make: an
//! entry that enters it, under which a decision takes a majority of the old voters and one of the
//! new, and an entry that leaves it. One path is easier to trust than two. A change takes effect
//! where it is *committed*, never where it is merely appended. Source: Ongaro's thesis, 4.3; etcd's
//! joint consensus (`ConfChangeV2`).
//!
//! Left out: witnesses, priorities, and hosts that nobody knew when the cluster began.

use std::fmt;

use bytes::Bytes;
use protobuf::Message as _;
use raft::eraftpb::{
    ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState, Entry,
    EntryType,
};

use crate::chain::seal;

/// Who is to belong to a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// The voters; at least one.
    pub voters: Vec<u64>,
    /// The learners; none of them a voter.
    pub learners: Vec<u64>,
    /// Whether a new voter must have most of the log before it counts: it is a learner first.
    pub catch_up: bool,
    /// The index since which the members are what the change was made from; it is not begun if they
    /// have changed since. `None`: whatever they are.
    pub since: Option<u64>,
}

/// Why a change was not begun, or not gone through with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Another change is under way.
    Pending,
    /// Nobody would vote.
    NoVoter,
    /// Somebody is named twice.
    Twice,
    /// Somebody is named whom this host does not know.
    Stranger,
    /// A new voter did not catch up in time; it stays a learner.
    Behind,
    /// The members are others than those from which the change was made.
    Moved,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Refusal; 6] = [
        Refusal::Pending,
        Refusal::NoVoter,
        Refusal::Twice,
        Refusal::Stranger,
        Refusal::Behind,
        Refusal::Moved,
    ];

    /// What to tell people.
    pub fn text(self) -> &'static str {
        match self {
            Refusal::Pending => "another change of members is under way",
            Refusal::NoVoter => "a group needs at least one voter",
            Refusal::Twice => "a member is named twice",
            Refusal::Stranger => "there is no such host",
            Refusal::Moved => "the members have changed meanwhile",
            Refusal::Behind => "a new voter did not catch up in time, and stays a learner",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// The group is as was asked, since the entry at this index; 0: it always was.
    Done {
        /// The index.
        index: u64,
    },
    /// It is not, and will not be by this request.
    Refused(Refusal),
}

/// Who belongs to a group, by one node's knowledge. All lists are in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// The index of the entry or snapshot that made it so; 0 at the beginning.
    pub index: u64,
    /// The voters; in a joint configuration the new ones.
    pub voters: Vec<u64>,
    /// In a joint configuration the old voters, else none.
    pub outgoing: Vec<u64>,
    /// The learners, and voters that will be learners once the joint configuration is left.
    pub learners: Vec<u64>,
}

fn sorted(ids: impl IntoIterator<Item = u64>) -> Vec<u64> {
    let mut ids: Vec<u64> = ids.into_iter().collect();
    ids.sort_unstable();
    ids
}

/// A set of ids as bits, id 1 the lowest, for facts; ids above 64 are left out.
pub(crate) fn bits(ids: &[u64]) -> u64 {
    ids.iter().filter(|id| (1..=64).contains(*id)).fold(0, |set, id| set | 1 << (id - 1))
}

impl Membership {
    pub(crate) fn new(index: u64, conf: &ConfState) -> Membership {
        let learners = conf.learners.iter().chain(&conf.learners_next);
        Membership {
            index,
            voters: sorted(conf.voters.iter().copied()),
            outgoing: sorted(conf.voters_outgoing.iter().copied()),
            learners: sorted(learners.copied()),
        }
    }

    /// Whether two majorities are needed.
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether it takes part in elections and commits.
    pub fn votes(&self, id: u64) -> bool {
        self.voters.contains(&id) || self.outgoing.contains(&id)
    }

    /// Whether it is to hold the log.
    pub fn belongs(&self, id: u64) -> bool {
        self.votes(id) || self.learners.contains(&id)
    }

    /// Whether it is what was asked for.
    pub(crate) fn is(&self, target: &Target) -> bool {
        let same = self.voters == target.voters && self.learners == target.learners;
        same && !self.is_joint()
    }

    /// The target by way of which a new voter becomes a learner first; `None` if there is no new
    /// one.
    pub(crate) fn learning(&self, target: &Target) -> Option<Target> {
        let new: Vec<u64> =
            target.voters.iter().copied().filter(|v| !self.voters.contains(v)).collect();
        if new.is_empty() || !target.catch_up {
            return None;
        }
        let mut learners: Vec<u64> = self.learners.iter().copied().chain(new).collect();
        learners.sort_unstable();
        learners.dedup();
        let voters = self.voters.clone();
        Some(Target { voters, learners, catch_up: false, since: None })
    }
}

impl Target {
    /// The same with its lists in order, if it makes sense among those hosts.
    pub(crate) fn checked(self, known: impl Fn(u64) -> bool) -> Result<Target, Refusal> {
        let (voters, learners) = (sorted(self.voters), sorted(self.learners));
        if voters.is_empty() {
            return Err(Refusal::NoVoter);
        }
        let all = sorted(voters.iter().chain(&learners).copied());
        if all.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Refusal::Twice);
        }
        if !all.into_iter().all(known) {
            return Err(Refusal::Stranger);
        }
        Ok(Target { voters, learners, ..self })
    }
}

/// The steps from a configuration that is not joint to a target.
fn steps(now: &Membership, target: &Target) -> Vec<ConfChangeSingle> {
    let one = |kind, id: u64| {
        let mut step = ConfChangeSingle::default();
        step.set_change_type(kind);
        step.node_id = id;
        step
    };
    let (voters, learners) = (&target.voters, &target.learners);
    let adds = voters.iter().filter(|id| !now.voters.contains(id));
    let teaches = learners.iter().filter(|id| !now.learners.contains(id));
    let stays = |id: &&u64| !voters.contains(id) && !learners.contains(id);
    let removes = now.voters.iter().chain(&now.learners).filter(stays);
    let adds = adds.map(|id| one(ConfChangeType::AddNode, *id));
    let teaches = teaches.map(|id| one(ConfChangeType::AddLearnerNode, *id));
    let removes = removes.map(|id| one(ConfChangeType::RemoveNode, *id));
    adds.chain(teaches).chain(removes).collect()
}

/// The entry that enters the joint configuration on the way to a target.
pub(crate) fn enter(now: &Membership, target: &Target) -> Entry {
    let mut change = ConfChangeV2::default();
    change.set_transition(ConfChangeTransition::Explicit);
    change.set_changes(steps(now, target).into());
    let data: Bytes = change.write_to_bytes().expect("a small message can be written").into();
    let mut entry = leave();
    entry.context = seal(&[], crc32fast::hash(&data));
    entry.data = data;
    entry
}

/// The entry that leaves a joint configuration.
pub(crate) fn leave() -> Entry {
    let mut entry = Entry::default();
    entry.set_entry_type(EntryType::EntryConfChangeV2);
    entry
}

/// Whether the entry changes who belongs to the group.
pub(crate) fn is_change(entry: &Entry) -> bool {
    entry.get_entry_type() != EntryType::EntryNormal
}

/// The change that an entry asks for; `None` if it is none.
pub(crate) fn read(entry: &Entry) -> Option<ConfChangeV2> {
    if entry.get_entry_type() != EntryType::EntryConfChangeV2 {
        return None;
    }
    let mut change = ConfChangeV2::default();
    change.merge_from_bytes(&entry.data).ok()?;
    let explicit = change.get_transition() == ConfChangeTransition::Explicit;
    // Nobody proposes anything else, and nothing else is understood.
    (explicit != change.changes.is_empty()).then_some(change)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use raft::Config;
    use raft::raw_node::RawNode;
    use raft::storage::MemStorage;

    fn node(voters: &[u64], learners: &[u64]) -> RawNode<MemStorage> {
        let conf = (voters.to_vec(), learners.to_vec());
        let config = Config { id: 1, election_tick: 10, heartbeat_tick: 1, ..Config::default() };
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        RawNode::new(&config, MemStorage::new_with_conf_state(conf), &logger).unwrap()
    }

    fn now(node: &RawNode<MemStorage>) -> Membership {
        Membership::new(0, &node.raft.prs().conf().to_conf_state())
    }

    fn target(bits: u8, kind: u8) -> Target {
        let ids = |of: u8| (1..=7).filter(move |id| of >> (id - 1) & 1 == 1).collect();
        let (voters, learners) = (ids(bits & kind), ids(bits & !kind));
        Target { voters, learners, ..Target::default() }
    }

    proptest! {
        /// Whatever the group is and is to be, entering and leaving makes it so.
        #[test]
        fn every_target_is_reached(from in any::<(u8, u8)>(), to in any::<(u8, u8)>()) {
            let known = |id| id <= 7;
            let (from, to) = (target(from.0, from.1), target(to.0, to.1));
            prop_assume!(!from.voters.is_empty() && !to.voters.is_empty() && from != to);
            let to = to.checked(known).unwrap();
            let mut node = node(&from.voters, &from.learners);
            let change = read(&enter(&now(&node), &to)).expect("a change");
            node.apply_conf_change(&change).unwrap();
            let joint = now(&node);
            prop_assert!(joint.is_joint() && joint.outgoing == from.voters);
            prop_assert_eq!(&joint.voters, &to.voters);
            prop_assert!(!joint.is(&to));
            node.apply_conf_change(&read(&leave()).expect("a change")).unwrap();
            prop_assert!(now(&node).is(&to));
        }

        #[test]
        fn garbage_is_no_change(data in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut entry = leave();
            entry.data = data.into();
            let _ = read(&entry);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let target = |voters: &[u64], learners: &[u64]| {
            let (voters, learners) = (voters.to_vec(), learners.to_vec());
            Target { voters, learners, catch_up: true, since: None }.checked(|id| id <= 5)
        };
        assert_eq!(target(&[], &[1]).unwrap_err(), Refusal::NoVoter);
        assert_eq!(target(&[1, 2, 1], &[]).unwrap_err(), Refusal::Twice);
        assert_eq!(target(&[1, 2], &[2]).unwrap_err(), Refusal::Twice);
        assert_eq!(target(&[1, 6], &[]).unwrap_err(), Refusal::Stranger);
        assert_eq!(target(&[3, 1], &[2]).unwrap().voters, [1, 3]);
    }

    #[test]
    fn a_new_voter_is_a_learner_first_if_it_is_to_catch_up() {
        let now = Membership { voters: vec![1, 2], learners: vec![5], ..Membership::default() };
        let wanted = |voters: &[u64], catch_up| {
            let voters = voters.to_vec();
            now.learning(&Target { voters, catch_up, ..Target::default() })
        };
        let first = wanted(&[2, 4, 5], true).unwrap();
        assert_eq!((first.voters, first.learners), (vec![1, 2], vec![4, 5]));
        assert_eq!(wanted(&[2, 4], false), None);
        assert_eq!(wanted(&[2], true), None);
    }

    #[test]
    fn sets_are_bits() {
        assert_eq!(bits(&[1, 3, 64, 65, 0]), 1 | 4 | 1 << 63);
    }
}
