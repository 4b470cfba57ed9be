//! A node that only elects: the Raft driver around an empty state machine, without a port for
//! clients. What is published about elections (the Raft paper's section 9.3, Ongaro's dissertation,
//! chapter 9) is measured on such clusters, and a seed of it costs a millisecond or two.
//!
//! At its first boot a host may find a log: of the same length everywhere, shorter on as many hosts as
//! the others can do without, or of another length on each. Which hosts have which is fixed, the first
//! ones are ahead or behind: hosts differ in nothing else, so nothing is gained by drawing it. Others
//! never take part, as if they had failed long ago.
//!
//! Left out: commands, clients, snapshots; the log holds what leaders themselves put there.

mod config;
pub mod event;
mod node;

pub use config::{Config, Own};
pub use node::run;

/// The deliberate defects it carries: those of consensus.
pub const PLANTS: &[(&str, &str)] = raft_driver::PLANTS;

/// Every event that such a node records, by word.
pub const EVENTS: &[&[&str]] = &[raft_driver::event::RaftEvent::WORDS, event::ElectorEvent::WORDS];
