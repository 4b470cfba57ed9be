//! What the loads on the store share: values, the ledger of what was asked for, and the reading
//! back after a blackout.
//!
//! Values are slices of one pool of noise that all runs of the process share: a value of a megabyte
//! is never made or copied, and does not depend on the seed. A pool that compresses is a short pattern
//! that repeats, with noise in between: its share of bytes decides how far it compresses. A value is
//! recognised by the client and the operation that the store keeps with it, and is damaged if its
//! bytes are not the ones that were asked for under these. Left out: telling a value that came twice
//! from one that came once.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use host::Rng;
use host::settings::Word as Choice;
use host::unit::{Ratio, Size, Span, nanos};
use kernel::workload::Client;
use store::client::{Client as Store, Found, Manners, Pauses, Twice};

/// Where values may begin in the pool.
const STARTS: usize = 4 << 20;
/// The longest value.
const LONGEST: usize = 16_000_000;
/// What a value that is not the one written is recorded as.
const DAMAGED: u64 = u64::MAX;

/// The pool of noise.
pub(crate) static POOL: LazyLock<Bytes> = LazyLock::new(|| noise(STARTS + LONGEST).into());

/// Bytes of a pool in which the wanted share is noise once.
const STRETCH: usize = 4096;
const PATTERN: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// Pools of patterns, by the share of noise in millionths.
static PATTERNS: Mutex<BTreeMap<u32, Bytes>> = Mutex::new(BTreeMap::new());

/// The pool of which values are slices.
pub(crate) fn pool(content: Choice, random_share: Ratio) -> Bytes {
    match content.0 {
        "pattern" => {
            let mut made = PATTERNS.lock().unwrap_or_else(PoisonError::into_inner);
            made.entry(random_share.0).or_insert_with(|| patterned(random_share.0).into()).clone()
        }
        _ => POOL.clone(),
    }
}

/// A pattern with noise at the beginning of each stretch.
fn patterned(ppm: u32) -> Vec<u8> {
    let mut out: Vec<u8> = PATTERN.iter().copied().cycle().take(POOL.len()).collect();
    // Noise that is due up to a position, so that a share of less than a byte per stretch adds up.
    let due = |at: usize| at * ppm as usize / 1_000_000;
    for from in (0..out.len()).step_by(STRETCH) {
        let to = out.len().min(from + STRETCH);
        let noisy = from..from + due(to) - due(from);
        out[noisy.clone()].copy_from_slice(&POOL[noisy]);
    }
    out
}

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

/// The sizes of values that `value` and `value_max` stand for; with 0 as the greatest, all are
/// alike.
pub(crate) fn sizes(value: Size, value_max: Size) -> Result<(u64, u64), String> {
    match value_max.0 {
        0 => Ok((value.0, value.0)),
        most if most < value.0 => {
            Err("value_max is smaller than value; give the least size as value".into())
        }
        most => Ok((value.0, most)),
    }
}

/// Draws a value: its size, then where it begins in the pool.
pub(crate) fn draw_value(pool: &Bytes, (least, most): (u64, u64), rng: &mut Rng) -> Bytes {
    let len = rng.between(least, most) as usize;
    let start = rng.below(STARTS as u64) as usize;
    pool.slice(start..start + len)
}

/// Draws a duration.
pub(crate) fn draw_span(span: Span, rng: &mut Rng) -> Duration {
    Duration::from_nanos(rng.between(nanos(span.min), nanos(span.max)))
}

/// Waits for a client's beginning, drawn between zero and `stagger`.
pub(crate) async fn begin(client: &Client, stagger: Duration) {
    let span = Span { min: Duration::ZERO, max: stagger };
    let pause = draw_span(span, &mut client.host.rng("start", 0));
    client.host.clock().sleep(pause).await;
}

/// The operations of a client: those of all clients are dealt out in turn.
pub(crate) fn ops(client: u64, clients: u64, count: u64) -> impl Iterator<Item = u64> {
    (client..count).step_by(clients as usize)
}

/// The client library for a client, with the manners of its load. While faults urge the client to others
/// it has those; a client that is hurried makes no pauses.
pub(crate) fn dial(client: &Client, usual: Manners) -> Store {
    let urged = client.clone();
    let ways = move || {
        let urges = urged.urges();
        let pauses = if urges.hurry.is_some() { Pauses::None } else { usual.pauses };
        let twice = urges.repeat.map(|(after, elsewhere)| Twice { after, elsewhere });
        Manners { each: urges.hurry.or(usual.each), pauses, twice, once: usual.once }
    };
    Store::new(client.host.clone(), client.members.clone(), client.number).behaving(ways)
}

/// What a load's parameters `attempt` and `backoff` say; an attempt of no time has the usual one.
pub(crate) fn manners(attempt: Duration, backoff: Choice) -> Manners {
    let each = (!attempt.is_zero()).then_some(attempt);
    let pauses = if backoff.0 == "off" { Pauses::None } else { Pauses::Growing };
    Manners { each, pauses, ..Manners::default() }
}

