//! Topics that live in the process, for when there is no Kafka.
//!
//! A [`MemoryBroker`] is a handle to all topics of the process; clones are the same broker. A topic keeps the most
//! recent part of its records, or the last record of each key, see [`Cleanup`]; a reader that is slower than that
//! misses records, as in Kafka, and says so. Appending copies the record into the topic; reading copies it out.

mod log;
mod partitioner;

use super::{Limit, Position, Share, Source, SourceError, Start};
use crate::record::RecordBatch;
use bytes::Bytes;
use log::Log;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

pub use partitioner::partition_of;

/// What a topic forgets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleanup {
    /// The oldest records, once there are more bytes than these.
    Delete(u64),
    /// All but the last record of each key.
    Compact,
    /// Both.
    CompactAndDelete(u64),
}

impl Default for Cleanup {
    /// The most recent 256 MB.
    fn default() -> Self {
        Cleanup::Delete(256 << 20)
    }
}

/// Why a topic of the process cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// No such topic.
    #[error("topic '{0}' does not exist; create it first")]
    Unknown(String),
    /// A topic of this name with other partitions.
    #[error("topic '{name}' already exists with {partitions} partitions")]
    Exists {
        /// The topic.
        name: String,
        /// How many it has.
        partitions: u32,
    },
    /// A partition that the topic does not have.
    #[error("topic '{name}' has no partition {partition}; it has {partitions}")]
    Partition {
        /// The topic.
        name: String,
        /// The partition that was meant.
        partition: u32,
        /// How many it has.
        partitions: u32,
    },
    /// A record that does not fit a batch.
    #[error("a record of {0} bytes is too large for a topic in memory, which takes 1 GB")]
    TooLarge(usize),
}

/// All topics of the process.
#[derive(Clone, Default)]
pub struct MemoryBroker {
    topics: Arc<RwLock<BTreeMap<String, MemoryTopic>>>,
}

/// One topic. A clone is the same topic; it outlives its deletion from the broker.
#[derive(Clone)]
pub struct MemoryTopic {
    shared: Arc<Topic>,
}

struct Topic {
    name: String,
    cleanup: Cleanup,
    partitions: Vec<Mutex<Log>>,
    /// Partition of the next record without a key.
    turn: AtomicU32,
    /// Called after something was appended, by number.
    listeners: RwLock<BTreeMap<u64, Box<dyn Fn() + Send + Sync>>>,
    next_listener: AtomicU64,
}

/// A record to append.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewRecord<'a> {
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value; `None`: a tombstone.
    pub value: Option<&'a [u8]>,
    /// Its timestamp in milliseconds since the epoch.
    pub time: i64,
    /// Its headers.
    pub headers: &'a [(String, Option<Bytes>)],
}

impl MemoryBroker {
    /// Without topics.
    pub fn new() -> Self {
        MemoryBroker::default()
    }

    /// Creates a topic, or returns the one that is there already with as many partitions.
    ///
    /// # Errors
    /// When there is one with another number of partitions.
    pub fn create(&self, name: &str, partitions: u32, cleanup: Cleanup) -> Result<MemoryTopic, TopicError> {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        let partitions = partitions.max(1);
        if let Some(topic) = topics.get(name) {
            return match topic.partitions() {
                there if there == partitions => Ok(topic.clone()),
                there => Err(TopicError::Exists { name: name.to_owned(), partitions: there }),
            };
        }
        let shared = Arc::new(Topic {
            name: name.to_owned(),
            cleanup,
            partitions: (0..partitions).map(|_| Mutex::new(Log::new(cleanup))).collect(),
            turn: AtomicU32::new(0),
            listeners: RwLock::default(),
            next_listener: AtomicU64::new(0),
        });
        let topic = MemoryTopic { shared };
        topics.insert(name.to_owned(), topic.clone());
        Ok(topic)
    }

    /// The topic of this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn topic(&self, name: &str) -> Result<MemoryTopic, TopicError> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.get(name).cloned().ok_or_else(|| TopicError::Unknown(name.to_owned()))
    }

    /// All topics, by name.
    pub fn topics(&self) -> Vec<MemoryTopic> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Deletes a topic. Who holds it still reads what it had.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn delete(&self, name: &str) -> Result<(), TopicError> {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        topics.remove(name).map(|_| ()).ok_or_else(|| TopicError::Unknown(name.to_owned()))
    }

    /// Appends a record to a topic, see [`MemoryTopic::append`].
    ///
    /// # Errors
    /// When there is no such topic or partition.
    pub fn append(&self, topic: &str, partition: Option<u32>, record: NewRecord<'_>) -> Result<(u32, i64), TopicError> {
        self.topic(topic)?.append(partition, record)
    }
}

impl MemoryTopic {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// How many partitions it has.
    pub fn partitions(&self) -> u32 {
        self.shared.partitions.len() as u32
    }

    /// What it forgets.
    pub fn cleanup(&self) -> Cleanup {
        self.shared.cleanup
    }

    /// Offsets of a partition: of the first record that it still has, and of the next that it gets.
    ///
    /// # Errors
    /// When there is no such partition.
    pub fn offsets(&self, partition: u32) -> Result<(i64, i64), TopicError> {
        let log = self.log(partition)?;
        Ok((log.first(), log.next()))
    }

