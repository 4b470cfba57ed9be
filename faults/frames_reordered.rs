//! Frames between the selected hosts (`on`) and the others overtake each other: there are several ways
//! through the network, and some take up to `by` longer. Each datagram takes one of them, so datagrams
//! change places. A stream takes one as a whole, as routers send all packets of a connection the same
//! way: its frames stay in order, and what an old connection still had to say, its end included, may
//! arrive after the first words of the next.
//!
//! `share` is that of the datagrams, and of the connections, that take a longer way. An effect is a frame
//! that did. Left out: ways that change during a connection. Source: `tc netem reorder`, RFC 2992.

use std::sync::Arc;
use std::time::Duration;

use host::settings::Word as Choice;
use host::unit::{Ratio, nanos, show, show_ratio};
use kernel::fault::{Control, Fault};
use kernel::registry::{Word, fault};

use crate::Sides;

host::settings! {
    /// The parameters of `frames_reordered`.
    pub struct Params {
        /// The share of datagrams, and of connections, that take a longer way.
        share: Ratio = "20%";
        /// How much longer, at most.
        by: Duration = "50ms", "1us..1min";
        /// Which frames: all between the two sides, those that the selected hosts send, or those that
        /// are sent to them.
        direction: Choice = "both", "both|out|in";
        /// Who is on the other side: the other nodes, the clients, or all of them.
        others: Choice = "nodes", "nodes|clients|all";
    }
}

struct FramesReordered {
    share: Ratio,
    by: Duration,
    sides: Sides,
}

/// The word `frames_reordered`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "A share of the datagrams, and of the connections as a whole, between the selected hosts \
                 and the others takes longer and is overtaken, for `lasts`.";
    fault("frames_reordered", about, |p: Params| FramesReordered {
        share: p.share,
        by: p.by,
        sides: Sides { direction: p.direction.0, others: p.others.0 },
    })
}

impl Fault for FramesReordered {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        for (from, to) in self.sides.links(control, hosts) {
            control.delay_frames(from, to, self.share, nanos(self.by));
        }
        let (late, by) = (show_ratio(self.share), show(self.by));
        format!("{}, {late} up to {by} late", self.sides.show(control, hosts))
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        for (from, to) in self.sides.links(control, hosts) {
            control.spare_frames(from, to);
        }
        control.over("frames_reordered", hosts);
    }
}
