//! Sessions: what makes a command that is sent twice be done once. A client opens one by a command
//! in the log and numbers its commands; the table keeps for each session the number of the last
//! command and what it was told. The last may be repeated and is answered again; an older one is
//! refused, for its answer is forgotten and doing it again is what must not happen.
//!
//! Sessions are part of the replicated state: they change only by log entries, stand in snapshots
//! and count in the hash. There is no clock in them. A client that goes away is forgotten when
//! others have opened too many: the least recently used goes, by log index. Source: Ongaro's thesis,
//! 6.3; one command at a time replaces its acknowledged-up-to number.

use std::collections::BTreeMap;

use bytes::{BufMut, BytesMut};
use raft_driver::rope::Numbers;
use raft_driver::{GENESIS, chain};

use crate::command::{Answer, By};

/// One session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Session {
    /// The number of its last command; 0 before the first.
    sequence: u64,
    /// What that was told.
    answer: Answer,
    /// The log index of the last entry that named it.
    used: u64,
}

impl Session {
    fn hash(&self, id: u64) -> u64 {
        let answer = self.answer.encode();
        let version = Numbers(&answer[1..]).u64().expect("eight bytes");
        chain(chain(GENESIS, id, self.sequence, answer[0].into(), 1), self.used, version, 0, 0)
    }
}

/// How a command stands to its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is the next one.
    Next,
    /// It is the last one again, which was answered so.
    Last(Answer),
    /// A later one has been there.
    Older,
    /// There is no such session.
    Unknown,
}

/// All sessions.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Sessions {
    all: BTreeMap<u64, Session>,
    /// Ids by the index of the last use: an entry names one session, so an index has one id.
    by_use: BTreeMap<u64, u64>,
    hash: u64,
}

/// Bytes of a session in a snapshot.
pub(crate) const LEN: usize = 24 + Answer::LEN;

impl Sessions {
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    fn insert(&mut self, id: u64, session: Session) {
        self.remove(id);
        self.hash = self.hash.wrapping_add(session.hash(id));
        self.by_use.insert(session.used, id);
        self.all.insert(id, session);
    }

    fn remove(&mut self, id: u64) {
        if let Some(old) = self.all.remove(&id) {
            self.hash = self.hash.wrapping_sub(old.hash(id));
            self.by_use.remove(&old.used);
        }
    }

    /// Opens the session `index`; the least recently used make room.
    pub(crate) fn open(&mut self, index: u64, limit: u64) {
        while self.all.len() as u64 >= limit.max(1) {
            let (_, oldest) = self.by_use.pop_first().expect("every session was used");
            self.remove(oldest);
        }
        self.insert(index, Session { sequence: 0, answer: Answer::Opened, used: index });
    }

    /// Planted: ends the sessions that no entry after `index` has named.
    pub(crate) fn expire(&mut self, index: u64) {
        let idle: Vec<u64> = self.by_use.range(..=index).map(|(_, id)| *id).collect();
        idle.into_iter().for_each(|id| self.remove(id));
    }

    /// How a command stands to its session.
    pub(crate) fn standing(&self, by: &By) -> Standing {
        match self.all.get(&by.session) {
            None => Standing::Unknown,
            Some(s) if by.sequence > s.sequence => Standing::Next,
            Some(s) if by.sequence == s.sequence && s.sequence > 0 => Standing::Last(s.answer),
            Some(_) => Standing::Older,
        }
    }

    /// The session was named by the entry at `index`.
    pub(crate) fn touch(&mut self, id: u64, index: u64) {
        if let Some(session) = self.all.get(&id).copied() {
            self.insert(id, Session { used: index, ..session });
        }
    }

    /// A command of the session was done at `index` and answered so.
    pub(crate) fn remember(&mut self, by: &By, answer: Answer, index: u64) {
        self.insert(by.session, Session { sequence: by.sequence, answer, used: index });
    }

    /// All sessions, by id.
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        for (id, session) in &self.all {
            out.put_u64_le(*id);
            out.put_u64_le(session.sequence);
            out.put_u64_le(session.used);
            out.put_slice(&session.answer.encode());
        }
    }

    /// The sessions in these bytes; `None` if they are not what `encode` gives at log index
    /// `index`.
    pub(crate) fn decode(bytes: &[u8], index: u64) -> Option<Sessions> {
        let mut sessions = Sessions::default();
        let mut n = Numbers(bytes);
        let mut last = 0;
        while !n.0.is_empty() {
            let (id, sequence, used) = (n.u64()?, n.u64()?, n.u64()?);
            let answer = Answer::decode(&mut n)?;
            let in_order = last < id && id <= used && used <= index;
            if !in_order || sessions.by_use.contains_key(&used) {
                return None;
            }
            sessions.insert(id, Session { sequence, answer, used });
            last = id;
        }
        Some(sessions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn by(session: u64, sequence: u64) -> By {
        By { session, sequence, client: 0, op: 0 }
    }

    #[test]
    fn the_last_is_known_and_older_ones_are_told_apart() {
        let mut sessions = Sessions::default();
        sessions.open(5, 10);
        assert_eq!(sessions.standing(&by(5, 0)), Standing::Older, "numbers begin at 1");
        assert_eq!(sessions.standing(&by(5, 1)), Standing::Next);
        assert_eq!(sessions.standing(&by(6, 1)), Standing::Unknown);
        sessions.remember(&by(5, 3), Answer::Done { version: 7 }, 7);
        assert_eq!(sessions.standing(&by(5, 3)), Standing::Last(Answer::Done { version: 7 }));
        assert_eq!(sessions.standing(&by(5, 2)), Standing::Older);
        assert_eq!(sessions.standing(&by(5, 4)), Standing::Next);
    }

    #[test]
    fn the_least_recently_used_makes_room() {
        let mut sessions = Sessions::default();
        (1..=3).for_each(|index| sessions.open(index, 3));
        sessions.touch(1, 4);
        sessions.open(5, 3);
        let there = |sessions: &Sessions| sessions.all.keys().copied().collect::<Vec<_>>();
        assert_eq!(there(&sessions), [1, 3, 5]);
        // A smaller limit evicts more than one.
        sessions.open(6, 2);
        assert_eq!(there(&sessions), [5, 6]);
        assert_eq!(sessions.by_use.len(), sessions.len());
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded_and_hashes_alike(
            steps in prop::collection::vec((0u8..3, 1u64..40, 1u64..6, 1u64..6), 0..40),
        ) {
            let mut sessions = Sessions::default();
            let mut index = 0;
            for (kind, id, sequence, limit) in steps {
                index += 1;
                match kind {
                    0 => sessions.open(index, limit),
                    1 => sessions.touch(id, index),
                    _ if sessions.all.contains_key(&id) => {
                        let answer = Answer::Mismatch { version: 9 };
                        sessions.remember(&by(id, sequence), answer, index);
                    }
                    _ => {}
                }
            }
            let mut out = BytesMut::new();
            sessions.encode(&mut out);
            prop_assert_eq!(out.len(), sessions.len() * LEN);
            let decoded = Sessions::decode(&out, index);
            prop_assert_eq!(decoded, Some(sessions));
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Sessions::decode(&bytes, u64::MAX);
        }
    }
}