    /// Bytes that it holds.
    pub fn bytes(&self) -> u64 {
        (0..self.partitions()).filter_map(|p| self.log(p).ok()).map(|log| log.bytes()).sum()
    }

    /// Appends a record to the given partition; by default to the one that Kafka's clients choose by the key, or to
    /// each in turn without a key. Returns the partition and the record's offset.
    ///
    /// # Errors
    /// When there is no such partition, or the record is too large.
    pub fn append(&self, partition: Option<u32>, record: NewRecord<'_>) -> Result<(u32, i64), TopicError> {
        let place = self.append_quietly(partition, record)?;
        self.wake();
        Ok(place)
    }

    /// Appends many records and wakes readers once.
    ///
    /// # Errors
    /// At the first that cannot be appended; those before it were.
    pub fn append_all<'a>(
        &self,
        records: impl IntoIterator<Item = (Option<u32>, NewRecord<'a>)>,
    ) -> Result<(), TopicError> {
        let result = records.into_iter().try_for_each(|(p, r)| self.append_quietly(p, r).map(|_| ()));
        self.wake();
        result
    }

    fn append_quietly(&self, partition: Option<u32>, record: NewRecord<'_>) -> Result<(u32, i64), TopicError> {
        let size = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
        if size > 1 << 30 {
            return Err(TopicError::TooLarge(size));
        }
        let partition = partition.unwrap_or_else(|| match record.key {
            Some(key) => partition_of(key, self.partitions()),
            None => self.shared.turn.fetch_add(1, Ordering::Relaxed) % self.partitions(),
        });
        let offset = self.log(partition)?.append(&record);
        Ok((partition, offset))
    }

    fn wake(&self) {
        for listener in self.shared.listeners.read().unwrap_or_else(PoisonError::into_inner).values() {
            listener();
        }
    }

    /// Calls `listener` after each append until the returned guard is dropped. It runs on the appending thread, so it
    /// should only wake another, and not use the topic.
    pub fn on_append(&self, listener: impl Fn() + Send + Sync + 'static) -> Listening {
        let number = self.shared.next_listener.fetch_add(1, Ordering::Relaxed);
        let mut listeners = self.shared.listeners.write().unwrap_or_else(PoisonError::into_inner);
        listeners.insert(number, Box::new(listener));
        Listening { topic: self.clone(), number }
    }

    /// A reader of a worker's partitions.
    pub fn read(&self, share: Share, start: Start) -> MemorySource {
        let cursors = (0..self.partitions())
            .filter(|p| share.has(u64::from(*p)))
            .filter_map(|partition| {
                let (first, next) = self.offsets(partition).ok()?;
                let offset = if start == Start::Earliest { first } else { next };
                Some(Position { partition, offset, sequence: 0 })
            })
            .collect();
        MemorySource { topic: self.clone(), cursors, turn: 0, missed: 0 }
    }

    fn log(&self, partition: u32) -> Result<MutexGuard<'_, Log>, TopicError> {
        match self.shared.partitions.get(partition as usize) {
            Some(log) => Ok(log.lock().unwrap_or_else(PoisonError::into_inner)),
            None => {
                Err(TopicError::Partition { name: self.name().to_owned(), partition, partitions: self.partitions() })
            }
        }
    }
}

/// Ends a listener when it is dropped.
pub struct Listening {
    topic: MemoryTopic,
    number: u64,
}

impl Drop for Listening {
    fn drop(&mut self) {
        let listeners = &self.topic.shared.listeners;
        listeners.write().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}

/// A reader of some partitions of a topic.
pub struct MemorySource {
    topic: MemoryTopic,
    cursors: Vec<Position>,
    /// The cursor to try first.
    turn: usize,
    missed: u64,
}

impl MemorySource {
    /// How many records were forgotten before they could be read.
    pub fn missed(&self) -> u64 {
        self.missed
    }
}

impl Source for MemorySource {
    fn poll(&mut self, limit: Limit) -> Result<Option<RecordBatch>, SourceError> {
        for i in 0..self.cursors.len() {
            let at = (self.turn + i) % self.cursors.len();
            let cursor = &mut self.cursors[at];
            let Ok(log) = self.topic.log(cursor.partition) else {
                continue;
            };
            // A compacted topic has no record at most offsets; nothing is missed there.
            if cursor.offset < log.first() && matches!(self.topic.cleanup(), Cleanup::Delete(_)) {
                let missed = log.first().abs_diff(cursor.offset);
                self.missed += missed;
                tracing::warn!(
                    topic = self.topic.name(),
                    partition = cursor.partition,
                    missed,
                    "records were forgotten before they were read"
                );
            }
            if let Some((batch, next)) = log.read(*cursor, limit) {
                *cursor = next;
                self.turn = at + 1;
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }

    fn positions(&self) -> Vec<Position> {
        self.cursors.clone()
    }

    fn seek(&mut self, position: Position) {
        if let Some(cursor) = self.cursors.iter_mut().find(|c| c.partition == position.partition) {
            *cursor = position;
        }
    }

    fn at_end(&self) -> bool {
        self.cursors.iter().all(|c| self.topic.offsets(c.partition).is_ok_and(|(_, next)| c.offset >= next))
    }
}
