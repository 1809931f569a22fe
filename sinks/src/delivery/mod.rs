//! Delivery: the task between a view's subscription and its sink, which never holds up the engine.
//!
//! [`DeliveryHandle::send`] puts a batch into a channel and returns. The task takes batches from the channel into
//! the [`queue`](self) at all times, also while the sink works, so that memory stays within its bounds and the rest
//! goes to disk. It hands the sink as many rows as one write may have, flushes until all of them are delivered, and
//! only then takes the next: a key's changes cannot overtake each other. Between attempts that fail it waits
//! ([`retry`]), for ever if need be: a server that is away for minutes costs disk, not rows.
//!
//! What is left out on purpose: the queue does not outlive the process. After a restart the engine's bindings make
//! the same batches again, and the sinks recognise what they already have.

mod intake;
mod queue;
pub mod retry;
mod task;
#[cfg(test)]
mod tests;

pub use queue::Bounds;

use crate::{Rejected, Sink, Target};
use intake::Intake;
use retry::Backoff;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use task::Task;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use weir_dataflow::views::change::ChangeBatch;

/// How a delivery behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// What may wait in memory; the rest waits on disk.
    pub queue: Bounds,
    /// Most rows that the sink gets at once. Larger batches are cut.
    pub write_rows: usize,
    /// Most bytes that the sink gets at once, estimated; a single chunk may have more.
    pub write_bytes: usize,
    /// How long to wait for more rows before a small write.
    pub linger: Duration,
    /// The pauses between attempts.
    pub backoff: Backoff,
    /// Where the jitter of the pauses starts from.
    pub seed: u64,
}

impl Options {
    /// The defaults, with spill files in `directory`: 20,000 rows or 64 MB in memory, 10,000 rows or 16 MB a write.
    pub fn new(directory: impl Into<std::path::PathBuf>) -> Self {
        Options {
            queue: Bounds { rows: 20_000, bytes: 64 << 20, directory: directory.into(), segment: 64 << 20 },
            write_rows: 10_000,
            write_bytes: 16 << 20,
            linger: Duration::from_millis(1),
            backoff: Backoff::default(),
            seed: 0,
        }
    }
}

/// Takes rejected rows; called from the delivery's task, so it should not block for long.
pub type OnRejected = Box<dyn Fn(Rejected) + Send + Sync>;

/// How a delivery stands.
#[derive(Clone, Debug)]
pub struct Status {
    /// What it does.
    pub state: State,
    /// Rows that the destination has.
    pub delivered: u64,
    /// Rows that the destination will never take, each reported when it was found.
    pub rejected: u64,
    /// Rows that needed no delivery: ignored tombstones, rows replaced before they were sent.
    pub skipped: u64,
    /// Rows that were sent to the delivery and are not yet any of the above.
    pub pending: u64,
    /// Of these, what lies on disk, in bytes.
    pub spilled_bytes: u64,
    /// Rows given up because the spill file could not be written or read; then the state is `Failed`.
    pub lost: u64,
    /// Everything before this epoch is at the destination.
    pub delivered_to: u64,
}

/// What a delivery does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Delivers, or waits for changes.
    Running,
    /// Keeps what comes and delivers nothing, as it was told.
    Paused,
    /// The destination cannot take rows at the moment; tried again for ever.
    Retrying {
        /// When it began.
        since: std::time::Instant,
        /// Why, in the destination's words.
        reason: String,
    },
    /// Somebody has to act. What comes is kept until [`DeliveryHandle::resume`].
    Failed {
        /// Why.
        trace: String,
    },
    /// Ended by [`DeliveryHandle::stop`].
    Stopped,
}

/// Starts deliveries.
#[derive(Debug)]
pub struct Delivery;

