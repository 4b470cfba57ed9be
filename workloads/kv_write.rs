//! Clients that put values of a given size into the replicated store, one operation after another,
//! and after a blackout read back all that they may have written.
//!
//! Operations are numbered over all clients: client i does i, i + clients, and so on. Each is
//! recorded once. While its time is not over the client library sends it again, under one number of
//! its session, so that it is done once whichever attempt arrives; then an outcome that nobody knows
//! is recorded as such, and the operation is not asked for again.
//!
//! What is drawn (start, size, slice, pauses) is keyed by client and operation. Left out: reads
//! during the load, deletion (see `kv_mixed`), a distribution of keys that is not uniform. Source:
//! the load of document 002.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use host::Rng;
use host::settings::Word as Choice;
use host::unit::{Ratio, Size, Span};
use kernel::event::OpEnd;
use kernel::registry::{Word, workload};
use kernel::workload::{Client, ClientFuture, Load, Workload};
use store::client::{Client as Store, Manners, Outcome};

use crate::kv::{self, Ledger, value_id};

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
        /// How long each attempt at it waits for its answer; 0: a quarter of the whole, and half a
        /// second at least.
        attempt: Duration = "0ns", "0ns..1h";
        /// Whether there are pauses between attempts, which grow, or the next one comes at once.
        backoff: Choice = "on", "on|off";
        /// Whether an operation is tried again while its time is not over. If not, an answer that is
        /// none, redirections apart, ends it, and so does none in time; it counts as not done then, or
        /// as unknown.
        repeats: Choice = "on", "on|off";
        /// Values are noise, or a short pattern that repeats with some noise in it.
        content: Choice = "random", "random|pattern";
        /// The share of a pattern's bytes that are noise, on which it depends how far it compresses.
        random_share: Ratio = "0%", "0%..100%";
    }
}

impl Params {
    fn manners(&self) -> Manners {
        let once = self.repeats.0 == "off";
        Manners { once, ..kv::manners(self.attempt, self.backoff) }
    }
}

/// The word `kv_write`.
pub fn word() -> Word<Arc<dyn Workload>> {
    let about = "Clients put values into the store, one after another, and read them back after a \
                 blackout.";
    workload("kv_write", about, make)
}

fn make(params: Params) -> Result<KvWrite, String> {
    let sizes = kv::sizes(params.value, params.value_max)?;
    if params.random_share.0 > 0 && params.content.0 == "random" {
        return Err(
            "random_share says nothing about content = \"random\", which is all noise".into()
        );
    }
    Ok(KvWrite { params, sizes })
}

/// The load as the scenario describes it.
struct KvWrite {
    params: Params,
    sizes: (u64, u64),
}

impl Workload for KvWrite {
    fn clients(&self) -> u64 {
        self.params.clients
    }

    fn start(&self) -> Arc<dyn Load> {
        let (params, sizes) = (self.params.clone(), self.sizes);
        let pool = kv::pool(params.content, params.random_share);
        Arc::new(KvLoad { params, sizes, pool, ledger: Ledger::default() })
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
    sizes: (u64, u64),
    /// What values are slices of.
    pool: Bytes,
    ledger: Ledger,
}

impl KvLoad {
    /// Draws an operation of the client of that name.
    fn draw(&self, name: &str, op: u64, rng: &mut Rng) -> Put {
        let value = kv::draw_value(&self.pool, self.sizes, rng);
        let shared = rng.below(self.params.key_space);
        let key = match self.params.keys.0 {
            "own" => format!("{name}-{op}"),
            _ => format!("k{shared}"),
        };
        Put { op, key, value, pause: kv::draw_span(self.params.think, rng) }
    }

    async fn put(&self, client: &Client, store: &mut Store, put: &Put) {
        let id = value_id(client.number, put.op);
        self.ledger.key(client.number, &put.key);
        self.ledger.value(id, &put.value);
        client.invoked(put.op, "put", &put.key, id);
        let within = self.params.within;
        let (end, version) =
            match store.put(put.key.as_bytes(), put.op, put.value.clone(), within).await {
                Outcome::Ok { version } => (OpEnd::Ok, version),
                Outcome::Unknown => (OpEnd::Unknown, 0),
                Outcome::Mismatch { .. } | Outcome::Fail(_) => (OpEnd::Fail, 0),
            };
        client.returned(put.op, end, version, id);
    }
}

impl Load for KvLoad {
    fn load(self: Arc<Self>, client: Client) -> ClientFuture {
        Box::pin(async move {
            let host = client.host.clone();
            let mut store = kv::dial(&client, self.params.manners());
            kv::begin(&client, self.params.stagger).await;
            let ops = kv::ops(client.index, self.params.clients, self.params.count);
            for op in ops {
                let put = self.draw(host.name(), op, &mut host.rng("load", op));
                // What a plan leaves out still takes its pause: the rest comes at about its time.
                if !client.skips(op) {
                    self.put(&client, &mut store, &put).await;
                }
                host.clock().sleep(put.pause).await;
            }
        })
    }

    fn read_back(self: Arc<Self>, client: Client) -> ClientFuture {
        Box::pin(async move { self.ledger.read_back(&client, self.params.within * 3).await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::registry::Params as Written;
    use std::collections::BTreeSet;

    fn load(settings: &[(&str, &str)]) -> KvLoad {
        let mut params = Params::default();
        for (key, text) in settings {
            host::settings::Settings::set(&mut params, key, text).expect("a good setting");
        }
        let KvWrite { params, sizes } = make(params).expect("good parameters");
        let pool = kv::pool(params.content, params.random_share);
        KvLoad { params, sizes, pool, ledger: Ledger::default() }
    }

    fn draw(load: &KvLoad, op: u64) -> Put {
        load.draw("c3", op, &mut Rng::from_key([op as u8; 32]))
    }

    #[test]
    fn a_value_has_the_wanted_size_and_a_key_of_the_wanted_kind() {
        let fixed = draw(&load(&[("value", "16MB")]), 7);
        assert_eq!((fixed.key.as_str(), fixed.value.len()), ("c3-7", 16_000_000));
        let varied = load(&[("value", "1KB"), ("value_max", "2MB"), ("keys", "shared")]);
        let sizes: BTreeSet<usize> = (0..20).map(|op| draw(&varied, op).value.len()).collect();
        assert!(sizes.len() > 10 && sizes.iter().all(|s| (1_000..=2_000_000).contains(s)));
        assert!(draw(&varied, 1).key.starts_with('k'));
    }

    #[test]
    fn content_decides_nothing_but_the_bytes() {
        let noise = draw(&load(&[("value", "10KB")]), 7);
        let settings = [("value", "10KB"), ("content", "pattern"), ("random_share", "1%")];
        let pattern = draw(&load(&settings), 7);
        assert_eq!((noise.key, noise.pause), (pattern.key, pattern.pause));
        assert_eq!(noise.value.len(), pattern.value.len());
        let letters = |value: &Bytes| value.iter().filter(|b| b.is_ascii_uppercase()).count();
        assert!(letters(&pattern.value) > 9_800 && letters(&noise.value) < 2_000);
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
        let written = Written::from([("random_share".to_string(), "1%".to_string())]);
        assert!(word().make(&written).err().expect("refused").1.contains("random_share"));
    }
}
