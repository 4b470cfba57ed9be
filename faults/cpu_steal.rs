//! Somebody else has a share of the host's cores: a hypervisor that oversold them, a neighbour in the
//! same cgroup, a backup job. Time goes by in quanta; in each of them a thread's core is either its
//! own or not. A thread that is woken in a quantum that is not its own runs at its end, so heartbeats
//! leave late and are read late, and nothing else is wrong with the host: its clocks, its disk and
//! its links go on. Work with a price goes at the speed of what is left.
//!
//! Which quanta of which thread are taken is drawn by the line, the host, the thread and the quantum.
//! Where such faults overlap the greatest share counts; each takes back only its own. An effect is a
//! task that was woken in vain.
//!
//! Left out: a poll that is interrupted; threads that share a core. Source: `steal` of /proc/stat.

use std::sync::Arc;
use std::time::Duration;

use host::unit::{Ratio, nanos, show, show_ratio};
use kernel::fault::{Control, Fault};
use kernel::registry::{Word, fault};

host::settings! {
    /// The parameters of `cpu_steal`.
    pub struct Params {
        /// The share of the cores' time that goes to somebody else.
        share: Ratio = "50%", "1%..95%";
        /// For how long a core is taken at a time.
        quantum: Duration = "10ms", "100us..10s";
    }
}

struct CpuSteal {
    share: Ratio,
    quantum: Duration,
}

/// The word `cpu_steal`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "For `lasts` a share of the host's cores goes to somebody else, in quanta: its threads \
                 run late, its clocks, disk and links do not.";
    fault("cpu_steal", about, |p: Params| CpuSteal { share: p.share, quantum: p.quantum })
}

impl Fault for CpuSteal {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        for host in hosts {
            control.steal_cores(*host, self.share, nanos(self.quantum));
        }
        let (share, quantum) = (show_ratio(self.share), show(self.quantum));
        format!("{}, {share} in quanta of {quantum}", crate::names(control, hosts))
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        for host in hosts {
            control.return_cores(*host);
        }
        control.over("cpu_steal", hosts);
    }
}
