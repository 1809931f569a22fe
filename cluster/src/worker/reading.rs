//! A declared source being read by one worker: its share of the topic, decoded.

use crate::command::Offset;
use crate::mesh::Place;
use crate::metrics::Metrics;
use crate::processing_log::{self, Entry, Level, Message, ProcessingLog};
use base64::Engine as _;
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use weir_dataflow::plan::Source;
use weir_dataflow::render::Reports;
use weir_dataflow::row::Batch;
use weir_ingest::decode::{DecodeOptions, Decoder, Part, Reject};
use weir_ingest::source::file::FileSource;
use weir_ingest::source::kafka::{KafkaConfig, KafkaSource};
use weir_ingest::source::lines::Layout;
use weir_ingest::source::memory::MemoryBroker;
use weir_ingest::source::partitions::Partitions;
use weir_ingest::source::{Limit, Share, Source as Records, SourceError, Start as From};

/// Where topics are: looked for in this order.
#[derive(Default)]
pub struct Topics {
    /// In files of JSON lines, each read to its end; then there are no others.
    pub files: Option<Files>,
    /// In the process; in a cluster, in process 0.
    pub memory: MemoryBroker,
    /// In Kafka.
    pub kafka: Option<KafkaConfig>,
}

/// Topics that are files.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// By topic.
    pub topics: BTreeMap<String, TopicFiles>,
    /// The field that is the record's timestamp.
    pub timestamp_field: Option<String>,
    /// Bytes that are read at once.
    pub chunk: Option<u64>,
}

/// A topic that is files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicFiles {
    /// One a partition.
    pub partitions: Vec<PathBuf>,
    /// Lines are whole records; else values, which have the keys too.
    pub records: bool,
}

impl TopicFiles {
    /// A file with a value a line.
    pub fn of_values(file: PathBuf) -> Self {
        TopicFiles { partitions: vec![file], records: false }
    }
}

/// Who reads.
pub struct Start<'a> {
    /// This worker, over all processes.
    pub worker: usize,
    /// All workers.
    pub peers: usize,
    /// The cluster.
    pub place: &'a Place,
}

/// What a poll brought.
#[derive(Clone, Copy, Debug, Default)]
pub struct Polled {
    /// Records read, rejected ones among them.
    pub records: u64,
    /// Records that did not fit their declaration.
    pub rejected: u64,
}

/// A topic that is not there is looked for again after this.
const AGAIN: Duration = Duration::from_millis(250);

/// See the module's head.
pub struct Reading {
    /// What is read.
    pub source: Source,
    /// The group of commands that wanted it.
    pub group: u64,
    /// It waits for tables.
    pub held: bool,
    offset: Offset,
    decoder: Decoder,
    demanded: Vec<usize>,
    records: Input,
}

enum Input {
    Wanted,
    /// The topic is not there; when it was last looked for.
    Missing(Share, usize, Instant),
    Open(Box<dyn Records>),
    /// Another process or no one reads it.
    Elsewhere,
}

impl Reading {
    /// A source that is to be read, and is not yet.
    pub fn wanted(source: Source, offset: Offset, group: u64) -> Self {
        let decoder = Decoder::new(&source);
        Reading { source, group, held: false, offset, decoder, demanded: Vec::new(), records: Input::Wanted }
    }

    /// Says which columns somebody reads.
    pub fn demand(&mut self, columns: &[usize]) {
        self.decoder.demand(columns);
        self.demanded = columns.to_vec();
    }

    /// Opens this worker's share of the topic. A topic in memory or Kafka that is not there is waited for.
    ///
    /// # Errors
    /// A file cannot be read, or there is none for the topic.
    pub fn open(&mut self, topics: &Topics, start: &Start<'_>) -> Result<(), SourceError> {
        if let Some(files) = &topics.files
            && files.topics.get(&self.source.topic.topic).is_some_and(|t| !t.records)
        {
            let options = DecodeOptions { keys_from_value: true, timestamp_field: files.timestamp_field.clone() };
            self.decoder = Decoder::with_options(&self.source, &options);
            self.decoder.demand(&self.demanded);
        }
        self.find(topics, Share { worker: start.worker, workers: start.peers }, start.place.workers)
    }

