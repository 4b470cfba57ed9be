//! `show SCENARIO`: every value in force and where it comes from; with `--seed` also what that seed draws:
//! the plan with selectors and triggers still symbolic, and the configuration with its ranges resolved. Its
//! keys are those that `--set` takes. `show STUDY` lists the study's cells, with what each of them sets.

use kernel::draw::Draws;
use kernel::outcome::exit;
use kernel::plan::{Drawn, Plan};
use kernel::scenario::Scenario;
use kernel::study::Study;

use crate::args::Show;
use crate::session::{Failure, Session};
use crate::table::{row, short, table};
use crate::terminal::{Paint, legible, out};

/// Prints the effective scenario.
pub fn show(session: &Session, args: &Show) -> Result<i32, Failure> {
    if session.library.study_names().contains(&args.scenario) {
        out(&cells(&session.library.study(&args.scenario)?));
        return Ok(exit::OK);
    }
    let scenario = session.scenario(&args.scenario, &args.sets)?;
    let mut text =
        format!("{}   {}\n\n", Paint::stdout().bold(&scenario.name), scenario.head.title.0);
    let mut rows = vec![row(["key", "value", "origin"])];
    for e in &scenario.effective {
        rows.push(row([&e.key, &short(&e.value, 60), &e.origin]));
    }
    text.push_str(&table(rows, 2, None));
    if let Some(seed) = args.seed {
        text.push_str(&drawn(&scenario, seed));
    }
    out(&text);
    Ok(exit::OK)
}

/// The cells of a study as its file has it.
fn cells(study: &Study) -> String {
    let head = Paint::stdout().bold(&study.name);
    let mut text = format!("{head}   {}\n\n", study.title);
    text.push_str(&format!("  every cell is {}, with\n", study.scenario));
    let common = study.sets.iter().map(|(key, value)| row([key, value]));
    let mut rows: Vec<Vec<String>> = common.collect();
    for param in &study.params {
        rows.push(vec![param.keys.join(", "), param.name.clone()]);
    }
    text.push_str(&table(rows, 4, None));
    let mut rows = vec![study.params.iter().map(|p| p.name.clone()).collect()];
    rows.extend(study.cells(&[]));
    text.push_str(&format!("\n{}", table(rows, 2, None)));
    text
}

fn drawn(scenario: &Scenario, seed: u64) -> String {
    let draws = Draws::new(seed);
    let mut text = format!("\nseed {seed} draws\n");
    let config = scenario.drawn_config(&draws);
    let choice = |(key, value): (&String, &String)| row([&format!("cluster.config.{key}"), value]);
    let rows: Vec<Vec<String>> = config.iter().map(choice).collect();
    if !rows.is_empty() {
        text.push_str(&table(rows, 2, None));
    }
    let plan = Plan::draw(&scenario.faults, &scenario.swarm, &draws);
    if plan.drawn.is_empty() {
        text.push_str("  no fault\n");
    } else {
        text.push_str(&table(plan.drawn.iter().map(line).collect(), 2, None));
    }
    text
}

/// A line of a plan as cells: word, on whom, when, how long, parameters.
pub fn line(drawn: &Drawn) -> Vec<String> {
    let lasts = match drawn.lasts {
        0 => "until the heal".to_string(),
        ns => format!("for {} ms", host::unit::millis(ns)),
    };
    let params: Vec<String> =
        drawn.params.iter().map(|(k, v)| format!("{k} {}", legible(v))).collect();
    row([&drawn.kind, &drawn.on.show(), &drawn.when.show(), &lasts, &params.join(", ")])
}
