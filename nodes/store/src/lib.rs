//! A replicated configuration store: keys with values of a kilobyte to some megabytes, behind one
//! Raft group: put, delete, compare-and-set, get and range. Commands answer when the state machine
//! has done them, reads when the leader has asked a majority or holds a lease, so both are
//! linearizable; a node that does not lead says who does. A command is done once however often its
//! client sends it: see `session`.
//!
//! [`run`] is the node, called at each boot; [`client::Client`] talks to it. Left out: watches,
//! transactions over several keys.

mod ask;
mod batch;
mod buffers;
pub mod client;
mod command;
mod config;
mod connection;
mod encoding;
pub mod event;
mod machine;
mod pages;
mod server;
mod session;
mod table;
mod wire;

pub use config::{Config, Own};

/// The store's own deliberate defects. The first two make a command be done twice, which
/// `exactly_once` sees in what the state machines say; the third makes states differ. The others tell
/// clients what no order of their operations explains.
const OWN_PLANTS: [(&str, &str); 9] = [
    ("session_forgotten", "a repeated command is done again"),
    ("session_not_in_snapshot", "a snapshot has no sessions, and unknown ones are trusted"),
    ("session_expires_by_own_clock", "each node ends idle sessions by its own clock"),
    ("cas_blind", "a compare-and-set does not compare"),
    ("delete_forgotten", "a delete is acknowledged and leaves the value where it is"),
    ("place_not_freed", "a client that breaks off keeps its place among max_clients"),
    ("delta_skips_removed", "what changed since a snapshot does not tell which keys are gone"),
    ("batch_acked_before_applied", "commands of a batch are answered as soon as they are proposed"),
    ("stale_get", "a node reads its own table without asking whether it is up to date"),
];

const PLANT_COUNT: usize = raft_driver::PLANTS.len() + OWN_PLANTS.len();

/// Consensus' plants and the store's.
const ALL_PLANTS: [(&str, &str); PLANT_COUNT] = {
    let mut all = [("", ""); PLANT_COUNT];
    let mut at = 0;
    while at < PLANT_COUNT {
        all[at] = match at.checked_sub(raft_driver::PLANTS.len()) {
            Some(own) => OWN_PLANTS[own],
            None => raft_driver::PLANTS[at],
        };
        at += 1;
    }
    all
};

/// Deliberate defects that checks must catch, each with what it does: consensus' and the store's.
pub const PLANTS: &[(&str, &str)] = &ALL_PLANTS;

/// Every event that a store node records, by word.
pub const EVENTS: &[&[&str]] = &[raft_driver::event::RaftEvent::WORDS, event::StoreEvent::WORDS];

pub use server::run;
