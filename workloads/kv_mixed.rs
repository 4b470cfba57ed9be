//! Clients that put, delete, compare and set, get and range over a few keys that all of them share,
//! and now and then ask for another leader; after a blackout every key that anybody asked about is
//! read back, by one client.
//!
//! Each operation draws its kind by the given shares; what is left over are puts. A compare-and-set
//! expects the version that its client last saw of the key, so it often fails where others write:
//! that is its use. What a read finds is recorded per key and before its outcome, missing keys too;
//! a range that was cut short says nothing of the keys behind the cut. A read that brings no answer
//! is recorded as failed, for it changes nothing.
//!
//! What is drawn is keyed by client and operation, whatever else happens; only the version that a
//! compare-and-set expects depends on the run. Left out: popular keys. Source: etcd's robustness
//! tests.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use host::Rng;
use host::settings::Word as Choice;
use host::unit::{Ratio, Size, Span};
use kernel::event::OpEnd;
use kernel::registry::{Word, workload};
use kernel::workload::{Client, ClientFuture, Load, Workload};
use store::client::{Client as Store, Found, Item, Listing, Manners, Outcome};

use crate::kv::{self, Ledger, value_id};

host::settings! {
    /// The parameters of `kv_mixed`.
    pub struct Params {
        /// How many clients ask at the same time, each one operation after another.
        clients: u64 = "5", "1..10000";
        /// Operations over all clients.
        count: u64 = "500", "1..100000000";
        /// The size of a value; with `value_max` the least size.
        value: Size = "1KB", "1B..16MB";
        /// The greatest size of a value, which is then drawn uniformly; 0: all values have size
        /// `value`.
        value_max: Size = "0B", "0B..16MB";
        /// How many keys all clients share.
        key_space: u64 = "20", "1..1000000000";
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
        /// The share of operations that read a key.
        gets: Ratio = "30%", "0%..100%";
        /// The share that delete a key.
        deletes: Ratio = "5%", "0%..100%";
        /// The share that put a value if the key is as the client last saw it.
        cas: Ratio = "15%", "0%..100%";
        /// The share that read up to 16 keys in a row.
        ranges: Ratio = "5%", "0%..100%";
        /// The share that ask for a certain leader.
        transfers: Ratio = "0%", "0%..100%";
    }
}

/// The word `kv_mixed`.
pub fn word() -> Word<Arc<dyn Workload>> {
    let about = "Clients put, delete, compare and set, get and range over keys that they share, and \
                 read every key back after a blackout.";
    workload("kv_mixed", about, make)
}

fn make(params: Params) -> Result<KvMixed, String> {
    let sizes = kv::sizes(params.value, params.value_max)?;
    let all: u32 = params.shares().iter().map(|(_, share)| share.0).sum();
    if all > 1_000_000 {
        let all = f64::from(all) / 10_000.0;
        return Err(format!(
            "gets, deletes, cas, ranges and transfers are {all}% together; allowed: up to 100%"
        ));
    }
    Ok(KvMixed { params, sizes })
}

/// The load as the scenario describes it.
struct KvMixed {
    params: Params,
    sizes: (u64, u64),
}

impl Workload for KvMixed {
    fn clients(&self) -> u64 {
        self.params.clients
    }

    fn start(&self) -> Arc<dyn Load> {
        let (params, sizes) = (self.params.clone(), self.sizes);
        Arc::new(MixedLoad { params, sizes, ledger: Ledger::default() })
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Put,
    Get,
    Delete,
    CompareAndSet,
    Range,
    Transfer,
}

/// The most keys that one range reads.
const SLICE: u64 = 16;

impl Params {
    fn manners(&self) -> Manners {
        kv::manners(self.attempt, self.backoff)
    }

    fn shares(&self) -> [(Kind, Ratio); 5] {
        [
            (Kind::Get, self.gets),
            (Kind::Delete, self.deletes),
            (Kind::CompareAndSet, self.cas),
            (Kind::Range, self.ranges),
            (Kind::Transfer, self.transfers),
        ]
    }

    fn kind(&self, mut roll: u32) -> Kind {
        for (kind, share) in self.shares() {
            match roll.checked_sub(share.0) {
                Some(rest) => roll = rest,
                None => return kind,
            }
        }
        Kind::Put
    }

    /// The name of a key; names are in the order of the numbers.
    fn name(&self, key: u64) -> String {
        let width = (self.key_space - 1).to_string().len();
        format!("k{key:0width$}")
    }

    /// Consecutive keys of the space, from `first` on.
    fn slice(&self, first: u64, keys: u64) -> Vec<String> {
        (first..self.key_space.min(first + keys)).map(|key| self.name(key)).collect()
    }
}

/// One operation as drawn. Everything is drawn for every kind, so that a change of the shares
/// changes kinds and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    op: u64,
    kind: Kind,
    key: u64,
    value: Bytes,
    /// Keys of a range.
    keys: u64,
    /// Position of a member.
    member: usize,
    pause: Duration,
}