/// The number by which a value is recognised.
pub(crate) fn value_id(client: u64, op: u64) -> u64 {
    client << 32 | op
}

/// What the clients of one run asked for. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<Asked>>);

#[derive(Default)]
struct Asked {
    /// Keys, each with the client that will read it back: the first that asked for it.
    keys: BTreeMap<String, u64>,
    /// Values, by number.
    values: BTreeMap<u64, Bytes>,
}

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, Asked> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client asks for something about a key.
    pub(crate) fn key(&self, client: u64, key: &str) {
        let keys = &mut self.lock().keys;
        if !keys.contains_key(key) {
            keys.insert(key.to_string(), client);
        }
    }

    /// A client asks to write a value under this number.
    pub(crate) fn value(&self, id: u64, value: &Bytes) {
        self.lock().values.insert(id, value.clone());
    }

    /// The number of a value that was read, if these are the bytes that were written under it.
    pub(crate) fn recognise(&self, client: u64, op: u64, read: &Bytes) -> u64 {
        let id = value_id(client, op);
        let shared = |a: &Bytes, b: &Bytes| a.as_ptr() == b.as_ptr() && a.len() == b.len();
        match self.lock().values.get(&id) {
            Some(written) if shared(written, read) || written == read => id,
            Some(_) => DAMAGED,
            None => id,
        }
    }

    /// Reads back, for this client, the keys that it asked for first; each for at most `within`.
    pub(crate) async fn read_back(&self, client: &Client, within: Duration) {
        let mut store = dial(client, Manners::default());
        let all = self.lock().keys.clone();
        for (key, _) in all.iter().filter(|(_, reader)| **reader == client.number) {
            match store.get(key.as_bytes(), within).await {
                Found::Value { version, client: writer, op, value } => {
                    let id = self.recognise(writer, op, &value);
                    client.read_back(key, Some((version, id)));
                }
                Found::Missing => client.read_back(key, None),
                Found::Fail(_) => client.read_back_failed(key),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_belongs_to_one_client() {
        let mut all: Vec<u64> = (0..3).flat_map(|client| ops(client, 3, 10)).collect();
        all.sort_unstable();
        assert_eq!(all, (0..10).collect::<Vec<u64>>());
        assert_eq!(ops(1, 3, 10).collect::<Vec<u64>>(), [1, 4, 7]);
    }

    #[test]
    fn a_drawn_value_is_a_slice_of_the_pool() {
        let pool = POOL.as_ptr() as usize..POOL.as_ptr() as usize + POOL.len();
        for seed in 0..20 {
            let value = draw_value(&POOL, (16_000_000, 16_000_000), &mut Rng::from_key([seed; 32]));
            assert_eq!(value.len(), 16_000_000);
            assert!(pool.contains(&(value.as_ptr() as usize)));
        }
    }

    #[test]
    fn a_pattern_has_its_share_of_noise() {
        for ppm in [0, 100, 7_000, 250_000, 1_000_000] {
            let made = patterned(ppm);
            let letters = PATTERN.iter().cycle();
            let others = made.iter().zip(letters).filter(|(a, b)| a != b).count();
            let noise = made.len() * ppm as usize / 1_000_000;
            // A byte of noise is a letter of the pattern now and then.
            assert!((noise * 98 / 100..=noise).contains(&others), "{others} of {noise}");
        }
        let again = pool(Choice("pattern"), Ratio(7_000));
        assert_eq!(again.as_ptr(), pool(Choice("pattern"), Ratio(7_000)).as_ptr());
        assert_eq!(pool(Choice("random"), Ratio(7_000)).as_ptr(), POOL.as_ptr());
    }

    #[test]
    fn sizes_that_run_backwards_are_refused() {
        assert_eq!(sizes(Size(5), Size(0)), Ok((5, 5)));
        assert_eq!(sizes(Size(5), Size(7)), Ok((5, 7)));
        assert!(sizes(Size(5), Size(4)).unwrap_err().contains("value_max is smaller"));
    }

    #[test]
    fn damage_is_told_from_what_was_written() {
        let ledger = Ledger::default();
        let id = value_id(1, 5);
        ledger.value(id, &Bytes::from_static(b"noise"));
        assert_eq!(ledger.recognise(1, 5, &Bytes::from(b"noise".to_vec())), id);
        assert_eq!(ledger.recognise(1, 5, &Bytes::from_static(b"noisy")), DAMAGED);
        assert_eq!(ledger.recognise(9, 9, &Bytes::from_static(b"noise")), value_id(9, 9));
    }

    #[test]
    fn the_noise_is_always_the_same() {
        assert_eq!(noise(4), noise(9)[..4]);
        assert_eq!(noise(9).len(), 9);
        assert_eq!(noise(4), [0xaf, 0xcd, 0x1d, 0x7b]);
    }
}
