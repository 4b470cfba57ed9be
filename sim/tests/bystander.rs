//! A load for nodes that are their own load: one client that asks for nothing, so that the run lasts until
//! its duration is over. What it records is what a run needs so as not to be vacuous.
//!
//! Left out: reading back; what such a node promises, its test's own checks judge.

use std::sync::Arc;
use std::time::Duration;

use kernel::event::OpEnd;
use kernel::registry::{NoParams, Word, workload};
use kernel::workload::{Client, ClientFuture, Load, Workload};

/// The word `bystander`.
pub fn word() -> Word<Arc<dyn Workload>> {
    workload("bystander", "Nothing.", |_: NoParams| Ok(Bystander))
}

struct Bystander;

impl Workload for Bystander {
    fn clients(&self) -> u64 {
        1
    }
    fn start(&self) -> Arc<dyn Load> {
        Arc::new(Bystander)
    }
}

impl Load for Bystander {
    fn load(self: Arc<Self>, client: Client) -> ClientFuture {
        Box::pin(async move {
            client.invoked(0, "nothing", "", 0);
            client.returned(0, OpEnd::Ok, 0, 0);
            client.host.clock().sleep(Duration::from_secs(3_600)).await;
        })
    }
    fn read_back(self: Arc<Self>, _: Client) -> ClientFuture {
        Box::pin(async {})
    }
}
