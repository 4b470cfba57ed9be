//! A directed link between two hosts: latency by quantiles, bandwidth, loss, cuts.
//!
//! Frames queue behind each other for the bandwidth (`free_at`) and then travel for a drawn
//! latency. On a stream, loss is what TCP makes of it: a delay, one retransmission timeout per loss
//! in a row, each twice the one before up to a ceiling; and no frame arrives before its
//! predecessor. A datagram is lost or overtakes. A cut link is a black hole: a stream's frame is
//! held and the kernel tries again after `retry_delay`, a datagram is gone. Cuts nest, so that two
//! overlapping faults heal independently.
//!
//! The number of losses in a row comes from one draw, by geometric subdivision, so that a frame
//! costs the same two draws whatever the loss rate: raising the loss shifts no other draw.
//!
//! Left out on purpose: congestion windows, fast retransmit, bandwidth used up by retransmissions,
//! shared switches; what faults do to single frames is in `world/strain/frames`. Source: RFC 6298 for the
//! timeouts.

use host::unit::{Quantiles, Rate, Ratio};

use super::{MILLION, Time, transfer_ns};

/// After this many losses in a row a stream's frame counts as held, as Linux gives up
/// (`tcp_retries2`).
const MOST_LOSSES: u32 = 15;

/// What a link does to frames.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkLaw {
    /// Time from the last byte sent to its arrival.
    pub latency: Quantiles,
    /// Bytes per second; zero is unlimited.
    pub bandwidth: Rate,
    /// The share of frames that are lost.
    pub loss: Ratio,
    /// The first retransmission timeout.
    pub retransmit_ns: u64,
    /// The ceiling of the doubling timeouts.
    pub retransmit_max_ns: u64,
}

impl LinkLaw {
    /// The wait before attempt number `attempt` (from 0) is repeated: doubling up to the ceiling.
    pub fn retry_delay(&self, attempt: u32) -> u64 {
        let factor = 1u64.checked_shl(attempt).unwrap_or(u64::MAX);
        self.retransmit_ns
            .saturating_mul(factor)
            .min(self.retransmit_max_ns.max(self.retransmit_ns))
    }
}

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It arrives at that time.
    Arrives(Time),
    /// It is lost.
    Lost,
    /// It did not get through; the kernel tries again after `retry_delay`.
    Held,
}

/// One direction between two hosts.
#[derive(Clone, Debug, Default)]
pub struct Link {
    /// How it behaves in fair weather.
    pub law: LinkLaw,
    /// Latency that a fault adds.
    pub extra_latency_ns: u64,
    /// Loss that a fault puts in place of the law's.
    pub loss: Option<Ratio>,
    /// Bandwidth that a fault puts in place of the law's.
    pub bandwidth: Option<Rate>,
    cut: u32,
    free_at: Time,
}

impl Link {
    /// A whole and idle link.
    pub fn new(law: LinkLaw) -> Link {
        Link { law, ..Link::default() }
    }

    /// Cuts the link; cuts nest.
    pub fn cut(&mut self) {
        self.cut += 1;
    }

    /// Takes one cut back.
    ///
    /// # Panics
    /// If the link was whole.
    pub fn heal(&mut self) {
        assert!(self.cut > 0, "heal without cut");
        self.cut -= 1;
    }

    /// Whether nothing gets through.
    pub fn is_cut(&self) -> bool {
        self.cut > 0
    }

    /// How long a frame sent now waits for the frames before it.
    pub fn backlog_ns(&self, now: Time) -> u64 {
        self.free_at.saturating_sub(now)
    }

    /// Sends a frame of a stream. When it arrives is said as if it were alone; it waits there for
    /// the stream's frames before it (`in_order`).
    pub fn transmit(
        &mut self,
        now: Time,
        bytes: u64,
        draw_latency: u64,
        draw_loss: u64,
    ) -> Verdict {
        let losses = self.losses(draw_loss);
        if self.is_cut() || losses > MOST_LOSSES {
            return Verdict::Held;
        }
        let retransmit: u64 =
            (0..losses).fold(0, |sum, n| self.law.retry_delay(n).saturating_add(sum));
        Verdict::Arrives(self.arrival(now, bytes, draw_latency).saturating_add(retransmit))
    }

    /// When the reader gets a stream's frame that arrives alone at `arrives`, held up by `late` on
    /// its way, where `last` is when it got the one before. Frames that are held up alike are so
    /// side by side: a stream is late by `late` and not by that much more with each frame.
    pub fn in_order(arrives: Time, late: Time, last: Time) -> Time {
        arrives.saturating_add(late).max(last)
    }

    /// Sends a datagram. A lost one has used its bandwidth all the same.
    pub fn transmit_datagram(
        &mut self,
        now: Time,
        bytes: u64,
        draw_latency: u64,
        draw_loss: u64,
    ) -> Verdict {
        if self.is_cut() {
            return Verdict::Lost;
        }
        let arrives = self.arrival(now, bytes, draw_latency);
        if self.losses(draw_loss) > 0 { Verdict::Lost } else { Verdict::Arrives(arrives) }
    }

    /// Queues the bytes and adds the way.
    fn arrival(&mut self, now: Time, bytes: u64, draw_latency: u64) -> Time {
        let rate = self.bandwidth.unwrap_or(self.law.bandwidth);
        self.free_at = self.free_at.max(now).saturating_add(transfer_ns(bytes, rate));
        let way = self.law.latency.at(draw_latency).saturating_add(self.extra_latency_ns);
        self.free_at.saturating_add(way)
    }

    /// Whether a frame with this draw is lost at least once.
    pub fn loses(&self, draw: u64) -> bool {
        self.losses(draw) > 0
    }

    /// Losses in a row: at least `n` of them with the loss rate to the power of `n`.
    fn losses(&self, draw: u64) -> u32 {
        let ppm = u128::from(self.loss.unwrap_or(self.law.loss).0.min(MILLION as u32));
        let mut bar: u128 = 1 << 64;
        for n in 0..=MOST_LOSSES {
            bar = bar * ppm / u128::from(MILLION);
            if u128::from(draw) >= bar {
                return n;
            }
        }
        MOST_LOSSES + 1
    }
}
