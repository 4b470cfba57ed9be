//! The machine loses power while sectors are on their way to the device. As with `power_loss` a
//! prefix of the unsynced changes of each file survives, here mostly all of them; but of these each
//! sector is there, missing (as it was before: zeroes where a file grew), or garbage, each by
//! itself. So there may be holes in front of what arrived, which no prefix has.
//!
//! What was durable is not touched, not even the bytes that a file's last sector had before:
//! nothing here needs the atlas. The sectors' fates are keyed by the line of the plan, the host and
//! the file, and how much survived is recorded, so an artifact replays the same loss. An effect is
//! a sector that is not there. After `lasts` power returns and the process is started.
//!
//! Left out: order among files, and sectors that tear inside (garbage stands for those). Source:
//! FoundationDB's AsyncFileNonDurable; TigerBeetle's VOPR corrupts sectors of pending writes.

use std::sync::Arc;

use host::settings::Word as Choice;
use host::unit::Ratio;
use kernel::fault::{Control, Fault};
use kernel::registry::{Word, fault};

host::settings! {
    /// The parameters of `write_torn`.
    pub struct Params {
        /// What the device writes whole or not at all.
        sector: Choice = "512B", "512B|4KiB";
        /// The share of sectors that did not arrive.
        missing: Ratio = "20%";
        /// The share of sectors that hold garbage; with the former at most everything.
        garbage: Ratio = "10%";
    }
}

struct WriteTorn {
    sector: u64,
    missing: Ratio,
    garbage: Ratio,
}

/// The word `write_torn`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "The host loses power while it writes: of what was not synced each sector is \
                 there, missing or garbage; power returns after `lasts`.";
    fault("write_torn", about, |p: Params| {
        let sector = if p.sector.0 == "4KiB" { 4096 } else { 512 };
        WriteTorn { sector, missing: p.missing, garbage: p.garbage }
    })
}

impl Fault for WriteTorn {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        for host in hosts {
            control.torn_power_loss(*host, self.sector, self.missing, self.garbage);
        }
        format!("{}, sectors of {} B", crate::names(control, hosts), self.sector)
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        for host in hosts {
            control.boot(*host);
        }
    }
}
