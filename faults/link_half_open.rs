//! The connections that there are between the selected hosts (`on`) and the others carry nothing any
//! more, and nobody is told: the firewall or the address translation between them lost its table. Frames
//! and resets vanish, the sending kernels repeat them with growing delay and give up in the end; whoever
//! only listens waits for as long as its own time limits say. New connections work at once.
//!
//! With `direction = "out"` or `"in"` one way of each connection is dead: one side goes on in good faith.
//! When the fault ends the connections are known again, if they still exist, and what was repeated gets
//! through. An effect is a frame that vanished. Source: RFC 1122 section 4.2.3.6 on half-open
//! connections; conntrack tables that overflow.

use std::sync::Arc;

use host::settings::Word as Choice;

use kernel::fault::{Control, Fault};
use kernel::registry::{Word, fault};

use crate::Sides;

host::settings! {
    /// The parameters of `link_half_open`.
    pub struct Params {
        /// Which frames: all between the two sides, those that the selected hosts send, or those that
        /// are sent to them.
        direction: Choice = "both", "both|out|in";
        /// Who is on the other side: the other nodes, the clients, or all of them.
        others: Choice = "nodes", "nodes|clients|all";
    }
}

struct LinkHalfOpen {
    sides: Sides,
}

/// The word `link_half_open`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "Connections that exist between the selected hosts and the others silently carry nothing \
                 for `lasts`; new ones do.";
    fault("link_half_open", about, |p: Params| LinkHalfOpen {
        sides: Sides { direction: p.direction.0, others: p.others.0 },
    })
}

impl Fault for LinkHalfOpen {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        for (from, to) in self.sides.links(control, hosts) {
            control.forget_connections(from, to);
        }
        format!("{}, connections forgotten", self.sides.show(control, hosts))
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        for (from, to) in self.sides.links(control, hosts) {
            control.know_connections(from, to);
        }
        control.over("link_half_open", hosts);
    }
}
