//! Properties of the law of shared servers: every job ends once and in its key's order, no server
//! idles while it could work, backlogged keys stay within a quantum of each other, and neither a
//! freeze nor the moments at which somebody looks change anything else.

use proptest::prelude::*;

use super::Time;
use super::share::Share;

const QUANTUM: u64 = 10;
/// Look at every event.
const EVERY: [u8; 1] = [1];

#[derive(Clone, Debug)]
enum Op {
    Submit(u8, u64),
    Freeze(u64),
    FreezeKey(u8, u64),
    Speed(u32),
    Drop(u8),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0u8..5, 0u64..60).prop_map(|(k, d)| Op::Submit(k, d)),
        1 => (0u64..40).prop_map(Op::Freeze),
        1 => (0u8..5, 0u64..40).prop_map(|(k, d)| Op::FreezeKey(k, d)),
        1 => prop_oneof![Just(1_000_000u32), 300_000u32..3_000_000].prop_map(Op::Speed),
        1 => (0u8..5).prop_map(Op::Drop),
    ]
}

fn script() -> impl Strategy<Value = Vec<(u64, Op)>> {
    prop::collection::vec((0u64..30, op()), 1..40)
}

/// What happened: completions with their times if every event was looked at, and what was dropped.
#[derive(Debug, Default, PartialEq, Eq)]
struct Story {
    done: Vec<(Time, u64)>,
    dropped: Vec<u64>,
}

impl Story {
    /// Lets the share come to `until`, event by event.
    fn advance(&mut self, share: &mut Share<u8>, until: Time) {
        while let Some(at) = share.next().filter(|at| *at <= until) {
            self.collect(share, at);
        }
        self.collect(share, until);
    }

    fn collect(&mut self, share: &mut Share<u8>, at: Time) {
        let mut done = Vec::new();
        share.advance(at, &mut done);
        self.done.extend(done.into_iter().map(|job| (at, job)));
    }

    fn after(&self, at: Time) -> Vec<(Time, u64)> {
        self.done.iter().copied().filter(|d| d.0 > at).collect()
    }

    fn order(&self) -> Vec<u64> {
        self.done.iter().map(|d| d.1).collect()
    }
}

/// The script's operations at absolute times, with the end of each freeze as an operation of its
/// own.
fn timeline(script: &[(u64, Op)]) -> Vec<(Time, bool, Op)> {
    let mut at = 0;
    let mut line = Vec::new();
    for (dt, op) in script {
        at += dt;
        line.push((at, true, op.clone()));
        if let Op::Freeze(span) | Op::FreezeKey(_, span) = op {
            line.push((at + span, false, op.clone()));
        }
    }
    line.sort_by_key(|l| l.0);
    line
}

/// Plays a script. Before an operation the events up to it are looked at where `looks` is not zero,
/// by the operation's number modulo its length; behind the script all are.
fn play(servers: u32, line: &[(Time, bool, Op)], looks: &[u8]) -> Story {
    let mut share = Share::new(servers, QUANTUM);
    let mut story = Story::default();
    let mut frozen = [0u32; 5];
    for (job, (at, begins, op)) in line.iter().enumerate() {
        if looks.get(job % looks.len().max(1)).is_some_and(|look| *look > 0) {
            story.advance(&mut share, *at);
        }
        match (op, begins) {
            (Op::Submit(key, demand), _) => share.submit(*at, *key, job as u64, *demand),
            (Op::Freeze(_), true) => share.freeze(*at),
            (Op::Freeze(_), false) => share.thaw(*at),
            (Op::FreezeKey(key, _), true) => {
                frozen[*key as usize] += 1;
                share.freeze_key(*at, *key);
            }
            (Op::FreezeKey(key, _), false) if frozen[*key as usize] > 0 => {
                frozen[*key as usize] -= 1;
                share.thaw_key(*at, *key);
            }
            (Op::FreezeKey(..), false) => {}
            (Op::Speed(ppm), _) => share.set_speed(*at, *ppm),
            (Op::Drop(key), _) => {
                frozen[*key as usize] = 0;
                story.dropped.extend(share.drop_keys(*at, |k| k == *key));
            }
        }
    }
    story.advance(&mut share, 1_000_000);
    assert_eq!((share.next(), share.busy()), (None, 0));
    story
}

fn submitted(line: &[(Time, bool, Op)]) -> Vec<(u64, u8)> {
    let key = |(job, l): (usize, &(Time, bool, Op))| match l.2 {
        Op::Submit(key, _) => Some((job as u64, key)),
        _ => None,
    };
    line.iter().enumerate().filter_map(key).collect()
}

