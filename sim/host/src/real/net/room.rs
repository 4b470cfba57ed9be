//! How many connections a listener keeps, and who must go when there are too many. A connection is a
//! stranger until its first whole frame has come. When the room is full the oldest stranger gives
//! way to a newcomer, so that those who connect and say nothing keep nobody out; where all have
//! spoken it is the newcomer that goes. Strangers together may also hold only so many bytes of
//! frames that are not whole.
//!
//! Left out: bounds for one peer address, because many honest clients may share one, and judging
//! what a first frame says, which only the node can.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use super::super::locked;

/// A connection as its room sees it.
pub(super) trait Occupant {
    fn seat(&self) -> &Seat;
    /// Breaks the connection.
    fn evict(&self);
}

pub(super) struct Room<C> {
    count: Arc<Count>,
    strangers: Mutex<VecDeque<Weak<C>>>,
    refused: AtomicU64,
}

struct Count {
    most: usize,
    /// How many bytes of unfinished frames strangers may hold together.
    most_held: u64,
    present: AtomicUsize,
    held: AtomicU64,
}

/// A connection's place; given back with `leave` or by being dropped.
pub(super) struct Seat {
    count: Arc<Count>,
    stranger: AtomicBool,
    held: AtomicU64,
    left: AtomicBool,
}

impl<C: Occupant> Room<C> {
    pub(super) fn new(most: usize, most_held: u64) -> Room<C> {
        let (present, held) = (AtomicUsize::new(0), AtomicU64::new(0));
        Room {
            count: Arc::new(Count { most, most_held, present, held }),
            strangers: Mutex::default(),
            refused: AtomicU64::new(0),
        }
    }

    /// A place for one who was invited; `None` if there is none.
    pub(super) fn invited(&self) -> Option<Seat> {
        (!self.full()).then(|| self.seat(false))
    }

    /// A place for a stranger, for which another stranger may have to go.
    pub(super) fn stranger(&self) -> Option<Seat> {
        (!self.full() || self.evict_one()).then(|| self.seat(true))
    }

    /// Remembers the stranger who took the last place given out.
    pub(super) fn took(&self, conn: &Arc<C>) {
        let mut strangers = locked(&self.strangers);
        if strangers.len() >= 2 * self.count.most {
            strangers.retain(|c| c.upgrade().is_some_and(|c| c.seat().is_stranger()));
        }
        strangers.push_back(Arc::downgrade(conn));
    }

    /// Counts one who found no place; how many there were, when it is time to say so again.
    pub(super) fn refuse(&self) -> Option<u64> {
        let refused = 1 + self.refused.fetch_add(1, Ordering::Relaxed);
        refused.is_power_of_two().then_some(refused)
    }

    fn full(&self) -> bool {
        self.count.present.load(Ordering::Relaxed) >= self.count.most
    }

    fn seat(&self, stranger: bool) -> Seat {
        self.count.present.fetch_add(1, Ordering::Relaxed);
        Seat {
            count: self.count.clone(),
            stranger: AtomicBool::new(stranger),
            held: AtomicU64::new(0),
            left: AtomicBool::new(false),
        }
    }

    fn evict_one(&self) -> bool {
        loop {
            let Some(oldest) = locked(&self.strangers).pop_front() else { return false };
            let oldest = oldest.upgrade().filter(|conn| conn.seat().is_stranger());
            if let Some(conn) = oldest {
                conn.evict();
                return true;
            }
        }
    }
}

impl Seat {
    fn is_stranger(&self) -> bool {
        self.stranger.load(Ordering::Relaxed) && !self.left.load(Ordering::Relaxed)
    }

    /// A whole frame has come.
    pub(super) fn has_spoken(&self) {
        if self.stranger.swap(false, Ordering::Relaxed) {
            self.release();
        }
    }

    /// Counts bytes of a frame that is not whole. False if strangers then hold too many.
    pub(super) fn hold(&self, bytes: usize) -> bool {
        if !self.is_stranger() {
            return true;
        }
        let bytes = bytes as u64;
        self.held.fetch_add(bytes, Ordering::Relaxed);
        bytes + self.count.held.fetch_add(bytes, Ordering::Relaxed) <= self.count.most_held
    }

    fn release(&self) {
        self.count.held.fetch_sub(self.held.swap(0, Ordering::Relaxed), Ordering::Relaxed);
    }

    /// The connection is broken or gone.
    pub(super) fn leave(&self) {
        if !self.left.swap(true, Ordering::Relaxed) {
            self.count.present.fetch_sub(1, Ordering::Relaxed);
            self.release();
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.leave();
        // What was held by a call that was under way while the seat was left.
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Guest(Seat);

    impl Occupant for Guest {
        fn seat(&self) -> &Seat {
            &self.0
        }
        fn evict(&self) {
            self.0.leave();
        }
    }

    fn enter(room: &Room<Guest>) -> Option<Arc<Guest>> {
        let guest = Arc::new(Guest(room.stranger()?));
        room.took(&guest);
        Some(guest)
    }

    #[test]
    fn the_oldest_who_said_nothing_gives_way_and_nobody_else() {
        let room = Room::new(3, 100);
        let guests: Vec<_> = (0..3).map(|_| enter(&room).unwrap()).collect();
        guests[0].0.has_spoken();
        let fourth = enter(&room).unwrap();
        assert!(!guests[0].0.left.load(Ordering::Relaxed));
        assert!(guests[1].0.left.load(Ordering::Relaxed));
        guests[2].0.has_spoken();
        fourth.0.has_spoken();
        assert!(enter(&room).is_none());
        assert!(room.invited().is_none());
        drop(fourth);
        assert!(enter(&room).is_some());
        assert_eq!(room.count.present.load(Ordering::Relaxed), 2);
        drop(guests);
        assert_eq!(room.count.present.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn strangers_hold_so_much_and_give_it_back() {
        let room = Room::new(9, 100);
        let (a, b) = (enter(&room).unwrap(), enter(&room).unwrap());
        assert!(a.0.hold(60) && b.0.hold(40));
        assert!(!b.0.hold(1));
        a.0.has_spoken();
        assert!(a.0.hold(1_000_000), "one who has spoken is counted no more");
        assert!(b.0.hold(59));
        drop((a, b));
        assert_eq!(room.count.held.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn refusals_are_told_ever_more_rarely() {
        let room: Room<Guest> = Room::new(0, 0);
        let told: Vec<u64> = (0..1000).filter_map(|_| room.refuse()).collect();
        assert_eq!(told, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]);
    }
}
