//! Claims as a whole: they are sound (each row in one place and laid out, each fit named by both sides,
//! siblings that differ only in what the document varies), they rest on what they say (each fitted
//! constant, changed by 20 %, moves a row that was predicted), and `reproduce` tells them to people and
//! machines and refuses what cannot be meant. All refusals together are `golden/broken_claims.txt`.

mod program;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::{Arc, OnceLock};

use kernel::claims::accept::scaled;
use kernel::claims::audit::{audit, siblings};
use kernel::claims::figure::same;
use kernel::claims::layout::Layout;
use kernel::claims::{Role, Row, Simulated};
use kernel::library::Library;
use kernel::registry::{Registry, node};
use kernel::run::{Options, leak, run};
use kernel::scenario::Scenario;
use program::{command, golden, json, root, scratch, wavetank};

fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<&'static Registry> = OnceLock::new();
    REGISTRY.get_or_init(|| {
        let elector = node(
            "elector",
            "As in the program.",
            elector::PLANTS,
            elector::EVENTS,
            elector::Config::validate,
            elector::run,
        );
        let store = node(
            "store",
            "As in the program.",
            store::PLANTS,
            store::EVENTS,
            store::Config::validate,
            store::run,
        );
        leak(Registry {
            nodes: vec![elector, store],
            workloads: workloads::words(),
            faults: faults::words(),
            checks: checks::words(),
            measures: checks::measures(),
            ..Registry::default()
        })
    })
}

fn library() -> Library {
    Library::find(registry())
}

fn load(name: &str, sets: &[(String, String)]) -> Arc<Scenario> {
    Arc::new(library().load(name, sets).unwrap_or_else(|e| panic!("{name}: {e:?}")))
}

fn all() -> Vec<Arc<Scenario>> {
    library().scenario_names().iter().map(|name| load(name, &[])).collect()
}

fn texts(problems: &[kernel::doc::Problem]) -> String {
    problems.iter().map(|p| format!("{p}\n")).collect()
}

#[test]
fn claims_are_sound_as_a_whole() {
    let (all, library) = (all(), library());
    let problems = audit(&all, &library.document_names());
    assert!(problems.is_empty(), "\n{}", texts(&problems));
    for name in library.document_names() {
        let (file, text) = library.document(&name).unwrap();
        let rows = all.iter().flat_map(|s| &s.claims.rows).filter(|row| row.document == name);
        let rows: Vec<&Row> = rows.collect();
        assert!(!rows.is_empty(), "{name}: nothing is claimed of it");
        let layout = Layout::read(&file, &text, &rows);
        assert!(layout.is_ok(), "\n{}", texts(&layout.err().unwrap_or_default()));
    }
}

/// What a document put in is what is in force, unless the row says why not.
#[test]
fn inputs_are_in_force() {
    for scenario in all() {
        for row in &scenario.claims.rows {
            let Simulated::Setting(key) = &row.simulated else { continue };
            let value = &scenario.effective.iter().find(|e| e.key == *key).expect("read").value;
            let told = same(&row.value, value) || !row.note.is_empty();
            assert!(told, "{}: `{}` says {}, in force is {value}", row.place, row.row, row.value);
        }
    }
}

#[test]
fn siblings_may_differ_only_in_what_the_document_varies() {
    let mut all = all();
    let pairs = siblings(&all);
    assert!(!pairs.is_empty() && pairs.iter().all(|p| !p.differences.is_empty()));
    let (name, before) = (pairs[0].other.name.clone(), pairs[0].differences.len());
    let documents = library().document_names();
    let at = all.iter().position(|s| s.name == name).unwrap();
    all[at] = load(&name, &[("cluster.hosts".to_string(), "7".to_string())]);
    let problems = texts(&audit(&all, &documents));
    assert!(problems.contains(&format!("`cluster.hosts` is 3 here and 7 in its sibling `{name}`")));
    let after = siblings(&all).into_iter().find(|p| p.other.name == name).unwrap();
    assert_eq!(after.differences.len(), before + 1);
    // A title is no difference.
    all[at] = load(&name, &[("title".to_string(), "Another".to_string())]);
    assert!(audit(&all, &documents).is_empty());
}

