//! Properties of memory: whatever is claimed, resized, given up, allocated and collected, a naive
//! ledger of claims agrees with the heap; a collection frees no live byte; pauses grow with what is
//! live and large; nothing exceeds its limit unnoticed.

use std::collections::BTreeMap;

use host::unit::Ratio;
use proptest::prelude::*;

use super::memory::{Collector, Heap, Lack, MemoryLaw};

const BASELINE: u64 = 1_000;

fn law(collector: Collector) -> MemoryLaw {
    MemoryLaw {
        collector,
        limit: 200_000,
        heap_limit: 100_000,
        object_max: 40_000,
        baseline: BASELINE,
        large_object: 1_000,
        young: 5_000,
        young_pause_ns: 70,
        collect_at: Ratio(800_000),
        pause_base_ns: 500,
        pause_per_live_mb_ns: 3_000_000,
        pause_per_large_mb_ns: 9_000_000,
    }
}

#[derive(Clone, Debug)]
enum Act {
    Claim(u64),
    Resize(usize, u64),
    Release(usize),
    Allocate(u64),
    Collect,
}

/// Sizes around the bounds of small, large and too large.
fn size() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0u64..1_200, 2 => 900u64..9_000, 1 => 30_000u64..41_000]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => size().prop_map(Act::Claim),
        3 => (any::<usize>(), size()).prop_map(|(i, b)| Act::Resize(i, b)),
        2 => any::<usize>().prop_map(Act::Release),
        3 => size().prop_map(Act::Allocate),
        1 => Just(Act::Collect),
    ]
}

fn collector() -> impl Strategy<Value = Collector> {
    prop_oneof![Just(Collector::None), Just(Collector::DotnetServer), Just(Collector::V8)]
}

/// Carries out an act on the heap and in the ledger of claims; the bytes that it allocated.
fn carry_out(
    heap: &mut Heap,
    ledger: &mut BTreeMap<u64, u64>,
    act: &Act,
) -> Result<u64, (Lack, u64)> {
    let pick = |ledger: &BTreeMap<u64, u64>, i: usize| {
        ledger.iter().nth(i % ledger.len().max(1)).map(|(id, bytes)| (*id, *bytes))
    };
    match *act {
        Act::Claim(bytes) => {
            let id = heap.claim("claim", bytes).map_err(|lack| (lack, bytes))?;
            assert!(ledger.insert(id, bytes).is_none(), "a claim's number is given twice");
            Ok(bytes)
        }
        Act::Resize(i, bytes) => {
            let Some((id, before)) = pick(ledger, i) else { return Ok(0) };
            let more = bytes.saturating_sub(before);
            heap.resize(id, bytes).map_err(|lack| (lack, more))?;
            ledger.insert(id, bytes);
            Ok(more)
        }
        Act::Release(i) => {
            if let Some((id, _)) = pick(ledger, i) {
                heap.release(id);
                ledger.remove(&id);
            }
            Ok(0)
        }
        Act::Allocate(bytes) => heap.allocate(bytes).map(|()| bytes).map_err(|l| (l, bytes)),
        Act::Collect => {
            heap.collect();
            Ok(0)
        }
    }
}

proptest! {
    #[test]
    fn the_heap_agrees_with_a_ledger_of_claims(
        collector in collector(), acts in prop::collection::vec(act(), 1..200),
    ) {
        let law = law(collector);
        let mut heap = Heap::new(law);
        let (mut ledger, mut allocated, mut freed) = (BTreeMap::new(), 0, 0);
        // Bytes that were claimed once and are no more, or never were.
        let mut dropped = 0;
        for act in &acts {
            let live = ledger.values().sum::<u64>();
            match carry_out(&mut heap, &mut ledger, act) {
                Ok(bytes) => {
                    allocated += bytes;
                    dropped += live + bytes - ledger.values().sum::<u64>();
                }
                Err((Lack::Refused, bytes)) => {
                    let after = live + BASELINE + bytes;
                    prop_assert!(bytes > law.object_max || after > law.heap_limit);
                    prop_assert!(bytes > law.object_max || collector == Collector::DotnetServer);
                }
                Err((Lack::Ended { held }, bytes)) => {
                    prop_assert!(held > law.heap_limit && held >= live + BASELINE + bytes);
                    prop_assert!(collector != Collector::DotnetServer);
                    heap.clear();
                    ledger.clear();
                    dropped = freed;
                }
            }
            if let Some(collection) = heap.take_collection() {
                freed += collection.garbage;
            }
            prop_assert_eq!(heap.live(), BASELINE + ledger.values().sum::<u64>());
            prop_assert_eq!(heap.held(), heap.live() + heap.garbage());
            let garbage = if collector == Collector::None { 0 } else { dropped - freed };
            prop_assert_eq!(heap.garbage(), garbage);
            prop_assert_eq!(heap.allocated(), allocated);
            prop_assert!(heap.peak() >= heap.held() && heap.held() <= law.limit);
        }
        let claims: u64 = heap.claimed().values().map(|(_, count)| count).sum();
        prop_assert_eq!(claims, ledger.len() as u64);
    }

    #[test]
    fn a_full_collection_frees_all_garbage_and_nothing_else(
        acts in prop::collection::vec(act(), 1..100),
    ) {
        let mut heap = Heap::new(law(Collector::DotnetServer));
        let mut ledger = BTreeMap::new();
        for act in &acts {
            let _ = carry_out(&mut heap, &mut ledger, act);
        }
        heap.take_collection();
        let (live, garbage) = (heap.live(), heap.garbage());
        heap.collect();
        let collection = heap.take_collection().expect("a collection");
        prop_assert_eq!((collection.live, collection.garbage, collection.full), (live, garbage, true));
        prop_assert_eq!((heap.live(), heap.garbage()), (live, 0));
    }

    #[test]
    fn pauses_grow_with_what_is_live_and_large(
        live in 0u64..1 << 40, large in 0u64..1 << 40, more in 0u64..1 << 40,
    ) {
        let law = law(Collector::V8);
        let pause = law.full_pause(live, large);
        prop_assert!(pause >= law.pause_base_ns);
        prop_assert!(law.full_pause(live + more, large) >= pause);
        prop_assert!(law.full_pause(live, large + more) >= pause);
        let mb = 1_000_000;
        prop_assert_eq!(law.full_pause(live + mb, large), pause + law.pause_per_live_mb_ns);
        prop_assert_eq!(law.full_pause(live, large + mb), pause + law.pause_per_large_mb_ns);
    }
}

