//! Moments that a trigger can wait for and that are no facts: a sync of a file or of the folder has
//! completed, a file was renamed. There are thousands of them in a run and no check wants them, so they are
//! counted here and only while a trigger listens; to everybody else they cost a branch. A run with a whole
//! trace writes them down beside it, for `shrink` looks there for an event that says when a fault acts.
//!
//! A line that waits for a sync with no delay acts after the disk has done it and before the node learns of
//! it. Replayed from an artifact it is due at that time, and what completes then comes before it: acts of
//! the plan are the last of their instant. A rename is the node's own doing, so a nanosecond lies between.
//!
//! Source: CrashMonkey and ALICE; nearly all crash bugs of file systems strike right after such a call.

use super::{Due, World};
use crate::Time;
use crate::history::Trigger;

/// What has just happened on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The sync of a file.
    Synced,
    /// The sync of the folder.
    DirSynced,
    /// A file has another name.
    Renamed,
}

impl Moment {
    /// The words that a trigger can wait for.
    pub const WORDS: &'static [&'static str] = &["synced", "dir_synced", "renamed"];

    fn word(self) -> &'static str {
        Moment::WORDS[self as usize]
    }
}

/// Triggers that listen for moments: the plan's own, so they are there during the load only. And moments
/// that are written down, if the run has a whole trace.
#[derive(Debug, Default)]
pub(crate) struct Moments {
    listening: Vec<Trigger>,
    /// From when delays count, host, moment.
    seen: Option<Vec<(Time, usize, Moment)>>,
}

impl Moments {
    /// Writes moments down from now on.
    pub fn record(&mut self) {
        self.seen = Some(Vec::new());
    }

    /// What was written down: from when delays count, host, word.
    pub fn seen(&self) -> impl Iterator<Item = (Time, usize, &'static str)> {
        self.seen.iter().flatten().map(|(at, host, moment)| (*at, *host, moment.word()))
    }

    /// A line of the plan listens.
    pub fn listen(&mut self, trigger: Trigger) {
        self.listening.push(trigger);
    }

    /// Nobody listens any more.
    pub fn clear(&mut self) {
        self.listening.clear();
    }

    /// Who acts on that moment: (line, delay). They listen no more.
    fn due(&mut self, moment: Moment, host: usize) -> Vec<(usize, Time)> {
        let mut due = Vec::new();
        self.listening.retain_mut(|trigger| {
            let here = trigger.on.is_none_or(|on| on == host);
            if !here || trigger.word != moment.word() {
                return true;
            }
            trigger.left -= 1;
            if trigger.left == 0 {
                due.push((trigger.line, trigger.after));
            }
            trigger.left > 0
        });
        due
    }
}

impl World {
    /// Something happened on a host's disk.
    pub(super) fn moment(&mut self, moment: Moment, host: usize) {
        if self.moments.listening.is_empty() && self.moments.seen.is_none() {
            return;
        }
        let from = self.now() + u64::from(moment == Moment::Renamed);
        if let Some(seen) = &mut self.moments.seen {
            seen.push((from, host, moment));
        }
        for (line, after) in self.moments.due(moment, host) {
            self.schedule(from + after, Due::Fire { line, there: Some(host) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trigger(line: usize, word: &str, on: Option<usize>, left: u64) -> Trigger {
        Trigger { line, word: word.into(), on, left, after: 7 }
    }

    #[test]
    fn words_name_their_moments() {
        let all = [Moment::Synced, Moment::DirSynced, Moment::Renamed];
        assert_eq!(all.map(Moment::word), *Moment::WORDS);
    }

    #[test]
    fn the_right_moment_on_the_right_host_is_counted_and_acts_once() {
        let mut moments = Moments::default();
        moments.listen(trigger(0, "synced", None, 2));
        moments.listen(trigger(1, "synced", Some(1), 1));
        moments.listen(trigger(2, "renamed", None, 1));
        assert_eq!(moments.due(Moment::DirSynced, 0), []);
        assert_eq!(moments.due(Moment::Synced, 0), []);
        assert_eq!(moments.due(Moment::Synced, 1), [(0, 7), (1, 7)]);
        assert_eq!(moments.due(Moment::Synced, 1), []);
        assert_eq!(moments.due(Moment::Renamed, 0), [(2, 7)]);
        assert!(moments.listening.is_empty());
    }
}
