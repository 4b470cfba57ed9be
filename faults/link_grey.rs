//! Frames between the selected hosts (`on`) and the others take `factor` times as long as usual, and a
//! share of them is lost: a link that is neither up nor down. With `direction = "out"` or `"in"` only one
//! way is grey, so requests arrive and answers are late, or the other way round. Health checks pass now
//! and then.
//!
//! Latency is a multiple of the link's median, so the same fault is as grey in a rack as between
//! continents. Overlapping delays add up, and of losses the highest counts (`link_slow`, `link_lossy`).
//! An effect is a frame that was delayed, and another if it was lost. Source: Huang et al., "Gray
//! failure" (HotOS 2017); Gunawi et al., "Fail-slow at scale" (FAST 2018).

use std::sync::Arc;

use host::settings::Word as Choice;
use host::unit::{Rate, Ratio, show_ratio};
use kernel::fault::{Control, Fault};
use kernel::registry::{Word, fault};

use crate::Sides;

host::settings! {
    /// The parameters of `link_grey`.
    pub struct Params {
        /// How many times longer than usual a frame takes.
        factor: u64 = "100", "2..100000";
        /// The share of frames that are lost.
        loss: Ratio = "5%";
        /// Which frames: all between the two sides, those that the selected hosts send, or those that
        /// are sent to them.
        direction: Choice = "both", "both|out|in";
        /// Who is on the other side: the other nodes, the clients, or all of them.
        others: Choice = "nodes", "nodes|clients|all";
    }
}

struct LinkGrey {
    factor: u64,
    loss: Ratio,
    sides: Sides,
}

/// The word `link_grey`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "Frames between the selected hosts and the others take many times as long for `lasts`, and \
                 some are lost.";
    fault("link_grey", about, |p: Params| LinkGrey {
        factor: p.factor,
        loss: p.loss,
        sides: Sides { direction: p.direction.0, others: p.others.0 },
    })
}

impl Fault for LinkGrey {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        for (from, to) in self.sides.links(control, hosts) {
            let adds = control.usual_latency(from, to).saturating_mul(self.factor - 1);
            control.slow_link(from, to, adds, Rate(0));
            control.lose_frames(from, to, self.loss);
        }
        let (factor, loss) = (self.factor, show_ratio(self.loss));
        format!("{}, {factor} times slower, {loss} lost", self.sides.show(control, hosts))
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        for (from, to) in self.sides.links(control, hosts) {
            control.unslow_link(from, to);
            control.keep_frames(from, to);
        }
        control.over("link_grey", hosts);
    }
}
