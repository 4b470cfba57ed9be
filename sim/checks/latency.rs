//! Measures: what clients experienced. The latency of a write (put, delete, compare and set) runs
//! from the request to its acknowledgement, retries included, that of a read (get, range) to its
//! answer; quantiles are exact (nearest rank) over all acknowledged operations of all clients.
//! Throughput is acknowledgements per second from the beginning of the load to its end.
//!
//! How writes slow down as the load goes on is told by quarters: the acknowledged writes, in the
//! order of their acknowledgements, are cut into four equal parts, and each has its mean. An
//! operation without outcome at the end of the load counts nowhere, nor does the reading back. With
//! no acknowledged write, or read, there are no quantiles of it; with fewer than four writes there
//! are no quarters.

use std::collections::BTreeMap;

use kernel::Time;
use kernel::check::{Check, Fact, Finding, Hears, Measure, Unit, View};
use kernel::event::{ClientEvent, OpEnd};
use kernel::registry::{CheckWord, Claim};

use crate::{CLIENTS, KERNEL, ends_load, enters, plain};

/// The word `latency`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "latency",
        about: "measures what clients see: write_p50, write_p99, write_max, write_mean, read_p50, \
                read_p99, latencies from request to acknowledgement; write_q1_mean, write_q2_mean, \
                write_q3_mean, write_q4_mean, mean latencies of the four quarters of the \
                acknowledged writes, in their order; write_slowdown, the last mean over the first; \
                throughput, acks per second of load; request_rate, operations that ended, however they \
                did, per second; acks, failures and unknowns, operations by \
                outcome; writes_failed, writes that failed or whose outcome is unknown",
        claim: Claim::Measures,
        make: plain::<Latency>,
    }
}

/// What an operation that is timed does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Write,
    Read,
}

impl Kind {
    fn of(word: &str) -> Option<Kind> {
        match word {
            "put" | "delete" | "cas" => Some(Kind::Write),
            "get" | "range" => Some(Kind::Read),
            _ => None,
        }
    }
}

#[derive(Default)]
struct Latency {
    /// Operations under way: what they do and when they began, by (client's host, op).
    open: BTreeMap<(usize, u64), (Kind, Time)>,
    /// Latencies in the order of acknowledgements.
    writes: Vec<Time>,
    reads: Vec<Time>,
    acks: u64,
    failures: u64,
    unknowns: u64,
    /// Writes among those two.
    writes_failed: u64,
    began: Option<Time>,
    ended: Option<Time>,
}

/// The smallest sample that so many per mille of all samples do not exceed; they are sorted.
fn quantile(sorted: &[Time], per_mille: usize) -> Option<Time> {
    let rank = (sorted.len() * per_mille).div_ceil(1000).max(1);
    sorted.get(rank - 1).copied()
}

