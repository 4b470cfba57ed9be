//! The real program: `cargo real store --config FILE` runs the node code that the simulator runs, on
//! real sockets and a real disk; `cargo real put`, `get`, `status` and their like are its clients.
//! This file only says which world it is in; read on in `program/mod.rs`.
//!
//! All of this is the shell around the nodes, so the ban list of `nodes/clippy.toml` does not bind
//! it: somebody has to print, read arguments and files, and wait for signals.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

#[cfg(not(madsim))]
mod program;

#[cfg(madsim)]
fn main() {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "wavetank-node is the real program: use `cargo real`");
    std::process::exit(64);
}

#[cfg(not(madsim))]
fn main() -> std::process::ExitCode {
    program::main()
}
