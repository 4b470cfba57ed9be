//! Frames between the selected hosts (`on`) and the others are damaged: a switch with bad memory, a
//! broken offload. Of the damaged ones the share `caught` is found by the layers below (Ethernet's and
//! TCP's checksums): a stream sends them again after its retransmission timeout, a datagram is lost. The
//! rest arrive with one byte changed, anywhere in the frame, and whoever receives them has to notice.
//!
//! An effect is a damaged frame, caught or not. Left out: bursts longer than a byte, frames cut short or
//! glued together, damage to requests to connect and to resets. Source: Stone and Partridge, "When the
//! CRC and TCP checksum disagree" (2000); `tc netem corrupt`.

use std::sync::Arc;

use host::settings::Word as Choice;
use host::unit::{Ratio, show_ratio};
use kernel::fault::{Control, Fault};
use kernel::registry::{Word, fault};

use crate::Sides;

host::settings! {
    /// The parameters of `frames_corrupted`.
    pub struct Params {
        /// The share of frames that are damaged.
        share: Ratio = "1%";
        /// The share of these that the layers below catch.
        caught: Ratio = "50%";
        /// Which frames: all between the two sides, those that the selected hosts send, or those that
        /// are sent to them.
        direction: Choice = "both", "both|out|in";
        /// Who is on the other side: the other nodes, the clients, or all of them.
        others: Choice = "nodes", "nodes|clients|all";
    }
}

struct FramesCorrupted {
    share: Ratio,
    caught: Ratio,
    sides: Sides,
}

/// The word `frames_corrupted`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "A share of the frames between the selected hosts and the others is damaged for `lasts`: \
                 caught below and sent again, or delivered with a byte changed.";
    fault("frames_corrupted", about, |p: Params| FramesCorrupted {
        share: p.share,
        caught: p.caught,
        sides: Sides { direction: p.direction.0, others: p.others.0 },
    })
}

impl Fault for FramesCorrupted {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        for (from, to) in self.sides.links(control, hosts) {
            control.damage_frames(from, to, self.share, self.caught);
        }
        format!("{}, {} damaged", self.sides.show(control, hosts), show_ratio(self.share))
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        for (from, to) in self.sides.links(control, hosts) {
            control.spare_frames(from, to);
        }
        control.over("frames_corrupted", hosts);
    }
}
