//! What lies in the log: the opening of a session, or a command of one. The header is the entry's
//! context and small; the value is the entry's body and is not copied. What the state machine
//! answers is as small, and is what a session remembers.
//!
//! ```text
//! 1 open             kind u8, limit of sessions u64
//! 2 put              kind u8, session, sequence, client, op u64, crc of what the table keeps u32, key
//! 3 delete           the same; the value is empty
//! 4 compare and set  the same, but before the key the version that is expected u64
//!   16 more          the body is the value's base64
//!   32 more          the body is an LZ4 block; after the crc the value's length u32
//! answer             kind u8, version u64
//! ```

use bytes::{BufMut, Bytes};
use raft_driver::rope::Numbers;

use crate::encoding::Form;

/// Longest key.
pub(crate) const MAX_KEY: usize = 1024;

/// The bits of a kind that say what is done, and those that say what the body is.
const ACTS: u8 = 0x0f;
const TEXT: u8 = 0x10;
const BLOCK: u8 = 0x20;

/// Whose command it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct By {
    /// The log index at which the session was opened.
    pub(crate) session: u64,
    /// Rises by the command within the session, from 1; a repetition has the number again.
    pub(crate) sequence: u64,
    /// The client's number for itself, which the item keeps.
    pub(crate) client: u64,
    /// The client's number for the operation, which the item keeps.
    pub(crate) op: u64,
}

impl By {
    /// Its length in bytes.
    pub(crate) const LEN: usize = 32;

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        for n in [self.session, self.sequence, self.client, self.op] {
            out.put_u64_le(n);
        }
    }

    pub(crate) fn decode(n: &mut Numbers<'_>) -> Option<By> {
        let (session, sequence) = (n.u64()?, n.u64()?);
        Some(By { session, sequence, client: n.u64()?, op: n.u64()? })
    }
}

/// What is to be done to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Put,
    Delete,
    /// A put that is done only if the key is at this version; 0 if there must be no such key.
    CompareAndSet {
        expected: u64,
    },
}

/// An entry's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Opens a session whose id is the entry's index. `limit` is how many there may be from here
    /// on: the opener's setting travels with the entry, so that all nodes evict alike.
    Open { limit: u64 },
    Do {
        by: By,
        act: Act,
        /// What the entry's body is.
        form: Form,
        /// Of what the table keeps.
        crc: u32,
        key: Bytes,
    },
}

impl Command {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        match self {
            Command::Open { limit } => {
                out.put_u8(1);
                out.put_u64_le(*limit);
            }
            Command::Do { by, act, form, crc, key } => {
                let act_code = match act {
                    Act::Put => 2,
                    Act::Delete => 3,
                    Act::CompareAndSet { .. } => 4,
                };
                out.put_u8(match form {
                    Form::Plain => act_code,
                    Form::Text => act_code | TEXT,
                    Form::Block { .. } => act_code | BLOCK,
                });
                by.encode(&mut out);
                out.put_u32_le(*crc);
                if let Form::Block { raw } = form {
                    out.put_u32_le(*raw);
                }
                if let Act::CompareAndSet { expected } = act {
                    out.put_u64_le(*expected);
                }
                out.put_slice(key);
            }
        }
        out
    }

    /// The command in a context; `None` if there is none.
    pub(crate) fn decode(context: &[u8]) -> Option<Command> {
        let mut n = Numbers(context);
        let kind = n.u8()?;
        if kind == 1 {
            let limit = n.u64()?;
            return n.0.is_empty().then_some(Command::Open { limit });
        }
        let (by, crc) = (By::decode(&mut n)?, n.u32()?);
        let form = match kind & !ACTS {
            0 => Form::Plain,
            TEXT => Form::Text,
            BLOCK => Form::Block { raw: n.u32()? },
            _ => return None,
        };
        let act = match kind & ACTS {
            2 => Act::Put,
            3 => Act::Delete,
            4 => Act::CompareAndSet { expected: n.u64()? },
            _ => return None,
        };
        // A key of a few bytes must not keep the whole of a frame's buffer.
        let key = Bytes::copy_from_slice(n.0);
        (key.len() <= MAX_KEY).then_some(Command::Do { by, act, form, crc, key })
    }
}

