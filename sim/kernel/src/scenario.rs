//! A scenario: one sentence `cause_verb_effect` as a file. Reading it resolves every word against the
//! registry and every value against its allowed range, and remembers where each value came from.
//! All problems of a file are reported at once, each with its place.

pub mod sibling;
mod storm;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use host::settings::{Field, Text, nearest};
use host::unit::{Ratio, Size, parse_duration, parse_size};

use crate::check::{Measure, Unit};
use crate::claims::Claims;
use crate::doc::{Doc, Effective, Problem, Reader, Value};
use crate::draw::Draws;
use crate::model::atlas::Atlas;
use crate::plan::{FaultSpec, Swarm};
use crate::profile::Profile;
use crate::registry::{Boot, Claim, Params, Registry};
use crate::workload::Workload;

host::settings! {
    /// The head of a scenario.
    pub struct Head {
        /// One line.
        title: Text = "";
        /// What happens and why it matters.
        about: Text = "";
        /// The machine: a file of sim/profiles.
        profile: Text = "";
        /// The load ends when it is done, or at this time.
        duration: Duration = "60s", "1ms..24h";
        /// After everything is healed, clients go on for so long, or until they are done.
        recovery: Duration = "0ns", "0ns..24h";
        /// After everything is healed, and the load has ended, what must come about has so long to do so.
        settle: Duration = "10s", "1ms..24h";
        /// From the start to the load.
        boot: Duration = "1s", "0ns..1h";
    }
}

host::settings! {
    /// The system under test.
    pub struct Cluster {
        /// The node's word.
        node: Text = "";
        /// How many hosts run it.
        hosts: u64 = "5", "1..64";
    }
}

host::settings! {
    /// What `[check]` may say besides its lists.
    pub struct CheckHead {
        /// A run with fewer acknowledged operations is vacuous.
        min_acks: u64 = "1", "0..1000000000";
    }
}

host::settings! {
    /// What `[shows]` may say besides its symptoms.
    pub struct ShowsHead {
        /// The scenario in which the symptoms are gone.
        cure: Text = "";
        /// A sweep shows the illness when this share of its seeds does.
        share: Ratio = "100%";
        /// Its place among the storms of the tour; 0: it has none.
        tour: u64 = "0", "0..99";
    }
}

host::settings! {
    /// How much a CI job sweeps.
    pub struct Budget {
        /// Seeds, counted from 0.
        seeds: u64 = "20", "1..1000000";
        /// Seconds after which no new seed begins.
        seconds: u64 = "60", "1..3600";
    }
}

host::settings! {
    /// Bounds after which a run is given up.
    pub struct Limits {
        /// Bytes that the run may hold: file contents, queues, history.
        memory: Size = "16GiB", "1MiB..1024GiB";
        /// Polls that the run may take.
        polls: u64 = "200000000", "1000..100000000000";
    }
}

/// How a symptom compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// At least.
    AtLeast,
    /// At most.
    AtMost,
    /// Exactly.
    Equal,
}

/// What a run must show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Symptom {
    /// A measure compared to a value.
    Measured {
        /// The measure's name.
        name: String,
        /// How.
        compare: Compare,
        /// The value as written.
        value: String,
    },
    /// That check is expected to fail.
    Violates(String),
}

impl Symptom {
    fn parse(text: &str) -> Result<Symptom, String> {
        if let Some(rest) = text.strip_prefix("violates(") {
            let check = rest.strip_suffix(')').ok_or("a parenthesis is missing")?;
            return Ok(Symptom::Violates(check.trim().to_string()));
        }
        for (sign, compare) in
            [(">=", Compare::AtLeast), ("<=", Compare::AtMost), ("==", Compare::Equal)]
        {
            if let Some((name, value)) = text.split_once(sign) {
                let (name, value) = (name.trim().to_string(), value.trim().to_string());
                let units = [Unit::Time, Unit::Bytes, Unit::Count, Unit::Ratio];
                if units.iter().all(|u| !comparable(&value, *u)) {
                    return Err(format!("`{value}` is neither a number nor a quantity"));
                }
                return Ok(Symptom::Measured { name, compare, value });
            }
        }
        Err(format!("`{text}` is not a symptom; write \"NAME >= VALUE\" or \"violates(CHECK)\""))
    }

