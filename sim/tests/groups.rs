//! Several Raft groups in one process share a log, connections and threads, and stay apart: after crashes,
//! power losses and partitions each group has one log and one state on all hosts, every group reaches its
//! goal, and the same seed in perturbed surroundings is the same run.
//!
//! The node is made for this test: no store yet has more than one group. It is its own load (whoever leads a
//! group proposes to it), an entry is filled with its group's number, and a state that meets an entry or an
//! image of another group says so. Chains and states are compared by the checks that judge the real nodes.

mod bystander;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use host::{Chunks, Host, Members};
use kernel::check::{Check, Fact, Finding, Measure, Unit, View};
use kernel::library::Library;
use kernel::outcome::{Outcome, Verdict};
use kernel::registry::{CheckWord, Claim, Registry, node};
use kernel::run::{Options, leak, run};
use raft_driver::event::RaftEvent;
use raft_driver::{Config, Image, Raft, StateMachine};

const GROUPS: [u32; 4] = [1, 2, 3, 7];
/// Entries that each group's leaders put into its log.
const GOAL: u64 = 350;
const SEEDS: u64 = 8;

/// What a group replicates: a number that depends on all its entries and their order.
struct Sum {
    group: u32,
    value: u64,
    /// Entries so far; shared with the load, which ends at the goal.
    entries: Arc<AtomicU64>,
}

impl StateMachine for Sum {
    fn apply(&mut self, index: u64, _: u64, _: &Bytes, data: &Bytes) -> Bytes {
        let own = data.iter().all(|b| u32::from(*b) == self.group);
        assert!(own, "group {} is given an entry of another group", self.group);
        self.value = self.value.wrapping_mul(31).wrapping_add(index + data.len() as u64);
        self.entries.fetch_add(u64::from(!data.is_empty()), Ordering::Relaxed);
        Bytes::new()
    }

    fn snapshot(&self) -> Image {
        let mut image = Image::new();
        for part in [u64::from(self.group), self.value, self.entries.load(Ordering::Relaxed)] {
            image.push(part.to_le_bytes().to_vec().into());
        }
        image
    }

    fn restore(&mut self, image: Chunks) -> io::Result<()> {
        let bytes = image.to_bytes();
        let parts: Vec<u64> =
            bytes.chunks(8).map(|c| u64::from_le_bytes(c.try_into().expect("eight"))).collect();
        let [group, value, entries] = parts[..] else {
            return Err(io::Error::other("an image of another size"));
        };
        assert_eq!(group, u64::from(self.group), "an image of another group");
        self.value = value;
        self.entries.store(entries, Ordering::Relaxed);
        Ok(())
    }

    fn state_hash(&self) -> u64 {
        self.value
    }

    fn size(&self) -> u64 {
        24
    }
}

async fn groups(host: Host, config: Config, members: Members) -> io::Result<()> {
    let counts: BTreeMap<u32, Arc<AtomicU64>> = GROUPS.map(|g| (g, Arc::default())).into();
    let sum = |group| -> Box<dyn StateMachine> {
        Box::new(Sum { group, value: 0, entries: counts[&group].clone() })
    };
    let raft = raft_driver::start(&host, &config, &members, &GROUPS, sum).await?;
    for (group, entries) in &counts {
        let lead = lead(host.clone(), raft.clone(), *group, members.me, entries.clone());
        host.thread("load").spawn("lead", lead);
    }
    raft.ended().await
}

/// Proposes to a group while this host leads it, until the goal is reached.
async fn lead(host: Host, raft: Raft, group: u32, me: u64, entries: Arc<AtomicU64>) {
    while entries.load(Ordering::Relaxed) < GOAL {
        host.clock().sleep(Duration::from_millis(8)).await;
        if raft.leader(group) != me {
            continue;
        }
        let data = Bytes::from(vec![group as u8; 300 * group as usize]);
        // What became of it the checks say; nobody waits for an answer that may never come.
        drop(raft.propose(group, b"", data));
        drop(raft.read(group));
    }
}

/// What a run must have gone through to have tested anything.
#[derive(Default)]
struct Seen {
    applied: BTreeMap<u32, u64>,
    leaders: BTreeSet<usize>,
    installed: BTreeSet<u32>,
    /// Which groups had promised something that lies in this segment of this host.
    segments: BTreeMap<(usize, u64), BTreeSet<u32>>,
}

