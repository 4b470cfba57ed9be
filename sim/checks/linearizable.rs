//! Each key behaves as if its operations took effect one after another, each at a moment between its
//! request and its outcome. Puts, deletes, compare-and-sets and reads are judged, per key, once the run is
//! over; a range is a read of each key that it tells of, and what is read back after the blackout is a
//! read, too. An operation whose outcome nobody knows may take effect at any later time or never; one that a
//! client repeats under its number is one operation.
//!
//! A compare-and-set expects a version; what that was is known from the reads and writes that named it,
//! else only its write is judged. One that did not match is recorded as failed, so it claims nothing.
//! The search has a budget, spent on small keys first; over it the run is `unknown`. Left out: two keys
//! of one range, which may be read at different moments here, and versions, which `read_fresh` looks
//! at. Source: Herlihy and Wing, Linearizability (1990); the search is that of `judge`.

use std::collections::BTreeMap;

use judge::{Action, Datum, Op, Part, Status, Verdict};
use kernel::check::{Check, Conclusion, Fact, Finding, Hears, View};
use kernel::event::{ClientEvent, KernelEvent, OpEnd};
use kernel::registry::{CheckWord, Claim};

use crate::{CLIENTS, KERNEL, plain};

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
    key: usize,
    value: u64,
    call: i64,
    expects: Option<u64>,
    found: Vec<(usize, Found)>,
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
    /// The number of each key, under which everything else is kept.
    names: BTreeMap<String, usize>,
    keys: Vec<Vec<Told>>,
    /// Which value each version of a key is.
    versions: BTreeMap<(usize, u64), u64>,
}

impl Linearizable {
    fn key(&mut self, name: &str) -> usize {
        if let Some(key) = self.names.get(name) {
            return *key;
        }
        self.names.insert(name.to_string(), self.keys.len());
        self.keys.push(Vec::new());
        self.keys.len() - 1
    }

    fn invoked(&mut self, by: (usize, u64), kind: &'static str, key: &str, value: u64) {
        let (call, key) = (self.at, self.key(key));
        let (expects, found) = (None, Vec::new());
        self.open.entry(by).or_insert(Open { kind, key, value, call, expects, found });
    }

    fn returned(&mut self, by: (usize, u64), end: OpEnd, version: u64) {
        let Some(open) = self.open.remove(&by) else { return };
        match end {
            OpEnd::Fail => {}
            OpEnd::Ok => {
                if version > 0 && matches!(open.kind, "put" | "cas") {
                    self.versions.insert((open.key, version), open.value);
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
        self.keys[open.key].push(told);
    }

    fn reads(&mut self, key: usize, found: Found, by: (usize, u64), call: i64, ret: Option<i64>) {
        let asked = Asked::Read(found.map(|(_, value)| value));
        self.keys[key].push(Told { host: by.0, op: by.1, asked, call, ret });
        if let Some((version, value)) = found {
            self.versions.insert((key, version), value);
        }
    }

    /// A key as `judge` takes it.
    fn part(&self, name: &str, key: usize) -> Part {
        let action = |asked: Asked| match asked {
            Asked::Read(found) => Action::Read(Some(found.map_or(Datum::Absent, value))),
            Asked::Put(put) => Action::Write(value(put)),
            Asked::Delete => Action::Write(Datum::Absent),
            Asked::Cas(0, new) => Action::Cas(Datum::Absent, value(new), Some(true)),
            Asked::Cas(version, new) => match self.versions.get(&(key, version)) {
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
        let ops = self.keys[key].iter().map(op).collect();
        Part { key: Some(name.to_string()), init: Datum::Absent, ops }
    }

    fn judge(&mut self, budget: u64, name: impl Fn(usize) -> String) -> Conclusion {
        for (by, open) in std::mem::take(&mut self.open) {
            self.done(by, open, None);
        }
        // Keys that are soon done come first, so that one that is not takes nothing from the others.
        let mut keys: Vec<(&String, usize)> = self.names.iter().map(|(n, k)| (n, *k)).collect();
        keys.sort_by_key(|(_, key)| self.keys[*key].len());
        let mut left = budget;
        let mut undecided = None;
        for (key, number) in keys {
            let part = self.part(key, number);
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
    fn hears(&self) -> Hears {
        Hears::Only(&[KERNEL, CLIENTS])
    }

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
                let key = self.key(key);
                if let Some(open) = self.open.get_mut(&(fact.host, *op)) {
                    open.found.push((key, *found));
                }
            }
            ClientEvent::Returned { op, end, version, .. } => {
                self.returned((fact.host, *op), *end, *version);
            }
            ClientEvent::ReadBack { key, found, .. } => {
                let (call, ret) = (self.dark, Some(self.at));
                let key = self.key(key);
                self.reads(key, *found, (fact.host, 0), call, ret);
            }
            ClientEvent::ReadBackFailed { .. } => {}
        }
        Ok(())
    }

    fn conclude(&mut self, view: &View<'_>) -> Conclusion {
        self.judge(BUDGET, |host| view.name(host).to_string())
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
            self.ask_of("k", client, op, kind)
        }

        fn ask_of(&mut self, key: &str, client: usize, op: u64, kind: &'static str) -> &mut Story {
            self.0.at += 1;
            let value = (client as u64) << 32 | op;
            self.0.invoked((client, op), kind, key, value);
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
            open.found.push((open.key, found));
            self.tell(client, op, OpEnd::Ok, 0)
        }

        fn ends(&mut self) -> Result<(), String> {
            match self.within(BUDGET) {
                Conclusion::Holds => Ok(()),
                Conclusion::Violated(finding) => Err(finding.text),
                Conclusion::Undecided(why) => Err(why),
            }
        }

        fn within(&mut self, budget: u64) -> Conclusion {
            self.0.judge(budget, |host| format!("c{host}"))
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
        assert_eq!(story.0.keys[0].len(), 2);
    }

    #[test]
    fn over_the_budget_nothing_is_claimed_of_what_is_left() {
        let long = || {
            let mut story = Story::default();
            for op in 1..=40 {
                story.ask(1, op, "put").tell(1, op, OpEnd::Ok, op);
                story.ask(2, op, "get").find(2, op, Some((op, 1 << 32 | op)));
            }
            story
        };
        assert_eq!(long().within(BUDGET), Conclusion::Holds);
        let why = "k: 80 operations are too many to order".to_string();
        assert_eq!(long().within(400), Conclusion::Undecided(why));
        // What is small is judged all the same, wherever its name stands.
        for small in ["a", "z"] {
            let mut story = long();
            story.ask_of(small, 1, 41, "put").tell(1, 41, OpEnd::Ok, 50);
            story.ask_of(small, 1, 42, "get").find(1, 42, None);
            assert!(matches!(story.within(400), Conclusion::Violated(_)), "{small}");
        }
    }
}
