//! A share of the clients sends every request twice under one number: a proxy that retries by itself, a
//! client that hedges, a restart that replays its outbox. The copy leaves `after` the first, over a
//! connection of its own, to the same node or to another, so it may overtake, and it may arrive when
//! the client is further on. A command must be done once, whichever comes first.
//!
//! It acts on clients, each hit by its own draw with the chance `share`; `on` must find a node, and
//! says nothing more. The fault only urges, and the load obeys for as long as it lasts. An effect is
//! a request that was sent twice.
//!
//! Left out: answers to copies, which nobody reads; frames that the network doubles. Source: Kafka's
//! KIP-890 and the duplicates that Jepsen found in Bufstream and Redpanda.

use std::sync::Arc;
use std::time::Duration;

use host::settings::Word as Choice;
use host::unit::{Ratio, show};
use kernel::fault::{Control, Fault};
use kernel::registry::{Word, fault};
use kernel::workload::Urge;

host::settings! {
    /// The parameters of `ids_duplicated`.
    pub struct Params {
        /// With which chance each client is hit.
        share: Ratio = "100%";
        /// How long after the first the copy leaves.
        after: Duration = "5ms", "0ns..1min";
        /// Where the copy goes.
        to: Choice = "same", "same|other";
    }
}

struct IdsDuplicated {
    share: Ratio,
    after: Duration,
    elsewhere: bool,
}

/// The word `ids_duplicated`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "For `lasts` a share of the clients, each by its own draw, sends every request a second \
                 time under the same number, `after` the first, to the same node or another.";
    fault("ids_duplicated", about, |p: Params| IdsDuplicated {
        share: p.share,
        after: p.after,
        elsewhere: p.to.0 == "other",
    })
}

impl Fault for IdsDuplicated {
    fn begin(&self, control: &mut Control<'_>, _: &[usize]) -> String {
        let clients = control.some_clients(self.share);
        let urge = Urge::Repeat { after: self.after, elsewhere: self.elsewhere };
        for client in &clients {
            control.urge(*client, urge);
        }
        let to = if self.elsewhere { "to another node" } else { "to the same node" };
        format!("{} clients, {to} after {}", clients.len(), show(self.after))
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        control.calm();
        control.over("ids_duplicated", hosts);
    }
}
