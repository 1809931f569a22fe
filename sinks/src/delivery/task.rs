//! The task of a delivery: hand over, flush, wait, in turn, and intake all the while.

use super::intake::Intake;
use super::queue::weight;
use super::retry::Retry;
use super::{OnRejected, Options, Orders, Shared, State};
use crate::{Progress, Sink, SinkError};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::watch;
use tokio::time::Instant;

/// What the sink has accepted and not delivered.
#[derive(Default)]
struct Held {
    rows: usize,
    bytes: usize,
    /// When this is delivered, everything before this epoch is.
    delivers_to: u64,
}

pub(super) struct Task<S> {
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
    pub(super) fn new(
        view: String,
        sink: S,
        intake: Intake,
        orders: watch::Receiver<Orders>,
        options: Options,
        on_rejected: OnRejected,
        shared: Arc<Shared>,
    ) -> Self {
        Task {
            view,
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
            shared,
        }
    }

    pub(super) async fn run(mut self) {
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
                let mut orders = self.orders.clone();
                let pause = async {
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        _ = self.orders.changed() => {}
                        () = end(&mut orders) => {}
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
