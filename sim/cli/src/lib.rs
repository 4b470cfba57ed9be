//! The program's face: arguments in, text and exit codes out. Nobody else prints.
//!
//! Every command is a file with one function that takes the session and its arguments and returns an exit
//! code; what it shows is rendered to strings by `report`, `story` and `tally`, so that goldens and tests
//! see exactly what people see. Results go to stdout, everything about them to stderr. A closed stdout is
//! no failure: whoever reads has seen enough.

#[cfg(not(madsim))]
compile_error!(
    "the simulator needs `--cfg madsim`; build from the project's folder, where .cargo/config.toml \
     sets it, and without RUSTFLAGS in the environment"
);

mod again;
mod args;
mod bless;
mod cause;
mod delta;
mod diff;
mod document;
mod explain;
mod fleet;
mod gather;
mod heat;
mod hunt;
mod idle;
mod interrupt;
mod judge;
mod kept;
mod ledger;
mod list;
mod log;
mod merge;
mod plants;
mod process;
mod progress;
mod report;
mod reproduce;
mod run;
mod schedule;
mod scoreboard;
mod seeds;
mod sensitivity;
mod session;
mod show;
mod shrink;
mod state;
mod story;
mod study;
mod summary;
mod sweep;
mod table;
mod tally;
mod terminal;
mod tour;
mod verify;
mod witness;
mod worker;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches};
use kernel::outcome::exit;
use kernel::registry::Registry;

use crate::args::{Arguments, Command, Tour};
use crate::session::{Failure, Session};

/// Runs the program with the words of this registry; the result is its exit code.
pub fn main(registry: Registry) -> i32 {
    let program = registry.program();
    let command = Arguments::command().bin_name(program).override_help(args::help(program));
    let parsed = command.try_get_matches().and_then(|m| Arguments::from_arg_matches(&m));
    let arguments = match parsed {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error),
    };
    let command = arguments.command.unwrap_or_else(|| Command::Tour(Tour::default()));
    let session = Session::new(kernel::run::leak(registry));
    match dispatch(&session, command) {
        Ok(code) => code,
        Err(Failure { code, text }) => {
            terminal::err(&format!("error: {text}\n"));
            code
        }
    }
}

fn dispatch(session: &Session, command: Command) -> Result<i32, Failure> {
    match command {
        Command::Tour(args) => tour::tour(session, &args),
        Command::List(args) => list::list(session, &args),
        Command::Explain(args) => explain::explain(session, &args),
        Command::Show(args) => show::show(session, &args),
        Command::Run(args) => run::run(session, &args),
        Command::Verify(args) => verify::verify(session, &args),
        Command::Shrink(args) => shrink::shrink(session, &args),
        Command::Sweep(args) => sweep::sweep(session, &args),
        Command::Merge(args) => merge::merge(session, &args),
        Command::Judge(args) => judge::judge(&args),
        Command::Plants(args) => plants::plants(session, &args),
        Command::Reproduce(args) => reproduce::reproduce(session, &args),
        Command::Bless(args) => bless::bless(session, &args),
        Command::Diff(args) => diff::diff(session, &args),
        Command::State(args) => state::state(session, &args),
        Command::Cause(args) => cause::cause(session, &args),
        Command::Witness(args) => witness::witness(session, &args),
        Command::Study(args) => study::study(session, &args),
        Command::Gauge(args) => study::gauge::gauge(session, &args),
        Command::Worker(args) => worker::worker(session, &args),
    }
}

/// Help and version are results; everything else that clap objects to is wrong usage.
fn refuse(error: &clap::Error) -> i32 {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            terminal::out(&error.render().to_string());
            exit::OK
        }
        _ => {
            terminal::err(&error.render().to_string());
            exit::USAGE
        }
    }
}