    /// Whether a measure bears the symptom out; an error if units do not fit.
    pub fn holds(compare: Compare, value: &str, measure: &Measure) -> Result<bool, String> {
        let wanted = quantity(value, measure.unit)
            .ok_or_else(|| format!("`{value}` is no value in {}", measure.unit.word()))?;
        Ok(match compare {
            Compare::AtLeast => measure.value >= wanted,
            Compare::AtMost => measure.value <= wanted,
            Compare::Equal => measure.value == wanted,
        })
    }
}

fn comparable(value: &str, unit: Unit) -> bool {
    quantity(value, unit).is_some()
}

fn quantity(value: &str, unit: Unit) -> Option<u64> {
    match unit {
        Unit::Time => parse_duration(value).ok().map(host::unit::nanos),
        Unit::Bytes => parse_size(value).ok().map(|s| s.0),
        Unit::Count => value.parse().ok(),
        Unit::Rate => value.parse::<u64>().ok().and_then(|n| n.checked_mul(1000)),
        Unit::Ratio => thousandths(value),
    }
}

/// `2.5` as 2500; more than three digits after the point are refused.
fn thousandths(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 3 {
        return None;
    }
    let part = part.parse::<u64>().ok()? * 10_u64.pow(3 - part.len() as u32);
    whole.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(part)
}

/// What the scenario exists to show.
#[derive(Clone, Debug)]
pub struct Shows {
    /// All of them must be there.
    pub symptoms: Vec<(String, Symptom)>,
    /// The scenario without the illness.
    pub cure: Option<String>,
    /// The share of seeds that must show it.
    pub share: Ratio,
    /// Its place among the storms of the tour; 0: none.
    pub tour: u64,
}

/// A check that the scenario names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckUse {
    /// As written: `leader_within(5s)`.
    pub text: String,
    /// The check's word.
    pub word: String,
    /// What stands in parentheses.
    pub argument: Option<String>,
}

/// A scenario, ready to run.
#[derive(Clone)]
pub struct Scenario {
    /// The file's name without ending.
    pub name: String,
    /// Head.
    pub head: Head,
    /// Machine.
    pub profile: Profile,
    /// System under test.
    pub cluster: Cluster,
    /// The node's configuration as written.
    pub config: Params,
    /// Configuration keys of which each seed draws one value.
    pub choices: BTreeMap<String, Vec<String>>,
    /// Loads.
    pub workloads: Vec<Arc<dyn Workload>>,
    /// Faults.
    pub faults: Vec<FaultSpec>,
    /// What their draws share.
    pub swarm: Swarm,
    /// Checks by kind of claim.
    pub checks: Vec<CheckUse>,
    /// Vacuous below this many acknowledgements.
    pub min_acks: u64,
    /// What it shows.
    pub shows: Option<Shows>,
    /// Measures to print first.
    pub columns: Vec<String>,
    /// Whose disks may be harmed for good.
    pub atlas: Atlas,
    /// CI's budget.
    pub ci: Budget,
    /// Bounds.
    pub limits: Limits,
    /// Rows of documents that it stands for.
    pub claims: Claims,
    /// Every value in force and its origin.
    pub effective: Vec<Effective>,
}

