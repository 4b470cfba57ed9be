//! What a power loss leaves, seen through the seam: a node writes, syncs some of it, loses power, and reads
//! after its next boot. A crash of the process alone loses nothing.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use host::{Class, Host, OpenMode};

use super::{outcome, registry};
use crate::world::{Due, Plugin};

const WAL: Class = Class("wal");
const SYNCED: u64 = 10_000;
const UNSYNCED: u64 = 6_000;

/// Ends the host's boot and starts the next.
fn reboot(power: bool) {
    let shared = madsim::plugin::simulator::<Plugin>().shared.clone();
    let mut world = shared.world();
    if power {
        let mut rng = world.draws.stream("test", 0, 0);
        world.power_loss(0, &mut rng, None);
    } else {
        world.crash(0);
    }
    world.boot(0);
    let now = world.now();
    world.schedule(now, Due::Phase);
}

async fn write(host: &Host) -> std::io::Result<()> {
    let disk = host.disk();
    let file = disk.open("kept", OpenMode::CreateIfMissing).await?;
    file.append(WAL, vec![1; SYNCED as usize].into()).await?;
    file.sync(WAL).await?;
    disk.sync_dir().await?;
    file.append(WAL, vec![2; UNSYNCED as usize].into()).await?;
    let nameless = disk.open("nameless", OpenMode::CreateIfMissing).await?;
    nameless.append(WAL, vec![3; 100].into()).await?;
    nameless.sync(WAL).await
}

/// (length of `kept`, whether `nameless` is there) after the reboot.
fn after(power: bool, seed: u64) -> (u64, bool) {
    let found: Arc<Mutex<Option<(u64, bool)>>> = Arc::default();
    let told = found.clone();
    let node = move |host: Host, _| {
        let told = told.clone();
        async move {
            let names = host.disk().list("").await?;
            if names.is_empty() {
                write(&host).await?;
                reboot(power);
            } else {
                let file = host.disk().open("kept", OpenMode::Existing).await?;
                let len = file.len().await?;
                let data = file.read_at(0, len).await?.to_bytes();
                assert!(data[..SYNCED as usize].iter().all(|b| *b == 1));
                assert!(data[SYNCED as usize..].iter().all(|b| *b == 2), "nothing is invented");
                let nameless = names.iter().any(|n| n == "nameless");
                *told.lock().unwrap() = Some((len, nameless));
            }
            host.clock().sleep(Duration::from_secs(3600)).await;
            Ok(())
        }
    };
    let text = "duration = \"2s\"\nsettle = \"1ms\"\n[cluster]\nnode = \"subject\"\nhosts = 1\n\
                [[workload]]\nkind = \"waits\"\n";
    let outcome = outcome(registry(node), text, seed);
    let found = found.lock().unwrap().take();
    found.unwrap_or_else(|| panic!("the node never came back: {:?}", outcome.violations))
}

#[test]
fn a_crash_loses_nothing() {
    assert_eq!(after(false, 0), (SYNCED + UNSYNCED, true));
}

#[test]
fn a_power_loss_keeps_what_was_synced_and_a_part_of_the_rest() {
    let all: Vec<(u64, bool)> = (0..40).map(|seed| after(true, seed)).collect();
    assert!(all.iter().all(|(len, _)| (SYNCED..=SYNCED + UNSYNCED).contains(len)), "{all:?}");
    assert!(all.iter().any(|(len, _)| *len == SYNCED), "sometimes all of it is lost");
    let torn = |len: u64| len > SYNCED && len < SYNCED + UNSYNCED;
    assert!(all.iter().any(|(len, _)| torn(*len)), "sometimes it is torn");
    assert!(all.iter().any(|(_, nameless)| !nameless), "an unsynced name may be lost");
}
