//! Artifacts: fired lines and left-out operations as a TOML file. Replaying one under its seed, no draw
//! decides whom a fault hits, when, or what survives; what else a fault draws is keyed by the line of the
//! scenario that it came from, so it draws the same however many lines are left.
//!
//! An artifact that was shrunk may say more: `weather = "calm"` and `load = "1.5s"` in `[plan]`, what it
//! keeps of the load in `[[keep]]`, and in a `[[fired]]` an event that it waits for, `when = { event =
//! "appended", on = "n1", nth = 3, after = "1ms" }`, instead of the time `at`. A kept one says in
//! `[expect]` what came of it, and in `[envelope]` of what it is a plan. It is an untrusted file like any
//! other.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use host::settings::{Setting, Text};
use host::unit::{Size, nanos, parse_duration, show};

use super::{Fired, Mask, Plan, Sky, When, WhenSpec, is_node, params};
use crate::Time;
use crate::branch::Branch;
use crate::doc::{Doc, Problem, Reader};
use crate::model::files::Survivor;
use crate::outcome::Class;
use crate::registry::{Params, Registry};

/// What a kept plan came to, and of what it is a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expect {
    /// The check that was violated.
    pub check: String,
    /// The class of the failure, as JSON names it.
    pub class: String,
    /// Planted defects.
    pub plants: Vec<String>,
    /// Other values of the scenario, as KEY=VALUE.
    pub sets: Vec<String>,
    /// Checks that were left out.
    pub mute: Vec<String>,
    /// The interleaving.
    pub weave: u64,
    /// The digest of the run.
    pub digest: String,
    /// Hashes of what the run depends on, by name.
    pub envelope: BTreeMap<String, String>,
}

/// What `[plan]` says of the world, as it is written.
const CALM: &str = "calm";

impl Plan {
    /// Reads an artifact for a cluster of that many nodes.
    pub fn parse(
        file: &str,
        text: &str,
        registry: &Registry,
        nodes: u64,
    ) -> Result<Plan, Vec<Problem>> {
        let doc = Doc::parse(file, text, "")?;
        let mut reader = Reader::new(&doc);
        let mut plan = read_head(&mut reader);
        for i in 0..doc.count("fired") {
            plan.exact.extend(read_fired(&mut reader, registry, &format!("fired.{i}"), nodes));
        }
        if doc.count("fired") == 0 {
            reader.expect("", "fired");
        }
        plan.mask = Mask::read(&mut reader);
        plan.expect = read_expect(&mut reader);
        reader.finish();
        if reader.problems.is_empty() { Ok(plan) } else { Err(reader.problems) }
    }

    /// As a file that `Plan::parse` reads. Drawn lines are no part of it.
    pub fn artifact(&self) -> String {
        let mut out = String::from("[plan]\n");
        if let Some(scenario) = &self.scenario {
            let _ = writeln!(out, "scenario = {}", quote(scenario));
        }
        if let Some(seed) = self.seed {
            let _ = writeln!(out, "seed = {seed}");
        }
        if let Some(branch) = self.branch {
            let _ = writeln!(out, "branch = \"{branch}\"");
        }
        let _ = writeln!(out, "tool = {}", quote(env!("CARGO_PKG_VERSION")));
        if self.sky == Sky::Calm {
            let _ = writeln!(out, "weather = {}", quote(CALM));
        }
        if let Some(load) = self.load {
            let _ = writeln!(out, "load = \"{}\"", time(load));
        }
        if let Some(expect) = &self.expect {
            expect.write(&mut out);
        }
        for line in &self.exact {
            line.write(&mut out);
        }
        out + &self.mask.show()
    }
}

impl Expect {
    fn write(&self, out: &mut String) {
        let list = |words: &[String]| {
            let quoted: Vec<String> = words.iter().map(|w| quote(w)).collect();
            format!("[{}]", quoted.join(", "))
        };
        let _ = writeln!(out, "\n[expect]\ncheck = {}", quote(&self.check));
        let _ = writeln!(out, "class = {}", quote(&self.class));
        for (name, words) in [("plants", &self.plants), ("sets", &self.sets), ("mute", &self.mute)]
        {
            if !words.is_empty() {
                let _ = writeln!(out, "{name} = {}", list(words));
            }
        }
        if self.weave != 0 {
            let _ = writeln!(out, "weave = {}", self.weave);
        }
        let _ = writeln!(out, "digest = {}\n\n[envelope]", quote(&self.digest));
        for (name, hash) in &self.envelope {
            let _ = writeln!(out, "{name} = {}", quote(hash));
        }
    }
}

