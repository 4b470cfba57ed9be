//! `explain WORD`: what a word means and which parameters it takes. All of it comes from where the word is
//! declared; nothing is said twice.
//!
//! A word that means several things, as an event and a setting of the same name, is explained as each of
//! them. A word that is none is wrong usage, and the answer names the nearest ones.

use std::collections::BTreeSet;

use host::settings::{Field, nearest};
use kernel::claims::accept::Verdict;
use kernel::claims::{Provenance, Role};
use kernel::event::ClientEvent;
use kernel::outcome::exit;
use kernel::registry::{CheckWord, Registry};
use kernel::scenario::Scenario;
use kernel::study::Study;
use kernel::study::column::Per;

use crate::args::Explain;
use crate::session::{Failure, Session};
use crate::table::{row, short, table, wrapped};
use crate::terminal::{Paint, out};

/// How many words an unknown one may have meant.
const NEAREST_MAX: usize = 5;
/// From so many characters on, words that contain it may be meant as well.
const HEAD_MIN: usize = 3;

/// Whom a fault's `on` may select, as `Selector` says it.
const SELECTORS: [(&str, &str); 7] = [
    ("leader", "The host that says it leads, latest; nobody if none does."),
    ("follower", "A live host that does not lead, drawn."),
    ("one", "A live host, drawn."),
    ("minority", "Less than half of the hosts, drawn, as many as possible."),
    ("majority", "More than half of the hosts, drawn, as few as possible."),
    ("each", "Every live host at once."),
    ("there", "The host on which the event happened that the fault waited for."),
];

/// What rows of documents are labelled with.
const CLAIM_WORDS: [(&str, &[(&str, &str)]); 3] = [
    ("role of a claim", &Role::WORDS),
    ("verdict on a claim", &Verdict::WORDS),
    ("provenance of a document's figure", &Provenance::WORDS),
];

/// Prints what is known about a word.
pub fn explain(session: &Session, args: &Explain) -> Result<i32, Failure> {
    let word = args.word.as_str();
    let names = session.library.scenario_names();
    let mut text = entries(session.registry, word, Paint::stdout());
    if names.iter().any(|n| n == word) || word.ends_with(".toml") {
        text.push_str(&scenario(&*session.scenario(word, &[])?, Paint::stdout()));
    }
    let studies = session.library.study_names();
    if studies.iter().any(|n| n == word) {
        text.push_str(&study(&session.library.study(word)?, Paint::stdout()));
    }
    if text.is_empty() {
        let mut all = words(session.registry);
        all.extend(names.iter().chain(&studies).map(String::as_str));
        return Err(Failure::usage(format!("there is no word `{word}`; {}", meant(word, all))));
    }
    out(&text);
    Ok(exit::OK)
}

fn words(registry: &Registry) -> Vec<&str> {
    let nodes = registry.nodes.iter().map(|w| w.word);
    let plants = registry.nodes.iter().flat_map(|n| n.plants).map(|p| p.0);
    let loads = registry.workloads.iter().map(|w| w.word);
    let faults = registry.faults.iter().map(|w| w.word);
    let checks = registry.checks.iter().map(|w| w.word);
    let measures = registry.measures.iter().map(|m| m.0);
    let words = nodes.chain(plants).chain(loads).chain(faults).chain(checks).chain(measures);
    let words = words.chain(registry.event_words()).chain(SELECTORS.iter().map(|s| s.0));
    let words = words.chain(CLAIM_WORDS.iter().flat_map(|(_, words)| *words).map(|w| w.0));
    words.chain(owners(registry).into_iter().flat_map(|o| o.1).map(|f| f.name)).collect()
}

/// What to try instead of a word that is none: the nearest ones first.
fn meant(word: &str, mut words: Vec<&str>) -> String {
    let mut near = Vec::new();
    while let Some(next) = nearest(word, words.iter().copied())
        && near.len() < NEAREST_MAX
    {
        words.retain(|w| *w != next);
        near.push(format!("`{next}`"));
    }
    if word.chars().count() >= HEAD_MIN {
        let longer = words.iter().filter(|w| w.contains(word)).map(|w| format!("`{w}`"));
        for name in longer.collect::<BTreeSet<_>>() {
            if near.len() < NEAREST_MAX {
                near.push(name);
            }
        }
    }
    match near.as_slice() {
        [] => "`list` names the words there are".to_string(),
        [one] => format!("did you mean {one}?"),
        [many @ .., last] => format!("did you mean {} or {last}?", many.join(", ")),
    }
}

