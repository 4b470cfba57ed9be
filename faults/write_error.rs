//! A share of the host's writes fails with an input/output error as a whole and leaves nothing.
//! What was written before is sound, and the next write may succeed.
//!
//! A node that ends over such an error is excused: its supervisor starts it again. An effect is a
//! write that failed. Left out: writes that fail half way, write-back that fails after the write
//! was taken (`sync_error`), and a disk without room (`disk_full`). Source: CORDS (Ganesan et al.,
//! FAST 2017).

use std::sync::Arc;

use host::settings::Text;
use host::unit::{Ratio, show_ratio};
use kernel::fault::{Control, Fault, Trouble};
use kernel::registry::{Word, fault};

host::settings! {
    /// The parameters of `write_error`.
    pub struct Params {
        /// Only files whose names begin so; nothing means all of them.
        under: Text = "";
        /// The share of operations that fail.
        share: Ratio = "10%";
    }
}

struct WriteError {
    under: String,
    share: Ratio,
}

/// The word `write_error`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "A share of the host's writes fails for `lasts` and leaves nothing.";
    fault("write_error", about, |p: Params| WriteError { under: p.under.0, share: p.share })
}

impl Fault for WriteError {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        let trouble = Trouble::WriteError(self.share);
        let hit = crate::admitted(hosts, |host| control.io(host, &self.under, trouble));
        crate::told(
            control,
            hosts,
            &hit,
            &format!("{} of writes{}", show_ratio(self.share), crate::of(&self.under)),
        )
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        for host in hosts {
            control.no_io(*host);
        }
        control.over("write_error", hosts);
    }
}
