//! A share of the streams between the selected hosts (`on`) and the others is reset, in the middle of
//! whatever was on its way: a load balancer that restarts, an operator's `tcpkill`. Both ends see it at
//! once; frames under way are gone, and neither side knows how many of its last ones were read.
//!
//! With `every` this is repeated for as long as the fault lasts, so that what was dialled anew is reset
//! too; without, it happens once. With `direction` only connections that were dialled by the selected
//! hosts, or by the others, are hit. An effect is a connection that was reset. There is nothing to undo.
//!
//! Left out: resets that only one side hears (`link_half_open` has the silence). Source: RFC 793,
//! FoundationDB's connection failures.

use std::sync::Arc;
use std::time::Duration;

use host::settings::Word as Choice;
use host::unit::{Ratio, nanos, show, show_ratio};
use kernel::fault::{Control, Fault};
use kernel::registry::{Word, fault};

use crate::Sides;

host::settings! {
    /// The parameters of `connection_reset`.
    pub struct Params {
        /// The share of the connections that is reset.
        share: Ratio = "100%";
        /// How long until it happens again; zero: it happens once.
        every: Duration = "0ns", "0ns..1h";
        /// Which connections: all between the two sides, those that the selected hosts dialled, or
        /// those that the others did.
        direction: Choice = "both", "both|out|in";
        /// Who is on the other side: the other nodes, the clients, or all of them.
        others: Choice = "nodes", "nodes|clients|all";
    }
}

struct ConnectionReset {
    share: Ratio,
    every: Duration,
    sides: Sides,
}

/// The word `connection_reset`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "A share of the connections between the selected hosts and the others is reset, once \
                 or again and again for `lasts`.";
    fault("connection_reset", about, |p: Params| ConnectionReset {
        share: p.share,
        every: p.every,
        sides: Sides { direction: p.direction.0, others: p.others.0 },
    })
}

impl ConnectionReset {
    fn reset(&self, control: &mut Control<'_>, hosts: &[usize], n: u64) {
        for (from, to) in self.sides.links(control, hosts) {
            control.reset_connections(from, to, self.share);
        }
        if !self.every.is_zero() {
            control.again(nanos(self.every), n + 1);
        }
    }
}

impl Fault for ConnectionReset {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        self.reset(control, hosts, 0);
        let again = match self.every {
            Duration::ZERO => String::new(),
            every => format!(" every {}", show(every)),
        };
        let share = show_ratio(self.share);
        format!("{}, {share} of the connections{again}", self.sides.show(control, hosts))
    }

    fn again(&self, control: &mut Control<'_>, hosts: &[usize], n: u64) {
        self.reset(control, hosts, n);
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        control.over("connection_reset", hosts);
    }
}
