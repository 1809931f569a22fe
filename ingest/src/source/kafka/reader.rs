//! A worker's partitions of a topic.

use super::client::{Context, KafkaConfig, KafkaError};
use super::discovery::{Discovery, Found};
use super::topics::PartitionOffsets;
use crate::record::{Record, RecordBatch, Slice};
use crate::source::{Limit, Position, Share, Source, SourceError, Start};
use bytes::Bytes;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Reads a worker's partitions of a topic, which need not exist yet.
pub struct KafkaSource {
    topic: String,
    share: Share,
    start: Start,
    consumer: Arc<BaseConsumer<Context>>,
    discovery: Discovery,
    partitions: BTreeMap<u32, Partition>,
    /// Where partitions start that are not found yet.
    sought: BTreeMap<u32, Position>,
    /// Read and not returned.
    ready: VecDeque<RecordBatch>,
    /// Whether all partitions of the topic are known, or that there is no topic.
    complete: bool,
}

struct Partition {
    /// Behind what was returned.
    position: Position,
    /// Sequence number of the batch that is read next.
    sequence: u64,
    /// All that was there when the partition was found has been read, or the broker said that there is no more.
    at_end: bool,
    /// Where the partition ended when it was found: one that is written all the time is never seen to be at its end.
    high: i64,
    /// What of it is being read.
    filling: Filling,
}

#[derive(Default)]
struct Filling {
    bytes: Vec<u8>,
    records: Vec<Record>,
    headers: Vec<(u32, String, Option<Bytes>)>,
}

impl KafkaSource {
    /// Starts to look for the topic. A topic or partition that comes later is read from its beginning.
    ///
    /// # Errors
    /// When librdkafka does not take the properties.
    pub fn open(config: &KafkaConfig, topic: &str, share: Share, start: Start) -> Result<Self, KafkaError> {
        let consumer = Arc::new(config.consumer()?);
        let discovery = Discovery::start(&consumer, topic.to_owned())?;
        Ok(KafkaSource {
            topic: topic.to_owned(),
            share,
            start,
            consumer,
            discovery,
            partitions: BTreeMap::new(),
            sought: BTreeMap::new(),
            ready: VecDeque::new(),
            complete: false,
        })
    }

    /// Starts to read what was found.
    fn assign_found(&mut self) -> Result<(), SourceError> {
        let mut positions = Vec::new();
        for found in self.discovery.found() {
            self.complete = true;
            let Found::Partitions { new, initial } = found else {
                continue;
            };
            for PartitionOffsets { partition, first, next } in new {
                if self.share.has(u64::from(partition)) {
                    let offset = if initial && self.start == Start::Latest { next } else { first };
                    let from = Position { partition, offset, sequence: 0 };
                    positions.push((self.sought.remove(&partition).unwrap_or(from), next));
                }
            }
        }
        if !positions.is_empty() {
            let list: Vec<Position> = positions.iter().map(|p| p.0).collect();
            self.assign(&list)?;
            for (position, next) in positions {
                let at_end = position.offset >= next;
                let partition = Partition {
                    position,
                    sequence: position.sequence,
                    at_end,
                    high: next,
                    filling: Filling::default(),
                };
                self.partitions.insert(position.partition, partition);
            }
        }
        Ok(())
    }

    fn assign(&self, positions: &[Position]) -> Result<(), SourceError> {
        let list = self.list(positions)?;
        self.consumer.incremental_assign(&list).map_err(|e| self.error("assign partitions", &e))
    }

    fn list(&self, positions: &[Position]) -> Result<TopicPartitionList, SourceError> {
        let mut list = TopicPartitionList::with_capacity(positions.len());
        for p in positions {
            list.add_partition_offset(&self.topic, p.partition as i32, Offset::Offset(p.offset))
                .map_err(|e| self.error("start at an offset", &e))?;
        }
        Ok(list)
    }

    fn error(&self, what: &str, cause: &ClientError) -> SourceError {
        KafkaError::request(format!("{what} of topic '{}'", self.topic), cause).into()
    }

