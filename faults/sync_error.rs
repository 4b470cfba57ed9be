//! A share of the host's syncs of files fails with an input/output error. What the file holds
//! afterwards nobody can know; file systems differ, and `after` says which one this is. `clean`:
//! the pages count as clean and are served still, the next sync says Ok, and the device does not
//! have them; what is written anew reaches it. `reverts`: the contents are at once as they were
//! before the writes; lengths stay. `stays`: every later sync of that file fails too, until the
//! next boot.
//!
//! The kernel's word about what is durable is the device's: whoever takes the next Ok for a yes is
//! found out. A node that ends over the error is excused: its supervisor starts it again, on the
//! same page cache. An effect is a sync that failed.
//!
//! Left out: syncs of the folder. Source: Rebello et al., USENIX ATC 2020 (ext4 and XFS: clean;
//! Btrfs: reverts).

use std::sync::Arc;

use host::settings::{Text, Word as Choice};
use host::unit::{Ratio, show_ratio};
use kernel::fault::{Control, Fault, Trouble};
use kernel::registry::{Word, fault};

host::settings! {
    /// The parameters of `sync_error`.
    pub struct Params {
        /// Only files whose names begin so; nothing means all of them.
        under: Text = "";
        /// The share of syncs that fail.
        share: Ratio = "10%";
        /// What becomes of the pages: clean, as before, or dirty for good.
        after: Choice = "clean", "clean|reverts|stays";
    }
}

struct SyncError {
    under: String,
    share: Ratio,
    after: &'static str,
}

/// The word `sync_error`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "A share of the host's syncs fails for `lasts`; what the file holds then, \
                 `after` says.";
    fault("sync_error", about, |p: Params| SyncError {
        under: p.under.0,
        share: p.share,
        after: p.after.0,
    })
}

impl Fault for SyncError {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        let trouble = match self.after {
            "clean" => Trouble::SyncErrorClean(self.share),
            "reverts" => Trouble::SyncErrorReverts(self.share),
            _ => Trouble::SyncErrorStays(self.share),
        };
        let hit = crate::admitted(hosts, |host| control.io(host, &self.under, trouble));
        crate::told(
            control,
            hosts,
            &hit,
            &format!(
                "{} of syncs{}, {}",
                show_ratio(self.share),
                crate::of(&self.under),
                self.after
            ),
        )
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        for host in hosts {
            control.no_io(*host);
        }
        control.over("sync_error", hosts);
    }
}
