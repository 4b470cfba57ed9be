//! The leader's lease: until when, on its own clock, no other node can have been elected, so that it
//! may answer a read without asking anybody. raft-rs's `LeaseBased` is not used: it knows no clock.
//!
//! - The leader stamps each heartbeat with its monotonic clock, read before the message leaves, and
//!   with the length of the promise that it counts on. A voter that makes that promise returns the
//!   stamp; one that does not (other settings) takes it out, so members that are being configured
//!   anew one by one are safe. The lease ends one promise after the quorum-th greatest stamp.
//! - The promise: for the lower election timeout after it processed a leader's last message, or after
//!   it booted (it may have forgotten what it had promised), a voter answers no request for a vote.
//!   It holds whether or not raft-rs's `check_quorum` is on. The voter's own candidacy keeps it too,
//!   but counts ticks, of which the first may come at once: hence one tick less. Ticks that are
//!   missed or withheld (held threads, a snapshot being installed) only make it longer.
//! - Any majority that elects another node holds a voter that returned a stamp this lease counts. It
//!   voted after its promise, hence after the lease, provided that clocks run apart by no more than
//!   `lease_drift`; having voted it returns no stamp of the old term. The leader itself is the
//!   exception: it makes no promise (with both `check_quorum` and `pre_vote` off a node of a later
//!   term could never come back otherwise) and loses its lease with its leadership.
//! - A leader that hands over gives the lease up before it says so, for the rest of its term: the
//!   order to campaign may be under way for long, and voters exempt that campaign from their
//!   promise. In later terms a stale order elects nobody: its term is that of an election decided.
//!
//! - Where members change, a lease lasts only as long as the configuration in force warrants: in a
//!   joint one a majority of either half must have promised, for either may elect once it is left.
//!   It is counted anew, and may end early, when the leader enters a configuration; nobody can be
//!   elected by that one before, for its entry needs the leader to be committed.
//!
//! Left out: a machine suspended together with its clock, and a voter that is restarted with lower
//! timeouts, or without leases, while an old promise of its own still runs; all break the bound.
//! After Ongaro's thesis, 6.4.1, and Gray and Cheriton's leases (1989).

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use host::Mono;
use host::unit::{Ratio, nanos};

use crate::rope::Numbers;

/// Marks a context that ends in a stamp; raft-rs's own are numbers of 8 bytes, or empty.
const MARK: u8 = b'L';
/// Bytes that a stamp adds to a context.
const STAMP: usize = 17;

/// What a heartbeat carries for the lease, and what its answer returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The leader's clock before the heartbeat left.
    pub(crate) sent: Mono,
    /// How long a promise the leader counts on.
    pub(crate) promise_ns: u64,
}

impl Stamp {
    /// A heartbeat's context with the stamp behind what raft-rs wants to say.
    pub(crate) fn seal(self, context: &[u8]) -> Bytes {
        let mut out = BytesMut::with_capacity(context.len() + STAMP);
        out.put_slice(context);
        out.put_u64_le(self.sent.0);
        out.put_u64_le(self.promise_ns);
        out.put_u8(MARK);
        out.freeze()
    }

    /// Takes the stamp out of a context and leaves what raft-rs put there.
    pub(crate) fn take(context: &mut Bytes) -> Option<Stamp> {
        if context.len() % 8 != 1 || context.last() != Some(&MARK) {
            return None;
        }
        let stamp = context.split_off(context.len().checked_sub(STAMP)?);
        let mut n = Numbers(&stamp);
        Some(Stamp { sent: Mono(n.u64()?), promise_ns: n.u64()? })
    }
}

/// What a voter promises whoever leads: not to elect another for so long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promise {
    /// How long requests for votes go unanswered.
    silence: Duration,
    /// How long it takes at least until the voter votes, itself included.
    pub(crate) least: Duration,
}

impl Promise {
    /// The promise of a node whose shortest election timeout has so many ticks.
    pub(crate) fn new(tick: Duration, election_ticks: u64) -> Promise {
        let ticks = |n: u64| Duration::from_nanos(nanos(tick).saturating_mul(n));
        Promise { silence: ticks(election_ticks), least: ticks(election_ticks.saturating_sub(1)) }
    }

    /// Whether it still binds, having heard a leader (or booted) at `heard`.
    pub(crate) fn binds(&self, heard: Mono, now: Mono) -> bool {
        now.since(heard) < self.silence
    }

    /// Whether a leader that counts on this stamp may count on this voter.
    pub(crate) fn covers(&self, stamp: Stamp) -> bool {
        stamp.promise_ns <= nanos(self.least)
    }
}