impl Fired {
    fn write(&self, out: &mut String) {
        let _ = writeln!(out, "\n[[fired]]\nkind = {}", quote(&self.kind));
        let hosts: Vec<String> = self.hosts.iter().map(|h| quote(h)).collect();
        let _ = writeln!(out, "hosts = [{}]", hosts.join(", "));
        match &self.when {
            Some(When::Event { word, on, nth, after }) => {
                let on = on.as_ref().map_or(String::new(), |on| format!("on = {}, ", quote(on)));
                let (word, after) = (quote(word), time(*after));
                let _ = writeln!(
                    out,
                    "when = {{ event = {word}, {on}nth = {nth}, after = \"{after}\" }}"
                );
            }
            _ => {
                let _ = writeln!(out, "at = \"{}\"", time(self.at));
            }
        }
        let _ = writeln!(out, "lasts = \"{}\"", time(self.lasts));
        let _ = writeln!(out, "trigger = {}", quote(&self.trigger));
        let _ = writeln!(out, "draws = \"{}.{}\"", self.origin.0, self.origin.1);
        for (key, value) in &self.params {
            let _ = writeln!(out, "{key} = {}", quote(value));
        }
        for (host, list) in &self.survivors {
            for s in list {
                let _ = writeln!(
                    out,
                    "[[fired.survivors]]\nhost = {}\npath = {}\ndirty = \"{}B\"\nkept = \"{}B\"",
                    quote(host),
                    quote(&s.path),
                    s.dirty_bytes,
                    s.kept_bytes
                );
            }
        }
    }
}

fn quote(text: &str) -> String {
    toml::Value::String(text.to_string()).to_string()
}

fn time(ns: Time) -> String {
    show(Duration::from_nanos(ns))
}

/// Reads `[plan]`.
fn read_head(reader: &mut Reader<'_>) -> Plan {
    let scenario = reader.one("plan", "scenario");
    let mut plan = Plan { scenario, ..Plan::default() };
    reader.one("plan", "tool");
    if let Some(text) = reader.one("plan", "branch") {
        match Branch::parse(&text) {
            Ok(branch) => plan.branch = Some(branch),
            Err(why) => reader.problem("plan.branch", why),
        }
    }
    if let Some(text) = reader.one("plan", "seed") {
        plan.seed = text.parse().ok();
        if plan.seed.is_none() {
            reader.problem("plan.seed", format!("`{text}` is not a seed"));
        }
    }
    match reader.one("plan", "weather").as_deref() {
        None => {}
        Some(CALM) => plan.sky = Sky::Calm,
        Some(text) => {
            reader.problem("plan.weather", format!("`{text}` is not allowed; there is: {CALM}"));
        }
    }
    if let Some(text) = reader.one("plan", "load") {
        match parse_duration(&text) {
            Ok(load) => plan.load = Some(nanos(load)),
            Err(why) => reader.problem("plan.load", why),
        }
    }
    plan
}

/// Reads `[expect]` and `[envelope]`, if they are there.
fn read_expect(reader: &mut Reader<'_>) -> Option<Expect> {
    if !reader.doc.has_table("expect") {
        reader.expect("", "expect");
        reader.expect("", "envelope");
        return None;
    }
    let mut word = |name: &str| reader.one("expect", name);
    let (check, class) = (word("check").unwrap_or_default(), word("class").unwrap_or_default());
    let (weave, digest) = (word("weave"), word("digest").unwrap_or_default());
    if check.is_empty() {
        reader.problem("expect", "a kept plan names the `check` that is violated");
    }
    if !Class::ALL.iter().any(|c| c.word() == class) {
        let hint = params::hint(&class, Class::ALL.iter().map(|c| c.word()));
        reader.problem("expect.class", format!("no class of failure `{class}`{hint}"));
    }
    let weave = weave.map_or(Some(0), |text| text.parse().ok());
    if weave.is_none() {
        reader.problem("expect.weave", "a weave is a whole number");
    }
    let [plants, sets, mute] = ["plants", "sets", "mute"].map(|name| reader.many("expect", name));
    if let Some(bad) = sets.iter().find(|set| !set.contains('=')) {
        reader.problem("expect.sets", format!("`{bad}` is not KEY=VALUE"));
    }
    let mut envelope = BTreeMap::new();
    for name in reader.doc.children("envelope") {
        let hash = reader.one("envelope", &name);
        envelope.extend(hash.map(|hash| (name, hash)));
    }
    reader.expect("", "envelope");
    Some(Expect { check, class, plants, sets, mute, weave: weave?, digest, envelope })
}

