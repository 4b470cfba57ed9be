//! Somebody restarts the process in an orderly way: the node is asked to stop, as by SIGTERM, and may
//! finish what it does, hand on what it leads and close its files before it returns. After `lasts`
//! it is started again; if it has not ended by then, as soon as it has. A node that returns without
//! error after it was asked has not failed.
//!
//! Stops, crashes and power losses nest: whoever of them wants the host down keeps it down, and the
//! last that ends starts it. A host that is down already is not asked. An effect is a stop that came
//! to its end by itself.
//!
//! Left out: a supervisor that loses patience and kills (that is `crash` on top).

use std::sync::Arc;

use kernel::fault::{Control, Fault};
use kernel::registry::{NoParams, Word, fault};

struct Stop;

/// The word `stop`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "The node is asked to stop gracefully and is started again after `lasts`, or as \
                 soon as it has ended if that takes longer.";
    fault("stop", about, |_: NoParams| Stop)
}

impl Fault for Stop {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        for host in hosts {
            control.stop(*host);
        }
        crate::names(control, hosts)
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        for host in hosts {
            control.boot(*host);
        }
    }
}
