//! Power losses. Of what was not synced, the truth about the disk (`model::files`) lets survive what was
//! drawn, or what a record says; a fault may tear single sectors out of that, or make it lose names. Then
//! whatever damage the page cache hid comes out.
//!
//! The sectors' fates are no part of the record: they are keyed by the line of the plan, the host, the file
//! and the sector, so a replay draws the same again.

use host::Rng;
use host::unit::Ratio;
use xxhash_rust::xxh3::xxh3_64;

use super::World;
use crate::draw::{Draws, mix};
use crate::event::KernelEvent;
use crate::model::files::{Files, Sector, Survivor};

/// How a power loss tears what was on its way to the device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tearing {
    /// Bytes of a sector.
    pub sector: u64,
    /// The share of sectors that are not there.
    pub missing: Ratio,
    /// The share of sectors that are neither the old nor the new.
    pub garbage: Ratio,
    /// What the fates are keyed by.
    pub key: u64,
}

impl Tearing {
    /// The fate of each sector of each file of a host, asked file by file in ascending order.
    fn fates(self, draws: Draws, host: u64, torn: &mut u64) -> impl FnMut(&str, u64) -> Sector {
        let mut at: Option<(String, Rng)> = None;
        move |path, _| {
            let rng = match &mut at {
                Some((last, rng)) if last == path => rng,
                _ => {
                    let key = mix(host, xxh3_64(path.as_bytes()));
                    let rng = draws.stream("torn", self.key, key);
                    &mut at.insert((path.to_string(), rng)).1
                }
            };
            let (draw, seed) = (rng.below(1_000_000) as u32, rng.bits());
            let fate = match draw.checked_sub(self.missing.0) {
                None => Sector::Missing,
                Some(rest) if rest < self.garbage.0 => Sector::Garbage(seed),
                Some(_) => Sector::There,
            };
            *torn += u64::from(fate != Sector::There);
            fate
        }
    }
}

impl World {
    /// The host loses power. Returns the effects and what survived.
    pub(crate) fn power_loss(
        &mut self,
        host: usize,
        rng: &mut Rng,
        exact: Option<&[Survivor]>,
    ) -> (u64, Vec<Survivor>) {
        self.lose_power(host, rng, exact, None)
    }

    /// The same, with sectors torn out of what survives; only these are effects then.
    pub(crate) fn lose_power(
        &mut self,
        host: usize,
        rng: &mut Rng,
        exact: Option<&[Survivor]>,
        tearing: Option<Tearing>,
    ) -> (u64, Vec<Survivor>) {
        if !self.hosts[host].powered {
            return (0, Vec::new());
        }
        // A machine whose process is dead has a page cache to lose all the same.
        let tasks = if self.hosts[host].live { self.end_process(host, false) } else { 0 };
        let (now, draws, identity) = (self.now(), self.draws, self.identity(host));
        let machine = &mut self.hosts[host];
        machine.powered = false;
        machine.cache.clear();
        machine.warm.clear();
        machine.files.settle(now);
        let mut torn = 0;
        let mut fates = tearing.map(|t| (t.sector, t.fates(draws, identity, &mut torn)));
        let tear = fates.as_mut().map(|(sector, fates)| (*sector, fates as _));
        let names = &mut machine.strain.disk;
        let survivors = match exact {
            Some(record) => machine.files.power_loss_exact(record, tear),
            // Nothing kept, everything kept and torn are each worth more than a uniform share.
            None => machine.files.power_loss(
                &mut |what, n| {
                    let drawn = match rng.below(4) {
                        // What is to be torn has to be there.
                        0 | 1 if tearing.is_some() => n,
                        0 | 1 => 0,
                        2 => n,
                        _ => rng.between(0, n),
                    };
                    if what.is_empty() { names.names_kept(n).unwrap_or(drawn) } else { drawn }
                },
                tear,
            ),
        };
        drop(fates);
        self.book_names(host, &survivors);
        self.take_toll(host);
        let files = || survivors.iter().filter(|s| !s.path.is_empty());
        let unsynced: u64 = files().map(|s| s.dirty_bytes).sum();
        let lost = unsynced - files().map(|s| s.kept_bytes).sum::<u64>();
        self.outbox.push((host, KernelEvent::PowerLost { unsynced, lost }));
        let effects = if tearing.is_some() { torn } else { tasks + u64::from(lost > 0) };
        (effects, survivors)
    }

    /// The host is left without power and with an empty disk, or with this one.
    pub(crate) fn change_disk(&mut self, host: usize, with: Option<Files>) {
        let mut unused = self.draws.stream("change_disk", 0, 0);
        self.lose_power(host, &mut unused, Some(&[]), None);
        let machine = &mut self.hosts[host];
        // What was damaged is gone with the rest.
        (machine.damaged, machine.refused) = (false, false);
        (machine.strain.disk.forgot, machine.strain.disk.gone) = (true, true);
        match with {
            Some(files) => machine.files.replace(files),
            None => machine.files.wipe(),
        }
        let used = machine.files.used();
        self.note("disk_changed", self.identity(host), used);
    }
}
