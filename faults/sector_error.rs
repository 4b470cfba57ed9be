//! Sectors that held durable bytes can no longer be read: every read that touches one fails with an
//! input/output error, until the range is written anew. `places` sectors of the files under a
//! prefix are drawn. The page cache still serves what was written; the errors begin when the pages
//! are gone (`shows`).
//!
//! This draws on the atlas' budget `damages`: a minority of hosts by default, for a node may refuse
//! to serve from such a disk, and stays down then; a host beyond it is spared. With `end =
//! "spared"` only bytes are hit that several later syncs of the same file have followed, because
//! damage to the last record of a log looks like the torn end of one. Files that are verified as a
//! whole may be hit anywhere (`end = "hit"`). The damage is done at once and for good, so `lasts`
//! means nothing here. An effect is a place that came out, or a read that failed.
//!
//! Left out: whole regions of a device at once. Source: Bairavasundaram et al., SIGMETRICS 2007
//! (latent sector errors).

use std::sync::Arc;

use host::settings::{Text, Word as Choice};
use kernel::fault::{Control, Damage, Fault};
use kernel::registry::{Word, fault};

host::settings! {
    /// The parameters of `sector_error`.
    pub struct Params {
        /// Only files whose names begin so; nothing means all of them.
        under: Text = "";
        /// In how many sectors.
        places: u64 = "1", "1..1000";
        /// Whether the last bytes of a file may be hit.
        end: Choice = "spared", "spared|hit";
        /// When it shows: at the next read, at the next boot, or after a power loss.
        shows: Choice = "restart", "now|restart|power_loss";
    }
}

struct SectorError {
    under: String,
    places: u64,
    how: Damage,
}

/// The word `sector_error`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "Sectors of the host's files can no longer be read until they are written anew; \
                 it shows when the page cache is gone.";
    fault("sector_error", about, |p: Params| SectorError {
        under: p.under.0,
        places: p.places,
        how: Damage {
            unreadable: true,
            spares_end: p.end.0 == "spared",
            shows: crate::shows(p.shows.0),
        },
    })
}

impl Fault for SectorError {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        let hit = crate::admitted(hosts, |host| {
            control.damage(host, &self.under, self.places, self.how) > 0
        });
        crate::told(
            control,
            hosts,
            &hit,
            &format!("{} places{}", self.places, crate::of(&self.under)),
        )
    }

    fn end(&self, _: &mut Control<'_>, _: &[usize]) {}
}
