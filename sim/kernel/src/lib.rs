//! The kernel: runs clusters on madsim in virtual time, and knows no concrete node.
//!
//! madsim gives the executor, the virtual clock and the interception of libc's clocks and random numbers.
//! Its network, file system and sleep floor are replaced by one plugin of our own ([`world`]). Data flows
//! one way: scenario and profile -> plan -> run -> history -> verdict -> results.
//!
//! Read in this order: `scenario`, `plan`, `run`, `world`, `history`, `check`. The laws of hardware are in
//! `model`, pure and property-tested.

#[cfg(not(madsim))]
compile_error!(
    "the simulator needs `--cfg madsim`: build from the project's folder, where .cargo/config.toml \
     sets it, and without RUSTFLAGS in the environment"
);

pub use host::doc;
pub use model::Time;

mod arm;
pub mod branch;
pub mod cause;
pub mod check;
pub mod claims;
pub mod digest;
pub mod draw;
mod engine;
pub mod event;
pub mod fault;
pub mod history;
pub mod library;
pub mod model;
pub mod outcome;
pub mod plan;
pub mod profile;
pub mod registry;
pub mod run;
pub mod scenario;
pub mod shrink;
pub mod study;
pub mod sweep;
mod task;
#[cfg(test)]
mod tests;
pub mod verify;
pub mod workload;
pub mod world;
