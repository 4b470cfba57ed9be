//! What faults may do to disks and the devices behind them.
//! Each act is put under the plan's line that asked for it, and its end takes back that line's own and no
//! other; the laws are `model::disk`, `model::files` and `model::share`.

use host::unit::Size;

use super::Control;

impl Control<'_> {
    /// The device that serves the host makes no progress. On a shared device all its hosts stall.
    pub fn stall_disk(&mut self, host: usize) {
        self.world.stall_disk(host, self.line);
    }

    /// It works again.
    pub fn unstall_disk(&mut self, host: usize) {
        self.world.unstall_disk(host);
    }

    /// The device that serves the host works at a `factor`-th of its speed; where several say so, the
    /// slowest counts.
    pub fn slow_disk(&mut self, host: usize, factor: u64) {
        self.world.slow_disk(host, self.line, factor);
    }

    /// Undoes what this line did with `slow_disk`.
    pub fn unslow_disk(&mut self, host: usize) {
        self.world.unslow_disk(host, self.line);
    }

    /// The host's disk has room for so many more bytes and no more.
    pub fn fill_disk(&mut self, host: usize, leaves: Size) {
        self.world.fill_disk(host, self.line, leaves);
    }

    /// Undoes what this line did with `fill_disk`.
    pub fn unfill_disk(&mut self, host: usize) {
        self.world.unfill_disk(host, self.line);
    }
}
