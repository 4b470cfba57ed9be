//! The host's wall clock jumps to and fro: forwards by `by`, back after `period`, and so on, as when two
//! daemons set the time against each other. The monotonic clock does not notice. What reckons with
//! two readings of the wall clock is found out far more often than by one step, for every other
//! interval has the wrong sign.
//!
//! When it ends the clock is where it would have been. Jumps of several faults add up, and each takes
//! back only its own. An effect is a reading of the wall clock while it is off. Left out: jumps that
//! differ. Source: Jepsen's `strobe` (4 ms to 262 s, every 1 ms to 1 s).

use std::sync::Arc;
use std::time::Duration;

use host::unit::{nanos, show};
use kernel::fault::{Control, Fault};
use kernel::registry::{Word, fault};

host::settings! {
    /// The parameters of `clock_strobe`.
    pub struct Params {
        /// How far the wall clock jumps.
        by: Duration = "200ms", "1us..24h";
        /// From one jump to the next.
        period: Duration = "10ms", "1ms..1h";
    }
}

struct ClockStrobe {
    by: Duration,
    period: Duration,
}

/// The word `clock_strobe`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "For `lasts` the host's wall clock jumps forwards by `by` and back again, every \
                 `period`; its monotonic clock does not notice.";
    fault("clock_strobe", about, |p: Params| ClockStrobe { by: p.by, period: p.period })
}

impl ClockStrobe {
    fn jump(&self, control: &mut Control<'_>, hosts: &[usize], number: u64) {
        let ns = i64::try_from(nanos(self.by)).unwrap_or(i64::MAX);
        for host in hosts {
            control.strobe_clock(*host, ns);
        }
        control.again(nanos(self.period), number + 1);
    }
}

impl Fault for ClockStrobe {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        self.jump(control, hosts, 0);
        let (by, period) = (show(self.by), show(self.period));
        format!("{}, {by} every {period}", crate::names(control, hosts))
    }

    fn again(&self, control: &mut Control<'_>, hosts: &[usize], number: u64) {
        self.jump(control, hosts, number);
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        for host in hosts {
            control.unstep_clock(*host);
        }
        control.over("clock_strobe", hosts);
    }
}
