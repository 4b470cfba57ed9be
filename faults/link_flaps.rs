//! The links between the selected hosts (`on`) and the others go down and come up again, over and over:
//! a loose cable, an interface that renegotiates. Each `period` begins with a time without a link, `down`
//! of it; then everything works until the next.
//!
//! It is a cut that comes and goes (`network_partition`): frames vanish and are repeated with growing
//! delay, so a stream may miss every time at which the link is up. Cuts nest, and the end takes back its
//! own only, whichever half of the period it comes in. An effect is a frame or request that vanished.
//!
//! Left out: periods that vary; several lines with other periods do that. Source: flapping links in
//! Alquraan et al., "An analysis of network-partitioning failures" (OSDI 2018).

use std::sync::Arc;
use std::time::Duration;

use host::settings::Word as Choice;
use host::unit::{Ratio, nanos, show, show_ratio};
use kernel::fault::{Control, Fault};
use kernel::registry::{Word, fault};

use crate::Sides;

host::settings! {
    /// The parameters of `link_flaps`.
    pub struct Params {
        /// From one loss of the link to the next.
        period: Duration = "200ms", "1ms..1h";
        /// The share of each period without a link.
        down: Ratio = "50%", "1%..99%";
        /// Which frames: all between the two sides, those that the selected hosts send, or those that
        /// are sent to them.
        direction: Choice = "both", "both|out|in";
        /// Who is on the other side: the other nodes, the clients, or all of them.
        others: Choice = "nodes", "nodes|clients|all";
    }
}

struct LinkFlaps {
    period: Duration,
    down: Ratio,
    sides: Sides,
}

/// The word `link_flaps`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about =
        "The links between the selected hosts and the others go down and up in turn for `lasts`.";
    fault("link_flaps", about, |p: Params| LinkFlaps {
        period: p.period,
        down: p.down,
        sides: Sides { direction: p.direction.0, others: p.others.0 },
    })
}

impl LinkFlaps {
    /// How long the links are down in each period, in ns.
    fn down_ns(&self) -> u64 {
        let down = u128::from(nanos(self.period)) * u128::from(self.down.0) / 1_000_000;
        u64::try_from(down).expect("less than a period")
    }
}

impl Fault for LinkFlaps {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        self.again(control, hosts, 0);
        let (down, period) = (show_ratio(self.down), show(self.period));
        format!("{}, down {down} of {period}", self.sides.show(control, hosts))
    }

    /// The even ones are losses of the link, the odd ones its returns.
    fn again(&self, control: &mut Control<'_>, hosts: &[usize], n: u64) {
        let lost = n.is_multiple_of(2);
        for (from, to) in self.sides.links(control, hosts) {
            if lost {
                control.cut(from, to);
            } else {
                control.heal(from, to);
            }
        }
        let down = self.down_ns();
        control.again(if lost { down } else { nanos(self.period) - down }, n + 1);
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        for (from, to) in self.sides.links(control, hosts) {
            control.heal(from, to);
        }
        control.over("link_flaps", hosts);
    }
}
