//! Clients that change who belongs to the cluster: who votes, who learns, who is left out. Each change
//! names the whole of what is to be; which, is drawn from what this client last asked for: a voter
//! more or one less, one for another, a learner more, a learner made a voter, or only the fewest
//! voters that it keeps. With several clients changes cross each other, and some are refused.
//!
//! What is drawn is keyed by client and operation. It rests on what was asked for before, not on what
//! came of it: a change that failed or that nobody knows the end of is followed by one from where it
//! was to lead. Values are recorded as sets of voters, bits of their ids. Left out: reading anything
//! back; loads on keys beside this one do. Source: Jepsen's membership nemesis (join, leave), etcd's
//! robustness tests.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use host::Rng;
use host::unit::{Ratio, Span};
use kernel::event::OpEnd;
use kernel::registry::{Word, workload};
use kernel::workload::{Client, ClientFuture, Load, Workload};
use store::client::{Client as Store, Outcome, Target};

use crate::kv;

host::settings! {
    /// The parameters of `reconfigure`.
    pub struct Params {
        /// How many clients ask at the same time, each one change after another.
        clients: u64 = "1", "1..100";
        /// Changes over all clients.
        count: u64 = "10", "1..1000000";
        /// The pause after each change.
        think: Span = "100ms..1s", "0ns..1h";
        /// Each client begins at a time drawn between zero and this.
        stagger: Duration = "500ms", "0ns..1h";
        /// How long a change is tried.
        within: Duration = "5s", "1ms..1h";
        /// The fewest voters that are asked for.
        least: u64 = "3", "1..64";
        /// How many voters there are before the first change; 0: all hosts vote.
        voters: u64 = "0", "0..64";
        /// The share of changes whose new voters must catch up as learners first.
        catch_up: Ratio = "50%", "0%..100%";
        /// The share of changes that replace several voters at once.
        replace_all: Ratio = "15%", "0%..100%";
    }
}

/// The word `reconfigure`.
pub fn word() -> Word<Arc<dyn Workload>> {
    let about = "Clients change who votes and who learns in the cluster, one change after another.";
    workload("reconfigure", about, |params: Params| Ok(Reconfigure { params }))
}

/// The load as the scenario describes it.
struct Reconfigure {
    params: Params,
}

impl Workload for Reconfigure {
    fn clients(&self) -> u64 {
        self.params.clients
    }

    fn start(&self) -> Arc<dyn Load> {
        Arc::new(Changes { params: self.params.clone() })
    }
}

/// The load of one run.
struct Changes {
    params: Params,
}

/// Who belongs to the cluster as far as was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    voters: BTreeSet<u64>,
    learners: BTreeSet<u64>,
}

/// What a change makes of the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Add,
    Remove,
    Replace,
    Teach,
    Promote,
    Shrink,
    ReplaceAll,
}

const KINDS: [Kind; 6] =
    [Kind::Add, Kind::Remove, Kind::Replace, Kind::Teach, Kind::Promote, Kind::Shrink];

/// One of the set; nobody if it is empty.
fn pick(ids: &BTreeSet<u64>, rng: &mut Rng) -> Option<u64> {
    match ids.len() as u64 {
        0 => None,
        n => ids.iter().nth(rng.below(n) as usize).copied(),
    }
}

impl Group {
    fn begins(hosts: u64, voters: u64) -> Group {
        let voters = if voters == 0 { hosts } else { voters.min(hosts) };
        Group { voters: (1..=voters).collect(), learners: BTreeSet::new() }
    }

    /// What a change of that kind makes of it, if it can be made without fewer than `least` voters.
    fn changed(&self, kind: Kind, hosts: u64, least: usize, rng: &mut Rng) -> Option<Group> {
        let mut next = self.clone();
        let outside: BTreeSet<u64> = (1..=hosts).filter(|id| !self.voters.contains(id)).collect();
        let idle: BTreeSet<u64> = outside.difference(&self.learners).copied().collect();
        match kind {
            Kind::Add => {
                next.voters.insert(pick(&outside, rng)?);
            }
            Kind::Remove if self.voters.len() > least => {
                next.voters.remove(&pick(&self.voters, rng)?);
            }
            Kind::Replace => {
                next.voters.remove(&pick(&self.voters, rng)?);
                next.voters.insert(pick(&outside, rng)?);
            }
            Kind::Teach => {
                next.learners.insert(pick(&idle, rng)?);
            }
            Kind::Promote => {
                next.voters.insert(pick(&self.learners, rng)?);
            }
            Kind::Shrink if self.voters.len() > least => {
                while next.voters.len() > least {
                    next.voters.remove(&pick(&next.voters.clone(), rng)?);
                }
            }
            Kind::ReplaceAll => {
                let mut left: BTreeSet<u64> = (1..=hosts).collect();
                next.voters.clear();
                // As few of the old ones as will do.
                let mut order: Vec<u64> = outside.into_iter().collect();
                order.iter().for_each(|id| {
                    left.remove(id);
                });
                while order.len() < least {
                    let id = pick(&left, rng)?;
                    left.remove(&id);
                    order.push(id);
                }
                next.voters.extend(order);
                next.learners.clear();
            }
            Kind::Remove | Kind::Shrink => return None,
        }
        next.learners.retain(|id| !next.voters.contains(id));
        (next != *self && next.voters.len() >= least).then_some(next)
    }

