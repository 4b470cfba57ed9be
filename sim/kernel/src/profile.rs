//! Hardware: every constant of a machine, read from a file in `sim/profiles/` and from nowhere else.
//!
//! Each constant is a table with its value, what it means physically, where it comes from, and the document
//! rows it was fitted on. Prices of named kinds of work (`[cost.snapshot_serialize.base]`) belong to the
//! profile too: node code says what it does, the machine says what that costs.

use std::collections::BTreeMap;
use std::time::Duration;

use host::Work;
use host::settings::{Setting, Settings, Word};
use host::unit::{Quantiles, Rate, Ratio, Size, Span, nanos};

use crate::doc::{Item, Reader, Value};
use crate::model::memory::{Collector, MemoryLaw};

// The defaults are the least allowed values and are never in force: a profile that leaves a constant out is
// refused.
host::settings! {
    /// The constants of one kind of machine.
    pub struct Hardware {
        /// One-way delay of a frame between two hosts.
        link_latency: Quantiles = "p0 0ns, p100 0ns";
        /// Speed of each directed link.
        link_bandwidth: Rate = "1kB/s", "1kB/s..1TB/s";
        /// Bytes that may be under way on a connection before its sender waits.
        link_window: Size = "64KiB", "64KiB..1GiB";
        /// First retransmission of a frame that a cut or a loss has swallowed; doubles up to ten times this.
        link_retransmit: Duration = "1ms", "1ms..10s";
        /// A connection whose frames were not taken for so long is given up by its sender.
        link_give_up: Duration = "100ms", "100ms..1h";
        /// Cores per host.
        cores: u64 = "1", "1..256";
        /// How long a runnable thread keeps a core while others wait.
        quantum: Duration = "10us", "10us..1s";
        /// Sustained sequential write speed of the device.
        disk_write_bandwidth: Rate = "1kB/s", "1kB/s..1TB/s";
        /// Sequential read speed of the device.
        disk_read_bandwidth: Rate = "1kB/s", "1kB/s..1TB/s";
        /// Fixed time of one operation on the device.
        disk_operation: Duration = "0ns", "0ns..1s";
        /// Time the device takes to make a flushed write durable.
        disk_sync: Quantiles = "p0 0ns, p100 0ns";
        /// Speed of copying into and out of the page cache.
        cache_bandwidth: Rate = "1kB/s", "1kB/s..10TB/s";
        /// Fixed time of one operation on the page cache.
        cache_operation: Duration = "0ns", "0ns..1s";
        /// Unsynced bytes of a host above which writers wait for the device.
        dirty_limit: Size = "64KiB", "64KiB..1TiB";
        /// Age at which unsynced bytes are written back without being asked for.
        writeback_after: Duration = "1ms", "1ms..1h";
        /// Room on each host's disk.
        disk_capacity: Size = "1MiB", "1MiB..1024GiB";
        /// Whether every host has a device of its own or all share one.
        disk_devices: Word = "own", "own|shared";
        /// From power to the first step of the node's process.
        boot_time: Span = "0ns", "0ns..1h";
        /// Difference of each host's monotonic clock from true time, at most, in parts per million.
        clock_drift_ppm: u64 = "0", "0..100000";
        /// Offset of each host's wall clock from true time, at most.
        clock_offset: Duration = "0ns", "0ns..1h";
        /// Who frees what a process drops: the program itself, or a collector.
        memory_collector: Word = "none", "none|dotnet_server|v8";
        /// What a process may hold before the system ends it.
        memory_limit: Size = "1MiB", "1MiB..1024TiB";
        /// What a collected heap may hold; beyond it .NET refuses and V8 ends.
        memory_heap_limit: Size = "1MiB", "1MiB..1024TiB";
        /// The largest object.
        memory_object_max: Size = "1MiB", "1MiB..1024TiB";
        /// What the runtime holds from the start.
        memory_baseline: Size = "0B", "0B..1TiB";
        /// From this size on only a full collection frees an object.
        memory_large_object: Size = "1B", "1B..1TiB";
        /// Small objects allocated between two collections of the young generation.
        memory_young: Size = "64KiB", "64KiB..1TiB";
        /// How long one of those stops every thread.
        memory_young_pause: Duration = "0ns", "0ns..1h";
        /// The share of the heap's limit at which a full collection begins by itself.
        memory_collect_at: Ratio = "1%", "1%..100%";
        /// How long a full collection stops every thread at least.
        memory_pause_base: Duration = "0ns", "0ns..1h";
        /// And how long for each 1,000,000 live bytes.
        memory_pause_per_live_mb: Duration = "0ns", "0ns..1h";
        /// And how long for each 1,000,000 bytes of large objects, dead ones included.
        memory_pause_per_large_mb: Duration = "0ns", "0ns..1h";
    }
}

