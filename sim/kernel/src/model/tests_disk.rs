//! Properties of disk costs and of the page cache's sums: after any sequence of writes, syncs and
//! write-backs the cache agrees with three numbers a file, kept naively, and `writeback_next` names
//! the first moment at which `writeback_due` has something.

use std::collections::BTreeMap;

use host::unit::{Quantiles, Rate, Size};
use proptest::prelude::*;

use super::disk::{Cache, DiskLaw};

fn law() -> DiskLaw {
    DiskLaw {
        write_bandwidth: Rate(1_000_000_000),
        read_bandwidth: Rate(2_000_000_000),
        op_ns: 10_000,
        cache_bandwidth: Rate(10_000_000_000),
        cache_op_ns: 500,
        sync: Quantiles::constant(std::time::Duration::from_micros(300)),
        dirty_limit: Size(1_000),
        writeback_after_ns: 50,
    }
}

#[derive(Clone, Debug)]
enum Op {
    Wrote(u64, u64),
    Take(u64),
    Landed(u64, u64),
    Forget(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0u64..4, 0u64..300).prop_map(|(f, b)| Op::Wrote(f, b)),
        2 => (0u64..4).prop_map(Op::Take),
        2 => (0u64..4, 0u64..900).prop_map(|(f, b)| Op::Landed(f, b)),
        1 => (0u64..4).prop_map(Op::Forget),
    ]
}

/// What the cache should hold of a file: dirty and flying bytes, and since when it is dirty.
type Naive = BTreeMap<u64, (u64, u64, u64)>;

fn apply(naive: &mut Naive, now: u64, op: &Op) {
    match op {
        Op::Wrote(f, b) => {
            let n = naive.entry(*f).or_default();
            if n.0 == 0 {
                n.2 = now;
            }
            n.0 += b;
        }
        Op::Take(f) => {
            let n = naive.entry(*f).or_default();
            n.1 += std::mem::take(&mut n.0);
        }
        Op::Landed(f, b) => {
            let n = naive.entry(*f).or_default();
            n.1 -= n.1.min(*b);
        }
        Op::Forget(f) => {
            naive.remove(f);
        }
    }
}

proptest! {
    #[test]
    fn the_sums_are_right(ops in prop::collection::vec((0u64..20, op()), 0..80)) {
        let mut cache = Cache::new(&law());
        let mut naive = Naive::new();
        let mut now = 0;
        for (dt, op) in ops {
            now += dt;
            apply(&mut naive, now, &op);
            match op {
                Op::Wrote(f, b) => cache.wrote(now, f, b),
                Op::Take(f) => {
                    let before = cache.dirty(f);
                    prop_assert_eq!(cache.take(f), before);
                }
                Op::Landed(f, b) => cache.landed(f, b),
                Op::Forget(f) => cache.forget(f),
            }
            for f in 0..4 {
                let n = naive.get(&f).copied().unwrap_or_default();
                prop_assert_eq!((cache.dirty(f), cache.flying(f)), (n.0, n.1));
            }
            let total: u64 = naive.values().map(|n| n.0 + n.1).sum();
            let waiting: u64 = naive.values().map(|n| n.0).sum();
            let oldest = naive.iter().filter(|(_, n)| n.0 > 0).map(|(f, n)| (n.2, *f)).min();
            prop_assert_eq!(cache.total(), total);
            prop_assert_eq!(cache.oldest(), oldest.map(|o| o.0));
            prop_assert_eq!(cache.throttle(), (total > 1_000).then(|| total - 1_000));
            let due = oldest.filter(|o| o.0 + 50 <= now || waiting > 500).map(|o| o.1);
            prop_assert_eq!(cache.writeback_due(now), due);
            match cache.writeback_next(now) {
                Some(at) => {
                    prop_assert!(cache.writeback_due(at).is_some());
                    prop_assert!(at == now || cache.writeback_due(at - 1).is_none());
                }
                None => prop_assert_eq!(oldest, None),
            }
        }
        cache.clear();
        prop_assert_eq!((cache.total(), cache.oldest()), (0, None));
        prop_assert_eq!(cache.writeback_next(now), None);
    }

    #[test]
    fn costs_rise_with_bytes_and_never_undercut_the_device(a in 0u64..1 << 40, b in 0u64..1 << 40) {
        let (law, a, b) = (law(), a.min(b), a.max(b));
        prop_assert!(law.write_cost(a) <= law.write_cost(b));
        prop_assert!(law.device_write_demand(a) <= law.device_write_demand(b));
        prop_assert!(law.read_cost(a, true) <= law.read_cost(a, false));
        prop_assert_eq!(law.sync_demand(a, 7), law.device_write_demand(a) + 300_000);
        let transfer = law.device_write_demand(a) - law.op_ns;
        prop_assert!(u128::from(transfer) * 1_000_000_000 >= u128::from(a) * 1_000_000_000);
    }
}
