//! The host's wall clock jumps by `by`, forwards or backwards, and when the fault ends it jumps back
//! by as much: somebody sets the time, and NTP or somebody else sets it right. The monotonic clock
//! does not notice. A node that reckons leases or timeouts with the wall clock is found out.
//!
//! Jepsen's `bump` never jumps back; with `lasts` at zero this one does so only at the heal. Jumps
//! that overlap add up, and each takes back only its own. An effect is a reading of the wall clock
//! while it is off; on a node that never reads it there is none.
//!
//! Left out: slewing, leap seconds, clocks that are set by small steps.

use std::sync::Arc;
use std::time::Duration;

use host::settings::Word as Choice;
use host::unit::{nanos, show};
use kernel::fault::{Control, Fault};
use kernel::registry::{Word, fault};

host::settings! {
    /// The parameters of `clock_step`.
    pub struct Params {
        /// How far the wall clock jumps.
        by: Duration = "1s", "0ns..24h";
        /// Where to.
        direction: Choice = "forwards", "forwards|backwards";
    }
}

struct ClockStep {
    by: Duration,
    direction: &'static str,
}

/// The word `clock_step`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "The host's wall clock jumps by `by`, and back after `lasts`; its monotonic clock \
                 does not notice.";
    fault("clock_step", about, |p: Params| ClockStep { by: p.by, direction: p.direction.0 })
}

impl ClockStep {
    /// The jump, in nanoseconds.
    fn ns(&self) -> i64 {
        let ns = i64::try_from(nanos(self.by)).unwrap_or(i64::MAX);
        if self.direction == "backwards" { -ns } else { ns }
    }
}

impl Fault for ClockStep {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        for host in hosts {
            control.step_clock(*host, self.ns());
        }
        let (names, by) = (crate::names(control, hosts), show(self.by));
        format!("{names}, {by} {}", self.direction)
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        for host in hosts {
            control.unstep_clock(*host);
        }
        control.over("clock_step", hosts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwards_and_backwards_are_opposites() {
        let fault = |direction| ClockStep { by: Duration::from_secs(2), direction };
        let (there, back) = (fault("forwards").ns(), fault("backwards").ns());
        assert_eq!((there, back), (2_000_000_000, -2_000_000_000));
    }
}
