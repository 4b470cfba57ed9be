//! What may be typed. Commands stand in help by what they are for; `HELP` is written by hand because a
//! newcomer reads it first, and a test holds it against the commands that exist.
//!
//! A seed is a decimal or `0x` number; seeds are a half-open range `A..B`. `--seed` defaults to the seed of
//! the plan that is replayed, else to `MADSIM_TEST_SEED`, as in every program on madsim, and else to 0.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use host::unit::{Ratio, Size};
use kernel::branch::Branch;

use crate::merge::Merge;
use crate::seeds::{Shard, shard};
use crate::worker::Worker;

use crate::plants::Plants;
use crate::shrink::Shrink;

/// The short help.
pub const HELP: &str = "\
Runs clusters of real node code in virtual time: one seed, one storm, the same every time.

Usage: cargo tank [COMMAND] [OPTIONS]

First:
  tour      What there is to see, each storm beside its cure; also without a command

One seed:
  list      The words there are: scenarios, studies, nodes, workloads, faults, checks, plants, measures
  explain   What a word means, and its parameters
  show      A scenario with every value in force and where it comes from
  run       Run a scenario under one seed and tell its story
  verify    Run a seed three times, once in a perturbed process; the runs must be the same
  diff      Where two runs part: the first event that differs, host by host
  state     How things stand at an instant: tasks, files, links, and what each node said last
  cause     From which instant on a failing seed was bound to fail
  shrink    Search for a smaller plan that fails as a seed does

Many seeds:
  sweep     Run a scenario, or all of them, under many seeds
  merge     Put the shards of a sweep together and sum them up
  plants    Search for each planted defect, and count the seeds until it is caught
  judge     Whether histories that were recorded elsewhere are linearizable

Studies:
  study     Ask a scenario one question under many settings: a table, a recommendation, a map
  reproduce What a document says beside what scenarios come to, row by row

Upkeep:
  bless     Generate results/, or compare it with what would be generated

Examples:
  cargo tank tour
  cargo tank run snapshot_starves_heartbeat --seed 7
  cargo tank sweep swarm --seeds 0..200

`cargo tank help COMMAND` explains one of them.
Exit codes: 0 pass or shown, 1 safety, 2 liveness, 3 node panic, 4 not deterministic, 5 not shown,
6 unknown or vacuous, 7 livelock or deadlock, 8 memory, time or a dead worker, 64 usage, 65 bad input file,
74 input/output, 130 interrupted. Among several failures the lowest non-zero code wins.
";

/// The short help of a program that is started like this. Another program's scenarios are its own, so
/// the examples go.
pub fn help(program: &str) -> String {
    if HELP.contains(&format!("Usage: {program} ")) {
        return HELP.to_string();
    }
    let (before, rest) = HELP.split_once("Examples:").expect("help has examples");
    let after = rest.split_once("\n\n").map_or("", |(_, after)| after);
    format!("{before}{after}").replace("cargo tank", program)
}

/// Everything that was typed.
#[derive(Debug, Parser)]
#[command(name = "cargo tank", bin_name = "cargo tank", version)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// What there is to see, each storm beside its cure; also without a command.
    Tour(Tour),
    /// The words there are: scenarios, studies, nodes, workloads, faults, checks, plants, measures.
    List(List),
    /// What a word means, and its parameters.
    Explain(Explain),
    /// A scenario with every value in force and where it comes from.
    Show(Show),
    /// Run a scenario under one seed and tell its story.
    Run(Run),
    /// Run each seed three times, once in a perturbed process; the runs must be the same.
    Verify(Verify),
    /// Where two runs part: the first event that differs, host by host.
    Diff(crate::diff::Args),
    /// How things stand at an instant: tasks, files, links, and what each node said last.
    State(crate::state::Args),
    /// From which instant on a failing seed was bound to fail.
    Cause(crate::cause::Args),
    /// Search for a smaller plan that fails as a seed does.
    Shrink(Shrink),
    /// Run a scenario, or all of them, under many seeds.
    Sweep(Sweep),
    /// Put the shards of a sweep together and sum them up.
    Merge(Merge),
    /// Search for each planted defect, and count the seeds until it is caught.
    Plants(Plants),
    /// Whether histories that were recorded elsewhere are linearizable.
    Judge(crate::judge::Judge),
    /// Ask a scenario one question under many settings: a table, a recommendation, a map.
    Study(crate::study::Args),
    /// What a document says beside what scenarios come to, row by row.
    Reproduce(crate::reproduce::Args),
    /// Generate results/, or compare it with what would be generated.
    Bless(Bless),
    /// One run for `verify`, in a process of its own.
    #[command(hide = true)]
    Witness(Witness),
    /// Runs seeds for `sweep`, in a process of its own.
    #[command(hide = true)]
    Worker(Worker),
    /// Runs seeds of cells for `study`, in a process of its own.
    #[command(hide = true)]
    Gauge(crate::study::gauge::Args),
}