/// The load of one run.
struct MixedLoad {
    params: Params,
    sizes: (u64, u64),
    ledger: Ledger,
}

/// One client at work.
struct Worker<'a> {
    load: &'a MixedLoad,
    client: &'a Client,
    store: Store,
    /// The version of each key when this client last saw it; 0 if it was missing.
    seen: BTreeMap<String, u64>,
}

impl MixedLoad {
    fn draw(&self, members: usize, op: u64, rng: &mut Rng) -> Asked {
        let kind = self.params.kind(rng.below(1_000_000) as u32);
        Asked {
            op,
            kind,
            key: rng.below(self.params.key_space),
            value: kv::draw_value(&kv::POOL, self.sizes, rng),
            keys: rng.between(1, SLICE),
            member: rng.below(members as u64) as usize,
            pause: kv::draw_span(self.params.think, rng),
        }
    }
}

impl Worker<'_> {
    async fn ask(&mut self, asked: &Asked) {
        let key = self.load.params.name(asked.key);
        if !matches!(asked.kind, Kind::Range | Kind::Transfer) {
            self.load.ledger.key(self.client.number, &key);
        }
        match asked.kind {
            Kind::Put | Kind::CompareAndSet | Kind::Delete => self.command(asked, key).await,
            Kind::Get => self.get(asked, key).await,
            Kind::Range => self.range(asked).await,
            Kind::Transfer => self.transfer(asked).await,
        }
    }

    async fn command(&mut self, asked: &Asked, key: String) {
        let (op, within) = (asked.op, self.load.params.within);
        let (id, value) = match asked.kind {
            Kind::Delete => (0, Bytes::new()),
            _ => (value_id(self.client.number, op), asked.value.clone()),
        };
        if id > 0 {
            self.load.ledger.value(id, &value);
        }
        let store = &mut self.store;
        let outcome = match asked.kind {
            Kind::Delete => {
                self.client.invoked(op, "delete", &key, id);
                store.delete(key.as_bytes(), op, within).await
            }
            Kind::CompareAndSet => {
                self.client.invoked(op, "cas", &key, id);
                let expected = self.seen.get(&key).copied().unwrap_or(0);
                self.client.expects(op, expected);
                store.compare_and_set(key.as_bytes(), op, expected, value, within).await
            }
            _ => {
                self.client.invoked(op, "put", &key, id);
                store.put(key.as_bytes(), op, value, within).await
            }
        };
        let (end, version) = end(&outcome);
        self.client.returned(op, end, version, id);
        match outcome {
            Outcome::Ok { .. } if asked.kind == Kind::Delete => self.seen.insert(key, 0),
            Outcome::Ok { version } | Outcome::Mismatch { version } => {
                self.seen.insert(key, version)
            }
            Outcome::Fail(_) | Outcome::Unknown => None,
        };
    }

    async fn get(&mut self, asked: &Asked, key: String) {
        self.client.invoked(asked.op, "get", &key, 0);
        let found = match self.store.get(key.as_bytes(), self.load.params.within).await {
            Found::Value { version, client, op, value } => {
                Some((version, self.load.ledger.recognise(client, op, &value)))
            }
            Found::Missing => None,
            Found::Fail(_) => return self.client.returned(asked.op, OpEnd::Fail, 0, 0),
        };
        self.client.read(asked.op, &key, found);
        let (version, id) = found.unwrap_or((0, 0));
        self.client.returned(asked.op, OpEnd::Ok, version, id);
        self.seen.insert(key, version);
    }

    async fn range(&mut self, asked: &Asked) {
        let keys = self.load.params.slice(asked.key, asked.keys);
        let (first, last) = (&keys[0], &keys[keys.len() - 1]);
        self.client.invoked(asked.op, "range", &format!("{first}..{last}"), 0);
        // The least name behind the last one.
        let behind = format!("{last}\0");
        let (from, to, limit) = (first.as_bytes(), behind.as_bytes(), keys.len() as u32);
        match self.store.range(from, to, limit, self.load.params.within).await {
            Listing::Items { items, more } => {
                let reached = reached(&keys, &items, more);
                for key in keys.into_iter().take(reached) {
                    let item = items.iter().find(|item| item.key == key.as_bytes());
                    let found = item.map(|item| {
                        let id = self.load.ledger.recognise(item.client, item.op, &item.value);
                        (item.version, id)
                    });
                    self.client.read(asked.op, &key, found);
                    self.seen.insert(key, found.map_or(0, |(version, _)| version));
                }
                self.client.returned(asked.op, OpEnd::Ok, 0, 0);
            }
            Listing::Fail(_) => self.client.returned(asked.op, OpEnd::Fail, 0, 0),
        }
    }

    async fn transfer(&mut self, asked: &Asked) {
        let member = &self.client.members.all[asked.member];
        self.client.invoked(asked.op, "transfer", &member.name, 0);
        let outcome = self.store.transfer(member.id, self.load.params.within).await;
        let (end, version) = end(&outcome);
        self.client.returned(asked.op, end, version, 0);
    }
}

