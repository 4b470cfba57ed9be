//! The process stands still and then goes on as if nothing had happened: SIGSTOP, a stop-the-world
//! collection, a virtual machine that is migrated. Its connections stay open, its disk finishes
//! what was asked, frames pile up in its windows, and when it runs again all its deadlines have
//! passed at once.
//!
//! Pauses nest: if several overlap on one host, the last that ends lets it run.
//!
//! Left out: a machine whose clock stands still with it.

use std::sync::Arc;

use kernel::fault::{Control, Fault};
use kernel::registry::{NoParams, Word, fault};

struct Pause;

/// The word `pause`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "The process stands still for `lasts`; its connections and its disk go on.";
    fault("pause", about, |_: NoParams| Pause)
}

impl Fault for Pause {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        for host in hosts {
            control.pause(*host);
        }
        crate::names(control, hosts)
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        for host in hosts {
            control.resume(*host);
        }
    }
}
