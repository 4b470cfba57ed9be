//! Which commands there are, and which nodes. `NODES` is the one table of nodes: a word in it is a
//! command that runs such a node (`serve`), with settings from flags and a file (`file`). The other
//! commands are the store's clients (`ask`), and `show` prints what they learned.
//!
//! A line for people that cannot be written is lost and nothing else: a full disk under the log, or a
//! reader of stderr that has gone, must not end a node. A result that cannot be written is an error.
//!
//! Left out: a supervisor.

mod args;
mod ask;
mod file;
mod members;
mod serve;
mod show;

use std::fmt::Display;
use std::future::Future;
use std::io::{self, Write};
use std::pin::Pin;
use std::process::ExitCode;

use clap::FromArgMatches;
use clap::error::ErrorKind;
use host::settings::{Field, Settings};
use host::{Host, Members};
use tracing_subscriber::EnvFilter;

/// A running node.
type Running = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// A node's configuration on its way to the node.
trait Config: Send {
    fn set(&mut self, name: &str, text: &str) -> Result<(), String>;
    fn validate(&self) -> Result<(), String>;
    /// How many connections a listener of the machine keeps: fewer than the node itself would, so that
    /// it is a stranger who gives way and not a newcomer.
    fn connections(&self) -> usize;
    fn run(self: Box<Self>, host: Host, members: Members) -> Running;
}

impl Config for store::Config {
    fn set(&mut self, name: &str, text: &str) -> Result<(), String> {
        Settings::set(self, name, text)
    }

    fn validate(&self) -> Result<(), String> {
        store::Config::validate(self)
    }

    fn connections(&self) -> usize {
        let most = usize::try_from(self.own.max_clients).unwrap_or(usize::MAX);
        (most - most / 4).max(1)
    }

    fn run(self: Box<Self>, host: Host, members: Members) -> Running {
        Box::pin(store::run(host, *self, members))
    }
}

/// A node that this program can run.
struct Node {
    word: &'static str,
    about: &'static str,
    fields: fn() -> Vec<Field>,
    config: fn() -> Box<dyn Config>,
}

/// All of them.
const NODES: &[Node] = &[Node {
    word: "store",
    about: "Run one node of a replicated store",
    fields: store::Config::fields,
    config: || Box::<store::Config>::default(),
}];

/// How a command ended badly.
struct Failure {
    code: u8,
    text: String,
}

impl Failure {
    /// What was typed makes no sense.
    fn usage(text: impl Into<String>) -> Failure {
        Failure { code: 64, text: text.into() }
    }

    /// What a file says makes no sense.
    fn bad_file(text: impl Into<String>) -> Failure {
        Failure { code: 65, text: text.into() }
    }

    /// The operating system would not, or a disk holds what it must not.
    fn io(text: impl Into<String>) -> Failure {
        Failure { code: 74, text: text.into() }
    }
}

/// Reads the arguments and does what they say.
pub fn main() -> ExitCode {
    let matches = match args::command().try_get_matches() {
        Ok(matches) => matches,
        Err(help) if matches!(help.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            return if help.print().is_ok() { ExitCode::SUCCESS } else { ExitCode::from(74) };
        }
        Err(wrong) => {
            let _ = wrong.print();
            return ExitCode::from(64);
        }
    };
    let node = NODES.iter().find_map(|node| Some((node, matches.subcommand_matches(node.word)?)));
    let outcome = match node {
        Some((node, matches)) => log_to_stderr("wavetank=info,warn").and_then(|()| {
            let given = args::Serve::from_arg_matches(matches).map_err(clap_says)?;
            serve::serve(file::order(node, &given)?)
        }),
        None => log_to_stderr("warn")
            .and_then(|()| ask::ask(args::Ask::from_arg_matches(&matches).map_err(clap_says)?)),
    };
    outcome.unwrap_or_else(|Failure { code, text }| {
        say(format_args!("wavetank-node: {text}"));
        ExitCode::from(code)
    })
}

/// A line to stderr, if it can be written; `eprintln!` would panic if not.
fn say(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

fn clap_says(why: clap::Error) -> Failure {
    Failure::usage(why.to_string())
}

/// `WAVETANK_LOG` selects the lines.
fn log_to_stderr(default: &str) -> Result<(), Failure> {
    let text = std::env::var("WAVETANK_LOG").unwrap_or_default();
    let chosen = if text.trim().is_empty() { default } else { text.trim() };
    let filter = EnvFilter::try_new(chosen)
        .map_err(|why| Failure::usage(format!("WAVETANK_LOG=`{chosen}`: {why}")))?;
    // What cannot be written to stderr cannot be complained of there either: that would panic.
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    lines.log_internal_errors(false).init();
    Ok(())
}
