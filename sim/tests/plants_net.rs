//! A defect that only a network brings out which damages frames: they are taken as they come. A damaged frame
//! breaks what the damage hits. Most often a node refuses its own log at the next boot.

use crate::planted::{DIVERGED, Plant, all_are_caught, plant};

/// Damage that is taken for a message.
pub const FRAMES: &[Plant] =
    &[plant("frame_unchecked", "log_matching", "sim/tests/damaged_frames.toml", 60)
        .then(DIVERGED)
        .stops_a_node()];

#[test]
fn frames_that_nobody_checks() {
    all_are_caught(FRAMES);
}
