//! Files and devices: what `model::files` holds true and `model::disk` prices, applied.
//!
//! Names, lengths and truncation act at once; writes act on the page cache at once and return after the
//! copy; reads and syncs queue on the device, which its hosts and their classes share fairly. What a sync
//! covers is fixed when it is submitted.

use std::io::{Error, ErrorKind};

use host::arm::{Done, Ticket};
use host::{Chunks, Class, OpenMode};

use super::{Due, Moment, Waits, World};
use crate::Time;
use crate::event::KernelEvent;
use crate::model::files::{FileNo, SyncMark};

/// What a device job is for.
pub(crate) enum DeviceJob {
    /// A sync of a file: the bytes that it took along.
    Sync { ticket: Ticket, host: usize, boot: u32, mark: SyncMark, file: FileNo, bytes: u64 },
    /// A sync of the folder.
    SyncDir { ticket: Ticket, host: usize, boot: u32, mark: SyncMark },
    /// A read from the device.
    Read { ticket: Ticket, host: usize, file: FileNo, offset: u64, len: u64 },
    /// A writer that waits until the cache is below its limit.
    Throttled { ticket: Ticket, outcome: u64, append: bool, host: usize, file: FileNo, bytes: u64 },
    /// A write-back that nobody waits for.
    Writeback { host: usize, file: FileNo, bytes: u64 },
}

impl DeviceJob {
    fn host(&self) -> usize {
        match self {
            DeviceJob::Sync { host, .. }
            | DeviceJob::SyncDir { host, .. }
            | DeviceJob::Read { host, .. }
            | DeviceJob::Throttled { host, .. }
            | DeviceJob::Writeback { host, .. } => *host,
        }
    }
}

impl World {
    fn file(&self, host: usize, handle: u64) -> std::io::Result<FileNo> {
        let found = self.hosts[host].open_files.get(&handle).copied();
        found.ok_or_else(|| Error::new(ErrorKind::NotConnected, "the file is closed"))
    }

    pub(crate) fn open(&mut self, host: usize, path: &str, mode: OpenMode) -> Ticket {
        let outcome = self.hosts[host].files.open(path, mode).map(|file| {
            self.next_job += 1;
            let handle = self.next_job;
            self.hosts[host].open_files.insert(handle, file);
            Done::File(handle)
        });
        self.ready(host, outcome)
    }

    pub(crate) fn close_file(&mut self, host: usize, handle: u64) {
        if let Some(file) = self.hosts[host].open_files.remove(&handle) {
            self.hosts[host].files.close(file);
        }
    }

    pub(crate) fn append(
        &mut self,
        host: usize,
        handle: u64,
        data: Chunks,
        class: Class,
    ) -> Ticket {
        let bytes = data.len();
        let outcome = self
            .file(host, handle)
            .and_then(|file| self.writes(host, file).map(|()| file))
            .and_then(|file| Ok((file, self.hosts[host].files.append(file, data)?)));
        if let Ok((file, _)) = &outcome {
            self.goes_astray(host, *file, usize::from(bytes > 0));
        }
        self.wrote(host, outcome, bytes, class, true)
    }

    pub(crate) fn write_at(
        &mut self,
        host: usize,
        handle: u64,
        extents: &[(u64, Chunks)],
        class: Class,
    ) -> Ticket {
        let bytes = extents.iter().map(|(_, data)| data.len()).sum();
        let outcome = self.file(host, handle).and_then(|file| {
            self.writes(host, file)?;
            self.hosts[host].files.write_at(file, extents)?;
            let changes = extents.iter().filter(|(_, data)| !data.is_empty()).count();
            self.goes_astray(host, file, changes);
            Ok((file, 0))
        });
        self.wrote(host, outcome, bytes, class, false)
    }

