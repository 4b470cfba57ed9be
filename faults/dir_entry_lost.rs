//! The next power loss while this acts undoes the latest creates, renames and removes of names.
//! With `reach = "unsynced"` those that no sync of the folder has covered: at least one of them, if
//! there are any, while a plain `power_loss` often leaves all. With `synced` the folder's syncs lie
//! meanwhile, so that names go that somebody had made durable; when the fault ends without a power
//! loss they are durable after all. Data is as durable as it was: a synced file may have lost its
//! name, and an old name may be back.
//!
//! It loses no power itself. `synced` draws on the atlas' budget `forgets`, and a host beyond it is
//! spared. An effect is an operation that was undone, or a sync of the folder that lied.
//!
//! Left out: names that are lost out of order. Source: ALICE (Pillai et al., OSDI 2014).

use std::sync::Arc;

use host::settings::Word as Choice;
use kernel::fault::{Control, Fault, Trouble};
use kernel::registry::{Word, fault};

host::settings! {
    /// The parameters of `dir_entry_lost`.
    pub struct Params {
        /// Only operations that were not synced, or synced ones as well.
        reach: Choice = "unsynced", "unsynced|synced";
    }
}

struct DirEntryLost {
    synced: bool,
}

/// The word `dir_entry_lost`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "The next power loss undoes the host's latest creates, renames and removes of \
                 files, `synced` ones too if it says so.";
    fault("dir_entry_lost", about, |p: Params| DirEntryLost { synced: p.reach.0 == "synced" })
}

impl Fault for DirEntryLost {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        let trouble = Trouble::NamesLost { synced: self.synced };
        let hit = crate::admitted(hosts, |host| control.io(host, "", trouble));
        crate::told(control, hosts, &hit, if self.synced { "synced names too" } else { "" })
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        for host in hosts {
            control.no_io(*host);
        }
        control.over("dir_entry_lost", hosts);
    }
}
