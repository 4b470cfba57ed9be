//! The process dies, its supervisor starts it again, and after a while it dies anew, for as long as
//! `lasts`: a bad release, a request of death that clients repeat, a leak that the OOM killer ends.
//! A node has to come up clean every time, and a cluster has to live with a member that joins, does
//! half of its work and goes.
//!
//! `down` is the supervisor's pause. How long it is up, its boot included, is drawn each time between
//! half of `up` and `up`, keyed by the line, the host and how often it has been started. When the
//! fault ends it is started for good. It nests with `crash`, `power_loss` and `stop` on the same
//! host. Left out: pauses that grow, as Kubernetes' CrashLoopBackOff has them; what a disk forgets.

use std::sync::Arc;
use std::time::Duration;

use host::unit::{nanos, show};
use kernel::fault::{Control, Fault};
use kernel::registry::{Word, fault};

host::settings! {
    /// The parameters of `crash_loop`.
    pub struct Params {
        /// The longest time between a start and the next crash; drawn from half of this on.
        up: Duration = "300ms", "1ms..1h";
        /// From a crash to the next start.
        down: Duration = "50ms", "1ms..1h";
    }
}

struct CrashLoop {
    up: Duration,
    down: Duration,
}

/// The word `crash_loop`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "For `lasts` the process dies again and again: `down` after each crash it is started, \
                 and after a drawn time of up to `up` it crashes; its page cache survives.";
    fault("crash_loop", about, |p: Params| CrashLoop { up: p.up, down: p.down })
}

impl Fault for CrashLoop {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        for (i, host) in hosts.iter().enumerate() {
            control.crash(*host);
            control.again(nanos(self.down), (hosts.len() + i) as u64);
        }
        let (up, down) = (show(self.up), show(self.down));
        format!("{}, up to {up} up and {down} down", crate::names(control, hosts))
    }

    /// Numbers count turns, and within a turn the hosts; odd turns start, even ones crash.
    fn again(&self, control: &mut Control<'_>, hosts: &[usize], number: u64) {
        let count = hosts.len() as u64;
        let (turn, host) = (number / count, hosts[(number % count) as usize]);
        let after = if turn % 2 == 1 {
            control.boot(host);
            let most = nanos(self.up);
            control.rng().between(most / 2, most)
        } else {
            control.crash(host);
            nanos(self.down)
        };
        control.again(after.max(1), number + count);
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        for host in hosts {
            control.boot(*host);
        }
        control.over("crash_loop", hosts);
    }
}