    fn wrote(
        &mut self,
        host: usize,
        outcome: std::io::Result<(FileNo, u64)>,
        bytes: u64,
        class: Class,
        append: bool,
    ) -> Ticket {
        let (file, offset) = match outcome {
            Ok(done) => done,
            Err(error) => {
                self.book_refusal(host, error.kind());
                return self.ready(host, Err(error));
            }
        };
        let now = self.now();
        self.note("write", file, bytes);
        let machine = &mut self.hosts[host];
        machine.warm.insert(file);
        *machine.written.entry(class.0).or_default() += bytes;
        machine.cache.wrote(now, file, bytes);
        let over = machine.cache.throttle();
        self.arm_writeback(host);
        let ticket = self.slot(host, Waits::Disk);
        if over.is_some() {
            let bytes = self.hosts[host].cache.take(file);
            let demand = self.disk_law.device_write_demand(bytes);
            let job = DeviceJob::Throttled { ticket, outcome: offset, append, host, file, bytes };
            self.submit_device(host, class.0, demand, job);
            return ticket;
        }
        let done = if append { Done::Number(offset) } else { Done::Unit };
        let cost = self.disk_law.write_cost(bytes);
        self.complete_after(ticket, now + cost, done);
        ticket
    }

    /// A slot completes later with something other than `Done::Unit`: the outcome waits in the slot's stead.
    fn complete_after(&mut self, ticket: Ticket, at: Time, done: Done) {
        self.later.insert(ticket, done);
        self.schedule(at, Due::Complete(ticket));
    }

    pub(crate) fn read_at(&mut self, host: usize, handle: u64, offset: u64, len: u64) -> Ticket {
        let file = match self.file(host, handle) {
            Ok(file) => file,
            Err(error) => return self.ready(host, Err(error)),
        };
        if let Err(error) = self.reads(host, file, (offset, len)) {
            return self.ready(host, Err(error));
        }
        let here = self.hosts[host].files.len(file).saturating_sub(offset).min(len);
        let cached = self.hosts[host].warm.contains(&file);
        let cost = self.disk_law.read_cost(here, cached);
        let ticket = self.slot(host, Waits::Disk);
        if cached {
            let data = self.read_now(host, file, offset, len);
            let now = self.now();
            self.complete_after(ticket, now + cost, Done::Data(data));
        } else {
            let job = DeviceJob::Read { ticket, host, file, offset, len };
            self.submit_device(host, "read", cost, job);
        }
        ticket
    }

    /// What the file holds now, which may be what a fault left there.
    fn read_now(&mut self, host: usize, file: FileNo, offset: u64, len: u64) -> Chunks {
        let machine = &mut self.hosts[host];
        machine.met_harm |= machine.files.meets_harm(file, offset, len);
        machine.files.read_at(file, offset, len)
    }

    pub(crate) fn sync(&mut self, host: usize, handle: u64, class: Class) -> Ticket {
        let file = match self.file(host, handle) {
            Ok(file) => file,
            Err(error) => return self.ready(host, Err(error)),
        };
        let draw = self.disk_draw(host);
        let machine = &mut self.hosts[host];
        let mark = machine.files.sync_begin(file);
        let bytes = machine.cache.take(file);
        let demand = self.disk_law.sync_demand(bytes, draw);
        let boot = machine.boot;
        let ticket = self.slot(host, Waits::Disk);
        let job = DeviceJob::Sync { ticket, host, boot, mark, file, bytes };
        self.submit_device(host, class.0, demand, job);
        ticket
    }

    pub(crate) fn sync_dir(&mut self, host: usize) -> Ticket {
        let draw = self.disk_draw(host);
        let demand = self.disk_law.sync_demand(0, draw);
        let mark = self.hosts[host].files.sync_dir_begin();
        let boot = self.hosts[host].boot;
        let ticket = self.slot(host, Waits::Disk);
        let job = DeviceJob::SyncDir { ticket, host, boot, mark };
        self.submit_device(host, "dir", demand, job);
        ticket
    }

