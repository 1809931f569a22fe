//! Topics: those of the process, and Kafka's where there is one.
//!
//! With a Kafka all topics are there, but the processing log's, which stays in the process. Without, all live in the
//! process, and a view's topic exists only as the recent part of its changes that the engine keeps.

mod kafka;

use crate::command::Subscription;
use crate::config;
use crate::connect::feed::{Feed, Setting};
use crate::processing_log;
use bytes::Bytes;
use kafka::Kafka;
pub(crate) use kafka::client_config;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use weir_dataflow::plan::View;
use weir_ingest::source::memory::{Cleanup, MemoryBroker, NewRecord, TopicError};
use weir_ingest::source::{Share, Source, Start};

/// All topics. Cheap to clone.
#[derive(Clone)]
pub struct Topics {
    memory: MemoryBroker,
    kafka: Option<Arc<Kafka>>,
}

/// A task that writes a view's changes to its topic in Kafka.
pub struct Output(Feed);

impl Output {
    /// Ends it when it has delivered what is pending, or after a moment.
    pub async fn stop(self) {
        self.0.stop(Duration::from_secs(5)).await;
    }
}

/// A record for a topic.
#[derive(Clone, Debug, Default)]
pub struct NewRow {
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value.
    pub value: Option<Bytes>,
    /// Its timestamp in milliseconds since the epoch.
    pub time: i64,
}

/// A topic of the list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Replicas of each partition.
    pub replicas: Vec<u16>,
}

/// Where a partition began and ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The partition.
    pub partition: u32,
    /// Offset of the first record that it still has.
    pub first: i64,
    /// Offset of the next record that it gets.
    pub next: i64,
}

impl Topics {
    /// Of the process only.
    pub fn in_process(memory: MemoryBroker) -> Self {
        Topics { memory, kafka: None }
    }

    /// In Kafka, but for the process's own. Outputs that Kafka cannot take yet wait in files in `spill`.
    ///
    /// # Errors
    /// The properties are wrong, or the brokers do not answer.
    pub async fn in_kafka(memory: MemoryBroker, config: &config::Kafka, spill: PathBuf) -> Result<Self, String> {
        Ok(Topics { memory, kafka: Some(Arc::new(Kafka::connect(config, spill).await?)) })
    }

    /// The broker for a topic; `None`: the process.
    fn kafka(&self, topic: &str) -> Option<&Arc<Kafka>> {
        self.kafka.as_ref().filter(|_| topic != processing_log::TOPIC)
    }

