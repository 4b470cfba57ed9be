//! A host's clocks as functions of virtual time: a monotonic one with an arbitrary origin that may
//! run fast or slow, and a wall clock on the same oscillator that may be wrong and may step.
//!
//! A change of drift is continuous: both clocks go on from where they stood, and the fraction of a
//! nanosecond is carried over, so that a drift which is changed often does not lose time. Rounding
//! is down in `mono` and up in its inverse: an alarm set by `true_time` never rings early on the
//! host's own clock. A clock that is stopped lacks from then on what passed meanwhile.
//!
//! Left out on purpose: slewing by NTP, leap seconds, cores that disagree.

use host::{Mono, Wall};

use super::{MILLION, Time};

/// The oscillator may stand almost still or run a thousand times too fast, never back.
const DRIFTS: std::ops::RangeInclusive<i64> = -999_999..=1_000_000_000;

/// The clocks of one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostClock {
    /// The wall clock's present error in nanoseconds, drift not counted.
    offset: i64,
    drift_ppm: i64,
    /// What the monotonic clock shows at virtual time zero.
    mono_origin: u64,
    /// What a right wall clock shows at virtual time zero.
    wall_base: u64,
    /// Since the last change of drift: virtual time, the clock, and millionths of a nanosecond.
    since: Time,
    mono: u64,
    fraction: u64,
    /// The oscillator stands still.
    stopped: bool,
}

impl HostClock {
    /// Clocks that run true, the wall clock `offset` nanoseconds ahead.
    pub fn new(mono_origin: u64, wall_base: u64, offset: i64) -> HostClock {
        let (since, mono, fraction, drift_ppm, stopped) = (0, mono_origin, 0, 0, false);
        HostClock { offset, drift_ppm, mono_origin, wall_base, since, mono, fraction, stopped }
    }

    /// The monotonic clock.
    pub fn mono(&self, now: Time) -> Mono {
        Mono(self.read(now).0)
    }

    /// The wall clock; never before 1970.
    pub fn wall(&self, now: Time) -> Wall {
        let right = u128::from(self.wall_base) + u128::from(self.read(now).0 - self.mono_origin);
        let shown = right as i128 + i128::from(self.offset);
        Wall(u64::try_from(shown.max(0)).unwrap_or(u64::MAX))
    }

    /// The first virtual time at which the monotonic clock shows `mono` or more; for what it showed
    /// before the last change of drift, the time of that change. A clock that stands still shows nothing new.
    pub fn true_time(&self, mono: Mono) -> Time {
        if mono == Mono::NEVER {
            return Time::MAX;
        }
        let Some(ahead) = mono.0.checked_sub(self.mono) else { return self.since };
        if self.stopped {
            return if ahead == 0 { self.since } else { Time::MAX };
        }
        let work = u128::from(ahead) * u128::from(MILLION);
        let ns = work.saturating_sub(u128::from(self.fraction)).div_ceil(self.rate());
        self.since.saturating_add(u64::try_from(ns).unwrap_or(u64::MAX))
    }

    /// How much the clocks run fast, in parts per million.
    pub fn drift_ppm(&self) -> i64 {
        self.drift_ppm
    }

    /// From `now` on the clocks run fast by that much. Alarms that wait by `true_time` must be
    /// reckoned anew.
    pub fn set_drift(&mut self, now: Time, ppm: i64) {
        (self.mono, self.fraction) = self.read(now);
        self.since = now;
        self.drift_ppm = ppm.clamp(*DRIFTS.start(), *DRIFTS.end());
    }

    /// Both clocks stand still from `now` on. Alarms that wait by `true_time` must be reckoned anew.
    pub fn stop(&mut self, now: Time) {
        (self.mono, self.fraction) = self.read(now);
        (self.since, self.stopped) = (now, true);
    }

    /// They go on from where they stood. Alarms must be reckoned anew.
    pub fn go_on(&mut self, now: Time) {
        if std::mem::replace(&mut self.stopped, false) {
            self.since = now;
        }
    }

    /// The wall clock jumps by `delta` nanoseconds.
    pub fn step_wall(&mut self, delta: i64) {
        self.offset = self.offset.saturating_add(delta);
    }

    fn rate(&self) -> u128 {
        u128::from(MILLION.saturating_add_signed(self.drift_ppm))
    }

    /// The monotonic clock and its fraction in millionths. A time before the last change of drift
    /// reads as that change.
    fn read(&self, now: Time) -> (u64, u64) {
        let past = if self.stopped { 0 } else { u128::from(now.saturating_sub(self.since)) };
        let parts = past * self.rate() + u128::from(self.fraction);
        let ns = u64::try_from(parts / u128::from(MILLION)).unwrap_or(u64::MAX);
        (self.mono.saturating_add(ns), (parts % u128::from(MILLION)) as u64)
    }
}