/// For whom the output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Human,
    /// For machines: one JSON object per line.
    Json,
}

/// `--trace`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TraceLevel {
    /// No trace and no story.
    Off,
    /// What stories are made of.
    Short,
    /// Every event.
    Full,
}

/// `tour`.
#[derive(Debug, Args)]
pub struct Tour {
    /// The seed of all runs.
    #[arg(long, value_parser = seed, default_value_t = crate::bless::SEED)]
    pub seed: u64,
    /// For people or machines.
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
}

impl Default for Tour {
    /// The tour of those who ask for nothing.
    fn default() -> Tour {
        Tour { seed: crate::bless::SEED, format: Format::Human }
    }
}

/// `list`.
#[derive(Debug, Args)]
pub struct List {
    /// For people or machines.
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
}

/// `explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// A node, workload, fault, check, measure, plant, event, scenario or study.
    pub word: String,
}

/// `show`.
#[derive(Debug, Args)]
pub struct Show {
    /// A scenario's name, or a path that ends in .toml; of a study its cells are shown.
    pub scenario: String,
    /// Also what this seed draws: the plan and the configuration.
    #[arg(long, value_parser = seed)]
    pub seed: Option<u64>,
    /// Another value for a key.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = setting)]
    pub sets: Vec<(String, String)>,
}

/// What changes a run besides its seed.
#[derive(Clone, Debug, Default, Args)]
pub struct Changes {
    /// Another value for a key that `show` prints, or its last part where that is unambiguous.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = setting)]
    pub sets: Vec<(String, String)>,
    /// A plan file that replaces the scenario's faults; its seed is the default of `--seed`.
    #[arg(long, value_name = "FILE")]
    pub plan: Option<PathBuf>,
    /// Plant a defect; may be given several times.
    #[arg(long = "plant", value_name = "WORD")]
    pub plants: Vec<String>,
    /// Leave a check out; may be given several times.
    #[arg(long = "mute", value_name = "CHECK")]
    pub mute: Vec<String>,
    /// Another interleaving of the same tasks, and nothing else.
    #[arg(long, value_name = "M", default_value_t = 0)]
    pub weave: u64,
    /// The seed's run up to an instant, and other draws from there on: a time and the branch's number.
    #[arg(long, value_name = "TIME:N", value_parser = Branch::parse)]
    pub branch: Option<Branch>,
}

/// `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// A scenario's name, or a path that ends in .toml.
    pub scenario: String,
    /// The seed [default: that of --plan, else MADSIM_TEST_SEED, else 0].
    #[arg(long, value_parser = seed)]
    pub seed: Option<u64>,
    #[command(flatten)]
    pub changes: Changes,
    /// Write the faults that fired to a plan file, which replays them exactly.
    #[arg(long, value_name = "FILE")]
    pub keep_plan: Option<PathBuf>,
    /// Print the trace; `off` also leaves out the story.
    #[arg(long, value_enum)]
    pub trace: Option<TraceLevel>,
    /// Log to stderr as tracing-subscriber filters it, for example `debug` or `wavetank=debug`.
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
    /// For people or machines.
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
    /// Write every entry of the digest as a line to a file, for `diff`.
    #[arg(long, value_name = "FILE")]
    pub keep_trace: Option<PathBuf>,
    /// If it fails: from which instant on it was bound to, as `cause` finds it.
    #[arg(long, conflicts_with = "format")]
    pub why: bool,
    /// Do not run the scenario's cure beside it.
    #[arg(long)]
    pub no_cure: bool,
}

