//! Both of the host's clocks stand still for a while, as in a virtual machine that is suspended, or
//! whose clock source stops while it is migrated: afterwards the machine believes that no time has
//! passed. With `process = "stops"` nothing runs on it meanwhile, with `"runs"` everything does but
//! what waits for a time.
//!
//! No bound on drift covers that: a leader that counts a lease on such a clock reads under it after it
//! has ended for everybody else, and is right to believe in it. A scenario with leases has to show
//! that, or leave this fault out. What the clocks lacked they lack for good. Stops nest.
//! An effect is a reading of a clock that stands, a timer that waits for it, or a task that is held up.
//!
//! Left out: a wall clock that the hypervisor sets right afterwards (`clock_step`). Source:
//! CLOCK_MONOTONIC, which does not count suspension, as CLOCK_BOOTTIME does.

use std::sync::Arc;

use host::settings::Word as Choice;
use kernel::fault::{Control, Fault};
use kernel::registry::{Word, fault};

host::settings! {
    /// The parameters of `clock_suspended`.
    pub struct Params {
        /// Whether the node stands still with the clocks.
        process: Choice = "stops", "stops|runs";
    }
}

struct ClockSuspended {
    stops: bool,
}

/// The word `clock_suspended`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "The host's clocks stand still for `lasts`, and by default its process with them; \
                 afterwards they lack that time.";
    fault("clock_suspended", about, |p: Params| ClockSuspended { stops: p.process.0 == "stops" })
}

impl Fault for ClockSuspended {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        for host in hosts {
            control.stop_clock(*host);
            if self.stops {
                control.pause(*host);
            }
        }
        let process = if self.stops { "with its process" } else { "while its process runs" };
        format!("{} {process}", crate::names(control, hosts))
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        for host in hosts {
            control.unstop_clock(*host);
            if self.stops {
                control.resume(*host);
            }
        }
        control.over("clock_suspended", hosts);
    }
}
