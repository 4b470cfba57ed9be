//! How things stand at one instant: what the kernel knows of every host, written down for people.
//!
//! Nothing here changes the run or enters the digest, and node code sees none of it. Tasks say what they
//! wait for in the words of the verdict `deadlock`; a file's durable bytes are those that every power loss
//! would leave; its dirty bytes are those that the device has not got.
//!
//! Left out: bytes inside files, frames under way, and what a node keeps in memory beyond what it said
//! and what it claimed.

use std::collections::BTreeMap;

use super::{Links, World};
use crate::Time;
use crate::history::Said;

/// One instant of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// Virtual time in nanoseconds.
    pub at: Time,
    /// The phase's word.
    pub phase: String,
    /// Every host, nodes first.
    pub hosts: Vec<HostSight>,
    /// Directed links that are not as they should be: from, to, what is wrong.
    pub links: Vec<(String, String, String)>,
}

/// One host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSight {
    /// Its name.
    pub name: String,
    /// How many boots it had; of clients always 1.
    pub boots: u32,
    /// `up`, `paused`, `collecting`, `down`, `dark` (no power) or `refuses`.
    pub state: &'static str,
    /// Its monotonic clock in nanoseconds, and by how much its wall clock is off true time.
    pub clock: (u64, i64),
    /// Tasks that live: (thread, task, what it waits for from the kernel, empty if it waits for
    /// another task of its node or is about to run), and how many alike.
    pub tasks: Vec<(String, String, String, u64)>,
    /// Files: (name, length, durable bytes, dirty bytes).
    pub files: Vec<(String, u64, u64, u64)>,
    /// Open connections by peer: (peer, how many, bytes not yet taken at the other end, frames that wait).
    pub connections: Vec<(String, u64, u64, u64)>,
    /// Bytes of memory: live, garbage, the most that was held, the runtime's own among them.
    pub memory: (u64, u64, u64),
    /// What is claimed: (what, bytes, how many claims).
    pub claims: Vec<(String, u64, u64)>,
    /// What its node said last in each word: (source, word, when, as the event reads).
    pub said: Vec<(String, String, Time, String)>,
}

impl World {
    /// Everything at this instant.
    pub(crate) fn sight(&self, phase: &str, said: &Said) -> Sight {
        let mut waits: BTreeMap<u64, Vec<String>> = BTreeMap::new();
        for (task, what) in self.waits() {
            waits.entry(task).or_default().push(what);
        }
        let hosts = (0..self.hosts.len()).map(|host| self.host_sight(host, &waits, said)).collect();
        let mut links = Vec::new();
        for from in 0..self.hosts.len() {
            for to in 0..self.hosts.len() {
                let wrong = self.links.wrong(from, to);
                if from != to && !wrong.is_empty() {
                    let name = |host: usize| self.hosts[host].name.clone();
                    links.push((name(from), name(to), wrong));
                }
            }
        }
        Sight { at: self.now(), phase: phase.to_string(), hosts, links }
    }

    fn host_sight(
        &self,
        host: usize,
        waits: &BTreeMap<u64, Vec<String>>,
        said: &Said,
    ) -> HostSight {
        let machine = &self.hosts[host];
        let state = match machine {
            m if m.refused => "refuses",
            m if !m.powered => "dark",
            m if !m.live => "down",
            m if m.paused_at.is_some() => "paused",
            m if m.collecting.is_some() => "collecting",
            _ => "up",
        };
        let mut tasks: BTreeMap<(String, String, String), u64> = BTreeMap::new();
        for id in machine.tasks.iter().filter(|id| !self.tasks[**id as usize].done) {
            let task = &self.tasks[*id as usize];
            let thread = machine.threads[task.thread as usize].name.to_string();
            let what = waits.get(id).map_or(String::new(), |all| all.join(", "));
            *tasks.entry((thread, task.what.to_string(), what)).or_default() += 1;
        }
        let files = machine.files.list("").into_iter().filter_map(|path| {
            let file = machine.files.find(&path)?;
            let (len, dirty) = (machine.files.len(file), machine.cache.dirty(file));
            Some((path.clone(), len, machine.files.durable_len(&path), dirty))
        });
        let now = self.now();
        let wall = machine.clock.wall(now).0 as i64 - (self.wall_base + now) as i64;
        let here = said.range((host, "", "")..).take_while(|((h, _, _), _)| *h == host);
        HostSight {
            name: machine.name.clone(),
            boots: machine.boot,
            state,
            clock: (machine.clock.mono(now).0, wall),
            tasks: tasks.into_iter().map(|((a, b, c), n)| (a, b, c, n)).collect(),
            files: files.collect(),
            connections: self.connections(host),
            memory: (machine.heap.live(), machine.heap.garbage(), machine.heap.peak()),
            claims: (machine.heap.claimed().into_iter())
                .map(|(what, (bytes, count))| (what.to_string(), bytes, count))
                .collect(),
            said: here
                .map(|((_, source, word), (at, text))| {
                    (source.to_string(), word.to_string(), *at, text.clone())
                })
                .collect(),
        }
    }

    /// A host's open connections by peer: how many, bytes not yet taken at the other end, frames that wait.
    fn connections(&self, host: usize) -> Vec<(String, u64, u64, u64)> {
        let mut peers: BTreeMap<usize, (u64, u64, u64)> = BTreeMap::new();
        for end in self.net.ends.iter().filter(|end| end.host == host && !end.dead) {
            let (count, bytes, frames) = peers.entry(end.peer_host).or_default();
            *count += 1;
            *bytes += end.flight;
            *frames += (end.queue.len() + end.held.len()) as u64;
        }
        let named = |(peer, (count, bytes, frames)): (usize, _)| {
            (self.hosts[peer].name.clone(), count, bytes, frames)
        };
        peers.into_iter().map(named).collect()
    }
}

impl Links {
    /// What is wrong with a link, for people; nothing: empty.
    fn wrong(&self, from: usize, to: usize) -> String {
        let key = self.index(from, to);
        let link = &self.links[key];
        let mut wrong = Vec::new();
        if link.is_cut() {
            wrong.push("cut".to_string());
        }
        if link.extra_latency_ns > 0 {
            wrong.push(format!("slower by {} ms", host::unit::millis(link.extra_latency_ns)));
        }
        if let Some(rate) = link.bandwidth {
            wrong.push(format!("at most {}", host::unit::show_rate(rate)));
        }
        if let Some(loss) = link.loss {
            wrong.push(format!("loses {}", host::unit::show_ratio(loss)));
        }
        wrong.join(", ")
    }
}
