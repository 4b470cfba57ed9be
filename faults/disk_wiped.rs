//! The host dies and comes back after `lasts` under the same name with an empty disk: a volume that
//! was replaced, a container that was scheduled anew without its data. To its node it is a first
//! start, and yet others remember what it promised.
//!
//! It has forgotten everything, so this draws on the atlas' budget `forgets`; a host beyond it is
//! spared, and does not even go down. An effect is a disk with something on it that was wiped. Left
//! out: a disk that comes back old (`disk_restored`), and one that is never replaced. Source:
//! FoundationDB's RebootAndDelete.

use std::sync::Arc;

use kernel::fault::{Control, Fault};
use kernel::registry::{NoParams, Word, fault};

struct DiskWiped;

/// The word `disk_wiped`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "The host goes down and comes back after `lasts` with an empty disk and the \
                 same name.";
    fault("disk_wiped", about, |_: NoParams| DiskWiped)
}

impl Fault for DiskWiped {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        let hit = crate::admitted(hosts, |host| control.wipe_disk(host));
        crate::told(control, hosts, &hit, "")
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        for host in hosts {
            control.unwipe(*host);
        }
    }
}
