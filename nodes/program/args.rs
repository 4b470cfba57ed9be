//! What may be typed. Nodes come from the table in `mod.rs`, clients' commands from `Ask`; both say in
//! their help what the environment and the exit codes mean. Typos are answered with the nearest word.
//!
//! Left out: short options, and anything that a file could say better.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Command, Subcommand, ValueEnum};
use host::unit::parse_duration;

use super::members::Members;
use super::{NODES, Node};

const ABOUT: &str = "Runs the node code that the simulator runs, on real sockets and a real disk, \
                     and asks such nodes";

const EXAMPLES: &str = "\
Examples:
  cargo real store --config n1.toml
  cargo real put --config n1.toml greeting hello
  cargo real status --clients 127.0.0.1:8001,127.0.0.1:8002,127.0.0.1:8003

`cargo real help COMMAND` explains one of them, with its exit codes.";

const SERVE: &str = "\
FILE is TOML, with quantities as in scenarios; flags outrank it:

  me   = 1                        # which member this is; one file can serve all with --me and --data
  data = \"n1\"                     # relative to the file's folder
  [[member]]                      # one for each member, ids from 1
  id     = 1
  peer   = \"127.0.0.1:7001\"       # where it listens for its peers
  client = \"127.0.0.1:8001\"       # where it listens for clients
  [config]                        # settings, see below
  heartbeat = \"100ms\"

SIGINT, SIGTERM and, unless it is ignored (nohup), SIGHUP ask for a graceful stop; a second one ends
the process at once.
Log lines go to stderr; those that cannot be written are lost. WAVETANK_LOG selects them as
tracing-subscriber does: the default is `wavetank=info,warn`; `wavetank=debug` says more, `off` nothing.
Exit codes: 0 stopped as asked, 3 a task panicked, 64 usage, 65 bad file, 74 input/output or a damaged
disk, 130 a second signal.";

const ASK: &str = "\
Whom to ask comes from --clients or from the file that a node was started with (--config). Nodes say who
they are, so --clients may be in any order.
Log lines go to stderr; WAVETANK_LOG selects them (default `warn`; `wavetank=debug` says more).
Exit codes: 0 done; 1 `not done`: surely not, and it will not be (no leader in time for a command, refused,
a condition that did not hold, no such key); 6 `unknown`: a command may have been done, or may still be;
6 `no answer`: nobody answered what only asks (get, range, status); 64 usage; 65 bad file; 74 input/output,
or a result that cannot be written.";

/// A node's flags.
#[derive(Debug, Args)]
pub struct Serve {
    /// Read members, folder and settings from this file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Which member this node is, counted from 1
    #[arg(long, value_name = "N")]
    pub me: Option<u64>,
    /// The node's folder; created if missing
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Where the members listen for each other, in the order of their ids
    #[arg(long, value_name = "ADDR,...", value_delimiter = ',', requires = "clients")]
    pub peers: Vec<String>,
    /// Where the members listen for clients, in the same order
    #[arg(long, value_name = "ADDR,...", value_delimiter = ',', requires = "peers")]
    pub clients: Vec<String>,
    /// Another value for a setting
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = pair, num_args = 1..)]
    pub sets: Vec<(String, String)>,
}

/// Whom a client asks, and how it answers.
#[derive(Debug, Args)]
pub struct Whom {
    /// Where members listen for clients, in any order
    #[arg(long, value_name = "ADDR,...", value_delimiter = ',', conflicts_with = "config")]
    pub clients: Vec<String>,
    /// Take the members from a node's file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How long to try
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = within)]
    pub within: Duration,
    /// For people or machines
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
}

/// For whom the output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people; `get` writes the value as it is.
    Human,
    /// For machines: one JSON object.
    Json,
}

