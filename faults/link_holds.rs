//! What is sent between the selected hosts (`on`) and the others is kept on the way and arrives when the
//! fault ends, all at once and in order: a switch that buffers while its routes are recomputed, a virtual
//! machine's network during migration. Nothing is lost. Connections that were given up meanwhile have
//! their frames delivered all the same, beside those that followed them.
//!
//! Requests to connect are repeated, as if the link were cut. An effect is a frame that was kept, or a
//! request that was not let through. Left out: that a sender gives up what is kept too long, buffers that
//! overflow. Source: turmoil's `hold` and `release`; the pause of a live migration.

use std::sync::Arc;

use host::settings::Word as Choice;

use kernel::fault::{Control, Fault};
use kernel::registry::{Word, fault};

use crate::Sides;

host::settings! {
    /// The parameters of `link_holds`.
    pub struct Params {
        /// Which frames: all between the two sides, those that the selected hosts send, or those that
        /// are sent to them.
        direction: Choice = "both", "both|out|in";
        /// Who is on the other side: the other nodes, the clients, or all of them.
        others: Choice = "nodes", "nodes|clients|all";
    }
}

struct LinkHolds {
    sides: Sides,
}

/// The word `link_holds`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "Frames between the selected hosts and the others are kept on the way for `lasts`, and then \
                 arrive all at once.";
    fault("link_holds", about, |p: Params| LinkHolds {
        sides: Sides { direction: p.direction.0, others: p.others.0 },
    })
}

impl Fault for LinkHolds {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        for (from, to) in self.sides.links(control, hosts) {
            control.hold_link(from, to);
        }
        format!("{}, kept", self.sides.show(control, hosts))
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        for (from, to) in self.sides.links(control, hosts) {
            control.release_link(from, to);
        }
        control.over("link_holds", hosts);
    }
}