#[test]
fn large_garbage_waits_for_a_full_collection_and_small_garbage_does_not() {
    let mut heap = Heap::new(law(Collector::DotnetServer));
    for _ in 0..60 {
        heap.allocate(999).unwrap();
    }
    // Five of 999 bytes are as much as the young generation takes.
    let young = heap.take_collection().expect("collections");
    assert_eq!((young.full, young.ns), (false, 11 * 70));
    assert_eq!(heap.garbage(), 60 * 999 - young.garbage);
    assert!(heap.garbage() <= 5_000);
    let before = heap.garbage();
    for n in 1..=20 {
        heap.allocate(1_000).unwrap();
        assert_eq!(heap.garbage(), before + n * 1_000);
    }
    assert_eq!(heap.take_collection(), None);
}

#[test]
fn what_outlives_a_young_collection_waits_for_a_full_one() {
    let mut heap = Heap::new(law(Collector::V8));
    let kept = heap.claim("kept", 900).unwrap();
    for _ in 0..6 {
        heap.allocate(900).unwrap();
    }
    assert!(heap.take_collection().is_some_and(|c| !c.full && c.garbage == 4 * 900));
    heap.release(kept);
    for _ in 0..6 {
        heap.allocate(900).unwrap();
    }
    assert_eq!(heap.take_collection().map(|c| c.garbage), Some(5 * 900));
    assert_eq!(heap.garbage(), 900 + 3 * 900);
}

#[test]
fn a_full_collection_comes_at_its_share_of_the_limit_and_not_at_every_object_beyond() {
    let mut heap = Heap::new(law(Collector::DotnetServer));
    let mut live = Vec::new();
    let mut at = Vec::new();
    for n in 0..99 {
        live.push(heap.claim("table", 1_000).unwrap());
        if heap.take_collection().is_some() {
            at.push(n);
        }
    }
    // 1,000 bytes belong to the runtime; 80 % of 100,000, and then half of the rest each time.
    assert_eq!(at, [79, 89, 94, 96, 97, 98]);
    assert_eq!(heap.claim("table", 1_000), Err(Lack::Refused));
    assert!(heap.take_collection().is_some_and(|c| c.full), "it collects before it refuses");
    heap.release(live[0]);
    assert!(heap.claim("table", 1_000).is_ok());
}

#[test]
fn the_system_ends_a_process_whose_collector_would_still_wait() {
    let mut law = law(Collector::DotnetServer);
    law.limit = 50_000;
    let mut heap = Heap::new(law);
    for _ in 0..4 {
        heap.allocate(12_000).unwrap();
    }
    assert_eq!(heap.allocate(12_000), Err(Lack::Ended { held: 61_000 }));
    let mut v8 = Heap::new(MemoryLaw { collector: Collector::V8, limit: u64::MAX, ..law });
    for _ in 0..4 {
        v8.claim("array", 24_000).unwrap();
    }
    assert_eq!(v8.claim("array", 24_000), Err(Lack::Ended { held: 121_000 }));
}

#[test]
fn without_a_collector_garbage_is_gone_at_once_and_the_peak_is_remembered() {
    let mut heap = Heap::new(law(Collector::None));
    let claim = heap.claim("table", 30_000).unwrap();
    heap.allocate(9_000).unwrap();
    heap.resize(claim, 10_000).unwrap();
    heap.collect();
    assert_eq!((heap.held(), heap.garbage()), (BASELINE + 10_000, 0));
    assert_eq!((heap.peak(), heap.allocated()), (BASELINE + 39_000, 39_000));
    heap.clear();
    assert_eq!((heap.held(), heap.peak()), (BASELINE, BASELINE + 39_000));
    assert_eq!(heap.take_collection(), None);
}
