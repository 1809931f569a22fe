//! Kafka's topics, asked about and written to. What waits for the brokers does so on a thread of its own.

use super::{End, Listed, NewRow};
use crate::command::Subscription;
use crate::config;
use crate::connect::feed::{Feed, Followed, Setting, followed};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::producer::{FutureProducer, FutureRecord};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use weir_dataflow::bind::Catalog;
use weir_dataflow::plan::{View, ViewKind};
use weir_ingest::source::kafka::{KafkaConfig, KafkaError, KafkaSource, KafkaTopics};
use weir_ingest::source::{Share, Source, Start};
use weir_sinks::delivery::{Delivery, OnRejected, Options};
use weir_sinks::kafka::{Config as SinkConfig, KafkaSink};

/// How long the brokers may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait when as many records are under way as may be.
const FULL: Duration = Duration::from_millis(10);

/// A cluster.
pub(super) struct Kafka {
    config: KafkaConfig,
    topics: Arc<KafkaTopics>,
    producer: FutureProducer,
    /// Where outputs spill what the cluster cannot take yet.
    spill: PathBuf,
}

/// The properties of a cluster's clients.
pub(crate) fn client_config(config: &config::Kafka) -> KafkaConfig {
    let mut kafka = KafkaConfig::new(&config.servers);
    kafka.properties.extend(config.properties.iter().cloned());
    kafka
}

impl Kafka {
    pub(super) async fn connect(config: &config::Kafka, spill: PathBuf) -> Result<Self, String> {
        let config = client_config(config);
        let topics = KafkaTopics::new(&config, PATIENCE).map_err(|e| e.to_string())?;
        let producer = producer(&config)?;
        let kafka = Kafka { config, topics: Arc::new(topics), producer, spill };
        kafka.list().await.map_err(|e| format!("no answer from Kafka at {}: {e}", kafka.servers()))?;
        Ok(kafka)
    }