    /// Creates a topic unless it is there.
    ///
    /// # Errors
    /// It is there with another number of partitions, or the broker refuses.
    pub async fn ensure(&self, name: &str, partitions: u32, replicas: Option<u16>) -> Result<(), String> {
        let exists = |there: u32| {
            format!(
                "A Kafka topic with the name '{name}' already exists, with different partition/replica configuration \
                 than required. KSQL expects {partitions} partitions (topic has {there})"
            )
        };
        if let Some(kafka) = self.kafka(name) {
            return match kafka.shape(name).await? {
                Some((there, _)) if there == partitions => Ok(()),
                Some((there, _)) => Err(exists(there)),
                None => kafka.create(name, Some(partitions), replicas).await,
            };
        }
        match self.memory.create(name, partitions, Cleanup::default()) {
            Ok(_) => Ok(()),
            Err(TopicError::Exists { partitions: there, .. }) => Err(exists(there)),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Creates a topic unless it is there, with as many partitions as the broker likes (in the process: one).
    ///
    /// # Errors
    /// The broker refuses.
    pub async fn ensure_any(&self, name: &str) -> Result<(), String> {
        if let Some(kafka) = self.kafka(name) {
            return match kafka.shape(name).await? {
                Some(_) => Ok(()),
                None => kafka.create(name, None, None).await,
            };
        }
        match self.memory.topic(name) {
            Ok(_) => Ok(()),
            Err(_) => self.ensure(name, 1, None).await,
        }
    }

    /// Deletes a topic; one that does not exist is deleted already.
    ///
    /// # Errors
    /// The broker refuses.
    pub async fn delete(&self, name: &str) -> Result<(), String> {
        if let Some(kafka) = self.kafka(name) {
            return kafka.delete(name).await;
        }
        let _ = self.memory.delete(name);
        Ok(())
    }

    /// All topics, by name.
    ///
    /// # Errors
    /// The broker does not answer.
    pub async fn list(&self) -> Result<Vec<Listed>, String> {
        let local = |t: &weir_ingest::source::memory::MemoryTopic| Listed {
            name: t.name().to_owned(),
            replicas: vec![1; t.partitions() as usize],
        };
        let mut all: Vec<Listed> = self.memory.topics().iter().map(local).collect();
        if let Some(kafka) = &self.kafka {
            all.extend(kafka.list().await?);
        }
        all.sort();
        Ok(all)
    }

    /// Partitions and replicas of a topic; `None` when it does not exist.
    ///
    /// # Errors
    /// The broker does not answer.
    pub async fn shape(&self, name: &str) -> Result<Option<(u32, u16)>, String> {
        match self.kafka(name) {
            Some(kafka) => kafka.shape(name).await,
            None => Ok(self.memory.topic(name).ok().map(|t| (t.partitions(), 1))),
        }
    }

    /// Appends records; each goes to the partition that its key chooses.
    ///
    /// # Errors
    /// The topic does not exist, or the broker does not take them.
    pub async fn append(&self, topic: &str, rows: Vec<NewRow>) -> Result<(), String> {
        if let Some(kafka) = self.kafka(topic) {
            return kafka.append(topic, &rows).await;
        }
        let topic = self.memory.topic(topic).map_err(|e| e.to_string())?;
        let record = |row: &NewRow| -> Result<(), TopicError> {
            let record =
                NewRecord { key: row.key.as_deref(), value: row.value.as_deref(), time: row.time, headers: &[] };
            topic.append(None, record).map(|_| ())
        };
        rows.iter().try_for_each(record).map_err(|e| e.to_string())
    }

    /// A reader of all of a topic; `None` when it does not exist.
    ///
    /// # Errors
    /// The broker does not answer.
    pub async fn read(&self, topic: &str, from_beginning: bool) -> Result<Option<Box<dyn Source>>, String> {
        let start = if from_beginning { Start::Earliest } else { Start::Latest };
        match self.kafka(topic) {
            Some(kafka) => kafka.read(topic, start).await,
            None => Ok(self.memory.topic(topic).ok().map(|t| Box::new(t.read(Share::ALL, start)) as Box<dyn Source>)),
        }
    }

    /// Where each partition of a topic begins and ends now; none when the topic does not exist.
    ///
    /// # Errors
    /// The broker does not answer.
    pub async fn ends(&self, topic: &str) -> Result<Vec<End>, String> {
        if let Some(kafka) = self.kafka(topic) {
            return kafka.ends(topic).await;
        }
        let Ok(topic) = self.memory.topic(topic) else { return Ok(Vec::new()) };
        let end = |partition| topic.offsets(partition).ok().map(|(first, next)| End { partition, first, next });
        Ok((0..topic.partitions()).filter_map(end).collect())
    }

    /// Begins to write a view's changes to its topic in Kafka; `None` without Kafka. A topic that is not there is
    /// created with `shape` (partitions, replicas), unless the view says otherwise.
    pub(crate) fn begin_output(
        &self,
        view: &View,
        shape: (u32, u16),
        first: Subscription,
        setting: Setting,
    ) -> Option<Output> {
        self.kafka.as_ref().map(|kafka| Output(kafka.begin_output(view, shape, first, setting)))
    }

    /// True without a Kafka.
    pub fn are_in_process(&self) -> bool {
        self.kafka.is_none()
    }

    /// The broker's name for itself.
    pub fn cluster_id(&self) -> String {
        self.kafka.as_ref().map_or_else(|| "weir-in-process".into(), |kafka| kafka.servers())
    }

    /// The broker's addresses.
    pub fn servers(&self) -> String {
        self.kafka.as_ref().map_or_else(|| "in process".into(), |kafka| kafka.servers())
    }

    /// Whether the broker answers.
    pub async fn is_healthy(&self) -> bool {
        match &self.kafka {
            Some(kafka) => kafka.list().await.is_ok(),
            None => true,
        }
    }
}
