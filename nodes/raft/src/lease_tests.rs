//! The lease alone, against a model of voters whose clocks run apart: no majority can vote while it
//! lasts. And the format of the stamp.

use super::*;
use proptest::prelude::*;

const TICK: Duration = Duration::from_millis(10);

fn lease(voters: u64, drift_ppm: u32) -> Lease {
    let voters: Vec<u64> = (1..=voters).collect();
    let mut lease = Lease::new(1, Promise::new(TICK, 15), Ratio(drift_ppm));
    lease.follows(&voters, &[]);
    lease.begin();
    lease
}

fn ms(n: u64) -> Mono {
    Mono(n * 1_000_000)
}

#[test]
fn it_counts_from_the_stamp_that_a_quorum_returned() {
    let mut lease = lease(5, 10_000);
    lease.returned(2, ms(100), ms(101));
    assert!(!lease.holds(ms(101)), "two of five are no majority");
    lease.returned(3, ms(50), ms(102));
    // 140 ms, which is the promise of 15 ticks less one, less 1 %.
    assert_eq!(lease.until(), Mono(50_000_000 + 138_600_000));
    lease.returned(4, ms(90), ms(103));
    assert_eq!(lease.until(), Mono(90_000_000 + 138_600_000));
    lease.returned(5, ms(95), ms(103));
    lease.returned(5, ms(95), ms(104));
    assert_eq!(lease.until(), Mono(95_000_000 + 138_600_000));
    lease.returned(4, ms(200), ms(199));
    lease.returned(9, ms(150), ms(199));
    assert_eq!(lease.until(), Mono(95_000_000 + 138_600_000), "from the future, from a stranger");
}

#[test]
fn even_clusters_need_more_than_half() {
    let mut lease = lease(4, 0);
    lease.returned(2, ms(100), ms(101));
    assert!(!lease.holds(ms(101)));
    lease.returned(3, ms(60), ms(101));
    assert_eq!(lease.until(), ms(200));
}

#[test]
fn what_is_given_up_comes_back_with_the_next_term_only() {
    let mut lease = lease(3, 0);
    lease.returned(2, ms(100), ms(101));
    assert!(lease.holds(ms(239)) && !lease.holds(ms(240)));
    assert!(lease.give_up(ms(150)) && !lease.give_up(ms(150)));
    lease.returned(2, ms(200), ms(201));
    assert!(!lease.holds(ms(201)));
    lease.begin();
    assert!(!lease.holds(ms(201)), "no stamp of the term before counts");
    lease.returned(3, ms(210), ms(211));
    assert!(lease.holds(ms(211)));
}

#[test]
fn a_single_member_asks_nobody() {
    let mut lease = lease(1, 0);
    assert!(!lease.holds(ms(5)));
    lease.extend_alone(ms(5));
    assert_eq!(lease.until(), ms(145));
    lease.extend_alone(ms(100));
    assert_eq!(lease.until(), ms(145), "not before it is needed");
    let mut three = super::tests::lease(3, 0);
    three.extend_alone(ms(5));
    assert!(!three.holds(ms(5)));
}

#[test]
fn a_joint_configuration_asks_both_halves() {
    let mut lease = lease(3, 0);
    lease.returned(2, ms(100), ms(101));
    assert_eq!(lease.until(), ms(240));
    // 4 and 5 have promised nothing, and with 1 they are the majority to come.
    assert!(lease.follows(&[1, 4, 5], &[1, 2, 3]), "it ends early");
    assert!(!lease.holds(ms(102)));
    lease.returned(4, ms(110), ms(111));
    assert_eq!(lease.until(), ms(240), "of the old ones 2 promised from 100 on");
    lease.returned(2, ms(120), ms(121));
    assert_eq!(lease.until(), ms(250), "of the new ones 4 promised from 110 on");
    assert!(!lease.follows(&[1, 4, 5], &[]));
    assert_eq!(lease.until(), ms(250));
    lease.returned(2, ms(130), ms(131));
    lease.returned(5, ms(130), ms(131));
    assert_eq!(lease.until(), ms(270));
}

#[test]
fn who_is_added_has_promised_nothing() {
    let mut lease = lease(3, 0);
    lease.returned(2, ms(100), ms(101));
    assert!(lease.follows(&[1, 2, 3, 4], &[]), "one of three others is no majority of four");
    lease.returned(4, ms(90), ms(102));
    assert_eq!(lease.until(), ms(230));
    // What a member promised before it was removed does not count when it is back.
    assert!(!lease.follows(&[1, 2], &[]));
    assert!(lease.follows(&[1, 2, 3, 4], &[]));
    assert!(!lease.holds(ms(103)));
}

