//! Bytes that were durable change at rest: charge leaks, a head brushes the platter. In `places`
//! drawn sectors of the files under a prefix some bits differ. The page cache still serves what was
//! written; the damage comes out when the pages are gone (`shows`). What is written anew is sound
//! again.
//!
//! This draws on the atlas' budget `damages`: a minority of hosts by default, for a node may refuse
//! to serve from such a disk, and stays down then; a host beyond it is spared. With `end =
//! "spared"` only bytes are hit that several later syncs of the same file have followed, because
//! damage to the last record of a log looks like the torn end of one. Files that are verified as a
//! whole may be hit anywhere (`end = "hit"`). The damage is done at once and for good, so `lasts`
//! means nothing here. An effect is a place that came out.
//!
//! Left out: whole regions of a device at once. Source: TigerBeetle's figures from the field (0.031
//! % of SSDs a year); CTRL (Alagappan et al., FAST 2018) for the end of a log.

use std::sync::Arc;

use host::settings::{Text, Word as Choice};
use kernel::fault::{Control, Damage, Fault};
use kernel::registry::{Word, fault};

host::settings! {
    /// The parameters of `bit_rot`.
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

struct BitRot {
    under: String,
    places: u64,
    how: Damage,
}

/// The word `bit_rot`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "Durable bytes of the host's files change at rest, in so many places; it shows \
                 when the page cache is gone.";
    fault("bit_rot", about, |p: Params| BitRot {
        under: p.under.0,
        places: p.places,
        how: Damage {
            unreadable: false,
            spares_end: p.end.0 == "spared",
            shows: crate::shows(p.shows.0),
        },
    })
}

impl Fault for BitRot {
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
