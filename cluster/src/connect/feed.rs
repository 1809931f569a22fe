//! From a view's subscription into its delivery, for as long as the view is there.
//!
//! A feed waits until what it follows exists, subscribes, and hands every batch to a delivery, which never waits. When
//! the view is dropped, the delivery ends and the feed waits for it to come back. Sink connectors are feeds, one a
//! topic, and so are the outputs of views to Kafka.

use crate::clock::now_ms;
use crate::command::{Subscription, Workers};
use crate::metrics::Metrics;
use crate::processing_log::{Entry, Level, Message, ProcessingLog};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use weir_dataflow::bind::{self, Catalog};
use weir_dataflow::plan::TopicSpec;
use weir_sinks::Target;
use weir_sinks::delivery::{self, DeliveryHandle, OnRejected, Status};

/// How long a delivery gets when its view was dropped, in which nothing more comes.
const FAREWELL: Duration = Duration::from_secs(2);

/// How long to wait before subscribing again to what the workers do not know.
const AGAIN: Duration = Duration::from_millis(250);

/// How long at most it takes a feed to begin.
const BEGIN: Duration = Duration::from_secs(10);

/// How often counters are brought up to date.
const TICK: Duration = Duration::from_millis(500);

/// What a feed works with.
#[derive(Clone)]
pub(crate) struct Setting {
    /// Who it is for, in metrics and the processing log: the connector's or the view's name.
    pub(crate) name: String,
    /// Whose changes.
    pub(crate) workers: Workers,
    /// Where what is followed is looked up.
    pub(crate) catalog: watch::Receiver<Arc<Catalog>>,
    /// Counters.
    pub(crate) metrics: Arc<Metrics>,
    /// What is rejected.
    pub(crate) log: ProcessingLog,
    /// When epochs began to be counted, in seconds since 1970.
    #[allow(dead_code, reason = "for the writer of output topics in Kafka")]
    pub(crate) generation: u32,
}

impl Setting {
    fn subscribe(&self, followed: &Followed) -> Subscription {
        self.workers.subscribe(&followed.input, true)
    }
}

/// What a feed follows, as the catalog has it.
pub(crate) struct Followed {
    /// The view or declared source.
    pub(crate) input: String,
    /// What its delivery must know.
    pub(crate) target: Target,
    /// How its records look.
    #[allow(dead_code, reason = "for the writer of output topics in Kafka")]
    pub(crate) topic: TopicSpec,
}

/// Starts a delivery.
pub(crate) type Make = Box<dyn Fn(&Followed, OnRejected) -> Result<DeliveryHandle, String> + Send + Sync>;

/// Looks up what is followed.
pub(crate) type Find = Box<dyn Fn(&Catalog) -> Option<Followed> + Send + Sync>;

/// A running feed.
pub(crate) struct Feed {
    orders: watch::Sender<Orders>,
    shared: Arc<Mutex<Shared>>,
    /// Its other end is dropped when it has begun.
    begun: Option<oneshot::Receiver<()>>,
    task: JoinHandle<()>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Orders {
    paused: bool,
    /// End, and give what is pending this long.
    stop: Option<Duration>,
}

#[derive(Default)]
struct Shared {
    delivery: Option<DeliveryHandle>,
    /// Why none could be started.
    failed: Option<String>,
}

impl Feed {
    /// Starts one; `first` is a subscription to begin with. Without it one is made at once when what is followed is there.
    pub(crate) fn start(setting: Setting, find: Find, make: Make, first: Option<Subscription>) -> Self {
        let subscribe = || find(&setting.catalog.borrow()).map(|followed| setting.subscribe(&followed));
        let first = first.or_else(subscribe);
        let (orders, received) = watch::channel(Orders::default());
        let (begins, begun) = first.as_ref().map(|_| oneshot::channel()).unzip();
        let shared = Arc::default();
        let task = Task { setting, find, make, orders: received, shared: Arc::clone(&shared), begins, counted: None };
        Feed { orders, shared, begun, task: tokio::spawn(task.run(first)) }
    }

    /// Waits until what it follows has closed the epoch of its snapshot, if it is there: what comes afterwards comes as changes,
    /// each epoch's on its own. A feed that cannot begin, or not soon, is not waited for.
    pub(crate) async fn begun(&mut self) {
        if let Some(begun) = self.begun.take() {
            let _ = tokio::time::timeout(BEGIN, begun).await;
        }
    }

    /// Lets it wait, or go on; going on also forgives a failure.
    pub(crate) fn set_paused(&self, paused: bool) {
        self.orders.send_modify(|orders| orders.paused = paused);
        if let Some(delivery) = &lock(&self.shared).delivery {
            if paused { delivery.pause() } else { delivery.resume() }
        }
    }

    /// Why it has failed, when it has.
    pub(crate) fn failure(&self) -> Option<String> {
        let shared = lock(&self.shared);
        let state = shared.delivery.as_ref().map(|d| d.status().state);
        match state {
            Some(delivery::State::Failed { trace }) => Some(trace),
            _ => shared.failed.clone(),
        }
    }

