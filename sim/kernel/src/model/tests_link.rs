//! Properties of a link: streams keep their order, no window carries more than the bandwidth,
//! nothing is faster than the least latency, cuts nest, and losses in a row are as frequent as the
//! loss rate says.

use host::unit::{Quantiles, Rate, Ratio, parse_quantiles};
use proptest::prelude::*;

use super::link::{Link, LinkLaw, Verdict};

const LEAST_LATENCY: u64 = 60_000;

fn law(bandwidth: u64, loss: u32) -> LinkLaw {
    LinkLaw {
        latency: parse_quantiles("p0 60us, p50 90us, p99 400us, p100 2ms").unwrap(),
        bandwidth: Rate(bandwidth),
        loss: Ratio(loss),
        retransmit_ns: 200_000_000,
        retransmit_max_ns: 2_000_000_000,
    }
}

fn frames() -> impl Strategy<Value = Vec<(u64, u64, u64, u64)>> {
    prop::collection::vec((0u64..500_000, 0u64..2_000_000, any::<u64>(), any::<u64>()), 1..50)
}

proptest! {
    #[test]
    fn a_stream_keeps_its_order(
        bandwidth in prop_oneof![Just(0), 1u64..1 << 32], loss in 0u32..500_000, frames in frames(),
    ) {
        let mut link = Link::new(law(bandwidth, loss));
        let (mut now, mut last) = (0, 0);
        for (dt, bytes, latency, lost) in frames {
            now += dt;
            let verdict = link.transmit(now, bytes, latency, lost);
            let Verdict::Arrives(alone) = verdict else { continue };
            let at = Link::in_order(alone, 0, last);
            prop_assert!(at >= last);
            prop_assert!(at >= now + LEAST_LATENCY);
            last = at;
        }
    }

    #[test]
    fn frames_that_are_held_up_alike_delay_a_stream_once(
        late in 0u64..1 << 30, loss in 0u32..500_000, frames in frames(),
    ) {
        let mut link = Link::new(law(0, loss));
        let (mut now, mut last, mut alone) = (0, 0, 0);
        for (dt, bytes, latency, lost) in frames {
            now += dt;
            let verdict = link.transmit(now, bytes, latency, lost);
            let Verdict::Arrives(at) = verdict else { continue };
            last = Link::in_order(at, late, last);
            alone = Link::in_order(at, 0, alone);
            prop_assert_eq!(last, alone + late);
        }
    }

    #[test]
    fn no_window_carries_more_than_the_bandwidth(bandwidth in 1u64..1 << 34, frames in frames()) {
        let mut law = law(bandwidth, 0);
        law.latency = Quantiles::default();
        let mut link = Link::new(law);
        let mut now = 0;
        // The arrivals, each with the bytes up to and with it; without latency they are the
        // sending.
        let mut sent: Vec<(u64, u64)> = Vec::new();
        for (dt, bytes, latency, lost) in frames {
            now += dt;
            let Verdict::Arrives(at) = link.transmit_datagram(now, bytes, latency, lost) else {
                panic!("lost without loss");
            };
            prop_assert_eq!(link.backlog_ns(now), at - now);
            sent.push((at, sent.last().map_or(0, |s| s.1) + bytes));
        }
        for (i, first) in sent.iter().enumerate() {
            for later in &sent[i..] {
                let allowed = u128::from(later.0 - first.0) * u128::from(bandwidth) / 1_000_000_000;
                prop_assert!(u128::from(later.1 - first.1) <= allowed);
            }
        }
    }

    #[test]
    fn a_link_without_limit_is_latency_alone(bytes in any::<u64>(), draw in any::<u64>()) {
        let mut link = Link::new(law(0, 0));
        link.extra_latency_ns = 5;
        let expected = 1_000 + link.law.latency.at(draw) + 5;
        prop_assert_eq!(link.transmit(1_000, bytes, draw, 0), Verdict::Arrives(expected));
        prop_assert_eq!(Link::in_order(expected, 8, expected + 9), expected + 9);
        prop_assert_eq!(Link::in_order(expected, 10, expected + 9), expected + 10);
    }

    #[test]
    fn a_cut_holds_streams_and_swallows_datagrams(cuts in 1u32..5, frames in frames()) {
        let mut link = Link::new(law(1 << 20, 0));
        (0..cuts).for_each(|_| link.cut());
        for _ in 0..cuts {
            for (now, bytes, latency, lost) in &frames {
                let stream = link.transmit(*now, *bytes, *latency, *lost);
                let datagram = link.transmit_datagram(*now, *bytes, *latency, *lost);
                prop_assert_eq!((stream, datagram), (Verdict::Held, Verdict::Lost));
                prop_assert_eq!(link.backlog_ns(*now), 0);
            }
            link.heal();
        }
        prop_assert!(!link.is_cut());
        prop_assert!(matches!(link.transmit(0, 1, 0, 0), Verdict::Arrives(_)));
    }

    #[test]
    fn more_loss_delays_more(a in 0u32..1_000_000, b in 0u32..1_000_000, draw in any::<u64>()) {
        let arrival = |loss| match Link::new(law(0, loss)).transmit(0, 1, 0, draw) {
            Verdict::Arrives(at) => at,
            _ => u64::MAX,
        };
        prop_assert!(arrival(a.min(b)) <= arrival(a.max(b)));
    }
}

#[test]
fn losses_in_a_row_follow_the_loss_rate() {
    let law = law(0, 250_000);
    let mut counts = [0u32; 4];
    let draws = 1u64 << 16;
    for i in 0..draws {
        let Verdict::Arrives(at) = Link::new(law.clone()).transmit(0, 1, 0, i << 48) else {
            continue;
        };
        let delay = (at - LEAST_LATENCY) / 200_000_000;
        // 0, 1, 1 + 2, 1 + 2 + 4 timeouts.
        if let Some(n) = [0, 1, 3, 7].iter().position(|d| *d == delay) {
            counts[n] += 1;
        }
    }
    // A share of 3/4, and each next one a quarter of it.
    assert_eq!(counts, [49_152, 12_288, 3_072, 768]);
}

#[test]
fn a_link_that_loses_everything_is_a_cut_one() {
    let mut link = Link::new(law(0, 0));
    link.loss = Some(Ratio(1_000_000));
    assert_eq!(link.transmit(0, 1, 0, u64::MAX), Verdict::Held);
    assert_eq!(link.transmit_datagram(0, 1, 0, u64::MAX), Verdict::Lost);
}

#[test]
fn timeouts_double_up_to_the_ceiling() {
    let law = law(0, 0);
    let delays: Vec<u64> = (0..6).map(|n| law.retry_delay(n) / 1_000_000).collect();
    assert_eq!(delays, [200, 400, 800, 1_600, 2_000, 2_000]);
    assert_eq!(law.retry_delay(u32::MAX), 2_000_000_000);
}
