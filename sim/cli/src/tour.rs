//! `tour`, and what is shown to whoever types no command: each storm beside its cure in one table, what
//! happens in the first of them, and what to type next. A storm is a scenario with `[shows] tour = N`; N is
//! its place. The tour knows no scenario: what a cure changes is read off both files, and every figure is a
//! measure of the runs.
//!
//! All runs have one seed and share the cores. What is printed depends on nothing but that seed; how long it
//! took goes to stderr. In JSON one line per storm, the object that `run` prints.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Instant;

use kernel::history::Trace;
use kernel::outcome::{Outcome, exit};
use kernel::run::{Options, run, show};
use kernel::scenario::Scenario;
use kernel::scenario::sibling::{Difference, differences};

use crate::args::{Changes, Format, Tour, quoted};
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::report::{Digest, Page, capitals};
use crate::session::{Failure, Session};
use crate::table::{short, table, wrapped};
use crate::terminal::{Paint, err, out};

/// The figures of the table, where runs have them.
const COLUMNS: [&str; 5] =
    ["leader_changes", "no_leader_total", "lease_gap_max", "wal_bytes_max", "write_p99"];
/// Lines of the story.
const STORY_LINES: usize = 15;
/// What is said after a signal.
const INTERRUPTED: &str = "\ninterrupted: nothing is shown\n";
/// Settings of a row that are named at most.
const SETTINGS_MAX: usize = 2;
/// Columns of text.
const WIDTH: usize = 110;

/// A storm and its cure.
struct Storm {
    ill: Arc<Scenario>,
    cure: Option<Arc<Scenario>>,
}

/// What both came to.
struct Seen {
    ill: Outcome,
    cure: Option<Outcome>,
}

/// Runs the storms and their cures, and prints what they came to.
pub fn tour(session: &Session, args: &Tour) -> Result<i32, Failure> {
    let storms = storms(session)?;
    if storms.is_empty() {
        let folder = session.registry.home();
        let text = format!(
            "there is no tour: no scenario of {folder}/scenarios has `[shows] tour = 1`; `{} list` \
             names them",
            session.registry.program()
        );
        return Err(Failure::usage(text));
    }
    let interrupt = Interrupt::listen()?;
    interrupt.last_words(|| {
        err(INTERRUPTED);
        std::process::exit(exit::INTERRUPTED);
    });
    let begun = Instant::now();
    let Some(seen) = run_all(session, &storms, args, &interrupt)? else {
        if interrupt.claim() {
            err(INTERRUPTED);
        }
        return Ok(exit::INTERRUPTED);
    };
    let runs = seen.iter().map(|s| 1 + usize::from(s.cure.is_some())).sum::<usize>();
    err(&format!("{runs} runs in {:.1} s\n", begun.elapsed().as_secs_f64()));
    out(&match args.format {
        Format::Json => seen.iter().map(|s| format!("{}\n", s.ill.json(s.cure.as_ref()))).collect(),
        Format::Human => page(session, &storms, &seen, args.seed),
    });
    let outcomes = seen.iter().flat_map(|s| [Some(&s.ill), s.cure.as_ref()]).flatten();
    Ok(outcomes.map(Outcome::exit_code).find(|code| *code != exit::OK).unwrap_or(exit::OK))
}

/// The storms in their order.
fn storms(session: &Session) -> Result<Vec<Storm>, Failure> {
    let mut storms = Vec::new();
    for name in session.library.scenario_names() {
        let ill = session.scenario(&name, &[])?;
        if ill.shows.as_ref().is_some_and(|s| s.tour > 0) {
            storms.push(Storm { cure: session.cure(&ill)?, ill });
        }
    }
    storms.sort_by_key(|s| s.ill.shows.as_ref().map(|shows| shows.tour));
    Ok(storms)
}

/// Runs everything on all cores; `None` if a signal came.
fn run_all(
    session: &Session,
    storms: &[Storm],
    args: &Tour,
    interrupt: &Interrupt,
) -> Result<Option<Vec<Seen>>, Failure> {
    let jobs: Vec<&Arc<Scenario>> =
        storms.iter().flat_map(|s| [Some(&s.ill), s.cure.as_ref()]).flatten().collect();
    let options = |job: usize| {
        let told = job == 0 && args.format == Format::Human;
        Options { trace: if told { Trace::Short } else { Trace::Off }, ..Options::seed(args.seed) }
    };
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    let mut progress = Progress::of("tour", jobs.len() as u64, "runs");
    let mut done: BTreeMap<usize, Result<Outcome, String>> = BTreeMap::new();
    std::thread::scope(|scope| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..cores.min(jobs.len()) {
            let (sender, next, jobs) = (sender.clone(), &next, &jobs);
            scope.spawn(move || {
                loop {
                    let job = next.fetch_add(1, Ordering::Relaxed);
                    if job >= jobs.len() || interrupt.stop().load(Ordering::Relaxed) {
                        return;
                    }
                    let _ = sender.send((job, run(jobs[job], session.registry, &options(job))));
                }
            });
        }
        drop(sender);
        progress.tick(0, 0);
        let mut failed = 0;
        for (job, outcome) in receiver {
            failed += u64::from(outcome.as_ref().is_ok_and(Outcome::failed));
            done.insert(job, outcome);
            progress.tick(done.len() as u64, failed);
        }
    });
    progress.clear();
    if done.len() < jobs.len() {
        return Ok(None);
    }
    let mut done = done.into_values().map(|outcome| outcome.map_err(Failure::data));
    let mut one = || done.next().expect("as many as jobs");
    let mut seen = Vec::new();
    for storm in storms {
        let ill = one()?;
        seen.push(Seen { ill, cure: storm.cure.as_ref().map(|_| one()).transpose()? });
    }
    Ok(Some(seen))
}

