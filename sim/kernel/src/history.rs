//! History as a stream: every fact is seen once by every check, by the triggers of the plan, and by the
//! trace if there is one, and then it is gone. Nothing is stored but what a check chooses to keep, so a run
//! of a million events needs the memory of a run of ten.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, BTreeSet};
use std::task::{Context, Poll, Waker};

use host::{Event, Facts, Role, Weight};

use crate::Time;
use crate::check::{Check, Conclusion, Fact, Finding, Measure, View};
use crate::event::{ClientEvent, KernelEvent, OpEnd};
use crate::outcome::{Line, Violation};
use crate::plan::Op;
use crate::registry::Claim;
use crate::world::World;

/// Trace lines kept at most; the story is taken from the last of them.
const LINES_MAX: usize = 200_000;
/// Bytes of a trace line besides its text.
const LINE_BYTES: u64 = 128;

/// How much of a run is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trace {
    /// Nothing: sweeps.
    Off,
    /// Which operations were asked for, and nothing else: shrinking.
    Ops,
    /// What a story is made of.
    Short,
    /// Everything.
    Full,
}

/// A check at work.
pub struct Watch {
    /// As the scenario writes it.
    pub text: String,
    /// Its word.
    pub word: String,
    /// Its kind.
    pub claim: Claim,
    /// A symptom expects it to fail.
    pub expected: bool,
    pub(crate) check: Box<dyn Check>,
    pub(crate) failed: bool,
}

/// A trigger of the plan that waits for an event.
#[derive(Debug)]
pub struct Trigger {
    /// The line of the plan.
    pub line: usize,
    /// The event's word.
    pub word: String,
    /// On which host; any if nothing is said.
    pub on: Option<usize>,
    /// How many of them still have to happen.
    pub left: u64,
    /// How long after it the line acts.
    pub after: Time,
}

/// Clients that wait for events.
#[derive(Default)]
pub(crate) struct Awaited(Vec<Wait>);

/// One of them: for which words, whether one has come, and whom to wake.
struct Wait {
    words: &'static [&'static str],
    came: bool,
    waker: Option<Waker>,
}

impl Awaited {
    /// Begins to wait, at the place that is returned.
    pub(crate) fn begin(&mut self, words: &'static [&'static str]) -> usize {
        self.0.push(Wait { words, came: false, waker: None });
        self.0.len() - 1
    }

    /// Whether an event has come since.
    pub(crate) fn poll(&mut self, place: usize, cx: &Context<'_>) -> Poll<()> {
        let wait = &mut self.0[place];
        if wait.came {
            return Poll::Ready(());
        }
        wait.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn note(&mut self, word: &str) {
        for wait in self.0.iter_mut().filter(|w| !w.came && w.words.contains(&word)) {
            wait.came = true;
            if let Some(waker) = wait.waker.take() {
                waker.wake();
            }
        }
    }
}

/// The stream's consumers.
pub struct History {
    pub(crate) watches: Vec<Watch>,
    /// By type of event, those of them that hear of it, in their order.
    hearers: Vec<(TypeId, Vec<usize>)>,
    pub(crate) triggers: Vec<Trigger>,
    pub(crate) awaited: Awaited,
    /// Triggers whose event happened: (line, host, delay).
    pub(crate) due: Vec<(usize, usize, Time)>,
    pub(crate) roles: Vec<Option<Role>>,
    /// Moment at which each host took its present role; the latest leader is the leader.
    pub(crate) role_since: Vec<Time>,
    pub(crate) violations: Vec<Violation>,
    /// A check was violated that nobody expected to be.
    pub(crate) unsafe_seen: bool,
    /// Operations that were asked for, where they are written down.
    pub(crate) asked: Vec<Op>,
    pub(crate) trace: Vec<Line>,
    level: Trace,
    /// Whether the plan's triggers listen: during the load.
    pub(crate) armed: bool,
    /// Whether the measures still take notice: until the settling is over.
    pub(crate) measuring: bool,
    pub(crate) acks: u64,
    pub(crate) measures: Vec<Measure>,
    overlay: BTreeSet<usize>,
    /// The `sometimes` whose first time is wanted, and when that was.
    pub(crate) reach: Option<String>,
    pub(crate) reached_at: Option<Time>,
    /// The last event of each word that each host recorded, if somebody wants to know.
    pub(crate) said: Option<Said>,
}

