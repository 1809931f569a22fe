//! Taking batches in while other things go on.

use super::queue::Queue;
use super::{Options, Shared};
use crate::Chunk;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::mpsc;
use weir_dataflow::views::change::{ChangeBatch, Row};

/// The channel's end and the queue behind it.
pub(super) struct Intake {
    receiver: mpsc::UnboundedReceiver<ChangeBatch>,
    arrived: Vec<ChangeBatch>,
    /// There can be more.
    pub(super) open: bool,
    /// Not here only while a thread for blocking work has it.
    queue: Option<Queue>,
    /// The spill files failed: what comes is counted as lost.
    pub(super) broken: Option<String>,
    table: bool,
    /// Most rows of a chunk.
    piece: usize,
    shared: Arc<Shared>,
}

impl Intake {
    pub(super) fn new(
        receiver: mpsc::UnboundedReceiver<ChangeBatch>,
        options: &Options,
        table: bool,
        shared: Arc<Shared>,
    ) -> Self {
        Intake {
            receiver,
            arrived: Vec::new(),
            open: true,
            queue: Some(Queue::new(options.queue.clone())),
            broken: None,
            table,
            piece: options.write_rows.clamp(1, 2_000),
            shared,
        }
    }

    /// Waits for batches and takes what is there. Cancelled, it has taken nothing.
    pub(super) async fn receive(&mut self) {
        if self.receiver.recv_many(&mut self.arrived, 1024).await == 0 {
            self.open = false;
        }
    }

    /// Does `work`, and takes in what arrives meanwhile.
    pub(super) async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                result = &mut work => return result,
                () = self.receive(), if self.open => self.store().await,
            }
        }
    }

    /// Puts what was received into the queue and brings that within its bounds.
    pub(super) async fn store(&mut self) {
        if self.broken.is_some() {
            let rows: usize = self.arrived.drain(..).map(|batch| batch.rows.len()).sum();
            self.shared.lost.fetch_add(rows as u64, Ordering::Relaxed);
            return;
        }
        let Some(queue) = &mut self.queue else { return };
        for batch in self.arrived.drain(..) {
            cut(batch, self.table, self.piece, |chunk| queue.push(chunk));
        }
        if queue.is_over() {
            self.blocking(Queue::settle).await;
        }
        self.publish();
    }

    /// The next chunk, from disk if need be.
    pub(super) async fn pop(&mut self) -> Option<Chunk> {
        let chunk = match &mut self.queue {
            Some(queue) if !queue.is_spilled() => queue.pop().ok().flatten(),
            _ => self.blocking(Queue::pop).await.flatten(),
        };
        self.publish();
        chunk
    }

    /// Lets the queue do IO where it holds up nobody.
    async fn blocking<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Queue) -> io::Result<T> + Send + 'static,
    ) -> Option<T> {
        let mut queue = self.queue.take()?;
        let done = tokio::task::spawn_blocking(move || {
            let result = work(&mut queue);
            (queue, result)
        });
        let error = match done.await {
            Ok((queue, Ok(result))) => {
                self.queue = Some(queue);
                return Some(result);
            }
            Ok((queue, Err(error))) => {
                self.shared.lost.fetch_add(queue.rows() as u64, Ordering::Relaxed);
                error.to_string()
            }
            Err(ended) => ended.to_string(),
        };
        self.broken = Some(error);
        None
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.as_ref().is_none_or(Queue::is_empty)
    }

    pub(super) fn rows(&self) -> usize {
        self.queue.as_ref().map_or(0, Queue::rows)
    }

    fn publish(&self) {
        let bytes = self.queue.as_ref().map_or(0, Queue::spilled_bytes);
        self.shared.spilled_bytes.store(bytes, Ordering::Relaxed);
    }
}

/// Cuts a batch into chunks of at most `piece` rows.
///
/// A table's tombstones come first: when a session grows, the tombstone of its old bounds and the row with the new
/// ones can share the start, and the row must win also at destinations that know a window by its start.
fn cut(batch: ChangeBatch, table: bool, piece: usize, mut take: impl FnMut(Chunk)) {
    let ChangeBatch { lower, upper, rows } = batch;
    let mut rows = rows.into_vec();
    if table {
        rows.sort_by_key(|row| row.value.is_some());
    }
    let mut first_row = 0;
    let mut rest = rows.into_iter();
    loop {
        let rows: Vec<Row> = rest.by_ref().take(piece).collect();
        let last = rest.len() == 0;
        let next_row = first_row + rows.len() as u64;
        take(Chunk { lower, upper, first_row, last, rows });
        first_row = next_row;
        if last {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::{batch, change};

    fn pieces(table: bool, rows: Vec<Row>) -> Vec<(u64, bool, Vec<i64>)> {
        let mut out = Vec::new();
        cut(batch(0, rows), table, 2, |c| out.push((c.first_row, c.last, c.rows.iter().map(|r| r.time).collect())));
        out
    }

    #[test]
    fn a_batch_is_cut_and_a_tables_tombstones_come_first() {
        let start = 1_700_000_000_000;
        let rows = || vec![change(1, Some(1)), change(2, None), change(3, Some(3)), change(4, Some(4))];
        let times = |ns: &[i64]| ns.iter().map(|n| start + n).collect::<Vec<_>>();
        assert_eq!(pieces(false, rows()), [(0, false, times(&[1, 0])), (2, true, times(&[3, 4]))]);
        assert_eq!(pieces(true, rows()), [(0, false, times(&[0, 1])), (2, true, times(&[3, 4]))]);
        assert_eq!(pieces(true, Vec::new()), [(0, true, Vec::new())]);
    }
}
