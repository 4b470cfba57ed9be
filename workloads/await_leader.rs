//! One client that asks for nothing and waits for a leader that lasts: one after whom nobody else is
//! elected for a while. Then the load is over, and with it the run of a scenario that studies one
//! election, however long that took. Before that it may wait for deaths: for so many processes to have
//! crashed or lost power.
//!
//! It watches what the nodes and their machines record, as the triggers of a plan do, and no node can
//! tell that it is there. What it waited for counts as one operation that was done. Left out: whether
//! it is the leader that was hoped for.

use std::sync::Arc;
use std::time::Duration;

use kernel::event::OpEnd;
use kernel::registry::{Word, workload};
use kernel::workload::{Client, ClientFuture, Load, Workload};

/// What ends a process, by the words of events.
const DEATHS: [&str; 2] = ["crashed", "power_lost"];
/// What says that somebody leads.
const ELECTED: [&str; 1] = ["leader_elected"];

host::settings! {
    /// The parameters of `await_leader`.
    pub struct Params {
        /// How many processes have to die first.
        deaths: u64 = "0", "0..64";
        /// For how long nobody else may be elected after the leader.
        lasts: Duration = "400ms", "0ns..1h";
    }
}

/// The word `await_leader`.
pub fn word() -> Word<Arc<dyn Workload>> {
    let about = "Asks for nothing: the load is over when so many processes have died, somebody has been \
                 elected since, and nobody else for a while.";
    workload("await_leader", about, |params: Params| Ok(AwaitLeader { params }))
}

/// The load as the scenario describes it.
#[derive(Clone)]
struct AwaitLeader {
    params: Params,
}

impl Workload for AwaitLeader {
    fn clients(&self) -> u64 {
        1
    }

    fn start(&self) -> Arc<dyn Load> {
        Arc::new(self.clone())
    }
}

impl Load for AwaitLeader {
    fn load(self: Arc<Self>, client: Client) -> ClientFuture {
        Box::pin(async move {
            client.invoked(0, "await", "leader", 0);
            for _ in 0..self.params.deaths {
                client.event(&DEATHS).await;
            }
            client.event(&ELECTED).await;
            let clock = client.host.clock();
            while clock.within(self.params.lasts, client.event(&ELECTED)).await.is_some() {}
            client.returned(0, OpEnd::Ok, 0, 0);
        })
    }

    fn read_back(self: Arc<Self>, _: Client) -> ClientFuture {
        Box::pin(async {})
    }
}
