//! The host's clocks show multiples of `step` only, rounded down, and its timers ring on that grid: a
//! clock of jiffies, or Windows' of 15.6 ms. Things that happened one after the other happened at the
//! same time, elapsed times are zero, and two hosts disagree by a step however well they are set.
//!
//! The monotonic clock never shows less than it has shown. Where such faults overlap the greatest step
//! counts. An effect is a reading of the monotonic clock. A bound on drift, such as a lease's, has to
//! be larger than the step for as long as what it protects is short.
//!
//! Left out: clocks of which only one is coarse. Source: GetTickCount; CLOCK_MONOTONIC_COARSE.

use std::sync::Arc;
use std::time::Duration;

use host::unit::{nanos, show};
use kernel::fault::{Control, Fault};
use kernel::registry::{Word, fault};

host::settings! {
    /// The parameters of `clock_coarse`.
    pub struct Params {
        /// What readings are multiples of.
        step: Duration = "15ms", "1us..10s";
    }
}

struct ClockCoarse {
    step: Duration,
}

/// The word `clock_coarse`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "For `lasts` the host's clocks show multiples of `step`, rounded down, and its timers \
                 ring on that grid.";
    fault("clock_coarse", about, |p: Params| ClockCoarse { step: p.step })
}

impl Fault for ClockCoarse {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        for host in hosts {
            control.coarsen_clock(*host, nanos(self.step));
        }
        format!("{}, steps of {}", crate::names(control, hosts), show(self.step))
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        for host in hosts {
            control.uncoarsen_clock(*host);
        }
        control.over("clock_coarse", hosts);
    }
}
