//! A share of the host's reads fails with an input/output error, whether or not the page cache
//! could serve them: a cable, a controller, a file system that shut itself down. Nothing is lost,
//! and the next read may succeed.
//!
//! A node that ends over such an error is excused: its supervisor starts it again. An effect is a
//! read that failed. Left out: sectors that fail for good (`sector_error`), short reads, errors of
//! opening and listing. Source: CORDS (Ganesan et al., FAST 2017).

use std::sync::Arc;

use host::settings::Text;
use host::unit::{Ratio, show_ratio};
use kernel::fault::{Control, Fault, Trouble};
use kernel::registry::{Word, fault};

host::settings! {
    /// The parameters of `read_error`.
    pub struct Params {
        /// Only files whose names begin so; nothing means all of them.
        under: Text = "";
        /// The share of operations that fail.
        share: Ratio = "10%";
    }
}

struct ReadError {
    under: String,
    share: Ratio,
}

/// The word `read_error`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "A share of the host's reads fails for `lasts`; nothing is lost.";
    fault("read_error", about, |p: Params| ReadError { under: p.under.0, share: p.share })
}

impl Fault for ReadError {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        let trouble = Trouble::ReadError(self.share);
        let hit = crate::admitted(hosts, |host| control.io(host, &self.under, trouble));
        crate::told(
            control,
            hosts,
            &hit,
            &format!("{} of reads{}", show_ratio(self.share), crate::of(&self.under)),
        )
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        for host in hosts {
            control.no_io(*host);
        }
        control.over("read_error", hosts);
    }
}
