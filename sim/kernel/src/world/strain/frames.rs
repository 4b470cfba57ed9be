//! What faults do to single frames on a link: they come twice, late, damaged, or not at all.
//!
//! Each entry draws for itself, keyed by its line in the scenario, the link, and the frame's millisecond and
//! ordinal in it (a connection's number, where the connection is what is hit). So two entries on one link
//! shift nothing for each other, and the weather of the link is drawn as if there were none.
//!
//! On a stream frames stay in order: late is the whole connection, lost is what the link layer caught and
//! the sender repeated, and what a filter drops by its class is gone without a gap, as if it had never been
//! sent. Left out: damage to the kernels' own messages.

use host::unit::Ratio;
use host::{Chunks, Class, Rng};

use crate::Time;
use crate::draw::mix;
use crate::world::World;
use crate::world::net::Item;

/// What is done to frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// They come a second time, so much later at most.
    Duplicate { share: Ratio, within_ns: u64 },
    /// They are overtaken; so much later at most.
    Delay { share: Ratio, by_ns: u64 },
    /// Bits change; the link layer catches this share of it.
    Damage { share: Ratio, caught: Ratio },
    /// Those of a class are dropped: which, `Links::classes` says.
    Drop { class: usize, share: Ratio },
}

/// An entry of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trick {
    pub line: usize,
    /// The line's origin, which keys its draws.
    pub key: u64,
    pub what: What,
}

impl World {
    pub(crate) fn put_trick(&mut self, link: (usize, usize), trick: Trick) {
        let key = self.links.index(link.0, link.1);
        self.links.tricks[key].put(trick.line, trick);
        self.links.tricky += 1;
    }

    pub(crate) fn take_trick(&mut self, link: (usize, usize), line: usize) {
        let key = self.links.index(link.0, link.1);
        if self.links.tricks[key].take(line).is_some() {
            self.links.tricky -= 1;
        }
    }

    /// The number under which tricks name a class.
    pub(crate) fn class_number(&mut self, class: &str) -> usize {
        let classes = &mut self.links.classes;
        classes.iter().position(|known| known == class).unwrap_or_else(|| {
            classes.push(class.to_string());
            classes.len() - 1
        })
    }

    /// The entries on the way from this end, and what keys their draws for its next frame.
    fn tricks_on(&mut self, end: usize) -> (Vec<Trick>, u64, u64) {
        let now = self.now();
        let e = &self.net.ends[end];
        let (from, to) = (e.host, e.peer_host);
        let key = self.links.index(from, to);
        let tricks: Vec<Trick> = self.links.tricks[key].all().collect();
        if tricks.is_empty() {
            return (tricks, 0, 0);
        }
        let (ms, before) = (now / 1_000_000, self.links.ordinals[key]);
        let ordinal = if before.0 == ms { before.1 + 1 } else { 0 };
        self.links.ordinals[key] = (ms, ordinal);
        (tricks, self.link_identity(from, to), ms << 24 | ordinal)
    }

    /// Whether a filter on the way drops the frame before it is sent.
    pub(in crate::world) fn is_dropped(&mut self, end: usize, class: Class) -> bool {
        let (tricks, who, n) = self.tricks_on(end);
        for trick in tricks {
            let What::Drop { class: wanted, share } = trick.what else { continue };
            let mut rng = self.draws.stream("class_lossy", mix(trick.key, who), n);
            if self.links.classes[wanted] == class.0 && rng.chance(share.0) {
                self.effects[trick.line] += 1;
                self.note("filtered", end as u64, n);
                return true;
            }
        }
        false
    }

    /// A stream's frame is under way: what arrives of it, and how much later.
    pub(in crate::world) fn trick(&mut self, end: usize, mut item: Item) -> (Item, Time) {
        let (tricks, who, n) = self.tricks_on(end);
        let mut late = 0;
        for Trick { line, key, what } in tricks {
            match what {
                What::Delay { share, by_ns } => {
                    let number = self.net.ends[end].number;
                    let mut rng = self.draws.stream("frames_reordered", mix(key, who), number);
                    if rng.chance(share.0) {
                        self.effects[line] += 1;
                        late += 1 + rng.below(by_ns.max(1));
                    }
                }
                What::Damage { share, caught } => {
                    let mut rng = self.draws.stream("frames_corrupted", mix(key, who), n);
                    if rng.chance(share.0) {
                        self.effects[line] += 1;
                        if rng.chance(caught.0) {
                            let e = &self.net.ends[end];
                            let link = self.links.index(e.host, e.peer_host);
                            late += self.links.links[link].law.retry_delay(0);
                        } else {
                            self.damage(end, &mut item, &mut rng);
                        }
                    }
                }
                What::Duplicate { .. } | What::Drop { .. } => {}
            }
        }
        (item, late)
    }

    /// A datagram would arrive at that time: schedules what becomes of it.
    pub(in crate::world) fn trick_datagram(&mut self, end: usize, mut at: Time, mut item: Item) {
        let (tricks, who, n) = self.tricks_on(end);
        let mut again = None;
        for Trick { line, key, what } in tricks {
            match what {
                What::Duplicate { share, within_ns } => {
                    let mut rng = self.draws.stream("frames_duplicated", mix(key, who), n);
                    if rng.chance(share.0) {
                        self.effects[line] += 1;
                        again = Some(1 + rng.below(within_ns.max(1)));
                    }
                }
                What::Delay { share, by_ns } => {
                    let mut rng = self.draws.stream("frames_reordered", mix(key, who), n);
                    if rng.chance(share.0) {
                        self.effects[line] += 1;
                        at += 1 + rng.below(by_ns.max(1));
                    }
                }
                What::Damage { share, caught } => {
                    let mut rng = self.draws.stream("frames_corrupted", mix(key, who), n);
                    if rng.chance(share.0) {
                        self.effects[line] += 1;
                        if rng.chance(caught.0) {
                            return;
                        }
                        self.damage(end, &mut item, &mut rng);
                    }
                }
                What::Drop { .. } => {}
            }
        }
        if let (Some(later), Item::Frame(class, frame)) = (again, &item) {
            self.datagram_arrives(end, at + later, Item::Frame(*class, frame.clone()));
        }
        self.datagram_arrives(end, at, item);
    }

    /// A byte of the frame arrives as another.
    fn damage(&mut self, end: usize, item: &mut Item, rng: &mut Rng) {
        let Item::Frame(_, frame) = item else { return };
        if frame.is_empty() {
            return;
        }
        let mut bytes = frame.to_bytes().to_vec();
        let at = rng.below(bytes.len() as u64);
        bytes[at as usize] ^= 1 + rng.below(255) as u8;
        *frame = Chunks::from(bytes);
        self.note("damaged", end as u64, at);
    }
}
