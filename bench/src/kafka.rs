//! The load in Kafka: topics of the test's own, filled before a run or at a rate.

use crate::clicks::{Load, Texts};
use anyhow::{Context, ensure};
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use std::time::{Duration, Instant};
use weir_ingest::source::kafka::{KafkaConfig, KafkaTopics};

const PATIENCE: Duration = Duration::from_secs(30);
const FLUSH: Duration = Duration::from_secs(300);

/// The topics of one load.
pub(crate) struct Topics<'a> {
    pub(crate) brokers: &'a str,
    pub(crate) prefix: &'a str,
    pub(crate) partitions: u32,
}

impl Topics<'_> {
    fn names(&self) -> [String; 3] {
        ["clickstream", "clickstream_users", "clickstream_codes"].map(|name| format!("{}{name}", self.prefix))
    }

    /// Creates the topics and fills those of the tables.
    pub(crate) fn create(&self, load: &Load) -> anyhow::Result<()> {
        let topics = KafkaTopics::new(&KafkaConfig::new(self.brokers), PATIENCE)?;
        let [clicks, users, codes] = self.names();
        topics.create(&clicks, Some(self.partitions), Some(1), &[])?;
        let producer = self.producer()?;
        let tables: [(&String, Vec<_>); 2] = [(&users, load.users().collect()), (&codes, load.codes().collect())];
        for (name, rows) in tables {
            topics.create(name, Some(1), Some(1), &[("cleanup.policy", "compact")])?;
            for (key, value) in rows {
                let key = key.to_be_bytes();
                let record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(name).key(&key[..]).payload(value.as_bytes());
                send(&producer, record.timestamp(0))?;
            }
        }
        producer.flush(FLUSH).context("the tables' records are still not written")
    }

    /// Deletes the topics.
    pub(crate) fn delete(&self) -> anyhow::Result<()> {
        let topics = KafkaTopics::new(&KafkaConfig::new(self.brokers), PATIENCE)?;
        self.names().iter().try_for_each(|name| topics.delete(name)).map_err(Into::into)
    }

    /// Writes the clicks, as fast as possible, or each when it is due: from a time on, so many a second.
    pub(crate) fn fill(&self, load: &Load, pace: Option<(Instant, u64)>) -> anyhow::Result<()> {
        let (producer, texts, [topic, ..]) = (self.producer()?, Texts::new(load), self.names());
        let mut value = Vec::new();
        for click in load.clicks() {
            if let Some((start, rate)) = pace
                && click.number.is_multiple_of(32)
            {
                let due = start + Duration::from_secs_f64(click.number as f64 / rate as f64);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            value.clear();
            texts.value(&click, &mut value);
            let partition = i32::try_from(click.number % u64::from(self.partitions))?;
            let record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&topic).partition(partition);
            send(&producer, record.payload(&value).timestamp(click.time))?;
        }
        producer.flush(FLUSH).context("clicks are still not written")?;
        let offsets = KafkaTopics::new(&KafkaConfig::new(self.brokers), PATIENCE)?.offsets(&topic)?;
        let written: i64 = offsets.iter().map(|o| o.next - o.first).sum();
        ensure!(u64::try_from(written) == Ok(load.clicks), "the topic has {written} of {} clicks", load.clicks);
        Ok(())
    }

    fn producer(&self) -> anyhow::Result<ThreadedProducer<DefaultProducerContext>> {
        let settings = [("linger.ms", "5"), ("batch.size", "524288"), ("queue.buffering.max.kbytes", "262144")];
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.brokers);
        settings.into_iter().for_each(|(name, value)| {
            config.set(name, value);
        });
        config.create().context("cannot make a producer")
    }
}

fn send(producer: &ThreadedProducer<DefaultProducerContext>, record: BaseRecord<'_, [u8], [u8]>) -> anyhow::Result<()> {
    let mut next = record;
    loop {
        match producer.send(next) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => {
                next = again;
                std::thread::sleep(Duration::from_millis(2));
            }
            Err((error, _)) => return Err(error).context("a record cannot be written to Kafka"),
        }
    }
}
