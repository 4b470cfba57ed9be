//! A process that reads its connections slowly: so many bytes a second over all of them, in the order in
//! which they arrived, or none at all.
//!
//! What is not read waits in the inbox and takes up its sender's window. When the last such fault is over
//! everything can be read at once.

use host::Chunks;
use host::unit::Rate;

use crate::Time;
use crate::model::overlaps::Overlaps;
use crate::model::transfer_ns;
use crate::world::{Due, World};

/// How slowly a host's process reads.
#[derive(Debug, Default)]
pub(crate) struct ReaderStrain {
    /// Bytes a second; the lowest counts, and zero is nothing at all.
    rates: Overlaps<Rate>,
    /// When it has read what it has begun to read.
    free_at: Time,
    /// Counts the changes of `rates`: what was reckoned before is void.
    pub(in crate::world) spell: u64,
}

impl ReaderStrain {
    /// Whether it reads slowly at all.
    pub(in crate::world) fn is_slow(&self) -> bool {
        self.rates.latest().is_some()
    }

    /// When it comes round to so many bytes that it has now; `None`: never.
    fn comes_round(&mut self, now: Time, bytes: u64) -> Option<Time> {
        let rate = self.rates.all().min().filter(|rate| rate.0 > 0)?;
        self.free_at = self.free_at.max(now).saturating_add(transfer_ns(bytes, rate));
        Some(self.free_at)
    }
}

impl World {
    pub(crate) fn slow_reader(&mut self, host: usize, line: usize, rate: Rate) {
        self.hosts[host].strain.reader.rates.put(line, rate);
        self.reckon_reads(host);
    }

    pub(crate) fn unslow_reader(&mut self, host: usize, line: usize) {
        self.hosts[host].strain.reader.rates.take(line);
        self.reckon_reads(host);
    }

    /// The rate has changed: when everything that waits will be read.
    fn reckon_reads(&mut self, host: usize) {
        let now = self.now();
        let reader = &mut self.hosts[host].strain.reader;
        (reader.spell, reader.free_at) = (reader.spell + 1, now);
        let slow = reader.is_slow();
        for end in 0..self.net.ends.len() {
            let e = &mut self.net.ends[end];
            if e.host != host || e.inbox.is_empty() {
                continue;
            }
            if slow {
                let left: Vec<u64> = e.inbox.iter().skip(e.readable).map(Chunks::len).collect();
                for bytes in left {
                    self.will_read(end, bytes);
                }
            } else {
                e.readable = 0;
                self.hand_over(end);
            }
        }
    }

    fn will_read(&mut self, end: usize, bytes: u64) {
        let (now, host) = (self.now(), self.net.ends[end].host);
        let reader = &mut self.hosts[host].strain.reader;
        let spell = reader.spell;
        if let Some(at) = reader.comes_round(now, bytes) {
            self.schedule(at, Due::Read { end, spell });
        }
    }

    /// A frame arrives where reading is slow.
    pub(in crate::world) fn waits_for_reader(&mut self, end: usize, frame: Chunks) {
        let (bytes, host) = (frame.len(), self.net.ends[end].host);
        if let Some(line) = self.hosts[host].strain.reader.rates.latest() {
            self.effects[line] += 1;
        }
        self.queue_bytes += bytes;
        self.net.ends[end].inbox.push_back(frame);
        self.will_read(end, bytes);
    }
}