/// By host, source and word: when, and what it said.
pub(crate) type Said = BTreeMap<(usize, &'static str, &'static str), (Time, String)>;

impl History {
    /// Nothing has happened yet.
    pub fn new(watches: Vec<Watch>, hosts: usize, level: Trace) -> History {
        History {
            watches,
            hearers: Vec::new(),
            triggers: Vec::new(),
            awaited: Awaited::default(),
            due: Vec::new(),
            roles: vec![None; hosts],
            role_since: vec![0; hosts],
            violations: Vec::new(),
            unsafe_seen: false,
            asked: Vec::new(),
            trace: Vec::new(),
            level,
            armed: false,
            measuring: true,
            acks: 0,
            measures: Vec::new(),
            overlay: BTreeSet::new(),
            reach: None,
            reached_at: None,
            said: None,
        }
    }

    /// Takes in one fact.
    pub fn record(&mut self, world: &mut World, host: usize, event: &dyn Event) {
        let now = world.now();
        let boot = world.hosts[host].boot;
        let kept = world.digest.add(|buffer| {
            let mut facts = Facts::new(buffer);
            facts.num(now).num(host as u64).num(u64::from(boot)).word(event.word());
            event.facts(&mut facts);
        });
        if kept {
            let text = format!("{}  {}", event.source(), event.text());
            world.digest.tell(now, &world.hosts[host].name, text);
        }
        if let Some(said) = &mut self.said {
            let what = (host, event.source(), event.word());
            said.insert(what, (now, format!("{event:?}")));
        }
        if let Some(role) = event.role() {
            self.roles[host] = Some(role);
            self.role_since[host] = now;
        }
        self.note_kernel(host, event);
        self.trigger(host, event.word());
        self.awaited.note(event.word());
        self.write_line(world, host, now, event);
        let fact = Fact { at: now, host, boot, event };
        let view = View { world, roles: &self.roles };
        let mut found: Vec<(String, Finding, bool)> = Vec::new();
        let seeks = self.reach.is_some() && self.reached_at.is_none();
        let hearers = hearers(&mut self.hearers, &self.watches, event);
        for watch in hearers {
            let watch = &mut self.watches[*watch];
            if watch.failed || (watch.claim == Claim::Measures && !self.measuring) {
                continue;
            }
            let observed = watch.check.observe(&fact, &view);
            if seeks
                && self.reached_at.is_none()
                && self.reach.as_ref().is_some_and(|word| *word == watch.word)
                && watch.check.count() > 0
            {
                self.reached_at = Some(now);
            }
            if let Err(finding) = observed {
                watch.failed = true;
                found.push((watch.word.clone(), finding, watch.expected));
            }
        }
        for (check, finding, expected) in found {
            world.stop |= !expected;
            self.unsafe_seen |= !expected;
            self.violations.push(violation(world, check, now, finding));
        }
    }

    fn note_kernel(&mut self, host: usize, event: &dyn Event) {
        let any: &dyn std::any::Any = event;
        match any.downcast_ref() {
            Some(ClientEvent::Returned { end: OpEnd::Ok, .. }) => self.acks += 1,
            Some(ClientEvent::Invoked { client, op, .. }) if self.level == Trace::Ops => {
                self.asked.push((*client, *op));
            }
            _ => {}
        }
        match any.downcast_ref() {
            Some(KernelEvent::Paused | KernelEvent::DiskStalled) => {
                self.overlay.insert(host);
            }
            Some(KernelEvent::Resumed { .. } | KernelEvent::DiskGoesOn { .. }) => {
                self.overlay.remove(&host);
            }
            Some(
                KernelEvent::Crashed { .. }
                | KernelEvent::OutOfMemory { .. }
                | KernelEvent::PowerLost { .. },
            ) => {
                self.overlay.remove(&host);
            }
            _ => {}
        }
    }