    /// Reads what is there, up to the limit, into `ready`.
    fn drain(&mut self, limit: Limit) -> Result<(), SourceError> {
        let (mut records, mut bytes) = (0, 0);
        while records < limit.records && bytes < limit.bytes {
            match self.consumer.poll(Duration::ZERO) {
                None => break,
                Some(Ok(message)) => {
                    let partition = u32::try_from(message.partition()).ok();
                    if let Some(partition) = partition.and_then(|p| self.partitions.get_mut(&p)) {
                        bytes += partition.filling.push(&message);
                        records += 1;
                        partition.at_end = message.offset() + 1 >= partition.high;
                    }
                }
                Some(Err(ClientError::PartitionEOF(partition))) => {
                    let partition = u32::try_from(partition).ok();
                    if let Some(partition) = partition.and_then(|p| self.partitions.get_mut(&p)) {
                        partition.at_end = true;
                    }
                }
                Some(Err(error @ ClientError::MessageConsumptionFatal(_))) => return Err(self.error("read", &error)),
                Some(Err(error)) => {
                    let text = error.to_string();
                    self.consumer.context().warn(&text, &self.topic, &text);
                }
            }
        }
        for (number, partition) in &mut self.partitions {
            if !partition.filling.records.is_empty() {
                let Filling { bytes, records, headers } = std::mem::take(&mut partition.filling);
                let sequence = partition.sequence;
                partition.sequence += 1;
                let bytes = Bytes::from(bytes);
                self.ready.push_back(RecordBatch { partition: *number, sequence, bytes, records, headers });
            }
        }
        Ok(())
    }
}

impl Source for KafkaSource {
    fn poll(&mut self, limit: Limit) -> Result<Option<RecordBatch>, SourceError> {
        self.assign_found()?;
        if self.ready.is_empty() {
            self.drain(limit)?;
        }
        let Some(batch) = self.ready.pop_front() else {
            return Ok(None);
        };
        if let (Some(partition), Some(last)) = (self.partitions.get_mut(&batch.partition), batch.records.last()) {
            partition.position.offset = last.offset + 1;
            partition.position.sequence = batch.sequence + 1;
        }
        Ok(Some(batch))
    }

    fn positions(&self) -> Vec<Position> {
        self.partitions.values().map(|p| p.position).chain(self.sought.values().copied()).collect()
    }

    fn seek(&mut self, position: Position) {
        // A run that goes on: a partition without a position came after that was saved.
        self.start = Start::Earliest;
        let Some(partition) = self.partitions.get_mut(&position.partition) else {
            self.sought.insert(position.partition, position);
            return;
        };
        partition.position = position;
        partition.sequence = position.sequence;
        partition.at_end = false;
        partition.filling = Filling::default();
        self.ready.retain(|b| b.partition != position.partition);
        // Assigned anew, for then librdkafka forgets what it fetched ahead.
        let again = self.list(&[position]).and_then(|list| {
            self.consumer.incremental_unassign(&list).map_err(|e| self.error("leave partitions", &e))?;
            self.assign(&[position])
        });
        if let Err(error) = again {
            self.consumer.context().warn("seek", &self.topic, &error.to_string());
        }
    }

    fn at_end(&self) -> bool {
        self.complete && self.ready.is_empty() && self.partitions.values().all(|p| p.at_end)
    }
}

impl Filling {
    /// Adds a record; its size in bytes.
    fn push(&mut self, message: &BorrowedMessage<'_>) -> usize {
        let before = self.bytes.len();
        let mut add = |part: &[u8]| {
            let start = self.bytes.len() as u32;
            self.bytes.extend_from_slice(part);
            Slice { start, end: self.bytes.len() as u32 }
        };
        let (key, value) = (message.key().map(&mut add), message.payload().map(&mut add));
        let number = self.records.len() as u32;
        // A record from before Kafka 0.10 has no time; no row can be made of it.
        let time = message.timestamp().to_millis().unwrap_or(-1);
        self.records.push(Record { key, value, time, offset: message.offset() });
        if let Some(headers) = message.headers() {
            let header = |h: rdkafka::message::Header<'_, &[u8]>| {
                (number, h.key.to_owned(), h.value.map(Bytes::copy_from_slice))
            };
            self.headers.extend(headers.iter().map(header));
        }
        self.bytes.len() - before
    }
}
