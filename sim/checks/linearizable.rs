//! Each key behaves as if its operations took effect one after another, each at a moment between its
//! request and its outcome. Puts, deletes, compare-and-sets and reads are judged, per key, once the run is
//! over; a range is a read of each key that it tells of, and what is read back after the blackout is a
//! read, too. An operation whose outcome nobody knows may take effect at any later time or never; one that a
//! client repeats under its number is one operation.
//!
//! A compare-and-set expects a version; what that was is known from the reads and writes that named
//! it, else only its write is judged. One that did not match is recorded as failed, so it claims nothing.
//! The search has a budget; over it the run is `unknown`. Left out: two keys of one range, which may be read
//! at different moments here, and versions, which `read_fresh` looks at. Source: Herlihy and Wing,
//! Linearizability (1990); the search is that of `judge`.

use std::collections::BTreeMap;

use judge::{Action, Datum, Op, Part, Status, Verdict};
use kernel::check::{Check, Conclusion, Fact, Finding, View};
use kernel::event::{ClientEvent, KernelEvent, OpEnd};
use kernel::registry::{CheckWord, Claim};

use crate::plain;

/// The word `linearizable`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "linearizable",
        about: "some order of the operations on a key explains every answer",
        claim: Claim::Always,
        make: plain::<Linearizable>,
    }
}

/// Looks at a list of events that a run may cost: about half a second.
const BUDGET: u64 = 5_000_000;

/// A version and the value there, as reads tell.
type Found = Option<(u64, u64)>;

/// An operation under way.
struct Open {
    kind: &'static str,
    key: String,
    value: u64,
    call: i64,
    expects: Option<u64>,
    found: Vec<(String, Found)>,
}

/// What was asked for, as far as it can be said before the run is over.
#[derive(Clone, Copy)]
enum Asked {
    Read(Option<u64>),
    Put(u64),
    Delete,
    /// The version expected, and the value.
    Cas(u64, u64),
}

/// One operation on a key.
struct Told {
    host: usize,
    op: u64,
    asked: Asked,
    call: i64,
    /// Nobody knows the outcome without one.
    ret: Option<i64>,
}

#[derive(Default)]
struct Linearizable {
    /// Events of clients so far.
    at: i64,
    /// When the blackout began.
    dark: i64,
    open: BTreeMap<(usize, u64), Open>,
    keys: BTreeMap<String, Vec<Told>>,
    /// Which value each version of a key is.
    versions: BTreeMap<(String, u64), u64>,
}

impl Linearizable {
    fn invoked(&mut self, by: (usize, u64), kind: &'static str, key: &str, value: u64) {
        let (call, key) = (self.at, key.to_string());
        let (expects, found) = (None, Vec::new());
        self.open.entry(by).or_insert(Open { kind, key, value, call, expects, found });
    }

    fn returned(&mut self, by: (usize, u64), end: OpEnd, version: u64) {
        let Some(open) = self.open.remove(&by) else { return };
        match end {
            OpEnd::Fail => {}
            OpEnd::Ok => {
                if version > 0 && matches!(open.kind, "put" | "cas") {
                    self.versions.insert((open.key.clone(), version), open.value);
                }
                self.done(by, open, Some(self.at));
            }
            OpEnd::Unknown => self.done(by, open, None),
        }
    }

    /// An operation that surely or perhaps took effect.
    fn done(&mut self, (host, op): (usize, u64), open: Open, ret: Option<i64>) {
        let asked = match (open.kind, open.expects) {
            ("put", _) | ("cas", None) => Asked::Put(open.value),
            ("cas", Some(version)) => Asked::Cas(version, open.value),
            ("delete", _) => Asked::Delete,
            _ => {
                for (key, found) in open.found.into_iter().filter(|_| ret.is_some()) {
                    self.reads(key, found, (host, op), open.call, ret);
                }
                return;
            }
        };
        let told = Told { host, op, asked, call: open.call, ret };
        self.keys.entry(open.key).or_default().push(told);
    }

    fn reads(&mut self, key: String, found: Found, by: (usize, u64), call: i64, ret: Option<i64>) {
        let asked = Asked::Read(found.map(|(_, value)| value));
        let told = Told { host: by.0, op: by.1, asked, call, ret };
        match self.keys.get_mut(&key) {
            Some(ops) => ops.push(told),
            None => drop(self.keys.insert(key.clone(), vec![told])),
        }
        if let Some((version, value)) = found {
            self.versions.insert((key, version), value);
        }
    }