/// What predicted rows come to under seed 0: a measure, or the last of several over the first.
fn predictions(scenario: &Arc<Scenario>) -> BTreeMap<String, f64> {
    let outcome = run(scenario, registry(), &Options::seed(0)).expect("it runs");
    let of = |name: &str| outcome.measure(name).map(kernel::check::Measure::number);
    let number = |row: &Row| match &row.simulated {
        Simulated::Measure(name, _) => of(name),
        Simulated::Order(names, _) => match (names.first()?, names.last()?) {
            ((None, first), (None, last)) => Some(of(last)? / of(first)?),
            _ => None,
        },
        Simulated::Setting(_) => None,
    };
    let rows = scenario.claims.rows.iter().filter(|row| row.role == Role::Predicted);
    rows.filter_map(|row| Some((row.row.clone(), number(row)?))).collect()
}

/// Constants that weigh on fitted rows alone: a transaction of the table takes half a millisecond, which
/// nobody feels but writes of 10 KB, and their rate is what it was fitted to.
const NOT_FORETELLING: [&str; 1] = ["cost.table_write.base"];

/// A fit that no prediction rests on would be a figure put in for a figure that comes out. Scenarios of
/// which CI sweeps many seeds are tried first, for they are quick.
#[test]
fn every_fitted_constant_moves_a_prediction() {
    let mut all = all();
    all.retain(|s| !s.claims.rows.is_empty());
    let mut constants = BTreeSet::new();
    for scenario in &all {
        let fitted = scenario.profile.constants.iter().filter(|c| !c.fitted_on.is_empty());
        constants.extend(fitted.map(|c| (scenario.head.profile.0.clone(), c.name.clone())));
    }
    assert!(!constants.is_empty());
    all.retain(|s| s.claims.rows.iter().any(|row| row.role == Role::Predicted));
    all.sort_by_key(|s| Reverse(s.ci.seeds));
    let mut before = BTreeMap::new();
    for known in NOT_FORETELLING {
        let there = constants.iter().any(|(_, constant)| constant == known);
        assert!(there, "{known} is no fitted constant any more");
    }
    constants.retain(|(_, constant)| !NOT_FORETELLING.contains(&constant.as_str()));
    for (profile, constant) in constants {
        let moved = all.iter().filter(|s| s.head.profile.0 == profile).any(|scenario| {
            let known = scenario.profile.constants.iter().find(|c| c.name == constant);
            let Some((value, _)) = known.and_then(|known| scaled(&known.value, 120)) else {
                return false;
            };
            let name = &scenario.name;
            let before = before.entry(name.clone()).or_insert_with(|| predictions(scenario));
            let changed = load(name, &[(format!("profile.{constant}.value"), value)]);
            let after = predictions(&changed);
            before
                .iter()
                .any(|(row, b)| after.get(row).is_some_and(|a| (a / b - 1.0).abs() > 0.005))
        });
        assert!(moved, "{constant} of {profile}: 20 % more, and no predicted row moves");
    }
}

const CLAIMED: &str = "sim/tests/claimed.toml";

