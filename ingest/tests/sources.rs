//! What every source must do, run on each of them. Kafka is librdkafka's simulated cluster, and also a real broker when
//! `WEIR_TEST_KAFKA` names one (`127.0.0.1:9092`).

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking, and says when it is skipped")]

use bytes::Bytes;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use weir_ingest::source::file::FileSource;
use weir_ingest::source::kafka::{KafkaConfig, KafkaSource, KafkaTopics, PartitionOffsets};
use weir_ingest::source::memory::{Cleanup, MemoryBroker, MemoryTopic, NewRecord, TopicError};
use weir_ingest::source::{Limit, Position, Share, Source, Start};

/// A record as it is sent and as it comes back.
#[derive(Clone, Debug, PartialEq)]
struct Sent {
    partition: u32,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    time: i64,
    headers: Vec<(String, Option<Bytes>)>,
}

/// A topic of one kind, with as many partitions as it wants.
trait Topic {
    fn partitions(&self) -> u32;
    /// Records can be appended while it is read, and have keys, times and headers.
    fn is_log(&self) -> bool;
    fn append(&mut self, records: &[Sent]);
    fn open(&self, share: Share, start: Start) -> Box<dyn Source>;
}

struct Memory(MemoryTopic);

impl Topic for Memory {
    fn partitions(&self) -> u32 {
        self.0.partitions()
    }
    fn is_log(&self) -> bool {
        true
    }
    fn append(&mut self, records: &[Sent]) {
        for r in records {
            let record =
                NewRecord { key: r.key.as_deref(), value: r.value.as_deref(), time: r.time, headers: &r.headers };
            self.0.append(Some(r.partition), record).unwrap();
        }
    }
    fn open(&self, share: Share, start: Start) -> Box<dyn Source> {
        Box::new(self.0.read(share, start))
    }
}

struct File(tempfile::TempDir);

impl Topic for File {
    fn partitions(&self) -> u32 {
        1
    }
    fn is_log(&self) -> bool {
        false
    }
    fn append(&mut self, records: &[Sent]) {
        let lines: Vec<String> =
            records.iter().map(|r| String::from_utf8(r.value.clone().unwrap()).unwrap() + "\n").collect();
        std::fs::write(self.0.path().join("f"), lines.concat()).unwrap();
    }
    fn open(&self, share: Share, _: Start) -> Box<dyn Source> {
        Box::new(FileSource::open(&self.0.path().join("f"), share, 7, 1000).unwrap())
    }
}

struct Kafka {
    config: KafkaConfig,
    name: String,
    producer: BaseProducer,
    partitions: u32,
}

impl Kafka {
    fn new(brokers: &str, name: &str, partitions: u32) -> Self {
        let config = KafkaConfig::new(brokers);
        let mut client = rdkafka::ClientConfig::new();
        client.set("bootstrap.servers", brokers).set("linger.ms", "0").set("topic.metadata.refresh.interval.ms", "500");
        Kafka { config, name: name.into(), producer: client.create().unwrap(), partitions }
    }
}

impl Topic for Kafka {
    fn partitions(&self) -> u32 {
        self.partitions
    }
    fn is_log(&self) -> bool {
        true
    }
    fn append(&mut self, records: &[Sent]) {
        for r in records {
            let mut record = BaseRecord::<[u8], [u8]>::to(&self.name).partition(r.partition as i32).timestamp(r.time);
            record.key = r.key.as_deref();
            record.payload = r.value.as_deref();
            if !r.headers.is_empty() {
                let headers = OwnedHeaders::new_with_capacity(r.headers.len());
                record = record.headers(r.headers.iter().fold(headers, |all, (key, value)| {
                    all.insert(Header { key, value: value.as_ref().map(|v| &v[..]) })
                }));
            }
            self.producer.send(record).map_err(|e| e.0).unwrap();
        }
        self.producer.flush(Duration::from_secs(20)).unwrap();
    }
    fn open(&self, share: Share, start: Start) -> Box<dyn Source> {
        Box::new(KafkaSource::open(&self.config, &self.name, share, start).unwrap())
    }
}

/// One record as it was read: sequence number of its batch, offset, record.
type Got = (u64, i64, Sent);

