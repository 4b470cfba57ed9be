//! Defects of the store that a whole history shows: a comparison that is not made, a delete that is not done
//! and a read of a node that lags. Only `linearizable` sees the first. The others `read_fresh` sees as well,
//! as soon as the answer comes, and what is read back at the end shows a delete that was not done.

use crate::planted::{Plant, all_are_caught, plant};

const HERE: &str = "sim/tests/judged.toml";

/// What no order of the operations explains.
pub const UNORDERED: &[Plant] = &[
    plant("cas_blind", "linearizable", HERE, 10),
    plant("delete_forgotten", "linearizable", HERE, 10)
        .first_seen_by(&["read_fresh", "acked_durable"]),
    plant("stale_get", "linearizable", HERE, 20).first_seen_by(&["read_fresh"]),
];

#[test]
fn histories_that_have_no_order() {
    all_are_caught(UNORDERED);
}