    fn find(&mut self, topics: &Topics, share: Share, local: usize) -> Result<(), SourceError> {
        let from = match self.offset {
            Offset::Earliest => From::Earliest,
            Offset::Latest => From::Latest,
        };
        let topic = &self.source.topic.topic;
        self.records = if let Some(files) = &topics.files {
            match files.topics.get(topic) {
                Some(TopicFiles { partitions, records }) => {
                    let chunk = files.chunk.unwrap_or(weir_ingest::source::file::CHUNK);
                    let mut opened = Vec::new();
                    for (partition, path) in (0..).zip(partitions) {
                        let file = FileSource::open(path, share, 0, chunk)?.as_partition(partition);
                        opened.push(if *records {
                            file.of_records(Layout::of(&self.source.topic, &self.source.schema))
                        } else {
                            file
                        });
                    }
                    Input::Open(Box::new(Partitions::new(opened)))
                }
                None => Input::Elsewhere,
            }
        } else if let Ok(topic) = topics.memory.topic(topic) {
            // Topics in memory are process 0's, whose workers come first.
            if share.worker < local {
                Input::Open(Box::new(topic.read(Share { worker: share.worker, workers: local }, from)))
            } else {
                Input::Elsewhere
            }
        } else if let Some(kafka) = topics.kafka.as_ref().filter(|_| topic != processing_log::TOPIC) {
            // The reader itself waits for a topic that is not there yet.
            Input::Open(Box::new(KafkaSource::open(kafka, topic, share, from)?))
        } else {
            Input::Missing(share, local, Instant::now())
        };
        Ok(())
    }

    /// True when this worker reads a share of it.
    pub fn is_open(&self) -> bool {
        matches!(self.records, Input::Open(_))
    }

    /// True when all that there is of it was handed in: for a file, for good.
    pub fn ended(&self) -> bool {
        match &self.records {
            Input::Open(records) => records.at_end(),
            Input::Wanted | Input::Missing(..) | Input::Elsewhere => true,
        }
    }

    /// The next records, within the limit, decoded, for each batch that was there; a batch may be empty.
    ///
    /// # Errors
    /// The source can be read no more.
    pub fn poll(
        &mut self,
        topics: &Topics,
        limit: Limit,
        metrics: &Metrics,
        log: &ProcessingLog,
        batches: &mut VecDeque<Batch>,
    ) -> Result<Polled, SourceError> {
        if let Input::Missing(share, local, since) = self.records {
            if since.elapsed() < AGAIN {
                return Ok(Polled::default());
            }
            // All of a topic that appears after it was asked for is new.
            self.offset = Offset::Earliest;
            self.find(topics, share, local)?;
        }
        let Input::Open(records) = &mut self.records else { return Ok(Polled::default()) };
        let Some(batch) = records.poll(limit)? else { return Ok(Polled::default()) };
        let mut rejects = Vec::new();
        let decoded = self.decoder.decode(&batch, &mut rejects);
        let polled = Polled { records: batch.records.len() as u64, rejected: rejects.len() as u64 };
        metrics.records_read(&self.source.name).inc_by(polled.records);
        metrics.bytes_read(&self.source.name).inc_by(batch.bytes.len() as u64);
        if polled.rejected > 0 {
            metrics.records_rejected(&self.source.name).inc_by(polled.rejected);
            rejects.iter().for_each(|reject| log.write(entry(&self.source.name, reject)));
        }
        batches.push_back(decoded);
        Ok(polled)
    }
}

/// A record that did not fit its declaration, as the processing log tells it.
fn entry(source: &str, reject: &Reject) -> Entry {
    let (target, bytes) = match reject.part {
        Part::Key => ("key", &reject.key),
        _ => ("value", &reject.value),
    };
    Entry {
        logger: format!("processing.{source}.source.deserializer"),
        level: Level::Error,
        time: reject.time,
        message: Message::Deserialization {
            target,
            error: format!("{} (partition {}, offset {})", reject.reason, reject.partition, reject.offset),
            record_b64: bytes.as_ref().map(|b| base64::engine::general_purpose::STANDARD.encode(b)),
            topic: reject.topic.to_string(),
        },
    }
}

/// Hands what the dataflows reported to the metrics and the processing log.
pub fn report(reports: &Reports, metrics: &Arc<Metrics>, log: &ProcessingLog) {
    for (view, late) in &reports.late {
        metrics.records_late(view).inc_by(*late);
    }
    for (view, failed) in &reports.failed {
        metrics.expression_errors(view).inc_by(*failed);
    }
    for (view, error, time) in &reports.errors {
        log.write(Entry {
            logger: format!("processing.{view}.expression"),
            level: Level::Error,
            time: *time,
            message: Message::RecordProcessing { error: error.clone(), record: None },
        });
    }
}
