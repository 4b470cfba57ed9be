//! A user's own system, plugged in: this registry is all that Wavetank has to know. The node, its load and
//! its claim are files beside it; machines, faults and two generic checks are the stock ones, and command
//! line, sweeps, stories and `verify` come with them. `README.md` walks through it.

#[cfg(not(madsim))]
compile_error!(
    "build it inside the project's folder, where .cargo/config.toml sets `--cfg madsim`"
);

mod node;
mod one_primary;
mod pair_put;

use std::process::ExitCode;

use kernel::registry::{Builtin, Registry, node};

/// The stock checks that know no Raft.
const STOCK: [&str; 2] = ["acked_durable", "latency"];

const SCENARIOS: &[Builtin] = &[
    ("partition_splits_pair", include_str!("../scenarios/partition_splits_pair.toml")),
    ("partition_halts_pair", include_str!("../scenarios/partition_halts_pair.toml")),
    ("pair_swarm", include_str!("../scenarios/pair_swarm.toml")),
];

fn main() -> ExitCode {
    let about =
        "A key-value store on a primary and its backup, which takes over when it hears nothing.";
    let mut checks = checks::words();
    checks.retain(|check| STOCK.contains(&check.word));
    checks.push(one_primary::word());
    let registry = Registry {
        nodes: vec![node(
            "primary_backup",
            about,
            &[],
            &[node::PairEvent::WORDS],
            node::Config::validate,
            node::run,
        )],
        workloads: vec![pair_put::word()],
        faults: faults::words(),
        checks,
        scenarios: SCENARIOS.to_vec(),
        studies: Vec::new(),
        documents: Vec::new(),
        profiles: vec![("ssd_lan", include_str!("../../../profiles/ssd_lan.toml"))],
        measures: checks::measures(),
        home: "sim/examples/primary_backup",
        program: "cargo run --release -p primary-backup --",
    };
    ExitCode::from(cli::main(registry) as u8)
}
