//! Measures: what clients experienced. The latency of a write runs from the request to its
//! acknowledgement, retries included; quantiles are exact (nearest rank) over all acknowledged
//! writes of all clients. Throughput is acknowledgements per second from the beginning of the load
//! to its end.
//!
//! An operation without outcome at the end of the load counts nowhere, nor does the reading back.
//! With no acknowledged write there are no quantiles.

use std::collections::BTreeMap;

use kernel::Time;
use kernel::check::{Check, Fact, Finding, Measure, Unit, View};
use kernel::event::{ClientEvent, OpEnd};
use kernel::registry::{CheckWord, Claim};

use crate::{enters, plain};

/// The word `latency`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "latency",
        about: "measures the latency of writes, and counts acknowledgements, failures and unknowns",
        claim: Claim::Measures,
        make: plain::<Latency>,
    }
}

#[derive(Default)]
struct Latency {
    /// Writes under way: when each began, by (client's host, op).
    open: BTreeMap<(usize, u64), Time>,
    writes: Vec<Time>,
    acks: u64,
    failures: u64,
    unknowns: u64,
    began: Option<Time>,
    ended: Option<Time>,
}

/// The smallest sample that so many per mille of all samples do not exceed; they are sorted.
fn quantile(sorted: &[Time], per_mille: usize) -> Option<Time> {
    let rank = (sorted.len() * per_mille).div_ceil(1000).max(1);
    sorted.get(rank - 1).copied()
}

/// Thousandths of a per-second rate.
fn rate(count: u64, span: Time) -> u64 {
    let thousandths = u128::from(count) * 1_000_000_000_000 / u128::from(span.max(1));
    u64::try_from(thousandths).unwrap_or(u64::MAX)
}

impl Latency {
    fn returns(&mut self, at: Time, client: usize, op: u64, end: OpEnd) {
        let asked = self.open.remove(&(client, op));
        match end {
            OpEnd::Ok => {
                self.acks += 1;
                self.writes.extend(asked.map(|asked| at - asked));
            }
            OpEnd::Fail => self.failures += 1,
            OpEnd::Unknown => self.unknowns += 1,
        }
    }

    fn all(&self, now: Time) -> Vec<Measure> {
        let mut sorted = self.writes.clone();
        sorted.sort_unstable();
        let quantiles = [("write_p50", 500), ("write_p99", 990), ("write_max", 1000)];
        let time = |(name, per_mille)| {
            quantile(&sorted, per_mille).map(|value| Measure { name, value, unit: Unit::Time })
        };
        let mut out: Vec<Measure> = quantiles.into_iter().filter_map(time).collect();
        let began = self.began.unwrap_or(now);
        let value = rate(self.acks, self.ended.unwrap_or(now) - began);
        out.push(Measure { name: "throughput", value, unit: Unit::Rate });
        let counts =
            [("acks", self.acks), ("failures", self.failures), ("unknowns", self.unknowns)];
        out.extend(counts.map(|(name, value)| Measure { name, value, unit: Unit::Count }));
        out
    }
}

impl Check for Latency {
    fn observe(&mut self, fact: &Fact<'_>, _: &View<'_>) -> Result<(), Finding> {
        match fact.get() {
            Some(ClientEvent::Invoked { op, kind: "put", .. }) => {
                self.open.insert((fact.host, *op), fact.at);
            }
            Some(ClientEvent::Returned { op, end, .. }) => {
                self.returns(fact.at, fact.host, *op, *end);
            }
            Some(_) => {}
            None if enters(fact, "load") => self.began = Some(fact.at),
            None if enters(fact, "heal") => self.ended = Some(fact.at),
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
            check.open.insert((9, op), 10 * op);
            check.returns(100, 9, op, end);
        }
        check.returns(100, 9, 4, OpEnd::Ok);
        check.ended = Some(500_000_000);
        let value = |name: &str| {
            let all = check.all(900_000_000);
            all.iter().find(|m| m.name == name).map(|m| m.value)
        };
        assert_eq!((value("write_p50"), value("write_max")), (Some(90), Some(90)));
        assert_eq!(
            (value("acks"), value("failures"), value("unknowns")),
            (Some(2), Some(1), Some(1))
        );
        assert_eq!(value("throughput"), Some(4000), "two in half a second");
    }

    #[test]
    fn without_a_write_there_is_no_latency() {
        let all = Latency::default().all(5);
        assert!(all.iter().all(|m| !m.name.starts_with("write_")));
    }
}
