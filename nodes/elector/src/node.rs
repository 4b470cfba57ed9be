//! The node: a log from before if this is its first boot, then consensus until it ends. A host that takes
//! no part waits to be stopped: it listens to nobody, so its peers find its port closed, as that of a
//! machine whose process is gone.

use std::io;

use bytes::Bytes;
use host::{Chunks, Host, Members};
use raft_driver::{Image, StateMachine};

use crate::config::Config;
use crate::event::ElectorEvent;

/// The only Raft group.
const GROUP: u32 = 1;

/// Runs a node until it is stopped or its disk fails; called at each boot.
pub async fn run(host: Host, config: Config, members: Members) -> io::Result<()> {
    let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidInput, why);
    let hosts = members.all.len() as u64;
    config.validate().and_then(|()| config.fits(hosts)).map_err(invalid)?;
    let Some(entries) = config.entries(members.me, hosts) else {
        host.emit(ElectorEvent::Absent);
        host.stopping().await;
        return Ok(());
    };
    if raft_driver::prior::write(&host, &config.raft, &members, GROUP, entries).await? {
        host.emit(ElectorEvent::LogGiven { entries });
    }
    let machine = |_| -> Box<dyn StateMachine> { Box::new(Nothing) };
    let raft = raft_driver::start(&host, &config.raft, &members, &[GROUP], machine).await?;
    raft.ended().await
}

/// The state machine: it has no state.
struct Nothing;

impl StateMachine for Nothing {
    fn apply(&mut self, _: u64, _: u64, _: &Bytes, _: &Bytes) -> Bytes {
        Bytes::new()
    }

    fn snapshot(&self) -> Image {
        Image::new()
    }

    fn restore(&mut self, _: Chunks) -> io::Result<()> {
        Ok(())
    }

    fn state_hash(&self) -> u64 {
        0
    }

    fn size(&self) -> u64 {
        0
    }
}
