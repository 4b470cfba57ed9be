//! The machine loses power. Of what was written and not synced, each file keeps nothing, all, or a
//! prefix, by a draw; created, renamed and removed names that were not synced may be as before. Its
//! peers hear nothing, not even a reset, and stay half-open until they send.
//!
//! After `lasts` power returns and the process is started. What survived is recorded in the plan,
//! so an artifact replays the very same loss. Such faults nest: if several overlap on one host, be
//! they crashes or power losses, the last that ends starts it.
//!
//! Left out: disks that lie about a completed sync, damage to bytes that were durable.

use std::sync::Arc;

use kernel::fault::{Control, Fault};
use kernel::registry::{NoParams, Word, fault};

struct PowerLoss;

/// The word `power_loss`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "The host loses power and gets it back after `lasts`; what was not synced is lost, \
                 kept or torn by a draw.";
    fault("power_loss", about, |_: NoParams| PowerLoss)
}

impl Fault for PowerLoss {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        for host in hosts {
            control.power_loss(*host);
        }
        crate::names(control, hosts)
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        for host in hosts {
            control.boot(*host);
        }
    }
}
