//! Whether two runs of one seed are the same run. Digests are compared; if they differ, the checkpoints say
//! in which 1,024 entries the difference begins.
//! Polls and virtual time are compared too, for the digest holds neither. Runs that are made again with the
//! text of those entries show what parts them, host by host.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::digest::{Entry, first_difference};
use crate::outcome::Outcome;

/// How two runs of one seed differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// One sentence.
    pub text: String,
    /// The entries of which the text is wanted; empty if the digests are equal.
    pub window: Range<u64>,
}

/// Entries before those in which the first difference lies.
const BEFORE: u64 = 512;
/// Entries after them.
const AFTER: u64 = 1024;

/// What a run leaves for comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Print {
    /// The digest.
    pub digest: String,
    /// The digest after every 1,024th entry.
    pub checkpoints: Vec<u128>,
    /// How many entries there were.
    pub events: u64,
    /// How many polls, and how much virtual time: what the digest does not hold.
    pub effort: (u64, u64),
}

impl From<&Outcome> for Print {
    fn from(outcome: &Outcome) -> Print {
        Print {
            digest: outcome.digest.clone(),
            checkpoints: outcome.checkpoints.clone(),
            events: outcome.events,
            effort: (outcome.polls, outcome.virtual_ns),
        }
    }
}

/// Compares two runs; `None` if they are the same.
pub fn compare(a: &Print, b: &Print) -> Option<Difference> {
    if a == b {
        return None;
    }
    if a.digest == b.digest {
        let text = format!(
            "equal digests, but {} polls in {} ns and {} polls in {} ns",
            a.effort.0, a.effort.1, b.effort.0, b.effort.1
        );
        return Some(Difference { text, window: 0..0 });
    }
    let (from, to) = first_difference(&a.checkpoints, &b.checkpoints);
    let text = format!(
        "digest {} and {}; they part between entries {from} and {to} of {} and {}",
        &a.digest[..12.min(a.digest.len())],
        &b.digest[..12.min(b.digest.len())],
        a.events,
        b.events
    );
    Some(Difference { text, window: from.saturating_sub(BEFORE)..to + AFTER })
}

/// Where two runs part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parting {
    /// The first entry that differs; `None` where a run has ended.
    pub first: [Option<Entry>; 2],
    /// Hosts that differ, those first whose first difference is earliest.
    pub hosts: Vec<HostParting>,
}

/// Where two runs part on one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostParting {
    /// The host's name.
    pub host: String,
    /// The last entries that both have.
    pub common: Vec<Entry>,
    /// How each goes on.
    pub apart: [Vec<Entry>; 2],
}

/// Entries shown of what a host has in common, and of how it goes on.
const SHOWN: usize = 3;

/// Where two sequences of entries part, which begin at the same number; `None` if they do not.
pub fn part(a: &[Entry], b: &[Entry]) -> Option<Parting> {
    let same = a.iter().zip(b).take_while(|(x, y)| x.state == y.state).count();
    if same == a.len() && same == b.len() {
        return None;
    }
    let first = [a.get(same).cloned(), b.get(same).cloned()];
    let mut by_host: BTreeMap<&str, [Vec<&Entry>; 2]> = BTreeMap::new();
    for (side, entries) in [a, b].into_iter().enumerate() {
        for entry in entries {
            by_host.entry(&entry.host).or_default()[side].push(entry);
        }
    }
    let mut hosts: Vec<HostParting> = by_host
        .into_iter()
        .filter_map(|(host, [a, b])| {
            let alike = |(x, y): &(&&Entry, &&Entry)| (x.at, &x.text) == (y.at, &y.text);
            let same = a.iter().zip(&b).take_while(alike).count();
            let rest = |side: &[&Entry]| -> Vec<Entry> {
                side[same..].iter().take(SHOWN).map(|e| (*e).clone()).collect()
            };
            let common = a[same.saturating_sub(SHOWN)..same].iter().map(|e| (*e).clone()).collect();
            let apart = [rest(&a), rest(&b)];
            let differs = apart.iter().any(|side| !side.is_empty());
            differs.then(|| HostParting { host: host.to_string(), common, apart })
        })
        .collect();
    hosts.sort_by_key(|host| {
        host.apart.iter().flatten().map(|e| e.at).min().unwrap_or(crate::Time::MAX)
    });
    Some(Parting { first, hosts })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    fn entries(list: &[(u64, &str, &str)]) -> Vec<Entry> {
        let mut digest = Digest::default();
        digest.keep(0..100);
        for (at, host, text) in list {
            digest.add(|b| b.extend_from_slice(format!("{at} {host} {text}").as_bytes()));
            digest.tell(*at, host, (*text).to_string());
        }
        digest.take_entries()
    }

    #[test]
    fn the_first_difference_and_each_hosts_own_are_found() {
        let a = entries(&[(1, "n1", "a"), (2, "n2", "b"), (3, "n1", "c"), (4, "n2", "d")]);
        let b = entries(&[(1, "n1", "a"), (2, "n2", "b"), (3, "n1", "x"), (4, "n2", "d")]);
        assert_eq!(part(&a, &a), None);
        let parting = part(&a, &b).unwrap();
        assert_eq!(parting.first[0].as_ref().unwrap().text, "c");
        assert_eq!(parting.first[1].as_ref().unwrap().text, "x");
        let [host] = parting.hosts.as_slice() else { panic!("{:?}", parting.hosts) };
        assert_eq!((host.host.as_str(), host.common.len()), ("n1", 1));
        assert_eq!(host.apart[1][0].text, "x");
    }

    #[test]
    fn a_run_that_ends_early_parts_there() {
        let long = entries(&[(1, "n1", "a"), (2, "n1", "b")]);
        let parting = part(&long[..1], &long).unwrap();
        assert_eq!(parting.first[0], None);
        assert_eq!(parting.hosts[0].apart[0], []);
        assert_eq!(parting.hosts[0].apart[1][0].text, "b");
    }
}
