//! What faults may do to clients: urge them to behave otherwise than they would. A fault knows no load;
//! whether and how an urge is followed is the load's business (`workload::Client::urge`).
//! Urges are put under the plan's line and taken back under it.

use host::unit::Ratio;

use super::Control;
use crate::workload::Urge;

impl Control<'_> {
    /// A share of the clients' hosts, each by its own draw.
    pub fn some_clients(&mut self, share: Ratio) -> Vec<usize> {
        let clients = self.world.nodes..self.world.hosts.len();
        clients.filter(|_| self.own.chance(share.0)).collect()
    }

    /// The client on this host is urged to that from now on.
    pub fn urge(&mut self, host: usize, urge: Urge) {
        self.world.hosts[host].strain.urges.put(self.line, urge);
    }

    /// No client is urged by this line any more.
    pub fn calm(&mut self) {
        for host in &mut self.world.hosts[self.world.nodes..] {
            host.strain.urges.take(self.line);
        }
    }
}
