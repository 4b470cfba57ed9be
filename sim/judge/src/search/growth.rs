//! What the search knows of values that grow: whether the reads that are left can still find what
//! they found, given the present value and the writes and appends that are left, and which candidates lead
//! towards a read that waits. The first answers are necessary conditions and prune; the last only ranks.
//! Left out: how often an append would be needed, which would be exact and cost a search of its own.

use super::{HEAD, Search};
use crate::datum::{Shape, State};
use crate::plan::Kind;

impl Search<'_> {
    /// Whether the reads left may still find what they found: all of them where other writes could help,
    /// else the next ones, for then they all found one growing value.
    pub(super) fn continues(&mut self, state: State) -> bool {
        let plan = self.plan;
        let fits = |path: usize| plan.paths[path].continues(state);
        if plan.mixed {
            self.cost += plan.paths.len() as u64;
            return (0..plan.paths.len()).all(|path| {
                self.readers[path] == 0
                    || (self.bases[path] > 0 || fits(path)) && self.leads(path, state)
            });
        }
        while plan.reads.get(self.first_read).is_some_and(|t| self.done[*t as usize]) {
            self.first_read += 1;
        }
        let left = plan.reads[self.first_read..].iter().filter(|t| !self.done[**t as usize]);
        let mut next = left.map(|t| plan.tasks[*t as usize].path as usize).take(3);
        !plan.bases || next.all(|path| self.bases[path] > 0 || fits(path))
    }

    /// Whether the appends that are left may lead to what a path found, from the present value or
    /// from one that is still to be written. How often one would be needed is not asked.
    fn leads(&mut self, path: usize, state: State) -> bool {
        let path = &self.plan.paths[path];
        self.cost += 1 + (path.steps.len() + path.starts.len()) as u64;
        let end = path.state.len as usize;
        if !matches!(state.shape, Shape::Absent) && state.shape != path.state.shape {
            return true;
        }
        self.lengths.clear();
        self.lengths.resize(end + 1, false);
        if path.continues(state) {
            self.lengths[state.len as usize] = true;
        }
        for (task, len) in &path.starts {
            // A scalar may begin a list, which is beyond counting lengths.
            let same = matches!(&self.plan.tasks[*task as usize].kind,
                Kind::Write(value) if value.shape == path.state.shape || value.shape == Shape::Absent);
            if !self.done[*task as usize] && !same {
                return true;
            }
            self.lengths[*len as usize] |= !self.done[*task as usize];
        }
        for (from, effect, to) in &path.steps {
            if self.lengths[*from as usize] && self.supply[*effect as usize] > 0 {
                self.lengths[*to as usize] = true;
            }
        }
        self.lengths[end]
    }

    /// The paths of the reads that may come next.
    pub(super) fn pending(&self) -> Vec<u32> {
        let mut pending = Vec::new();
        let mut entry = self.next[HEAD as usize];
        while entry != HEAD {
            let (task, calls) = self.entries[entry as usize];
            let task = &self.plan.tasks[task as usize];
            if !calls {
                break;
            }
            if matches!(task.kind, Kind::Read(_)) {
                pending.push(task.path);
            }
            entry = self.next[entry as usize];
        }
        pending
    }

    /// 0: a pending read found this value, 1: one found it with more behind it, 2: neither.
    pub(super) fn rank(&self, pending: &[u32], state: State) -> u8 {
        let paths = || pending.iter().map(|path| &self.plan.paths[*path as usize]);
        if paths().any(|path| path.state == state) {
            0
        } else if paths().any(|path| path.continues(state)) {
            1
        } else {
            2
        }
    }
}
