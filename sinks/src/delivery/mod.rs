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

mod queue;
pub mod retry;

pub use queue::Bounds;

use crate::{Chunk, Progress, Rejected, Sink, SinkError, Target};
use queue::{Queue, weight};
use retry::{Backoff, Retry};
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
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
        let intake = Intake {
            receiver,
            arrived: Vec::new(),
            open: true,
            queue: Some(Queue::new(options.queue.clone())),
            broken: None,
            table: target.table,
            piece: options.write_rows.clamp(1, 2_000),
            shared: shared.clone(),
        };
        let task = Task {
            view: target.view.clone(),
            sink,
            intake,
            orders,
            // The first flush has no rows: the sink connects and makes ready, and its troubles show early.
            held: Some(Held::default()),
            attempts: 0,
            retrying_since: None,
            failed: None,
            on_rejected,
            random: options.seed,
            options,
            shared: shared.clone(),
        };
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

/// The channel's end and the queue behind it.
struct Intake {
    receiver: mpsc::UnboundedReceiver<ChangeBatch>,
    arrived: Vec<ChangeBatch>,
    /// There can be more.
    open: bool,
    /// Not here only while a thread for blocking work has it.
    queue: Option<Queue>,
    /// The spill files failed: what comes is counted as lost.
    broken: Option<String>,
    table: bool,
    /// Most rows of a chunk.
    piece: usize,
    shared: Arc<Shared>,
}

impl Intake {
    /// Waits for batches and takes what is there. Cancelled, it has taken nothing.
    async fn receive(&mut self) {
        if self.receiver.recv_many(&mut self.arrived, 1024).await == 0 {
            self.open = false;
        }
    }