    fn disk_draw(&mut self, host: usize) -> u64 {
        let (now, who) = (self.now(), self.identity(host));
        let machine = &mut self.hosts[host];
        machine.weather.draw(&self.draws, "disk", who, now)
    }

    pub(crate) fn rename(&mut self, host: usize, from: &str, to: &str) -> Ticket {
        let outcome = self.hosts[host].files.rename(from, to).map(|()| Done::Unit);
        if outcome.is_ok() {
            self.moment(Moment::Renamed, host);
        }
        self.ready(host, outcome)
    }

    pub(crate) fn remove(&mut self, host: usize, path: &str) -> Ticket {
        let machine = &mut self.hosts[host];
        if let Some(file) = machine.files.find(path) {
            machine.cache.forget(file);
        }
        let outcome = machine.files.remove(path).map(|()| Done::Unit);
        self.ready(host, outcome)
    }

    pub(crate) fn list(&mut self, host: usize, prefix: &str) -> Ticket {
        let names = self.hosts[host].files.list(prefix);
        self.ready(host, Ok(Done::Names(names)))
    }

    pub(crate) fn truncate(&mut self, host: usize, handle: u64, len: u64) -> Ticket {
        let outcome = self
            .file(host, handle)
            .and_then(|file| self.hosts[host].files.truncate(file, len))
            .map(|()| Done::Unit);
        self.ready(host, outcome)
    }

    pub(crate) fn file_len(&mut self, host: usize, handle: u64) -> Ticket {
        let outcome = self.file(host, handle).map(|f| Done::Number(self.hosts[host].files.len(f)));
        self.ready(host, outcome)
    }

    pub(crate) fn space(&mut self, host: usize) -> Ticket {
        let left = self.hosts[host].files.space_left();
        self.ready(host, Ok(Done::Number(left)))
    }

    // The device.

    fn submit_device(&mut self, host: usize, class: &'static str, demand: Time, job: DeviceJob) {
        let fair = self.hosts[host].strain.disk.is_fair();
        let demand = if fair { demand } else { self.prolonged(host, demand) };
        let now = self.now();
        self.next_job += 1;
        let id = self.next_job;
        let device = self.hosts[host].device;
        let d = &mut self.devices[device];
        if d.stalls > 0 {
            self.effects[d.stalled_by] += 1;
        }
        if let Some(line) = d.slow.latest() {
            self.effects[line] += 1;
        }
        d.jobs.insert(id, job);
        d.share.submit(now, (host, class), id, demand);
        self.pump_device(device);
    }

    /// Lets the device catch up with the clock and arms its next event.
    pub(crate) fn pump_device(&mut self, device: usize) {
        let now = self.now();
        let mut done = Vec::new();
        self.devices[device].share.advance(now, &mut done);
        for id in done {
            if let Some(job) = self.devices[device].jobs.remove(&id) {
                self.device_done(job);
            }
        }
        let d = &mut self.devices[device];
        if let Some(at) = d.share.next()
            && d.armed.is_none_or(|armed| at < armed || armed <= now)
        {
            d.armed = Some(at);
            self.schedule(at, Due::Device(device));
        }
    }

