//! Kafka: a view's changes as records of its topic.
//!
//! Keys and values are written in the view's formats, a record's timestamp is its row's ROWTIME, a row without a value
//! is a tombstone, and a key goes to the partition where a Java client would put it (murmur2). The producer is
//! idempotent and sends again for ever, so an outage of the brokers costs time and no record, and no key's records
//! change places.
//!
//! What is left out on purpose: nothing recognises a record that an earlier process wrote already, so the records
//! between the last checkpoint and a crash can be in the topic twice.

mod context;
#[cfg(test)]
mod tests;
mod topic;

use crate::{Chunk, Progress, Rejected, Sink, SinkError, Target};
use context::Context;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::producer::{FutureProducer, FutureRecord};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use weir_dataflow::plan::TopicSpec;
use weir_dataflow::row::encode::Encoder;

/// How topics are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Settings of librdkafka, `bootstrap.servers` at least.
    pub client: BTreeMap<String, String>,
    /// Partitions of a topic that is made, where the script does not say; 0: one.
    pub partitions: u32,
    /// Replicas of a topic that is made, where the script does not say; 0: one.
    pub replicas: u16,
    /// How long a windowed view keeps its windows, in milliseconds: its topic keeps records at least as long.
    pub retention_ms: Option<i64>,
}

/// Writes one view's changes to its topic.
pub struct KafkaSink {
    config: Config,
    target: Target,
    topic: TopicSpec,
    encoder: Encoder,
    context: Context,
    /// Made at the first flush, and again after an error that ends a producer.
    producer: Option<Producer>,
    /// The topic is known to be there.
    ready: bool,
    waiting: VecDeque<Record>,
    /// Rows that no record is made of, for the column of their timestamp has none.
    untimed: Vec<Rejected>,
    /// Given to the producer, oldest first, until acknowledged.
    flying: VecDeque<(Record, DeliveryFuture)>,
}

type Producer = FutureProducer<Context>;

/// A record as bytes.
#[derive(Debug)]
struct Record {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    time: i64,
}

/// How long to wait for an acknowledgement before the delay is reported; nothing is given up.
const PATIENCE: Duration = Duration::from_secs(5);

/// Settings that the sink relies on; they win over the configured ones.
const REQUIRED: &[(&str, &str)] = &[
    ("enable.idempotence", "true"),
    ("acks", "all"),
    // No limit: what cannot be sent now is sent when the brokers are back.
    ("message.timeout.ms", "0"),
    // As Java's producer, so that a key is in the partition where other programs look for it.
    ("partitioner", "murmur2_random"),
];

/// Settings for which a user's value is as good.
const PREFERRED: &[(&str, &str)] = &[
    ("client.id", "weir"),
    ("linger.ms", "5"),
    // The topic's own limit decides.
    ("message.max.bytes", "67108864"),
    ("queue.buffering.max.messages", "50000"),
    ("queue.buffering.max.kbytes", "65536"),
];

impl KafkaSink {
    /// A sink for the topic. Connects with the first flush.
    ///
    /// # Errors
    /// When the topic's formats cannot hold the view's columns.
    pub fn new(config: Config, target: Target, topic: TopicSpec) -> Result<Self, SinkError> {
        let encoder = Encoder::new(&target.schema, &topic).map_err(|e| SinkError::Failed(e.to_string()))?;
        Ok(KafkaSink {
            config,
            target,
            topic,
            encoder,
            context: Context::default(),
            producer: None,
            ready: false,
            waiting: VecDeque::new(),
            untimed: Vec::new(),
            flying: VecDeque::new(),
        })
    }

    fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        let typed = self.config.client.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        for (key, value) in PREFERRED.iter().copied().chain(typed).chain(REQUIRED.iter().copied()) {
            config.set(key, value);
        }
        config
    }

    /// Connects, and makes the topic if it is not there.
    async fn make_ready(&mut self) -> Result<Producer, SinkError> {
        let producer = match &self.producer {
            Some(producer) => producer.clone(),
            None => {
                let made = self.client_config().create_with_context(self.context.clone());
                let producer: Producer = made.map_err(|e| SinkError::Failed(format!("the Kafka producer: {e}")))?;
                self.producer.insert(producer).clone()
            }
        };
        if !self.ready {
            let wanted = topic::wanted(&self.config, &self.target, &self.topic);
            topic::make_ready(&self.client_config(), &self.context, &producer, wanted).await?;
            tracing::info!(view = %self.target.view, topic = %self.topic.topic, "topic is ready");
            self.ready = true;
        }
        Ok(producer)
    }

    /// Gives the producer as many records as it takes.
    fn launch(&mut self, producer: &Producer, progress: &mut Progress) -> Result<(), SinkError> {
        while let Some(record) = self.waiting.pop_front() {
            match producer.send_result(record.borrow(&self.topic.topic)) {
                Ok(acknowledgement) => self.flying.push_back((record, acknowledgement)),
                Err((error, _)) => match error.rdkafka_error_code() {
                    Some(RDKafkaErrorCode::QueueFull) if !self.flying.is_empty() => {
                        self.waiting.push_front(record);
                        break;
                    }
                    Some(code) if is_about_the_record(code) => self.reject(&record, &error, progress),
                    _ => {
                        self.waiting.push_front(record);
                        return Err(self.start_over(&error));
                    }
                },
            }
        }
        Ok(())
    }

    /// Waits for the oldest acknowledgement.
    async fn land(&mut self, progress: &mut Progress) -> Result<(), SinkError> {
        let Some((_, acknowledgement)) = self.flying.front_mut() else { return Ok(()) };
        let Ok(result) = tokio::time::timeout(PATIENCE, acknowledgement).await else {
            let reason = self.context.last_error().unwrap_or_else(|| "the brokers do not acknowledge".into());
            return Err(SinkError::Unavailable(reason));
        };
        let error = match result {
            Ok(Ok(_)) => {
                self.flying.pop_front();
                self.context.forget_error();
                progress.delivered += 1;
                return Ok(());
            }
            Ok(Err((error, _))) => error,
            // The producer is gone and so is what it held.
            Err(_) => KafkaError::Canceled,
        };
        if error.rdkafka_error_code().is_some_and(is_about_the_record) {
            if let Some((record, _)) = self.flying.pop_front() {
                self.reject(&record, &error, progress);
            }
            return Ok(());
        }
        Err(self.start_over(&error))
    }

    fn reject(&self, record: &Record, error: &KafkaError, progress: &mut Progress) {
        let document = record.value.as_deref().unwrap_or_default();
        progress.rejected.push(Rejected::new(&self.target, error.to_string(), document, record.time));
    }

    /// Takes back what was not acknowledged, in order, to give it to a new producer.
    fn start_over(&mut self, error: &KafkaError) -> SinkError {
        for (record, _) in self.flying.drain(..).rev() {
            self.waiting.push_front(record);
        }
        self.ready = false;
        if let Some(producer) = self.producer.take() {
            // Its end waits for callbacks.
            tokio::task::spawn_blocking(move || drop(producer));
        }
        let reason = format!("topic \"{}\": {error}", self.topic.topic);
        match error.rdkafka_error_code() {
            Some(code) if topic::is_for_somebody(code) => SinkError::Failed(reason),
            _ => SinkError::Unavailable(reason),
        }
    }
}

impl Record {
    fn borrow<'a>(&'a self, topic: &'a str) -> FutureRecord<'a, [u8], [u8]> {
        let mut record = FutureRecord::to(topic).timestamp(self.time.max(0));
        record.key = self.key.as_deref();
        record.payload = self.value.as_deref();
        record
    }
}

/// True when another record could well be taken.
fn is_about_the_record(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(code, Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::InvalidRecord | Code::InvalidTimestamp)
}

impl Sink for KafkaSink {
    fn accept(&mut self, chunk: Chunk) {
        for row in &chunk.rows {
            let (mut key, mut value) = (Vec::new(), Vec::new());
            let key = self.encoder.key(row, &mut key).then_some(key);
            let value = self.encoder.value(row, &mut value).then_some(value);
            match self.encoder.time(row) {
                Some(time) => self.waiting.push_back(Record { key, value, time }),
                None => {
                    let document = value.as_deref().unwrap_or_default();
                    let reason = "the column of its timestamp has no time from 1970 on";
                    self.untimed.push(Rejected::new(&self.target, reason, document, row.time));
                }
            }
        }
    }

    async fn flush(&mut self, progress: &mut Progress) -> Result<(), SinkError> {
        progress.rejected.append(&mut self.untimed);
        let producer = self.make_ready().await?;
        while !(self.waiting.is_empty() && self.flying.is_empty()) {
            self.launch(&producer, progress)?;
            self.land(progress).await?;
        }
        Ok(())
    }
}
