//! No read finds less than what was known before it was asked for: a version of the key that was
//! acknowledged, or that another read had found. Versions of a key rise with each write, so an older
//! version is a stale read; and a key that was put and is missing was lost, unless a delete may have
//! come after.
//!
//! A delete may have come after if it was acknowledged with a later version, is under way, or has
//! an outcome that nobody knows. A read that found a known version gone proves that such a delete
//! took effect: reads that are asked for later may not find that version or an older one. Writes
//! without an acknowledgement raise nothing until a read finds them. Ranges are judged key by key,
//! for what they say of each.
//!
//! Left out: whether a value belongs to its version, the order of reads that overlap, two keys of
//! one range that never stood side by side. A delete without known outcome excuses a missing key for
//! good. Where clients have sessions it can come no more once the same client's next command is
//! acknowledged, but the check knows of clients, not of sessions. Source: Herlihy and Wing,
//! Linearizability (1990), of which this is the part that a register with versions makes cheap.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use kernel::check::{Check, Fact, Finding, Hears, View};
use kernel::event::{ClientEvent, OpEnd};
use kernel::registry::{CheckWord, Claim};

use crate::{CLIENTS, KERNEL, ends_load, plain};

/// The word `read_fresh`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "read_fresh",
        about: "no read finds less than what was acknowledged, or found by another read, before it \
                was asked for",
        claim: Claim::Always,
        make: plain::<ReadFresh>,
    }
}

/// An operation: (client's host, its number).
type Op = (usize, u64);

/// How a version came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Written,
    Deleted,
    Found,
    /// A read found nothing, after the version had been known.
    Gone,
}

/// The least that a read may find, from a moment on.
#[derive(Clone, Copy, Debug)]
struct Floor {
    /// Reads that began at this moment or later are bound by it.
    since: u64,
    version: u64,
    known: Known,
}

impl Floor {
    /// Floors compare by version, and by whether that version may still be found.
    fn height(&self) -> (u64, bool) {
        (self.version, matches!(self.known, Known::Deleted | Known::Gone))
    }
}

/// What is known of a key.
#[derive(Default)]
struct Key {
    /// Rising in moment and height; the last holds now, the others for reads under way.
    floors: VecDeque<Floor>,
    /// The greatest version of an acknowledged delete.
    deleted: u64,
    /// Deletes that are under way or without known outcome.
    may_delete: u64,
}

impl Key {
    fn raise(&mut self, floor: Floor, oldest_read: u64) {
        if self.floors.back().is_some_and(|f| f.height() >= floor.height()) || floor.version == 0 {
            return;
        }
        self.floors.push_back(floor);
        while self.floors.get(1).is_some_and(|next| next.since <= oldest_read) {
            self.floors.pop_front();
        }
    }

    /// What binds a read that began then.
    fn floor(&self, began: u64) -> Option<&Floor> {
        self.floors.iter().rev().find(|f| f.since <= began)
    }
}

/// What was promised and found, key by key.
#[derive(Default)]
struct ReadFresh {
    keys: BTreeMap<String, Key>,
    /// Writes under way: their keys, and whether they delete.
    writes: BTreeMap<Op, (String, bool)>,
    /// Reads under way, by operation and by the moment at which they began.
    reads: BTreeMap<Op, u64>,
    began: BTreeSet<(u64, Op)>,
    /// Counts what becomes known.
    moment: u64,
}

impl ReadFresh {
    fn asks_to_write(&mut self, op: Op, key: &str, deletes: bool) {
        self.writes.insert(op, (key.to_string(), deletes));
        self.key(key).may_delete += u64::from(deletes);
    }

    fn asks_to_read(&mut self, op: Op) {
        self.reads.insert(op, self.moment);
        self.began.insert((self.moment, op));
    }

    fn learns(&mut self, op: Op, end: OpEnd, version: u64) {
        if let Some(began) = self.reads.remove(&op) {
            self.began.remove(&(began, op));
        }
        let Some((name, deletes)) = self.writes.remove(&op) else { return };
        let known = if deletes { Known::Deleted } else { Known::Written };
        let key = self.keys.get_mut(&name).expect("known since it was asked for");
        match end {
            OpEnd::Ok if version > 0 => {
                if deletes {
                    key.may_delete -= 1;
                    key.deleted = key.deleted.max(version);
                }
                self.raise(&name, version, known);
            }
            OpEnd::Fail => key.may_delete -= u64::from(deletes),
            OpEnd::Ok | OpEnd::Unknown => {}
        }
    }