/// How a command's outcome is recorded; one whose condition did not hold has failed.
fn end(outcome: &Outcome) -> (OpEnd, u64) {
    match outcome {
        Outcome::Ok { version } => (OpEnd::Ok, *version),
        Outcome::Mismatch { .. } | Outcome::Fail(_) => (OpEnd::Fail, 0),
        Outcome::Unknown => (OpEnd::Unknown, 0),
    }
}

/// Of how many of the keys a listing tells whether they are there.
fn reached(keys: &[String], items: &[Item], more: bool) -> usize {
    match (more, items.last()) {
        (false, _) => keys.len(),
        (true, None) => 0,
        (true, Some(last)) => keys.iter().take_while(|key| key.as_bytes() <= &last.key[..]).count(),
    }
}

impl Load for MixedLoad {
    fn load(self: Arc<Self>, client: Client) -> ClientFuture {
        Box::pin(async move {
            let store = kv::dial(&client, self.params.manners());
            let mut worker = Worker { load: &self, client: &client, store, seen: BTreeMap::new() };
            kv::begin(&client, self.params.stagger).await;
            let ops = kv::ops(client.index, self.params.clients, self.params.count);
            for op in ops {
                let members = client.members.all.len();
                let asked = self.draw(members, op, &mut client.host.rng("load", op));
                // What a plan leaves out still takes its pause: the rest comes at about its time.
                if !client.skips(op) {
                    worker.ask(&asked).await;
                }
                client.host.clock().sleep(asked.pause).await;
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

    fn load(settings: &[(&str, &str)]) -> MixedLoad {
        let mut params = Params::default();
        for (key, text) in settings {
            host::settings::Settings::set(&mut params, key, text).expect("a good setting");
        }
        let KvMixed { params, sizes } = make(params).expect("good parameters");
        MixedLoad { params, sizes, ledger: Ledger::default() }
    }

    fn draw(load: &MixedLoad, op: u64) -> Asked {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&op.to_le_bytes());
        load.draw(3, op, &mut Rng::from_key(key))
    }

    #[test]
    fn kinds_come_by_their_shares() {
        let load =
            load(&[("gets", "20%"), ("deletes", "10%"), ("cas", "30%"), ("transfers", "1%")]);
        let mut kinds = BTreeMap::new();
        for op in 0..2_000 {
            *kinds.entry(draw(&load, op).kind).or_insert(0_i32) += 1;
        }
        let near =
            |kind, want: i32| assert!((kinds[&kind] - want).abs() < 100, "{kind:?}: {kinds:?}");
        near(Kind::Get, 400);
        near(Kind::Delete, 200);
        near(Kind::CompareAndSet, 600);
        near(Kind::Range, 100);
        near(Kind::Put, 680);
        assert!((1..60).contains(&kinds[&Kind::Transfer]), "{kinds:?}");
    }

    #[test]
    fn a_change_of_the_shares_changes_kinds_only() {
        let (some, none) = (load(&[]), load(&[("gets", "0%"), ("ranges", "0%"), ("cas", "0%")]));
        for op in 0..50 {
            let (a, b) = (draw(&some, op), draw(&none, op));
            assert_eq!(Asked { kind: Kind::Put, ..a }, Asked { kind: Kind::Put, ..b });
        }
    }

    #[test]
    fn names_are_in_the_order_of_their_numbers() {
        let load = load(&[("key_space", "1000")]);
        let names: Vec<String> = (0..1000).map(|key| load.params.name(key)).collect();
        assert!(names.is_sorted());
        assert_eq!(names[7], "k007");
        assert_eq!(load.params.slice(998, 16), ["k998", "k999"]);
        assert_eq!(load.params.slice(0, 2), ["k000", "k001"]);
    }

    #[test]
    fn a_listing_that_was_cut_short_says_nothing_of_the_rest() {
        let keys = ["k1", "k2", "k3", "k4"].map(String::from);
        let item = |key: &str| Item {
            key: Bytes::copy_from_slice(key.as_bytes()),
            version: 1,
            client: 1,
            op: 1,
            value: Bytes::new(),
        };
        assert_eq!(reached(&keys, &[], false), 4);
        assert_eq!(reached(&keys, &[], true), 0);
        assert_eq!(reached(&keys, &[item("k2")], true), 2);
        assert_eq!(reached(&keys, &[item("k1"), item("k4")], true), 4);
    }

    #[test]
    fn shares_beyond_the_whole_are_refused() {
        let written = |pairs: &[(&str, &str)]| -> Written {
            pairs.iter().map(|(key, text)| (key.to_string(), text.to_string())).collect()
        };
        let most = written(&[("gets", "75%"), ("transfers", "0%")]);
        assert!(word().make(&most).is_ok());
        let (_, why) = word().make(&written(&[("gets", "76%")])).err().expect("refused");
        assert!(why.contains("101% together"), "{why}");
    }
}