impl Hardware {
    /// The law of a process's memory.
    pub fn memory(&self) -> MemoryLaw {
        MemoryLaw {
            collector: match self.memory_collector.0 {
                "dotnet_server" => Collector::DotnetServer,
                "v8" => Collector::V8,
                _ => Collector::None,
            },
            limit: self.memory_limit.0,
            heap_limit: self.memory_heap_limit.0,
            object_max: self.memory_object_max.0,
            baseline: self.memory_baseline.0,
            large_object: self.memory_large_object.0,
            young: self.memory_young.0,
            young_pause_ns: nanos(self.memory_young_pause),
            collect_at: self.memory_collect_at,
            pause_base_ns: nanos(self.memory_pause_base),
            pause_per_live_mb_ns: nanos(self.memory_pause_per_live_mb),
            pause_per_large_mb_ns: nanos(self.memory_pause_per_large_mb),
        }
    }

    /// Links and disks take their median every time.
    pub fn calm(&mut self) {
        for spread in [&mut self.link_latency, &mut self.disk_sync] {
            *spread = Quantiles::constant(Duration::from_nanos(spread.at_ppm(500_000)));
        }
    }
}

/// What a kind of work costs: `base + bytes * per_mb / 1 MB`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Price {
    /// Nanoseconds each time.
    pub base_ns: u64,
    /// Nanoseconds for each 1,000,000 bytes.
    pub per_mb_ns: u64,
}

/// A constant as a profile has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constant {
    /// Its key below `profile`: `disk_sync`, `cost.snapshot_serialize.base`.
    pub name: String,
    /// As written.
    pub value: String,
    /// The rows of documents that it was fitted on.
    pub fitted_on: Vec<String>,
    /// `file:line:column`, or `--set`.
    pub place: String,
}

impl Constant {
    /// The kind of work whose price it is part of.
    pub fn price_of(&self) -> Option<&str> {
        self.name.strip_prefix("cost.")?.rsplit_once('.').map(|(kind, _)| kind)
    }
}

/// A machine: constants and prices.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// The constants.
    pub hardware: Hardware,
    /// Every constant that was written.
    pub constants: Vec<Constant>,
    prices: BTreeMap<String, Price>,
}

impl Profile {
    /// How long a piece of work holds its thread, in nanoseconds. Work without a price is free.
    pub fn price(&self, work: Work) -> u64 {
        let Some(price) = self.prices.get(work.kind) else { return 0 };
        let bytes = u128::from(work.bytes) * u128::from(price.per_mb_ns) / 1_000_000;
        price.base_ns.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX))
    }

    /// Reads the section `profile` of a scenario's document.
    pub fn read(reader: &mut Reader<'_>) -> Profile {
        let hardware = reader.settings("profile", ".value");
        let named = reader.doc.has_table("profile");
        for field in Hardware::fields() {
            if named && reader.doc.get(&format!("profile.{}.value", field.name)).is_none() {
                let text = format!("the profile does not say `{}`: {}", field.name, field.about);
                reader.problem("profile", text);
            }
        }
        let mut prices = BTreeMap::new();
        for kind in reader.doc.children("profile.cost") {
            let mut price = Price::default();
            let section = format!("profile.cost.{kind}");
            for (name, slot) in [("base", &mut price.base_ns), ("per_mb", &mut price.per_mb_ns)] {
                let key = reader.expect(&section, name);
                if let Some(text) = reader.one(&key, "value") {
                    match <Duration as Setting>::parse(&text, "0ns..1h") {
                        Ok(d) => *slot = nanos(d),
                        Err(why) => reader.problem(&format!("{key}.value"), why),
                    }
                    reader.note(&format!("{key}.value"));
                }
            }
            prices.insert(kind, price);
        }
        reader.accept_below("profile.claims");
        let written = written(reader);
        let constants = written.iter().map(|path| provenance(reader, path)).collect();
        Profile { hardware, constants, prices }
    }
}

/// The paths below which a `value` was written.
fn written(reader: &Reader<'_>) -> Vec<String> {
    let below = reader.doc.keys().filter(|k| k.starts_with("profile."));
    below.filter_map(|k| k.strip_suffix(".value")).map(str::to_string).collect()
}

/// A constant that comes from a file says what it means and where it is from.
fn provenance(reader: &mut Reader<'_>, path: &str) -> Constant {
    let item = reader.doc.get(&format!("{path}.value")).cloned();
    let from_file = item.as_ref().is_some_and(|i| i.place != "--set");
    for name in ["about", "origin"] {
        if reader.one(path, name).is_none() && from_file {
            reader.problem(path, format!("a constant needs `{name}`"));
        }
    }
    let key = reader.expect(path, "fitted_on");
    let fitted_on = match reader.doc.get(&key).map(|i| i.value.clone()) {
        Some(Value::Many(rows)) => rows,
        _ if from_file => {
            let why = "a constant needs `fitted_on = [rows]`, empty if it is not fitted";
            reader.problem(path, why);
            Vec::new()
        }
        _ => Vec::new(),
    };
    let name = path.strip_prefix("profile.").unwrap_or(path).to_string();
    let (value, place) = match item {
        Some(Item { value: Value::One(value), place }) => (value, place),
        Some(Item { place, .. }) => (String::new(), place),
        None => (String::new(), String::new()),
    };
    Constant { name, value, fitted_on, place }
}