/// Whatever takes settings: what it is called, and its settings.
fn owners(registry: &Registry) -> Vec<(String, Vec<Field>)> {
    let nodes = registry.nodes.iter().map(|w| (w.word, &w.fields));
    let nodes = nodes.map(|(word, fields)| (format!("`{word}`"), fields.clone()));
    let loads = registry.workloads.iter().map(|w| (w.word, &w.fields));
    let loads = loads.map(|(word, fields)| (format!("workload `{word}`"), fields.clone()));
    let faults = registry.faults.iter().map(|w| (w.word, &w.fields));
    let faults = faults.map(|(word, fields)| (format!("fault `{word}`"), fields.clone()));
    let every = [("every fault".to_string(), head_fields())];
    nodes.chain(loads).chain(faults).chain(every).collect()
}

/// The word as a setting of whatever takes it; those of which it says the same share an entry.
fn settings(registry: &Registry, word: &str, paint: Paint) -> Vec<String> {
    let mut found: Vec<(Field, Vec<String>)> = Vec::new();
    for (owner, fields) in owners(registry) {
        for field in fields.into_iter().filter(|f| f.name == word) {
            match found.iter_mut().find(|(known, _)| alike(known, &field)) {
                Some((_, of)) => of.push(owner.clone()),
                None => found.push((field, vec![owner.clone()])),
            }
        }
    }
    let entry = |(field, of): &(Field, Vec<String>)| {
        let head = format!("{}   a setting of {}\n", paint.bold(word), of.join(", "));
        format!("{head}{}", parameters(std::slice::from_ref(field)))
    };
    found.iter().map(entry).collect()
}

fn alike(a: &Field, b: &Field) -> bool {
    let key = |f: &Field| (f.about, f.kind, f.default, f.allowed);
    key(a) == key(b)
}

fn entries(registry: &Registry, word: &str, paint: Paint) -> String {
    let mut text = String::new();
    for node in registry.nodes.iter().filter(|w| w.word == word) {
        text.push_str(&entry("node", word, node.about, &node.fields, paint));
        if !node.plants.is_empty() {
            let rows = node.plants.iter().map(|(p, about)| row([p, about])).collect();
            text.push_str(&format!("\n  plants\n{}", table(rows, 4, None)));
        }
    }
    for load in registry.workloads.iter().filter(|w| w.word == word) {
        text.push_str(&entry("workload", word, load.about, &load.fields, paint));
    }
    for fault in registry.faults.iter().filter(|w| w.word == word) {
        text.push_str(&entry("fault", word, fault.about, &fault.fields, paint));
        text.push_str("\n  every fault also takes\n");
        text.push_str(&parameters(&head_fields()));
    }
    for check in registry.checks.iter().filter(|w| w.word == word) {
        text.push_str(&claim(check, paint));
    }
    for (name, meaning) in registry.measures.iter().filter(|m| m.0 == word) {
        let about = format!(
            "{meaning} A scenario prints it first under [measure] columns, and may compare it under \
             [shows] symptoms."
        );
        text.push_str(&entry("measure", name, &about, &[], paint));
    }
    if registry.event_words().contains(&word) {
        let who = recorded_by(registry, word);
        let about = format!(
            "Something that happens, recorded by {who}; a fault can wait for it: when = {{ event = \
             \"{word}\", nth = 1, after = \"1ms\" }}."
        );
        text.push_str(&entry("event", word, &about, &[], paint));
    }
    for node in &registry.nodes {
        for (plant, about) in node.plants.iter().filter(|p| p.0 == word) {
            let about = format!("{about}. A deliberate defect of node `{}`.", node.word);
            text.push_str(&entry("plant", plant, &about, &[], paint));
        }
    }
    let mut more = Vec::new();
    for (_, about) in SELECTORS.iter().filter(|s| s.0 == word) {
        let about = format!("{about} A fault says it as on = \"{word}\".");
        more.push(entry("selector", word, &about, &[], paint));
    }
    for (kind, words) in CLAIM_WORDS {
        for (_, about) in words.iter().filter(|w| w.0 == word) {
            more.push(entry(kind, word, about, &[], paint));
        }
    }
    more.extend(settings(registry, word, paint));
    let text = Some(text).filter(|t| !t.is_empty());
    text.into_iter().chain(more).collect::<Vec<_>>().join("\n")
}

/// Who records an event.
fn recorded_by(registry: &Registry, word: &str) -> String {
    let node = registry.nodes.iter().find(|n| n.events.concat().contains(&word));
    match node {
        Some(node) => format!("node `{}`", node.word),
        None if ClientEvent::WORDS.contains(&word) => "clients".to_string(),
        None => "the simulator".to_string(),
    }
}

fn head_fields() -> Vec<Field> {
    use host::settings::Settings;
    let when = Field {
        name: "when",
        about: "A time or range after the load has begun, or { event = WORD, nth = N, after = TIME }.",
        kind: "duration range",
        default: "0ns",
        allowed: "",
    };
    let fields = kernel::plan::FaultHead::fields().into_iter().filter(|f| f.name != "kind");
    fields.chain([when]).collect()
}