/// Every key gets jobs of one nanosecond each, all at time zero.
fn backlog(share: &mut Share<u8>, keys: u8, jobs: u64) {
    for key in 0..keys {
        for job in 0..jobs {
            share.submit(0, key, u64::from(key) * jobs + job, 1);
        }
    }
}

proptest! {
    #[test]
    fn every_job_ends_once_and_in_its_keys_order(servers in 1u32..5, script in script()) {
        let line = timeline(&script);
        let story = play(servers, &line, &EVERY);
        let mut ended = story.order();
        ended.extend(&story.dropped);
        ended.sort_unstable();
        let jobs = submitted(&line);
        prop_assert_eq!(ended, jobs.iter().map(|j| j.0).collect::<Vec<_>>());
        for key in 0..5 {
            let mine = |job: &u64| jobs.contains(&(*job, key));
            let done: Vec<u64> = story.order().into_iter().filter(mine).collect();
            prop_assert!(done.is_sorted(), "key {}: {:?}", key, done);
        }
        prop_assert!(story.done.is_sorted_by_key(|d| d.0));
    }

    #[test]
    fn looking_changes_nothing(
        servers in 1u32..5, script in script(), looks in prop::collection::vec(0u8..2, 1..9),
    ) {
        let line = timeline(&script);
        let story = play(servers, &line, &EVERY);
        for looked in [play(servers, &line, &[]), play(servers, &line, &looks)] {
            prop_assert_eq!(story.order(), looked.order());
            prop_assert_eq!(&story.dropped, &looked.dropped);
            // Behind the script both look at every event, so the times are those of the events.
            let last = line.last().unwrap().0;
            prop_assert_eq!(story.after(last), looked.after(last));
        }
    }

    #[test]
    fn one_key_takes_the_sum_of_its_demands(
        servers in 1u32..5, demands in prop::collection::vec(0u64..99, 1..20),
    ) {
        let mut share = Share::new(servers, QUANTUM);
        let mut story = Story::default();
        let mut sum = 0;
        let mut expected = Vec::new();
        for (job, demand) in demands.iter().enumerate() {
            share.submit(0, 0, job as u64, *demand);
            sum += demand;
            expected.push((sum, job as u64));
        }
        prop_assert!(share.busy() <= 1);
        story.advance(&mut share, 1_000_000);
        prop_assert_eq!(story.done, expected);
    }

    #[test]
    fn no_server_idles_while_a_key_could_use_it(
        servers in 1u32..5, jobs in prop::collection::vec((0u8..6, 1u64..99), 1..40),
    ) {
        let mut share = Share::new(servers, QUANTUM);
        let mut sums = [0u64; 6];
        for (job, (key, demand)) in jobs.iter().enumerate() {
            share.submit(0, *key, job as u64, *demand);
            sums[*key as usize] += demand;
        }
        let (k, total) = (u64::from(servers), sums.iter().sum::<u64>());
        let longest = sums.iter().copied().max().unwrap();
        let mut end = 0;
        while let Some(at) = share.next() {
            let backlogged = (0..6).filter(|key| share.queued(*key) > 0).count() as u32;
            prop_assert_eq!(share.busy(), servers.min(backlogged));
            share.advance(at, &mut Vec::new());
            end = at;
        }
        prop_assert!(end >= longest.max(total.div_ceil(k)));
        prop_assert!(end * k <= total + longest * (k - 1));
    }

    #[test]
    fn backlogged_keys_stay_within_a_quantum(servers in 1u32..4, keys in 2u8..6, at in 0u64..400) {
        let mut share = Share::new(servers, QUANTUM);
        backlog(&mut share, keys, 500);
        let mut done = Vec::new();
        share.advance(at, &mut done);
        let mut served = vec![0u64; usize::from(keys)];
        for job in done {
            served[(job / 500) as usize] += 1;
        }
        let busy = u64::from(servers).min(u64::from(keys));
        prop_assert_eq!(served.iter().sum::<u64>(), busy * at);
        let spread = served.iter().max().unwrap() - served.iter().min().unwrap();
        prop_assert!(spread <= QUANTUM, "{:?}", served);
    }

    #[test]
    fn a_freeze_shifts_what_comes_after_it_and_nothing_else(
        servers in 1u32..5, jobs in prop::collection::vec((0u8..6, 0u64..99), 1..30),
        from in 0u64..300, span in 0u64..200, nested in 0u64..200,
    ) {
        let run = |freeze: bool| {
            let mut share = Share::new(servers, QUANTUM);
            let mut story = Story::default();
            for (job, (key, demand)) in jobs.iter().enumerate() {
                share.submit(0, *key, job as u64, *demand);
            }
            if freeze {
                story.advance(&mut share, from);
                share.freeze(from);
                share.freeze(from + nested.min(span));
                share.thaw(from + span);
                share.thaw(from + span);
            }
            story.advance(&mut share, 1_000_000);
            story.done
        };
        let shift = |(at, job): (Time, u64)| (if at > from { at + span } else { at }, job);
        prop_assert_eq!(run(true), run(false).into_iter().map(shift).collect::<Vec<_>>());
    }

    #[test]
    fn a_frozen_key_leaves_its_share_to_the_others(
        servers in 1u32..4, jobs in prop::collection::vec((0u8..4, 1u64..99), 1..30),
        own in 1u64..99, before in any::<bool>(),
    ) {
        let run = |with_frozen: bool| {
            let mut share = Share::new(servers, QUANTUM);
            let mut story = Story::default();
            if with_frozen && before {
                share.submit(0, 9, 999, own);
            }
            if with_frozen {
                share.freeze_key(0, 9);
            }
            if with_frozen && !before {
                share.submit(0, 9, 999, own);
            }
            for (job, (key, demand)) in jobs.iter().enumerate() {
                share.submit(0, *key, job as u64, *demand);
            }
            story.advance(&mut share, 10_000);
            if with_frozen {
                assert_eq!(share.queued(9), 1);
                share.thaw_key(10_000, 9);
                story.advance(&mut share, 20_000);
                assert_eq!(story.done.pop(), Some((10_000 + own, 999)));
            }
            story
        };
        prop_assert_eq!(run(true), run(false));
    }

    #[test]
    fn work_is_the_integral_of_speed(
        demand in 1u64..5_000, speeds in prop::collection::vec((1u64..500, 1u32..3_000_000), 0..20),
    ) {
        let mut share = Share::new(2, QUANTUM);
        let mut story = Story::default();
        share.submit(0, 0, 7, demand);
        let (mut at, mut speed, mut work) = (0u64, 1_000_000u32, 0u128);
        let all = u128::from(demand) * 1_000_000;
        for (dt, next) in speeds {
            if work + u128::from(dt) * u128::from(speed) >= all {
                break;
            }
            work += u128::from(dt) * u128::from(speed);
            at += dt;
            speed = next;
            share.set_speed(at, next);
        }
        story.advance(&mut share, Time::MAX);
        let end = at + u64::try_from((all - work).div_ceil(u128::from(speed))).unwrap();
        prop_assert_eq!(story.done, vec![(end, 7)]);
    }
}

