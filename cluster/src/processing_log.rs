//! The processing log: what could not be read, computed or delivered, and why; queryable as KSQL_PROCESSING_LOG.
//!
//! Whoever meets a bad record hands an [`Entry`] to a [`ProcessingLog`], which never blocks and never grows: what
//! it has no room for is counted and dropped. One task takes the entries out and appends each, as JSON in ksqlDB's
//! shape, to a topic of the process, over which the stream is declared.

use crate::metrics::Metrics;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::mpsc;

/// The stream's topic.
pub const TOPIC: &str = "default_ksql_processing_log";

/// The stream's name.
pub const STREAM: &str = "KSQL_PROCESSING_LOG";

/// The statement that declares the stream.
pub const DECLARATION: &str = "CREATE STREAM KSQL_PROCESSING_LOG (
    logger VARCHAR, level VARCHAR, time BIGINT,
    message STRUCT<
        type INT,
        deserializationError STRUCT<
            target VARCHAR, errorMessage VARCHAR, recordB64 VARCHAR, cause ARRAY<VARCHAR>, `topic` VARCHAR>,
        recordProcessingError STRUCT<errorMessage VARCHAR, record VARCHAR, cause ARRAY<VARCHAR>>,
        productionError STRUCT<errorMessage VARCHAR>,
        serializationError STRUCT<
            target VARCHAR, errorMessage VARCHAR, record VARCHAR, cause ARRAY<VARCHAR>, `topic` VARCHAR>,
        kafkaStreamsThreadError STRUCT<errorMessage VARCHAR, threadName VARCHAR, cause ARRAY<VARCHAR>>>
) WITH (KAFKA_TOPIC = 'default_ksql_processing_log', VALUE_FORMAT = 'JSON', PARTITIONS = 1);";

/// Entries that may wait to be written.
const ROOM: usize = 4096;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// A record, a row or a value was left out.
    Error,
    /// Nothing was left out.
    Warn,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A record does not fit its declaration.
    Deserialization {
        /// `key` or `value`.
        target: &'static str,
        /// What is wrong.
        error: String,
        /// The record's bytes in base64, perhaps only their start.
        record_b64: Option<String>,
        /// The topic.
        topic: String,
    },
    /// An expression failed for a row.
    RecordProcessing {
        /// What is wrong.
        error: String,
        /// The row as JSON, when it is known.
        record: Option<String>,
    },
    /// A sink did not take a change.
    Production {
        /// What the other side said.
        error: String,
    },
    /// A row cannot be written in its format.
    Serialization {
        /// `key` or `value`.
        target: &'static str,
        /// What is wrong.
        error: String,
        /// The row as text.
        record: Option<String>,
        /// The topic.
        topic: String,
    },
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Who met it: `processing.CTAS_X_1.Project`, `processing.CLICKSTREAM.source.deserializer`, a connector's name.
    pub logger: String,
    /// How bad.
    pub level: Level,
    /// When, in milliseconds since the epoch.
    pub time: i64,
    /// What.
    pub message: Message,
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut message = json!({
            "type": 0, "deserializationError": null, "recordProcessingError": null, "productionError": null,
            "serializationError": null, "kafkaStreamsThreadError": null,
        });
        let (number, field, body) = match &self.message {
            Message::Deserialization { target, error, record_b64, topic } => {
                let body = json!({"target": target, "errorMessage": error, "recordB64": record_b64, "cause": [], "topic": topic});
                (0, "deserializationError", body)
            }
            Message::RecordProcessing { error, record } => {
                (1, "recordProcessingError", json!({"errorMessage": error, "record": record, "cause": []}))
            }
            Message::Production { error } => (2, "productionError", json!({"errorMessage": error})),
            Message::Serialization { target, error, record, topic } => {
                let body =
                    json!({"target": target, "errorMessage": error, "record": record, "cause": [], "topic": topic});
                (3, "serializationError", body)
            }
        };
        message["type"] = Value::from(number);
        message[field] = body;
        let level = match self.level {
            Level::Error => "ERROR",
            Level::Warn => "WARN",
        };
        json!({"level": level, "logger": self.logger, "time": self.time, "message": message}).serialize(serializer)
    }
}

/// Where entries are handed in. Cheap to clone.
#[derive(Clone)]
pub struct ProcessingLog {
    sender: mpsc::Sender<Entry>,
    metrics: Arc<Metrics>,
}

impl ProcessingLog {
    /// A log and its other end, from which entries are taken to be written.
    pub fn new(metrics: Arc<Metrics>) -> (ProcessingLog, mpsc::Receiver<Entry>) {
        let (sender, receiver) = mpsc::channel(ROOM);
        (ProcessingLog { sender, metrics }, receiver)
    }

    /// Hands in an entry. Never blocks: with no room left the entry is counted and dropped.
    pub fn write(&self, entry: Entry) {
        tracing::debug!(logger = %entry.logger, "{:?}", entry.message);
        if self.sender.try_send(entry).is_err() {
            self.metrics.processing_log_dropped.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_ksqldbs_shape() {
        let entry = Entry {
            logger: "processing.C.source.deserializer".into(),
            level: Level::Error,
            time: 12,
            message: Message::Deserialization {
                target: "value",
                error: "no".into(),
                record_b64: Some("eA==".into()),
                topic: "c".into(),
            },
        };
        expect_test::expect![[r#"{"level":"ERROR","logger":"processing.C.source.deserializer","time":12,"message":{"type":0,"deserializationError":{"target":"value","errorMessage":"no","recordB64":"eA==","cause":[],"topic":"c"},"recordProcessingError":null,"productionError":null,"serializationError":null,"kafkaStreamsThreadError":null}}"#]]
            .assert_eq(&serde_json::to_string(&entry).unwrap());
    }

    #[test]
    fn a_full_log_counts_and_goes_on() {
        let metrics = Arc::new(Metrics::default());
        let (log, receiver) = ProcessingLog::new(Arc::clone(&metrics));
        let entry = Entry {
            logger: "l".into(),
            level: Level::Warn,
            time: 0,
            message: Message::Production { error: "e".into() },
        };
        for _ in 0..ROOM + 5 {
            log.write(entry.clone());
        }
        assert_eq!(metrics.processing_log_dropped.get(), 5);
        assert_eq!(receiver.len(), ROOM);
    }
}
