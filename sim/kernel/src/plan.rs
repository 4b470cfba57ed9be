//! The plan: what goes wrong, in three layers.
//!
//! *Drawn*: ranges and chances are resolved by draws keyed to the scenario's line; selectors such as
//! `leader` and triggers such as `snapshot_started #2` are still symbolic. *Fired*: what happened, with
//! hosts, time, trigger and the survivors of power losses. *Artifact*: fired lines and left-out operations
//! as a file; replaying it under its seed, no draw decides whom a fault hits, when, or what survives. An
//! artifact that was shrunk may also calm the weather, end the load early, and wait for events again.

mod artifact;
mod mask;
mod params;
mod swarm;

pub use artifact::Expect;
pub use mask::{Mask, Op};
pub use params::simpler;
pub use swarm::{Lasts, Swarm};

use host::Rng;
use host::settings::{Setting, Text};
use host::unit::{Ratio, Span, nanos, parse_span};

use crate::Time;
use crate::branch::Branch;
use crate::doc::{Effective, Reader};
use crate::draw::Draws;
use crate::model::files::Survivor;
use crate::registry::{Params, Registry};

/// On whom a fault acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// The host that says it leads, latest.
    Leader,
    /// A live host that says it follows, drawn.
    Follower,
    /// A live host, drawn.
    One,
    /// Less than half of the hosts, drawn, as many as possible.
    Minority,
    /// More than half of them, drawn, as few as possible.
    Majority,
    /// Every live host, all at once: one line.
    Each,
    /// The host on which the trigger happened.
    There,
    /// Hosts by name.
    Named(Vec<String>),
}

impl Selector {
    /// Parses a selector; `nodes` bounds the host numbers.
    pub fn parse(text: &str, nodes: u64) -> Result<Selector, String> {
        Ok(match text {
            "leader" => Selector::Leader,
            "follower" => Selector::Follower,
            "one" => Selector::One,
            "minority" => Selector::Minority,
            "majority" => Selector::Majority,
            "each" => Selector::Each,
            "there" => Selector::There,
            _ => {
                let names: Vec<String> = text.split(',').map(|s| s.trim().to_string()).collect();
                if names.iter().any(|s| !is_node(s, nodes)) {
                    return Err(format!(
                        "`{text}` is not leader, follower, one, minority, majority, each, there, or \
                         a host n1 to n{nodes}"
                    ));
                }
                Selector::Named(names)
            }
        })
    }

    /// As it is written.
    pub fn show(&self) -> String {
        match self {
            Selector::Leader => "leader".into(),
            Selector::Follower => "follower".into(),
            Selector::One => "one".into(),
            Selector::Minority => "minority".into(),
            Selector::Majority => "majority".into(),
            Selector::Each => "each".into(),
            Selector::There => "there".into(),
            Selector::Named(names) => names.join(","),
        }
    }
}

/// Whether a name is that of one of so many nodes.
fn is_node(name: &str, nodes: u64) -> bool {
    let number = name.strip_prefix('n').and_then(|n| n.parse::<u64>().ok());
    number.is_some_and(|n| n >= 1 && n <= nodes)
}

/// A `[[fault]]` of a scenario.
#[derive(Clone, Debug)]
pub struct FaultSpec {
    /// The fault's word.
    pub kind: String,
    /// Its parameters as written; `a|b` is a choice to draw, `low..high` a range.
    pub params: Params,
    /// On whom.
    pub on: Selector,
    /// After the load has begun; or after an event.
    pub when: WhenSpec,
    /// For how long; zero is until the heal.
    pub lasts: Lasts,
    /// The share of seeds in which the line is on.
    pub chance: Ratio,
    /// How many times.
    pub times: (u64, u64),
}

/// When a fault may act.
#[derive(Clone, Debug)]
pub enum WhenSpec {
    /// At a time after the load has begun.
    At(Span),
    /// After the n-th event of that word in the load.
    Event {
        /// The event's word.
        word: String,
        /// On which host; any if nothing is said.
        on: Option<String>,
        /// Which occurrence, counted from 1: a range to draw from.
        nth: (u64, u64),
        /// How long after it.
        after: Span,
    },
}

host::settings! {
    /// What every `[[fault]]` may say.
    pub struct FaultHead {
        /// The fault's word.
        kind: Text = "";
        /// On whom: leader, follower, one, minority, majority, each, there, or hosts such as n1,n3.
        on: Text = "one";
        /// How long: a time, a range, `around` the timeouts of `[swarm]`, or several with `|` between
        /// them. The default, zero, lasts until the heal.
        lasts: Text = "0ns";
        /// The share of seeds in which this line is on.
        chance: Ratio = "100%";
        /// How many times: a number, or a range from which one is drawn.
        times: Text = "1";
    }
}

