//! A replicated configuration store: keys with values of a kilobyte to some megabytes, put and read
//! through one Raft group. Puts answer when the state machine has them, reads ask for a read index
//! first, so both are linearizable; a node that does not lead says who does.
//!
//! [`run`] is the node, called at each boot; [`client::Client`] talks to it. Left out: watches,
//! transactions, deletion, changes of membership.

pub mod client;
mod config;
pub mod event;
mod server;
mod table;
mod wire;

pub use config::{Config, Own};
pub use raft_driver::PLANTS;

/// Every event that a store node records, by word.
pub const EVENTS: &[&[&str]] = &[raft_driver::event::RaftEvent::WORDS, event::StoreEvent::WORDS];

pub use server::run;
