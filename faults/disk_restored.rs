//! The host gets its disk back as it was `lasts` ago: somebody restores a snapshot of the volume,
//! or a virtual machine. What is durable when the fault begins is kept aside (its bytes are shared,
//! not copied); when it ends the host loses power, gets that disk and is started.
//!
//! What was promised in between is forgotten, votes included, so this draws on the atlas' budget
//! `forgets`; a host beyond it is spared. An effect is a disk that was put back. Left out: a
//! restore of some files only, and one onto another host. Source: Jepsen's snapshot and restore of
//! files; issues of etcd after restored members.

use std::sync::Arc;

use kernel::fault::{Control, Fault};
use kernel::registry::{NoParams, Word, fault};

struct DiskRestored;

/// The word `disk_restored`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "After `lasts` the host loses power and comes back with its disk as it was when \
                 the fault began.";
    fault("disk_restored", about, |_: NoParams| DiskRestored)
}

impl Fault for DiskRestored {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        let hit = crate::admitted(hosts, |host| control.copy_disk(host));
        crate::told(control, hosts, &hit, "")
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        for host in hosts {
            control.restore_disk(*host);
        }
        control.over("disk_restored", hosts);
    }
}
