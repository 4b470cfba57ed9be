//! Siblings: scenarios that are the same but for a few keys, as an illness and its cure. What says what a
//! scenario is and how it is judged (its title, its checks, what it shows, what it claims) does not count,
//! for it changes nothing of what happens. Another machine is one difference and not a hundred constants.
//! Left out: differences that cannot matter, such as a setting that no node of the scenario reads.

use std::collections::BTreeMap;

use super::Scenario;

/// Keys that say what a scenario is and how it is judged, not what happens in it.
const ABOUT: [&str; 6] = ["title", "about", "shows.", "measure.", "ci.", "check."];

/// A key in which two scenarios differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The key.
    pub key: String,
    /// Its value in the first; `None` if it has none.
    pub here: Option<String>,
    /// Its value in the second.
    pub there: Option<String>,
}

/// Where two scenarios differ, by key.
pub fn differences(a: &Scenario, b: &Scenario) -> Vec<Difference> {
    let values = |s: &Scenario| -> BTreeMap<String, String> {
        s.effective.iter().map(|e| (e.key.clone(), e.value.clone())).collect()
    };
    let (here, there) = (values(a), values(b));
    let machine = here.get("profile") != there.get("profile");
    let about =
        |key: &str| ABOUT.iter().any(|a| key == *a || (a.ends_with('.') && key.starts_with(a)));
    let counts = |key: &str| !about(key) && !(machine && key.starts_with("profile."));
    let mut keys: Vec<&String> =
        here.keys().chain(there.keys()).filter(|key| counts(key)).collect();
    keys.sort();
    keys.dedup();
    keys.retain(|key| here.get(*key) != there.get(*key));
    let difference = |key: &String| {
        let (here, there) = (here.get(key).cloned(), there.get(key).cloned());
        Difference { key: key.clone(), here, there }
    };
    keys.into_iter().map(difference).collect()
}
