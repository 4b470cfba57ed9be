//! Clocks and alarms. Every host has its own: a monotonic clock with an arbitrary origin, which may drift,
//! and a wall clock, which may be wrong and may step. Node code has no other; `std::time` is banned there.
//! A sleep is never early; how late it may be is the arm's business and the conformance suite's.

use std::future::Future;
use std::ops::{Add, Sub};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::arm::{Arm, Op, OpFuture};

/// A point on a host's monotonic clock, in nanoseconds since an arbitrary origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mono(pub u64);

impl Mono {
    /// A point that is never reached.
    pub const NEVER: Mono = Mono(u64::MAX);

    /// Time from `earlier` to here; zero if it lies later.
    pub fn since(self, earlier: Mono) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Mono {
    type Output = Mono;
    fn add(self, d: Duration) -> Mono {
        Mono(self.0.saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Mono {
    type Output = Mono;
    fn sub(self, d: Duration) -> Mono {
        Mono(self.0.saturating_sub(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// A point on a host's wall clock, in nanoseconds since 1970 as this host believes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wall(pub u64);

/// The host's clocks.
#[derive(Clone)]
pub struct Clock {
    arm: Arc<dyn Arm>,
}

impl Clock {
    pub(crate) fn new(arm: Arc<dyn Arm>) -> Clock {
        Clock { arm }
    }

    /// The monotonic clock.
    pub fn now(&self) -> Mono {
        self.arm.now()
    }

    /// The wall clock.
    pub fn wall(&self) -> Wall {
        self.arm.wall()
    }

    /// Sleeps until `until`, never less.
    pub async fn sleep_until(&self, until: Mono) {
        if until > self.now() {
            let _ = OpFuture::new(self.arm.clone(), Op::Sleep { until }).await;
        }
    }

    /// Sleeps for `span`, never less.
    pub async fn sleep(&self, span: Duration) {
        self.sleep_until(self.now() + span).await;
    }

    /// The outcome of `work`, or `None` once `span` has passed. `work` is dropped then.
    pub async fn within<T>(&self, span: Duration, work: impl Future<Output = T>) -> Option<T> {
        let mut work = std::pin::pin!(work);
        let sleep = OpFuture::new(self.arm.clone(), Op::Sleep { until: self.now() + span });
        let mut sleep = std::pin::pin!(sleep);
        std::future::poll_fn(|cx| {
            if let Poll::Ready(out) = work.as_mut().poll(cx) {
                return Poll::Ready(Some(out));
            }
            sleep.as_mut().poll(cx).map(|_| None)
        })
        .await
    }

    /// An alarm, not set.
    pub fn alarm(&self) -> Alarm {
        Alarm { arm: self.arm.clone(), wanted: Mono::NEVER, armed: None }
    }
}

/// A clock alarm that can be set again and again. Setting it later than it is armed costs nothing: it wakes
/// once at the earlier time and sleeps on.
pub struct Alarm {
    arm: Arc<dyn Arm>,
    wanted: Mono,
    armed: Option<(Mono, OpFuture)>,
}

impl Alarm {
    /// The alarm goes off at `when`; replaces what was set before.
    pub fn set(&mut self, when: Mono) {
        self.wanted = when;
        if self.armed.as_ref().is_some_and(|(at, _)| when < *at) {
            self.armed = None;
        }
    }

    /// The alarm does not go off.
    pub fn clear(&mut self) {
        self.set(Mono::NEVER);
    }

    /// Completes when the alarm goes off, and clears it.
    pub fn poll_ring(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.wanted == Mono::NEVER {
                return Poll::Pending;
            }
            if self.arm.now() >= self.wanted {
                self.wanted = Mono::NEVER;
                return Poll::Ready(());
            }
            let until = self.wanted;
            let (_, sleep) = self.armed.get_or_insert_with(|| {
                (until, OpFuture::new(self.arm.clone(), Op::Sleep { until }))
            });
            match Pin::new(sleep).poll(cx) {
                Poll::Ready(_) => self.armed = None,
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Completes when the alarm goes off, and clears it.
    pub async fn ring(&mut self) {
        std::future::poll_fn(|cx| self.poll_ring(cx)).await;
    }
}