    fn trigger(&mut self, host: usize, word: &str) {
        if !self.armed {
            return;
        }
        for trigger in &mut self.triggers {
            let here = trigger.on.is_none_or(|on| on == host);
            if trigger.left > 0 && here && trigger.word == word {
                trigger.left -= 1;
                if trigger.left == 0 {
                    self.due.push((trigger.line, host, trigger.after));
                }
            }
        }
    }

    fn write_line(&mut self, world: &mut World, host: usize, at: Time, event: &dyn Event) {
        tracing::debug!(
            target: "wavetank",
            host = world.hosts[host].name,
            source = event.source(),
            at_ns = at,
            "{}",
            event.text()
        );
        let wanted = match self.level {
            Trace::Off | Trace::Ops => false,
            Trace::Short => event.weight() >= Weight::Detail,
            Trace::Full => true,
        };
        if !wanted {
            return;
        }
        if self.trace.len() >= LINES_MAX {
            // The end of a run is worth more than its beginning.
            self.trace.drain(..LINES_MAX / 2);
        }
        let still = |h: usize| self.overlay.contains(&h) || world.hosts[h].collecting.is_some();
        let mark = |h: usize| match self.roles[h] {
            Some(role) if role.mark != '#' && still(h) => '~',
            Some(role) => role.mark,
            None => ' ',
        };
        world.history_bytes += event.text().len() as u64 + LINE_BYTES;
        self.trace.push(Line {
            at,
            host: world.hosts[host].name.clone(),
            source: event.source(),
            word: event.word(),
            text: event.text(),
            weight: event.weight(),
            marks: (0..world.nodes).map(mark).collect(),
        });
    }

    /// Asks the checks that judge whole histories. Why some of them cannot decide.
    pub fn conclude(&mut self, world: &World) -> Vec<String> {
        let mut undecided = Vec::new();
        if self.unsafe_seen {
            return undecided;
        }
        let view = View { world, roles: &self.roles };
        for watch in self.watches.iter_mut().filter(|w| !w.failed) {
            match watch.check.conclude(&view) {
                Conclusion::Holds => {}
                Conclusion::Undecided(why) => undecided.push(format!("{}: {why}", watch.word)),
                Conclusion::Violated(finding) => {
                    watch.failed = true;
                    self.unsafe_seen |= !watch.expected;
                    let word = watch.word.clone();
                    self.violations.push(violation(world, word, world.now(), finding));
                }
            }
        }
        undecided
    }

    /// Closes the measures: what happens later, in the blackout, is not part of them.
    pub fn close_measures(&mut self, world: &World) {
        self.measuring = false;
        let view = View { world, roles: &self.roles };
        self.measures = self.watches.iter().flat_map(|w| w.check.measures(&view)).collect();
    }
}

/// The watches that hear of such an event, found once for each type.
fn hearers<'a>(
    known: &'a mut Vec<(TypeId, Vec<usize>)>,
    watches: &[Watch],
    event: &dyn Event,
) -> &'a [usize] {
    let of = (event as &dyn Any).type_id();
    let at = known.iter().position(|(kind, _)| *kind == of).unwrap_or_else(|| {
        let hear = |at: &usize| watches[*at].check.hears().covers(of);
        known.push((of, (0..watches.len()).filter(hear).collect()));
        known.len() - 1
    });
    &known[at].1
}

fn violation(world: &World, check: String, at_ns: Time, finding: Finding) -> Violation {
    let hosts = finding.hosts.iter().map(|h| world.hosts[*h].name.clone()).collect();
    Violation { check, at_ns, hosts, text: finding.text }
}