    fn device_done(&mut self, job: DeviceJob) {
        let now = self.now();
        match job {
            DeviceJob::Sync { ticket, host, boot, mark, file, bytes } => {
                self.device_syncs += 1;
                self.digest.add(|b| {
                    b.extend_from_slice(&now.to_le_bytes());
                    b.extend_from_slice(&(host as u64).to_le_bytes());
                    b.extend_from_slice(&bytes.to_le_bytes());
                });
                let machine = &mut self.hosts[host];
                machine.cache.landed(file, bytes);
                let same = machine.boot == boot;
                let outcome = if same { self.synced(host, file, mark) } else { Ok(()) };
                if outcome.is_ok() {
                    self.moment(Moment::Synced, host);
                }
                self.complete(ticket, outcome.map(|()| Done::Unit));
            }
            DeviceJob::SyncDir { ticket, host, boot, mark } => {
                self.note("sync_dir", self.identity(host), 0);
                if self.hosts[host].boot == boot {
                    self.synced_dir(host, mark);
                }
                self.moment(Moment::DirSynced, host);
                self.complete(ticket, Ok(Done::Unit));
            }
            DeviceJob::Read { ticket, host, file, offset, len } => {
                self.hosts[host].warm.insert(file);
                let data = self.read_now(host, file, offset, len);
                self.complete(ticket, Ok(Done::Data(data)));
            }
            DeviceJob::Throttled { ticket, outcome, append, host, file, bytes } => {
                self.hosts[host].cache.landed(file, bytes);
                let done = if append { Done::Number(outcome) } else { Done::Unit };
                self.complete(ticket, Ok(done));
            }
            DeviceJob::Writeback { host, file, bytes } => {
                self.hosts[host].cache.landed(file, bytes);
                self.arm_writeback(host);
            }
        }
    }

    fn arm_writeback(&mut self, host: usize) {
        let now = self.now();
        if self.hosts[host].writeback_armed {
            return;
        }
        if let Some(at) = self.hosts[host].cache.writeback_next(now) {
            self.hosts[host].writeback_armed = true;
            self.schedule(at, Due::Writeback(host));
        }
    }

    /// Old dirty bytes go to the device. They use its time; durable they are only after a sync.
    pub(crate) fn writeback(&mut self, host: usize) {
        let now = self.now();
        self.hosts[host].writeback_armed = false;
        if let Some(file) = self.hosts[host].cache.writeback_due(now) {
            let bytes = self.hosts[host].cache.take(file);
            let demand = self.disk_law.device_write_demand(bytes);
            let job = DeviceJob::Writeback { host, file, bytes };
            self.submit_device(host, "writeback", demand, job);
            return;
        }
        self.arm_writeback(host);
    }

    /// A host ended: nobody waits for its jobs any more. What they took along was never made durable.
    pub(crate) fn drop_device_jobs(&mut self, device: usize, host: usize) {
        // What is complete by now is done, also for a host that dies in this very moment.
        self.pump_device(device);
        let now = self.now();
        let d = &mut self.devices[device];
        let dropped = d.share.drop_keys(now, |(owner, _)| owner == host);
        let jobs: Vec<DeviceJob> = dropped.iter().filter_map(|id| d.jobs.remove(id)).collect();
        assert!(d.jobs.values().all(|job| job.host() != host), "a job outlived its host");
        for job in jobs {
            if let DeviceJob::Sync { file, bytes, .. }
            | DeviceJob::Throttled { file, bytes, .. }
            | DeviceJob::Writeback { file, bytes, .. } = job
            {
                self.hosts[host].cache.landed(file, bytes);
            }
        }
        self.pump_device(device);
    }

    pub(crate) fn stall_disk(&mut self, host: usize, line: usize) {
        let now = self.now();
        let d = &mut self.devices[self.hosts[host].device];
        d.stalls += 1;
        d.stalled_by = line;
        d.share.freeze(now);
        self.effects[line] += d.jobs.len() as u64;
        if d.stalls == 1 {
            d.stalled_at = Some(now);
            self.outbox.push((host, KernelEvent::DiskStalled));
        }
    }

    pub(crate) fn unstall_disk(&mut self, host: usize) {
        let now = self.now();
        let device = self.hosts[host].device;
        let d = &mut self.devices[device];
        if d.stalls == 0 {
            return;
        }
        d.stalls -= 1;
        d.share.thaw(now);
        if d.stalls == 0 {
            d.armed = None;
            let since = d.stalled_at.take().unwrap_or(now);
            self.outbox.push((host, KernelEvent::DiskGoesOn { ns: now - since }));
        }
        self.pump_device(device);
    }
}
