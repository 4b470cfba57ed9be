//! Clients that put values of a given size into the replicated store, one operation after another,
//! and after a blackout read back all that they may have written.
//!
//! Operations are numbered over all clients: client i does i, i + clients, and so on. Each is
//! recorded once. An attempt that surely failed is repeated until the operation's time is over; one
//! whose outcome nobody knows is recorded as such and never repeated, for a second put would hide
//! whether the first was lost.
//!
//! Values are slices of one pool of noise that all runs of the process share: a value of a megabyte
//! is never made or copied, and does not depend on the seed. What is drawn (start, size, slice,
//! pauses) is keyed by client and operation. Left out: reads during the load, deletion, a
//! distribution of keys that is not uniform. Source: the load of document 002.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use host::settings::Word as Choice;
use host::unit::{Size, Span, nanos};
use host::{Mono, Rng};
use kernel::event::OpEnd;
use kernel::registry::{Word, workload};
use kernel::workload::{Client, ClientFuture, Load, Workload};
use store::client::{Client as Store, Found, Outcome};

host::settings! {
    /// The parameters of `kv_write`.
    pub struct Params {
        /// How many clients ask at the same time, each one operation after another.
        clients: u64 = "10", "1..10000";
        /// Operations over all clients.
        count: u64 = "500", "1..100000000";
        /// The size of a value; with `value_max` the least size.
        value: Size = "1MB", "1B..16MB";
        /// The greatest size of a value, which is then drawn uniformly; 0: all values have size
        /// `value`.
        value_max: Size = "0B", "0B..16MB";
        /// Whether every operation has a key of its own, or all clients share a few.
        keys: Choice = "own", "own|shared";
        /// How many keys are shared.
        key_space: u64 = "100", "1..1000000000";
        /// The pause after each operation.
        think: Span = "0ns", "0ns..1h";
        /// Each client begins at a time drawn between zero and this.
        stagger: Duration = "20ms", "0ns..1h";
        /// How long an operation is tried.
        within: Duration = "10s", "1ms..1h";
    }
}

/// The word `kv_write`.
pub fn word() -> Word<Arc<dyn Workload>> {
    let about = "Clients put values into the store, one after another, and read them back after a \
                 blackout.";
    workload("kv_write", about, make)
}

fn make(params: Params) -> Result<KvWrite, String> {
    if params.value_max.0 > 0 && params.value_max < params.value {
        return Err("value_max is smaller than value; give the least size as value".into());
    }
    Ok(KvWrite { params })
}

/// Where values may begin in the pool.
const STARTS: usize = 4 << 20;
/// The longest value.
const LONGEST: usize = 16_000_000;
/// After a refusal the next attempt waits about so long.
const AGAIN: Duration = Duration::from_millis(20);
/// What a value that is not the one written is recorded as.
const DAMAGED: u64 = u64::MAX;

static POOL: LazyLock<Bytes> = LazyLock::new(|| noise(STARTS + LONGEST).into());

/// The same pseudo-random bytes at all times (splitmix64).
fn noise(len: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(len + 8);
    let mut state = 0_u64;
    while out.len() < len {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        out.extend_from_slice(&(z ^ (z >> 31)).to_le_bytes());
    }
    out.truncate(len);
    out
}

/// The number by which a value is recognised.
fn value_id(client: u64, op: u64) -> u64 {
    client << 32 | op
}

/// The load as the scenario describes it.
struct KvWrite {
    params: Params,
}

impl Workload for KvWrite {
    fn clients(&self) -> u64 {
        self.params.clients
    }

    fn start(&self) -> Arc<dyn Load> {
        let asked = Mutex::new(Asked::default());
        Arc::new(KvLoad { params: self.params.clone(), asked })
    }
}

/// What may have been written.
#[derive(Default)]
struct Asked {
    /// Keys, by client.
    keys: BTreeMap<u64, BTreeSet<String>>,
    /// Values, by number.
    values: BTreeMap<u64, Bytes>,
}

