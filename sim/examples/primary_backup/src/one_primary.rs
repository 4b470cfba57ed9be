//! The claim that a pair stands or falls with: views only go forward. Once a put was acknowledged in a view,
//! none is acknowledged in an earlier one; whoever does so is a primary that has been replaced. Two nodes
//! that only believe to be primary do no harm, and this check leaves them alone. What a stale primary
//! answers to reads is not looked at.

use kernel::check::{Check, Fact, Finding, View};
use kernel::registry::{CheckWord, Claim};

use crate::node::PairEvent;

/// The word `one_primary`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "one_primary",
        about: "once a put was acknowledged in a view, none is acknowledged in an earlier one",
        claim: Claim::Always,
        make: |argument| match argument {
            None => Ok(Box::new(OnePrimary::default())),
            Some(_) => Err("it takes no argument".into()),
        },
    }
}

/// The latest view in which somebody acknowledged, and who.
#[derive(Default)]
struct OnePrimary {
    view: u64,
    host: usize,
}

impl Check for OnePrimary {
    fn observe(&mut self, fact: &Fact<'_>, view: &View<'_>) -> Result<(), Finding> {
        let Some(PairEvent::Acked { view: now, index }) = fact.get() else { return Ok(()) };
        if *now < self.view {
            let (old, new) = (view.name(fact.host), view.name(self.host));
            let text = format!(
                "{old} acknowledged {index} in view {now}; {new} has acknowledged in view {} already",
                self.view
            );
            return Err(Finding { hosts: vec![fact.host, self.host], text });
        }
        (self.view, self.host) = (*now, fact.host);
        Ok(())
    }
}