impl Scenario {
    /// Resolves a document that holds the scenario's keys and, below `profile`, the machine's.
    pub fn read(name: &str, doc: &Doc, registry: &Registry) -> Result<Scenario, Vec<Problem>> {
        let mut reader = Reader::new(doc);
        let r = &mut reader;
        let head: Head = r.settings("", "");
        for (key, text) in [("title", &head.title), ("profile", &head.profile)] {
            if text.0.is_empty() {
                r.problem(key, format!("a scenario needs `{key}`"));
            }
        }
        let profile = Profile::read(r);
        let cluster: Cluster = r.settings("cluster", "");
        let (config, choices) = read_config(r, registry, &cluster);
        let workloads = read_workloads(r, registry);
        let swarm = storm::swarm(r);
        let faults = (0..doc.count("fault"))
            .filter_map(|i| FaultSpec::read(r, registry, i, cluster.hosts, &swarm))
            .collect();
        let checks = read_checks(r, registry);
        let check: CheckHead = r.settings("check", "");
        let shows = read_shows(r, registry, &checks);
        let columns = r.many("measure", "columns");
        let atlas: storm::AtlasHead = r.settings("atlas", "");
        let atlas = atlas.atlas(cluster.hosts).unwrap_or_else(|why| {
            r.problem("atlas.damages", why);
            Atlas::default()
        });
        let ci = r.settings("ci", "");
        let limits = r.settings("limits", "");
        let claims = Claims::read(r, registry);
        r.finish();
        if !reader.problems.is_empty() {
            return Err(reader.problems);
        }
        Ok(Scenario {
            name: name.to_string(),
            head,
            profile,
            cluster,
            config,
            choices,
            workloads,
            faults,
            swarm,
            checks,
            min_acks: check.min_acks,
            shows,
            columns,
            atlas,
            ci,
            limits,
            claims,
            effective: reader.effective,
        })
    }

    /// The choices of this seed among `[cluster.draw]`.
    pub fn drawn_config(&self, draws: &Draws) -> Params {
        let pick = |(key, values): (&String, &Vec<String>)| {
            let mut rng = draws.stream(&format!("config {key}"), 0, 0);
            (key.clone(), values[rng.below(values.len() as u64) as usize].clone())
        };
        self.choices.iter().map(pick).collect()
    }

    /// The node as this seed configures it.
    pub fn boot(&self, registry: &Registry, draws: &Draws) -> Result<Boot, String> {
        let word = registry.node(&self.cluster.node.0).expect("the node was resolved");
        let mut config = self.config.clone();
        config.extend(self.drawn_config(draws));
        word.make(&config).map_err(|(key, why)| format!("cluster.config.{key}: {why}"))
    }

    /// Whether the run ends with a blackout: some check reads back what was promised.
    pub fn blackout(&self) -> bool {
        self.checks.iter().any(|c| c.word == "acked_durable")
    }
}

fn read_config(
    r: &mut Reader<'_>,
    registry: &Registry,
    cluster: &Cluster,
) -> (Params, BTreeMap<String, Vec<String>>) {
    let (mut config, mut choices) = (Params::new(), BTreeMap::new());
    let Some(word) = registry.node(&cluster.node.0) else {
        let near = nearest(&cluster.node.0, registry.nodes.iter().map(|w| w.word));
        let hint = near.map_or(String::new(), |w| format!("; did you mean `{w}`?"));
        r.problem("cluster.node", format!("no node `{}`{hint}", cluster.node.0));
        r.accept_below("cluster.config");
        r.accept_below("cluster.draw");
        return (config, choices);
    };
    let one = |name: &str, text: &str| {
        let params = Params::from([(name.to_string(), text.to_string())]);
        match word.make(&params) {
            Err((key, why)) if !key.is_empty() => Err(why),
            _ => Ok(()),
        }
    };
    r.fields("cluster.config", "", &word.fields, &mut |name, text| {
        config.insert(name.to_string(), text.to_string());
        one(name, text)
    });
    let drawable: Vec<Field> =
        word.fields.iter().map(|f| Field { default: "", ..f.clone() }).collect();
    for field in &drawable {
        let key = r.expect("cluster.draw", field.name);
        let Some(item) = r.doc.get(&key).cloned() else { continue };
        let values = match item.value {
            Value::Many(values) if !values.is_empty() => values,
            _ => {
                r.problem(&key, "a list of values to draw from is wanted here");
                continue;
            }
        };
        for value in &values {
            if let Err(why) = one(field.name, value) {
                r.problem(&key, why);
            }
        }
        r.effective.push(Effective { key, value: values.join(" | "), origin: item.place });
        choices.insert(field.name.to_string(), values);
    }
    // What the command line sets is set for every seed.
    let by_hand = |key: &str| {
        let item = r.doc.get(&format!("cluster.config.{key}"));
        item.is_some_and(|i| i.place == "--set")
    };
    choices.retain(|key, _| !by_hand(key));
    if r.problems.is_empty()
        && let Err((_, why)) = word.make(&config)
    {
        r.problem("cluster.config", why);
    }
    (config, choices)
}

