//! What one scenario cannot see of its claims, and all of them together can: that a row stands in one place;
//! that a row is `fitted` if and only if a constant of its profile says so, and that constants are fitted on
//! rows that exist; that documents and scenarios which are named exist; and that siblings differ only in
//! the keys that the illness lists in `varies`, so that what is shown of one is not due to something else.
//!
//! Left out: whether a constant that says `fitted_on = []` was chosen with a row in mind. That is a matter
//! of honesty.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::doc::Problem;
use crate::profile::Constant;
use crate::scenario::Scenario;
use crate::scenario::sibling::{Difference, differences};

use super::{Role, Row, Simulated, unknown};

/// Two scenarios of which one is held against the other.
pub struct Siblings<'a> {
    /// The illness, or the scenario that others are siblings of.
    pub ill: &'a Arc<Scenario>,
    /// The other.
    pub other: &'a Arc<Scenario>,
    /// Where they differ.
    pub differences: Vec<Difference>,
}

/// All siblings among scenarios, by name: a cure is one of its illness where either has claims, and so is
/// whoever says `sibling_of`.
pub fn siblings(all: &[Arc<Scenario>]) -> Vec<Siblings<'_>> {
    let named = |name: &str| all.iter().find(|s| s.name == name);
    let claims = |s: &Scenario| !s.claims.rows.is_empty() || !s.claims.varies.is_empty();
    let mut pairs = Vec::new();
    for scenario in all {
        let cure = scenario.shows.as_ref().and_then(|shows| named(shows.cure.as_deref()?));
        pairs.extend(cure.filter(|c| claims(scenario) || claims(c)).map(|cure| (scenario, cure)));
        let ill = scenario.claims.sibling_of.as_deref().and_then(named);
        pairs.extend(ill.map(|ill| (ill, scenario)));
    }
    pairs.sort_by_key(|(ill, other)| (ill.name.clone(), other.name.clone()));
    pairs.dedup_by_key(|(ill, other)| (ill.name.clone(), other.name.clone()));
    let pair = |(ill, other): (_, _)| Siblings { ill, other, differences: differences(ill, other) };
    pairs.into_iter().map(pair).collect()
}

/// Everything that is wrong with the claims of these scenarios, given the documents there are.
pub fn audit(all: &[Arc<Scenario>], documents: &[String]) -> Vec<Problem> {
    let mut problems = Vec::new();
    rows(all, documents, &mut problems);
    fits(all, &mut problems);
    let mut complain = |scenario: &Scenario, key: &str, text: String| {
        let place = scenario.effective.iter().find(|e| e.key == "title");
        let place = place.map_or_else(|| scenario.name.clone(), |e| e.origin.clone());
        problems.push(Problem { place, key: key.to_string(), text });
    };
    for scenario in all {
        if let Some(name) = &scenario.claims.sibling_of
            && !all.iter().any(|s| s.name == *name)
        {
            let why = unknown("scenario", name, all.iter().map(|s| s.name.as_str()));
            complain(scenario, "sibling_of", why);
        }
    }
    for Siblings { ill, other, differences } in siblings(all) {
        for Difference { key, here, there } in differences {
            if !ill.claims.varies.contains(&key) {
                let value = |v: &Option<String>| v.clone().unwrap_or_else(|| "nothing".to_string());
                let text = format!(
                    "`{key}` is {} here and {} in its sibling `{}`, and is not listed",
                    value(&here),
                    value(&there),
                    other.name
                );
                complain(ill, "varies", text);
            }
        }
    }
    problems
}

/// Each row is the only one of its name, of a document there is; its scenarios exist.
fn rows(all: &[Arc<Scenario>], documents: &[String], problems: &mut Vec<Problem>) {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for row in all.iter().flat_map(|s| &s.claims.rows) {
        let mut complain = |text: String| {
            let (place, key) = (row.place.clone(), "claim.row".to_string());
            problems.push(Problem { place, key, text });
        };
        if let Some(other) = seen.insert(row.name(), &row.place) {
            complain(format!("`{}` stands at {other} too", row.name()));
        }
        if !documents.contains(&row.document) {
            complain(unknown("document", &row.document, documents.iter().map(String::as_str)));
        }
        let Simulated::Order(of, _) = &row.simulated else { continue };
        for name in of.iter().filter_map(|(scenario, _)| scenario.as_deref()) {
            if !all.iter().any(|s| s.name == name) {
                complain(unknown("scenario", name, all.iter().map(|s| s.name.as_str())));
            }
        }
    }
}

/// `fitted` and `fitted_on` say the same.
fn fits(all: &[Arc<Scenario>], problems: &mut Vec<Problem>) {
    let names: Vec<String> = all.iter().flat_map(|s| &s.claims.rows).map(Row::name).collect();
    // Scenarios share profiles, and one complaint will do.
    let constants: BTreeMap<&str, &Constant> =
        all.iter().flat_map(|s| &s.profile.constants).map(|c| (c.place.as_str(), c)).collect();
    for constant in constants.values() {
        for name in constant.fitted_on.iter().filter(|name| !names.contains(name)) {
            let (place, key) = (constant.place.clone(), format!("profile.{}", constant.name));
            let text = unknown("row to be fitted on", name, names.iter().map(String::as_str));
            problems.push(Problem { place, key, text });
        }
    }
    for (scenario, row) in all.iter().flat_map(|s| s.claims.rows.iter().map(move |r| (s, r))) {
        let by: Vec<&Constant> = naming(scenario, row);
        let text = match (row.role == Role::Fitted, by.first()) {
            (true, None) => {
                "is `fitted`, and no constant of its profile names it in `fitted_on`".into()
            }
            (false, Some(c)) => {
                format!("is `{}`, and `{}` is fitted on it ({})", row.role.word(), c.name, c.place)
            }
            _ => continue,
        };
        let (place, key) = (row.place.clone(), "claim.role".to_string());
        problems.push(Problem { place, key, text: format!("`{}` {text}", row.name()) });
    }
}

/// The constants of the scenario's profile that name the row.
fn naming<'a>(scenario: &'a Scenario, row: &Row) -> Vec<&'a Constant> {
    let name = row.name();
    scenario.profile.constants.iter().filter(|c| c.fitted_on.contains(&name)).collect()
}

/// The constants on which a row rests: of a fitted row those that name it; of an input none; of others the
/// prices that its runs charged, and every other constant that was fitted on anything.
pub fn rests_on<'a>(scenario: &'a Scenario, row: &Row, charged: &[String]) -> Vec<&'a Constant> {
    match row.role {
        Role::Fitted => naming(scenario, row),
        Role::Input => Vec::new(),
        _ => uncertain(scenario, charged),
    }
}

/// The constants of a scenario's profile that its runs used and that are fitted or charged.
pub fn uncertain<'a>(scenario: &'a Scenario, charged: &[String]) -> Vec<&'a Constant> {
    let uses = |c: &&Constant| match c.price_of() {
        Some(kind) => charged.iter().any(|k| k == kind),
        None => !c.fitted_on.is_empty(),
    };
    scenario.profile.constants.iter().filter(uses).collect()
}