/// Those quantiles of samples in any order that exist.
fn quantiles(samples: &[Time], wanted: &[(&'static str, usize)]) -> Vec<Measure> {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    let one = |(name, per_mille): &(&'static str, usize)| {
        quantile(&sorted, *per_mille).map(|value| Measure { name, value, unit: Unit::Time })
    };
    wanted.iter().filter_map(one).collect()
}

/// The mean of some samples; `None` of none.
fn mean(samples: &[Time]) -> Option<Time> {
    let sum: u128 = samples.iter().map(|ns| u128::from(*ns)).sum();
    let mean = sum.checked_div(samples.len() as u128)?;
    Some(u64::try_from(mean).unwrap_or(u64::MAX))
}

/// The means of four consecutive parts of equal size.
fn quarters(samples: &[Time]) -> Option<[Time; 4]> {
    let part = |i: usize| &samples[samples.len() * i / 4..samples.len() * (i + 1) / 4];
    Some([mean(part(0))?, mean(part(1))?, mean(part(2))?, mean(part(3))?])
}

/// The quarters as measures, and the last over the first in thousandths.
fn trend(samples: &[Time]) -> Vec<Measure> {
    let Some(means) = quarters(samples) else { return Vec::new() };
    let names = ["write_q1_mean", "write_q2_mean", "write_q3_mean", "write_q4_mean"];
    let time = |(name, value)| Measure { name, value, unit: Unit::Time };
    let mut out: Vec<Measure> = names.into_iter().zip(means).map(time).collect();
    let slowdown = u128::from(means[3]) * 1000 / u128::from(means[0].max(1));
    let value = u64::try_from(slowdown).unwrap_or(u64::MAX);
    out.push(Measure { name: "write_slowdown", value, unit: Unit::Ratio });
    out
}

/// Thousandths of a per-second rate.
fn rate(count: u64, span: Time) -> u64 {
    let thousandths = u128::from(count) * 1_000_000_000_000 / u128::from(span.max(1));
    u64::try_from(thousandths).unwrap_or(u64::MAX)
}

impl Latency {
    fn asks(&mut self, at: Time, op: (usize, u64), word: &str) {
        if let Some(kind) = Kind::of(word) {
            self.open.insert(op, (kind, at));
        }
    }

    fn returns(&mut self, at: Time, op: (usize, u64), end: OpEnd) {
        let asked = self.open.remove(&op);
        if end != OpEnd::Ok && matches!(asked, Some((Kind::Write, _))) {
            self.writes_failed += 1;
        }
        match end {
            OpEnd::Ok => {
                self.acks += 1;
                match asked {
                    Some((Kind::Write, asked)) => self.writes.push(at - asked),
                    Some((Kind::Read, asked)) => self.reads.push(at - asked),
                    None => {}
                }
            }
            OpEnd::Fail => self.failures += 1,
            OpEnd::Unknown => self.unknowns += 1,
        }
    }

    fn all(&self, now: Time) -> Vec<Measure> {
        let mut out =
            quantiles(&self.writes, &[("write_p50", 500), ("write_p99", 990), ("write_max", 1000)]);
        let whole = mean(&self.writes);
        out.extend(whole.map(|value| Measure { name: "write_mean", value, unit: Unit::Time }));
        out.extend(quantiles(&self.reads, &[("read_p50", 500), ("read_p99", 990)]));
        out.extend(trend(&self.writes));
        let began = self.began.unwrap_or(now);
        let lasted = self.ended.unwrap_or(now) - began;
        let answered = self.acks + self.failures + self.unknowns;
        for (name, count) in [("throughput", self.acks), ("request_rate", answered)] {
            out.push(Measure { name, value: rate(count, lasted), unit: Unit::Rate });
        }
        let counts = [
            ("acks", self.acks),
            ("failures", self.failures),
            ("unknowns", self.unknowns),
            ("writes_failed", self.writes_failed),
        ];
        out.extend(counts.map(|(name, value)| Measure { name, value, unit: Unit::Count }));
        out
    }
}

impl Check for Latency {
    fn hears(&self) -> Hears {
        Hears::Only(&[KERNEL, CLIENTS])
    }

    fn observe(&mut self, fact: &Fact<'_>, view: &View<'_>) -> Result<(), Finding> {
        match fact.get() {
            Some(ClientEvent::Invoked { op, kind, .. }) => {
                self.asks(fact.at, (fact.host, *op), kind);
            }
            Some(ClientEvent::Returned { op, end, .. }) => {
                self.returns(fact.at, (fact.host, *op), *end);
            }
            Some(_) => {}
            None if enters(fact, "load") => self.began = Some(fact.at),
            None if ends_load(fact, view) => self.ended = Some(fact.at),
            None => {}
        }
        Ok(())
    }

    fn measures(&self, view: &View<'_>) -> Vec<Measure> {
        self.all(view.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(check: &Latency, name: &str) -> Option<u64> {
        check.all(900_000_000).iter().find(|m| m.name == name).map(|m| m.value)
    }

    #[test]
    fn quantiles_are_samples() {
        let sorted: Vec<Time> = (1..=200).collect();
        let at = |per_mille| quantile(&sorted, per_mille);
        assert_eq!((at(500), at(990), at(1000)), (Some(100), Some(198), Some(200)));
        assert_eq!(quantile(&[7], 500), Some(7));
        assert_eq!(quantile(&[], 500), None);
    }

    #[test]
    fn outcomes_are_counted_and_only_acknowledged_writes_are_timed() {
        let mut check = Latency { began: Some(0), ..Latency::default() };
        for (op, end) in [(1, OpEnd::Ok), (2, OpEnd::Fail), (3, OpEnd::Unknown)] {
            check.asks(10 * op, (9, op), "put");
            check.returns(100, (9, op), end);
        }
        check.returns(100, (9, 4), OpEnd::Ok);
        check.ended = Some(500_000_000);
        let value = |name| value(&check, name);
        assert_eq!((value("write_p50"), value("write_max")), (Some(90), Some(90)));
        assert_eq!(
            (value("acks"), value("failures"), value("unknowns")),
            (Some(2), Some(1), Some(1))
        );
        assert_eq!((value("writes_failed"), value("write_mean")), (Some(2), Some(90)));
        assert_eq!(value("throughput"), Some(4000), "two in half a second");
    }

    #[test]
    fn reads_and_writes_are_kept_apart() {
        let mut check = Latency::default();
        let kinds = ["put", "delete", "cas", "get", "range", "transfer"];
        for (op, kind) in (1..).zip(kinds) {
            check.asks(0, (9, op), kind);
            check.returns(10 * op, (9, op), OpEnd::Ok);
        }
        assert_eq!(
            (check.writes.as_slice(), check.reads.as_slice()),
            (&[10, 20, 30][..], &[40, 50][..])
        );
        assert_eq!((value(&check, "read_p50"), value(&check, "read_p99")), (Some(40), Some(50)));
        assert_eq!(check.acks, 6);
    }

    #[test]
    fn quarters_tell_how_writes_slow_down() {
        assert_eq!(quarters(&[10, 20, 30, 40, 50, 60, 70, 80]), Some([15, 35, 55, 75]));
        assert_eq!(quarters(&[1, 2, 3, 4, 5]), Some([1, 2, 3, 4]));
        assert_eq!(quarters(&[1, 2, 3]), None);
        let check = Latency { writes: vec![10, 9, 9, 25], ..Latency::default() };
        assert_eq!(value(&check, "write_slowdown"), Some(2_500));
        assert_eq!(value(&check, "write_q4_mean"), Some(25));
    }

    #[test]
    fn without_a_write_there_is_no_latency() {
        let all = Latency::default().all(5);
        assert!(all.iter().all(|m| !m.name.starts_with("write_") && !m.name.starts_with("read_")));
    }

    #[test]
    fn every_measure_is_explained() {
        let check = Latency { writes: vec![1; 8], reads: vec![1], ..Latency::default() };
        assert_eq!(check.all(9).len(), 17);
        assert!(check.all(9).iter().all(|m| word().about.contains(m.name)));
    }
}
