//! After the faults the cluster does what it did before them: acknowledgements per second in the second
//! half of the recovery are at least the share in parentheses of those between the beginning of the load
//! and the first act of the plan. A cluster that is healed and still answers nobody in time, for it
//! works on what nobody waits for any more, is in a metastable failure: no fault is left to blame.
//!
//! It judges runs of scenarios with a `recovery` in which a fault acted and the calm before it had 20
//! acknowledgements; of others it says nothing. That it judged is seen in the measures `goodput_calm`,
//! `goodput_end` and `goodput_ratio`, which other runs do not have: a symptom that compares one of them is
//! not shown by a run that was not judged. The load has to outlast the recovery: clients that are done
//! acknowledge nothing. Source: Bronson et al., Metastable Failures in Distributed Systems (2021).

use host::unit::{Ratio, parse_ratio, show_ratio};
use kernel::Time;
use kernel::check::{Check, Fact, Finding, Hears, Instants, Measure, Standing, Unit, View};
use kernel::event::{ClientEvent, KernelEvent, OpEnd};
use kernel::registry::{CheckWord, Claim};

use crate::{CLIENTS, KERNEL};

/// Fewer acknowledgements are no measure of a calm cluster.
const CALM_MIN: u64 = 20;

/// The word `goodput_back`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "goodput_back",
        about: "in the second half of the recovery clients get at least the share in parentheses of the \
                acknowledgements per second that they got before the first fault; measures \
                goodput_calm, goodput_end and goodput_ratio, the last over the first",
        claim: Claim::Eventually,
        make,
    }
}

fn make(argument: Option<&str>) -> Result<Box<dyn Check>, String> {
    let text = argument.ok_or("how much of it? write for example `goodput_back(90%)`")?;
    let share = parse_ratio(text)?;
    if share.0 == 0 || share.0 > 1_000_000 {
        return Err(
            "more than nothing and no more than all; for example `goodput_back(90%)`".into()
        );
    }
    Ok(Box::new(GoodputBack { share, calm: 0, first_fault: None, after: Vec::new() }))
}

struct GoodputBack {
    share: Ratio,
    /// Acknowledgements before the first fault.
    calm: u64,
    first_fault: Option<Time>,
    /// When those after the heal came.
    after: Vec<Time>,
}

/// What is compared, in thousandths of acknowledgements per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Goodput {
    calm: u64,
    end: u64,
    /// How long the end is, in nanoseconds.
    span: Time,
}

fn rate(count: u64, span: Time) -> u64 {
    let thousandths = u128::from(count) * 1_000_000_000_000 / u128::from(span.max(1));
    u64::try_from(thousandths).unwrap_or(u64::MAX)
}

impl GoodputBack {
    fn note(&mut self, fact: &Fact<'_>, healed: bool) {
        if let Some(KernelEvent::Fault { .. }) = fact.get() {
            self.first_fault.get_or_insert(fact.at);
        }
        if let Some(ClientEvent::Returned { end: OpEnd::Ok, .. }) = fact.get() {
            self.calm += u64::from(self.first_fault.is_none() && !healed);
            if healed {
                self.after.push(fact.at);
            }
        }
    }

    /// `None` if there is nothing to compare.
    fn goodput(&self, instants: Instants) -> Option<Goodput> {
        let (began, healed, ended) = (instants.load_began?, instants.healed?, instants.load_ended?);
        let span = (ended - healed) / 2;
        if self.calm < CALM_MIN || span == 0 {
            return None;
        }
        let calm = rate(self.calm, self.first_fault?.saturating_sub(began));
        let acks = self.after.iter().filter(|at| **at > ended - span && **at <= ended).count();
        Some(Goodput { calm, end: rate(acks as u64, span), span })
    }

    fn missing(&self, instants: Instants) -> Option<String> {
        let Goodput { calm, end, span } = self.goodput(instants)?;
        let enough = u128::from(calm) * u128::from(self.share.0) / 1_000_000;
        let show = |rate: u64| format!("{}.{:03}", rate / 1_000, rate % 1_000);
        (u128::from(end) < enough).then(|| {
            format!(
                "{} of the goodput before the first fault, {} acknowledgements per second: the last {} \
                 ms of the recovery had {}",
                show_ratio(self.share),
                show(calm),
                host::unit::millis(span),
                show(end)
            )
        })
    }
}

