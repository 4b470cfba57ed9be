//! The processes on the selected hosts (`on`) read their connections slowly, so many bytes a second over
//! all of them, or not at all: a thread that is busy elsewhere, a consumer that cannot keep up. What is
//! not read takes up the window of its sender until that is closed; then the sender waits, or drops.
//!
//! The host computes, writes and sends as always, so it looks alive to everybody who only listens to it.
//! When the last such fault is over everything that waits can be read at once. Of several rates the
//! lowest counts. An effect is a frame that waited to be read.
//!
//! Left out: slow reading of single connections. Source: the zero window of RFC 1122 section 4.2.2.17.

use std::sync::Arc;

use host::unit::{Rate, show_rate};
use kernel::fault::{Control, Fault};
use kernel::registry::{Word, fault};

host::settings! {
    /// The parameters of `reader_slow`.
    pub struct Params {
        /// How fast the process reads, over all its connections; zero: not at all.
        rate: Rate = "10KB/s";
    }
}

struct ReaderSlow {
    rate: Rate,
}

/// The word `reader_slow`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "The selected hosts' processes read their connections at a limited rate, or not at all, \
                 for `lasts`.";
    fault("reader_slow", about, |p: Params| ReaderSlow { rate: p.rate })
}

impl Fault for ReaderSlow {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        for host in hosts {
            control.slow_reader(*host, self.rate);
        }
        format!("{} at {}", crate::names(control, hosts), show_rate(self.rate))
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        for host in hosts {
            control.unslow_reader(*host);
        }
        control.over("reader_slow", hosts);
    }
}