    /// Does `work`, and takes in what arrives meanwhile.
    async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
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
    async fn store(&mut self) {
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
    async fn pop(&mut self) -> Option<Chunk> {
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

    fn is_empty(&self) -> bool {
        self.queue.as_ref().is_none_or(Queue::is_empty)
    }

    fn rows(&self) -> usize {
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
fn cut(mut batch: ChangeBatch, table: bool, piece: usize, mut take: impl FnMut(Chunk)) {
    if table {
        batch.rows.sort_by_key(|row| row.value.is_some());
    }
    let (lower, upper) = (batch.lower, batch.upper);
    let mut first_row = 0;
    let mut rows = batch.rows;
    while rows.len() > piece {
        let rest = rows.split_off(piece);
        take(Chunk { lower, upper, first_row, last: false, rows });
        first_row += piece as u64;
        rows = rest;
    }
    take(Chunk { lower, upper, first_row, last: true, rows });
}

/// What the sink has accepted and not delivered.
#[derive(Default)]
struct Held {
    rows: usize,
    bytes: usize,
    /// When this is delivered, everything before this epoch is.
    delivers_to: u64,
}

struct Task<S> {
    view: String,
    sink: S,
    intake: Intake,
    orders: watch::Receiver<Orders>,
    /// What the sink has to deliver before it gets more.
    held: Option<Held>,
    /// Attempts in a row without progress.
    attempts: u32,
    retrying_since: Option<std::time::Instant>,
    /// Why it failed, and how often the delivery had been resumed then.
    failed: Option<(String, u64)>,
    on_rejected: OnRejected,
    random: u64,
    options: Options,
    shared: Arc<Shared>,
}

impl<S: Sink> Task<S> {
    async fn run(mut self) {
        loop {
            let orders = *self.orders.borrow_and_update();
            let stopping = orders.stop_at.is_some();
            self.look_for_failures(orders);
            let idle = match &self.failed {
                Some((trace, _)) => Some(State::Failed { trace: trace.clone() }),
                None => orders.paused.then_some(State::Paused),
            };
            let is_over = orders.stop_at.is_some_and(|at| at <= Instant::now());
            let is_abandoned = self.orders.has_changed().is_err();
            if is_abandoned || is_over || (stopping && idle.is_some()) {
                break;
            }
            if let Some(state) = idle {
                self.shared.set_state(state);
                let _ = self.intake.during(self.orders.changed()).await;
                continue;
            }
            if self.retrying_since.is_none() {
                self.shared.set_state(State::Running);
            }
            if self.held.is_none() {
                if self.intake.is_empty() {
                    if stopping && !self.intake.open {
                        break;
                    }
                    self.receive_more(stopping).await;
                    continue;
                }
                self.hand_over().await;
            }
            self.attempt().await;
        }
        self.shared.set_state(State::Stopped);
    }

    /// Notes lost spill files as a failure for good, and forgets one that came before the last resume.
    fn look_for_failures(&mut self, orders: Orders) {
        if self.failed.as_ref().is_some_and(|(_, resumed)| *resumed < orders.resumed) {
            self.failed = None;
        }
        if let Some(broken) = &self.intake.broken
            && self.failed.is_none()
        {
            let hint = "delete the sink and create it again to deliver the view anew";
            let trace = format!("rows that had to wait on disk are lost: {broken} (hint: {hint})");
            tracing::error!(view = %self.view, %trace, "delivery failed");
            self.failed = Some((trace, u64::MAX));
        }
    }

    /// Waits until batches come or orders change.
    async fn receive_more(&mut self, stopping: bool) {
        tokio::select! {
            () = self.intake.receive() => self.intake.store().await,
            _ = self.orders.changed() => return,
        }
        if !stopping && self.intake.rows() < self.options.write_rows && !self.options.linger.is_zero() {
            self.intake.during(tokio::time::sleep(self.options.linger)).await;
        }
    }

    /// Gives the sink as much as one write may have.
    async fn hand_over(&mut self) {
        let mut held = Held::default();
        while held.rows < self.options.write_rows && held.bytes < self.options.write_bytes {
            let Some(chunk) = self.intake.pop().await else { break };
            held.rows += chunk.rows.len();
            held.bytes += chunk.rows.iter().map(weight).sum::<usize>();
            held.delivers_to = if chunk.last { chunk.upper } else { chunk.lower };
            self.sink.accept(chunk);
        }
        self.held = Some(held);
    }

    /// One flush; after one that failed, the pause before the next.
    async fn attempt(&mut self) {
        let mut progress = Progress::default();
        let flush = async {
            tokio::select! {
                outcome = self.sink.flush(&mut progress) => Some(outcome),
                () = end(&mut self.orders) => None,
            }
        };
        let outcome = self.intake.during(flush).await;
        let moved = progress != Progress::default();
        self.count(progress);
        match outcome {
            None => {}
            Some(Ok(())) => self.finish_write(),
            Some(Err(error)) => self.after(error, moved).await,
        }
    }

    fn count(&self, progress: Progress) {
        self.shared.delivered.fetch_add(progress.delivered, Ordering::Relaxed);
        self.shared.skipped.fetch_add(progress.skipped, Ordering::Relaxed);
        self.shared.rejected.fetch_add(progress.rejected.len() as u64, Ordering::Relaxed);
        for rejected in progress.rejected {
            tracing::warn!(view = %self.view, reason = %rejected.reason, "row rejected");
            (self.on_rejected)(rejected);
        }
    }

    /// The sink has delivered everything that it held.
    fn finish_write(&mut self) {
        if let Some(held) = self.held.take() {
            self.shared.delivered_to.fetch_max(held.delivers_to, Ordering::Relaxed);
        }
        self.attempts = 0;
        if let Some(since) = self.retrying_since.take() {
            tracing::info!(view = %self.view, after = ?since.elapsed(), "delivery goes on");
        }
    }

    /// Decides what a failed flush means, and does it.
    async fn after(&mut self, error: SinkError, moved: bool) {
        self.attempts = if moved { 1 } else { self.attempts.saturating_add(1) };
        let jitter = self.jitter();
        match self.options.backoff.decide(&error, self.attempts, jitter) {
            Retry::GiveUp => {
                tracing::error!(view = %self.view, %error, "delivery failed");
                self.retrying_since = None;
                self.failed = Some((error.to_string(), self.orders.borrow().resumed));
            }
            Retry::After(pause) => {
                let reason = error.to_string();
                let since = *self.retrying_since.get_or_insert_with(|| {
                    tracing::warn!(view = %self.view, %reason, "delivery has to wait");
                    std::time::Instant::now()
                });
                self.shared.set_state(State::Retrying { since, reason });
                let pause = async {
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        _ = self.orders.changed() => {}
                        () = end(&mut self.orders.clone()) => {}
                    }
                };
                self.intake.during(pause).await;
            }
        }
    }

    /// The next number of the sequence splitmix64, from 0 to 1.
    fn jitter(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.random;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ (x >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Waits until the drain time of a stop is over, or the handle is gone.
async fn end(orders: &mut watch::Receiver<Orders>) {
    loop {
        let stop_at = orders.borrow_and_update().stop_at;
        let over = async {
            match stop_at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = over => return,
            changed = orders.changed() => if changed.is_err() { return },
        }
    }
}
