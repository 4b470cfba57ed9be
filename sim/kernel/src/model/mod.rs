//! The laws of the simulated machine, one resource a file: who gets a core or a device and for how
//! long, when a frame arrives, what a write costs, what a disk still holds after the power fails,
//! what a clock shows, and what a process holds in memory.
//!
//! Everything here is a pure value that is told the time and handed its draws: nothing waits,
//! nothing asks a random generator, nothing knows the executor. So each law is tested by properties
//! alone, and the kernel above is only plumbing between these laws and the nodes' futures. All
//! arithmetic is on integers (nanoseconds, bytes, parts per million), because floating point
//! differs between machines. Time and truth are apart: `disk` says how long a sync takes, `files`
//! says what it saved.

pub mod atlas;
pub mod clock;
pub mod disk;
mod extents;
pub mod files;
mod inode;
pub mod latent;
pub mod link;
pub mod memory;
pub mod overlaps;
pub mod share;

#[cfg(test)]
mod tests_clock;
#[cfg(test)]
mod tests_damage;
#[cfg(test)]
mod tests_disk;
#[cfg(test)]
mod tests_files;
#[cfg(test)]
mod tests_link;
#[cfg(test)]
mod tests_memory;
#[cfg(test)]
mod tests_power;
#[cfg(test)]
mod tests_share;

/// A point of virtual time, in nanoseconds since the start of the run.
pub type Time = u64;

/// One million, the whole in parts per million.
pub(crate) const MILLION: u64 = 1_000_000;

/// How long `bytes` take at `rate`, rounded up to the nanosecond; a rate of zero is unlimited.
pub(crate) fn transfer_ns(bytes: u64, rate: host::unit::Rate) -> u64 {
    if rate.0 == 0 {
        return 0;
    }
    let ns = (u128::from(bytes) * 1_000_000_000).div_ceil(u128::from(rate.0));
    u64::try_from(ns).unwrap_or(u64::MAX)
}
