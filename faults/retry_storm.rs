//! A share of the clients loses patience: whoever has waited `within` for an answer gives it up and asks
//! again at once, without the pauses that it otherwise makes. An upstream has cut its timeouts, or a
//! release has lost its backoff. A server does the work of all attempts while clients wait for the
//! last of them; the storm is a trigger, and whether its effect outlives it is the question.
//!
//! It acts on clients, each hit by its own draw with the chance `share`; `on` must find a node, and
//! says nothing more. The fault only urges, and the load obeys for as long as it lasts: whether it
//! knows how is its own business. An effect is an attempt made in a hurry.
//!
//! Left out: more clients than before. Source: Bronson et al., Metastable Failures in Distributed
//! Systems (HotOS 2021).

use std::sync::Arc;
use std::time::Duration;

use host::unit::{Ratio, show};
use kernel::fault::{Control, Fault};
use kernel::registry::{Word, fault};
use kernel::workload::Urge;

host::settings! {
    /// The parameters of `retry_storm`.
    pub struct Params {
        /// With which chance each client is hit.
        share: Ratio = "100%";
        /// How long a client waits for an answer before it asks again.
        within: Duration = "20ms", "1ms..1min";
    }
}

struct RetryStorm {
    share: Ratio,
    within: Duration,
}

/// The word `retry_storm`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "For `lasts` a share of the clients, each by its own draw, waits no longer than `within` \
                 for an answer and then asks again at once.";
    fault("retry_storm", about, |p: Params| RetryStorm { share: p.share, within: p.within })
}

impl Fault for RetryStorm {
    fn begin(&self, control: &mut Control<'_>, _: &[usize]) -> String {
        let clients = control.some_clients(self.share);
        for client in &clients {
            control.urge(*client, Urge::Hurry { within: self.within });
        }
        format!("{} clients, after {}", clients.len(), show(self.within))
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        control.calm();
        control.over("retry_storm", hosts);
    }
}
