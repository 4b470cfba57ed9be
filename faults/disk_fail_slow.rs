//! The host's disk is slow by episodes that come and go: firmware that retries, a drive that
//! remaps, a hot one that throttles. For a while everything that it submits to the device takes
//! `least` to `most` times as long, then all is well for a while, again and again until the fault
//! ends. Episodes last up to `episode` and good times up to `calm`, a tenth of that at least; each
//! factor and length is drawn, by time alone and not by what is asked of the device. It begins with
//! an episode.
//!
//! A job takes the factor of the moment at which it was submitted, and holds up what queues behind
//! it. Where several lines act, the worst counts. An effect is a job that took longer. Left out: a
//! device that is slow all the time (`disk_slow`) or does nothing (`disk_stall`), and pages that
//! the cache serves. Source: Gunawi et al., FAST 2018 (fail-slow at scale).

use std::sync::Arc;
use std::time::Duration;

use host::unit::nanos;
use kernel::fault::{Control, Fault, Trouble};
use kernel::registry::{Word, fault};

host::settings! {
    /// The parameters of `disk_fail_slow`.
    pub struct Params {
        /// How many times slower an episode is at least.
        least: u64 = "10", "2..10000";
        /// How many times slower at most.
        most: u64 = "100", "2..10000";
        /// How long an episode lasts at most.
        episode: Duration = "200ms", "1ms..1h";
        /// How long a good time lasts at most.
        calm: Duration = "500ms", "1ms..1h";
    }
}

struct DiskFailSlow {
    trouble: Trouble,
}

/// The word `disk_fail_slow`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "The host's disk is many times slower in episodes that come and go for `lasts`.";
    fault("disk_fail_slow", about, |p: Params| {
        let factor = (p.least.min(p.most), p.least.max(p.most));
        let (slow_ns, well_ns) = (nanos(p.episode), nanos(p.calm));
        DiskFailSlow { trouble: Trouble::Episodes { factor, slow_ns, well_ns } }
    })
}

impl Fault for DiskFailSlow {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        for host in hosts {
            control.io(*host, "", self.trouble);
        }
        crate::names(control, hosts)
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        for host in hosts {
            control.no_io(*host);
        }
        control.over("disk_fail_slow", hosts);
    }
}
