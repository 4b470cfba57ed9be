//! After everything is healed some node leads, within the time in parentheses. A leader here is one
//! that can do its work: alive, not paused, in the highest term, with a majority in reach.
//!
//! While there is none the text says what each node believes to be. A leader that came too late is
//! reported as awaited still, so that the verdict is one of liveness; it never becomes early
//! enough. Source: the healed phase of TigerBeetle's VOPR; FoundationDB's quiescence.

use std::time::Duration;

use host::unit::{millis, nanos, parse_duration, show};
use kernel::Time;
use kernel::check::{Check, Fact, Finding, Hears, Standing, View};
use kernel::registry::{CheckWord, Claim};

use crate::elections::{Group, Leadership};
use crate::{KERNEL, RAFT, enters};

/// The word `leader_within`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "leader_within",
        about: "once everything is healed, a node leads within the time in parentheses",
        claim: Claim::Eventually,
        make,
    }
}

fn make(argument: Option<&str>) -> Result<Box<dyn Check>, String> {
    let text = argument.ok_or("how soon? write for example `leader_within(5s)`")?;
    let within = parse_duration(text)?;
    if within.is_zero() {
        return Err("nobody can lead within no time; write for example `leader_within(5s)`".into());
    }
    Ok(Box::new(LeaderWithin { leadership: Leadership::default(), wait: Wait::new(within) }))
}

/// How long the leader took.
struct Wait {
    within: Time,
    healed: Option<Time>,
    came: Option<Time>,
}

impl Wait {
    fn new(within: Duration) -> Wait {
        Wait { within: nanos(within), healed: None, came: None }
    }

    fn now(&mut self, at: Time, led: bool) {
        if self.healed.is_some() && led {
            self.came.get_or_insert(at);
        }
    }

    /// How late a leader that came too late was.
    fn late(&self) -> Option<String> {
        let took = self.came?.saturating_sub(self.healed?);
        let within = show(Duration::from_nanos(self.within));
        (took > self.within)
            .then(|| format!("a leader within {within}; it took {} ms", millis(took)))
    }
}

struct LeaderWithin {
    leadership: Leadership,
    wait: Wait,
}

/// What a node is, for people.
fn describe(group: Option<&Group>, host: usize) -> String {
    match group.and_then(|g| g.states.get(&host)) {
        Some(state) => format!("{} term {}", state.role, state.term),
        None => "silent".into(),
    }
}

impl LeaderWithin {
    fn awaited(&self, view: &View<'_>) -> String {
        let group = self.leadership.groups.values().next();
        let one = |host: usize| {
            let what = if !view.live(host) {
                "down".to_string()
            } else if view.paused(host) {
                "paused".to_string()
            } else {
                describe(group, host)
            };
            format!("{} {what}", view.name(host))
        };
        let nodes: Vec<String> = (0..view.nodes()).map(one).collect();
        format!("a leader; {}", nodes.join(", "))
    }
}

impl Check for LeaderWithin {
    fn hears(&self) -> Hears {
        Hears::Only(&[KERNEL, RAFT])
    }

    fn observe(&mut self, fact: &Fact<'_>, view: &View<'_>) -> Result<(), Finding> {
        if enters(fact, "heal") {
            self.wait.healed = Some(fact.at);
        }
        let matters = self.leadership.note(fact).is_some();
        if matters && self.wait.healed.is_some() && self.wait.came.is_none() {
            self.wait.now(fact.at, self.leadership.is_led(view));
        }
        Ok(())
    }

    fn standing(&self, view: &View<'_>) -> Standing {
        match self.wait.late() {
            Some(late) => Standing::Awaits(late),
            None if self.leadership.is_led(view) => Standing::Holds,
            None => Standing::Awaits(self.awaited(view)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_given_with_its_unit() {
        assert!(make(Some("5s")).is_ok());
        assert!(make(None).err().expect("refused").contains("leader_within(5s)"));
        assert!(make(Some("5")).err().expect("refused").contains("no unit"));
        assert!(make(Some("0s")).is_err());
    }

    #[test]
    fn a_leader_in_time_is_not_late() {
        let mut wait = Wait::new(Duration::from_nanos(100));
        wait.now(5, true);
        assert_eq!(wait.came, None, "before the heal nobody waits");
        wait.healed = Some(1000);
        wait.now(1050, false);
        wait.now(1100, true);
        wait.now(5000, true);
        assert_eq!((wait.came, wait.late()), (Some(1100), None));
    }

    #[test]
    fn a_leader_too_late_stays_late() {
        let mut wait = Wait::new(Duration::from_millis(1));
        wait.healed = Some(0);
        wait.now(7_200_000, true);
        assert_eq!(wait.late().expect("late"), "a leader within 1ms; it took 7.200 ms");
    }

    #[test]
    fn a_node_that_never_spoke_is_silent() {
        assert_eq!(describe(None, 0), "silent");
    }
}
