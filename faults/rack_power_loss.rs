//! The selected hosts hang on one power supply. They go dark within `spread` of each other, each at
//! its own time, and come back one by one: each after its own time of up to `back`, for machines
//! that start together do not finish together. What each disk keeps is drawn as in `power_loss`,
//! and recorded in the plan.
//!
//! `on` says how many: `majority` is what a rack plan must never allow and one day does. When the
//! fault ends every host has its power again. It nests with `crash`, `power_loss` and `stop`. What
//! was acknowledged must survive even `each`: a promise is kept by disks, not by machines that run.
//!
//! Left out: a switch that dies with the rack; hosts that do not come back. Source: FoundationDB's
//! kills by machine, zone and hall; the studies of correlated failure behind Kafka's KIP-966.

use std::sync::Arc;
use std::time::Duration;

use host::unit::{nanos, show};
use kernel::fault::{Control, Fault};
use kernel::registry::{Word, fault};

host::settings! {
    /// The parameters of `rack_power_loss`.
    pub struct Params {
        /// From the first host that goes dark to the last, at most.
        spread: Duration = "20ms", "0ns..1min";
        /// The longest time that a host stays dark; drawn from half of this on.
        back: Duration = "500ms", "1ms..1h";
    }
}

struct RackPowerLoss {
    spread: Duration,
    back: Duration,
}

/// The word `rack_power_loss`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "The selected hosts lose power within `spread` of each other; each comes back after a \
                 drawn time of up to `back`, and all of them after `lasts`.";
    fault("rack_power_loss", about, |p: Params| RackPowerLoss { spread: p.spread, back: p.back })
}

impl Fault for RackPowerLoss {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        for number in 0..hosts.len() as u64 {
            let after = control.rng().between(0, nanos(self.spread));
            control.again(after, number);
        }
        format!("{} within {}", crate::names(control, hosts), show(self.spread))
    }

    /// The first numbers are losses, host by host, the next ones returns.
    fn again(&self, control: &mut Control<'_>, hosts: &[usize], number: u64) {
        let count = hosts.len() as u64;
        let host = hosts[(number % count) as usize];
        if number >= count {
            return control.boot(host);
        }
        control.power_loss(host);
        let most = nanos(self.back);
        let after = control.rng().between(most / 2, most);
        control.again(after, number + count);
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        for host in hosts {
            control.boot(*host);
        }
        control.over("rack_power_loss", hosts);
    }
}