impl Check for GoodputBack {
    fn hears(&self) -> Hears {
        Hears::Only(&[KERNEL, CLIENTS])
    }

    fn observe(&mut self, fact: &Fact<'_>, view: &View<'_>) -> Result<(), Finding> {
        self.note(fact, view.instants().healed.is_some());
        Ok(())
    }

    fn standing(&self, view: &View<'_>) -> Standing {
        self.missing(view.instants()).map_or(Standing::Holds, Standing::Awaits)
    }

    fn measures(&self, view: &View<'_>) -> Vec<Measure> {
        let Some(Goodput { calm, end, .. }) = self.goodput(view.instants()) else {
            return Vec::new();
        };
        let ratio = u64::try_from(u128::from(end) * 1_000 / u128::from(calm.max(1)));
        vec![
            Measure { name: "goodput_calm", value: calm, unit: Unit::Rate },
            Measure { name: "goodput_end", value: end, unit: Unit::Rate },
            Measure { name: "goodput_ratio", value: ratio.unwrap_or(u64::MAX), unit: Unit::Ratio },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Time = 1_000_000_000;

    /// A load from 1 s on, a fault at 3 s, healed at 5 s, the end at 9 s; `calm` acknowledgements per second
    /// before the fault and `end` in the last two seconds.
    fn judged(calm: u64, end: u64) -> (GoodputBack, Instants) {
        let share = Ratio(900_000);
        let mut check = GoodputBack { share, calm: 0, first_fault: None, after: Vec::new() };
        let ok = ClientEvent::Returned { client: 0, op: 0, end: OpEnd::Ok, version: 1, value: 0 };
        let late =
            ClientEvent::Returned { client: 0, op: 0, end: OpEnd::Unknown, version: 0, value: 0 };
        let kind = "pause".to_string();
        let fault = KernelEvent::Fault { kind, text: String::new() };
        let fact = |at, event| Fact { at, host: 5, boot: 1, event };
        for n in 0..2 * calm {
            check.note(&fact(SECOND + n * SECOND / calm, &ok), false);
        }
        check.note(&fact(3 * SECOND, &fault), false);
        for n in 0..50 {
            check.note(&fact(4 * SECOND + n, &ok), false);
            check.note(&fact(5 * SECOND + n, &ok), true);
            check.note(&fact(8 * SECOND + n, &late), true);
        }
        for n in 0..2 * end {
            check.note(&fact(7 * SECOND + 1 + n * SECOND / end, &ok), true);
        }
        let at = |seconds| Some(seconds * SECOND);
        let instants = Instants { load_began: at(1), healed: at(5), load_ended: at(9) };
        (check, instants)
    }

    #[test]
    fn a_share_is_given() {
        assert!(make(Some("90%")).is_ok());
        assert!(make(None).err().expect("refused").contains("goodput_back(90%)"));
        assert!(
            make(Some("0%")).is_err() && make(Some("120%")).is_err() && make(Some("9")).is_err()
        );
    }

    #[test]
    fn goodput_that_comes_back_is_enough_and_goodput_that_does_not_is_missed() {
        let (check, instants) = judged(100, 90);
        assert_eq!(check.missing(instants), None);
        let (check, instants) = judged(100, 89);
        assert_eq!(
            check.missing(instants).expect("too little"),
            "90% of the goodput before the first fault, 100.000 acknowledgements per second: the last \
             2000.000 ms of the recovery had 89.000"
        );
    }

    #[test]
    fn without_a_calm_a_fault_or_a_recovery_there_is_nothing_to_compare() {
        let (mut check, instants) = judged(9, 1);
        assert_eq!(check.goodput(instants), None, "18 acknowledgements");
        check.calm = 20;
        assert!(check.missing(instants).is_some());
        let none = Instants { load_ended: instants.healed, ..instants };
        assert_eq!(check.goodput(none), None);
        check.first_fault = None;
        assert_eq!(check.goodput(instants), None);
    }
}