    /// Asks the cluster, on a thread that may wait.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&KafkaTopics) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T, String> {
        let topics = Arc::clone(&self.topics);
        match tokio::task::spawn_blocking(move || question(&topics)).await {
            Ok(answer) => answer.map_err(|e| e.to_string()),
            Err(ended) => Err(ended.to_string()),
        }
    }

    pub(super) async fn list(&self) -> Result<Vec<Listed>, String> {
        let narrow = |n: &u32| u16::try_from(*n).unwrap_or(u16::MAX);
        let all = self.ask(KafkaTopics::list).await?;
        Ok(all
            .into_iter()
            .map(|t| Listed { replicas: t.replicas.iter().map(narrow).collect(), name: t.name })
            .collect())
    }

    /// Partitions and replicas of a topic.
    pub(super) async fn shape(&self, name: &str) -> Result<Option<(u32, u16)>, String> {
        let name = name.to_owned();
        let found = self.ask(move |topics| topics.find(&name)).await?;
        let replicas = |r: &[u32]| r.first().map_or(1, |n| u16::try_from(*n).unwrap_or(u16::MAX));
        Ok(found.map(|t| (u32::try_from(t.replicas.len()).unwrap_or(u32::MAX), replicas(&t.replicas))))
    }

    pub(super) async fn create(
        &self,
        name: &str,
        partitions: Option<u32>,
        replicas: Option<u16>,
    ) -> Result<(), String> {
        let name = name.to_owned();
        self.ask(move |topics| match topics.create(&name, partitions, replicas, &[]) {
            // Somebody else was faster.
            Err(KafkaError::TopicExists(_)) => Ok(()),
            result => result,
        })
        .await
    }

    pub(super) async fn delete(&self, name: &str) -> Result<(), String> {
        let name = name.to_owned();
        self.ask(move |topics| match topics.delete(&name) {
            Err(KafkaError::UnknownTopic(_)) => Ok(()),
            result => result,
        })
        .await
    }

    pub(super) async fn ends(&self, name: &str) -> Result<Vec<End>, String> {
        let name = name.to_owned();
        let all = self
            .ask(move |topics| match topics.offsets(&name) {
                Err(KafkaError::UnknownTopic(_)) => Ok(Vec::new()),
                result => result,
            })
            .await?;
        Ok(all.into_iter().map(|p| End { partition: p.partition, first: p.first, next: p.next }).collect())
    }

    pub(super) async fn read(&self, topic: &str, start: Start) -> Result<Option<Box<dyn Source>>, String> {
        if self.shape(topic).await?.is_none() {
            return Ok(None);
        }
        let source = KafkaSource::open(&self.config, topic, Share::ALL, start).map_err(|e| e.to_string())?;
        Ok(Some(Box::new(source)))
    }

    /// Writes records and waits until the brokers have all of them, however long they are away.
    pub(super) async fn append(&self, topic: &str, rows: &[NewRow]) -> Result<(), String> {
        let failed = |error: &ClientError| format!("a record cannot be written to topic '{topic}': {error}");
        let mut under_way = Vec::with_capacity(rows.len());
        for row in rows {
            let mut record = FutureRecord::<[u8], [u8]> {
                topic,
                partition: None,
                payload: row.value.as_deref(),
                key: row.key.as_deref(),
                timestamp: Some(row.time),
                headers: None,
            };
            loop {
                match self.producer.send_result(record) {
                    Ok(acknowledged) => break under_way.push(acknowledged),
                    Err((ClientError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                        record = back;
                        tokio::time::sleep(FULL).await;
                    }
                    Err((error, _)) => return Err(failed(&error)),
                }
            }
        }
        for acknowledged in under_way {
            match acknowledged.await {
                Ok(Ok(_)) => {}
                Ok(Err((error, _))) => return Err(failed(&error)),
                Err(_) => return Err(format!("a record for topic '{topic}' was given up: the server ends")),
            }
        }
        Ok(())
    }

    pub(super) fn begin_output(&self, view: &View, shape: (u32, u16), first: Subscription, setting: Setting) -> Feed {
        let (name, generation, spill) = (view.name.clone(), setting.generation, self.spill.clone());
        let retention_ms = match &view.kind {
            ViewKind::Aggregate(aggregate) => aggregate.window.map(|w| w.retention_ms),
            ViewKind::Stream(_) | ViewKind::Table(_) => None,
        };
        let client: BTreeMap<String, String> = self.config.properties.clone();
        let config = SinkConfig { client, partitions: shape.0, replicas: shape.1, retention_ms };
        let find =
            move |catalog: &Catalog| catalog.get(&name).filter(|e| e.view().is_some()).map(|e| followed(e, generation));
        let make = move |followed: &Followed, on_rejected: OnRejected| {
            let sink = KafkaSink::new(config.clone(), followed.target.clone(), followed.topic.clone())
                .map_err(|e| e.to_string())?;
            let runtime = tokio::runtime::Handle::current();
            Ok(Delivery::start(sink, &followed.target, Options::new(&spill), on_rejected, &runtime))
        };
        Feed::start(setting, Box::new(find), Box::new(make), Some(first))
    }

    pub(super) fn servers(&self) -> String {
        self.config.brokers().to_owned()
    }
}

/// A producer that gives nothing up and puts each key where Java's producer does.
fn producer(config: &KafkaConfig) -> Result<FutureProducer, String> {
    let mut client = ClientConfig::new();
    // A record's size is for the topic to judge.
    client.set("client.id", "weir").set("linger.ms", "5").set("message.max.bytes", "67108864");
    for (name, value) in &config.properties {
        client.set(name, value);
    }
    client.set("enable.idempotence", "true").set("acks", "all").set("message.timeout.ms", "0");
    client.set("partitioner", "murmur2_random");
    client.create().map_err(|e| format!("cannot make a Kafka client: {e}; check the Kafka properties"))
}