    fn raise(&mut self, name: &str, version: u64, known: Known) {
        self.moment += 1;
        let oldest = self.began.first().map_or(self.moment, |(began, _)| *began);
        let floor = Floor { since: self.moment, version, known };
        self.key(name).raise(floor, oldest);
    }

    fn key(&mut self, name: &str) -> &mut Key {
        if !self.keys.contains_key(name) {
            self.keys.insert(name.to_string(), Key::default());
        }
        self.keys.get_mut(name).expect("inserted above")
    }

    /// A read found a version, or nothing. The error says what is wrong with that.
    fn finds(&mut self, op: Op, name: &str, found: Option<u64>) -> Result<(), String> {
        let Some(began) = self.reads.get(&op) else { return Ok(()) };
        let key = self.keys.get(name);
        let floor = key.and_then(|key| key.floor(*began)).copied();
        let judged = match (key, floor, found) {
            (Some(key), Some(floor), None) => {
                let gone = key.may_delete > 0 || key.deleted >= floor.version;
                if gone { Ok(()) } else { Err((floor, "nothing".to_string())) }
            }
            (_, Some(floor), Some(version)) if (version, false) < floor.height() => {
                Err((floor, format!("version {version}")))
            }
            _ => Ok(()),
        };
        match (floor, found) {
            (_, Some(version)) => self.raise(name, version, Known::Found),
            (Some(floor), None) => self.raise(name, floor.version, Known::Gone),
            (None, None) => {}
        }
        judged.map_err(|(floor, what)| {
            let how = match floor.known {
                Known::Written => "acknowledged",
                Known::Deleted => "acknowledged as deleted",
                Known::Found => "found by a read",
                Known::Gone => "known to a read that found it gone",
            };
            let version = floor.version;
            format!("found {what}, though version {version} had been {how} before it was asked for")
        })
    }

    /// Clients ask no more and are told no more.
    fn load_ends(&mut self) {
        self.reads.clear();
        self.began.clear();
    }
}

impl Check for ReadFresh {
    fn hears(&self) -> Hears {
        Hears::Only(&[KERNEL, CLIENTS])
    }

