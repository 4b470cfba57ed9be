//! Frames between the selected hosts (`on`) and the others take longer: a detour, a full buffer in a
//! switch, a tunnel that is too narrow. `adds` is put on the way of every frame; `bandwidth`, if it
//! is given, is a ceiling for each link in each direction. Nothing is lost, and a stream's frames
//! stay in order, also when the fault ends and later frames travel faster.
//!
//! Where such faults overlap on a link, what they add is summed up and the lowest bandwidth counts;
//! each takes back only its own. Clients are spared unless `others` says otherwise, as in
//! `network_partition`. An effect is a frame that was sent over such a link.
//!
//! Left out: jitter beyond the link's own, and frames that are under way when the fault begins or
//! ends. Source: `tc netem delay` and `rate`.

use std::sync::Arc;
use std::time::Duration;

use host::settings::Word as Choice;
use host::unit::{Rate, nanos, show, show_rate};
use kernel::fault::{Control, Fault};
use kernel::registry::{Word, fault};

use crate::Sides;

host::settings! {
    /// The parameters of `link_slow`.
    pub struct Params {
        /// How much longer a frame travels.
        adds: Duration = "20ms", "0ns..1min";
        /// The bandwidth of each link, at most; zero leaves it as it is.
        bandwidth: Rate = "0B/s";
        /// Which frames: all between the two sides, those that the selected hosts send, or those that
        /// are sent to them.
        direction: Choice = "both", "both|out|in";
        /// Who is on the other side: the other nodes, the clients, or all of them.
        others: Choice = "nodes", "nodes|clients|all";
    }
}

struct LinkSlow {
    adds: Duration,
    bandwidth: Rate,
    sides: Sides,
}

/// The word `link_slow`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "Frames between the selected hosts and the others travel longer for `lasts`.";
    fault("link_slow", about, |p: Params| LinkSlow {
        adds: p.adds,
        bandwidth: p.bandwidth,
        sides: Sides { direction: p.direction.0, others: p.others.0 },
    })
}

impl Fault for LinkSlow {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        for (from, to) in self.sides.links(control, hosts) {
            control.slow_link(from, to, nanos(self.adds), self.bandwidth);
        }
        let narrow = match self.bandwidth {
            Rate(0) => String::new(),
            rate => format!(", at most {}", show_rate(rate)),
        };
        format!("{}, {} more{narrow}", self.sides.show(control, hosts), show(self.adds))
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        for (from, to) in self.sides.links(control, hosts) {
            control.unslow_link(from, to);
        }
        control.over("link_slow", hosts);
    }
}