/// A leader's lease in one group.
#[derive(Debug)]
pub(crate) struct Lease {
    me: u64,
    /// The other voters, each with the greatest stamp it returned in this term.
    peers: Vec<(u64, Mono)>,
    /// The voters, and in a joint configuration also the old ones.
    halves: [Vec<u64>; 2],
    promise_ns: u64,
    /// The promise less what two clocks run apart meanwhile.
    span: Duration,
    given_up: bool,
    until: Mono,
}

impl Lease {
    /// Of a node that leads nothing yet.
    pub(crate) fn new(me: u64, promise: Promise, drift: Ratio) -> Lease {
        let promise_ns = nanos(promise.least);
        let lost = u128::from(promise_ns) * u128::from(drift.0);
        // Rounded up, for the remainder is rounded down.
        let lost = u64::try_from(lost.div_ceil(1_000_000)).unwrap_or(u64::MAX);
        Lease {
            me,
            peers: Vec::new(),
            halves: [Vec::new(), Vec::new()],
            promise_ns,
            span: Duration::from_nanos(promise_ns.saturating_sub(lost)),
            given_up: true,
            until: Mono(0),
        }
    }

    /// From now on these voters decide, and if there are old ones, these as well. True if the lease
    /// thereby ends earlier than it was to: whoever was not asked may elect somebody else.
    pub(crate) fn follows(&mut self, voters: &[u64], outgoing: &[u64]) -> bool {
        let known =
            |id: u64| self.peers.iter().find(|(peer, _)| *peer == id).map_or(Mono(0), |p| p.1);
        let others = voters.iter().chain(outgoing.iter().filter(|id| !voters.contains(id)));
        let others = others.copied().filter(|id| *id != self.me);
        self.peers = others.map(|id| (id, known(id))).collect();
        self.halves = [voters.to_vec(), outgoing.to_vec()];
        let warranted = match self.quorum() {
            Mono::NEVER => self.until,
            Mono(0) => Mono(0),
            quorum => quorum + self.span,
        };
        let ends_early = warranted < self.until;
        self.until = self.until.min(warranted);
        ends_early
    }

    /// A term of leadership begins; no stamp of an earlier one counts.
    pub(crate) fn begin(&mut self) {
        self.peers.iter_mut().for_each(|(_, stamp)| *stamp = Mono(0));
        (self.given_up, self.until) = (false, Mono(0));
    }

    /// Leadership ended, or will: no lease any more in this term. True if it was held.
    pub(crate) fn give_up(&mut self, now: Mono) -> bool {
        let held = self.holds(now);
        (self.given_up, self.until) = (true, Mono(0));
        held
    }

    /// What goes with a heartbeat that leaves at `now` or later.
    pub(crate) fn stamp(&self, now: Mono) -> Stamp {
        Stamp { sent: now, promise_ns: self.promise_ns }
    }

    /// A voter returned a stamp of this term.
    pub(crate) fn returned(&mut self, from: u64, stamp: Mono, now: Mono) {
        // What lies ahead of the own clock was never sent.
        let Some(peer) = self.peers.iter_mut().find(|(id, _)| *id == from && stamp <= now) else {
            return;
        };
        if stamp <= peer.1 {
            return;
        }
        peer.1 = stamp;
        let quorum = self.quorum();
        if quorum > Mono(0) && !self.given_up {
            self.until = self.until.max(quorum + self.span);
        }
    }

    /// The greatest stamp that a majority of each half returned, or a greater one; never ends if the
    /// leader is a majority by itself.
    fn quorum(&self) -> Mono {
        let [voters, outgoing] = &self.halves;
        if outgoing.is_empty() {
            self.half(voters)
        } else {
            self.half(voters).min(self.half(outgoing))
        }
    }

    fn half(&self, voters: &[u64]) -> Mono {
        let needed = voters.len() / 2 + 1 - usize::from(voters.contains(&self.me));
        if needed == 0 {
            return Mono::NEVER;
        }
        let stamps = || self.peers.iter().filter(|(id, _)| voters.contains(id)).map(|(_, s)| *s);
        let enough = |stamp: &Mono| stamps().filter(|s| s >= stamp).count() >= needed;
        stamps().filter(enough).max().unwrap_or(Mono(0))
    }

    /// A leader that is a majority by itself extends its lease when it needs it.
    pub(crate) fn extend_alone(&mut self, now: Mono) {
        if !self.given_up && now >= self.until && self.quorum() == Mono::NEVER {
            self.until = now + self.span;
        }
    }

    /// Until when it lasts; zero if none was taken or it was given up.
    pub(crate) fn until(&self) -> Mono {
        self.until
    }

    /// Whether a read may be admitted at that moment.
    pub(crate) fn holds(&self, now: Mono) -> bool {
        now < self.until
    }
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
