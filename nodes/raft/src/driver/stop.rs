//! The end of the loop. A graceful stop drains first: no proposal is taken any more, groups that this
//! node leads are handed to the reachable peer that has most of the log, and whoever proposed an
//! entry here waits with the loop until it is applied. All that takes one upper election timeout at
//! most. Then the log is made durable, what is known to be committed goes through the state machine,
//! and only then does anybody learn of the end.
//!
//! Syncing the log takes as long as the disk does, for a stalled disk too: a stop that gave up there
//! could not say that what was written is durable. A log that waits for room is not waited for: what
//! it lacks was promised to nobody. A failure of the disk ends the loop without draining.

use std::io;

use host::{Mono, Task};

use super::{Driver, Input};
use crate::answer::Answer;

impl Driver {
    /// A graceful stop was asked for.
    pub(super) fn begin_stop(&mut self, now: Mono) {
        if self.stop_by.is_some() {
            return;
        }
        self.stop_by = Some(now + self.config.election_timeout.max);
        self.hand_all_over();
    }

    /// Hands every group that this node leads to the reachable voter that has most of its log.
    pub(super) fn hand_all_over(&mut self) {
        for at in 0..self.groups.len() {
            let group = &mut self.groups[at];
            if !group.is_leader() || group.hands_over() {
                continue;
            }
            let reachable = self.peers.iter().filter(|p| p.link.is_up());
            let voters = reachable.filter(|p| group.membership.votes(p.id));
            let matched = |id: u64| group.raw.raft.prs().get(id).map_or(0, |p| p.matched);
            // Of equals the first, as everywhere.
            let best = voters.map(|p| p.id).rev().max_by_key(|id| matched(*id));
            if let Some(to) = best {
                group.hand_over(&self.host, to, Answer::new(|_| {}));
                self.touch(at);
            }
        }
    }

    /// Whether a graceful stop has nothing to wait for any more, or has waited long enough.
    pub(super) fn is_drained(&self) -> bool {
        let Some(stop_by) = self.stop_by else { return false };
        let waits = |g: &super::Group| g.hands_over() || !g.waiters.is_empty();
        self.now >= stop_by || !self.groups.iter().any(waits)
    }

    /// Ends everything that belongs to the loop; the WAL is durable before anybody learns of the
    /// end.
    pub(super) async fn end(mut self, mut outcome: io::Result<()>) {
        for at in 0..self.groups.len() {
            self.write_commit(at);
        }
        self.wal.push_all(&mut self.layout.jobs);
        self.wal.close();
        if let Some(writer) = self.writer.take() {
            writer.join().await;
        }
        if outcome.is_ok() {
            outcome = self.finish_applying().await;
        }
        self.apply.abandon();
        self.take.abandon();
        self.accept.end();
        self.tasks.drain(..).chain(self.applier.take()).for_each(Task::cancel);
        self.inbox.abandon();
        let shared = self.shared.clone();
        // Proposers and readers learn of the end from their dropped answers.
        drop(self);
        shared.finish(outcome);
    }

    /// What became durable at last may be known to be committed; it goes through the state machine,
    /// and with it everything before. Nothing else that waits in the inbox is looked at.
    async fn finish_applying(&mut self) -> io::Result<()> {
        for input in self.inbox.take_now() {
            match input {
                Input::Persisted(seq) => self.persisted(seq),
                Input::Written(seq) => self.written(seq),
                Input::Failed(error) => return Err(error),
                _ => {}
            }
        }
        self.turn();
        self.apply.close();
        if let Some(applier) = self.applier.take() {
            applier.join().await;
        }
        for input in self.inbox.take_now() {
            match input {
                Input::Applied { group, index } => self.applied(group, index),
                Input::Failed(error) => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}
