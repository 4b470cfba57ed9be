//! The drive says that its cache is flushed, and it is not: every sync of a file or of the folder
//! says Ok after its usual time, and what it covered is durable only when the fault ends or, with
//! `delay`, so long after it. A power loss before takes it, down to what an honest sync had made
//! durable; a crash of the process takes nothing. The kernel counts what was promised as durable:
//! the node is not to blame.
//!
//! Whoever loses what was synced has forgotten what it promised; this draws on the atlas' budget
//! `forgets`, and a host beyond it is spared. An effect is a sync that lied.
//!
//! Left out: drives that write in another order than they were told. Source: the drive caches that
//! Rebello et al. (ATC 2020) and the manuals of databases warn of.

use std::sync::Arc;
use std::time::Duration;

use host::settings::Text;
use host::unit::nanos;
use kernel::fault::{Control, Fault, Trouble};
use kernel::registry::{Word, fault};

host::settings! {
    /// The parameters of `sync_lies`.
    pub struct Params {
        /// Only files whose names begin so; nothing means all of them.
        under: Text = "";
        /// When a sync comes true; the default, zero, is the end of the fault.
        delay: Duration = "0ns", "0ns..24h";
    }
}

struct SyncLies {
    under: String,
    delay: Duration,
}

/// The word `sync_lies`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "The host's syncs say Ok and come true only when the fault ends, or `delay` \
                 later; a power loss before takes what they covered.";
    fault("sync_lies", about, |p: Params| SyncLies { under: p.under.0, delay: p.delay })
}

impl Fault for SyncLies {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        let delay = (!self.delay.is_zero()).then(|| nanos(self.delay));
        let trouble = Trouble::SyncLies(delay);
        let hit = crate::admitted(hosts, |host| control.io(host, &self.under, trouble));
        crate::told(control, hosts, &hit, crate::of(&self.under).trim())
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        for host in hosts {
            control.no_io(*host);
        }
        control.over("sync_lies", hosts);
    }
}