fn counts(text: &str, low: u64, high: u64) -> Result<(u64, u64), String> {
    let one = |s: &str| {
        let n: u64 =
            s.trim().parse().map_err(|_| format!("`{}` is not a whole number", s.trim()))?;
        if n < low || n > high {
            return Err(format!("`{}` is out of range; allowed: {low} to {high}", s.trim()));
        }
        Ok(n)
    };
    let (a, b) = match text.split_once("..") {
        Some((a, b)) => (one(a)?, one(b)?),
        None => (one(text)?, one(text)?),
    };
    if a > b { Err(format!("`{text}` runs backwards")) } else { Ok((a, b)) }
}

impl FaultSpec {
    /// Reads `[[fault]]` number `i`.
    pub fn read(
        reader: &mut Reader<'_>,
        registry: &Registry,
        i: usize,
        nodes: u64,
        swarm: &Swarm,
    ) -> Option<Self> {
        let section = format!("fault.{i}");
        let before = reader.problems.len();
        let head: FaultHead = reader.settings(&section, "");
        let Some(word) = registry.fault(&head.kind.0) else {
            let hint = params::hint(&head.kind.0, registry.faults.iter().map(|w| w.word));
            reader.problem(&format!("{section}.kind"), format!("no fault `{}`{hint}", head.kind.0));
            reader.accept_below(&section);
            return None;
        };
        let on = Selector::parse(&head.on.0, nodes)
            .map_err(|why| reader.problem(&format!("{section}.on"), why));
        let times = counts(&head.times.0, 1, 1000)
            .map_err(|why| reader.problem(&format!("{section}.times"), why));
        let lasts = Lasts::parse(&head.lasts.0, swarm)
            .map_err(|why| reader.problem(&format!("{section}.lasts"), why));
        let when = WhenSpec::read(reader, registry, &section, nodes);
        let mut given = Params::new();
        reader.fields(&section, "", &word.fields, &mut |name, text| {
            given.insert(name.to_string(), text.to_string());
            params::check(word, name, text)
        });
        if reader.problems.len() > before {
            return None;
        }
        Some(FaultSpec {
            kind: head.kind.0,
            params: given,
            on: on.ok()?,
            when: when?,
            lasts: lasts.ok()?,
            chance: head.chance,
            times: times.ok()?,
        })
    }

    /// Resolves what this line's draws decide.
    fn draw(&self, draws: &Draws, swarm: &Swarm, line: u64, out: &mut Vec<Drawn>) {
        let mut rng = draws.stream("plan", line, 0);
        if swarm.is_off(draws, &self.kind) || !rng.chance(self.chance.0) {
            return;
        }
        for n in 1..=rng.between(self.times.0, self.times.1) {
            let mut rng = draws.stream("plan", line, n);
            let params = &self.params;
            let params =
                params.iter().map(|(k, v)| (k.clone(), params::draw(&mut rng, v))).collect();
            let when = match &self.when {
                WhenSpec::At(span) => When::At(within(&mut rng, *span)),
                WhenSpec::Event { word, on, nth, after } => When::Event {
                    word: word.clone(),
                    on: on.clone(),
                    nth: rng.between(nth.0, nth.1),
                    after: within(&mut rng, *after),
                },
            };
            let (kind, on) = (self.kind.clone(), self.on.clone());
            let lasts = self.lasts.draw(&mut rng, swarm);
            out.push(Drawn { kind, params, on, when, lasts, origin: (line, n) });
        }
    }
}

fn within(rng: &mut Rng, span: Span) -> Time {
    rng.between(nanos(span.min), nanos(span.max))
}

