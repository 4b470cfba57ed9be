//! A check is asked about the facts that it says it hears of. Were it asked about all of them it would come
//! to the same: the same verdict, findings, counts and measures, with sound nodes and with defects.

#[allow(dead_code)]
#[path = "../main.rs"]
mod wavetank;

use std::sync::Arc;

use kernel::check::{Check, Conclusion, Fact, Finding, Measure, Standing, View};
use kernel::library::Library;
use kernel::outcome::Outcome;
use kernel::registry::{CheckWord, MakeCheck, Registry};
use kernel::run::{Options, leak, run};

/// A check that is asked about everything.
struct AllEars(Box<dyn Check>);

impl Check for AllEars {
    fn observe(&mut self, fact: &Fact<'_>, view: &View<'_>) -> Result<(), Finding> {
        self.0.observe(fact, view)
    }

    fn conclude(&mut self, view: &View<'_>) -> Conclusion {
        self.0.conclude(view)
    }

    fn standing(&self, view: &View<'_>) -> Standing {
        self.0.standing(view)
    }

    fn count(&self) -> u64 {
        self.0.count()
    }

    fn measures(&self, view: &View<'_>) -> Vec<Measure> {
        self.0.measures(view)
    }
}

fn all_ears<const N: usize>(argument: Option<&str>) -> Result<Box<dyn Check>, String> {
    let check = (checks::words()[N].make)(argument)?;
    Ok(Box::new(AllEars(check)))
}

/// One for each check; what makes one is a plain function, so they are counted out.
macro_rules! all_ears {
    ($($tens:literal)*) => {
        [$(
            all_ears::<{ 10 * $tens }>, all_ears::<{ 10 * $tens + 1 }>,
            all_ears::<{ 10 * $tens + 2 }>, all_ears::<{ 10 * $tens + 3 }>,
            all_ears::<{ 10 * $tens + 4 }>, all_ears::<{ 10 * $tens + 5 }>,
            all_ears::<{ 10 * $tens + 6 }>, all_ears::<{ 10 * $tens + 7 }>,
            all_ears::<{ 10 * $tens + 8 }>, all_ears::<{ 10 * $tens + 9 }>,
        )*]
    };
}

const ALL_EARS: [MakeCheck; 80] = all_ears![0 1 2 3 4 5 6 7];

fn registry() -> Registry {
    let words = checks::words();
    assert!(words.len() <= ALL_EARS.len());
    let asked = |(word, make): (CheckWord, &MakeCheck)| CheckWord { make: *make, ..word };
    Registry {
        checks: words.into_iter().zip(&ALL_EARS).map(asked).collect(),
        ..wavetank::registry()
    }
}

fn says(outcome: &Outcome) -> String {
    let Outcome { verdict, digest, violations, undecided, sometimes, measures, .. } = outcome;
    format!("{verdict:?} {digest} {violations:?} {undecided:?} {sometimes:?} {measures:?}")
}

#[test]
fn what_a_check_does_not_hear_of_would_change_nothing() {
    let (usual, asked) = (leak(wavetank::registry()), leak(registry()));
    let load = |registry: &'static Registry, name: &str| {
        let found = Library::find(registry).load(name, &[]);
        Arc::new(found.unwrap_or_else(|problems| panic!("{name}: {problems:?}")))
    };
    let mut failed = 0;
    for (name, seeds, plants) in [
        ("swarm", 12, &[""][..]),
        ("sim/tests/members.toml", 3, &[""]),
        ("sim/tests/judged.toml", 2, &["", "cas_blind", "stale_get"]),
        ("fsync_stall_loses_lease", 2, &[""]),
        (
            "swarm",
            4,
            &[
                "vote_not_persisted",
                "ack_before_fsync",
                "heartbeat_commit_unchecked",
                "append_without_match",
                "uncommitted_applied",
                "session_forgotten",
                "read_without_quorum",
                "rejection_ignored",
                "lease_never_ends",
                "old_entries_restamped",
            ],
        ),
    ] {
        let (one, other) = (load(usual, name), load(asked, name));
        for plant in plants {
            for seed in 0..seeds {
                let plants = if plant.is_empty() { vec![] } else { vec![plant.to_string()] };
                let options = || Options { plants: plants.clone(), ..Options::seed(seed) };
                let one = run(&one, usual, &options()).expect("runs");
                let other = run(&other, asked, &options()).expect("runs");
                assert_eq!(says(&one), says(&other), "{name}, seed {seed}, {plant}");
                failed += u64::from(!one.violations.is_empty());
            }
        }
    }
    assert!(failed >= 12, "defects that nobody notices show nothing: {failed}");
}
