//! Frames between the selected hosts (`on`) and the others arrive twice, the second time up to `within`
//! later. A datagram does so by itself. Inside a stream nothing is ever doubled, for sequence numbers see
//! to that; what comes again is the beginning of a connection that ended without an answer, up to `within`
//! after its end and as a connection of its own: a proxy that tries once more, early data of TCP Fast Open
//! or TLS 1.3. The listener hears somebody whom it heard before, out of date by then, and what it answers
//! meets nobody. What was answered is not repeated: nobody has a reason to.
//!
//! `share` is that of the datagrams, and of the streams that are dialled while the fault lasts. A copy
//! that has not come when the fault ends never comes. An effect is a frame that came again.
//!
//! Left out: what a listener sends on a stream is never doubled. Source: `tc netem duplicate`, RFC 7413
//! section 6.3, RFC 8446 section 8, VOPR's packet replay.

use std::sync::Arc;
use std::time::Duration;

use host::settings::Word as Choice;
use host::unit::{Ratio, nanos, show_ratio};
use kernel::fault::{Control, Fault};
use kernel::registry::{Word, fault};

use crate::Sides;

host::settings! {
    /// The parameters of `frames_duplicated`.
    pub struct Params {
        /// The share of datagrams, and of dialled streams, that arrive again.
        share: Ratio = "20%";
        /// How much later the copy comes, at most.
        within: Duration = "200ms", "1us..1min";
        /// Which frames: all between the two sides, those that the selected hosts send, or those that
        /// are sent to them.
        direction: Choice = "both", "both|out|in";
        /// Who is on the other side: the other nodes, the clients, or all of them.
        others: Choice = "nodes", "nodes|clients|all";
    }
}

struct FramesDuplicated {
    share: Ratio,
    within: Duration,
    sides: Sides,
}

/// The word `frames_duplicated`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "A share of the datagrams, and of the streams that are dialled, between the selected hosts \
                 and the others arrives a second time for `lasts`.";
    fault("frames_duplicated", about, |p: Params| FramesDuplicated {
        share: p.share,
        within: p.within,
        sides: Sides { direction: p.direction.0, others: p.others.0 },
    })
}

impl Fault for FramesDuplicated {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        for (from, to) in self.sides.links(control, hosts) {
            control.duplicate_frames(from, to, self.share, nanos(self.within));
        }
        let twice = show_ratio(self.share);
        format!("{}, {twice} twice", self.sides.show(control, hosts))
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        for (from, to) in self.sides.links(control, hosts) {
            control.spare_frames(from, to);
        }
        control.over("frames_duplicated", hosts);
    }
}
