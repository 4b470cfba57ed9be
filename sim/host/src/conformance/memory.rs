//! What a node may rely on from its memory: what it claims counts, what it gives up is gone after a
//! collection at the latest, and a boot that is over has no say. How much anything costs, and when a
//! collection comes by itself, is the machine's own affair.

use std::sync::Arc;

use super::{Bench, Outcome, PATIENCE, Said, ask, ensure};

const MB: u64 = 1_000_000;

pub(super) async fn claims_count_and_go(bench: Arc<dyn Bench>) -> Outcome {
    let (clock, memory) = (bench.host("n1").clock(), bench.host("n1").memory());
    let before = memory.used();
    let mut claim = memory.claim("table", MB).said("claim")?;
    let held = memory.used() - before;
    ensure!(held == MB, "a claim of {MB} bytes counts {held}");
    claim.set(3 * MB).said("set")?;
    let held = memory.used() - before;
    ensure!(held == 3 * MB && claim.bytes() == 3 * MB, "a claim that grew to 3 MB counts {held}");
    claim.set(2 * MB).said("set")?;
    let other = memory.claim("buffer", 10).said("claim")?;
    ensure!(clock.within(PATIENCE, memory.collect()).await.is_some(), "a collection never ends");
    let held = memory.used() - before;
    ensure!(held == 2 * MB + 10, "a claim that shrank to 2 MB and one of 10 bytes count {held}");
    drop((claim, other));
    ensure!(clock.within(PATIENCE, memory.collect()).await.is_some(), "a collection never ends");
    let after = memory.used();
    ensure!(after == before, "{before} bytes before any claim, {after} after all");
    Ok(())
}

pub(super) async fn a_collection_leaves_what_is_claimed(bench: Arc<dyn Bench>) -> Outcome {
    let (clock, memory) = (bench.host("n1").clock(), bench.host("n1").memory());
    let before = memory.used();
    let kept = memory.claim("table", 5 * MB).said("claim")?;
    for n in 1..20 {
        memory.allocate("request", n * MB / 10).said("allocate")?;
        let brief = memory.claim("reply", n).said("claim")?;
        let low = memory.used() - before;
        ensure!(low >= 5 * MB + n, "with {n} bytes beside 5 MB only {low} are held");
        drop(brief);
    }
    for _ in 0..2 {
        let collected = clock.within(PATIENCE, memory.collect()).await;
        ensure!(collected.is_some(), "a collection never ends");
        let held = memory.used() - before;
        ensure!(held == 5 * MB, "after a collection {held} bytes are held; 5 MB are claimed");
    }
    drop(kept);
    Ok(())
}

pub(super) async fn claims_of_an_ended_boot_do_nothing(bench: Arc<dyn Bench>) -> Outcome {
    let clock = bench.host("n1").clock();
    let old = bench.host("n2");
    let memory = old.memory();
    let claims = ask(&old, "the first boot", async move {
        let kept = memory.claim("table", 7 * MB).said("claim")?;
        Ok((kept, memory.claim("index", 2 * MB).said("claim")?))
    });
    let (mut kept, dropped) = claims.get(&clock).await?;
    let new = bench.reboot("n2").await;
    let memory = new.memory();
    let fresh = memory.used();
    let other = bench.host("n1").memory().used();
    ensure!(fresh == other, "a new boot holds {fresh} bytes, an idle host {other}");
    let own = memory.claim("table", MB).said("claim")?;
    // Whether the dead get an error is left to the arm; what they do must not count.
    let late = old.memory().claim("table", MB);
    let _ = old.memory().allocate("request", MB);
    let _ = kept.set(9 * MB);
    drop((dropped, late));
    let _ = kept.set(0);
    let held = memory.used() - fresh;
    ensure!(held == MB, "claims of the old boot count: {held} bytes, of which {MB} are claimed");
    drop((kept, own));
    Ok(())
}
