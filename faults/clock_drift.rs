//! The host's oscillator runs fast or slow for a while: a crystal that is hot, a virtual machine that
//! is starved of ticks. Both of its clocks go on from where they stood, at another rate, and what
//! waits for a time on them waits for that time on them: longer or shorter than the others believe.
//!
//! Drifts that overlap on a host add up with each other and with the clock's own from the profile;
//! each takes back only its own. What was gained or lost stays: only the rate returns to what it was.
//! An effect is a reading of a clock that drifts, a timer that is set on it, or one that waited already.
//!
//! Left out: slewing by NTP, and cores whose counters disagree. Source: Jepsen's `clock-skew`, and
//! the drift bounds that leases are reckoned with.

use std::sync::Arc;

use host::settings::Word as Choice;
use host::unit::{Ratio, show_ratio};
use kernel::fault::{Control, Fault};
use kernel::registry::{Word, fault};

host::settings! {
    /// The parameters of `clock_drift`.
    pub struct Params {
        /// By how much the clocks run fast or slow.
        by: Ratio = "0.1%", "0%..50%";
        /// Which of the two.
        direction: Choice = "fast", "fast|slow";
    }
}

struct ClockDrift {
    by: Ratio,
    direction: &'static str,
}

/// The word `clock_drift`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "The host's clocks run fast or slow by `by` for `lasts`.";
    fault("clock_drift", about, |p: Params| ClockDrift { by: p.by, direction: p.direction.0 })
}

impl ClockDrift {
    /// Parts per million by which the clocks run fast.
    fn ppm(&self) -> i64 {
        let ppm = i64::from(self.by.0);
        if self.direction == "slow" { -ppm } else { ppm }
    }
}

impl Fault for ClockDrift {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        for host in hosts {
            control.drift_clock(*host, self.ppm());
        }
        let (names, by) = (crate::names(control, hosts), show_ratio(self.by));
        format!("{names}, {by} {}", self.direction)
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        for host in hosts {
            control.undrift_clock(*host);
        }
        control.over("clock_drift", hosts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fast_and_slow_are_opposites() {
        let fault = |direction| ClockDrift { by: Ratio(4_000), direction };
        assert_eq!((fault("fast").ppm(), fault("slow").ppm()), (4_000, -4_000));
    }
}