impl Asked {
    fn put(&mut self, client: u64, key: &str, id: u64, value: Bytes) {
        self.keys.entry(client).or_default().insert(key.to_string());
        self.values.insert(id, value);
    }

    /// The number of a value that was read, if these are the bytes that were written under it.
    fn recognise(&self, id: u64, read: &Bytes) -> u64 {
        let shared = |a: &Bytes, b: &Bytes| a.as_ptr() == b.as_ptr() && a.len() == b.len();
        match self.values.get(&id) {
            Some(written) if shared(written, read) || written == read => id,
            Some(_) => DAMAGED,
            None => id,
        }
    }
}

/// One operation as drawn.
struct Put {
    op: u64,
    key: String,
    value: Bytes,
    pause: Duration,
}

/// The load of one run.
struct KvLoad {
    params: Params,
    asked: Mutex<Asked>,
}

fn within(rng: &mut Rng, span: Span) -> Duration {
    Duration::from_nanos(rng.between(nanos(span.min), nanos(span.max)))
}

impl Params {
    /// Draws an operation of the client of that name.
    fn draw(&self, name: &str, op: u64, rng: &mut Rng) -> Put {
        let longest = self.value_max.0.max(self.value.0);
        let len = rng.between(self.value.0, longest) as usize;
        let start = rng.below(STARTS as u64) as usize;
        let shared = rng.below(self.key_space);
        let key = match self.keys.0 {
            "own" => format!("{name}-{op}"),
            _ => format!("k{shared}"),
        };
        let pause = within(rng, self.think);
        Put { op, key, value: POOL.slice(start..start + len), pause }
    }

    /// The operations of a client.
    fn ops(&self, client: u64) -> impl Iterator<Item = u64> + use<> {
        (client..self.count).step_by(self.clients as usize)
    }
}

impl KvLoad {
    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn put(&self, client: &Client, store: &mut Store, put: &Put, rng: &mut Rng) {
        let id = value_id(client.number, put.op);
        self.asked().put(client.number, &put.key, id, put.value.clone());
        client.invoked(put.op, "put", &put.key, id);
        let clock = client.host.clock();
        let until = clock.now() + self.params.within;
        let (end, version) = loop {
            let left = until.since(clock.now());
            match store.put(put.key.as_bytes(), put.op, put.value.clone(), left).await {
                Outcome::Ok { version } => break (OpEnd::Ok, version),
                Outcome::Unknown => break (OpEnd::Unknown, 0),
                Outcome::Fail(_) if clock.now() >= until => break (OpEnd::Fail, 0),
                Outcome::Fail(_) => again(client, until, rng).await,
            }
        };
        client.returned(put.op, end, version, id);
    }

    async fn read(&self, client: &Client, store: &mut Store, key: &str) {
        let clock = client.host.clock();
        let mut rng = client.host.rng("read_back", 0);
        let until = clock.now() + self.params.within * 3;
        loop {
            match store.get(key.as_bytes(), until.since(clock.now())).await {
                Found::Value { version, client: writer, op, value } => {
                    let id = self.asked().recognise(value_id(writer, op), &value);
                    return client.read_back(key, Some((version, id)));
                }
                Found::Missing => return client.read_back(key, None),
                Found::Fail(_) if clock.now() >= until => return client.read_back_failed(key),
                Found::Fail(_) => again(client, until, &mut rng).await,
            }
        }
    }
}

/// A pause before the next attempt, never beyond the end.
async fn again(client: &Client, until: Mono, rng: &mut Rng) {
    let clock = client.host.clock();
    let pause = within(rng, Span { min: AGAIN / 2, max: AGAIN * 3 / 2 });
    clock.sleep_until(until.min(clock.now() + pause)).await;
}