fn read_workloads(r: &mut Reader<'_>, registry: &Registry) -> Vec<Arc<dyn Workload>> {
    let mut out = Vec::new();
    let count = r.doc.count("workload");
    if count == 0 {
        r.problem("workload", "a scenario needs at least one [[workload]]");
    }
    for i in 0..count {
        let section = format!("workload.{i}");
        let kind = r.one(&section, "kind").unwrap_or_default();
        r.note(&format!("{section}.kind"));
        let Some(word) = registry.workload(&kind) else {
            let near = nearest(&kind, registry.workloads.iter().map(|w| w.word));
            let hint = near.map_or(String::new(), |w| format!("; did you mean `{w}`?"));
            r.problem(&format!("{section}.kind"), format!("no workload `{kind}`{hint}"));
            r.accept_below(&section);
            continue;
        };
        let mut params = Params::new();
        let before = r.problems.len();
        r.fields(&section, "", &word.fields, &mut |name, text| {
            params.insert(name.to_string(), text.to_string());
            let one = Params::from([(name.to_string(), text.to_string())]);
            match word.make(&one) {
                Err((key, why)) if !key.is_empty() => Err(why),
                _ => Ok(()),
            }
        });
        if r.problems.len() > before {
            continue;
        }
        match word.make(&params) {
            Ok(workload) => out.push(workload),
            Err((_, why)) => r.problem(&section, why),
        }
    }
    out
}

fn read_checks(r: &mut Reader<'_>, registry: &Registry) -> Vec<CheckUse> {
    let mut out: Vec<CheckUse> = Vec::new();
    for claim in [Claim::Always, Claim::Eventually, Claim::Sometimes] {
        for text in r.many("check", claim.word()) {
            let (word, argument) = match text.strip_suffix(')').and_then(|t| t.split_once('(')) {
                Some((word, argument)) => (word.to_string(), Some(argument.to_string())),
                None => (text.clone(), None),
            };
            let key = format!("check.{}", claim.word());
            match registry.check(&word) {
                Some(known) if known.claim != claim => {
                    let right = known.claim.word();
                    r.problem(&key, format!("`{word}` belongs to `{right}`"));
                }
                Some(known) => match (known.make)(argument.as_deref()) {
                    Ok(_) if out.iter().any(|c| c.word == word) => {
                        r.problem(&key, format!("`{word}` stands here twice"));
                    }
                    Ok(_) => out.push(CheckUse { text, word, argument }),
                    Err(why) => r.problem(&key, why),
                },
                None => {
                    let near = nearest(&word, registry.checks.iter().map(|c| c.word));
                    let hint = near.map_or(String::new(), |w| format!("; did you mean `{w}`?"));
                    r.problem(&key, format!("no check `{word}`{hint}"));
                }
            }
        }
    }
    out
}

fn read_shows(r: &mut Reader<'_>, registry: &Registry, listed: &[CheckUse]) -> Option<Shows> {
    let head: ShowsHead = r.settings("shows", "");
    let mut symptoms = Vec::new();
    let texts = r.many("shows", "symptoms");
    let none = texts.is_empty();
    for text in texts {
        match Symptom::parse(&text) {
            Ok(Symptom::Violates(check)) if !listed.iter().any(|c| c.word == check) => {
                let near = nearest(&check, registry.checks.iter().map(|c| c.word));
                let hint = near.map_or(String::new(), |w| format!("; did you mean `{w}`?"));
                r.problem("shows.symptoms", format!("`{check}` is not under [check]{hint}"));
            }
            Ok(symptom) => symptoms.push((text, symptom)),
            Err(why) => r.problem("shows.symptoms", why),
        }
    }
    if symptoms.is_empty() {
        if none && r.doc.has_table("shows") {
            r.problem("shows", "what it shows is missing: `symptoms = [..]`");
        }
        return None;
    }
    let cure = Some(head.cure.0).filter(|c| !c.is_empty());
    Some(Shows { symptoms, cure, share: head.share, tour: head.tour })
}