    /// Ends it when all that is pending has been delivered, at the latest after `drain`.
    pub(crate) async fn stop(self, drain: Duration) {
        self.orders.send_modify(|orders| orders.stop = Some(drain));
        let _ = self.task.await;
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Task {
    setting: Setting,
    find: Find,
    make: Make,
    orders: watch::Receiver<Orders>,
    shared: Arc<Mutex<Shared>>,
    /// Until it has begun, or never will.
    begins: Option<oneshot::Sender<()>>,
    /// What the metrics know of the delivery.
    counted: Option<Status>,
}

impl Task {
    async fn run(mut self, mut first: Option<Subscription>) {
        loop {
            let Some(followed) = self.wait_for_it().await else { return };
            let subscription = first.take().unwrap_or_else(|| self.setting.subscribe(&followed));
            match (self.make)(&followed, self.on_rejected()) {
                Ok(delivery) => {
                    if self.orders.borrow().paused {
                        delivery.pause();
                    }
                    let mut shared = lock(&self.shared);
                    shared.delivery = Some(delivery);
                    shared.failed = None;
                }
                Err(reason) => {
                    tracing::error!(name = self.setting.name, reason, "delivery failed");
                    lock(&self.shared).failed = Some(reason);
                    self.begins = None;
                    // Nothing changes until the connector is made again.
                    let _ = self.orders.wait_for(|o| o.stop.is_some()).await;
                    return;
                }
            }
            let stop = self.forward(subscription).await;
            self.begins = None;
            let delivery = lock(&self.shared).delivery.take();
            if let Some(delivery) = delivery {
                let status = delivery.stop(stop.unwrap_or(FAREWELL)).await;
                self.count(status);
            }
            self.counted = None;
            if stop.is_some() {
                return;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Until what is followed is in the catalog; `None` when the feed is to end.
    async fn wait_for_it(&mut self) -> Option<Followed> {
        loop {
            let found = (self.find)(&self.setting.catalog.borrow_and_update());
            if found.is_some() {
                return found;
            }
            tokio::select! {
                changed = self.setting.catalog.changed() => changed.ok()?,
                _ = self.orders.wait_for(|o| o.stop.is_some()) => return None,
            }
        }
    }

    /// Hands batches on until there are no more; how long what is pending gets when the feed is to end.
    async fn forward(&mut self, mut subscription: Subscription) -> Option<Duration> {
        let mut tick = tokio::time::interval(TICK);
        let mut orders = self.orders.clone();
        loop {
            tokio::select! {
                batch = subscription.next() => match batch {
                    Some(Ok(batch)) => {
                        // What begins later than the first epoch of all shows that the snapshot's is closed.
                        if batch.lower > 0 {
                            self.begins = None;
                        }
                        if let Some(delivery) = &lock(&self.shared).delivery {
                            delivery.send(batch);
                        }
                    }
                    Some(Err(reason)) => {
                        tracing::debug!(name = self.setting.name, reason, "not there yet");
                        return None;
                    }
                    None => return None,
                },
                _ = tick.tick() => {
                    let status = lock(&self.shared).delivery.as_ref().map(DeliveryHandle::status);
                    if let Some(status) = status {
                        self.count(status);
                    }
                }
                orders = orders.wait_for(|o| o.stop.is_some()) => {
                    return Some(orders.ok().and_then(|o| o.stop).unwrap_or_default());
                }
            }
        }
    }

    /// Brings the counters up to date.
    fn count(&mut self, status: Status) {
        let (name, metrics) = (self.setting.name.as_str(), &self.setting.metrics);
        let before = self.counted.as_ref();
        let since = |now: u64, get: fn(&Status) -> u64| now.saturating_sub(before.map_or(0, get));
        metrics.sink_delivered(name).inc_by(since(status.delivered, |s| s.delivered));
        metrics.sink_rejected(name).inc_by(since(status.rejected, |s| s.rejected));
        metrics.sink_queued(name).set(i64::try_from(status.pending).unwrap_or(i64::MAX));
        let retrying = |s: &Status| matches!(s.state, delivery::State::Retrying { .. });
        if retrying(&status) && !before.is_some_and(retrying) {
            metrics.sink_retries(name).inc();
        }
        self.counted = Some(status);
    }

    fn on_rejected(&self) -> OnRejected {
        let (name, log) = (self.setting.name.clone(), self.setting.log.clone());
        Box::new(move |rejected| {
            log.write(Entry {
                logger: format!("sink.{name}"),
                level: Level::Error,
                time: now_ms(),
                message: Message::Production {
                    error: format!("{} ({}): {}", rejected.reason, rejected.topic, rejected.document),
                },
            });
        })
    }
}

/// A stream or table of the catalog as something to follow.
pub(crate) fn followed(entry: &bind::Entry, generation: u32) -> Followed {
    Followed {
        input: entry.name().into(),
        target: Target {
            view: entry.name().into(),
            topic: entry.topic().topic.clone(),
            schema: entry.schema().clone(),
            table: entry.is_table(),
            window: entry.topic().window,
            generation,
        },
        topic: entry.topic().clone(),
    }
}
