//! What a node may rely on from its clocks and threads: nothing is early, little is absurdly late,
//! an alarm follows its last setting, and a held thread polls nobody else. Lateness is bounded only
//! loosely: a real machine under load owes nobody a millisecond.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use super::{Bench, HOLD, HOLD_KIND, Outcome, PATIENCE, ask, ensure};
use crate::{Clock, Mono, Work};

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub(super) async fn sleeps_are_never_early(bench: Arc<dyn Bench>) -> Outcome {
    let clock = bench.host("n1").clock();
    for micros in [1, 50, 300, 999, 1000, 1700, 20_000] {
        let span = Duration::from_micros(micros);
        // The best of several: a busy machine may be late now and then.
        let mut best = Duration::MAX;
        for _ in 0..5 {
            let start = clock.now();
            clock.sleep(span).await;
            let slept = clock.now().since(start);
            ensure!(slept >= span, "a sleep of {span:?} lasted {slept:?}");
            best = best.min(slept);
        }
        ensure!(
            best < span + bench.sleep_slack(),
            "five sleeps of {span:?} lasted at least {best:?}"
        );
    }
    let (mono, wall) = (clock.now(), clock.wall());
    clock.sleep_until(mono).await;
    clock.sleep(ms(5)).await;
    ensure!(clock.wall() > wall, "the wall clock stands still");
    Ok(())
}

pub(super) async fn sleeps_end_in_order(bench: Arc<dyn Bench>) -> Outcome {
    let host = bench.host("n1");
    let order = Arc::new(Mutex::new(Vec::new()));
    let start = host.clock().now();
    let replies: Vec<_> = [75, 25, 125, 50, 100]
        .into_iter()
        .map(|delay| {
            let (clock, order) = (host.clock(), order.clone());
            ask(&host, "sleep", async move {
                clock.sleep_until(start + ms(delay)).await;
                order.lock().expect("no panic under the lock").push(delay);
                Ok(())
            })
        })
        .collect();
    for reply in replies {
        reply.get(&host.clock()).await?;
    }
    let order = order.lock().expect("no panic under the lock").clone();
    ensure!(order == [25, 50, 75, 100, 125], "sleeps ended in the order {order:?}");
    Ok(())
}

pub(super) async fn within_gives_up_in_time(bench: Arc<dyn Bench>) -> Outcome {
    let clock = bench.host("n1").clock();
    let quick = clock.within(PATIENCE, async { 7 }).await;
    ensure!(quick == Some(7), "work that is done at once came to {quick:?}");
    let start = clock.now();
    let never = clock.within(ms(20), clock.sleep_until(Mono::NEVER)).await;
    let waited = clock.now().since(start);
    ensure!(never.is_none(), "a sleep without end ended");
    ensure!(waited >= ms(20) && waited < PATIENCE, "within 20 ms gave up after {waited:?}");
    Ok(())
}

/// Whether the alarm rings within `span`, and when.
async fn rings(clock: &Clock, alarm: &mut crate::Alarm, span: Duration) -> Option<Mono> {
    clock.within(span, alarm.ring()).await.map(|()| clock.now())
}

pub(super) async fn alarms_can_be_moved(bench: Arc<dyn Bench>) -> Outcome {
    let clock = bench.host("n1").clock();
    let mut alarm = clock.alarm();
    ensure!(rings(&clock, &mut alarm, ms(20)).await.is_none(), "an alarm rings unset");

    let due = clock.now() + ms(20);
    alarm.set(due);
    let rung = rings(&clock, &mut alarm, PATIENCE).await;
    ensure!(rung.is_some_and(|at| at >= due), "set for {due:?} it rang at {rung:?}");
    ensure!(rings(&clock, &mut alarm, ms(40)).await.is_none(), "it rings a second time");

    // Armed far away, then set earlier.
    alarm.set(clock.now() + PATIENCE * 2);
    ensure!(rings(&clock, &mut alarm, ms(5)).await.is_none(), "it rings long before its time");
    let due = clock.now() + ms(20);
    alarm.set(due);
    let rung = rings(&clock, &mut alarm, PATIENCE).await;
    ensure!(rung.is_some_and(|at| at >= due), "set earlier, to {due:?}, it rang at {rung:?}");

    // Armed soon, then set later: the first arming must not ring.
    alarm.set(clock.now() + ms(30));
    ensure!(rings(&clock, &mut alarm, ms(1)).await.is_none_or(|at| at >= due), "it rings early");
    let due = clock.now() + ms(120);
    alarm.set(due);
    let rung = rings(&clock, &mut alarm, PATIENCE).await;
    ensure!(rung.is_some_and(|at| at >= due), "set later, to {due:?}, it rang at {rung:?}");

    alarm.set(clock.now() + ms(20));
    let armed = std::future::poll_fn(|cx| Poll::Ready(alarm.poll_ring(cx).is_ready())).await;
    ensure!(!armed, "it rings at once");
    alarm.clear();
    ensure!(rings(&clock, &mut alarm, ms(60)).await.is_none(), "it rings though it was cleared");
    Ok(())
}

pub(super) async fn a_held_thread_polls_nobody_else(bench: Arc<dyn Bench>) -> Outcome {
    let host = bench.host("n1");
    let (clock, thread) = (host.clock(), host.thread("held"));
    let polls = Arc::new(Mutex::new(Vec::<Mono>::new()));
    let done = Arc::new(AtomicBool::new(false));

    let (seen, over, other, ticking) = (polls.clone(), done.clone(), thread.clone(), host.clock());
    let observer = thread.spawn("observe", async move {
        while !over.load(Ordering::SeqCst) {
            for _ in 0..3 {
                seen.lock().expect("no panic under the lock").push(ticking.now());
                other.yield_now().await;
            }
            ticking.sleep(ms(1)).await;
        }
    });
    let (held, now) = (Arc::new(Mutex::new(None)), host.clock());
    let (result, holding) = (held.clone(), thread.clone());
    let holder = thread.spawn("hold", async move {
        now.sleep(ms(20)).await;
        let start = now.now();
        let work = Work { kind: HOLD_KIND, bytes: 0 };
        let end = holding.run(work, || {
            // Simulated, the time has passed by now; real, the job itself takes it.
            let mut spins = 0u64;
            while now.now() < start + HOLD && spins < 1 << 27 {
                spins += 1;
            }
            now.now()
        });
        let end = end.await;
        *result.lock().expect("no panic under the lock") = Some((start, end));
    });
    ensure!(clock.within(PATIENCE, holder.join()).await.is_some(), "the job never ends");
    clock.sleep(ms(20)).await;
    done.store(true, Ordering::SeqCst);
    ensure!(clock.within(PATIENCE, observer.join()).await.is_some(), "the observer never ends");

    let span = held.lock().expect("no panic under the lock").take();
    let Some((start, end)) = span else { return Err("the job left no trace".to_string()) };
    let lasted = end.since(start);
    ensure!(lasted >= HOLD, "the job lasted {lasted:?}; its price is {HOLD:?}");
    let polls = polls.lock().expect("no panic under the lock").clone();
    if let Some(inside) = polls.iter().find(|at| **at > start && **at < end) {
        let after = inside.since(start);
        return Err(format!("a task was polled {after:?} after another began to hold the thread"));
    }
    ensure!(polls.iter().any(|at| *at < start), "the observer was not polled before the job");
    ensure!(polls.iter().any(|at| *at >= end), "the observer was not polled after the job");
    Ok(())
}
