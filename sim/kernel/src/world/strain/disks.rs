//! What faults put on devices and disks. Of slownesses and limits the worst counts; each line takes back
//! its own. Jobs that were under way and writes that were refused are booked to the latest line there.
//! Left out: what is written while somebody else's files grow.

use std::io::ErrorKind;

use host::unit::Size;

use crate::model::MILLION;
use crate::model::overlaps::Overlaps;
use crate::world::World;

/// What faults do to the disk of one host.
#[derive(Debug, Default)]
pub(crate) struct DiskStrain {
    /// How many bytes its files may take.
    limits: Overlaps<u64>,
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

    /// A write was refused.
    pub(in crate::world) fn book_refusal(&mut self, host: usize, kind: ErrorKind) {
        if kind == ErrorKind::StorageFull
            && let Some(line) = self.hosts[host].strain.disk.limits.latest()
        {
            self.effects[line] += 1;
        }
    }
}
