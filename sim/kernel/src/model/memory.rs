//! What a process holds in memory, and what collecting costs. An object is live while it is claimed;
//! then it is garbage until a collection. Objects of at least `large_object` are apart: a collection
//! of the young generation, due after so many bytes of small objects, frees only what was claimed
//! and dropped since the one before it. Everything else waits for a full one, which is due when the
//! heap reaches a share of its limit, then each time half of the rest is used up, or when asked for.
//!
//! A full collection stops the world for `base + live + large objects moved`, each at its price; a
//! young one for a constant. What then does not fit the heap is refused by .NET as an exception, and
//! ends V8's process. A process that holds more than its container may have is ended by the
//! system, whatever its collector would say. Without a collector garbage is gone at once.
//!
//! Left out on purpose: addresses and fragmentation, promotion (a small object that outlives one
//! young collection is old), survivors' copying cost, concurrent marking, and every byte that the
//! node does not state. Sources: .NET's "Fundamentals of garbage collection" and its large object
//! heap page; V8's Orinoco posts.

use std::collections::BTreeMap;

use host::unit::Ratio;

use super::{MILLION, Time};

/// Who frees what is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collector {
    /// The program itself, at once.
    None,
    /// .NET's server collector: what does not fit is refused.
    DotnetServer,
    /// V8's: what does not fit ends the process.
    V8,
}

/// The constants of one kind of machine and runtime. Sizes are in bytes.
#[derive(Clone, Copy, Debug)]
pub struct MemoryLaw {
    /// Who collects.
    pub collector: Collector,
    /// What the process may hold before the system ends it.
    pub limit: u64,
    /// What a collected heap may hold.
    pub heap_limit: u64,
    /// The largest object.
    pub object_max: u64,
    /// What the runtime holds from the start.
    pub baseline: u64,
    /// From this size on an object is large.
    pub large_object: u64,
    /// Small objects allocated between two collections of the young generation.
    pub young: u64,
    /// How long one of those stops the world.
    pub young_pause_ns: u64,
    /// The share of `heap_limit` at which a full collection is due.
    pub collect_at: Ratio,
    /// A full collection stops the world for so long,
    pub pause_base_ns: u64,
    /// and so long for each million live bytes,
    pub pause_per_live_mb_ns: u64,
    /// and so long for each million bytes of large objects, dead ones included.
    pub pause_per_large_mb_ns: u64,
}

impl MemoryLaw {
    /// A process that may hold anything and frees at once: a client's.
    pub const FREE: MemoryLaw = MemoryLaw {
        collector: Collector::None,
        limit: u64::MAX,
        heap_limit: u64::MAX,
        object_max: 1 << 50,
        baseline: 0,
        large_object: 1,
        young: 1,
        young_pause_ns: 0,
        collect_at: Ratio(0),
        pause_base_ns: 0,
        pause_per_live_mb_ns: 0,
        pause_per_large_mb_ns: 0,
    };

    /// How long a full collection stops the world.
    pub fn full_pause(&self, live: u64, large: u64) -> Time {
        let priced = |bytes: u64, per_mb: u64| u128::from(bytes) * u128::from(per_mb);
        let moved = priced(live, self.pause_per_live_mb_ns);
        let moved = moved + priced(large, self.pause_per_large_mb_ns);
        let ns = u64::try_from(moved / u128::from(MILLION)).unwrap_or(u64::MAX);
        self.pause_base_ns.saturating_add(ns)
    }
}

/// A collection, or several that followed one another at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Collection {
    /// More than the young generation.
    pub full: bool,
    /// Live bytes that it left, the runtime's own included.
    pub live: u64,
    /// Bytes that it freed.
    pub garbage: u64,
    /// For how long it stops the world.
    pub ns: Time,
}

impl Collection {
    /// Another one follows at once.
    pub fn then(self, next: Collection) -> Collection {
        Collection {
            full: self.full || next.full,
            live: next.live,
            garbage: self.garbage.saturating_add(next.garbage),
            ns: self.ns.saturating_add(next.ns),
        }
    }
}

/// Why bytes were not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// The runtime says no, and the program goes on.
    Refused,
    /// The process has ended; it would have held so many bytes.
    Ended {
        /// Bytes.
        held: u64,
    },
}