impl Load for KvLoad {
    fn load(self: Arc<Self>, client: Client) -> ClientFuture {
        Box::pin(async move {
            let host = client.host.clone();
            let mut store = Store::new(host.clone(), client.members.clone(), client.number);
            let stagger = Span { min: Duration::ZERO, max: self.params.stagger };
            host.clock().sleep(within(&mut host.rng("start", 0), stagger)).await;
            for op in self.params.ops(client.index).filter(|op| !client.skips(*op)) {
                let mut rng = host.rng("load", op);
                let put = self.params.draw(host.name(), op, &mut rng);
                self.put(&client, &mut store, &put, &mut rng).await;
                host.clock().sleep(put.pause).await;
            }
        })
    }

    fn read_back(self: Arc<Self>, client: Client) -> ClientFuture {
        Box::pin(async move {
            let mut store = Store::new(client.host.clone(), client.members.clone(), client.number);
            let keys = self.asked().keys.get(&client.number).cloned().unwrap_or_default();
            for key in keys {
                self.read(&client, &mut store, &key).await;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::registry::Params as Written;

    fn params(settings: &[(&str, &str)]) -> Params {
        let mut params = Params::default();
        for (key, text) in settings {
            host::settings::Settings::set(&mut params, key, text).expect("a good setting");
        }
        params
    }

    fn draw(params: &Params, op: u64) -> Put {
        params.draw("c3", op, &mut Rng::from_key([op as u8; 32]))
    }

    #[test]
    fn every_operation_belongs_to_one_client() {
        let params = params(&[("clients", "3"), ("count", "10")]);
        let mut all: Vec<u64> = (0..3).flat_map(|client| params.ops(client)).collect();
        all.sort_unstable();
        assert_eq!(all, (0..10).collect::<Vec<u64>>());
        assert_eq!(params.ops(1).collect::<Vec<u64>>(), [1, 4, 7]);
    }

    #[test]
    fn a_drawn_value_is_a_slice_of_the_pool_in_the_wanted_range() {
        let fixed = draw(&params(&[("value", "16MB")]), 7);
        assert_eq!((fixed.key.as_str(), fixed.value.len()), ("c3-7", 16_000_000));
        let pool = POOL.as_ptr() as usize..POOL.as_ptr() as usize + POOL.len();
        assert!(pool.contains(&(fixed.value.as_ptr() as usize)));
        let varied = params(&[("value", "1KB"), ("value_max", "2MB"), ("keys", "shared")]);
        let sizes: BTreeSet<usize> = (0..20).map(|op| draw(&varied, op).value.len()).collect();
        assert!(sizes.len() > 10 && sizes.iter().all(|s| (1_000..=2_000_000).contains(s)));
        assert!(draw(&varied, 1).key.starts_with('k'));
    }

    #[test]
    fn damage_is_told_from_what_was_written() {
        let mut asked = Asked::default();
        asked.put(1, "k", value_id(1, 5), Bytes::from_static(b"noise"));
        assert_eq!(
            asked.recognise(value_id(1, 5), &Bytes::from(b"noise".to_vec())),
            value_id(1, 5)
        );
        assert_eq!(asked.recognise(value_id(1, 5), &Bytes::from_static(b"noisy")), DAMAGED);
        assert_eq!(asked.recognise(value_id(9, 9), &Bytes::from_static(b"noise")), value_id(9, 9));
    }

    #[test]
    fn the_noise_is_always_the_same() {
        assert_eq!(noise(4), noise(9)[..4]);
        assert_eq!(noise(9).len(), 9);
        assert_eq!(noise(4), [0xaf, 0xcd, 0x1d, 0x7b]);
    }

    #[test]
    fn sizes_that_run_backwards_are_refused() {
        let written = Written::from([
            ("value".to_string(), "2MB".to_string()),
            ("value_max".to_string(), "1MB".to_string()),
        ]);
        let (key, why) = word().make(&written).err().expect("refused");
        assert_eq!(key, "");
        assert!(why.contains("value_max is smaller"), "{why}");
        assert!(word().make(&Written::new()).is_ok());
    }
}
