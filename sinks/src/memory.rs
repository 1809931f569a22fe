//! Changes kept in memory: for tests, and a bounded ring for what clients look at.

use crate::{Chunk, Progress, Sink, SinkError};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use weir_dataflow::views::change::Row;

/// Appends rows to a [`Ring`].
#[derive(Debug)]
pub struct MemorySink {
    ring: Ring,
    accepted: Vec<Chunk>,
}

/// The most recent rows that a [`MemorySink`] was given. Clones look at the same rows.
#[derive(Clone, Debug)]
pub struct Ring {
    rows: Arc<Mutex<Rows>>,
    limit: usize,
}

#[derive(Debug, Default)]
struct Rows {
    /// How many rows came before the first that is kept.
    dropped: u64,
    kept: VecDeque<(u64, Row)>,
}

impl Ring {
    /// Keeps at most `limit` rows; the oldest go first.
    pub fn new(limit: usize) -> Self {
        Ring { rows: Arc::default(), limit }
    }

    /// Rows with the epoch that they were changed before, from the row with number `from` on (the first that came is
    /// 0), and the number of the first of them: greater than `from` when rows in between are not kept any more.
    pub fn read(&self, from: u64) -> (u64, Vec<(u64, Row)>) {
        let rows = self.lock();
        let first = from.max(rows.dropped);
        let skip = usize::try_from(first - rows.dropped).unwrap_or(usize::MAX);
        (first, rows.kept.iter().skip(skip).cloned().collect())
    }

    /// How many rows came, kept or not.
    pub fn seen(&self) -> u64 {
        let rows = self.lock();
        rows.dropped + rows.kept.len() as u64
    }

    fn push(&self, epoch: u64, row: Row) {
        let mut rows = self.lock();
        rows.kept.push_back((epoch, row));
        if rows.kept.len() > self.limit {
            rows.kept.pop_front();
            rows.dropped += 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemorySink {
    /// Appends to `ring`.
    pub fn new(ring: Ring) -> Self {
        MemorySink { ring, accepted: Vec::new() }
    }
}

impl Sink for MemorySink {
    fn accept(&mut self, chunk: Chunk) {
        self.accepted.push(chunk);
    }

    async fn flush(&mut self, progress: &mut Progress) -> Result<(), SinkError> {
        for chunk in self.accepted.drain(..) {
            progress.delivered += chunk.rows.len() as u64;
            chunk.rows.into_iter().for_each(|row| self.ring.push(chunk.upper, row));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_keeps_the_newest_and_numbers_go_on() {
        let ring = Ring::new(3);
        let row = |time| Row { key: Vec::new(), window: None, value: None, time };
        (0..5).for_each(|i| ring.push(i as u64, row(i)));
        let times = |from| {
            let (first, rows) = ring.read(from);
            (first, rows.iter().map(|(_, row)| row.time).collect::<Vec<_>>())
        };
        assert_eq!(times(0), (2, vec![2, 3, 4]));
        assert_eq!(times(4), (4, vec![4]));
        assert_eq!(times(9), (9, vec![]));
        assert_eq!(ring.seen(), 5);
    }
}
