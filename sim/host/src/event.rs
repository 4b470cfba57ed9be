//! Typed facts. A node says what it did; checks judge, the trace tells, the digest remembers. An event is
//! consumed by reference at the moment it happens and carries ranges, not payloads.
//! Text, facts and weight are asked for separately, so a sweep never formats a line.

use std::any::Any;
use std::fmt::Debug;

/// What a host is, for the story's columns and for selectors such as `on = "leader"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Role {
    /// The word selectors use: `leader`, `follower`, `candidate`.
    pub word: &'static str,
    /// One character in the story's column.
    pub mark: char,
}

/// How much an event matters to a person who reads the story.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Only in `--trace full`.
    Fine,
    /// In `--trace short`.
    Detail,
    /// Worth a line of a story of twenty.
    Story,
}

/// A fact that a node records.
pub trait Event: Any + Debug {
    /// The subsystem that speaks: `raft`, `store`.
    fn source(&self) -> &'static str;
    /// The word that triggers wait for: `snapshot_started`.
    fn word(&self) -> &'static str;
    /// One line for people; the host and the time are added by others.
    fn text(&self) -> String;
    /// Everything that the digest should notice. No addresses, no wall time.
    fn facts(&self, facts: &mut Facts<'_>);
    /// How much it matters to a reader.
    fn weight(&self) -> Weight {
        Weight::Detail
    }
    /// Whether it is for whoever looks after the machine, as a log's warning is.
    fn warns(&self) -> bool {
        false
    }
    /// What the host has become by it.
    fn role(&self) -> Option<Role> {
        None
    }
}

/// Where an event puts what the digest should notice.
pub struct Facts<'a>(&'a mut Vec<u8>);

impl<'a> Facts<'a> {
    /// Facts are collected into this buffer.
    pub fn new(buffer: &'a mut Vec<u8>) -> Facts<'a> {
        Facts(buffer)
    }

    /// A number.
    pub fn num(&mut self, n: u64) -> &mut Self {
        self.0.extend_from_slice(&n.to_le_bytes());
        self
    }

    /// A word; its length goes in as well, so that two words never run together.
    pub fn word(&mut self, s: &str) -> &mut Self {
        self.num(s.len() as u64);
        self.0.extend_from_slice(s.as_bytes());
        self
    }
}