impl Check for Seen {
    fn observe(&mut self, fact: &Fact<'_>, _: &View<'_>) -> Result<(), Finding> {
        match fact.get() {
            Some(RaftEvent::Applied { group, last, .. }) => {
                let furthest = self.applied.entry(*group).or_default();
                *furthest = (*last).max(*furthest);
            }
            Some(RaftEvent::Leader { .. }) => {
                self.leaders.insert(fact.host);
            }
            Some(RaftEvent::SnapshotInstalled { group, .. }) => {
                self.installed.insert(*group);
            }
            Some(RaftEvent::AppendAcked { group, wal_segment, .. }) => {
                self.segments.entry((fact.host, *wal_segment)).or_default().insert(*group);
            }
            _ => {}
        }
        Ok(())
    }

    fn measures(&self, _: &View<'_>) -> Vec<Measure> {
        let count = |name, value| Measure { name, value, unit: Unit::Count };
        let least = GROUPS.iter().map(|g| self.applied.get(g).copied().unwrap_or(0)).min();
        let shared = self.segments.values().filter(|groups| groups.len() == GROUPS.len()).count();
        vec![
            count("applied_by_every_group", least.unwrap_or(0)),
            count("hosts_that_led", self.leaders.len() as u64),
            count("groups_that_installed", self.installed.len() as u64),
            count("segments_of_all_groups", shared as u64),
        ]
    }
}

fn registry() -> Registry {
    let seen = CheckWord {
        word: "seen",
        about: "What happened.",
        claim: Claim::Measures,
        make: |_| Ok(Box::new(Seen::default())),
    };
    let mut checks = checks::words();
    checks.push(seen);
    Registry {
        nodes: vec![node(
            "groups",
            "Four groups.",
            raft_driver::PLANTS,
            store::EVENTS,
            Config::validate,
            groups,
        )],
        workloads: vec![bystander::word()],
        faults: faults::words(),
        checks,
        ..Registry::default()
    }
}

fn count(outcome: &Outcome, name: &str) -> u64 {
    outcome.measure(name).unwrap_or_else(|| panic!("no measure {name}")).value
}

#[test]
fn groups_on_one_log_stay_apart_and_agree() {
    let registry = leak(registry());
    let scenario = Library::find(registry).load("sim/tests/groups.toml", &[]);
    let scenario = Arc::new(scenario.unwrap_or_else(|e| panic!("{e:?}")));
    let (mut installed, mut reached) = (0, BTreeMap::<String, u64>::new());
    for seed in 0..SEEDS {
        let outcome = run(&scenario, registry, &Options::seed(seed)).unwrap();
        assert_eq!(outcome.verdict, Verdict::Pass, "seed {seed}: {:?}", outcome.violations);
        assert!(count(&outcome, "applied_by_every_group") >= GOAL, "seed {seed}");
        assert!(count(&outcome, "hosts_that_led") >= 2, "seed {seed}");
        assert!(count(&outcome, "segments_of_all_groups") >= 5, "seed {seed}");

        assert!(outcome.fired.len() >= 3, "seed {seed}: {:?}", outcome.fired);
        installed = count(&outcome, "groups_that_installed").max(installed);
        for (word, times) in &outcome.sometimes {
            *reached.entry(word.clone()).or_default() += times;
        }
        let perturbed = Options { perturbed: true, other_wall: true, ..Options::seed(seed) };
        let again = run(&scenario, registry, &perturbed).unwrap();
        assert_eq!(again.digest, outcome.digest, "seed {seed}");
        assert_ne!(again.canary, outcome.canary, "the perturbation reaches the hash keys");
    }
    assert_eq!(installed, GROUPS.len() as u64, "every group got a snapshot from a peer");
    assert!(reached.values().all(|times| *times > 0), "{reached:?}");
}

/// The net catches fish: a promise without a sync is found, though another group's sync often covers it.
#[test]
fn a_planted_defect_is_found_in_a_cluster_of_several_groups() {
    let registry = leak(registry());
    let scenario = Library::find(registry).load("sim/tests/groups.toml", &[]);
    let scenario = Arc::new(scenario.unwrap_or_else(|e| panic!("{e:?}")));
    let plants = vec!["ack_before_fsync".to_string()];
    let outcome = run(&scenario, registry, &Options { plants, ..Options::seed(0) }).unwrap();
    let found: Vec<&str> = outcome.violations.iter().map(|v| v.check.as_str()).collect();
    assert!(found.contains(&"fsync_before_ack"), "{:?}", outcome.violations);
}
