//! The seam: all that a node may ask of its machine.
//!
//! A node is an async function of its [`Host`]. It has no other way to the world: time, randomness,
//! threads, files, connections and the record of what it did all pass through here. Two arms answer:
//! [`real`] on tokio and the operating system, and the simulated one in the crate `kernel`. The suite in
//! [`conformance`] is run against both, so the fake is tested against the truth.
//!
//! Every request is an [`arm::Op`] that is submitted, yields a ticket and is polled until it completes;
//! the typed handles in this crate are thin clothes over that. Handles belong to one boot of one host:
//! after a crash those of the old boot do nothing, also in `Drop`.
//!
//! Left out on purpose: anything that only one arm could offer.

pub mod arm;
mod chunks;
mod clock;
pub mod conformance;
mod disk;
pub mod doc;
mod event;
mod members;
mod memory;
mod net;
pub mod real;
mod rng;
pub mod settings;
mod thread;
pub mod unit;

use std::future::Future;
use std::sync::Arc;

pub use arm::{Class, OpenMode, Style, TrySendError};
pub use chunks::Chunks;
pub use clock::{Alarm, Clock, Mono, Wall};
pub use disk::{Disk, File};
pub use event::{Event, Facts, Role, Weight};
pub use members::{Member, Members};
pub use memory::{Claim, Memory};
pub use net::{Addr, Conn, Listener, Net, Receiver, Sender};
pub use rng::Rng;
pub use thread::{Task, Thread, Work};

use arm::{Arm, Done, Op, OpFuture};

/// A deliberate defect, by its word (`vote_before_fsync`). Plants exist in simulation only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plant(pub &'static str);

/// A machine as one boot of a node sees it. Cheap to clone.
#[derive(Clone)]
pub struct Host {
    arm: Arc<dyn Arm>,
}

impl Host {
    /// Wraps an arm; called by the arms themselves, once per boot.
    pub fn new(arm: Arc<dyn Arm>) -> Host {
        Host { arm }
    }

    /// The host's name, as peers dial it (`n3`).
    pub fn name(&self) -> &str {
        self.arm.name()
    }

    /// A named thread of this host. The same name is the same thread.
    pub fn thread(&self, name: &'static str) -> Thread {
        Thread::new(self.arm.clone(), self.arm.thread(name))
    }

    /// The host's network.
    pub fn net(&self) -> Net {
        Net::new(self.arm.clone())
    }

    /// The host's disk: one flat folder whose names may contain `/`.
    pub fn disk(&self) -> Disk {
        Disk::new(self.arm.clone())
    }

    /// The host's clocks.
    pub fn clock(&self) -> Clock {
        Clock::new(self.arm.clone())
    }

    /// The host's memory.
    pub fn memory(&self) -> Memory {
        Memory::new(self.arm.clone())
    }

    /// A stream of random numbers. Simulated: a pure function of (seed, stream, host, boot, key), so one
    /// more draw here shifts nothing elsewhere. Real: seeded from the operating system.
    pub fn rng(&self, stream: &'static str, key: u64) -> Rng {
        Rng::from_key(self.arm.draw_key(stream, key))
    }

    /// Records a fact. Simulated: fed to the checks, the digest and the trace; real: `tracing`.
    pub fn emit<E: Event>(&self, event: E) {
        self.arm.emit(&event);
    }

    /// Completes when a graceful stop was asked for; at once if it was asked for earlier.
    pub async fn stopping(&self) {
        let _ = self.op(Op::Stopping).await;
    }

    /// Whether this defect is planted. Always false outside simulation.
    pub fn planted(&self, plant: Plant) -> bool {
        cfg!(madsim) && self.arm.planted(plant.0)
    }

    fn op(&self, op: Op) -> impl Future<Output = std::io::Result<Done>> + Send + use<> {
        OpFuture::new(self.arm.clone(), op)
    }
}