#[test]
fn a_small_scoreboard() {
    let output = wavetank(&["reproduce", CLAIMED, "--jobs", "1"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    golden("claimed.txt", &String::from_utf8_lossy(&output.stdout));
}

#[test]
fn machines_get_every_row_with_all_its_keys() {
    let said = json(&format!("reproduce {CLAIMED} --seeds 0..3")).remove(0);
    let rows = said["rows"].as_array().unwrap();
    let keys = [
        "claim",
        "constants",
        "document",
        "document_value",
        "note",
        "p5",
        "p95",
        "provenance",
        "role",
        "row",
        "simulated",
        "unit",
        "verdict",
    ];
    for row in rows {
        assert_eq!(row.as_object().unwrap().keys().collect::<Vec<_>>(), keys);
    }
    let of = |name: &str| rows.iter().find(|row| row["row"] == name).unwrap();
    assert_eq!(
        (&of("test count")["simulated"], &of("test count")["p95"]),
        (&20.0.into(), &20.0.into())
    );
    assert_eq!(of("test count")["verdict"], "inside");
    assert_eq!(
        (&of("test figure")["verdict"], &of("test figure")["unit"]),
        (&"outside".into(), &"ms".into())
    );
    assert_eq!(of("test bound")["verdict"], "inside");
    assert_eq!(of("test order")["verdict"], "order_holds");
    assert_eq!(of("test order")["simulated"].as_array().unwrap().len(), 2);
    assert_eq!(of("test wrong order")["verdict"], "order_broken");
    assert_eq!(
        (&of("test missing")["simulated"], &of("test missing")["verdict"]),
        (&serde_json::Value::Null, &"n/a".into())
    );
    assert_eq!(
        (&of("test input")["simulated"], &of("test input")["verdict"]),
        (&"3".into(), &"n/a".into())
    );
}

#[test]
fn broken_claims_are_refused_with_place_and_way_out() {
    let cases: [(&str, (&str, &str), &str); 18] = [
        ("role", ("role = \"predicted\"", "role = \"predcited\""), "did you mean `predicted`?"),
        ("value", ("\"60s\"", "\"60 parsecs\""), "`parsecs` is no unit here"),
        ("measure", ("\"acks\"", "\"ackss\""), "did you mean `acks`?"),
        ("missing", ("provenance = \"measured\"", ""), "a claim needs `provenance`"),
        ("two", ("measure = \"acks\"", "measure = \"acks\"\norder = [\"acks\"]"), "has one of"),
        ("setting", ("cluster.hosts\"", "cluster.host\""), "did you mean `cluster.hosts`?"),
        ("twice", ("\"test bound\"", "\"test count\""), "stands here twice"),
        ("seeds", ("claim_seeds = 4", "claim_seeds = 0"), "allowed: 1 to 100000"),
        ("key", ("claim = \"Three", "clam = \"Three"), "unknown key; did you mean `claim`?"),
        ("contradicted", ("note = \"Nobody believes that.\"", ""), "says in `note`"),
        ("input", ("role = \"input\"", "role = \"charged\""), "name a `setting`"),
        ("order", ("1ms -> 2ms -> 3ms", "1ms -> 2ms"), "2 figures for 3 measures"),
        ("fitted", ("role = \"charged\"", "role = \"fitted\""), "no constant of its profile"),
        ("document", ("\"002\"", "\"020\""), "no document `020`; did you mean `002`?"),
        ("scenario", ("claimed.write_max", "climed.write_max"), "no scenario `climed`"),
        ("unit", ("value = \"20\"", "value = \"20ms\""), "is not in the unit of `acks`: count"),
        ("sibling", ("[cluster]", "sibling_of = \"leader_crash\"\n[cluster]"), "is not listed"),
        ("varies", ("[cluster]", "varies = [\"cluster.host\"]\n[cluster]"), "`cluster.hosts`?"),
    ];
    let dir = scratch("broken-claims");
    let sound = fs::read_to_string(root().join(CLAIMED)).unwrap();
    let (mut sheet, mut wrong) = (String::new(), Vec::new());
    for (name, (old, new), says) in cases {
        assert!(sound.contains(old), "{name}: `{old}` is not in the sound file");
        let path = dir.join(format!("{name}.toml"));
        let text = sound.replacen(old, new, 1).replace("claimed.", &format!("{name}."));
        fs::write(&path, text).unwrap();
        let output =
            command(root(), &["reproduce", &path.display().to_string(), "--seeds", "0..1"]);
        let output = { output }.output().unwrap();
        let text =
            String::from_utf8(output.stderr).unwrap().replace(&dir.display().to_string(), "");
        let kept = output.status.code() == Some(65) && output.stdout.is_empty();
        if !kept || !text.contains(says) || text.contains("panicked") {
            wrong.push(format!("{name}: {}: {text}", output.status));
        }
        sheet += &format!("{name}, exit 65\n{text}\n");
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    golden("broken_claims.txt", &sheet);
}

#[test]
fn slips_of_the_pen_are_wrong_usage() {
    for (line, says) in [
        ("reproduce 020", "did you mean `002`?"),
        ("reproduce swarm", "no scenario claims a row of `swarm`"),
        ("reproduce 002 --seeds 3..3", "no seed"),
    ] {
        let output = wavetank(&line.split(' ').collect::<Vec<_>>());
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(64) && text.contains(says), "{line}: {text}");
    }
}
