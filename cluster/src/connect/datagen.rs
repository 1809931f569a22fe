//! Generators: the datagen connector's quickstarts, written to a topic at their pace.

use super::{ConnectError, Context, Properties, State};
use crate::clock;
use crate::config::Rate;
use crate::intake::topics::NewRow;
use crate::metrics::Metrics;
use bytes::Bytes;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use weir_ingest::source::datagen::{self, DatagenConfig, Progress, Runner};

/// Records made in one go.
const STEP: usize = 4096;

/// Records a second of a generator that runs as fast as it can.
const UNLIMITED: f64 = 1e6;

/// A generator that runs.
pub(super) struct Run {
    paused: watch::Sender<bool>,
    state: Arc<Mutex<State>>,
    /// Number of the next record.
    position: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Run {
    /// Makes it wait, or go on.
    pub(super) fn set_paused(&self, paused: bool) {
        self.paused.send_replace(paused);
    }

    /// How it stands.
    pub(super) fn state(&self) -> State {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if state == State::Running && *self.paused.borrow() { State::Paused } else { state }
    }

    /// Ends it. Gives the number of the record that it would have written next.
    pub(super) async fn stop(self) -> u64 {
        self.task.abort();
        let _ = self.task.await;
        self.position.load(Ordering::Relaxed)
    }
}

fn config(properties: &Properties) -> Result<(DatagenConfig, Vec<String>), ConnectError> {
    DatagenConfig::from_properties(properties).map_err(|e| ConnectError::Invalid(e.to_string()))
}

/// Whether a generator could be made of these properties.
pub(super) fn check(properties: &Properties) -> Result<(), ConnectError> {
    config(properties).map(|_| ())
}

/// Starts a generator with record number `position`. Returns it and its topic, which is made when it is not there.
pub(super) async fn start(
    name: &str,
    properties: &Properties,
    context: &Context,
    position: u64,
) -> Result<(Run, String), ConnectError> {
    let (config, warnings) = config(properties)?;
    warnings.iter().for_each(|warning| tracing::warn!(connector = name, "{warning}"));
    let topic = config.topic.clone();
    context.topics.ensure_any(&topic).await.map_err(ConnectError::Invalid)?;
    let rate = match context.rate {
        Rate::Parity => datagen::Rate::Parity,
        Rate::Intended => datagen::Rate::Intended,
        Rate::PerSecond(n) => datagen::Rate::PerSecond(n),
        Rate::Unlimited => datagen::Rate::PerSecond(UNLIMITED),
    };
    let random = u64::try_from(clock::now_ms()).unwrap_or_default();
    let runner = Runner::new(&config, rate, random, position, clock::now_ms() as f64);
    let (paused, pausing) = watch::channel(false);
    let state = Arc::new(Mutex::new(State::Running));
    let position = Arc::new(AtomicU64::new(position));
    let writer = Writer {
        name: name.to_owned(),
        topic: topic.clone(),
        topics: context.topics.clone(),
        metrics: Arc::clone(&context.metrics),
        state: Arc::clone(&state),
        position: Arc::clone(&position),
    };
    let task = tokio::spawn(writer.run(runner, pausing));
    Ok((Run { paused, state, position, task }, topic))
}

struct Writer {
    name: String,
    topic: String,
    topics: crate::intake::topics::Topics,
    metrics: Arc<Metrics>,
    state: Arc<Mutex<State>>,
    position: Arc<AtomicU64>,
}

impl Writer {
    async fn run(self, mut runner: Runner, mut paused: watch::Receiver<bool>) {
        loop {
            if *paused.borrow() {
                if paused.wait_for(|paused| !paused).await.is_err() {
                    return;
                }
                runner.resume(clock::now_ms() as f64);
            }
            let mut rows = Vec::new();
            let progress = runner.step(clock::now_ms() as f64, STEP, |record| {
                rows.push(NewRow {
                    key: Some(Bytes::copy_from_slice(record.key)),
                    value: Some(Bytes::copy_from_slice(record.value)),
                    time: record.time,
                });
            });
            let written = rows.len() as u64;
            if !rows.is_empty() {
                if let Err(reason) = self.topics.append(&self.topic, rows).await {
                    return self.fail(reason);
                }
                self.position.store(runner.position(), Ordering::Relaxed);
                self.metrics.connector_records(&self.name).inc_by(written);
            }
            match progress {
                // As the connector ends, which is how its users know that it has.
                Progress::Finished(n) => {
                    return self.fail(format!("Stopping connector: generated the configured {n} number of messages"));
                }
                Progress::Next(due) => {
                    let wait = (due - clock::now_ms() as f64).clamp(0.0, 1000.0);
                    tokio::select! {
                        () = tokio::time::sleep(Duration::from_micros((wait * 1000.0) as u64)) => {}
                        _ = paused.changed() => {}
                    }
                }
            }
        }
    }

    fn fail(&self, reason: String) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State::Failed(reason);
    }
}