/// One claim: its small and large bytes, and those of the small ones that are young.
#[derive(Clone, Copy, Debug)]
struct Claimed {
    what: &'static str,
    small: u64,
    large: u64,
    young: u64,
    /// The generation in which `young` was counted.
    born: u64,
}

/// The memory of one process, boot after boot.
#[derive(Debug)]
pub struct Heap {
    law: MemoryLaw,
    claims: Vec<Option<Claimed>>,
    free: Vec<u64>,
    small: u64,
    large: u64,
    /// Garbage: that of the present generation, older small objects, large ones.
    young: u64,
    old: u64,
    dead_large: u64,
    /// Small bytes allocated since the last collection, which are counted as generations.
    since: u64,
    generation: u64,
    /// What may be held before a full collection is due.
    due_at: u64,
    pending: Option<Collection>,
    peak: u64,
    allocated: u64,
}

impl Heap {
    /// An empty one.
    pub fn new(law: MemoryLaw) -> Heap {
        let mut heap = Heap {
            law,
            claims: Vec::new(),
            free: Vec::new(),
            small: 0,
            large: 0,
            young: 0,
            old: 0,
            dead_large: 0,
            since: 0,
            generation: 0,
            due_at: 0,
            pending: None,
            peak: 0,
            allocated: 0,
        };
        heap.plan();
        heap
    }

    /// The process has ended: what it held is gone, what was measured stays.
    pub fn clear(&mut self) {
        let (peak, allocated) = (self.peak, self.allocated);
        *self = Heap { peak, allocated, ..Heap::new(self.law) };
    }

    /// Claims an object; the number names the claim.
    ///
    /// # Errors
    /// If the object does not fit.
    pub fn claim(&mut self, what: &'static str, bytes: u64) -> Result<u64, Lack> {
        self.admit(bytes)?;
        let claimed = Claimed { what, small: 0, large: 0, young: 0, born: self.generation };
        let id = match self.free.pop() {
            Some(id) => id,
            None => {
                self.claims.push(None);
                self.claims.len() as u64 - 1
            }
        };
        self.claims[id as usize] = Some(claimed);
        self.add(id, bytes);
        Ok(id)
    }

    /// The claim has so many bytes from now on: one more object, or fewer bytes. Of small objects the
    /// oldest are given up first.
    ///
    /// # Errors
    /// If the object does not fit; nothing has changed then.
    pub fn resize(&mut self, id: u64, bytes: u64) -> Result<(), Lack> {
        let Some(Some(claimed)) = self.claims.get(id as usize) else { return Ok(()) };
        let has = claimed.small + claimed.large;
        if bytes > has {
            self.admit(bytes - has)?;
            self.add(id, bytes - has);
        } else {
            self.give_up(id, has - bytes);
        }
        Ok(())
    }

    /// The claim is given up.
    pub fn release(&mut self, id: u64) {
        let Some(Some(claimed)) = self.claims.get(id as usize) else { return };
        self.give_up(id, claimed.small + claimed.large);
        self.claims[id as usize] = None;
        self.free.push(id);
    }

    /// An object that is garbage at once.
    ///
    /// # Errors
    /// If it does not fit.
    pub fn allocate(&mut self, bytes: u64) -> Result<(), Lack> {
        self.admit(bytes)?;
        match self.law.collector {
            Collector::None => {}
            _ if bytes >= self.law.large_object => self.dead_large += bytes,
            _ => self.young += bytes,
        }
        Ok(())
    }

    /// A full collection, if there is a collector.
    pub fn collect(&mut self) {
        if self.law.collector == Collector::None {
            return;
        }
        let (garbage, large) = (self.garbage(), self.large + self.dead_large);
        let ns = self.law.full_pause(self.small + self.large, large);
        (self.young, self.old, self.dead_large) = (0, 0, 0);
        (self.since, self.generation) = (0, self.generation + 1);
        self.plan();
        self.told(Collection { full: true, live: self.live(), garbage, ns });
    }

    /// The collection that the last requests made necessary; the world stops for it.
    pub fn take_collection(&mut self) -> Option<Collection> {
        self.pending.take()
    }

    /// Live bytes, the runtime's own included.
    pub fn live(&self) -> u64 {
        self.law.baseline + self.small + self.large
    }

