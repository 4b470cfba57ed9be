//! A write lands at another place than it was meant for: at a sector's beginning somewhere in the
//! host's files under the same prefix. Both sides are hit: the place that was meant keeps what it
//! had, and the other place gets bytes that do not belong there. The page cache serves the right
//! bytes until the pages are gone (`shows`); syncs say Ok.
//!
//! The place that was meant may be the end of a log, so this draws on the atlas' budget `forgets`;
//! a host beyond it is spared. An effect is a range that came out, so a write may have two.
//!
//! Left out: reads that go astray; writes that land outside of every file, which are `write_lost`.
//! Source: Bairavasundaram et al., FAST 2008 (0.023 % of SSDs a year, 0.466 % of nearline disks).

use std::sync::Arc;

use host::settings::{Text, Word as Choice};
use host::unit::{Ratio, show_ratio};
use kernel::fault::{Control, Fault, Shows, Trouble};
use kernel::registry::{Word, fault};

host::settings! {
    /// The parameters of `write_misdirected`.
    pub struct Params {
        /// Only files whose names begin so; nothing means all of them.
        under: Text = "";
        /// The share of writes that go astray.
        share: Ratio = "5%";
        /// When it shows: after a power loss, or at the next boot of the process.
        shows: Choice = "power_loss", "power_loss|restart";
    }
}

struct WriteMisdirected {
    under: String,
    share: Ratio,
    shows: Shows,
}

/// The word `write_misdirected`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "A share of writes lands elsewhere in the host's files, though every sync says \
                 Ok; it shows when the page cache is gone.";
    fault("write_misdirected", about, |p: Params| WriteMisdirected {
        under: p.under.0,
        share: p.share,
        shows: crate::shows(p.shows.0),
    })
}

impl Fault for WriteMisdirected {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        let trouble = Trouble::Misdirect(self.share, self.shows);
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
        control.over("write_misdirected", hosts);
    }
}
