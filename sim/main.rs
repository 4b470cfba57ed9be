//! TABLE OF CONTENTS. Everything that has a name is registered here; read this first.
//!
//! Nodes are production code and know nothing of the simulator, so each is one entry of `nodes()`; a node
//! of your own is one more. Workloads, faults and checks are declared one per file, in `workloads/`,
//! `faults/` and `sim/checks/`, and listed in their crates. Scenarios, studies and profiles are files: inside
//! the project they are read from disk, elsewhere the copies compiled in here serve.

#[cfg(not(madsim))]
compile_error!(
    "the simulator runs on madsim: build it inside the project's folder, where .cargo/config.toml sets \
     `--cfg madsim`, and without RUSTFLAGS in the environment; the real program is `cargo real`"
);

use kernel::registry::{Boot, Builtin, Registry, Word, node};

fn main() {
    std::process::exit(cli::main(registry()));
}

/// Every word there is; benches use it too.
pub fn registry() -> Registry {
    Registry {
        nodes: nodes(),
        workloads: workloads::words(),
        faults: faults::words(),
        checks: checks::words(),
        scenarios: SCENARIOS.to_vec(),
        studies: STUDIES.to_vec(),
        profiles: PROFILES.to_vec(),
        documents: DOCUMENTS.to_vec(),
        measures: checks::measures(),
        ..Registry::default()
    }
}

fn nodes() -> Vec<Word<Boot>> {
    vec![
        node(
            "elector",
            "Raft around nothing, without a port for clients: a node that only elects.",
            elector::PLANTS,
            elector::EVENTS,
            elector::Config::validate,
            elector::run,
        ),
        node(
            "store",
            "A replicated configuration store on one Raft group: put and read values of up to 2 MB.",
            store::PLANTS,
            store::EVENTS,
            store::Config::validate,
            store::run,
        ),
    ]
}

/// (name, text) of a file in a folder of `sim/`.
macro_rules! builtin {
    ($folder:literal: $($name:literal)*) => {
        &[$(($name, include_str!(concat!($folder, "/", $name, ".toml")))),*]
    };
}

const SCENARIOS: &[Builtin] = builtin!("scenarios":
    "ack_awaits_flush_cycle"
    "backoff_ends_retry_storm"
    "bundled_appends_exceed_body_limit"
    "cold_start_elects"
    "compressed_writes_100kb"
    "compressed_writes_10kb"
    "compressed_writes_1mb"
    "flushed_ack_keeps_writes"
    "fsync_stall_loses_lease"
    "fsync_stall_spares_lease"
    "full_snapshots_amplify_writes"
    "idle_heap_stays_grown"
    "incremental_snapshots_spare_writes"
    "interval_bloats_json_log"
    "interval_bloats_wal"
    "interval_bounds_json_log"
    "interval_bounds_wal"
    "leader_crash"
    "leader_crash_elects"
    "leader_dies_under_snapshots"
    "long_cycle_commits_many"
    "periodic_collection_shrinks_heap"
    "real_text_compresses_less"
    "retry_storm_outlives_trigger"
    "rpc_timeout_below_body_elects"
    "rpc_timeout_covers_body"
    "short_cycle_commits_few"
    "short_delays_keep_leader"
    "short_flush_cycle_spares_wait"
    "shutdown_drains_apply"
    "shutdown_races_apply"
    "slow_links_tempt_voters"
    "snapshot_in_step"
    "snapshot_on_its_own_thread"
    "snapshot_spares_heartbeat"
    "snapshot_starves_heartbeat"
    "snapshot_writes_all_values"
    "snapshots_cost_all_data"
    "streamed_restore_spares_memory"
    "streamed_snapshot_spares_heap"
    "streamed_snapshot_spares_memory"
    "swarm"
    "swarm_busy"
    "swarm_calm"
    "swarm_members"
    "swarm_service"
    "swarm_three"
    "unflushed_ack_loses_writes"
    "unflushed_ack_spares_wait"
    "unlimited_body_lets_follower_catch_up"
    "whole_restore_exhausts_memory"
    "whole_snapshot_exhausts_memory"
    "whole_snapshot_triples_heap"
);

const STUDIES: &[Builtin] = builtin!("studies":
    "availsim_wan"
    "election_timeout_price"
    "raft_paper_fig16"
    "timeout_invariant"
    "timeout_table"
    "timeout_table_past"
);

const PROFILES: &[Builtin] = builtin!("profiles":
    "dotnet_container"
    "election_lan"
    "election_wan"
    "ssd_lan"
);

const DOCUMENTS: &[Builtin] = builtin!("documents":
    "002"
);

#[cfg(test)]
mod tests {
    /// What is compiled in is what is there.
    #[test]
    fn every_file_is_in_the_table_of_contents() {
        for (folder, listed) in [
            ("sim/scenarios", super::SCENARIOS),
            ("sim/studies", super::STUDIES),
            ("sim/profiles", super::PROFILES),
            ("sim/documents", super::DOCUMENTS),
        ] {
            let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
            let mut there: Vec<String> = std::fs::read_dir(dir)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            there.sort();
            let listed: Vec<String> =
                listed.iter().map(|(name, _)| format!("{name}.toml")).collect();
            assert_eq!(there, listed);
        }
    }
}