/// What the state machine answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The session is open.
    Opened,
    /// It is done, as this version: the index at which it was done first.
    Done { version: u64 },
    /// It is not done, for the key is at this version, 0 if there is none.
    Mismatch { version: u64 },
    /// It is not done: there is no such session.
    NoSession,
    /// It is not done: the session has gone on to a later command.
    Stale,
    /// It is not done: it is no command.
    Refused,
}

impl Answer {
    /// Its length in bytes.
    pub(crate) const LEN: usize = 9;

    pub(crate) fn encode(self) -> [u8; Answer::LEN] {
        let (kind, version) = match self {
            Answer::Opened => (1, 0),
            Answer::Done { version } => (2, version),
            Answer::Mismatch { version } => (3, version),
            Answer::NoSession => (4, 0),
            Answer::Stale => (5, 0),
            Answer::Refused => (6, 0),
        };
        let mut out = [kind; Answer::LEN];
        out[1..].copy_from_slice(&u64::to_le_bytes(version));
        out
    }

    pub(crate) fn decode(n: &mut Numbers<'_>) -> Option<Answer> {
        Some(match (n.u8()?, n.u64()?) {
            (1, 0) => Answer::Opened,
            (2, version) => Answer::Done { version },
            (3, version) => Answer::Mismatch { version },
            (4, 0) => Answer::NoSession,
            (5, 0) => Answer::Stale,
            (6, 0) => Answer::Refused,
            _ => return None,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn by() -> impl Strategy<Value = By> {
        any::<[u64; 4]>().prop_map(|[session, sequence, client, op]| By {
            session,
            sequence,
            client,
            op,
        })
    }

    pub(crate) fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            Just(Act::Put),
            Just(Act::Delete),
            any::<u64>().prop_map(|expected| Act::CompareAndSet { expected }),
        ]
    }

    fn form() -> impl Strategy<Value = Form> {
        prop_oneof![
            Just(Form::Plain),
            Just(Form::Text),
            any::<u32>().prop_map(|raw| Form::Block { raw }),
        ]
    }

    fn command() -> impl Strategy<Value = Command> {
        let key = prop::collection::vec(any::<u8>(), 0..=MAX_KEY).prop_map(Bytes::from);
        prop_oneof![
            any::<u64>().prop_map(|limit| Command::Open { limit }),
            (by(), act(), form(), any::<u32>(), key)
                .prop_map(|(by, act, form, crc, key)| { Command::Do { by, act, form, crc, key } }),
        ]
    }

    proptest! {
        #[test]
        fn commands_and_answers_arrive(command in command(), version in any::<u64>()) {
            prop_assert_eq!(Command::decode(&command.encode()), Some(command));
            for answer in [
                Answer::Opened,
                Answer::Done { version },
                Answer::Mismatch { version },
                Answer::NoSession,
                Answer::Stale,
                Answer::Refused,
            ] {
                prop_assert_eq!(Answer::decode(&mut Numbers(&answer.encode())), Some(answer));
            }
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..1200)) {
            let _ = Answer::decode(&mut Numbers(&bytes));
            if let Some(command) = Command::decode(&bytes) {
                prop_assert_eq!(command.encode(), bytes);
            }
        }
    }

    #[test]
    fn a_key_too_long_is_no_command() {
        let by = By { session: 1, sequence: 1, client: 1, op: 1 };
        let key = Bytes::from(vec![7; MAX_KEY + 1]);
        let long = Command::Do { by, act: Act::Put, form: Form::Plain, crc: 0, key };
        assert_eq!(Command::decode(&long.encode()), None);
    }
}
