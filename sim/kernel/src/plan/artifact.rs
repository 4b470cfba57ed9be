//! Artifacts: fired lines and left-out operations as a TOML file. Replaying one under its seed, no draw
//! decides whom a fault hits, when, or what survives; what else a fault draws is keyed by the line of the
//! scenario that it came from, so it draws the same however many lines are left.

use std::fmt::Write as _;
use std::time::Duration;

use host::settings::{Setting, Text};
use host::unit::{Size, nanos, show};

use super::{Fired, Plan, is_node, params};
use crate::Time;
use crate::doc::{Doc, Problem, Reader};
use crate::model::files::Survivor;
use crate::registry::{Params, Registry};

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
        let scenario = reader.one("plan", "scenario");
        let mut plan = Plan { scenario, ..Plan::default() };
        reader.one("plan", "tool");
        if let Some(text) = reader.one("plan", "seed") {
            plan.seed = text.parse().ok();
            if plan.seed.is_none() {
                reader.problem("plan.seed", format!("`{text}` is not a seed"));
            }
        }
        for i in 0..doc.count("fired") {
            plan.exact.extend(read_fired(&mut reader, registry, &format!("fired.{i}"), nodes));
        }
        for i in 0..doc.count("skip") {
            let section = format!("skip.{i}");
            let mut number = |name: &str| reader.one(&section, name)?.parse::<u64>().ok();
            match (number("client"), number("op")) {
                (Some(client), Some(op)) => plan.skipped.push((client, op)),
                _ => reader.problem(&section, "a skip names `client` and `op` by number"),
            }
        }
        for section in ["fired", "skip"] {
            if doc.count(section) == 0 {
                reader.expect("", section);
            }
        }
        reader.finish();
        if reader.problems.is_empty() { Ok(plan) } else { Err(reader.problems) }
    }
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
    Some(Fired { kind, params, hosts, at, trigger, lasts, survivors, origin })
}

/// Fired lines as an artifact that `Plan::parse` reads.
pub fn artifact(scenario: &str, seed: u64, fired: &[Fired], skipped: &[(u64, u64)]) -> String {
    let quote = |s: &str| toml::Value::String(s.to_string()).to_string();
    let time = |ns: Time| show(Duration::from_nanos(ns));
    let mut out = String::new();
    let _ = writeln!(out, "[plan]\nscenario = {}\nseed = {seed}", quote(scenario));
    let _ = writeln!(out, "tool = {}", quote(env!("CARGO_PKG_VERSION")));
    for line in fired {
        let _ = writeln!(out, "\n[[fired]]\nkind = {}", quote(&line.kind));
        let hosts: Vec<String> = line.hosts.iter().map(|h| quote(h)).collect();
        let _ = writeln!(out, "hosts = [{}]", hosts.join(", "));
        let _ = writeln!(out, "at = \"{}\"", time(line.at));
        let _ = writeln!(out, "lasts = \"{}\"", time(line.lasts));
        let _ = writeln!(out, "trigger = {}", quote(&line.trigger));
        let _ = writeln!(out, "draws = \"{}.{}\"", line.origin.0, line.origin.1);
        for (key, value) in &line.params {
            let _ = writeln!(out, "{key} = {}", quote(value));
        }
        for (host, list) in &line.survivors {
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
    for (client, op) in skipped {
        let _ = writeln!(out, "\n[[skip]]\nclient = {client}\nop = {op}");
    }
    out
}
