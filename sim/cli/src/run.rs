//! `run SCENARIO`: one seed, told as a story. The scenario's cure runs beside it under the same seed, as its
//! own file says: what was changed on the command line concerns the illness alone.
//!
//! With `--format json` exactly one object is printed: `{scenario, seed, verdict, class, violations,
//! digest, virtual_ns, events, polls, measures, units, sometimes, faults, shown, cure}`, where `cure` has
//! the same shape or is null. Faults that fired can be kept as a plan file that replays them exactly.

use std::collections::BTreeSet;
use std::sync::Arc;

use host::settings::nearest;
use kernel::history::Trace;
use kernel::outcome::{Outcome, Verdict};
use kernel::plan::Plan;
use kernel::registry::Registry;
use kernel::run::Options;
use kernel::scenario::Scenario;

use crate::args::{Format, Run, TraceLevel};
use crate::cause;
use crate::diff;
use crate::interrupt::Interrupt;
use crate::log;
use crate::report::{Digest, Page};
use crate::session::{Failure, Session, write_whole};
use crate::story;
use crate::terminal::{Paint, err, out};

/// Runs a seed and prints what it came to.
pub fn run(session: &Session, args: &Run) -> Result<i32, Failure> {
    let scenario = session.scenario(&args.scenario, &args.changes.sets)?;
    let level = match (args.trace, args.format) {
        (Some(TraceLevel::Off), _) => Trace::Off,
        (Some(TraceLevel::Full), Format::Human) => Trace::Full,
        (_, Format::Human) => Trace::Short,
        (_, Format::Json) => Trace::Off,
    };
    let level = if level == Trace::Off && args.log.is_some() { Trace::Short } else { level };
    let options = session.options(&scenario, args.seed, &args.changes, level)?;
    let window = if args.keep_trace.is_some() { 0..u64::MAX } else { 0..0 };
    let options = Options { window, ..options };
    let seed = options.seed;
    let cure = if args.no_cure { None } else { session.cure(&scenario)? };
    if let Some(filter) = &args.log {
        log::start(filter)?;
    }
    let outcome = kernel::run::run(&scenario, session.registry, &options).map_err(Failure::data)?;
    check_columns(session.registry, &scenario, &outcome)?;
    let base = Options { weave: args.changes.weave, ..Options::seed(seed) };
    let cure = cure.map(|cure| kernel::run::run(&cure, session.registry, &base)).transpose();
    let cure = cure.map_err(Failure::data)?;
    if let Some(path) = &args.keep_plan {
        let plan = options.plan.clone().unwrap_or_default();
        let kept = kept(Plan { branch: options.branch, ..plan }, &outcome);
        write_whole(path, &kept.artifact())?;
        err(&format!("plan kept in {}\n", path.display()));
    }
    if let Some(path) = &args.keep_trace {
        diff::keep(path, &outcome.entries)?;
        err(&format!("trace kept in {}\n", path.display()));
    }
    match args.format {
        Format::Json => out(&format!("{}\n", outcome.json(cure.as_ref()))),
        Format::Human => {
            let traced = matches!(args.trace, Some(TraceLevel::Short | TraceLevel::Full));
            let page = Page {
                asked: &args.scenario,
                scenario: &scenario,
                registry: session.registry,
                changes: &args.changes,
                outcome: &outcome,
                cure: cure.as_ref(),
                paint: Paint::stdout(),
                digest: Digest::Shown,
                traced,
            };
            let mut text = page.render();
            if traced {
                text.push_str(&format!("\n{}", story::render_all(&outcome.trace, page.paint)));
            }
            out(&text);
        }
    }
    if args.why {
        why(session, args, &scenario, &options, &outcome)?;
    }
    Ok(outcome.exit_code())
}

/// Under a failure: from which instant on it was bound to come.
fn why(
    session: &Session,
    args: &Run,
    scenario: &Arc<Scenario>,
    options: &Options,
    outcome: &Outcome,
) -> Result<(), Failure> {
    let asked = cause::Args::of_run(args);
    let options = Options { window: 0..0, ..options.clone() };
    let interrupt = Interrupt::listen()?;
    match cause::find(session, scenario, &options, outcome, &asked, interrupt.stop())? {
        Some(found) => out(&format!("\nwhy\n{}", found.render(outcome, Paint::stdout()))),
        None => out("\nwhy\n  nothing was violated\n"),
    }
    Ok(())
}

/// The plan that was run, with the lines that fired for those that were drawn.
fn kept(plan: Plan, outcome: &Outcome) -> Plan {
    let Plan { mask, sky, load, branch, .. } = plan;
    Plan { mask, sky, load, branch, ..outcome.plan() }
}

/// A scenario may only print measures that there are. Which these are, a run says that came to its end, and
/// the registry, for those that a run has only if something happened in it.
pub fn check_columns(
    registry: &Registry,
    scenario: &Scenario,
    outcome: &Outcome,
) -> Result<(), Failure> {
    if outcome.verdict == Verdict::Fail {
        return Ok(());
    }
    for name in &scenario.columns {
        let known = registry.measures.iter().map(|(word, _)| *word);
        if outcome.measure(name).is_some() || known.clone().any(|word| word == name) {
            continue;
        }
        let names: Vec<&str> = outcome
            .measures
            .iter()
            .map(|m| m.name)
            .chain(known)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        let hint = match nearest(name, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are: {}", names.join(", ")),
        };
        let scenario = &scenario.name;
        return Err(Failure::data(format!(
            "{scenario}: measure.columns: no measure `{name}`; {hint}"
        )));
    }
    Ok(())
}