fn entry(kind: &str, word: &str, about: &str, fields: &[Field], paint: Paint) -> String {
    let mut text = format!("{}   {kind}\n{}", paint.bold(word), wrapped(about, 2, 100));
    if !fields.is_empty() {
        text.push_str(&format!("\n{}", parameters(fields)));
    }
    text
}

fn parameters(fields: &[Field]) -> String {
    let mut rows = vec![row(["name", "kind", "default", "allowed", "meaning"])];
    for f in fields {
        let default = if f.default.is_empty() { "-" } else { f.default };
        let allowed = f.allowed.replace('|', " ");
        let about = wrapped(f.about, 0, 48);
        rows.push(row([
            f.name,
            f.kind,
            &short(default, 24),
            &short(&allowed, 24),
            about.trim_end(),
        ]));
    }
    table(rows, 4, None)
}

fn claim(check: &CheckWord, paint: Paint) -> String {
    let kind = format!("check, {}", check.claim.word());
    let mut text = entry(&kind, check.word, check.about, &[], paint);
    // A check that must have an argument says so, with an example, when it gets none.
    if let Err(why) = (check.make)(None) {
        text.push_str(&format!("\n  argument: {why}\n"));
    }
    text
}

fn scenario(s: &Scenario, paint: Paint) -> String {
    let mut text = format!("{}   scenario\n", paint.bold(&s.name));
    text.push_str(&format!("  {}\n\n", s.head.title.0));
    text.push_str(&wrapped(&s.head.about.0, 2, 100));
    let checks: Vec<&str> = s.checks.iter().map(|c| c.text.as_str()).collect();
    let mut rows = vec![
        vec!["node".to_string(), format!("{}, {} hosts", s.cluster.node.0, s.cluster.hosts)],
        row(["profile", &s.head.profile.0]),
        row(["checks", wrapped(&checks.join(", "), 0, 88).trim_end()]),
    ];
    if let Some(shows) = &s.shows {
        let symptoms: Vec<&str> = shows.symptoms.iter().map(|x| x.0.as_str()).collect();
        rows.push(row(["shows", &symptoms.join(", ")]));
        rows.push(row(["cure", shows.cure.as_deref().unwrap_or("-")]));
        if shows.tour > 0 {
            rows.push(row(["tour", &format!("storm {}", shows.tour)]));
        }
    }
    let claims: Vec<String> = s.claims.rows.iter().map(|row| row.name()).collect();
    if !claims.is_empty() {
        let seeds = format!("{} (seeds 0..{})", claims.join(", "), s.claims.seeds);
        rows.push(row(["claims", wrapped(&seeds, 0, 88).trim_end()]));
    }
    rows.push(vec![
        "ci".to_string(),
        format!("seeds 0..{} in at most {} s", s.ci.seeds, s.ci.seconds),
    ]);
    text.push_str(&format!("\n{}", table(rows, 2, None)));
    text
}

fn study(s: &Study, paint: Paint) -> String {
    let mut text = format!("{}   study\n", paint.bold(&s.name));
    text.push_str(&format!("  {}\n\n", s.title));
    text.push_str(&wrapped(&s.about, 2, 100));
    let cells = s.design.count(&s.params);
    let mut rows = vec![
        row(["scenario", &s.scenario]),
        vec!["cells".to_string(), format!("{cells}, seeds {}..{}", s.seeds.start, s.seeds.end)],
    ];
    for param in &s.params {
        let values = match param.values.as_slice() {
            [] => "cell by cell".to_string(),
            values => wrapped(&values.join(", "), 0, 80).trim_end().to_string(),
        };
        rows.push(vec![param.name.clone(), format!("{values}\nsets {}", param.keys.join(", "))]);
    }
    for column in &s.columns {
        let per = match column.per {
            None => "",
            Some(Per::Hour) => " for each hour of load",
            Some(Per::Second) => " for each second of load",
        };
        rows.push(vec![column.name.clone(), format!("measure {}{per}", column.word)]);
    }
    for bound in &s.constraints {
        rows.push(row(["constraint", &bound.text]));
    }
    text.push_str(&format!("\n{}", table(rows, 2, None)));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_word_gets_the_nearest_first() {
        let words = vec!["leases", "crash", "lease_reads", "converged"];
        assert_eq!(meant("lease", words.clone()), "did you mean `leases` or `lease_reads`?");
        assert_eq!(meant("zzzzqq", words), "`list` names the words there are");
    }

    #[test]
    fn every_selector_is_one() {
        for (word, _) in SELECTORS {
            assert_eq!(kernel::plan::Selector::parse(word, 3).map(|s| s.show()), Ok(word.into()));
        }
    }
}
