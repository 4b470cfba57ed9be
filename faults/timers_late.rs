//! Timers of the host ring late, each by its own draw between nothing and `by`: timer slack, a
//! coalescing kernel, an event loop that is behind. Clocks are right and whatever else wakes a task
//! does so in time. A node must take a timer for "not before" and look at the clock when it rings.
//!
//! A timer has its lateness from when it is set, drawn by host, virtual millisecond and order; one that
//! was set before the fault began is not late. Where such faults overlap the greatest `by` counts.
//! An effect is a timer that is late.
//!
//! Left out: timers that ring early, which the seam rules out. Source: prctl(PR_SET_TIMERSLACK).

use std::sync::Arc;
use std::time::Duration;

use host::unit::{nanos, show};
use kernel::fault::{Control, Fault};
use kernel::registry::{Word, fault};

host::settings! {
    /// The parameters of `timers_late`.
    pub struct Params {
        /// How late a timer rings at most.
        by: Duration = "20ms", "1us..1min";
    }
}

struct TimersLate {
    by: Duration,
}

/// The word `timers_late`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about =
        "For `lasts` timers that the host sets ring late, each by a drawn time of up to `by`.";
    fault("timers_late", about, |p: Params| TimersLate { by: p.by })
}

impl Fault for TimersLate {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        for host in hosts {
            control.delay_timers(*host, nanos(self.by));
        }
        format!("{}, by up to {}", crate::names(control, hosts), show(self.by))
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        for host in hosts {
            control.undelay_timers(*host);
        }
        control.over("timers_late", hosts);
    }
}
