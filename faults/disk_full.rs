//! Somebody else fills the host's disk: `leaves` bytes are free when it begins and no more come from
//! outside. A write that needs more room is refused as a whole with `StorageFull` and leaves nothing;
//! overwriting in place needs none, and what the node removes or cuts makes room that it may use.
//! After `lasts` the room is there again.
//!
//! Where such faults overlap, the lowest limit counts; each takes back only its own. An effect is a
//! write that was refused.
//!
//! Left out: names and empty files, which need no room here; write-back that fails long after the
//! write was taken (delayed allocation); quotas.

use std::sync::Arc;

use host::unit::{Size, show_size};
use kernel::fault::{Control, Fault};
use kernel::registry::{Word, fault};

host::settings! {
    /// The parameters of `disk_full`.
    pub struct Params {
        /// How much room is left when it begins.
        leaves: Size = "0B";
    }
}

struct DiskFull {
    leaves: Size,
}

/// The word `disk_full`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "The host's disk has no room beyond `leaves` for `lasts`: writes that need more are \
                 refused and leave nothing; removing files makes room.";
    fault("disk_full", about, |p: Params| DiskFull { leaves: p.leaves })
}

impl Fault for DiskFull {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        for host in hosts {
            control.fill_disk(*host, self.leaves);
        }
        format!("{}, {} left", crate::names(control, hosts), show_size(self.leaves))
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        for host in hosts {
            control.unfill_disk(*host);
        }
        control.over("disk_full", hosts);
    }
}
