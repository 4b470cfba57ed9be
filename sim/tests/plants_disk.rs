//! What disks do to a log, and what a node must not make of it. Three defects are planted: a sync that
//! failed is taken for a good one, a record that does not read ends the log wherever it lies, and bodies are
//! believed without their checksums. `failing_disks.toml` brings the first two out and
//! `torn_everywhere.toml` the third, and they trip nothing in a sound node. Under a budget of hosts that may
//! forget, even a sound node is found out: plain Raft does not survive that, which is why nobody forgets
//! unless a scenario says so.

use std::collections::BTreeSet;

use crate::planted::{DIVERGED, Plant, all_are_caught, plant, tripped};

const FAILING: &str = "sim/tests/failing_disks.toml";
const TORN: &str = "sim/tests/torn_everywhere.toml";

/// What is taken for durable, and is not.
pub const BELIEVED: &[Plant] = &[
    plant("sync_error_ignored", "fsync_before_ack", FAILING, 40).stops_a_node(),
    // Who goes on with half of its log may meet what it once committed, and stop over that.
    plant("bad_record_ends_log", "recoverable_or_refuse", FAILING, 60)
        .then(DIVERGED)
        .stops_a_node(),
    // A damaged body that does not decode is never applied; one that does is another value.
    plant("torn_record_accepted", "converged", TORN, 60).then(DIVERGED).stops_a_node(),
];

#[test]
fn what_disks_did_is_not_believed() {
    all_are_caught(BELIEVED);
}

#[test]
fn a_sound_node_stops_or_goes_on_and_nothing_is_wrong() {
    for (name, scenario) in [("failing", FAILING), ("torn", TORN)] {
        assert_eq!(tripped(name, &format!("{scenario} --seeds 0..40")), BTreeSet::new());
    }
}

#[test]
fn a_sound_node_on_disks_that_forget() {
    let here = "sim/tests/forgetful_disks.toml --seeds 0..60";
    let spared = tripped("spared", &format!("{here} --set atlas.forgets=0"));
    assert_eq!(spared, BTreeSet::new(), "without a budget nobody forgets");
    let caught = tripped("forgot", here);
    assert!(!caught.is_empty(), "two of three voters that forget go unnoticed");
    assert!(!caught.contains("recoverable_or_refuse"), "nobody can ask a node to know");
}