const PATIENCE: Duration = Duration::from_secs(20);

/// Polls once and checks the batch.
fn poll(source: &mut dyn Source, limit: Limit, is_log: bool) -> Option<Vec<Got>> {
    let before: BTreeMap<u32, Position> = source.positions().into_iter().map(|p| (p.partition, p)).collect();
    let batch = source.poll(limit).unwrap()?;
    assert!(!is_log || !batch.records.is_empty() && batch.records.len() <= limit.records);
    assert!(batch.records.is_sorted_by(|a, b| a.offset < b.offset));
    if let Some(before) = before.get(&batch.partition) {
        assert_eq!(before.sequence, batch.sequence);
        assert!(batch.records.iter().all(|r| r.offset >= before.offset));
    }
    let after = source.positions().into_iter().find(|p| p.partition == batch.partition).unwrap();
    assert!(batch.records.iter().all(|r| r.offset < after.offset) && after.sequence > batch.sequence);
    let records = batch.records.iter().enumerate().map(|(i, r)| {
        let headers = batch.headers.iter().filter(|h| h.0 as usize == i).map(|(_, n, v)| (n.clone(), v.clone()));
        let sent = Sent {
            partition: batch.partition,
            key: r.key.map(|s| batch.slice(s).to_vec()),
            value: r.value.map(|s| batch.slice(s).to_vec()),
            time: r.time,
            headers: headers.collect(),
        };
        (batch.sequence, r.offset, sent)
    });
    Some(records.collect())
}

