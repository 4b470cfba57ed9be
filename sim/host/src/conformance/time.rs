//! What a node may rely on from its clocks and threads: nothing is early, little is absurdly late,
//! an alarm follows its last setting, and a held thread polls nobody else. Lateness is bounded only
//! loosely: a real machine under load owes nobody a millisecond.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use super::{Bench, HOLD, HOLD_KIND, Outcome, PATIENCE, ask, ensure};
use crate::{Chunks, Class, Clock, Host, Mono, OpenMode, Task, Thread, Work};

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

/// A task that notes when it is polled.
struct Observer {
    polls: Arc<Mutex<Vec<Mono>>>,
    over: Arc<AtomicBool>,
    task: Task,
}

impl Observer {
    fn start(host: &Host, thread: &Thread) -> Observer {
        let (polls, over) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (seen, ends, own, clock) = (polls.clone(), over.clone(), thread.clone(), host.clock());
        let task = thread.spawn("observe", async move {
            while !ends.load(Ordering::SeqCst) {
                for _ in 0..3 {
                    seen.lock().expect("no panic under the lock").push(clock.now());
                    own.yield_now().await;
                }
                clock.sleep(ms(1)).await;
            }
        });
        Observer { polls, over, task }
    }

    /// When it was polled.
    async fn end(self, clock: &Clock) -> Result<Vec<Mono>, String> {
        self.over.store(true, Ordering::SeqCst);
        let ended = clock.within(PATIENCE, self.task.join()).await;
        ensure!(ended.is_some(), "the observer never ends");
        Ok(std::mem::take(&mut *self.polls.lock().expect("no panic under the lock")))
    }
}

/// Whether nobody was polled between `start` and `end`, though somebody was before and after.
fn alone(polls: &[Mono], (start, end): (Mono, Mono)) -> Outcome {
    if let Some(inside) = polls.iter().find(|at| **at > start && **at < end) {
        let after = inside.since(start);
        return Err(format!("a task was polled {after:?} after another began to hold the thread"));
    }
    ensure!(polls.iter().any(|at| *at < start), "the observer was not polled before");
    ensure!(polls.iter().any(|at| *at >= end), "the observer was not polled after");
    Ok(())
}

/// Runs a task of `thread` that says when it began and ended to hold the thread.
async fn holding(
    clock: &Clock,
    thread: &Thread,
    work: impl Future<Output = (Mono, Mono)> + Send + 'static,
) -> Result<(Mono, Mono), String> {
    let span = Arc::new(Mutex::new(None));
    let (told, naps) = (span.clone(), clock.clone());
    let holder = thread.spawn("hold", async move {
        naps.sleep(ms(20)).await;
        let held = work.await;
        *told.lock().expect("no panic under the lock") = Some(held);
    });
    ensure!(clock.within(PATIENCE, holder.join()).await.is_some(), "the holder never ends");
    clock.sleep(ms(20)).await;
    let span = span.lock().expect("no panic under the lock").take();
    span.ok_or_else(|| "the holder left no trace".to_string())
}

/// Works until `until`: simulated, the time has passed by now; real, the job itself takes it.
fn spin(clock: &Clock, until: Mono) -> Mono {
    let mut spins = 0u64;
    while clock.now() < until && spins < 1 << 27 {
        spins += 1;
    }
    clock.now()
}

pub(super) async fn a_held_thread_polls_nobody_else(bench: Arc<dyn Bench>) -> Outcome {
    let host = bench.host("n1");
    let (clock, thread) = (host.clock(), host.thread("held"));
    let observer = Observer::start(&host, &thread);
    let (now, own) = (host.clock(), thread.clone());
    let work = async move {
        let start = now.now();
        let work = Work { kind: HOLD_KIND, bytes: 0 };
        let end = own.run(work, || spin(&now, start + HOLD)).await;
        (start, end)
    };
    let (start, end) = holding(&clock, &thread, work).await?;
    let lasted = end.since(start);
    ensure!(lasted >= HOLD, "the job lasted {lasted:?}; its price is {HOLD:?}");
    alone(&observer.end(&clock).await?, (start, end))
}

pub(super) async fn a_blocked_thread_polls_nobody_else(bench: Arc<dyn Bench>) -> Outcome {
    let host = bench.host("n1");
    let (clock, thread) = (host.clock(), host.thread("blocked"));
    let (near, far) =
        (Observer::start(&host, &thread), Observer::start(&host, &host.thread("other")));
    let (node, own) = (host.clone(), thread.clone());
    let work = async move {
        let (clock, class) = (node.clock(), Class("conformance"));
        let start = clock.now();
        let blocked = own.block(async {
            let file = node.disk().open("blocked", OpenMode::Fresh).await?;
            // More waits than tokio lets a task have in one turn.
            for _ in 0..200 {
                file.append(class, Chunks::from(vec![1; 8])).await?;
            }
            file.sync(class).await?;
            clock.sleep(ms(20)).await;
            std::io::Result::Ok(clock.now())
        });
        (start, blocked.await.unwrap_or(start))
    };
    let (start, end) = holding(&clock, &thread, work).await?;
    let lasted = end.since(start);
    ensure!(lasted >= ms(20), "a thread that sleeps 20 ms was blocked for {lasted:?}");
    let far = far.end(&clock).await?;
    let free = far.iter().any(|at| *at > start && *at < end);
    ensure!(free, "a task of another thread was not polled meanwhile");
    alone(&near.end(&clock).await?, (start, end))
}

pub(super) async fn a_block_outlasts_a_run_in_it(bench: Arc<dyn Bench>) -> Outcome {
    let host = bench.host("n1");
    let (clock, thread) = (host.clock(), host.thread("blocked"));
    let observer = Observer::start(&host, &thread);
    let (now, own) = (host.clock(), thread.clone());
    let work = async move {
        let start = now.now();
        let end = own.block(async {
            now.sleep(ms(5)).await;
            let work = Work { kind: HOLD_KIND, bytes: 0 };
            let ran = own.run(work, || spin(&now, now.now() + HOLD)).await;
            own.block(now.sleep_until(ran + ms(5))).await;
            now.sleep(ms(5)).await;
            now.now()
        });
        (start, end.await)
    };
    let (start, end) = holding(&clock, &thread, work).await?;
    alone(&observer.end(&clock).await?, (start, end))
}
