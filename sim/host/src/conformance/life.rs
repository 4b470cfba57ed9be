//! What a node may rely on from its tasks and its boot: tasks end when they are said to, random
//! streams are apart, a stop is told, a reboot keeps the disk and nothing else, and a panic stays
//! at home.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::{Bench, Outcome, PATIENCE, Said, ask, ensure};
use crate::{Chunks, Class, Clock, Mono, OpenMode};

const CLASS: Class = Class("conformance");

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Waits until the flag is up.
async fn raised(clock: &Clock, flag: &AtomicBool) -> bool {
    let deadline = clock.now() + PATIENCE;
    while !flag.load(Ordering::SeqCst) {
        if clock.now() > deadline {
            return false;
        }
        clock.sleep(ms(2)).await;
    }
    true
}

/// Raises the flag when it is dropped.
struct Raises(Arc<AtomicBool>);

impl Drop for Raises {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

pub(super) async fn tasks_can_be_joined(bench: Arc<dyn Bench>) -> Outcome {
    let host = bench.host("n1");
    let (clock, thread) = (host.clock(), host.thread("main"));
    let done = Arc::new(AtomicBool::new(false));
    let (flag, naps) = (done.clone(), host.clock());
    let task = thread.spawn("nap", async move {
        naps.sleep(ms(20)).await;
        flag.store(true, Ordering::SeqCst);
    });
    ensure!(clock.within(PATIENCE, task.join()).await.is_some(), "a task cannot be joined");
    ensure!(done.load(Ordering::SeqCst), "join returned before the task ended");
    let quick = thread.spawn("quick", async {});
    clock.sleep(ms(10)).await;
    ensure!(clock.within(PATIENCE, quick.join()).await.is_some(), "an ended task cannot be joined");
    // A handle may be dropped; its task lives on.
    let lives = Arc::new(AtomicBool::new(false));
    let (flag, naps) = (lives.clone(), host.clock());
    drop(host.thread("other").spawn("alone", async move {
        naps.sleep(ms(5)).await;
        flag.store(true, Ordering::SeqCst);
    }));
    ensure!(raised(&clock, &lives).await, "a task ended with its handle");
    Ok(())
}

pub(super) async fn tasks_can_be_cancelled(bench: Arc<dyn Bench>) -> Outcome {
    let host = bench.host("n1");
    let (clock, thread) = (host.clock(), host.thread("main"));
    for head_start in [ms(0), ms(10)] {
        let (dropped, woke) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (guard, flag, naps) = (Raises(dropped.clone()), woke.clone(), host.clock());
        let task = thread.spawn("sleeper", async move {
            let _guard = guard;
            naps.sleep(ms(60)).await;
            flag.store(true, Ordering::SeqCst);
            naps.sleep_until(Mono::NEVER).await;
        });
        if head_start > ms(0) {
            clock.sleep(head_start).await;
        }
        task.cancel();
        ensure!(raised(&clock, &dropped).await, "a cancelled task keeps what it holds");
        clock.sleep(ms(90)).await;
        ensure!(!woke.load(Ordering::SeqCst), "a cancelled task went on");
    }
    Ok(())
}

pub(super) async fn random_streams_differ(bench: Arc<dyn Bench>) -> Outcome {
    let mut draws = BTreeSet::new();
    let mut streams = 0;
    for host in ["n1", "n2"] {
        for stream in ["election", "backoff"] {
            for key in [0, 1, u64::MAX] {
                let mut rng = bench.host(host).rng(stream, key);
                streams += 1;
                draws.insert([rng.bits(), rng.bits()]);
            }
        }
    }
    ensure!(draws.len() == streams, "of {streams} random streams {} differ", draws.len());
    Ok(())
}

pub(super) async fn stopping_is_told_and_remembered(bench: Arc<dyn Bench>) -> Outcome {
    let (near, far) = (bench.host("n1"), bench.host("n2"));
    let clock = near.clock();
    let told = Arc::new(AtomicBool::new(false));
    let (flag, node) = (told.clone(), far.clone());
    let first = ask(&far, "the first to wait for a stop", async move {
        node.stopping().await;
        flag.store(true, Ordering::SeqCst);
        Ok(())
    });
    clock.sleep(ms(30)).await;
    ensure!(!told.load(Ordering::SeqCst), "a stop was told that nobody asked for");
    bench.ask_stop("n2");
    first.get(&clock).await?;
    let node = far.clone();
    let later = ask(&far, "one who waits for a stop after it was asked for", async move {
        node.stopping().await;
        Ok(())
    });
    later.get(&clock).await
}

pub(super) async fn a_new_boot_keeps_the_disk_and_nothing_else(bench: Arc<dyn Bench>) -> Outcome {
    let clock = bench.host("n1").clock();
    let (old, addr) = (bench.host("n2"), bench.addr("n2", 7000));
    let (node, at, ticks) = (old.clone(), addr.clone(), Arc::new(AtomicU64::new(0)));
    let counter = ticks.clone();
    let set_up = ask(&old, "the first boot", async move {
        let file = node.disk().open("keep/wal", OpenMode::Fresh).await.said("open")?;
        file.append(CLASS, Chunks::from(b"synced".to_vec())).await.said("append")?;
        file.sync(CLASS).await.said("sync")?;
        node.disk().sync_dir().await.said("sync_dir")?;
        let listener = node.net().listen(&at).await.said("listen")?;
        let ticking = node.clock();
        node.thread("ticker").spawn("tick", async move {
            let _listener = listener;
            loop {
                counter.fetch_add(1, Ordering::SeqCst);
                ticking.sleep(ms(2)).await;
            }
        });
        Ok(file)
    });
    let old_file = set_up.get(&clock).await?;

    clock.sleep(ms(20)).await;
    let new = bench.reboot("n2").await;
    let before = ticks.load(Ordering::SeqCst);
    ensure!(before > 0, "a task of the first boot was not polled within 20 ms");

    // What is left of the old boot does nothing, whatever it says.
    let intruder = Chunks::from(b" and more".to_vec());
    let _ = clock.within(ms(100), old_file.append(CLASS, intruder)).await;
    let opened = clock.within(ms(100), old.disk().open("intruder", OpenMode::Fresh)).await;
    ensure!(!matches!(opened, Some(Ok(_))), "a handle of the old boot opened a file");
    let ran = Arc::new(AtomicBool::new(false));
    let flag = ran.clone();
    drop(old.thread("main").spawn("ghost", async move { flag.store(true, Ordering::SeqCst) }));
    drop(old_file);
    clock.sleep(ms(50)).await;
    ensure!(!ran.load(Ordering::SeqCst), "a handle of the old boot started a task");
    let after = ticks.load(Ordering::SeqCst);
    ensure!(after == before, "a task of the old boot went on for {} turns", after - before);

    let node = new.clone();
    let check = ask(&new, "the second boot", async move {
        let names = node.disk().list("").await.said("list")?;
        ensure!(names == ["keep/wal"], "after the reboot there are {names:?}");
        let file = node.disk().open("keep/wal", OpenMode::Existing).await.said("open")?;
        let content = file.read_at(0, 100).await.said("read")?.to_bytes();
        ensure!(&content[..] == b"synced", "after the reboot the file says {content:?}");
        node.net().listen(&addr).await.said("listen where the old boot listened").map(drop)
    });
    check.get(&clock).await
}

pub(super) async fn a_panic_stays_in_its_host(bench: Arc<dyn Bench>) -> Outcome {
    let (near, far) = (bench.host("n1"), bench.host("n2"));
    let clock = near.clock();
    let turns = Arc::new(AtomicU64::new(0));
    let (counter, ticking) = (turns.clone(), near.clock());
    let witness = near.thread("other").spawn("witness", async move {
        loop {
            counter.fetch_add(1, Ordering::SeqCst);
            ticking.sleep(ms(2)).await;
        }
    });
    let dropped = Arc::new(AtomicBool::new(false));
    let guard = Raises(dropped.clone());
    drop(far.thread("main").spawn("doomed", async move {
        let _guard = guard;
        panic!("this panic belongs to the conformance suite");
    }));
    ensure!(raised(&clock, &dropped).await, "a task that panicked keeps what it holds");
    let before = turns.load(Ordering::SeqCst);
    clock.sleep(ms(50)).await;
    ensure!(turns.load(Ordering::SeqCst) > before, "the panic stopped a task of another host");
    witness.cancel();
    let new = bench.reboot("n2").await;
    let naps = new.clock();
    let alive = ask(&new, "the boot after the panic", async move {
        naps.sleep(ms(1)).await;
        Ok(())
    });
    alive.get(&clock).await
}
