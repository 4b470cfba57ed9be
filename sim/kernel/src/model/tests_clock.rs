//! Properties of a host's clocks: the monotonic one goes on under every change of drift, an alarm
//! reckoned by its inverse rings at the first nanosecond that is late enough, and a step of the
//! wall clock is seen by nobody else.

use host::Mono;
use proptest::prelude::*;

use super::clock::HostClock;

fn drifts() -> impl Strategy<Value = Vec<(u64, i64)>> {
    prop::collection::vec((0u64..10_000_000_000, -1_200_000i64..2_000_000), 0..10)
}

proptest! {
    #[test]
    fn the_monotonic_clock_never_goes_back(
        origin in 0u64..1 << 60, drifts in drifts(),
        looks in prop::collection::vec(0u64..5_000, 0..5),
    ) {
        let mut clock = HostClock::new(origin, 0, 0);
        let (mut now, mut last) = (0, clock.mono(0));
        prop_assert_eq!(last, Mono(origin));
        for (dt, ppm) in drifts {
            for look in &looks {
                let shown = clock.mono(now + (*look).min(dt));
                prop_assert!(shown >= clock.mono(now));
            }
            now += dt;
            let before = clock.mono(now);
            prop_assert!(before >= last);
            clock.set_drift(now, ppm);
            prop_assert_eq!(clock.mono(now), before);
            last = before;
        }
    }

    #[test]
    fn an_alarm_is_never_early_and_never_a_nanosecond_late(
        origin in 0u64..1 << 60, drifts in drifts(), ahead in 0u64..1 << 40,
    ) {
        let mut clock = HostClock::new(origin, 0, 0);
        let mut now = 0;
        for (dt, ppm) in drifts {
            now += dt;
            clock.set_drift(now, ppm);
        }
        let wanted = Mono(clock.mono(now).0 + ahead);
        let at = clock.true_time(wanted);
        prop_assert!(at >= now);
        prop_assert!(clock.mono(at) >= wanted);
        prop_assert!(at == now || clock.mono(at - 1) < wanted);
    }

    #[test]
    fn a_clock_that_was_stopped_lacks_the_time_and_goes_on_from_where_it_stood(
        origin in 0u64..1 << 60, ppm in -900_000i64..900_000, before in 0u64..1 << 40,
        stands in 0u64..1 << 40, after in 0u64..1 << 40, ahead in 1u64..1 << 40,
    ) {
        let mut clock = HostClock::new(origin, 0, 0);
        clock.set_drift(0, ppm);
        let never = clock.clone();
        clock.stop(before);
        let (stood, wall) = (clock.mono(before), clock.wall(before));
        prop_assert_eq!(stood, never.mono(before));
        prop_assert_eq!((clock.mono(before + stands), clock.wall(before + stands)), (stood, wall));
        prop_assert_eq!(clock.true_time(Mono(stood.0 + ahead)), u64::MAX);
        prop_assert!(clock.true_time(stood) <= before);
        clock.go_on(before + stands);
        prop_assert_eq!(clock.mono(before + stands + after), never.mono(before + after));
        let at = clock.true_time(Mono(stood.0 + ahead));
        prop_assert!(at >= before + stands && clock.mono(at).0 >= stood.0 + ahead);
    }

    #[test]
    fn changing_the_drift_to_what_it_is_changes_nothing(
        ppm in -900_000i64..900_000, times in prop::collection::vec(0u64..1_000_000, 1..50),
    ) {
        let mut often = HostClock::new(5, 0, 0);
        often.set_drift(0, ppm);
        let once = often.clone();
        let mut now = 0;
        for dt in times {
            now += dt;
            often.set_drift(now, ppm);
            prop_assert_eq!(often.mono(now + 77), once.mono(now + 77));
        }
    }

    #[test]
    fn only_the_wall_clock_steps(
        at in 0u64..1 << 50, step in -(1i64 << 40)..1 << 40, offset in -999i64..999,
    ) {
        let mut clock = HostClock::new(1 << 33, 1 << 60, offset);
        let (mono, wall) = (clock.mono(at), clock.wall(at));
        prop_assert_eq!(wall.0, ((1u64 << 60) + at).checked_add_signed(offset).unwrap());
        clock.step_wall(step);
        prop_assert_eq!(clock.mono(at), mono);
        prop_assert_eq!(clock.wall(at).0, wall.0.checked_add_signed(step).unwrap());
    }
}

#[test]
fn never_is_never() {
    assert_eq!(HostClock::new(7, 0, 0).true_time(Mono::NEVER), u64::MAX);
}
