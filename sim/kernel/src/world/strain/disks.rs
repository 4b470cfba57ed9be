//! What faults put on devices and disks. Of slownesses and limits the worst counts; each line takes back
//! its own. Jobs that were under way and writes that were refused are booked to the latest line there.
//! Left out: what is written while somebody else's files grow. What befalls single operations is in `io`.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use host::unit::Size;

use super::io::Astray;
use crate::Time;
use crate::event::KernelEvent;
use crate::model::files::{FileNo, Files};

use crate::model::MILLION;
use crate::model::overlaps::Overlaps;
use crate::world::World;

/// What faults do to the disk of one host.
#[derive(Debug, Default)]
pub(crate) struct DiskStrain {
    /// How many bytes its files may take.
    limits: Overlaps<u64>,
    /// What befalls single operations.
    pub(super) io: Vec<Astray>,
    /// The millisecond of the last operation that an entry was asked about, and its number in it.
    pub(super) ordinal: (Time, u64),
    /// Files that no longer sync, with the boot in which that began and the line of the plan.
    pub(super) broken: BTreeMap<FileNo, (u32, usize)>,
    /// The disk as it was when a line began, to be put back.
    pub(super) copies: Vec<(usize, Files)>,
    /// The lines that wiped it and have not ended.
    pub(super) wipes: Vec<usize>,
    /// It lost durable bytes or names without a trace.
    pub(crate) forgot: bool,
    /// Some of that is nowhere to be read: names, ends of files, or the whole disk.
    pub(crate) gone: bool,
}

impl DiskStrain {
    /// Whether no fault touches single operations.
    pub(in crate::world) fn is_fair(&self) -> bool {
        self.io.is_empty() && self.broken.is_empty()
    }
}

impl World {
    pub(crate) fn slow_disk(&mut self, host: usize, line: usize, factor: u64) {
        let device = self.hosts[host].device;
        let d = &mut self.devices[device];
        // The hosts of a shared device slow it once.
        if !d.slow.has(line) {
            self.effects[line] += d.jobs.len() as u64;
        }
        d.slow.put(line, factor);
        self.set_device_speed(device);
    }

    pub(crate) fn unslow_disk(&mut self, host: usize, line: usize) {
        let device = self.hosts[host].device;
        self.devices[device].slow.take(line);
        self.set_device_speed(device);
    }

    fn set_device_speed(&mut self, device: usize) {
        let now = self.now();
        let d = &mut self.devices[device];
        let factor = d.slow.all().max().unwrap_or(1).clamp(1, MILLION);
        d.share.set_speed(now, (MILLION / factor) as u32);
        self.pump_device(device);
    }

    pub(crate) fn fill_disk(&mut self, host: usize, line: usize, leaves: Size) {
        let machine = &mut self.hosts[host];
        let limit = machine.files.used().saturating_add(leaves.0);
        machine.strain.disk.limits.put(line, limit);
        machine.files.set_limit(machine.strain.disk.limits.all().min());
    }

    pub(crate) fn unfill_disk(&mut self, host: usize, line: usize) {
        let machine = &mut self.hosts[host];
        machine.strain.disk.limits.take(line);
        machine.files.set_limit(machine.strain.disk.limits.all().min());
    }

    /// The host loses its power and its disk.
    pub(crate) fn wipe(&mut self, host: usize, line: usize) {
        self.change_disk(host, None);
        self.hosts[host].strain.disk.wipes.push(line);
    }

    /// Whether this line wiped the host's disk and had not ended.
    pub(crate) fn unwipe(&mut self, host: usize, line: usize) -> bool {
        let wipes = &mut self.hosts[host].strain.disk.wipes;
        let found = wipes.iter().position(|owner| *owner == line);
        found.map(|i| wipes.remove(i)).is_some()
    }

    /// Keeps a copy of the host's disk.
    pub(crate) fn copy_disk(&mut self, host: usize, line: usize) {
        let machine = &mut self.hosts[host];
        let copy = machine.files.copy();
        machine.strain.disk.copies.push((line, copy));
    }

    /// The host loses its power and gets the disk that was copied; false if there is none.
    pub(crate) fn restore_disk(&mut self, host: usize, line: usize) -> bool {
        let copies = &mut self.hosts[host].strain.disk.copies;
        let Some(i) = copies.iter().position(|(owner, _)| *owner == line) else { return false };
        let (_, copy) = copies.remove(i);
        self.change_disk(host, Some(copy));
        true
    }

    /// Books what came out of the host's files, and tells it.
    pub(crate) fn take_toll(&mut self, host: usize) {
        let machine = &mut self.hosts[host];
        let toll = machine.files.take_toll();
        machine.damaged |= toll.damaged;
        machine.strain.disk.forgot |= toll.forgot;
        machine.strain.disk.gone |= toll.gone;
        for line in &toll.lines {
            self.effects[*line] += 1;
        }
        if toll.damaged || toll.forgot {
            let (ranges, damaged) = (toll.lines.len() as u64, toll.damaged);
            self.outbox.push((host, KernelEvent::DiskHarmed { ranges, damaged }));
        }
    }

    /// A write was refused.
    pub(in crate::world) fn book_refusal(&mut self, host: usize, kind: ErrorKind) {
        if kind == ErrorKind::StorageFull
            && let Some(line) = self.hosts[host].strain.disk.limits.latest()
        {
            self.effects[line] += 1;
        }
    }
}
