//! Frames of one class between the selected hosts (`on`) and the others vanish, all or a `share`, and
//! every other frame gets through: a filter that chokes on one kind of message, a queue that sheds what
//! it holds to be unimportant. They vanish from within a stream too, as if they had never been sent, so
//! this is no loss on the wire but somewhere above it.
//!
//! The class of a frame is a word that the node chose when it sent it, such as `heartbeat`, `vote` or
//! `append`; the fault knows no protocol. A class that nobody uses has no effects. An effect is a frame
//! that vanished. Left out: selection by content. Source: VOPR's and hashicorp/raft's message filters.

use std::sync::Arc;

use host::settings::{Text, Word as Choice};
use host::unit::{Ratio, show_ratio};
use kernel::fault::{Control, Fault};
use kernel::registry::{Word, fault};

use crate::Sides;

host::settings! {
    /// The parameters of `class_lossy`.
    pub struct Params {
        /// The class word that the node sends such frames with.
        class: Text = "heartbeat";
        /// The share of them that vanishes.
        share: Ratio = "100%";
        /// Which frames: all between the two sides, those that the selected hosts send, or those that
        /// are sent to them.
        direction: Choice = "both", "both|out|in";
        /// Who is on the other side: the other nodes, the clients, or all of them.
        others: Choice = "nodes", "nodes|clients|all";
    }
}

struct ClassLossy {
    class: String,
    share: Ratio,
    sides: Sides,
}

/// The word `class_lossy`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "Frames of one class between the selected hosts and the others vanish for `lasts`. Nodes \
                 name the classes: the store's are heartbeat, vote, append, raft, answer, hello, \
                 snapshot and client.";
    fault("class_lossy", about, |p: Params| ClassLossy {
        class: p.class.0,
        share: p.share,
        sides: Sides { direction: p.direction.0, others: p.others.0 },
    })
}

impl Fault for ClassLossy {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        for (from, to) in self.sides.links(control, hosts) {
            control.drop_class(from, to, &self.class, self.share);
        }
        let (share, class) = (show_ratio(self.share), &self.class);
        format!("{}, {share} of `{class}` lost", self.sides.show(control, hosts))
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        for (from, to) in self.sides.links(control, hosts) {
            control.spare_frames(from, to);
        }
        control.over("class_lossy", hosts);
    }
}
