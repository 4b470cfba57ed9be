//! `bless`: writes `results/SCENARIO.txt` for every scenario that shows something or names columns: the page
//! of seed 7 as `run` prints it, and what seeds 0 to 19 sum up to. Results of studies lie below
//! `results/studies` (`study`). Nothing in a file depends on wall clocks
//! or on the machine, so `--check` may compare byte by byte; only digests are masked, for they change with
//! every change of code. Files are never edited by hand.
//!
//! And `results/DOCUMENT.md` for every document that scenarios make claims of, with all its seeds; `--check`
//! has time for the first two of them, and compares the section that they make (`document`).

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use kernel::history::Trace;
use kernel::outcome::exit;
use kernel::run::Options;
use kernel::scenario::Scenario;
use kernel::sweep::Job;

use crate::args::{Bless, Changes};
use crate::delta::delta;
use crate::document;
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::report::{Digest, Page};
use crate::run::check_columns;
use crate::session::{Failure, Session, write_whole};
use crate::summary::Summary;
use crate::tally::Tally;
use crate::terminal::{Paint, err, out};

/// The seed whose page is kept, and which the tour shows.
pub const SEED: u64 = 7;
/// The seeds that are summed up.
const SEEDS: Range<u64> = 0..20;

/// Writes or compares all results.
pub fn bless(session: &Session, args: &Bless) -> Result<i32, Failure> {
    let Some(dir) = session.library.results() else {
        return Err(Failure::usage("bless works in the project's folder"));
    };
    fs::create_dir_all(&dir).map_err(|e| Failure::io(&dir, &e))?;
    let (mut names, mut differing) = (BTreeSet::new(), 0);
    let all = session.library.scenario_names();
    let all: Vec<_> =
        all.iter().map(|name| session.scenario(name, &[])).collect::<Result<_, _>>()?;
    let (told, untold): (Vec<_>, Vec<_>) =
        all.iter().partition(|s| s.shows.is_some() || !s.columns.is_empty());
    let interrupt = Interrupt::listen()?;
    interrupt.last_words(|| std::process::exit(exit::INTERRUPTED));
    let mut progress = Progress::of("bless", told.len() as u64, "pages");
    progress.tick(0, 0);
    for scenario in told {
        let file = format!("{}.txt", scenario.name);
        let text = result(session, scenario);
        progress.clear();
        differing += usize::from(put(&dir.join(&file), &file, &text?, args)?);
        names.insert(file);
        progress.tick(names.len() as u64, 0);
    }
    progress.clear();
    for name in session.library.document_names() {
        let file = format!("{name}.md");
        let path = dir.join(&file);
        let known = args.check.then(|| fs::read_to_string(&path).unwrap_or_default());
        let text = document::page(session, &name, known.as_deref(), &interrupt)?;
        let Some(text) = text else { return Ok(exit::INTERRUPTED) };
        differing += usize::from(put(&path, &file, &text, args)?);
        names.insert(file);
    }
    for scenario in untold {
        err(&format!("{}: no page, for it has neither [measure] nor [shows]\n", scenario.name));
    }
    let studies = crate::study::bless(session, args)?;
    let (pages, what) = (names.len(), if args.check { "differ" } else { "were written" });
    err(&format!("{pages} pages, {differing} {what}\n"));
    differing += studies + orphans(&dir, &names)?;
    Ok(if args.check && differing > 0 { exit::SAFETY } else { exit::OK })
}

/// Writes a result, or says how it differs. True if it was not what is there.
pub fn put(path: &Path, file: &str, text: &str, args: &Bless) -> Result<bool, Failure> {
    let before = match fs::read_to_string(path) {
        Ok(before) => before,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Failure::io(path, &error)),
    };
    let Some(difference) = delta(&before, text) else { return Ok(false) };
    if args.check {
        out(&format!("results/{file} differs (- committed, + generated)\n{difference}\n"));
    } else {
        write_whole(path, text)?;
        out(&format!("results/{file} written\n"));
    }
    Ok(true)
}

/// Results that nothing generates any more.
fn orphans(dir: &Path, names: &BTreeSet<String>) -> Result<usize, Failure> {
    let entries = fs::read_dir(dir).map_err(|e| Failure::io(dir, &e))?;
    let files = entries.filter_map(|e| e.ok()?.file_name().into_string().ok());
    let mut orphans: Vec<String> = files
        .filter(|f| f.ends_with(".txt") || f.ends_with(".md"))
        .filter(|f| !names.contains(f))
        .collect();
    orphans.sort();
    for file in &orphans {
        err(&format!("results/{file}: nothing generates it; remove it\n"));
    }
    Ok(orphans.len())
}

fn result(session: &Session, scenario: &Arc<Scenario>) -> Result<String, Failure> {
    let run = |scenario: &Arc<Scenario>, trace: Trace| {
        let options = Options { trace, ..Options::seed(SEED) };
        kernel::run::run(scenario, session.registry, &options).map_err(Failure::data)
    };
    let outcome = run(scenario, Trace::Short)?;
    check_columns(session.registry, scenario, &outcome)?;
    let cure = session.cure(scenario)?.map(|cure| run(&cure, Trace::Off)).transpose()?;
    let changes = Changes::default();
    let page = Page {
        asked: &scenario.name,
        scenario,
        registry: session.registry,
        changes: &changes,
        outcome: &outcome,
        cure: cure.as_ref(),
        paint: Paint::Off,
        digest: Digest::Masked,
        traced: false,
    };
    let tally = tally(session, scenario)?;
    let code = tally.exit_code(scenario);
    let summary = Summary {
        kept: String::new(),
        asked: &scenario.name,
        program: session.registry.program(),
        scenario,
        changes: &changes,
        seeds: SEEDS.into(),
        tally: &tally,
        notes: &[],
        code,
    };
    let Range { start, end } = SEEDS;
    Ok(format!(
        "Generated by `{} bless`; never edited.\n\n{}\n{}   seeds {start}..{end}\n\n{}",
        session.registry.program(),
        page.render(),
        scenario.name,
        summary.body(Paint::Off)
    ))
}

fn tally(session: &Session, scenario: &Arc<Scenario>) -> Result<Tally, Failure> {
    let job = Job {
        scenario: scenario.clone(),
        registry: session.registry,
        base: Options::seed(0),
        seeds: SEEDS,
        done: BTreeSet::new(),
        jobs: std::thread::available_parallelism().map_or(1, usize::from),
    };
    let (mut tally, mut failure) = (Tally::default(), None);
    kernel::sweep::sweep(&job, &AtomicBool::new(false), None, &mut |_, outcome| match outcome {
        Ok(outcome) => tally.add(&outcome.json(None)),
        Err(why) => failure = Some(Failure::data(why)),
    });
    failure.map_or(Ok(tally), Err)
}
