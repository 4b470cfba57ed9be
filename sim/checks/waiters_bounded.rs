//! Nobody waits in a node for ever: its process never has more tasks than the number in parentheses, nor
//! do more wait in one of its groups for what becomes of a proposal or a read. A waiter whose client is
//! long gone, and whom nobody will ever tell anything, is a leak that no single request shows.
//!
//! Tasks are counted by the machinery, at every fact about the node. Waiters are counted by the node,
//! which says so whenever they have grown by 32 over the most that it had in that boot: so many may go
//! unnoticed. Left out: connections (they are tasks here), bytes (`in_flight_bounded`).

use kernel::check::{Check, Fact, Finding, View};
use kernel::registry::{CheckWord, Claim};
use raft_driver::event::RaftEvent;

use crate::node;

/// The word `waiters_bounded`.
pub fn word() -> CheckWord {
    CheckWord {
        word: "waiters_bounded",
        about: "a node never has more tasks, nor more who wait for a proposal or a read, than the number \
                in parentheses",
        claim: Claim::Always,
        make,
    }
}

fn make(argument: Option<&str>) -> Result<Box<dyn Check>, String> {
    let example = "write for example `waiters_bounded(500)`";
    let text = argument.ok_or(format!("how many? {example}"))?;
    let most =
        text.trim().parse::<u64>().map_err(|_| format!("`{text}` is no number; {example}"))?;
    if most == 0 {
        return Err(format!("no node has nobody who waits; {example}"));
    }
    Ok(Box::new(WaitersBounded { most }))
}

struct WaitersBounded {
    most: u64,
}

impl WaitersBounded {
    fn judge(&self, fact: &Fact<'_>, tasks: u64) -> Result<(), Finding> {
        let (count, what) = match fact.get() {
            Some(RaftEvent::WaitersGrew { count, .. }) if *count > tasks => {
                (*count, "requests that wait for their outcome")
            }
            _ => (tasks, "tasks"),
        };
        if count <= self.most {
            return Ok(());
        }
        let (name, most) = (node(fact.host), self.most);
        Err(Finding::at(fact.host, format!("{name} has {count} {what}; it may have {most}")))
    }
}

impl Check for WaitersBounded {
    fn observe(&mut self, fact: &Fact<'_>, view: &View<'_>) -> Result<(), Finding> {
        if fact.host >= view.nodes() {
            return Ok(());
        }
        self.judge(fact, view.tasks(fact.host) as u64)
    }
}

#[cfg(test)]
mod tests {
    use kernel::event::KernelEvent;

    use super::*;

    #[test]
    fn the_number_is_given() {
        assert!(make(Some("500")).is_ok());
        assert!(make(None).err().expect("refused").contains("waiters_bounded(500)"));
        assert!(make(Some("0")).is_err() && make(Some("many")).is_err());
    }

    #[test]
    fn tasks_and_waiters_may_reach_the_bound_and_no_more() {
        let check = WaitersBounded { most: 100 };
        let judge = |event: &dyn host::Event, tasks| {
            check.judge(&Fact { at: 1, host: 2, boot: 1, event }, tasks).map_err(|f| f.text)
        };
        let booted = KernelEvent::Booted { boot: 1 };
        let grew = |count| RaftEvent::WaitersGrew { group: 1, count };
        assert_eq!(judge(&booted, 100), Ok(()));
        assert_eq!(judge(&booted, 101).unwrap_err(), "n3 has 101 tasks; it may have 100");
        assert_eq!(judge(&grew(100), 3), Ok(()));
        assert_eq!(
            judge(&grew(132), 3).unwrap_err(),
            "n3 has 132 requests that wait for their outcome; it may have 100"
        );
    }
}
