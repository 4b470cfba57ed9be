//! `members`: who belongs to the cluster, and changes of that. Every change is made from what the
//! leader said the members are, and only if they still are when it begins: two people who change them
//! at once undo nothing of each other's.
//!
//! A host that is added follows as a learner until it has most of the log, and votes from then on.
//! Left out: hosts that the nodes' files do not name.

use std::time::Duration;

use clap::Subcommand;
use store::client::{Client, Membership, Target};

use super::args::Whom;
use super::show::Answer;

/// What is asked about members.
#[derive(Debug, Subcommand)]
pub enum Members {
    /// Say who votes and who learns
    Show {
        #[command(flatten)]
        whom: Whom,
    },
    /// Let hosts vote, once they have most of the log; also learners
    Add {
        /// Their ids
        #[arg(required = true, value_name = "ID")]
        ids: Vec<u64>,
        /// They are to learn, and not to vote
        #[arg(long)]
        learner: bool,
        #[command(flatten)]
        whom: Whom,
    },
    /// Let hosts neither vote nor learn any more
    Remove {
        /// Their ids
        #[arg(required = true, value_name = "ID")]
        ids: Vec<u64>,
        #[command(flatten)]
        whom: Whom,
    },
}

/// What becomes of the members.
pub enum Change {
    /// Nothing; who are they?
    None,
    /// These vote.
    Vote(Vec<u64>),
    /// These learn.
    Learn(Vec<u64>),
    /// These are left out.
    Leave(Vec<u64>),
}

impl Members {
    /// The change, and whom to ask.
    pub fn parts(self) -> (Change, Whom) {
        match self {
            Members::Show { whom } => (Change::None, whom),
            Members::Add { ids, learner: false, whom } => (Change::Vote(ids), whom),
            Members::Add { ids, learner: true, whom } => (Change::Learn(ids), whom),
            Members::Remove { ids, whom } => (Change::Leave(ids), whom),
        }
    }
}

impl Change {
    /// What is to be, where these are the members.
    fn target(&self, now: &Membership) -> Target {
        let Membership { index, voters, learners, .. } = now.clone();
        let since = Some(index);
        let mut target = Target { voters, learners, catch_up: true, since };
        let (Change::Vote(ids) | Change::Learn(ids) | Change::Leave(ids)) = self else {
            return target;
        };
        target.voters.retain(|id| !ids.contains(id));
        target.learners.retain(|id| !ids.contains(id));
        match self {
            Change::Vote(ids) => target.voters.extend(ids),
            Change::Learn(ids) => target.learners.extend(ids),
            Change::Leave(_) | Change::None => {}
        }
        target
    }
}

/// Asks who the members are, and for the change.
pub async fn perform(client: &mut Client, change: Change, within: Duration) -> Answer {
    match client.members(within).await {
        Err(why) => Answer::Silence { why: why.to_string() },
        Ok(members) if matches!(change, Change::None) => Answer::Members { members },
        Ok(members) => client.change(change.target(&members), within).await.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_keeps_whom_it_does_not_name() {
        let now =
            Membership { index: 7, voters: vec![1, 2, 3], outgoing: vec![], learners: vec![4] };
        let made = |change: Change| {
            let target = change.target(&now);
            assert_eq!(target.since, Some(7));
            (target.voters, target.learners)
        };
        assert_eq!(made(Change::Vote(vec![4, 5])), (vec![1, 2, 3, 4, 5], vec![]));
        assert_eq!(made(Change::Learn(vec![3, 5])), (vec![1, 2], vec![4, 3, 5]));
        assert_eq!(made(Change::Leave(vec![1, 4])), (vec![2, 3], vec![]));
    }
}
