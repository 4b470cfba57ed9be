//! Every acknowledged write reads back after all hosts lost power at once. For each key the newest
//! acknowledged write (put, compare-and-set or delete) is remembered; what clients read after the
//! blackout must be that write, or a later one that may have happened: one whose outcome nobody
//! knows. So a key may be missing only if it was never acknowledged, if it was last acknowledged as
//! deleted, or if a delete without known outcome may have come after. A value must be one that a
//! client asked to write and was not told had failed, in the version that was acknowledged, if one
//! was. A reader that finds bytes other than those written says so with the value `u64::MAX`.
//!
//! A scenario that names this check gets the blackout: measures close, power fails everywhere, the
//! cluster restarts and settles, clients read back all they wrote. A key that cannot be read counts
//! as lost if a write to it was acknowledged. Left out: reads during the load (`read_fresh`), and
//! that a write without known outcome can come no more once the same session's next command was
//! acknowledged: it counts for good as one that may have come last.
//! Source: Jepsen's lost-write checks, etcd's robustness tests.

use std::collections::BTreeMap;

use kernel::check::{Check, Fact, Finding, Hears, View};
use kernel::event::{ClientEvent, OpEnd};
use kernel::registry::{CheckWord, Claim};

use crate::{CLIENTS, plain};

/// The word `acked_durable`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "acked_durable",
        about: "every acknowledged write reads back after all hosts lost power at once",
        claim: Claim::Always,
        make: plain::<AckedDurable>,
    }
}

/// An operation: (client's host, its number).
type Op = (usize, u64);

/// What a write leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Value(u64),
    Nothing,
}

impl Left {
    fn show(self) -> String {
        match self {
            Left::Value(value) => show(value),
            Left::Nothing => "a delete".into(),
        }
    }
}

/// An acknowledged write.
#[derive(Clone, Copy)]
struct Acked {
    version: u64,
    left: Left,
}

#[derive(Default)]
struct Key {
    /// The newest acknowledged write.
    acked: Option<Acked>,
    /// Values that may be there, with the version in which they were acknowledged; 0: not, or not
    /// told.
    possible: BTreeMap<u64, u64>,
    /// Deletes under way or without known outcome.
    may_delete: u64,
}

/// What was promised, by key.
#[derive(Default)]
struct AckedDurable {
    keys: BTreeMap<String, Key>,
    /// Writes without outcome.
    open: BTreeMap<Op, (String, Left)>,
}

impl Key {
    fn acknowledges(&mut self, name: &str, write: Acked) -> Result<(), String> {
        match write.left {
            Left::Value(value) => {
                self.possible.insert(value, write.version);
            }
            Left::Nothing => self.may_delete -= 1,
        }
        match &self.acked {
            Some(newest) if write.version > 0 && newest.version == write.version => {
                let (one, other) = (newest.left.show(), write.left.show());
                let version = write.version;
                Err(format!(
                    "{one} and {other} were both acknowledged as version {version} of {name}"
                ))
            }
            Some(newest) if newest.version > write.version => Ok(()),
            _ => {
                self.acked = Some(write);
                Ok(())
            }
        }
    }

    fn is_missing(&self, name: &str) -> Result<(), String> {
        match self.acked {
            Some(Acked { version, left: Left::Value(_) }) if self.may_delete == 0 => {
                Err(format!("{name}, acknowledged as version {version}, is missing"))
            }
            _ => Ok(()),
        }
    }

    fn is(&self, name: &str, (version, value): (u64, u64)) -> Result<(), String> {
        let what = show(value);
        let Some(known) = self.possible.get(&value).copied() else {
            return Err(format!("{name} reads as {what}, which no client has to answer for"));
        };
        if let Some(Acked { version: promised, left }) = self.acked {
            if version < promised {
                let how = if left == Left::Nothing { "deleted in " } else { "" };
                return Err(format!(
                    "{name}, acknowledged as {how}version {promised}, reads as version {version}"
                ));
            }
            if version == promised && left != Left::Value(value) {
                let left = left.show();
                return Err(format!(
                    "{name} reads as {what} in version {version}, in which {left} was acknowledged"
                ));
            }
        }
        if known > 0 && known != version {
            return Err(format!(
                "{name} reads as {what} in version {version}, and it was acknowledged as version \
                 {known}"
            ));
        }
        Ok(())
    }
}

impl AckedDurable {
    fn asks(&mut self, op: Op, name: &str, left: Left) {
        self.open.insert(op, (name.to_string(), left));
        let key = self.keys.entry(name.to_string()).or_default();
        match left {
            Left::Value(value) => {
                key.possible.insert(value, 0);
            }
            Left::Nothing => key.may_delete += 1,
        }
    }

