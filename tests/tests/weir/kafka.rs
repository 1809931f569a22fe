//! A test's own Kafka client: make topics, write records, read a topic to its end.

use crate::program::wait_for;
use anyhow::{Context as _, Result, bail, ensure};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

/// A record as read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Record {
    pub(crate) partition: i32,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) time: Option<i64>,
}

/// A broker's client.
pub(crate) struct Broker {
    address: String,
    producer: ThreadedProducer<rdkafka::producer::DefaultProducerContext>,
}

impl Broker {
    /// A client of the broker at `HOST:PORT`.
    pub(crate) fn connect(address: &str) -> Result<Broker> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", address)
            .set("linger.ms", "5")
            .set("message.max.bytes", "8000000")
            .create()?;
        Ok(Broker { address: address.to_owned(), producer })
    }

    /// Makes a topic.
    pub(crate) fn create_topic(&self, name: &str, partitions: i32) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", &self.address).create()?;
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let results = runtime.block_on(admin.create_topics([&topic], &AdminOptions::new()))?;
        for result in results {
            if let Err((topic, code)) = result {
                bail!("cannot create topic '{topic}': {code}");
            }
        }
        // The controller has it; the broker tells of it when it has heard.
        wait_for(LIMIT, name, || {
            let metadata = admin.inner().fetch_metadata(Some(name), LIMIT)?;
            let known = metadata.topics().iter().any(|t| t.error().is_none() && !t.partitions().is_empty());
            Ok(ensure!(known, "not known to the broker"))
        })
    }

    /// Queues a record; [`Broker::flush`] waits for all of them.
    pub(crate) fn send(&self, topic: &str, key: Option<&[u8]>, value: Option<&[u8]>, time: i64) -> Result<()> {
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic).timestamp(time);
        if let Some(key) = key {
            record = record.key(key);
        }
        if let Some(value) = value {
            record = record.payload(value);
        }
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(rdkafka::types::RDKafkaErrorCode::QueueFull), r)) => {
                    record = r;
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err((error, _)) => return Err(error).with_context(|| format!("cannot write to '{topic}'")),
            }
        }
    }

    /// Waits until all queued records are written.
    pub(crate) fn flush(&self) -> Result<()> {
        self.producer.flush(LIMIT).context("records are still not written")
    }

    fn consumer(&self) -> Result<BaseConsumer> {
        Ok(ClientConfig::new()
            .set("bootstrap.servers", &self.address)
            .set("group.id", "weir-tests")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .create()?)
    }

    /// How many partitions a topic has.
    pub(crate) fn partitions(&self, topic: &str) -> Result<usize> {
        let metadata = self.consumer()?.fetch_metadata(Some(topic), LIMIT)?;
        Ok(metadata.topics().first().map(|t| t.partitions().len()).unwrap_or_default())
    }

    /// All records of a topic, partition by partition.
    pub(crate) fn read(&self, topic: &str) -> Result<Vec<Record>> {
        let (consumer, partitions) = (self.consumer()?, self.partitions(topic)?);
        let mut records = Vec::new();
        for partition in 0..i32::try_from(partitions)? {
            let (low, high) = consumer.fetch_watermarks(topic, partition, LIMIT)?;
            let mut assignment = TopicPartitionList::new();
            assignment.add_partition_offset(topic, partition, Offset::Offset(low))?;
            consumer.assign(&assignment)?;
            let mut next = low;
            while next < high {
                let polled = consumer.poll(LIMIT).with_context(|| format!("'{topic}' ends at {next} of {high}"))?;
                let message = match polled {
                    // The last offsets may be a transaction's marks, which are no records.
                    Err(KafkaError::PartitionEOF(_)) => break,
                    other => other?,
                };
                next = message.offset() + 1;
                records.push(Record {
                    partition,
                    key: message.key().map(<[u8]>::to_vec),
                    value: message.payload().map(<[u8]>::to_vec),
                    time: message.timestamp().to_millis(),
                });
            }
        }
        Ok(records)
    }
}
