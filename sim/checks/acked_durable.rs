//! Every acknowledged write reads back after all hosts lost power at once. For each key the newest
//! acknowledged version is remembered; what clients read after the blackout must be that version
//! with that value, or a newer one, and its value must be one that a client asked to write and was
//! not told had failed. A reader that finds bytes other than those written says so with the value
//! `u64::MAX`.
//!
//! A scenario that names this check gets the blackout: measures close, power fails everywhere, the
//! cluster restarts and settles, clients read back all they wrote. A key that cannot be read counts
//! as lost if a write to it was acknowledged. Left out: the order of reads during the load. Source:
//! Jepsen's lost-write checks, etcd's robustness tests.

use std::collections::{BTreeMap, BTreeSet};

use kernel::check::{Check, Fact, Finding, View};
use kernel::event::{ClientEvent, OpEnd};
use kernel::registry::{CheckWord, Claim};

use crate::plain;

/// The word `acked_durable`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "acked_durable",
        about: "every acknowledged write reads back after all hosts lost power at once",
        claim: Claim::Always,
        make: plain::<AckedDurable>,
    }
}

#[derive(Default)]
struct Key {
    /// The newest acknowledged write: version and value.
    acked: Option<(u64, u64)>,
    /// Values that may be there.
    possible: BTreeSet<u64>,
}

/// What was promised, by key.
#[derive(Default)]
struct AckedDurable {
    keys: BTreeMap<String, Key>,
    /// Keys of writes without outcome, by (client's host, op).
    open: BTreeMap<(usize, u64), String>,
}

impl AckedDurable {
    fn asks(&mut self, client: usize, op: u64, key: &str, value: u64) {
        self.open.insert((client, op), key.to_string());
        self.keys.entry(key.to_string()).or_default().possible.insert(value);
    }

    fn learns(
        &mut self,
        client: usize,
        op: u64,
        end: OpEnd,
        (version, value): (u64, u64),
    ) -> Result<(), String> {
        let Some(name) = self.open.remove(&(client, op)) else { return Ok(()) };
        let key = self.keys.get_mut(&name).expect("known since it was asked for");
        match (end, key.acked) {
            (OpEnd::Unknown, _) => {}
            (OpEnd::Fail, _) => {
                key.possible.remove(&value);
            }
            (OpEnd::Ok, Some((newest, other)))
                if version > 0 && newest == version && other != value =>
            {
                return Err(format!(
                    "{} and {} were both acknowledged as version {version} of {name}",
                    show(other),
                    show(value)
                ));
            }
            (OpEnd::Ok, Some((newest, _))) if newest > version => {}
            (OpEnd::Ok, _) => key.acked = Some((version, value)),
        }
        Ok(())
    }

    fn reads(&self, name: &str, found: Option<(u64, u64)>) -> Result<(), String> {
        let key = self.keys.get(name);
        let acked = key.and_then(|k| k.acked);
        let Some((version, value)) = found else {
            return match acked {
                Some((v, _)) => Err(format!("{name}, acknowledged as version {v}, is missing")),
                None => Ok(()),
            };
        };
        if !key.is_some_and(|k| k.possible.contains(&value)) {
            let what = show(value);
            return Err(format!("{name} reads as {what}, which no client has to answer for"));
        }
        match acked {
            Some((v, _)) if version < v => {
                Err(format!("{name}, acknowledged as version {v}, reads as version {version}"))
            }
            Some((v, promised)) if version == v && value != promised => Err(format!(
                "{name} reads as {} in version {v}, in which {} was acknowledged",
                show(value),
                show(promised)
            )),
            _ => Ok(()),
        }
    }

    fn cannot_read(&self, name: &str) -> Result<(), String> {
        match self.keys.get(name).and_then(|k| k.acked) {
            Some((v, _)) => Err(format!("{name}, acknowledged as version {v}, cannot be read")),
            None => Ok(()),
        }
    }
}

/// A value's name, by the write it came from.
fn show(value: u64) -> String {
    if value == u64::MAX {
        return "a damaged value".into();
    }
    format!("the value of client {}, op {}", value >> 32, value & 0xffff_ffff)
}

impl Check for AckedDurable {
    fn observe(&mut self, fact: &Fact<'_>, _: &View<'_>) -> Result<(), Finding> {
        let Some(event) = fact.get::<ClientEvent>() else { return Ok(()) };
        let judged = match event {
            ClientEvent::Invoked { op, kind: "put", key, value, .. } => {
                self.asks(fact.host, *op, key, *value);
                Ok(())
            }
            ClientEvent::Invoked { .. } | ClientEvent::Read { .. } => Ok(()),
            ClientEvent::Returned { op, end, version, value, .. } => {
                self.learns(fact.host, *op, *end, (*version, *value))
            }
            ClientEvent::ReadBack { key, found, .. } => self.reads(key, *found),
            ClientEvent::ReadBackFailed { key, .. } => self.cannot_read(key),
        };
        judged.map_err(|text| Finding::at(fact.host, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Key `k` with op 1 acknowledged as version 5, op 2 unknown, op 3 failed.
    fn ledger() -> AckedDurable {
        let mut check = AckedDurable::default();
        for op in 1..=3 {
            check.asks(9, op, "k", op);
        }
        check.learns(9, 1, OpEnd::Ok, (5, 1)).unwrap();
        check.learns(9, 2, OpEnd::Unknown, (0, 2)).unwrap();
        check.learns(9, 3, OpEnd::Fail, (0, 3)).unwrap();
        check
    }

    #[test]
    fn the_promised_version_or_a_newer_one_may_be_read() {
        let check = ledger();
        check.reads("k", Some((5, 1))).unwrap();
        check.reads("k", Some((6, 2))).unwrap();
        check.reads("other", None).unwrap();
        check.cannot_read("other").unwrap();
    }

    #[test]
    fn the_newest_promise_counts_in_whatever_order_they_come() {
        let mut check = ledger();
        check.asks(8, 1, "k", 1 << 32 | 1);
        check.learns(8, 1, OpEnd::Ok, (4, 1 << 32 | 1)).unwrap();
        assert!(check.reads("k", Some((4, 1 << 32 | 1))).is_err());
        check.reads("k", Some((5, 1))).unwrap();
    }

    #[test]
    fn loss_in_each_of_its_forms_is_found() {
        let check = ledger();
        let missing = check.reads("k", None).unwrap_err();
        assert_eq!(missing, "k, acknowledged as version 5, is missing");
        let older = check.reads("k", Some((4, 1))).unwrap_err();
        assert_eq!(older, "k, acknowledged as version 5, reads as version 4");
        let other = check.reads("k", Some((5, 2))).unwrap_err();
        assert!(other.contains("in version 5, in which the value of client 0, op 1"), "{other}");
        assert!(check.cannot_read("k").is_err());
    }

    #[test]
    fn values_out_of_nowhere_and_failed_writes_are_found() {
        let check = ledger();
        assert!(check.reads("k", Some((6, 3))).unwrap_err().contains("client 0, op 3"));
        assert!(check.reads("k", Some((6, 77))).is_err());
        assert!(check.reads("other", Some((1, 1))).is_err());
    }

    #[test]
    fn one_version_for_two_values_is_found() {
        let mut check = ledger();
        check.asks(8, 1, "k", 1 << 32 | 1);
        assert!(check.learns(8, 1, OpEnd::Ok, (5, 1 << 32 | 1)).is_err());
    }
}
