//! The host's device makes no progress for a while and then does all that it was asked: firmware
//! that collects garbage, a controller that retries, a cloud volume out of credits. Nothing fails
//! and nothing is lost; syncs just do not return. Reads that the page cache serves are not held up.
//!
//! Where several hosts share a device, all of them stall. Stalls nest: the device works again when
//! the last of them has ended.
//!
//! Left out: devices that are merely slow (`disk_slow`) or full (`disk_full`), and errors.

use std::sync::Arc;

use kernel::fault::{Control, Fault};
use kernel::registry::{NoParams, Word, fault};

struct DiskStall;

/// The word `disk_stall`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about =
        "The host's device makes no progress for `lasts`, then catches up; nothing is lost.";
    fault("disk_stall", about, |_: NoParams| DiskStall)
}

impl Fault for DiskStall {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        for host in hosts {
            control.stall_disk(*host);
        }
        crate::names(control, hosts)
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        for host in hosts {
            control.unstall_disk(*host);
        }
    }
}
