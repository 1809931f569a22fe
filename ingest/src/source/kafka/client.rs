//! How to reach a cluster, and what librdkafka has to say.

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How to reach a Kafka cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KafkaConfig {
    /// Properties of librdkafka by their names: `bootstrap.servers`, and what security takes.
    pub properties: BTreeMap<String, String>,
}

/// Why a cluster cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    /// A property that librdkafka does not take.
    #[error("cannot make a Kafka client: {0}; check the Kafka properties")]
    Client(String),
    /// The cluster did not answer, or said no.
    #[error("kafka: cannot {what}: {cause}")]
    Request {
        /// What was asked for.
        what: String,
        /// What librdkafka says.
        cause: String,
    },
    /// No such topic.
    #[error("topic '{0}' does not exist in Kafka; create it first")]
    UnknownTopic(String),
    /// There is a topic of this name.
    #[error("topic '{0}' already exists in Kafka")]
    TopicExists(String),
}

impl KafkaConfig {
    /// Brokers as `HOST:PORT,…`, without security.
    pub fn new(brokers: &str) -> Self {
        KafkaConfig { properties: [("bootstrap.servers".to_owned(), brokers.to_owned())].into() }
    }

    /// The brokers, for messages.
    pub fn brokers(&self) -> &str {
        let name = ["bootstrap.servers", "metadata.broker.list"].into_iter().find_map(|n| self.properties.get(n));
        name.map_or("", String::as_str)
    }

    /// With these properties; those of the user win, but for `forced` ones.
    pub(super) fn client(&self, defaults: &[(&str, &str)], forced: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (name, value) in defaults {
            config.set(*name, *value);
        }
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        for (name, value) in forced {
            config.set(*name, *value);
        }
        config.set_log_level(RDKafkaLogLevel::Warning);
        config
    }

    /// A consumer that belongs to no group and commits nothing.
    pub(super) fn consumer(&self) -> Result<BaseConsumer<Context>, KafkaError> {
        let defaults = [
            // An assignment needs the name of a group, although none is joined.
            ("group.id", "weir"),
            ("auto.offset.reset", "earliest"),
            ("queued.max.messages.kbytes", "32768"),
            // How long it fetches nothing once that much waits; a second unless told otherwise, in which all is read.
            ("fetch.queue.backoff.ms", "20"),
            ("reconnect.backoff.max.ms", "2000"),
        ];
        let forced = [
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("enable.partition.eof", "true"),
            ("allow.auto.create.topics", "false"),
        ];
        self.client(&defaults, &forced)
            .create_with_context(Context::default())
            .map_err(|e| KafkaError::Client(e.to_string()))
    }
}

impl KafkaError {
    pub(super) fn request(what: impl Into<String>, cause: &impl ToString) -> Self {
        KafkaError::Request { what: what.into(), cause: cause.to_string() }
    }
}

/// Passes on librdkafka's complaints, each kind at most every ten seconds.
#[derive(Default)]
pub(crate) struct Context {
    said: Mutex<HashMap<String, Instant>>,
}

const SAY_AGAIN: Duration = Duration::from_secs(10);

impl Context {
    /// Warns, unless something of this kind was said just now.
    pub(super) fn warn(&self, kind: &str, topic: &str, text: &str) {
        let now = Instant::now();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.get(kind).is_none_or(|at| now.duration_since(*at) >= SAY_AGAIN) {
            said.insert(kind.to_owned(), now);
            tracing::warn!(topic, "kafka: {text}");
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if level as i32 <= RDKafkaLogLevel::Warning as i32 {
            self.warn(facility, "", message);
        } else {
            tracing::debug!(facility, "kafka: {message}");
        }
    }

    /// The same errors come out of polling, where the topic is known.
    fn error(&self, _error: rdkafka::error::KafkaError, _reason: &str) {}
}

impl ConsumerContext for Context {}
