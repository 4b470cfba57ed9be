//! Frames between the selected hosts (`on`) and the others are lost with the share `loss`: a bad
//! cable, a port that drops under load. A stream's frame is sent again after a timeout that doubles,
//! so loss is delay, and those behind it wait; a datagram is gone.
//!
//! Where such faults overlap on a link, or the link is lossy by itself, the highest share counts;
//! each takes back only its own. Clients are spared unless `others` says otherwise, as in
//! `network_partition`. An effect is a frame that was lost at least once.
//!
//! Left out: bursts, loss of requests to connect and of resets, frames under way when it begins.
//! Source: `tc netem loss`, RFC 6298.

use std::sync::Arc;

use host::settings::Word as Choice;
use host::unit::{Ratio, show_ratio};
use kernel::fault::{Control, Fault};
use kernel::registry::{Word, fault};

use crate::Sides;

host::settings! {
    /// The parameters of `link_lossy`.
    pub struct Params {
        /// The share of frames that are lost.
        loss: Ratio = "5%";
        /// Which frames: all between the two sides, those that the selected hosts send, or those that
        /// are sent to them.
        direction: Choice = "both", "both|out|in";
        /// Who is on the other side: the other nodes, the clients, or all of them.
        others: Choice = "nodes", "nodes|clients|all";
    }
}

struct LinkLossy {
    loss: Ratio,
    sides: Sides,
}

/// The word `link_lossy`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "A share of the frames between the selected hosts and the others is lost for \
                 `lasts`: streams send them again, datagrams are gone.";
    fault("link_lossy", about, |p: Params| LinkLossy {
        loss: p.loss,
        sides: Sides { direction: p.direction.0, others: p.others.0 },
    })
}

impl Fault for LinkLossy {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        for (from, to) in self.sides.links(control, hosts) {
            control.lose_frames(from, to, self.loss);
        }
        format!("{}, {} lost", self.sides.show(control, hosts), show_ratio(self.loss))
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        for (from, to) in self.sides.links(control, hosts) {
            control.keep_frames(from, to);
        }
        control.over("link_lossy", hosts);
    }
}
