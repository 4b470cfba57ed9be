//! Faults on cores and clocks, on toy nodes that know nothing of them. What a fault does is seen by the node
//! alone.

mod bench;

use bench::{CLASS, Told, effects, fault, ms, outcome, registry, told};
use host::{Addr, Host, Style};
use kernel::outcome::Outcome;

/// What a toy saw when it woke: the host, by how much later than due (virtual time, from a host that no
/// fault touches), what its clock showed, the wall clock less the monotonic one.
#[derive(Clone, Copy, Debug)]
struct Woke {
    due: u64,
    shows: u64,
    drift: i64,
}

/// Sleeps of 7 ms on every host.
async fn sleeper(host: Host, told: Told<(String, Woke)>) -> std::io::Result<()> {
    let clock = host.clock();
    let mut last = clock.now();
    loop {
        let due = clock.now() + ms(7);
        clock.sleep_until(due).await;
        let (now, wall) = (clock.now(), clock.wall());
        assert!(now >= due, "a sleep ended early on its own clock");
        assert!(now >= last, "the monotonic clock went back");
        last = now;
        let drift = wall.0 as i64 - now.0 as i64;
        let woke = Woke { due: due.0, shows: now.0, drift };
        told.lock().unwrap().push((host.name().to_string(), woke));
    }
}

fn sleeps(faults: &str, seed: u64) -> (Outcome, [Vec<Woke>; 2]) {
    let story = Told::default();
    let tells = story.clone();
    let outcome = outcome(registry(move |host, _| sleeper(host, tells.clone())), faults, seed);
    let of = |name: &str| told(&story).into_iter().filter(|w| w.0 == name).map(|w| w.1).collect();
    (outcome, ["n1", "n2"].map(of))
}

fn late_us(wakes: &[Woke]) -> Vec<u64> {
    wakes.iter().map(|w| (w.shows - w.due) / 1_000).collect()
}

#[test]
fn stolen_cores_make_threads_late_by_quanta() {
    let rest =
        "on = \"n1\"\nwhen = \"100ms\"\nlasts = \"800ms\"\nshare = \"50%\"\nquantum = \"4ms\"";
    let (mut late, mut all) = (0, 0);
    for seed in 0..6 {
        let (outcome, [hit, spared]) = sleeps(&fault("cpu_steal", rest), seed);
        let us = late_us(&hit);
        late += us.iter().filter(|us| **us > 100).count();
        all += us.len();
        assert!(late_us(&spared).iter().all(|us| *us < 100), "{spared:?}");
        assert!(effects(&outcome, "cpu_steal") > 10);
        assert_eq!(us.last().map(|us| *us < 100), Some(true), "it never ends");
    }
    // Half of the wakes of a third of the run.
    assert!((10..25).contains(&(late * 100 / all)), "{late} of {all}");
}

#[test]
fn late_timers_are_late_by_what_is_said_at_most() {
    let rest = "on = \"n1\"\nwhen = \"100ms\"\nlasts = \"500ms\"\nby = \"3ms\"";
    let (outcome, [hit, spared]) = sleeps(&fault("timers_late", rest), 1);
    let us = late_us(&hit);
    assert!(us.iter().all(|us| *us <= 3_010) && us.iter().any(|us| *us > 1_500), "{us:?}");
    assert!(late_us(&spared).iter().all(|us| *us < 100));
    assert!(effects(&outcome, "timers_late") > 20);
    assert!(us[us.len() - 20..].iter().all(|us| *us < 100), "it never ends");
}

#[test]
fn a_coarse_clock_shows_multiples_of_its_step() {
    let rest = "on = \"n1\"\nwhen = \"100ms\"\nlasts = \"500ms\"\nstep = \"15ms\"";
    let (outcome, [hit, spared]) = sleeps(&fault("clock_coarse", rest), 1);
    let coarse = |wakes: &[Woke]| wakes.iter().filter(|w| w.shows % 15_000_000 == 0).count();
    assert!((30..=36).contains(&coarse(&hit)), "{}", coarse(&hit));
    assert_eq!(coarse(&spared), 0);
    // A node that waits for a time is not polled again and again until the clock shows it.
    let polls = outcome.polls;
    let (fair, _) = sleeps("", 1);
    assert!(polls < fair.polls, "{polls} and {}", fair.polls);
    assert!(effects(&outcome, "clock_coarse") > 60);
}