/// `verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// A scenario's name, or a path that ends in .toml.
    pub scenario: String,
    /// The seed [default: that of --plan, else MADSIM_TEST_SEED, else 0].
    #[arg(long, value_parser = seed)]
    pub seed: Option<u64>,
    /// Several seeds instead: from A up to but not including B.
    #[arg(long, value_name = "A..B", value_parser = seeds, conflicts_with = "seed")]
    pub seeds: Option<Range<u64>>,
    #[command(flatten)]
    pub changes: Changes,
    /// For people or machines.
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
}

/// `sweep`.
#[derive(Clone, Debug, Args)]
pub struct Sweep {
    /// A scenario's name, a path that ends in .toml, or `all`.
    pub scenario: String,
    /// From A up to but not including B [default: 0 to the scenario's ci.seeds].
    #[arg(long, value_name = "A..B", value_parser = seeds)]
    pub seeds: Option<Range<u64>>,
    /// Only every N-th of them, from the I-th on: one of N machines. `merge` puts them together.
    #[arg(long, value_name = "I/N", value_parser = shard)]
    pub shard: Option<Shard>,
    /// Worker processes [default: one for each core].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,
    /// Where results are kept, and resumed from [default: below target/sweeps].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Only go on: refuse if there is no sweep to go on with, and begin none anew that is complete.
    #[arg(long)]
    pub resume: bool,
    /// Memory that a worker process may hold; a seed that needs more fails.
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "4GiB")]
    pub memory: Size,
    /// Share of seeds whose verdict may be `unknown` without failing the sweep.
    #[arg(long, value_name = "SHARE", value_parser = share, default_value = "1%")]
    pub unknown_max: Ratio,
    /// Wall time after which a seed without a result is ended.
    #[arg(long, hide = true, value_parser = host::unit::parse_duration, default_value = "60s")]
    pub patience: Duration,
    /// Where a seed reaches this `sometimes`, run it again up to there and with other draws after it.
    #[arg(long, value_name = "WORD")]
    pub branch_at: Option<String>,
    /// Branches from each seed that gets there.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = branches)]
    pub branches: u64,
    /// Begin no seed after the scenario's ci.seconds, and fail with fewer than ci.seeds; `all` without
    /// --seeds does so anyway.
    #[arg(long)]
    pub ci: bool,
    #[command(flatten)]
    pub changes: Changes,
    /// For people or machines.
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
}

/// `bless`.
#[derive(Debug, Args)]
pub struct Bless {
    /// Write nothing; print what would change, and exit 1 if anything would.
    #[arg(long)]
    pub check: bool,
}

/// `witness`.
#[derive(Debug, Args)]
pub struct Witness {
    /// A scenario's name, or a path that ends in .toml.
    pub scenario: String,
    /// The seed.
    #[arg(long, value_parser = seed)]
    pub seed: u64,
    /// Also the text of these entries of the digest.
    #[arg(long, value_parser = seeds)]
    pub window: Option<Range<u64>>,
    #[command(flatten)]
    pub changes: Changes,
}

/// The seed that was asked for, else that of the environment, else 0.
pub fn seed_or_default(given: Option<u64>) -> Result<u64, String> {
    match (given, std::env::var("MADSIM_TEST_SEED")) {
        (Some(seed), _) => Ok(seed),
        (None, Ok(text)) => seed(&text).map_err(|why| format!("MADSIM_TEST_SEED: {why}")),
        (None, Err(_)) => Ok(0),
    }
}

/// Parses `7` or `0x1f`.
pub fn seed(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let clean: String = text.chars().filter(|c| *c != '_').collect();
    let parsed = match clean.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => clean.parse(),
    };
    parsed.map_err(|_| format!("`{text}` is not a seed: a whole number from 0 to {}", u64::MAX))
}

/// Parses `A..B`, half-open.
pub fn seeds(text: &str) -> Result<Range<u64>, String> {
    let Some((from, to)) = text.split_once("..") else {
        return Err(format!("`{text}` is not a range of seeds; write for example 0..200"));
    };
    if to.starts_with('=') {
        return Err("seeds are half-open: A..B runs A up to but not including B".to_string());
    }
    let (from, to) = (seed(from)?, seed(to)?);
    if from >= to {
        return Err(format!("{from}..{to} holds no seed; B must be greater than A"));
    }
    Ok(from..to)
}