/// A value on its way into the store.
#[derive(Debug, Args)]
pub struct Value {
    /// The value; `-` reads it from stdin
    #[arg(required_unless_present = "value_file", conflicts_with = "value_file")]
    pub value: Option<String>,
    /// Read the value from a file
    #[arg(long, value_name = "FILE")]
    pub value_file: Option<PathBuf>,
}

/// The store's clients.
#[derive(Debug, Subcommand)]
pub enum Ask {
    /// Put a value under a key
    Put {
        /// The key
        key: String,
        #[command(flatten)]
        value: Value,
        #[command(flatten)]
        whom: Whom,
    },
    /// Print the value of a key
    Get {
        /// The key
        key: String,
        #[command(flatten)]
        whom: Whom,
    },
    /// Delete a key, which need not be there
    Delete {
        /// The key
        key: String,
        #[command(flatten)]
        whom: Whom,
    },
    /// Put a value if the key is at a version
    Cas {
        /// The key
        key: String,
        /// The version it must be at; 0: if there is no such key
        expected: u64,
        #[command(flatten)]
        value: Value,
        #[command(flatten)]
        whom: Whom,
    },
    /// Print keys and values in order
    Range {
        /// The first key
        #[arg(default_value = "")]
        from: String,
        /// The key before which it ends; without it, to the last key
        #[arg(default_value = "")]
        to: String,
        /// At most so many keys; the store has a bound of its own on bytes
        #[arg(long, value_name = "N", default_value_t = 1000)]
        limit: u32,
        #[command(flatten)]
        whom: Whom,
    },
    /// Let another member lead
    Transfer {
        /// Its id
        to: u64,
        #[command(flatten)]
        whom: Whom,
    },
    /// Say who belongs to the cluster, or change it
    #[command(subcommand)]
    Members(Members),
    /// Say of each member whom it follows and what it holds
    Status {
        #[command(flatten)]
        whom: Whom,
    },
}

/// Everything that may be typed.
pub fn command() -> Command {
    let base = Command::new("cargo real")
        .bin_name("cargo real")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .after_help(EXAMPLES)
        .subcommand_required(true);
    let asks = Ask::augment_subcommands(base).mut_subcommands(|ask| ask.after_help(ASK));
    NODES.iter().fold(asks, |command, node| command.subcommand(serve(node)))
}

fn serve(node: &Node) -> Command {
    let mut help = format!("{SERVE}\n\nSettings:\n");
    for field in (node.fields)() {
        let allowed = match field.allowed {
            "" => String::new(),
            range => format!("   # {}", range.replace("..", " to ").replace('|', ", ")),
        };
        help +=
            &format!("  {} = \"{}\"{allowed}\n      {}\n", field.name, field.default, field.about);
    }
    Serve::augment_args(Command::new(node.word).about(node.about)).after_help(help)
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_string(), value.trim().to_string()))
        }
        _ => Err("write KEY=VALUE".to_string()),
    }
}

fn within(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        span if span.is_zero() || span > Duration::from_secs(86_400) => {
            Err("allowed: 1ns to 1d".to_string())
        }
        span => Ok(span),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_sound_and_explain_themselves() {
        command().debug_assert();
        for sub in command().get_subcommands_mut() {
            let help = sub.render_help().to_string();
            for word in ["Exit codes: 0", "WAVETANK_LOG"] {
                assert!(help.contains(word), "{}: {word}", sub.get_name());
            }
        }
    }

    #[test]
    fn a_typo_is_answered_with_the_nearest_word() {
        let says = |words: &[&str]| {
            let typed = [&["cargo real"], words].concat();
            command().try_get_matches_from(typed).unwrap_err().to_string()
        };
        assert!(says(&["sttus"]).contains("'status'"));
        assert!(says(&["stor"]).contains("'store'"));
        assert!(says(&["get", "k", "--cleints", "a:1"]).contains("'--clients'"));
        assert!(says(&["get", "k", "--within", "5"]).contains("no unit"));
        assert!(says(&["put", "k"]).contains("VALUE"));
    }
}
