//! Plants that cost no promise but the service: each trips the check that is there for it. The scenarios lie
//! beside this file and are made for the trouble that brings them out: leaders that die, leaders that reach
//! nobody, followers that vanish, delays that are nobody's failure.

use crate::planted::{Plant, all_are_caught, plant};

/// Nobody leads, too many wait, too much waits.
pub const SERVICE: &[Plant] = &[
    plant("vote_withheld", "leader_within", "sim/tests/withheld_votes.toml", 10)
        .then(&["converged"]),
    plant("waiters_leaked", "waiters_bounded", "sim/tests/stranded_readers.toml", 10),
    plant("place_not_freed", "goodput_back", "swarm_service", 30),
    plant("window_ignored", "in_flight_bounded", "sim/tests/cut_follower.toml", 10),
    plant("heartbeat_resets_nothing", "no_needless_election", "short_delays_keep_leader", 20),
];

#[test]
fn a_cluster_that_keeps_every_promise_and_serves_nobody() {
    all_are_caught(SERVICE);
}
