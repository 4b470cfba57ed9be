//! The host's device works at a fraction of its speed: a RAID that rebuilds, a neighbour on the same
//! volume, a drive that throttles when it is hot. Everything that reaches the device takes `factor`
//! times as long, what is under way as well; copies to the page cache do not.
//!
//! Where several hosts share a device, all of them are slow. Where such faults overlap, the slowest
//! counts; each takes back only its own. An effect is a device job that was under way when it began
//! or was submitted meanwhile.
//!
//! Left out: a device that does not answer at all (`disk_stall`), and errors.

use std::sync::Arc;

use kernel::fault::{Control, Fault};
use kernel::registry::{Word, fault};

host::settings! {
    /// The parameters of `disk_slow`.
    pub struct Params {
        /// How many times slower the device is.
        factor: u64 = "10", "2..10000";
    }
}

struct DiskSlow {
    factor: u64,
}

/// The word `disk_slow`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "The host's device is `factor` times slower for `lasts`.";
    fault("disk_slow", about, |p: Params| DiskSlow { factor: p.factor })
}

impl Fault for DiskSlow {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        for host in hosts {
            control.slow_disk(*host, self.factor);
        }
        format!("{}, {} times slower", crate::names(control, hosts), self.factor)
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        for host in hosts {
            control.unslow_disk(*host);
        }
        control.over("disk_slow", hosts);
    }
}
