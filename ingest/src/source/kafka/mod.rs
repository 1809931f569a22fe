//! Kafka, through librdkafka.
//!
//! A [`KafkaSource`] assigns itself its worker's partitions of one topic; there is no consumer group. A thread of its own
//! looks for the topic and for partitions that are added. A broker that goes away is waited for: librdkafka connects
//! again, and reading goes on behind the last record. [`KafkaTopics`] lists, creates and deletes topics.

mod client;
mod discovery;
mod reader;
mod topics;

pub use client::{KafkaConfig, KafkaError};
pub use reader::KafkaSource;
pub use topics::{KafkaTopic, KafkaTopics, PartitionOffsets};