/// Parses a size from 64 MiB up: less is not enough to begin with.
pub fn size(text: &str) -> Result<Size, String> {
    match host::unit::parse_size(text)? {
        Size(bytes) if bytes < 64 << 20 => Err(format!("`{text}` is too little; from 64MiB up")),
        size => Ok(size),
    }
}

/// Parses a share of the seeds.
pub fn share(text: &str) -> Result<Ratio, String> {
    host::unit::parse_ratio(text)
}

fn branches(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|n| (1..=10_000).contains(n));
    number.ok_or_else(|| format!("`{text}` is not a number of branches: 1 to 10000"))
}

/// Parses `KEY=VALUE`.
pub fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_string(), value.trim().to_string()))
        }
        _ => Err(format!("`{text}` is not KEY=VALUE")),
    }
}

impl Changes {
    /// As they are typed, with a leading space before each.
    pub fn typed(&self) -> String {
        self.arguments().iter().map(|a| format!(" {}", quoted(a))).collect()
    }

    /// As a child process receives them.
    pub fn arguments(&self) -> Vec<String> {
        let mut out = Vec::new();
        let mut add = |name: &str, value: String| out.extend([name.to_string(), value]);
        for (key, value) in &self.sets {
            add("--set", format!("{key}={value}"));
        }
        if let Some(plan) = &self.plan {
            add("--plan", plan.display().to_string());
        }
        for plant in &self.plants {
            add("--plant", plant.clone());
        }
        for check in &self.mute {
            add("--mute", check.clone());
        }
        if self.weave != 0 {
            add("--weave", self.weave.to_string());
        }
        if let Some(branch) = self.branch {
            add("--branch", branch.to_string());
        }
        out
    }
}

/// A word as a shell takes it.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,%+@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_string();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn seeds_are_half_open_and_never_empty() {
        assert_eq!(seeds("0..200"), Ok(0..200));
        assert_eq!(seeds("0x10..0x20"), Ok(16..32));
        assert_eq!(seeds("1_000..2_000"), Ok(1000..2000));
        assert!(seeds("5..5").unwrap_err().contains("no seed"));
        assert!(seeds("9..5").unwrap_err().contains("no seed"));
        assert!(seeds("0..=5").unwrap_err().contains("half-open"));
        assert!(seeds("7").unwrap_err().contains("0..200"));
        assert!(seeds("0..-1").is_err());
        assert!(seed("18446744073709551616").is_err());
    }

    #[test]
    fn help_names_exactly_the_commands_there_are() {
        let listed: Vec<&str> = HELP
            .lines()
            .filter_map(|l| l.strip_prefix("  "))
            .filter(|l| !l.starts_with("cargo tank"))
            .filter_map(|l| l.split_whitespace().next())
            .collect();
        let command = Arguments::command();
        let visible = command.get_subcommands().filter(|c| !c.is_hide_set());
        assert_eq!(listed, visible.map(|c| c.get_name()).collect::<Vec<_>>());
        Arguments::command().debug_assert();
    }

    #[test]
    fn help_begins_commands_as_the_program_is_started() {
        assert_eq!(help("cargo tank"), HELP);
        let other = help("cargo run -p mine --");
        assert!(other.contains("Usage: cargo run -p mine -- [COMMAND]"), "{other}");
        assert!(!other.contains("cargo tank") && !other.contains("snapshot"), "{other}");
    }

    #[test]
    fn what_is_printed_can_be_pasted() {
        let changes = Changes {
            sets: vec![("election_timeout".into(), "1 s..2 s".into())],
            plants: vec!["vote_before_fsync".into()],
            weave: 3,
            ..Changes::default()
        };
        let typed = " --set 'election_timeout=1 s..2 s' --plant vote_before_fsync --weave 3";
        assert_eq!(changes.typed(), typed);
    }

    proptest! {
        #[test]
        fn no_range_panics(text in ".{0,30}") {
            let _ = seeds(&text);
            let _ = setting(&text);
        }

        #[test]
        fn every_range_survives_printing(a in 0..u64::MAX, n in 1u64..1_000_000) {
            let range = a..a.saturating_add(n);
            prop_assert_eq!(seeds(&format!("{}..{}", range.start, range.end)), Ok(range));
        }
    }
}
