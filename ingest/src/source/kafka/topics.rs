//! The topics of a cluster.

use super::client::{Context, KafkaConfig, KafkaError};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, Wake, Waker};
use std::time::Duration;

/// Asks about topics, creates and deletes them. Every call waits for the cluster, at most as long as was said when it
/// was made: call it where waiting is allowed.
pub struct KafkaTopics {
    consumer: BaseConsumer<Context>,
    admin: AdminClient<Context>,
    patience: Duration,
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaTopic {
    /// Its name.
    pub name: String,
    /// How many replicas each of its partitions has.
    pub replicas: Vec<u32>,
}

/// What a partition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionOffsets {
    /// The partition.
    pub partition: u32,
    /// Offset of the first record that it still has.
    pub first: i64,
    /// Offset of the next record that it gets.
    pub next: i64,
}

impl KafkaTopics {
    /// Connects, in the background.
    ///
    /// # Errors
    /// When librdkafka does not take the properties.
    pub fn new(config: &KafkaConfig, patience: Duration) -> Result<Self, KafkaError> {
        let admin = config
            .client(&[], &[])
            .create_with_context(Context::default())
            .map_err(|e| KafkaError::Client(e.to_string()))?;
        Ok(KafkaTopics { consumer: config.consumer()?, admin, patience })
    }

    /// All topics, by name, Kafka's own (`__…`) included.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub fn list(&self) -> Result<Vec<KafkaTopic>, KafkaError> {
        let metadata =
            self.consumer.fetch_metadata(None, self.patience).map_err(|e| KafkaError::request("list topics", &e))?;
        let mut topics: Vec<KafkaTopic> = metadata.topics().iter().map(topic).collect();
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(topics)
    }

    /// One topic; `None` when it does not exist.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub fn find(&self, name: &str) -> Result<Option<KafkaTopic>, KafkaError> {
        let metadata = self
            .consumer
            .fetch_metadata(Some(name), self.patience)
            .map_err(|e| KafkaError::request(format!("look for topic '{name}'"), &e))?;
        let there = |t: &&rdkafka::metadata::MetadataTopic| t.error().is_none() && !t.partitions().is_empty();
        Ok(metadata.topics().iter().find(there).map(topic))
    }

    /// Creates a topic. `None` leaves the number to the brokers' defaults. `settings` are the topic's own, as
    /// `cleanup.policy`.
    ///
    /// # Errors
    /// When there is one already, or the cluster refuses or does not answer.
    pub fn create(
        &self,
        name: &str,
        partitions: Option<u32>,
        replicas: Option<u16>,
        settings: &[(&str, &str)],
    ) -> Result<(), KafkaError> {
        let partitions = partitions.map_or(-1, |n| i32::try_from(n).unwrap_or(i32::MAX));
        let replicas = TopicReplication::Fixed(replicas.map_or(-1, i32::from));
        let mut topic = NewTopic::new(name, partitions, replicas);
        for (setting, value) in settings {
            topic = topic.set(setting, value);
        }
        let what = format!("create topic '{name}'");
        let result = wait(self.admin.create_topics([&topic], &self.options()));
        match result.map_err(|e| KafkaError::request(&what, &e))?.into_iter().next() {
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Err(KafkaError::TopicExists(name.to_owned())),
            Some(Err((_, code))) => Err(KafkaError::request(what, &code)),
            Some(Ok(_)) | None => Ok(()),
        }
    }

    /// Deletes a topic.
    ///
    /// # Errors
    /// When there is none, or the cluster refuses or does not answer.
    pub fn delete(&self, name: &str) -> Result<(), KafkaError> {
        let what = format!("delete topic '{name}'");
        let result = wait(self.admin.delete_topics(&[name], &self.options()));
        match result.map_err(|e| KafkaError::request(&what, &e))?.into_iter().next() {
            Some(Err((_, RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic))) => {
                Err(KafkaError::UnknownTopic(name.to_owned()))
            }
            Some(Err((_, code))) => Err(KafkaError::request(what, &code)),
            Some(Ok(_)) | None => Ok(()),
        }
    }

    /// What each partition of a topic holds now.
    ///
    /// # Errors
    /// When there is no such topic, or the cluster does not answer.
    pub fn offsets(&self, name: &str) -> Result<Vec<PartitionOffsets>, KafkaError> {
        let topic = self.find(name)?.ok_or_else(|| KafkaError::UnknownTopic(name.to_owned()))?;
        (0..topic.replicas.len() as u32)
            .map(|partition| {
                let (first, next) = self
                    .consumer
                    .fetch_watermarks(name, partition as i32, self.patience)
                    .map_err(|e| KafkaError::request(format!("ask for the offsets of topic '{name}'"), &e))?;
                Ok(PartitionOffsets { partition, first, next })
            })
            .collect()
    }

    fn options(&self) -> AdminOptions {
        // Until the change is made, not only accepted.
        AdminOptions::new().request_timeout(Some(self.patience)).operation_timeout(Some(self.patience))
    }
}

fn topic(topic: &rdkafka::metadata::MetadataTopic) -> KafkaTopic {
    let replicas = topic.partitions().iter().map(|p| p.replicas().len() as u32).collect();
    KafkaTopic { name: topic.name().to_owned(), replicas }
}

/// Waits for a future that another thread completes, as librdkafka's does within its own time-outs.
fn wait<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            return output;
        }
        std::thread::park();
    }
}
