//! Faults that were drawn and did nothing: how many, and why, as far as a run tells.
//!
//! A plan ends with the load, so a load that is over early leaves faults behind that were due later, and a
//! run that passed then says nothing about them. Whether an awaited event came too late or never is not
//! told apart, for a run keeps no count of events that no fault struck on.

use kernel::outcome::Outcome;
use kernel::plan::{Drawn, When};

use crate::terminal::seconds;

/// One line about the faults that never fired; `None` if all did.
pub fn told(outcome: &Outcome) -> Option<String> {
    let nobody = outcome.fired.iter().filter(|f| f.hosts.is_empty()).count();
    let awaiting = outcome.drawn.iter().filter(|d| awaits(outcome, d)).count();
    let lines: u64 = outcome.faults.iter().map(|f| f.drawn).sum();
    let timed = (lines as usize).saturating_sub(outcome.fired.len() + awaiting);
    sentence([timed, awaiting, nobody], &ended(outcome))
}

fn sentence([timed, awaiting, nobody]: [usize; 3], end: &str) -> Option<String> {
    let all = timed + awaiting + nobody;
    let why = match (timed, awaiting, nobody) {
        (0, 0, 0) => return None,
        (1, 0, 0) => format!("{end}, before it was due"),
        (_, 0, 0) => format!("{end}, before they were due"),
        (0, 0, 1) => "it found nobody to act on".to_string(),
        (0, 0, _) => "they found nobody to act on".to_string(),
        _ => {
            let reasons = [
                (timed, "due later"),
                (awaiting, "waiting for an event that came too late or never"),
                (nobody, "found nobody to act on"),
            ];
            let reasons = reasons.iter().filter(|(n, _)| *n > 0);
            let reasons: Vec<String> = reasons.map(|(n, why)| format!("{n} {why}")).collect();
            format!("{end}; {}", reasons.join(", "))
        }
    };
    Some(format!("{all} never fired: {why}"))
}

/// Whether a line still waited for its event, or for the time after it. Lines that are drawn alike act
/// alike, so it does not matter which of them acted.
fn awaits(outcome: &Outcome, line: &Drawn) -> bool {
    let When::Event { .. } = line.when else { return false };
    let when = line.when.show();
    !outcome.fired.iter().any(|f| {
        let rest = f.trigger.strip_prefix(&when);
        let same = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(" (on "));
        same && f.kind == line.kind && f.params == line.params && f.lasts == line.lasts
    })
}

/// When the plan was dropped, as far as the trace tells.
fn ended(outcome: &Outcome) -> String {
    let heal = outcome.trace.iter().find(|l| l.source == "phase" && l.word == "heal");
    match heal {
        Some(line) => format!("the load ended at {}", seconds(line.at)),
        None if outcome.class.is_some() => {
            format!("the run ended at {}", seconds(outcome.virtual_ns))
        }
        None => "the load had ended".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_told() {
        let told = |counts| sentence(counts, "the load ended at 1.214 s").unwrap_or_default();
        assert_eq!(told([0, 0, 0]), "");
        assert_eq!(
            told([5, 0, 0]),
            "5 never fired: the load ended at 1.214 s, before they were due"
        );
        assert_eq!(told([0, 0, 1]), "1 never fired: it found nobody to act on");
        assert_eq!(
            told([2, 1, 1]),
            "4 never fired: the load ended at 1.214 s; 2 due later, 1 waiting for an event that \
             came too late or never, 1 found nobody to act on"
        );
    }
}