    fn learns(&mut self, op: Op, end: OpEnd, version: u64) -> Result<(), String> {
        let Some((name, left)) = self.open.remove(&op) else { return Ok(()) };
        let key = self.keys.get_mut(&name).expect("known since it was asked for");
        match (end, left) {
            (OpEnd::Unknown, _) => Ok(()),
            (OpEnd::Fail, Left::Value(value)) => {
                key.possible.remove(&value);
                Ok(())
            }
            (OpEnd::Fail, Left::Nothing) => {
                key.may_delete -= 1;
                Ok(())
            }
            (OpEnd::Ok, _) => key.acknowledges(&name, Acked { version, left }),
        }
    }

    fn reads(&self, name: &str, found: Option<(u64, u64)>) -> Result<(), String> {
        let nothing_known = Key::default();
        let key = self.keys.get(name).unwrap_or(&nothing_known);
        match found {
            Some(found) => key.is(name, found),
            None => key.is_missing(name),
        }
    }

    fn cannot_read(&self, name: &str) -> Result<(), String> {
        match self.keys.get(name).and_then(|k| k.acked) {
            Some(Acked { version, .. }) => {
                Err(format!("{name}, acknowledged as version {version}, cannot be read"))
            }
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
    fn hears(&self) -> Hears {
        Hears::Only(&[CLIENTS])
    }

    fn observe(&mut self, fact: &Fact<'_>, _: &View<'_>) -> Result<(), Finding> {
        let Some(event) = fact.get::<ClientEvent>() else { return Ok(()) };
        let judged = match event {
            ClientEvent::Invoked { op, kind, key, value, .. } => {
                match *kind {
                    "put" | "cas" => self.asks((fact.host, *op), key, Left::Value(*value)),
                    "delete" => self.asks((fact.host, *op), key, Left::Nothing),
                    _ => {}
                }
                Ok(())
            }
            ClientEvent::Read { .. } | ClientEvent::Expects { .. } => Ok(()),
            ClientEvent::Returned { op, end, version, .. } => {
                self.learns((fact.host, *op), *end, *version)
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
            check.asks((9, op), "k", Left::Value(op));
        }
        check.learns((9, 1), OpEnd::Ok, 5).unwrap();
        check.learns((9, 2), OpEnd::Unknown, 0).unwrap();
        check.learns((9, 3), OpEnd::Fail, 0).unwrap();
        check
    }

    fn deletes(check: &mut AckedDurable, op: u64, end: OpEnd, version: u64) {
        check.asks((9, op), "k", Left::Nothing);
        check.learns((9, op), end, version).unwrap();
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
        check.asks((8, 1), "k", Left::Value(1 << 32 | 1));
        check.learns((8, 1), OpEnd::Ok, 4).unwrap();
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
    fn one_version_for_two_writes_is_found() {
        let mut check = ledger();
        check.asks((8, 1), "k", Left::Value(1 << 32 | 1));
        assert!(check.learns((8, 1), OpEnd::Ok, 5).is_err());
        let mut check = ledger();
        check.asks((8, 1), "k", Left::Nothing);
        let text = check.learns((8, 1), OpEnd::Ok, 5).unwrap_err();
        assert!(text.ends_with("and a delete were both acknowledged as version 5 of k"), "{text}");
    }

    #[test]
    fn a_value_in_a_version_that_is_not_its_own_was_written_twice() {
        let text = ledger().reads("k", Some((9, 1))).unwrap_err();
        assert_eq!(
            text,
            "k reads as the value of client 0, op 1 in version 9, and it was acknowledged as \
             version 5"
        );
    }

    #[test]
    fn a_deleted_key_may_be_missing_and_may_not_come_back() {
        let mut check = ledger();
        deletes(&mut check, 4, OpEnd::Ok, 7);
        check.reads("k", None).unwrap();
        check.reads("k", Some((8, 2))).expect("op 2 may have come after");
        let back = check.reads("k", Some((5, 1))).unwrap_err();
        assert_eq!(back, "k, acknowledged as deleted in version 7, reads as version 5");
        assert!(check.reads("k", Some((7, 2))).unwrap_err().contains("a delete was acknowledged"));
        assert!(check.cannot_read("k").is_err());
    }

    #[test]
    fn a_delete_that_may_have_happened_excuses_a_missing_key() {
        for end in [OpEnd::Unknown, OpEnd::Ok, OpEnd::Fail] {
            let mut check = ledger();
            deletes(&mut check, 4, end, if end == OpEnd::Ok { 4 } else { 0 });
            check.reads("k", Some((5, 1))).unwrap();
            let missing = check.reads("k", None);
            assert_eq!(missing.is_ok(), end == OpEnd::Unknown, "{end:?}");
        }
        let mut check = ledger();
        check.asks((9, 4), "k", Left::Nothing);
        check.reads("k", None).expect("it is under way");
    }

    #[test]
    fn a_write_after_a_delete_is_promised_again() {
        let mut check = ledger();
        deletes(&mut check, 4, OpEnd::Ok, 7);
        check.asks((9, 5), "k", Left::Value(5));
        check.learns((9, 5), OpEnd::Ok, 8).unwrap();
        check.reads("k", Some((8, 5))).unwrap();
        assert!(check.reads("k", None).is_err());
    }
}
