//! What has arrived on one connection and is no whole frame yet. Memory follows the bytes that came,
//! never the length that was announced: the buffer at most doubles, and a connection that says
//! nothing has none. A length beyond the bound is refused as soon as its four bytes are there.
//!
//! Left out: a bound on the time a frame may take; that is the node's, which knows what it waits for.

use std::io;

use bytes::{Buf, BytesMut};

use crate::Chunks;

/// Room for the first bytes of a frame whose length is not known yet.
const FIRST_READ: usize = 4 << 10;
/// The step in which a longer frame's buffer begins to grow.
const READ_STEP: usize = 16 << 10;
/// Room that is left over is used first, if it is so much.
const WORTH_A_READ: usize = 512;

#[derive(Default)]
pub(super) struct Inbox {
    pub(super) bytes: BytesMut,
    /// Bytes of the next frame with its length; 0 while that is not known.
    whole: usize,
    pub(super) ended: bool,
}

impl Inbox {
    /// The next frame if all of it is here.
    pub(super) fn frame(&mut self, max: u64) -> io::Result<Option<Chunks>> {
        let Some(head) = self.bytes.first_chunk::<4>() else { return Ok(None) };
        let len = u32::from_le_bytes(*head);
        if u64::from(len) > max {
            let text = format!("a frame of {len} bytes is announced; at most {max} are allowed");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        self.whole = 4 + len as usize;
        if self.bytes.len() < self.whole {
            return Ok(None);
        }
        self.whole = 0;
        self.bytes.advance(4);
        Ok(Some(self.bytes.split_to(len as usize).freeze().into()))
    }

    /// Makes room for what is about to be read: called when there is something.
    pub(super) fn make_room(&mut self) {
        let here = self.bytes.len();
        let step = match self.whole {
            0 => FIRST_READ,
            // Doubling, and no more than is missing.
            whole => here.max(READ_STEP).min(whole.saturating_sub(here)),
        };
        if self.bytes.capacity() - here < step.min(WORTH_A_READ) {
            self.bytes.reserve(step);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn memory_follows_what_came_and_not_what_was_announced(
            announced in 0u32..64 << 20, came in 0usize..300_000, piece in 1usize..70_000,
        ) {
            let mut inbox = Inbox::default();
            prop_assert_eq!(inbox.bytes.capacity(), 0);
            let mut sent = announced.to_le_bytes().to_vec();
            sent.resize(4 + came.min(announced as usize), 7);
            let mut rest = &sent[..];
            while !rest.is_empty() {
                prop_assert_eq!(inbox.frame(64 << 20).unwrap(), None);
                inbox.make_room();
                let room = inbox.bytes.capacity() - inbox.bytes.len();
                let (now, later) = rest.split_at(rest.len().min(piece).min(room));
                inbox.bytes.extend_from_slice(now);
                rest = later;
                let most = 3 * inbox.bytes.len() + FIRST_READ + READ_STEP;
                prop_assert!(inbox.bytes.capacity() <= most, "{}", inbox.bytes.capacity());
            }
            let frame = inbox.frame(64 << 20).unwrap();
            let whole = came >= announced as usize;
            prop_assert_eq!(frame.map(|f| f.len()), whole.then_some(u64::from(announced)));
        }

        #[test]
        fn frames_come_out_as_they_went_in(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9000), 1..6),
            piece in 1usize..6000,
        ) {
            let mut sent = Vec::new();
            for frame in &frames {
                sent.extend_from_slice(&(frame.len() as u32).to_le_bytes());
                sent.extend_from_slice(frame);
            }
            let (mut inbox, mut got) = (Inbox::default(), Vec::new());
            for part in sent.chunks(piece) {
                inbox.make_room();
                inbox.bytes.extend_from_slice(part);
                while let Some(frame) = inbox.frame(9000).unwrap() {
                    got.push(frame.to_bytes().to_vec());
                }
            }
            prop_assert_eq!(got, frames);
        }
    }
}