    /// A key as `judge` takes it.
    fn part(&self, key: &str) -> Part {
        let action = |asked: Asked| match asked {
            Asked::Read(found) => Action::Read(Some(found.map_or(Datum::Absent, value))),
            Asked::Put(put) => Action::Write(value(put)),
            Asked::Delete => Action::Write(Datum::Absent),
            Asked::Cas(0, new) => Action::Cas(Datum::Absent, value(new), Some(true)),
            Asked::Cas(version, new) => match self.versions.get(&(key.to_string(), version)) {
                Some(old) => Action::Cas(value(*old), value(new), Some(true)),
                None => Action::Write(value(new)),
            },
        };
        let op = |told: &Told| Op {
            id: told.op.into(),
            client: Some(told.host.to_string()),
            action: action(told.asked),
            call: told.call,
            ret: told.ret,
            status: if told.ret.is_some() { Status::Ok } else { Status::Unknown },
        };
        let ops = self.keys.get(key).into_iter().flatten().map(op).collect();
        Part { key: Some(key.to_string()), init: Datum::Absent, ops }
    }

    fn judge(&mut self, name: impl Fn(usize) -> String) -> Conclusion {
        for (by, open) in std::mem::take(&mut self.open) {
            self.done(by, open, None);
        }
        let mut left = BUDGET;
        let mut undecided = None;
        for key in self.keys.keys() {
            let part = self.part(key);
            match judge::decide(&part, &mut left) {
                Verdict::Linearizable => {}
                Verdict::Violated => return Conclusion::Violated(finding(&part, &name)),
                Verdict::Unknown => {
                    left = 0;
                    let why = format!("{key}: {} operations are too many to order", part.ops.len());
                    undecided.get_or_insert(why);
                }
            }
        }
        undecided.map_or(Conclusion::Holds, Conclusion::Undecided)
    }
}

/// A value as messages name it: the client and the operation that wrote it.
fn value(id: u64) -> Datum {
    match id {
        u64::MAX => Datum::Text("damaged".to_string()),
        id => Datum::Text(format!("{}:{}", id >> 32, id & 0xffff_ffff)),
    }
}

/// What is wrong with a key.
fn finding(part: &Part, name: &impl Fn(usize) -> String) -> Finding {
    let key = part.key.as_deref().unwrap_or("");
    let Some(failure) = judge::decide_all(std::slice::from_ref(part), BUDGET).failure else {
        return Finding {
            hosts: Vec::new(),
            text: format!("no order explains the answers for {key}"),
        };
    };
    let op = &part.ops[failure.op];
    let host = op.client.as_deref().and_then(|c| c.parse().ok()).unwrap_or(0);
    let possible = judge::account(part, &failure).possible;
    let possible = match possible.as_slice() {
        [] => "nothing explains it".to_string(),
        some => format!("possible was {}", some[..some.len().min(4)].join(" or ")),
    };
    let text = format!("{key}, op {} of {}: {}; {possible}", op.id, name(host), op.action);
    Finding::at(host, text)
}

impl Check for Linearizable {
    fn observe(&mut self, fact: &Fact<'_>, _: &View<'_>) -> Result<(), Finding> {
        if let Some(KernelEvent::Phase { name: "blackout" }) = fact.get() {
            self.at += 1;
            self.dark = self.at;
        }
        let Some(event) = fact.get::<ClientEvent>() else { return Ok(()) };
        self.at += 1;
        match event {
            ClientEvent::Invoked { op, kind, key, value, .. } => {
                self.invoked((fact.host, *op), kind, key, *value);
            }
            ClientEvent::Expects { op, version, .. } => {
                if let Some(open) = self.open.get_mut(&(fact.host, *op)) {
                    open.expects = Some(*version);
                }
            }
            ClientEvent::Read { op, key, found, .. } => {
                if let Some(open) = self.open.get_mut(&(fact.host, *op)) {
                    open.found.push((key.clone(), *found));
                }
            }
            ClientEvent::Returned { op, end, version, .. } => {
                self.returned((fact.host, *op), *end, *version);
            }
            ClientEvent::ReadBack { key, found, .. } => {
                let (call, ret) = (self.dark, Some(self.at));
                self.reads(key.clone(), *found, (fact.host, 0), call, ret);
            }
            ClientEvent::ReadBackFailed { .. } => {}
        }
        Ok(())
    }