    /// Bytes that nobody claims and nobody has collected.
    pub fn garbage(&self) -> u64 {
        self.young + self.old + self.dead_large
    }

    /// What the process holds.
    pub fn held(&self) -> u64 {
        self.live() + self.garbage()
    }

    /// The most that it has held, over all boots.
    pub fn peak(&self) -> u64 {
        self.peak.max(self.law.baseline)
    }

    /// All bytes that were ever allocated, over all boots.
    pub fn allocated(&self) -> u64 {
        self.allocated
    }

    /// What is claimed, by name: bytes, and how many claims.
    pub fn claimed(&self) -> BTreeMap<&'static str, (u64, u64)> {
        let mut by_name: BTreeMap<&'static str, (u64, u64)> = BTreeMap::new();
        for claimed in self.claims.iter().flatten() {
            let (bytes, count) = by_name.entry(claimed.what).or_default();
            *bytes += claimed.small + claimed.large;
            *count += 1;
        }
        by_name
    }

    /// Room for one more object, if it can be had.
    fn admit(&mut self, bytes: u64) -> Result<(), Lack> {
        if bytes > self.law.object_max {
            return Err(Lack::Refused);
        }
        if self.law.collector != Collector::None {
            self.make_room(bytes)?;
        }
        let held = self.held().saturating_add(bytes);
        if held > self.law.limit {
            return Err(Lack::Ended { held });
        }
        self.allocated = self.allocated.saturating_add(bytes);
        self.peak = self.peak.max(held);
        Ok(())
    }

    /// Collects where that is due, and says whether the heap has room.
    fn make_room(&mut self, bytes: u64) -> Result<(), Lack> {
        if bytes < self.law.large_object {
            self.since += bytes;
            if self.since > self.law.young {
                self.collect_young();
                self.since = bytes;
            }
        }
        if self.held().saturating_add(bytes) > self.due_at {
            self.collect();
        }
        let held = self.held().saturating_add(bytes);
        match self.law.collector {
            _ if held <= self.law.heap_limit => Ok(()),
            Collector::V8 => Err(Lack::Ended { held }),
            _ => Err(Lack::Refused),
        }
    }

    fn collect_young(&mut self) {
        let garbage = std::mem::take(&mut self.young);
        self.generation += 1;
        let (live, ns) = (self.live(), self.law.young_pause_ns);
        self.told(Collection { full: false, live, garbage, ns });
    }

    fn told(&mut self, next: Collection) {
        self.pending = Some(self.pending.map_or(next, |before| before.then(next)));
    }

    /// When the next full collection is due: at the share of the limit, and beyond that when half of
    /// the room that the living leave is used up.
    fn plan(&mut self) {
        let (limit, live) = (self.law.heap_limit, self.live());
        let share = u128::from(limit) * u128::from(self.law.collect_at.0) / u128::from(MILLION);
        let beyond = live + limit.saturating_sub(live) / 2;
        self.due_at = (share as u64).max(beyond).min(limit);
    }

    /// An object that was admitted belongs to the claim.
    fn add(&mut self, id: u64, bytes: u64) {
        let claimed = self.claims[id as usize].as_mut().expect("a claim that was made");
        if bytes >= self.law.large_object {
            claimed.large += bytes;
            self.large += bytes;
        } else {
            if claimed.born != self.generation {
                (claimed.born, claimed.young) = (self.generation, 0);
            }
            claimed.small += bytes;
            claimed.young += bytes;
            self.small += bytes;
        }
    }

    /// The claim has so many bytes fewer.
    fn give_up(&mut self, id: u64, bytes: u64) {
        let claimed = self.claims[id as usize].as_mut().expect("a claim that was made");
        if claimed.born != self.generation {
            (claimed.born, claimed.young) = (self.generation, 0);
        }
        let large = if bytes >= self.law.large_object {
            bytes.min(claimed.large)
        } else {
            bytes.saturating_sub(claimed.small)
        };
        let small = bytes - large;
        let old = small.min(claimed.small - claimed.young);
        claimed.large -= large;
        claimed.small -= small;
        claimed.young -= small - old;
        self.large -= large;
        self.small -= small;
        if self.law.collector != Collector::None {
            self.dead_large += large;
            self.old += old;
            self.young += small - old;
        }
    }
}