fn page(session: &Session, storms: &[Storm], seen: &[Seen], seed: u64) -> String {
    let (first, columns) = (&storms[0].ill, columns(storms, seen));
    let about = format!(
        "Real node code runs here in virtual time, on modelled disks, links, cores and clocks: one seed, one \
         storm, the same every time. Each storm below stands above its cure, under the same seed {seed}: the \
         same cluster and load but for the settings named. SHOWN: what the scenario says it shows was there, \
         and no other check failed."
    );
    let changes = Changes::default();
    let story = Page {
        asked: &first.name,
        scenario: first,
        registry: session.registry,
        changes: &changes,
        outcome: &seen[0].ill,
        cure: None,
        paint: Paint::stdout(),
        digest: Digest::Masked,
        traced: false,
    };
    let mut text = wrapped(&about, 0, WIDTH);
    text.push_str(&format!("\n{}", rows(storms, seen, &columns)));
    if let Some(story) = story.story(STORY_LINES) {
        text.push_str(&format!("\n{}\n{story}", first.head.title.0));
    }
    text.push_str(&format!("\nNext\n{}", next(session, storms, &columns, seed)));
    text
}

/// The figures that the table shows: those of the list that some run has, else the scenarios' own.
fn columns(storms: &[Storm], seen: &[Seen]) -> Vec<String> {
    let has = |name: &str| seen.iter().any(|s| s.ill.measure(name).is_some());
    let mut columns: Vec<String> =
        COLUMNS.iter().filter(|c| has(c)).map(|c| (*c).to_string()).collect();
    if columns.is_empty() {
        for name in storms.iter().flat_map(|s| &s.ill.columns) {
            if has(name) && !columns.contains(name) && columns.len() < COLUMNS.len() {
                columns.push(name.clone());
            }
        }
    }
    columns
}

/// The table: for every run a line of figures, and a line of what distinguishes it from its sibling.
fn rows(storms: &[Storm], seen: &[Seen], columns: &[String]) -> String {
    let split = |name: &String| match name.rsplit_once('_') {
        Some((head, tail)) => (format!("{head}_"), tail.to_string()),
        None => (String::new(), name.clone()),
    };
    let heads = columns.iter().map(split);
    let (upper, lower): (Vec<String>, Vec<String>) = heads.unzip();
    let line = |cells: [&str; 3], rest: Vec<String>| {
        cells.iter().map(|c| (*c).to_string()).chain(rest).collect::<Vec<String>>()
    };
    let mut rows = vec![line(["", "", ""], upper), line(["", "scenario", "verdict"], lower)];
    for (storm, seen) in storms.iter().zip(seen) {
        let (here, there) = settings(&storm.ill, storm.cure.as_deref());
        let ill = ("storm", &seen.ill, here);
        let cure = seen.cure.as_ref().map(|cure| ("cure", cure, there));
        for (kind, outcome, settings) in std::iter::once(ill).chain(cure) {
            let figure = |name: &String| outcome.measure(name).map_or("-".to_string(), show);
            let figures = columns.iter().map(figure).collect();
            rows.push(line([kind, &outcome.scenario, &capitals(outcome.verdict)], figures));
            rows.push(line(["", &format!("  {settings}"), ""], Vec::new()));
        }
    }
    for row in &mut rows {
        row.resize(3 + columns.len(), String::new());
    }
    table(rows, 2, Some(3))
}

/// The settings in which a scenario and its cure differ, as each has them.
fn settings(ill: &Scenario, cure: Option<&Scenario>) -> (String, String) {
    let differences = cure.map_or_else(Vec::new, |cure| differences(ill, cure));
    let of = |value: fn(&Difference) -> &Option<String>| {
        let one = |d: &Difference| {
            let name = d.key.strip_prefix("cluster.config.").unwrap_or(&d.key);
            let value = value(d).as_ref().map_or("-".to_string(), |v| short(v, 24));
            format!("{} {value}", name.strip_suffix(".value").unwrap_or(name))
        };
        let named: Vec<String> = differences.iter().take(SETTINGS_MAX).map(one).collect();
        match differences.len().saturating_sub(SETTINGS_MAX) {
            0 => named.join(", "),
            more => format!("{} and {more} more", named.join(", ")),
        }
    };
    (of(|d| &d.here), of(|d| &d.there))
}

/// Three commands, each with what it is for.
fn next(session: &Session, storms: &[Storm], columns: &[String], seed: u64) -> String {
    let (first, last) = (&storms[0].ill.name, &storms[storms.len() - 1].ill);
    let measures = &session.registry.measures;
    let known = columns.iter().find(|c| measures.iter().any(|(name, _)| name == c));
    let (word, what) = match known {
        Some(column) => (column, "what a column means"),
        None => (first, "what the first storm is about"),
    };
    let program = session.registry.program();
    let seeds = last.ci.seeds.min(20);
    let lines = [
        (
            format!("run {} --seed {seed}", quoted(first)),
            "its whole page: plan, story, every figure",
        ),
        (format!("explain {}", quoted(word)), what),
        (
            format!("sweep {} --seeds 0..{seeds}", quoted(&last.name)),
            "the last storm under other seeds",
        ),
    ];
    let row = |(command, what): &(String, &str)| {
        vec![format!("{program} {command}"), format!("# {what}")]
    };
    table(lines.iter().map(row).collect(), 2, None)
}