impl Delivery {
    /// Starts to deliver `target`'s changes to `sink` on `runtime`.
    pub fn start<S: Sink>(
        sink: S,
        target: &Target,
        options: Options,
        on_rejected: OnRejected,
        runtime: &Handle,
    ) -> DeliveryHandle {
        let (sender, receiver) = mpsc::unbounded_channel();
        let (wanted, orders) = watch::channel(Orders { paused: false, resumed: 0, stop_at: None });
        let zero = AtomicU64::default;
        let shared = Arc::new(Shared {
            sent: zero(),
            delivered: zero(),
            rejected: zero(),
            skipped: zero(),
            lost: zero(),
            spilled_bytes: zero(),
            delivered_to: zero(),
            state: Mutex::new(State::Running),
        });
        let intake = Intake::new(receiver, &options, target.table, shared.clone());
        let task = Task::new(target.view.clone(), sink, intake, orders, options, on_rejected, shared.clone());
        let task = runtime.spawn(task.run());
        DeliveryHandle { sender, wanted, shared, task }
    }
}

/// A running delivery. Dropped without [`DeliveryHandle::stop`], it gives up what is still pending.
#[derive(Debug)]
pub struct DeliveryHandle {
    /// Unbounded, since the task empties it at all times and bounds what it holds.
    sender: mpsc::UnboundedSender<ChangeBatch>,
    wanted: watch::Sender<Orders>,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

impl DeliveryHandle {
    /// Takes a batch; never waits.
    pub fn send(&self, batch: ChangeBatch) {
        let rows = batch.rows.len() as u64;
        self.shared.sent.fetch_add(rows, Ordering::Relaxed);
        if self.sender.send(batch).is_err() {
            self.shared.lost.fetch_add(rows, Ordering::Relaxed);
        }
    }

    /// Delivers nothing until [`DeliveryHandle::resume`]; what comes is kept. A write under way is finished.
    pub fn pause(&self) {
        self.wanted.send_modify(|orders| orders.paused = true);
    }

    /// Goes on after a pause or a failure, and tries again at once after one that can pass.
    pub fn resume(&self) {
        self.wanted.send_modify(|orders| {
            orders.paused = false;
            orders.resumed += 1;
        });
    }

    /// How it stands.
    pub fn status(&self) -> Status {
        self.shared.status()
    }

    /// Delivers what is pending, for at most `drain`, and ends; paused or failed, it ends at once. The status says
    /// whether anything was left.
    pub async fn stop(self, drain: Duration) -> Status {
        self.wanted.send_modify(|orders| orders.stop_at = Some(Instant::now() + drain));
        let DeliveryHandle { sender, wanted, shared, task } = self;
        drop(sender);
        let _ = task.await;
        // Dropped before the task ended, it would have told the task to give up.
        drop(wanted);
        shared.status()
    }
}

/// What the handle wants of the task.
#[derive(Clone, Copy, Debug)]
struct Orders {
    paused: bool,
    /// How often it was resumed: a failure that happened before the last time is forgiven.
    resumed: u64,
    /// When to end, at the latest.
    stop_at: Option<Instant>,
}

/// What the task tells the handle.
#[derive(Debug)]
struct Shared {
    sent: AtomicU64,
    delivered: AtomicU64,
    rejected: AtomicU64,
    skipped: AtomicU64,
    lost: AtomicU64,
    spilled_bytes: AtomicU64,
    delivered_to: AtomicU64,
    state: Mutex<State>,
}

impl Shared {
    fn status(&self) -> Status {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        // Read before `sent`, so that what is done cannot appear to be more than what was sent.
        let [delivered, rejected, skipped, lost] =
            [&self.delivered, &self.rejected, &self.skipped, &self.lost].map(read);
        Status {
            state: self.state.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            delivered,
            rejected,
            skipped,
            pending: read(&self.sent).saturating_sub(delivered + rejected + skipped + lost),
            spilled_bytes: read(&self.spilled_bytes),
            lost,
            delivered_to: read(&self.delivered_to),
        }
    }

    fn set_state(&self, state: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}