#[test]
fn a_leader_that_becomes_one_of_several_asks_them() {
    let mut lease = lease(1, 0);
    lease.extend_alone(ms(5));
    assert!(lease.follows(&[1, 2], &[1]));
    lease.extend_alone(ms(6));
    assert!(!lease.holds(ms(6)));
    lease.returned(2, ms(7), ms(8));
    assert_eq!(lease.until(), ms(147));
}

#[test]
fn a_voter_that_promises_less_is_not_counted_on() {
    let asks = lease(3, 0).stamp(ms(1));
    assert!(Promise::new(TICK, 15).covers(asks) && Promise::new(TICK, 16).covers(asks));
    assert!(!Promise::new(TICK, 14).covers(asks));
}

/// A heartbeat's way to one voter and back, in true nanoseconds; `None` if it got lost.
type Trip = Option<(u64, u64)>;

/// Mostly quick, for the end of a lease is near the end of a promise only then.
fn trip() -> impl Strategy<Value = Trip> {
    let quick = (0u64..2_000_000, 0u64..20_000_000);
    let slow = (0u64..400_000_000, 0u64..400_000_000);
    prop_oneof![2 => quick.prop_map(Some), 1 => slow.prop_map(Some), 1 => Just(None)]
}

proptest! {
    #[test]
    fn a_stamp_comes_out_as_it_went_in(
        numbers in prop::collection::vec(any::<u64>(), 0..3), sent: u64, promise_ns: u64,
    ) {
        let context: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        let stamp = Stamp { sent: Mono(sent), promise_ns };
        let mut sealed = stamp.seal(&context);
        prop_assert_eq!(Stamp::take(&mut sealed), Some(stamp));
        prop_assert_eq!(&sealed[..], &context[..]);
        prop_assert_eq!(Stamp::take(&mut sealed), None);
        prop_assert_eq!(&sealed[..], &context[..]);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let _ = Stamp::take(&mut Bytes::from(bytes));
    }

    /// Clocks run at rates of their own, apart by at most the drift; heartbeats take any time on
    /// their way, and some are lost. At the end of the lease fewer than a majority may vote.
    #[test]
    fn no_majority_votes_while_it_lasts(
        voters in 2u64..8,
        drift_ppm in 0u32..100_000,
        rates in prop::collection::vec(
            prop_oneof![Just(0u64), Just(1_000_000), 0u64..=1_000_000], 8),
        beats in prop::collection::vec(prop::collection::vec(trip(), 8), 1..12),
    ) {
        // Rate of a clock: true time times (1 + share of the drift).
        let rate = |who: u64| {
            1_000_000_000_000u128
                + u128::from(drift_ppm) * u128::from(rates[who as usize - 1])
        };
        let clock = |who: u64, t: u64| (u128::from(t) * rate(who) / 1_000_000_000_000) as u64;
        let mut lease = lease(voters, drift_ppm);
        let mut heard: Vec<Vec<u64>> = vec![Vec::new(); 9];
        let mut returns = Vec::new();
        for (k, beat) in beats.iter().enumerate() {
            let sent = (k as u64 + 1) * 50_000_000;
            for voter in 2..=voters {
                if let Some((there, back)) = beat[voter as usize - 1] {
                    let at = sent + there;
                    returns.push((at + back, voter, sent, at));
                }
            }
        }
        returns.sort();
        let promise = Promise::new(TICK, 15);
        for (_, voter, _, at) in &returns {
            heard[*voter as usize].push(*at);
        }
        for (back, voter, sent, _) in returns {
            lease.returned(voter, Mono(clock(1, sent)), Mono(clock(1, back)));
            if !lease.holds(Mono(clock(1, back))) {
                continue;
            }
            // The last true moment at which the leader believes that it holds.
            let until = lease.until().0;
            let mut end = (u128::from(until) * 1_000_000_000_000 / rate(1)) as u64;
            while clock(1, end) >= until {
                end -= 1;
            }
            let least = nanos(promise.least);
            let may_vote = (2..=voters).filter(|v| {
                let last = heard[*v as usize].iter().filter(|at| **at <= end).max();
                last.is_none_or(|at| clock(*v, end) - clock(*v, *at) >= least)
            });
            prop_assert!(may_vote.count() as u64 + voters / 2 < voters);
        }
    }
}
