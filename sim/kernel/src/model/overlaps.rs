//! What several faults do to one thing at a time: each entry is put under the line of the plan that
//! did it and is taken back under the same line, in any order.
//!
//! The thing itself is set to what the entries come to (a sum, the worst), reckoned anew at every
//! change. So nothing is undone by arithmetic, and when the last entry is gone the thing is exactly
//! as it was. A line that hits one thing twice, two hosts of a shared device, has two entries.
//!
//! Left out on purpose: an order among entries; what they come to may not depend on it.

/// Entries by line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlaps<T>(Vec<(usize, T)>);

impl<T> Default for Overlaps<T> {
    fn default() -> Overlaps<T> {
        Overlaps(Vec::new())
    }
}

impl<T: Copy> Overlaps<T> {
    /// A line puts an entry.
    pub fn put(&mut self, line: usize, what: T) {
        self.0.push((line, what));
    }

    /// A line takes one entry of its own back; `None` if it has none.
    pub fn take(&mut self, line: usize) -> Option<T> {
        let i = self.0.iter().rposition(|(owner, _)| *owner == line)?;
        Some(self.0.remove(i).1)
    }

    /// Whether a line has an entry.
    pub fn has(&self, line: usize) -> bool {
        self.0.iter().any(|(owner, _)| *owner == line)
    }

    /// Whether no line has an entry.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The line that put the latest entry there is: effects are booked to it.
    pub fn latest(&self) -> Option<usize> {
        self.0.last().map(|(line, _)| *line)
    }

    /// All entries.
    pub fn all(&self) -> impl Iterator<Item = T> + '_ {
        self.0.iter().map(|(_, what)| *what)
    }
}
