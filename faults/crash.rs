//! The process dies and the machine lives on, as after a panic, an abort or the kernel's OOM
//! killer. What the node had written is in the page cache and will be on disk; what it held in
//! memory is gone. The machine answers the dead process's peers with resets.
//!
//! After `lasts` the process is started again. Such faults nest: if several overlap on one host, be
//! they crashes or power losses, the last that ends starts it.
//!
//! Left out: hangs without death (`pause`), and everything that a disk forgets (`power_loss`).

use std::sync::Arc;

use kernel::fault::{Control, Fault};
use kernel::registry::{NoParams, Word, fault};

struct Crash;

/// The word `crash`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "The process dies and is started again after `lasts`; its page cache survives.";
    fault("crash", about, |_: NoParams| Crash)
}

impl Fault for Crash {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        for host in hosts {
            control.crash(*host);
        }
        crate::names(control, hosts)
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        for host in hosts {
            control.boot(*host);
        }
    }
}