    /// The set of voters as bits.
    fn bits(&self) -> u64 {
        self.voters.iter().filter(|id| **id <= 64).fold(0, |set, id| set | 1 << (id - 1))
    }
}

/// One change as drawn.
struct Asked {
    next: Group,
    catch_up: bool,
    pause: Duration,
}

impl Changes {
    fn draw(&self, hosts: u64, group: &Group, rng: &mut Rng) -> Asked {
        let least = self.params.least as usize;
        let catch_up = rng.below(1_000_000) < u64::from(self.params.catch_up.0);
        let all = rng.below(1_000_000) < u64::from(self.params.replace_all.0);
        let pause = kv::draw_span(self.params.think, rng);
        let first = rng.below(KINDS.len() as u64) as usize;
        // What cannot be done now gives way to the next kind.
        let kinds = KINDS.iter().cycle().skip(first).take(KINDS.len()).copied();
        let kinds = all.then_some(Kind::ReplaceAll).into_iter().chain(kinds);
        let mut possible = kinds.filter_map(|kind| group.changed(kind, hosts, least, rng));
        let next = possible.next().unwrap_or_else(|| group.clone());
        Asked { next, catch_up, pause }
    }

    async fn change(&self, client: &Client, store: &mut Store, op: u64, asked: &Asked) {
        let Group { voters, learners } = asked.next.clone();
        let bits = asked.next.bits();
        client.invoked(op, "change", "members", bits);
        let (voters, learners) = (voters.into_iter().collect(), learners.into_iter().collect());
        let target = Target { voters, learners, catch_up: asked.catch_up, since: None };
        let (end, version) = match store.change(target, self.params.within).await {
            Outcome::Ok { version } => (OpEnd::Ok, version),
            Outcome::Unknown => (OpEnd::Unknown, 0),
            Outcome::Mismatch { .. } | Outcome::Fail(_) => (OpEnd::Fail, 0),
        };
        client.returned(op, end, version, bits);
    }
}

impl Load for Changes {
    fn load(self: Arc<Self>, client: Client) -> ClientFuture {
        Box::pin(async move {
            let host = client.host.clone();
            let hosts = client.members.all.len() as u64;
            let mut store = kv::dial(&client, Default::default());
            let mut group = Group::begins(hosts, self.params.voters);
            kv::begin(&client, self.params.stagger).await;
            for op in kv::ops(client.index, self.params.clients, self.params.count) {
                let asked = self.draw(hosts, &group, &mut host.rng("load", op));
                if !client.skips(op) {
                    self.change(&client, &mut store, op, &asked).await;
                    host.clock().sleep(asked.pause).await;
                }
                group = asked.next;
            }
        })
    }

    fn read_back(self: Arc<Self>, _: Client) -> ClientFuture {
        Box::pin(async {})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(least: u64, count: u8) -> Vec<Group> {
        let params = Params { least, ..Params::default() };
        let load = Changes { params };
        let mut group = Group::begins(5, 3);
        let draw = |op: u8| {
            group = load.draw(5, &group, &mut Rng::from_key([op; 32])).next;
            group.clone()
        };
        (0..count).map(draw).collect()
    }

    #[test]
    fn a_quorum_of_hosts_is_always_asked_for() {
        for group in draws(3, 200) {
            assert!((3..=5).contains(&group.voters.len()), "{group:?}");
            assert!(group.voters.is_disjoint(&group.learners), "{group:?}");
            assert!(group.voters.union(&group.learners).all(|id| (1..=5).contains(id)));
        }
    }

    #[test]
    fn all_kinds_occur_and_nothing_is_asked_for_twice_running() {
        let all = draws(3, 200);
        assert!(all.windows(2).all(|pair| pair[0] != pair[1]));
        assert!(all.iter().any(|g| g.voters.len() == 5) && all.iter().any(|g| g.voters.len() == 3));
        assert!(all.iter().any(|g| !g.learners.is_empty()));
        let gone = |a: &Group, b: &Group| a.voters.difference(&b.voters).count();
        assert!(all.windows(2).any(|pair| gone(&pair[0], &pair[1]) >= 2));
        let promoted = |a: &Group, b: &Group| b.voters.intersection(&a.learners).count();
        assert!(all.windows(2).any(|pair| promoted(&pair[0], &pair[1]) > 0));
    }

    #[test]
    fn voters_are_bits() {
        assert_eq!(Group::begins(5, 3).bits(), 0b111);
        assert_eq!(Group::begins(5, 0).bits(), 0b11111);
    }
}