#[test]
fn an_uncontended_long_job_is_one_event() {
    let mut share = Share::new(1, QUANTUM);
    share.submit(0, 1, 1, 1_000_000);
    assert_eq!(share.next(), Some(1_000_000));
    // The slice that is running renews at multiples of the quantum, as if each end had been an
    // event.
    share.submit(25, 2, 2, 3);
    assert_eq!(share.next(), Some(30));
    let mut done = Vec::new();
    share.advance(33, &mut done);
    assert_eq!(done, [2]);
    assert_eq!(share.next(), Some(1_000_003));
}

#[test]
fn a_dropped_job_makes_way_for_the_next_of_its_key() {
    let mut share = Share::new(1, QUANTUM);
    let mut done = Vec::new();
    share.submit(0, 0u8, 1, 30);
    share.submit(0, 0u8, 2, 5);
    share.submit(0, 0u8, 3, 7);
    share.submit(0, 1u8, 4, 5);
    // Key 0 has had its slice, key 1 half of its job.
    assert!(share.drop_job(12, 0, 1));
    assert!(!share.drop_job(12, 0, 1) && !share.drop_job(12, 7, 1));
    share.advance(15, &mut done);
    assert_eq!(done, [4]);
    // The last of a queue, while it runs: its server is free for others.
    assert!(share.drop_job(16, 0, 3));
    share.advance(17, &mut done);
    assert!(share.drop_job(17, 0, 2));
    share.submit(18, 1u8, 5, 2);
    share.advance(20, &mut done);
    assert_eq!((done, share.busy(), share.next()), (vec![4, 5], 0, None));
}
