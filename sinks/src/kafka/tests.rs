//! The sink against librdkafka's own mock brokers, and against real ones where there are some.

use super::*;
use crate::conformance::{self, Shows, World, target};
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::{Offset, TopicPartitionList};
use weir_dataflow::plan::Format;

fn topic(name: &str) -> TopicSpec {
    TopicSpec { partitions: Some(3), ..TopicSpec::new(name, Format::Kafka, Format::Json) }
}

fn config(brokers: &str) -> Config {
    let client = [("bootstrap.servers", brokers), ("reconnect.backoff.max.ms", "200")];
    Config { client: client.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(), ..Config::default() }
}

/// Partition, key, value and timestamp.
type Found = (i32, Option<Vec<u8>>, Option<String>, i64);

/// The values of each key, in order.
fn by_key(records: Vec<Found>) -> BTreeMap<i64, Vec<Option<i64>>> {
    let mut out: BTreeMap<i64, Vec<Option<i64>>> = BTreeMap::new();
    for (_, key, value, _) in records {
        let key = i64::from_be_bytes(key.unwrap().try_into().unwrap());
        let value: Option<serde_json::Value> = value.map(|text| serde_json::from_str(&text).unwrap());
        out.entry(key).or_default().push(value.map(|v| v["N"].as_i64().unwrap()));
    }
    out
}

/// Reads the topic from its start.
fn read(brokers: &str, topic: &str) -> Vec<Found> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "reader")
        .set("enable.partition.eof", "true")
        .create()
        .unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).unwrap();
    let partitions = metadata.topics()[0].partitions().len();
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions as i32 {
        list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let (mut out, mut ended) = (Vec::new(), 0);
    while ended < partitions {
        match consumer.poll(PATIENCE).expect("an answer") {
            Ok(message) => out.push((
                message.partition(),
                message.key().map(<[u8]>::to_vec),
                message.payload().map(|p| String::from_utf8(p.to_vec()).unwrap()),
                message.timestamp().to_millis().unwrap(),
            )),
            Err(KafkaError::PartitionEOF(_)) => ended += 1,
            Err(error) => panic!("{error}"),
        }
    }
    out
}

struct Mock(MockCluster<'static, DefaultProducerContext>);

impl World for Mock {
    type Sink = KafkaSink;
    const SHOWS: Shows = Shows::All;

    fn sink(&self) -> KafkaSink {
        KafkaSink::new(config(&self.0.bootstrap_servers()), target(), topic("V")).unwrap()
    }

    async fn arrived(&self) -> BTreeMap<i64, Vec<Option<i64>>> {
        let brokers = self.0.bootstrap_servers();
        by_key(tokio::task::spawn_blocking(move || read(&brokers, "V")).await.unwrap())
    }

    async fn away(&self, away: bool) -> bool {
        match away {
            true => self.0.broker_down(1).unwrap(),
            false => self.0.broker_up(1).unwrap(),
        }
        true
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_mock_brokers_conform() {
    conformance::conforms(async || {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("V", 3, 1).unwrap();
        Mock(cluster)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_is_too_large_is_reported_and_the_rest_goes_on() {
    use weir_dataflow::row::{SqlType, Value};
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("V", 1, 1).unwrap();
    let mut target = target();
    target.schema.value[1].ty = SqlType::String;
    let mut sink = KafkaSink::new(config(&cluster.bootstrap_servers()), target, topic("V")).unwrap();
    let rows = [10, 70_000_000, 20].map(|size| {
        let mut row = conformance::change(1, Some(size as i64));
        row.value.as_mut().unwrap()[1] = Value::String("x".repeat(size).into());
        row
    });
    sink.accept(conformance::batch(0, rows.into()).into());
    let progress = conformance::flush(&mut sink).await;
    assert_eq!((progress.delivered, progress.rejected.len()), (2, 1));
    assert!(progress.rejected[0].document.ends_with("x…"));
    let brokers = cluster.bootstrap_servers();
    let records = tokio::task::spawn_blocking(move || read(&brokers, "V")).await.unwrap();
    assert_eq!(records.iter().map(|r| r.3).collect::<Vec<_>>(), [1_700_000_000_010, 1_700_000_000_020]);
}

/// With `WEIR_TEST_KAFKA=HOST:PORT`: the topic is made as the view needs it, and keys are where Java puts them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_brokers() {
    use weir_dataflow::row::{SqlType, Value};
    let Ok(brokers) = std::env::var("WEIR_TEST_KAFKA") else {
        eprintln!("not run: WEIR_TEST_KAFKA is not set");
        return;
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let name = format!("weir-sink-test-{now}");
    let mut target = target();
    target.schema.key[0].ty = SqlType::String;
    let mut sink = KafkaSink::new(config(&brokers), target, topic(&name)).unwrap();
    let rows = (0..100).map(|k| {
        let mut row = conformance::change(k, (k % 10 != 9).then_some(k));
        row.key = vec![Value::String(format!("key-{k}").into())];
        row
    });
    sink.accept(conformance::batch(0, rows.collect()).into());
    assert_eq!(conformance::flush(&mut sink).await.delivered, 100);
    let records = tokio::task::spawn_blocking(move || read(&brokers, &name)).await.unwrap();
    assert_eq!(records.len(), 100);
    assert_eq!(records.iter().filter(|r| r.2.is_none()).count(), 10);
    for (partition, key, _, _) in &records {
        assert_eq!(*partition, (murmur2(key.as_ref().unwrap()) & 0x7fff_ffff) as i32 % 3);
    }
}

/// With `WEIR_TEST_KAFKA`: a stream of 4,000 rows/s for `WEIR_TEST_SECONDS` (2), in which the brokers can be killed and
/// started again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_to_real_brokers() {
    use crate::delivery::{Delivery, Options};
    let Ok(brokers) = std::env::var("WEIR_TEST_KAFKA") else {
        eprintln!("not run: WEIR_TEST_KAFKA is not set");
        return;
    };
    let seconds: u64 = std::env::var("WEIR_TEST_SECONDS").map_or(2, |text| text.parse().unwrap());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let name = format!("weir-sink-stream-{now}");
    let sink = KafkaSink::new(config(&brokers), target(), topic(&name)).unwrap();
    let unexpected = Box::new(|rejected| panic!("{rejected:?}"));
    let runtime = tokio::runtime::Handle::current();
    let delivery = Delivery::start(sink, &target(), Options::new(std::env::temp_dir()), unexpected, &runtime);
    let batches = conformance::changes(0..seconds * 600);
    let mut tick = tokio::time::interval(Duration::from_micros(1_000_000 / 600));
    for (i, batch) in batches.iter().enumerate() {
        tick.tick().await;
        delivery.send(batch.clone());
        if i % 3000 == 2999 {
            eprintln!("{:?}", delivery.status());
        }
    }
    let status = delivery.stop(Duration::from_secs(120)).await;
    eprintln!("{status:?}");
    assert_eq!((status.pending, status.lost), (0, 0));
    let records = tokio::task::spawn_blocking(move || read(&brokers, &name)).await.unwrap();
    assert_eq!(by_key(records), conformance::expected(Shows::All, &batches));
}

/// The hash of Kafka's Java client, written from its definition.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut h = 0x9747_b28c_u32 ^ data.len() as u32;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes(word.try_into().unwrap()).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        h = h.wrapping_mul(M) ^ k;
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (i, byte) in rest.iter().enumerate() {
            h ^= u32::from(*byte) << (8 * i);
        }
        h = h.wrapping_mul(M);
    }
    h = (h ^ (h >> 13)).wrapping_mul(M);
    h ^ (h >> 15)
}