impl WhenSpec {
    fn read(
        reader: &mut Reader<'_>,
        registry: &Registry,
        section: &str,
        nodes: u64,
    ) -> Option<WhenSpec> {
        let path = format!("{section}.when");
        if reader.doc.has_table(&path) {
            let word = reader.one(&path, "event");
            let on = reader.one(&path, "on");
            let nth = reader.one(&path, "nth").unwrap_or("1".into());
            let after = reader.one(&path, "after").unwrap_or("0ns".into());
            reader.expect(section, "when");
            for (name, default) in [("event", ""), ("on", ""), ("nth", "1"), ("after", "0ns")] {
                let key = format!("{path}.{name}");
                if reader.doc.get(&key).is_none() && !default.is_empty() {
                    let (value, origin) = (default.to_string(), "default".to_string());
                    reader.effective.push(Effective { key, value, origin });
                } else {
                    reader.note(&key);
                }
            }
            let nth = counts(&nth, 1, 1_000_000)
                .map_err(|why| reader.problem(&format!("{path}.nth"), why));
            let after = <Span as Setting>::parse(&after, "0ns..24h")
                .map_err(|why| reader.problem(&format!("{path}.after"), why));
            match &word {
                None => reader.problem(&path, "a trigger names its `event`"),
                Some(word) if !registry.event_words().contains(&word.as_str()) => {
                    let hint = params::hint(word, registry.event_words());
                    reader.problem(&format!("{path}.event"), format!("no event `{word}`{hint}"));
                }
                Some(_) => {}
            }
            if let Some(host) = on.as_ref().filter(|h| !is_node(h, nodes)) {
                let text = format!("no host `{host}`; hosts are n1 to n{nodes}");
                reader.problem(&format!("{path}.on"), text);
            }
            return Some(WhenSpec::Event { word: word?, on, nth: nth.ok()?, after: after.ok()? });
        }
        let text = reader.one(section, "when").unwrap_or("0ns".into());
        reader.note(&path);
        match parse_span(&text) {
            Ok(span) => Some(WhenSpec::At(span)),
            Err(why) => {
                reader.problem(&path, why);
                None
            }
        }
    }
}

/// When a drawn line acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// That long after the load has begun.
    At(Time),
    /// After the n-th such event of the load.
    Event {
        /// The event's word.
        word: String,
        /// On which host; any if nothing is said.
        on: Option<String>,
        /// Which occurrence, counted from 1.
        nth: u64,
        /// How long after it.
        after: Time,
    },
}

impl When {
    /// For people.
    pub fn show(&self) -> String {
        let time = |ns: Time| format!("{} ms", host::unit::millis(ns));
        match self {
            When::At(ns) => format!("load + {}", time(*ns)),
            When::Event { word, on, nth, after } => {
                let on = on.as_ref().map_or(String::new(), |host| format!(" on {host}"));
                format!("{word} #{nth}{on} + {}", time(*after))
            }
        }
    }
}

/// A line of the plan before it acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// The fault's word.
    pub kind: String,
    /// Its parameters, drawn.
    pub params: Params,
    /// On whom.
    pub on: Selector,
    /// When.
    pub when: When,
    /// For how long, in nanoseconds; zero is until the heal.
    pub lasts: Time,
    /// Which `[[fault]]` of the scenario, and which of its times: what its own draws are keyed by.
    pub origin: (u64, u64),
}

/// A line of the plan after it acted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fired {
    /// The fault's word.
    pub kind: String,
    /// Its parameters.
    pub params: Params,
    /// The hosts it hit.
    pub hosts: Vec<String>,
    /// When, in nanoseconds since the start of the run.
    pub at: Time,
    /// What it waited for, for people.
    pub trigger: String,
    /// For how long, in nanoseconds; zero is until the heal.
    pub lasts: Time,
    /// What each power loss left.
    pub survivors: Vec<(String, Vec<Survivor>)>,
    /// What its own draws are keyed by; the same however many lines stand before it.
    pub origin: (u64, u64),
    /// An event for which the line of an artifact waits, instead of for a time.
    pub when: Option<When>,
}

/// Where the delays of links and disks come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sky {
    /// Each is drawn, as the profile spreads them.
    #[default]
    Drawn,
    /// Each is the profile's median.
    Calm,
}

/// A plan to run.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Lines still to be resolved.
    pub drawn: Vec<Drawn>,
    /// Lines that are given exactly.
    pub exact: Vec<Fired>,
    /// Operations to leave out.
    pub mask: Mask,
    /// Where the delays of links and disks come from.
    pub sky: Sky,
    /// The load ends after so many nanoseconds, if the scenario does not end it sooner.
    pub load: Option<Time>,
    /// Of an artifact: the scenario it belongs to.
    pub scenario: Option<String>,
    /// Of an artifact: the seed under which it acted.
    pub seed: Option<u64>,
    /// Of an artifact: where the run left the draws of that seed.
    pub branch: Option<Branch>,
    /// Of a kept artifact: what came of it, and under what.
    pub expect: Option<Expect>,
}

impl Plan {
    /// Draws the plan of a seed.
    pub fn draw(specs: &[FaultSpec], swarm: &Swarm, draws: &Draws) -> Plan {
        let mut drawn = Vec::new();
        for (line, spec) in specs.iter().enumerate() {
            spec.draw(draws, swarm, line as u64, &mut drawn);
        }
        Plan { drawn, ..Plan::default() }
    }
}
