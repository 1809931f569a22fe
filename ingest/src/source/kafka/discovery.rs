//! The thread that looks for a topic and its partitions, so that no worker waits for a broker.

use super::client::{Context, KafkaError};
use super::topics::PartitionOffsets;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Weak};
use std::thread::Thread;
use std::time::Duration;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The topic is not there.
    NoTopic,
    /// The partitions that were not found before, all at once. `initial`: they were there at the first look.
    Partitions { new: Vec<PartitionOffsets>, initial: bool },
}

/// A running search; it ends when this is dropped.
pub(super) struct Discovery {
    found: Receiver<Found>,
    stop: Arc<AtomicBool>,
    thread: Thread,
}

/// A topic that is not there is looked for this often; one that is, for new partitions.
const LOOK: Duration = Duration::from_millis(500);
const LOOK_AGAIN: Duration = Duration::from_secs(5);

const PATIENCE: Duration = Duration::from_secs(5);

impl Discovery {
    /// Starts looking for a topic.
    pub(super) fn start(consumer: &Arc<BaseConsumer<Context>>, topic: String) -> Result<Self, KafkaError> {
        let (sender, found) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let search = Search {
            consumer: Arc::downgrade(consumer),
            stop: Arc::clone(&stop),
            sender,
            known: 0,
            looked: false,
            topic: topic.clone(),
        };
        let thread = std::thread::Builder::new()
            .name(format!("kafka {topic}"))
            .spawn(|| search.run())
            .map_err(|e| KafkaError::request("start a thread", &e))?;
        Ok(Discovery { found, stop, thread: thread.thread().clone() })
    }

    /// What was found since the last call.
    pub(super) fn found(&self) -> impl Iterator<Item = Found> {
        self.found.try_iter()
    }
}

impl Drop for Discovery {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.unpark();
    }
}

struct Search {
    consumer: Weak<BaseConsumer<Context>>,
    topic: String,
    stop: Arc<AtomicBool>,
    sender: Sender<Found>,
    /// Partitions told so far.
    known: u32,
    /// The first look is over: partitions that are found now are new.
    looked: bool,
}

impl Search {
    fn run(mut self) {
        while !self.stop.load(Ordering::Relaxed) {
            let Some(consumer) = self.consumer.upgrade() else {
                return;
            };
            let wait = match self.look(&consumer) {
                Ok(()) => LOOK_AGAIN,
                Err(KafkaError::UnknownTopic(_)) => {
                    self.looked = true;
                    if self.sender.send(Found::NoTopic).is_err() {
                        return;
                    }
                    LOOK
                }
                Err(error @ (KafkaError::Client(_) | KafkaError::Request { .. } | KafkaError::TopicExists(_))) => {
                    consumer.context().warn("discovery", &self.topic, &error.to_string());
                    LOOK
                }
            };
            drop(consumer);
            std::thread::park_timeout(wait);
        }
    }

    fn look(&mut self, consumer: &BaseConsumer<Context>) -> Result<(), KafkaError> {
        let what = format!("look for topic '{}'", self.topic);
        let error = |e| KafkaError::request(&what, &e);
        let metadata = consumer.fetch_metadata(Some(&self.topic), PATIENCE).map_err(error)?;
        let topic = metadata.topics().iter().find(|t| t.name() == self.topic);
        let topic = match topic.map(|t| (t, t.error().map(RDKafkaErrorCode::from))) {
            Some((topic, None)) if !topic.partitions().is_empty() => topic,
            Some((_, Some(code))) if code != RDKafkaErrorCode::UnknownTopicOrPartition => {
                return Err(KafkaError::request(what, &code));
            }
            _ => return Err(KafkaError::UnknownTopic(self.topic.clone())),
        };
        let initial = !self.looked;
        let mut partitions: Vec<u32> = topic.partitions().iter().filter_map(|p| u32::try_from(p.id()).ok()).collect();
        partitions.sort_unstable();
        let mut new = Vec::new();
        for partition in partitions.into_iter().filter(|p| *p >= self.known) {
            let (first, next) = consumer.fetch_watermarks(&self.topic, partition as i32, PATIENCE).map_err(error)?;
            new.push(PartitionOffsets { partition, first, next });
        }
        self.known = new.last().map_or(self.known, |p| p.partition + 1);
        self.looked = true;
        // The reader is gone when this cannot be sent; the loop ends by the flag.
        let _ = self.sender.send(Found::Partitions { new, initial });
        Ok(())
    }
}
