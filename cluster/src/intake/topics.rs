//! Topics: those of the process, and Kafka's where there is one.
//!
//! With a Kafka all topics are there, but the processing log's, which stays in the process. Without, all live in the
//! process, and a view's topic exists only as the recent part of its changes that the engine keeps.

use crate::command::Subscription;
use crate::connect::feed::Setting;
use bytes::Bytes;
use weir_dataflow::plan::View;
use weir_ingest::source::memory::{Cleanup, MemoryBroker, NewRecord, TopicError};
use weir_ingest::source::{Share, Source, Start};

/// All topics. Cheap to clone.
#[derive(Clone)]
pub struct Topics {
    memory: MemoryBroker,
}

/// A task that writes a view's changes to its topic in Kafka.
pub struct Output {}

impl Output {
    /// Ends it when it has delivered what is pending, or after a moment.
    pub async fn stop(self) {}
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

impl Topics {
    /// Of the process only.
    pub fn in_process(memory: MemoryBroker) -> Self {
        Topics { memory }
    }

    /// The process's own topics.
    pub fn memory(&self) -> &MemoryBroker {
        &self.memory
    }

    /// Creates a topic unless it is there. `settings` are Kafka's (`cleanup.policy`, …).
    ///
    /// # Errors
    /// It is there with another number of partitions, or the broker refuses.
    pub async fn ensure(
        &self,
        name: &str,
        partitions: u32,
        _replicas: Option<u16>,
        _settings: &[(&str, String)],
    ) -> Result<(), String> {
        match self.memory.create(name, partitions, Cleanup::default()) {
            Ok(_) => Ok(()),
            Err(TopicError::Exists { partitions: there, .. }) => Err(format!(
                "A Kafka topic with the name '{name}' already exists, with different partition/replica configuration \
                 than required. KSQL expects {partitions} partitions (topic has {there})"
            )),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Creates a topic with one partition unless it is there, with however many.
    ///
    /// # Errors
    /// The broker refuses.
    pub async fn ensure_any(&self, name: &str) -> Result<(), String> {
        match self.memory.topic(name) {
            Ok(_) => Ok(()),
            Err(_) => self.ensure(name, 1, None, &[]).await,
        }
    }

    /// Deletes a topic; one that does not exist is deleted already.
    ///
    /// # Errors
    /// The broker refuses.
    pub async fn delete(&self, name: &str) -> Result<(), String> {
        let _ = self.memory.delete(name);
        Ok(())
    }

    /// All topics as (name, partitions, replicas), by name.
    ///
    /// # Errors
    /// The broker does not answer.
    pub async fn list(&self) -> Result<Vec<(String, u32, u16)>, String> {
        Ok(self.memory.topics().iter().map(|t| (t.name().to_owned(), t.partitions(), 1)).collect())
    }

    /// Partitions and replicas of a topic; `None` when it does not exist.
    pub async fn shape(&self, name: &str) -> Option<(u32, u16)> {
        self.memory.topic(name).ok().map(|t| (t.partitions(), 1))
    }

    /// Appends records; each goes to the partition that its key chooses.
    ///
    /// # Errors
    /// The topic does not exist, or the broker does not take them.
    pub async fn append(&self, topic: &str, rows: Vec<NewRow>) -> Result<(), String> {
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
        Ok(self.memory.topic(topic).ok().map(|t| Box::new(t.read(Share::ALL, start)) as Box<dyn Source>))
    }

    /// Begins to write a view's changes to its topic in Kafka; `None` without Kafka.
    ///
    /// # Errors
    /// The topic cannot be created.
    pub(crate) fn begin_output(
        &self,
        _view: &View,
        _first: Subscription,
        _setting: Setting,
    ) -> Result<Option<Output>, String> {
        Ok(None)
    }

    /// The broker's name for itself.
    pub fn cluster_id(&self) -> String {
        "weir-in-process".into()
    }

    /// The broker's addresses.
    pub fn servers(&self) -> String {
        "in process".into()
    }

    /// Whether the broker answers.
    pub async fn is_healthy(&self) -> bool {
        true
    }
}