#[test]
fn a_wall_clock_jumps_to_and_fro_and_ends_where_it_was() {
    let rest = "on = \"n1\"\nwhen = \"100ms\"\nlasts = \"515ms\"\nby = \"2s\"\nperiod = \"10ms\"";
    let (outcome, [hit, spared]) = sleeps(&fault("clock_strobe", rest), 1);
    let first = hit[0].drift;
    let off: Vec<bool> = hit.iter().map(|w| w.drift != first).collect();
    assert!(hit.iter().all(|w| w.drift == first || w.drift == first + 2_000_000_000));
    let changes = off.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(changes > 20 && off.last() == Some(&false), "{off:?}");
    assert!(spared.iter().all(|w| w.drift == spared[0].drift));
    let read = off.iter().filter(|off| **off).count() as u64;
    assert_eq!(effects(&outcome, "clock_strobe"), read);
}

/// n2 sends n1 a frame every 10 ms, and n1 tells what its clock shows when it takes one, in milliseconds
/// since its boot, and which frame that was.
async fn heard(host: Host, told: Told<(u64, u64)>) -> std::io::Result<()> {
    let clock = host.clock();
    let born = clock.now();
    if host.name() == "n1" {
        let listener = host.net().listen(&Addr("n1:1".into())).await?;
        let (_tx, mut rx) = listener.accept().await?.split();
        for n in 0.. {
            rx.recv().await?;
            told.lock().unwrap().push((n, clock.now().since(born).as_millis() as u64));
        }
    }
    if host.name() == "n2" {
        clock.sleep(ms(50)).await;
        let conn = host.net().dial(&Addr("n1:1".into()), ms(500), Style::Stream).await?;
        let (mut tx, _rx) = conn.split();
        loop {
            tx.send(CLASS, vec![1; 8].into()).await?;
            clock.sleep(ms(10)).await;
        }
    }
    std::future::pending().await
}

#[test]
fn a_suspended_clock_lacks_the_time() {
    for process in ["runs", "stops"] {
        let story = Told::default();
        let tells = story.clone();
        let registry = registry(move |host, _| heard(host, tells.clone()));
        let rest =
            format!("on = \"n1\"\nwhen = \"100ms\"\nlasts = \"400ms\"\nprocess = \"{process}\"");
        let outcome = outcome(registry, &fault("clock_suspended", &rest), 1);
        let all = told(&story);
        let (frames, shows) = *all.last().unwrap();
        // Frames come at 10 ms of somebody else's time.
        let lacks = (frames * 10) as i64 - shows as i64;
        assert!((300..=410).contains(&lacks), "{process}: {lacks}");
        let standing = all.windows(2).filter(|w| w[0].1 == w[1].1).count();
        assert!(standing >= 38, "{process}: {standing}, all at once after a stop");
        // A process that stands still reads no clock; its one task is held up.
        let least = if process == "runs" { 38 } else { 1 };
        assert!(effects(&outcome, "clock_suspended") >= least, "{process}");
    }
}

#[test]
fn what_nobody_asks_has_no_effect() {
    for kind in ["clock_drift", "clock_step", "clock_strobe", "clock_suspended"] {
        let registry = registry(|_, _| std::future::pending());
        let rest = "on = \"n1\"\nwhen = \"100ms\"\nlasts = \"400ms\"";
        let outcome = outcome(registry, &fault(kind, rest), 1);
        assert_eq!(effects(&outcome, kind), 0, "{kind}");
        assert!(outcome.faults.iter().any(|f| f.fired == 1), "{kind} never began");
    }
}

#[test]
fn sleeps_go_on_after_a_suspension_for_what_was_left() {
    let rest = "on = \"n1\"\nwhen = \"100ms\"\nlasts = \"400ms\"\nprocess = \"runs\"";
    let (_, [hit, spared]) = sleeps(&fault("clock_suspended", rest), 1);
    let fewer = spared.len() - hit.len();
    assert!((54..=60).contains(&fewer), "400 ms without a wake are 57 fewer: {fewer}");
    assert!(late_us(&hit).iter().all(|us| *us < 100), "late on its own clock");
}