/// Polls until there are `n` records and the end is reached.
fn read(source: &mut dyn Source, n: usize, is_log: bool) -> Vec<Got> {
    let limit = Limit { records: 7, bytes: 1 << 20 };
    let since = Instant::now();
    let mut all = Vec::new();
    while all.len() < n || !source.at_end() {
        let at = || (source.positions(), source.at_end());
        assert!(since.elapsed() < PATIENCE, "{} of {n} records, positions and end: {:?}", all.len(), at());
        match poll(source, limit, is_log) {
            Some(records) => all.extend(records),
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    }
    assert_eq!(all.len(), n);
    all
}

/// Waits until a source knows its partitions, and reads nothing.
fn wait_for_end(source: &mut dyn Source, is_log: bool) {
    assert!(read(source, 0, is_log).is_empty());
}

/// Records for all partitions, from number `from` on.
fn records(topic: &dyn Topic, from: u32, n: u32) -> Vec<Sent> {
    (from..from + n)
        .map(|i| {
            let log = topic.is_log();
            let value = format!("{{\"n\":{i},\"x\":\"{}\"}}", "y".repeat(i as usize % 50)).into_bytes();
            Sent {
                partition: i % topic.partitions(),
                key: (log && i % 4 > 0).then(|| vec![0, i as u8 % 5]),
                value: (!log || i % 7 > 0).then_some(value),
                time: if log { 1_700_000_000_000 + i64::from(i) } else { 7 },
                headers: match i % 3 {
                    0 if log => {
                        vec![("h".into(), Some(Bytes::from_static(b"v"))), ("h".into(), None), ("".into(), None)]
                    }
                    _ => vec![],
                },
            }
        })
        .collect()
}

fn sorted(records: impl IntoIterator<Item = Sent>) -> Vec<Sent> {
    let mut records: Vec<Sent> = records.into_iter().collect();
    records.sort_by_key(|r| r.partition);
    records
}

fn of(got: &[Got]) -> impl Iterator<Item = Sent> {
    got.iter().map(|g| g.2.clone())
}

fn conforms(mut make: impl FnMut(u32) -> Box<dyn Topic>) {
    everything_is_read_once_in_order(make(3).as_mut());
    workers_share_a_topic(make(3).as_mut());
    reading_goes_on_at_a_position(make(2).as_mut());
    if make(1).is_log() {
        what_is_appended_is_read(make(2).as_mut());
        latest_starts_behind_what_there_is(make(2).as_mut());
        limits_hold(make(1).as_mut());
    }
}

fn everything_is_read_once_in_order(topic: &mut dyn Topic) {
    let sent = records(topic, 0, 100);
    topic.append(&sent);
    let mut source = topic.open(Share::ALL, Start::Earliest);
    let got = read(source.as_mut(), sent.len(), topic.is_log());
    assert_eq!(sorted(of(&got)), sorted(sent));
    assert!(source.poll(Limit::default()).unwrap().is_none() && source.at_end());
}

fn workers_share_a_topic(topic: &mut dyn Topic) {
    let sent = records(topic, 0, 100);
    topic.append(&sent);
    let mut all = Vec::new();
    for worker in 0..2 {
        let mut source = topic.open(Share { worker, workers: 2 }, Start::Earliest);
        // How many are this worker's is not known before: until the end.
        let since = Instant::now();
        let mut quiet = 0;
        while quiet < 20 {
            assert!(since.elapsed() < PATIENCE);
            match poll(source.as_mut(), Limit::default(), topic.is_log()) {
                Some(records) => all.extend(records),
                None if source.at_end() => quiet += 1,
                None => std::thread::sleep(Duration::from_millis(2)),
            }
        }
    }
    all.sort_by_key(|g| (g.2.partition, g.1));
    assert_eq!(sorted(of(&all)), sorted(sent));
}

fn reading_goes_on_at_a_position(topic: &mut dyn Topic) {
    let sent = records(topic, 0, 60);
    topic.append(&sent);
    let limit = Limit { records: 5, bytes: 1 << 20 };
    let mut source = topic.open(Share::ALL, Start::Earliest);
    let since = Instant::now();
    let mut head = Vec::new();
    while head.len() < 20 {
        assert!(since.elapsed() < PATIENCE);
        head.extend(poll(source.as_mut(), limit, topic.is_log()).unwrap_or_default());
    }
    let positions = source.positions();
    assert_eq!(positions.len(), topic.partitions() as usize);
    let rest = read(source.as_mut(), 60 - head.len(), topic.is_log());
    assert_eq!(sorted(of(&head).chain(of(&rest))), sorted(sent));

    // A new source, told before it found anything, and the old one, told afterwards.
    let mut new = topic.open(Share::ALL, Start::Latest);
    for source in [new.as_mut(), source.as_mut()] {
        positions.iter().for_each(|p| source.seek(*p));
        let again = read(source, rest.len(), topic.is_log());
        let key = |g: &Got| (g.2.partition, g.1, g.2.clone());
        let order = |got: &[Got]| {
            let mut all: Vec<_> = got.iter().map(key).collect();
            all.sort_by_key(|k| (k.0, k.1));
            all
        };
        assert_eq!(order(&again), order(&rest));
        let first = |got: &[Got], p| got.iter().find(|g| g.2.partition == p).map(|g| g.0);
        for p in 0..topic.partitions() {
            assert_eq!(first(&again, p), first(&rest, p), "sequence numbers go on");
        }
    }
}

fn what_is_appended_is_read(topic: &mut dyn Topic) {
    let mut source = topic.open(Share::ALL, Start::Earliest);
    let first = records(topic, 0, 20);
    topic.append(&first);
    assert_eq!(sorted(of(&read(source.as_mut(), 20, true))), sorted(first));
    let second = records(topic, 20, 20);
    topic.append(&second);
    assert_eq!(sorted(of(&read(source.as_mut(), 20, true))), sorted(second));
}

fn latest_starts_behind_what_there_is(topic: &mut dyn Topic) {
    topic.append(&records(topic, 0, 20));
    let mut source = topic.open(Share::ALL, Start::Latest);
    wait_for_end(source.as_mut(), true);
    let new = records(topic, 20, 10);
    topic.append(&new);
    assert_eq!(sorted(of(&read(source.as_mut(), 10, true))), sorted(new));
}

fn limits_hold(topic: &mut dyn Topic) {
    let mut sent = records(topic, 0, 30);
    sent[10].value = Some(vec![b'z'; 900_000]);
    topic.append(&sent);
    let mut source = topic.open(Share::ALL, Start::Earliest);
    let mut got = Vec::new();
    let since = Instant::now();
    while got.len() < 30 {
        assert!(since.elapsed() < PATIENCE);
        if let Some(records) = poll(source.as_mut(), Limit { records: 100, bytes: 200 }, true) {
            let size = |g: &Got| g.2.value.as_ref().map_or(0, Vec::len) + g.2.key.as_ref().map_or(0, Vec::len);
            let last = records.last().map_or(0, size);
            assert!(records.iter().map(size).sum::<usize>() - last < 200);
            got.extend(records);
        }
    }
    assert_eq!(of(&got).collect::<Vec<_>>(), sent);
}

#[test]
fn memory_conforms() {
    let broker = MemoryBroker::new();
    let mut n = 0;
    conforms(|partitions| {
        n += 1;
        Box::new(Memory(broker.create(&format!("t{n}"), partitions, Cleanup::default()).unwrap()))
    });
}

#[test]
fn files_conform() {
    conforms(|_| Box::new(File(tempfile::tempdir().unwrap())));
}

#[test]
fn simulated_kafka_conforms() {
    let cluster = MockCluster::new(1).unwrap();
    let mut n = 0;
    conforms(|partitions| {
        n += 1;
        cluster.create_topic(&format!("t{n}"), partitions as i32, 1).unwrap();
        Box::new(Kafka::new(&cluster.bootstrap_servers(), &format!("t{n}"), partitions))
    });
}

/// The real broker, and a prefix for topics of this run.
fn real() -> Option<(String, String)> {
    match std::env::var("WEIR_TEST_KAFKA") {
        Ok(brokers) => Some((brokers, format!("sources-{}-", std::process::id()))),
        Err(_) => {
            println!("skipped: WEIR_TEST_KAFKA names no broker");
            None
        }
    }
}

#[test]
fn real_kafka_conforms() {
    let Some((brokers, prefix)) = real() else { return };
    let topics = KafkaTopics::new(&KafkaConfig::new(&brokers), PATIENCE).unwrap();
    let mut n = 0;
    conforms(|partitions| {
        n += 1;
        let name = format!("{prefix}{n}");
        topics.create(&name, Some(partitions), None, &[]).unwrap();
        Box::new(Kafka::new(&brokers, &name, partitions))
    });
}

#[test]
fn kafka_topics_are_listed_created_and_deleted() {
    let Some((brokers, prefix)) = real() else { return };
    let topics = KafkaTopics::new(&KafkaConfig::new(&brokers), PATIENCE).unwrap();
    let name = format!("{prefix}admin");
    assert_eq!(topics.find(&name).unwrap(), None);
    assert_eq!(
        topics.delete(&name).unwrap_err().to_string(),
        format!("topic '{name}' does not exist in Kafka; create it first")
    );
    topics.create(&name, Some(3), Some(1), &[("cleanup.policy", "compact")]).unwrap();
    assert_eq!(
        topics.create(&name, None, None, &[]).unwrap_err().to_string(),
        format!("topic '{name}' already exists in Kafka")
    );
    assert_eq!(topics.list().unwrap().into_iter().find(|t| t.name == name).unwrap().replicas, [1, 1, 1]);
    let mut kafka = Kafka::new(&brokers, &name, 3);
    let keyed: Vec<Sent> = records(&kafka, 0, 30).into_iter().filter(|r| r.key.is_some() && r.partition == 1).collect();
    kafka.append(&keyed);
    let offsets = |partition, next| PartitionOffsets { partition, first: 0, next };
    assert_eq!(topics.offsets(&name).unwrap(), [offsets(0, 0), offsets(1, keyed.len() as i64), offsets(2, 0)]);
    topics.delete(&name).unwrap();
    assert!(topics.offsets(&name).is_err());
    let refused = topics.create(&name, Some(1), Some(9), &[]).unwrap_err().to_string();
    assert!(refused.starts_with(&format!("kafka: cannot create topic '{name}': ")), "{refused}");
}

#[test]
fn kafka_topics_and_partitions_may_come_later() {
    let Some((brokers, prefix)) = real() else { return };
    let name = format!("{prefix}later");
    let mut kafka = Kafka::new(&brokers, &name, 1);
    let mut source = kafka.open(Share::ALL, Start::Latest);
    wait_for_end(source.as_mut(), true);
    let topics = KafkaTopics::new(&kafka.config, PATIENCE).unwrap();
    topics.create(&name, Some(1), None, &[]).unwrap();
    let sent = records(&kafka, 0, 10);
    kafka.append(&sent);
    assert_eq!(of(&read(source.as_mut(), 10, true)).collect::<Vec<_>>(), sent, "all of it came after the source");

    let admin: rdkafka::admin::AdminClient<_> =
        rdkafka::ClientConfig::new().set("bootstrap.servers", &brokers).create().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let more = rdkafka::admin::NewPartitions::new(&name, 3);
    runtime.block_on(admin.create_partitions([&more], &rdkafka::admin::AdminOptions::new())).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    kafka.partitions = 3;
    let sent = records(&kafka, 10, 30);
    kafka.append(&sent);
    assert_eq!(
        sorted(of(&read(source.as_mut(), 30, true))),
        sorted(sent),
        "added partitions are read from their start"
    );
}

#[test]
fn a_broker_that_goes_away_loses_nothing() {
    let cluster: MockCluster<'_, DefaultProducerContext> = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 2, 1).unwrap();
    let mut kafka = Kafka::new(&cluster.bootstrap_servers(), "t", 2);
    let mut source = kafka.open(Share::ALL, Start::Earliest);
    let first = records(&kafka, 0, 20);
    kafka.append(&first);
    assert_eq!(sorted(of(&read(source.as_mut(), 20, true))), sorted(first));
    cluster.broker_down(1).unwrap();
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(2) {
        let before = Instant::now();
        assert!(source.poll(Limit::default()).unwrap().is_none());
        assert!(before.elapsed() < Duration::from_millis(200), "a worker does not wait for a broker");
        std::thread::sleep(Duration::from_millis(10));
    }
    cluster.broker_up(1).unwrap();
    let second = records(&kafka, 20, 20);
    kafka.append(&second);
    assert_eq!(sorted(of(&read(source.as_mut(), 20, true))), sorted(second));
}

#[test]
fn properties_that_librdkafka_does_not_take_are_refused() {
    let mut config = KafkaConfig::new("localhost:1");
    config.properties.insert("sasl.mechanisme".into(), "PLAIN".into());
    let error = KafkaSource::open(&config, "t", Share::ALL, Start::Earliest).err().unwrap().to_string();
    assert!(error.starts_with("cannot make a Kafka client: ") && error.contains("sasl.mechanisme"), "{error}");
}

#[test]
fn topics_in_memory_are_created_listed_deleted_and_wake_their_readers() {
    let broker = MemoryBroker::new();
    let topic = broker.create("b", 4, Cleanup::default()).unwrap();
    broker.create("a", 1, Cleanup::Compact).unwrap();
    assert_eq!(broker.clone().topics().iter().map(|t| t.name().to_owned()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(broker.create("b", 4, Cleanup::default()).map(|t| t.partitions()).ok(), Some(4));
    assert_eq!(
        broker.create("b", 3, Cleanup::default()).err(),
        Some(TopicError::Exists { name: "b".into(), partitions: 4 })
    );
    let (sender, woken) = std::sync::mpsc::channel();
    let listening = topic.on_append(move || sender.send(()).unwrap());
    let place = |key: &'static [u8]| broker.append("b", None, NewRecord { key: Some(key), ..NewRecord::default() });
    assert_eq!(place(b"k").unwrap().0, place(b"k").unwrap().0, "a key stays in its partition");
    assert_eq!(woken.try_iter().count(), 2);
    drop(listening);
    let without_key: Vec<u32> = (0..4).map(|_| broker.append("b", None, NewRecord::default()).unwrap().0).collect();
    assert_eq!(without_key, [0, 1, 2, 3]);
    assert_eq!(woken.try_iter().count(), 0);
    assert!(broker.append("b", Some(4), NewRecord::default()).is_err());
    broker.delete("b").unwrap();
    assert_eq!(broker.delete("b"), Err(TopicError::Unknown("b".into())));
    assert_eq!(topic.read(Share::ALL, Start::Earliest).positions().len(), 4, "who holds it still reads it");
}