host::settings! {
    /// A `[[fired]]` of an artifact.
    pub struct FiredHead {
        /// The fault's word.
        kind: Text = "";
        /// When, since the start of the run.
        at: Duration = "0ns", "0ns..24h";
        /// For how long; zero is until the heal.
        lasts: Duration = "0ns", "0ns..24h";
        /// What it waited for when it was drawn; for people.
        trigger: Text = "";
        /// Which line of the scenario, counted from 0, and which of its times, counted from 1: its own draws
        /// are keyed by these.
        draws: Text = "0.0";
    }
}

fn read_fired(
    reader: &mut Reader<'_>,
    registry: &Registry,
    section: &str,
    nodes: u64,
) -> Option<Fired> {
    let head: FiredHead = reader.settings(section, "");
    let hosts = reader.many(section, "hosts");
    if let Some(host) = hosts.iter().find(|h| !is_node(h, nodes)) {
        let text = format!("no host `{host}`; hosts are n1 to n{nodes}");
        reader.problem(&format!("{section}.hosts"), text);
    }
    let Some(word) = registry.fault(&head.kind.0) else {
        let hint = params::hint(&head.kind.0, registry.faults.iter().map(|w| w.word));
        reader.problem(&format!("{section}.kind"), format!("no fault `{}`{hint}", head.kind.0));
        return None;
    };
    let mut params = Params::new();
    reader.fields(section, "", &word.fields, &mut |name, text| {
        params.insert(name.to_string(), text.to_string());
        let one = Params::from([(name.to_string(), text.to_string())]);
        word.make(&one).map(drop).map_err(|(_, why)| why)
    });
    let mut survivors: Vec<(String, Vec<Survivor>)> = Vec::new();
    for i in 0..reader.doc.count(&format!("{section}.survivors")) {
        let here = format!("{section}.survivors.{i}");
        let host = reader.one(&here, "host").unwrap_or_default();
        let path = reader.one(&here, "path").unwrap_or_default();
        let mut size = |name: &str| {
            let text = reader.one(&here, name)?;
            <Size as Setting>::parse(&text, "").ok().map(|s| s.0)
        };
        let (Some(dirty_bytes), Some(kept_bytes)) = (size("dirty"), size("kept")) else {
            reader.problem(&here, "a survivor names `dirty` and `kept` as sizes");
            continue;
        };
        let survivor = Survivor { path, dirty_bytes, kept_bytes };
        match survivors.last_mut() {
            Some((last, list)) if *last == host => list.push(survivor),
            _ => survivors.push((host, vec![survivor])),
        }
    }
    reader.expect(section, "survivors");
    let (at, lasts) = (nanos(head.at), nanos(head.lasts));
    let (kind, trigger) = (head.kind.0, head.trigger.0);
    let origin = head.draws.0.split_once('.').and_then(|(line, n)| {
        let (line, n) = (line.parse::<u32>().ok()?, n.parse::<u32>().ok()?);
        Some((u64::from(line), u64::from(n)))
    });
    let Some(origin) = origin else {
        let text = format!("`{}` is not LINE.TIME, such as 3.1", head.draws.0);
        reader.problem(&format!("{section}.draws"), text);
        return None;
    };
    let when = read_when(reader, registry, section, nodes);
    Some(Fired { kind, params, hosts, at, trigger, lasts, survivors, origin, when })
}

/// Reads the event that a fired line waits for, if there is one.
fn read_when(
    reader: &mut Reader<'_>,
    registry: &Registry,
    section: &str,
    nodes: u64,
) -> Option<When> {
    if !reader.doc.has_table(&format!("{section}.when")) {
        if reader.one(section, "when").is_some() {
            let text =
                "an event to wait for is { event = .., nth = .., after = .. }; a time is `at`";
            reader.problem(&format!("{section}.when"), text);
        }
        return None;
    }
    match WhenSpec::read(reader, registry, section, nodes)? {
        WhenSpec::Event { word, on, nth, after } if nth.0 == nth.1 && after.min == after.max => {
            let after = nanos(after.min);
            Some(When::Event { word, on, nth: nth.0, after })
        }
        _ => {
            let text = "a fired line waits for one occurrence, and for one time after it";
            reader.problem(&format!("{section}.when"), text);
            None
        }
    }
}
