//! `list`: the words there are. In JSON `{scenarios: [{name, title}], studies: [{name, title}], documents:
//! [{name, title}], nodes, workloads, faults, checks, plants, measures}`, where the others are lists of
//! words. For people a check that takes an argument is followed by `(..)`.
//!
//! The lists are the registry's own, so a word that is listed is a word that works; `explain` tells more.

use std::collections::BTreeSet;

use kernel::outcome::exit;
use kernel::registry::{CheckWord, Registry};
use serde_json::json;

use crate::args::{Format, List};
use crate::session::{Failure, Session};
use crate::table::{short, table};
use crate::terminal::{Paint, out};

/// Names with titles.
type Titled = Vec<(String, String)>;

/// Prints all words.
pub fn list(session: &Session, args: &List) -> Result<i32, Failure> {
    let library = &session.library;
    let titled = |names: Vec<String>, title: &dyn Fn(&str) -> Option<String>| -> Titled {
        let title = |name: &str| title(name).unwrap_or_else(|| "(unreadable)".to_string());
        names.into_iter().map(|name| (name.clone(), title(&name))).collect()
    };
    let named = [
        titled(library.scenario_names(), &|name| library.title(name)),
        titled(library.study_names(), &|name| library.study_title(name)),
        titled(library.document_names(), &|name| library.document_title(name)),
    ];
    match args.format {
        Format::Json => out(&format!("{}\n", as_json(session, &named))),
        Format::Human => out(&as_text(session, &named)),
    }
    Ok(exit::OK)
}

/// Plants and what they are, each once: nodes may share them.
fn plants(words: &Registry) -> Vec<(&'static str, &'static str)> {
    let mut seen = BTreeSet::new();
    let all = words.nodes.iter().flat_map(|n| n.plants).copied();
    all.filter(|(word, _)| seen.insert(*word)).collect()
}

fn as_json(session: &Session, [scenarios, studies, documents]: &[Titled; 3]) -> serde_json::Value {
    let words = session.registry;
    let named = |all: &Titled| -> Vec<_> {
        all.iter().map(|(n, t)| json!({"name": n, "title": t})).collect()
    };
    let plants: Vec<&str> = plants(words).iter().map(|p| p.0).collect();
    json!({
        "scenarios": named(scenarios),
        "studies": named(studies),
        "documents": named(documents),
        "nodes": words.nodes.iter().map(|w| w.word).collect::<Vec<_>>(),
        "workloads": words.workloads.iter().map(|w| w.word).collect::<Vec<_>>(),
        "faults": words.faults.iter().map(|w| w.word).collect::<Vec<_>>(),
        "checks": words.checks.iter().map(|w| w.word).collect::<Vec<_>>(),
        "plants": plants,
        "measures": words.measures.iter().map(|m| m.0).collect::<Vec<_>>(),
    })
}

fn as_text(session: &Session, [scenarios, studies, documents]: &[Titled; 3]) -> String {
    let words = session.registry;
    let paint = Paint::stdout();
    let named = |check: &CheckWord| match (check.make)(None) {
        Ok(_) => check.word.to_string(),
        Err(_) => format!("{}(..)", check.word),
    };
    let claims: Vec<String> = words.checks.iter().map(named).collect();
    let claims = claims.iter().zip(&words.checks).map(|(name, c)| (name.as_str(), c.about));
    let sections: [(&str, Vec<(&str, &str)>); 9] = [
        ("scenarios", scenarios.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect()),
        ("studies", studies.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect()),
        ("documents", documents.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect()),
        ("nodes", words.nodes.iter().map(|w| (w.word, w.about)).collect()),
        ("workloads", words.workloads.iter().map(|w| (w.word, w.about)).collect()),
        ("faults", words.faults.iter().map(|w| (w.word, w.about)).collect()),
        ("checks", claims.collect()),
        ("plants", plants(words)),
        ("measures", words.measures.clone()),
    ];
    let mut text = String::new();
    for (heading, entries) in sections {
        text.push_str(&format!("{}\n", paint.bold(heading)));
        if entries.is_empty() {
            text.push_str("  none\n\n");
            continue;
        }
        let rows = entries.iter().map(|(w, about)| vec![(*w).to_string(), short(about, 68)]);
        text.push_str(&table(rows.collect(), 2, None));
        text.push('\n');
    }
    text.push_str(&format!("`{} explain WORD` says more about one of them.\n", words.program()));
    text
}
