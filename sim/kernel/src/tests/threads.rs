//! What becomes of a blocked thread when its task is cancelled, gives up, stands still or dies.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use host::{Host, Work};

use super::{outcome, registry};
use crate::world::Plugin;

/// What a task of the same thread tells: virtual milliseconds of its polls.
type Polls = Arc<Mutex<Vec<u64>>>;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Milliseconds since the load began, which is when the node's second task starts.
async fn observe(host: Host, polls: Polls, origin: host::Mono) {
    loop {
        polls.lock().unwrap().push(host.clock().now().since(origin).as_millis() as u64);
        host.clock().sleep(ms(1)).await;
    }
}

/// Runs a node whose task `blocks` shares a thread with the observer; returns the observer's polls of
/// all boots.
fn polls_beside<F>(blocks: impl Fn(Host, u32) -> F + Clone + Send + Sync + 'static) -> Vec<u64>
where
    F: Future<Output = ()> + Send + 'static,
{
    let polls = Polls::default();
    let told = polls.clone();
    let boots = Arc::new(Mutex::new(0));
    let node = move |host: Host, _| {
        let (blocks, told, boots) = (blocks.clone(), told.clone(), boots.clone());
        async move {
            let boot = {
                let mut boots = boots.lock().unwrap();
                *boots += 1;
                *boots
            };
            let origin = host.clock().now();
            let thread = host.thread("t");
            drop(thread.spawn("observe", observe(host.clone(), told, origin)));
            drop(thread.spawn("blocks", blocks(host.clone(), boot)));
            std::future::pending::<std::io::Result<()>>().await
        }
    };
    let text = "duration = \"500ms\"\nsettle = \"1ms\"\n[cluster]\nnode = \"subject\"\nhosts = 1\n\
                [[workload]]\nkind = \"waits\"\n";
    outcome(registry(node), text, 1);
    let mut polls = polls.lock().unwrap();
    std::mem::take(&mut *polls)
}

/// Polls strictly between two moments.
fn between(polls: &[u64], low: u64, high: u64) -> usize {
    polls.iter().filter(|at| **at > low && **at < high).count()
}

fn act(act: impl FnOnce(&mut crate::world::World)) {
    let shared = madsim::plugin::simulator::<Plugin>().shared.clone();
    let mut world = shared.world();
    act(&mut world);
    let now = world.now();
    world.schedule(now, crate::world::Due::Phase);
}

#[test]
fn a_blocked_thread_is_free_again_when_the_future_is_dropped() {
    let polls = polls_beside(|host, _| async move {
        let thread = host.thread("t");
        host.clock().sleep(ms(10)).await;
        let blocked = thread.block(std::future::pending::<()>());
        assert!(host.clock().within(ms(20), blocked).await.is_none());
        host.clock().sleep(ms(500)).await;
    });
    assert_eq!(between(&polls, 10, 30), 0, "{polls:?}");
    assert!(between(&polls, 30, 60) > 20, "{polls:?}");
}

#[test]
fn a_blocked_thread_is_free_again_when_the_task_is_cancelled() {
    let polls = polls_beside(|host, _| async move {
        let (thread, clock) = (host.thread("t"), host.clock());
        let own = thread.clone();
        clock.sleep(ms(10)).await;
        let task = thread.spawn("cancelled", async move {
            own.block(own.block(std::future::pending::<()>())).await;
        });
        let clock = host.clock();
        drop(host.thread("other").spawn("cancels", async move {
            clock.sleep(ms(20)).await;
            task.cancel();
        }));
    });
    assert_eq!(between(&polls, 11, 29), 0, "{polls:?}");
    assert!(between(&polls, 31, 60) > 20, "{polls:?}");
}

#[test]
fn a_blocked_thread_outlives_a_pause_and_ends_with_its_boot() {
    let polls = polls_beside(|host, boot| async move {
        let thread = host.thread("t");
        if boot > 1 {
            return;
        }
        host.clock().sleep(ms(10)).await;
        let other = host.clock();
        drop(host.thread("other").spawn("pauses", async move {
            other.sleep(ms(10)).await;
            act(|world| {
                world.pause(0, 0);
                world.resume(0);
            });
            other.sleep(ms(20)).await;
            act(|world| {
                world.crash(0);
                world.boot(0);
            });
        }));
        thread.block(std::future::pending::<()>()).await;
    });
    let second = polls.iter().rposition(|at| *at == 0).expect("two boots");
    assert!(polls[..second].iter().all(|at| *at <= 10), "{polls:?}");
    assert!(polls.len() - second > 100, "{polls:?}");
}

#[test]
fn work_that_was_given_up_inside_a_block_does_not_go_on() {
    let done = Arc::new(Mutex::new(None));
    let told = done.clone();
    polls_beside(move |host, _| {
        let told = told.clone();
        async move {
            let (thread, clock) = (host.thread("t"), host.clock());
            let work = Work { kind: "conformance_hold", bytes: 0 };
            let span = thread.block(async {
                assert!(clock.within(ms(5), thread.run(work, || ())).await.is_none());
                let start = clock.now();
                thread.run(work, || clock.now().since(start)).await
            });
            *told.lock().unwrap() = Some(span.await);
        }
    });
    // The first job had 15 ms to go when nobody waited for it any more.
    let span = done.lock().unwrap().take().expect("the job ran");
    assert!(span >= ms(20) && span < ms(21), "{span:?}");
}
