//! The device acknowledges writes that it never does: firmware that drops a command, a cache that
//! forgets. The page cache serves the right bytes, syncs say Ok, and nobody is told. When the pages
//! are gone (`shows`) the range is as it was before the write: old bytes, or zeroes where the file
//! had grown. A later write to the same place mends it.
//!
//! Whoever lost the end of its log this way has forgotten what it promised, and no checksum tells:
//! this draws on the atlas' budget `forgets`, which is 0 unless a scenario says otherwise; a host
//! beyond it is spared. An effect is a range that came out.
//!
//! Left out: lost writes of names (`dir_entry_lost`). Source: Bairavasundaram et al., FAST 2008.

use std::sync::Arc;

use host::settings::{Text, Word as Choice};
use host::unit::{Ratio, show_ratio};
use kernel::fault::{Control, Fault, Shows, Trouble};
use kernel::registry::{Word, fault};

host::settings! {
    /// The parameters of `write_lost`.
    pub struct Params {
        /// Only files whose names begin so; nothing means all of them.
        under: Text = "";
        /// The share of writes that are lost.
        share: Ratio = "10%";
        /// When it shows: after a power loss, or at the next boot of the process.
        shows: Choice = "power_loss", "power_loss|restart";
    }
}

struct WriteLost {
    under: String,
    share: Ratio,
    shows: Shows,
}

/// The word `write_lost`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "A share of writes never reaches the device, though every sync says Ok; it \
                 shows when the page cache is gone.";
    fault("write_lost", about, |p: Params| WriteLost {
        under: p.under.0,
        share: p.share,
        shows: crate::shows(p.shows.0),
    })
}

impl Fault for WriteLost {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        let trouble = Trouble::LoseWrite(self.share, self.shows);
        let hit = crate::admitted(hosts, |host| control.io(host, &self.under, trouble));
        crate::told(
            control,
            hosts,
            &hit,
            &format!("{} of writes{}", show_ratio(self.share), crate::to(&self.under)),
        )
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        for host in hosts {
            control.no_io(*host);
        }
        control.over("write_lost", hosts);
    }
}