    fn conclude(&mut self, view: &View<'_>) -> Conclusion {
        self.judge(|host| view.name(host).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Operations in turn: (client, op, kind, expected version, end, version, found).
    #[derive(Default)]
    struct Story(Linearizable);

    impl Story {
        fn ask(&mut self, client: usize, op: u64, kind: &'static str) -> &mut Story {
            self.0.at += 1;
            let value = (client as u64) << 32 | op;
            self.0.invoked((client, op), kind, "k", value);
            self
        }

        fn expect(&mut self, client: usize, op: u64, version: u64) -> &mut Story {
            self.0.open.get_mut(&(client, op)).expect("asked").expects = Some(version);
            self
        }

        fn tell(&mut self, client: usize, op: u64, end: OpEnd, version: u64) -> &mut Story {
            self.0.at += 1;
            self.0.returned((client, op), end, version);
            self
        }

        fn find(&mut self, client: usize, op: u64, found: Found) -> &mut Story {
            let open = self.0.open.get_mut(&(client, op)).expect("asked");
            open.found.push(("k".to_string(), found));
            self.tell(client, op, OpEnd::Ok, 0)
        }

        fn ends(&mut self) -> Result<(), String> {
            match self.0.judge(|host| format!("c{host}")) {
                Conclusion::Holds => Ok(()),
                Conclusion::Violated(finding) => Err(finding.text),
                Conclusion::Undecided(why) => Err(why),
            }
        }
    }

    const ONE: u64 = 1 << 32 | 1;

    #[test]
    fn a_read_finds_the_last_write() {
        let mut story = Story::default();
        story.ask(1, 1, "put").tell(1, 1, OpEnd::Ok, 5);
        story.ask(2, 1, "get").find(2, 1, Some((5, ONE)));
        story.ask(1, 2, "delete").tell(1, 2, OpEnd::Ok, 6);
        story.ask(2, 2, "get").find(2, 2, None);
        assert_eq!(story.ends(), Ok(()));
        let mut story = Story::default();
        story.ask(1, 1, "put").tell(1, 1, OpEnd::Ok, 5);
        story.ask(1, 2, "delete").tell(1, 2, OpEnd::Ok, 6);
        story.ask(2, 2, "get").find(2, 2, Some((5, ONE)));
        let text = "k, op 2 of c2: read -> \"1:1\"; possible was read -> absent";
        assert_eq!(story.ends(), Err(text.to_string()));
    }

    #[test]
    fn what_nobody_knows_may_come_later_but_not_twice() {
        let mut story = Story::default();
        story.ask(1, 1, "put").tell(1, 1, OpEnd::Unknown, 0);
        story.ask(2, 1, "put").tell(2, 1, OpEnd::Ok, 3);
        story.ask(3, 1, "get").find(3, 1, Some((3, 2 << 32 | 1)));
        story.ask(3, 2, "get").find(3, 2, Some((4, ONE)));
        assert_eq!(story.ends(), Ok(()));
        story.ask(2, 2, "put").tell(2, 2, OpEnd::Ok, 5);
        story.ask(3, 3, "get").find(3, 3, Some((6, ONE)));
        assert!(story.ends().is_err());
    }

    #[test]
    fn a_compare_and_set_replaces_what_it_expects() {
        let blind = |expected: u64| {
            let mut story = Story::default();
            story.ask(1, 1, "put").tell(1, 1, OpEnd::Ok, 5);
            story.ask(2, 1, "put").tell(2, 1, OpEnd::Ok, 6);
            story.ask(1, 2, "cas").expect(1, 2, expected).tell(1, 2, OpEnd::Ok, 7);
            story.ends()
        };
        assert_eq!(blind(6), Ok(()));
        assert!(blind(5).unwrap_err().contains("cas \"1:1\" \"1:2\" -> true"));
        assert!(blind(0).is_err());
    }

    #[test]
    fn a_command_that_is_asked_for_again_is_one() {
        let mut story = Story::default();
        story.ask(1, 1, "put").ask(1, 1, "put").tell(1, 1, OpEnd::Ok, 5).tell(1, 1, OpEnd::Ok, 5);
        story.ask(2, 1, "get").find(2, 1, Some((5, ONE)));
        assert_eq!(story.ends(), Ok(()));
        assert_eq!(story.0.keys["k"].len(), 2);
    }
}