    fn observe(&mut self, fact: &Fact<'_>, view: &View<'_>) -> Result<(), Finding> {
        if ends_load(fact, view) {
            self.load_ends();
        }
        match fact.get() {
            Some(ClientEvent::Invoked { op, kind, key, .. }) => match *kind {
                "put" | "cas" => self.asks_to_write((fact.host, *op), key, false),
                "delete" => self.asks_to_write((fact.host, *op), key, true),
                "get" | "range" => self.asks_to_read((fact.host, *op)),
                _ => {}
            },
            Some(ClientEvent::Returned { op, end, version, .. }) => {
                self.learns((fact.host, *op), *end, *version);
            }
            Some(ClientEvent::Read { op, key, found, .. }) => {
                let judged = self.finds((fact.host, *op), key, found.map(|(version, _)| version));
                return judged.map_err(|text| {
                    let text = format!("op {op} of {} read {key} and {text}", view.name(fact.host));
                    Finding::at(fact.host, text)
                });
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: Op = (9, 100);

    fn write(check: &mut ReadFresh, op: Op, version: u64) {
        check.asks_to_write(op, "k", false);
        check.learns(op, OpEnd::Ok, version);
    }

    fn delete(check: &mut ReadFresh, op: Op, end: OpEnd, version: u64) {
        check.asks_to_write(op, "k", true);
        check.learns(op, end, version);
    }

    /// Key `k` acknowledged as version 5; then a read is asked for.
    fn ledger() -> ReadFresh {
        let mut check = ReadFresh::default();
        write(&mut check, (8, 1), 5);
        check.asks_to_read(READ);
        check
    }

    #[test]
    fn what_was_acknowledged_before_or_more_may_be_found() {
        for version in [5, 6, 90] {
            ledger().finds(READ, "k", Some(version)).unwrap();
        }
        ledger().finds(READ, "other", None).unwrap();
    }

    #[test]
    fn less_is_a_violation() {
        let text = ledger().finds(READ, "k", Some(4)).unwrap_err();
        assert_eq!(
            text,
            "found version 4, though version 5 had been acknowledged before it was asked for"
        );
        let text = ledger().finds(READ, "k", None).unwrap_err();
        assert!(text.starts_with("found nothing, though version 5"), "{text}");
    }

    #[test]
    fn what_is_acknowledged_while_the_read_is_under_way_does_not_bind_it() {
        let mut check = ledger();
        for version in 6..200 {
            write(&mut check, (8, version), version);
        }
        check.finds(READ, "k", Some(5)).unwrap();
        assert!(check.finds(READ, "k", Some(4)).is_err());
        check.asks_to_read((7, 1));
        assert!(check.finds((7, 1), "k", Some(198)).is_err());
    }

    #[test]
    fn floors_that_bind_nobody_are_forgotten() {
        let mut check = ReadFresh::default();
        for version in 1..100 {
            write(&mut check, (8, version), version);
        }
        assert_eq!(check.keys["k"].floors.len(), 1);
        check.asks_to_read(READ);
        for version in 100..110 {
            write(&mut check, (8, version), version);
        }
        assert_eq!(check.keys["k"].floors.len(), 11);
        check.learns(READ, OpEnd::Ok, 0);
        write(&mut check, (8, 110), 110);
        assert_eq!(check.keys["k"].floors.len(), 1);
    }

    #[test]
    fn a_key_may_be_missing_if_a_delete_may_have_come_after() {
        let mut under_way = ledger();
        under_way.asks_to_write((8, 2), "k", true);
        under_way.finds(READ, "k", None).unwrap();
        let mut unknown = ledger();
        delete(&mut unknown, (8, 2), OpEnd::Unknown, 0);
        unknown.finds(READ, "k", None).unwrap();
        let mut later = ledger();
        delete(&mut later, (8, 2), OpEnd::Ok, 6);
        later.finds(READ, "k", None).unwrap();
        let mut earlier = ledger();
        delete(&mut earlier, (8, 2), OpEnd::Ok, 4);
        assert!(earlier.finds(READ, "k", None).is_err());
        let mut failed = ledger();
        delete(&mut failed, (8, 2), OpEnd::Fail, 0);
        assert!(failed.finds(READ, "k", None).is_err());
    }

    #[test]
    fn what_was_deleted_stays_so_until_a_later_write() {
        let mut check = ReadFresh::default();
        write(&mut check, (8, 1), 5);
        delete(&mut check, (8, 2), OpEnd::Ok, 7);
        check.asks_to_read(READ);
        check.finds(READ, "k", None).unwrap();
        check.finds(READ, "k", Some(8)).unwrap();
        assert!(check.finds(READ, "k", Some(5)).unwrap_err().contains("acknowledged as deleted"));
    }

    #[test]
    fn a_write_of_unknown_outcome_binds_reads_once_a_read_has_found_it() {
        let mut check = ledger();
        check.asks_to_write((8, 2), "k", false);
        check.learns((8, 2), OpEnd::Unknown, 0);
        check.finds(READ, "k", Some(6)).unwrap();
        check.finds(READ, "k", Some(5)).expect("a read under way may have looked before");
        check.asks_to_read((7, 1));
        assert!(check.finds((7, 1), "k", Some(5)).unwrap_err().contains("found by a read"));
    }

    #[test]
    fn what_a_read_found_gone_does_not_come_back() {
        let mut check = ledger();
        delete(&mut check, (8, 2), OpEnd::Unknown, 0);
        check.finds(READ, "k", None).unwrap();
        check.finds(READ, "k", Some(5)).expect("a read under way may have looked before");
        check.asks_to_read((7, 1));
        check.finds((7, 1), "k", None).expect("it is still gone");
        check.finds((7, 1), "k", Some(6)).expect("a later write");
        let text = check.finds((7, 1), "k", Some(5)).unwrap_err();
        assert!(text.contains("version 5 had been known to a read that found it gone"), "{text}");
    }

    #[test]
    fn what_is_found_gone_counts_from_what_the_read_knew() {
        let mut check = ledger();
        write(&mut check, (8, 2), 7);
        delete(&mut check, (8, 3), OpEnd::Unknown, 0);
        check.finds(READ, "k", None).expect("perhaps the delete came between 5 and 7");
        check.asks_to_read((7, 1));
        check.finds((7, 1), "k", Some(7)).unwrap();
    }

    #[test]
    fn after_the_load_nothing_is_under_way() {
        let mut check = ledger();
        check.load_ends();
        check.finds(READ, "k", Some(1)).unwrap();
        assert!(check.began.is_empty());
    }
}
