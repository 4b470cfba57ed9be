//! A log from before. Whoever studies elections, recovery or catching up needs nodes that begin with
//! logs of a chosen length; this writes one in the driver's own format, through its own encoder, as
//! if the node had run before, so that [`crate::start`] finds it as it finds any other.
//!
//! Entries are empty ones, as a new leader proposes, all of one term, and nothing of them is known to
//! be committed: what a power loss can leave of a node that followed. A disk that holds a log already
//! is left alone. Left out: entries with bodies, several terms, snapshots.

use std::io;

use host::{Disk, File, Host, Members, OpenMode};
use raft::eraftpb::{Entry, HardState};

use crate::boot::{first_voters, invalid, owner};
use crate::config::Config;
use crate::event::wal_file;
use crate::wal::layout::{Job, Sync};
use crate::wal::recover::{Defects, recover};
use crate::wal::{BEGUN, WAL};

/// The term of every entry, and the term that the node remembers.
const TERM: u64 = 1;

/// Writes a durable log of so many entries for the group; false if the disk holds a log already.
/// Call it before [`crate::start`], with the same host, settings and members. An error is one of the
/// disk, or of settings that `start` would refuse too.
pub async fn write(
    host: &Host,
    config: &Config,
    members: &Members,
    group: u32,
    entries: u64,
) -> io::Result<bool> {
    config.validate().map_err(invalid)?;
    let disk = host.disk();
    if !disk.list("wal/").await?.is_empty() {
        return Ok(false);
    }
    let salt = host.rng("wal_salt", u64::from(group)).below(1 << 32) as u32;
    let (limit, fresh) = (config.wal_segment.0, first_voters(config, members)?);
    let owner = owner(config, members)?;
    let empty = recover(&disk, limit, &[group], &fresh, (salt, owner), Defects::default()).await?;
    let (mut layout, mut logs) = (empty.layout, empty.logs);
    let log = logs.get_mut(&group).expect("the group was asked for");
    for index in 1..=entries {
        let entry = Entry { index, term: TERM, ..Entry::default() };
        let chain = log.append(entry.clone());
        layout.entry(group, &entry, chain);
    }
    layout.hard(group, &HardState { term: TERM, ..HardState::default() });
    layout.close_batch(Sync::Now);
    let mut begun: Option<(File, u64)> = None;
    for job in layout.jobs.drain(..) {
        match job {
            Job::Roll { segment, data } => {
                finish(&disk, begun.take()).await?;
                let file = disk.open(BEGUN, OpenMode::Fresh).await?;
                file.append(WAL, data).await?;
                begun = Some((file, segment));
            }
            Job::Append { data, .. } => {
                let (file, _) = begun.as_ref().expect("a segment is begun before it is written");
                file.append(WAL, data).await?;
            }
            Job::Remove { .. } => {}
        }
    }
    finish(&disk, begun).await?;
    Ok(true)
}

/// Makes a segment durable and gives it its name.
async fn finish(disk: &Disk, begun: Option<(File, u64)>) -> io::Result<()> {
    let Some((file, segment)) = begun else { return Ok(()) };
    file.sync(WAL).await?;
    disk.rename(BEGUN, &wal_file(segment)).await?;
    disk.sync_dir().await
}

#[cfg(test)]
mod tests {
    use host::settings::Settings;
    use host::{Addr, Member};

    use super::*;
    use crate::test_arm::{TestArm, at_once};

    fn members() -> Members {
        let at = |port: &str| Addr(format!("n1:{port}"));
        let (peer_addr, client_addr) = (at("7000"), at("8000"));
        Members { me: 1, all: vec![Member { id: 1, name: "n1".into(), peer_addr, client_addr }] }
    }

    /// With segments so small that a thousand entries take several.
    fn config() -> Config {
        let mut config = Config::default();
        config.set("wal_segment", "4KiB").unwrap();
        config
    }

    fn written(arm: &TestArm, entries: u64) -> bool {
        let host = arm.host();
        at_once(write(&host, &config(), &members(), 1, entries)).expect("through").unwrap()
    }

    #[test]
    fn what_was_written_is_found_after_a_power_loss_and_written_once() {
        for entries in [0, 1, 7, 1000] {
            let arm = TestArm::new();
            assert!(written(&arm, entries));
            let arm = arm.after(true);
            assert!(!written(&arm, entries + 1), "there is a log already");
            let host = arm.host();
            let (config, members) = (config(), members());
            let fresh = first_voters(&config, &members).unwrap();
            let owner = owner(&config, &members).unwrap();
            let disk = host.disk();
            let limit = config.wal_segment.0;
            let found = recover(&disk, limit, &[1], &fresh, (9, owner), Defects::default());
            let found = at_once(found).expect("through").unwrap();
            let log = &found.logs[&1];
            assert_eq!((log.last(), log.hard().term, log.hard().commit), (entries, TERM, 0));
            assert!(found.cut.is_none());
        }
    }
}
