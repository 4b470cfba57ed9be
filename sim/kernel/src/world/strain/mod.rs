//! What faults put on links, devices, disks, cores and clocks, without breaking them: the entries of every
//! line of the plan that acts, and the models set to what these come to.
//!
//! Latencies and drifts add up; of losses, bandwidths, slownesses and limits the worst counts. A line takes
//! back its own entry, so lines may end in any order and the last leaves everything as it was. What a fault
//! did (frames, device jobs, refused writes, readings) is booked to the latest line that acts there.
//!
//! Left out: loss of the kernels' own messages (requests to connect, resets); what is written while
//! somebody else's files grow.

mod clocks;
mod cores;
mod disks;
mod frames;
mod io;
mod links;
mod readers;

use clocks::ClockStrain;
pub(crate) use cores::Steal;
use disks::DiskStrain;
pub(crate) use frames::{Trick, What};
pub(crate) use io::{Episodes, Io};
pub(crate) use links::Slow;
use readers::ReaderStrain;

use crate::model::clock::HostClock;
use crate::model::overlaps::Overlaps;
use crate::workload::Urge;

/// What faults do to one host.
#[derive(Debug, Default)]
pub(crate) struct Strain {
    pub(super) clock: ClockStrain,
    pub(crate) disk: DiskStrain,
    /// Who takes cores away.
    pub(super) steals: Overlaps<Steal>,
    /// To what its client is urged; hosts of clients only.
    pub(crate) urges: Overlaps<Urge>,
    pub(super) reader: ReaderStrain,
}

impl Strain {
    /// Of a host with that clock, before any fault.
    pub fn of(clock: &HostClock) -> Strain {
        Strain { clock: ClockStrain::of(clock), ..Strain::default() }
    }

    /// Whether the host's process reads its connections slowly.
    pub fn reader_is_slow(&self) -> bool {
        self.reader.is_slow()
    }
}
