//! Kafka's topics as weir reads and writes them: one broker for all of these tests, topics of its own for each.

use crate::http;
use crate::kafka::{Broker, Record};
use crate::program::{Run, wait_for};
use crate::server::{Server, free_ports};
use crate::service::{self, Kind};
use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

/// 2024-01-01T00:00:00Z.
const TIME: i64 = 1_704_067_200_000;

/// The tests.
pub(crate) fn trials() -> Vec<Trial> {
    vec![
        service::trial("kafka/topic-that-appears-later", topic_that_appears_later),
        service::trial("kafka/keys-times-and-tombstones", keys_times_and_tombstones),
        service::trial("kafka/partitions-shared-among-workers", partitions_shared_among_workers),
        service::trial("kafka/earliest-and-latest", earliest_and_latest),
        service::trial("kafka/outputs-of-views", outputs_of_views),
        service::trial("kafka/no-output-topics", no_output_topics),
        service::trial("kafka/inserts-and-print", inserts_and_print),
        service::trial("kafka/bad-records", bad_records),
        service::trial("kafka/no-broker", no_broker),
    ]
}

/// A weir that runs a script with the shared broker.
pub(crate) struct Site {
    pub(crate) broker: Broker,
    pub(crate) weir: Server,
    _folder: tempfile::TempDir,
}

impl Site {
    pub(crate) fn start(script: &str, more: &[&str]) -> Result<Site> {
        let kafka = service::shared(Kind::Kafka)?;
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("script.sql"), script)?;
        let args: Vec<String> =
            ["run", "script.sql", "--kafka", &kafka.address].iter().chain(more).map(|&a| a.to_owned()).collect();
        let weir = Server::start(&args, folder.path())?;
        Ok(Site { broker: Broker::connect(&kafka.address)?, weir, _folder: folder })
    }

    /// Waits until a pull query gives these rows, in any order.
    pub(crate) fn expect(&self, query: &str, rows: &[Value]) -> Result<()> {
        let mut expected: Vec<String> = rows.iter().map(Value::to_string).collect();
        expected.sort();
        wait_for(LIMIT, query, || {
            let found = self.weir.rows(query)?;
            Ok(ensure!(found == expected, "expected {expected:?}, found {found:?}"))
        })
    }
}

fn topic_that_appears_later() -> Result<()> {
    let site = Site::start(
        "CREATE STREAM later (n INT) WITH (kafka_topic = 'later', value_format = 'json');
         CREATE TABLE later_counts AS SELECT n, COUNT(*) AS c FROM later GROUP BY n;",
        &["--workers", "2"],
    )?;
    ensure!(site.weir.rows("SELECT * FROM LATER_COUNTS;")?.is_empty(), "rows of a topic that is not there");
    let printed = http::post(&format!("{}/query", site.weir.url), &json!({"ksql": "PRINT 'later' LIMIT 1;"}))?;
    ensure!(printed.status == 400 && printed.body.contains("later"), "{}: {}", printed.status, printed.body);
    site.broker.create_topic("later", 3)?;
    for i in 0..30 {
        let value = json!({"n": i % 3}).to_string();
        site.broker.send("later", Some(&[i]), Some(value.as_bytes()), TIME)?;
    }
    site.broker.flush()?;
    site.expect("SELECT * FROM LATER_COUNTS;", &[json!([0, 10]), json!([1, 10]), json!([2, 10])])
}

fn keys_times_and_tombstones() -> Result<()> {
    for topic in ["ints", "bigints", "texts"] {
        Broker::connect(&service::shared(Kind::Kafka)?.address)?.create_topic(topic, 1)?;
    }
    let site = Site::start(
        "CREATE TABLE ints (id INT PRIMARY KEY, v VARCHAR) WITH (kafka_topic = 'ints', value_format = 'json');
         CREATE TABLE bigints (id BIGINT PRIMARY KEY, v VARCHAR) WITH (kafka_topic = 'bigints', value_format = 'json');
         CREATE TABLE texts (id VARCHAR PRIMARY KEY, v VARCHAR) WITH (kafka_topic = 'texts', value_format = 'json');
         CREATE STREAM ints_log (id INT KEY, v VARCHAR) WITH (kafka_topic = 'ints', value_format = 'json');
         CREATE TABLE kept_ints AS SELECT * FROM ints;
         CREATE TABLE kept_bigints AS SELECT * FROM bigints;
         CREATE TABLE kept_texts AS SELECT * FROM texts;
         CREATE STREAM timed AS SELECT id, v, ROWTIME AS since FROM ints_log;",
        &[],
    )?;
    let value = |v: &str| json!({"v": v}).to_string().into_bytes();
    for (i, v) in [(7, "a"), (-1, "b"), (8, "c"), (7, "d")] {
        let time = TIME + i64::from(i);
        site.broker.send("ints", Some(&i32::to_be_bytes(i)), Some(&value(v)), time)?;
        site.broker.send("bigints", Some(&i64::from(i).to_be_bytes()), Some(&value(v)), time)?;
        site.broker.send("texts", Some(i.to_string().as_bytes()), Some(&value(v)), time)?;
    }
    site.broker.flush()?;
    let rows = [json!([7, "d"]), json!([-1, "b"]), json!([8, "c"])];
    site.expect("SELECT * FROM KEPT_INTS;", &rows)?;
    site.expect("SELECT * FROM KEPT_BIGINTS;", &rows)?;
    site.expect("SELECT * FROM KEPT_TEXTS;", &[json!(["7", "d"]), json!(["-1", "b"]), json!(["8", "c"])])?;
    site.broker.send("ints", Some(&i32::to_be_bytes(7)), None, TIME + 100)?;
    site.broker.send("bigints", Some(&i64::to_be_bytes(7)), None, TIME + 100)?;
    site.broker.send("texts", Some(b"7"), None, TIME + 100)?;
    site.broker.flush()?;
    site.expect("SELECT * FROM KEPT_INTS;", &rows[1..])?;
    site.expect("SELECT * FROM KEPT_BIGINTS;", &rows[1..])?;
    site.expect("SELECT * FROM KEPT_TEXTS WHERE ID = '7';", &[])?;
    // A stream passes over what a table takes for a tombstone, and has each record's own time.
    let times = [(7, "a"), (-1, "b"), (8, "c"), (7, "d")].map(|(i, v)| json!([i, v, TIME + i64::from(i)]));
    site.expect("SELECT ID, V, SINCE FROM TIMED;", &times)?;
    // What a table's view does to a row that goes is a tombstone in its topic.
    wait_for(LIMIT, "the table's topic", || {
        let written = site.broker.read("KEPT_INTS")?;
        let gone: Vec<&Record> = written.iter().filter(|r| r.value.is_none()).collect();
        Ok(ensure!(gone.len() == 1 && gone[0].key.as_deref() == Some(&7_i32.to_be_bytes()[..]), "{written:?}"))
    })
}

fn partitions_shared_among_workers() -> Result<()> {
    Broker::connect(&service::shared(Kind::Kafka)?.address)?.create_topic("spread", 5)?;
    let site = Site::start(
        "CREATE STREAM spread (n INT) WITH (kafka_topic = 'spread', value_format = 'json');
         CREATE TABLE spread_counts AS SELECT n, COUNT(*) AS c FROM spread WINDOW TUMBLING (SIZE 1 MINUTE) GROUP BY n;
         CREATE STREAM spread_copy AS SELECT * FROM spread;",
        &["--workers", "4"],
    )?;
    for i in 0..5_000_u32 {
        let value = json!({"n": i % 10}).to_string();
        site.broker.send("spread", Some(&i.to_be_bytes()), Some(value.as_bytes()), TIME + i64::from(i))?;
    }
    site.broker.flush()?;
    let used: BTreeSet<i32> = site.broker.read("spread")?.iter().map(|r| r.partition).collect();
    ensure!(used.len() == 5, "the test's records are only in {used:?}");
    let rows: Vec<Value> = (0..10).map(|n| json!([n, TIME, TIME + 60_000, 500])).collect();
    site.expect("SELECT * FROM SPREAD_COUNTS;", &rows)?;
    wait_for(LIMIT, "the copy's topic", || {
        let copy = site.broker.read("SPREAD_COPY")?;
        Ok(ensure!(copy.len() == 5_000, "{} records", copy.len()))
    })?;
    let partitions = site.broker.partitions("SPREAD_COPY")?;
    Ok(ensure!(partitions == 5, "the copy has as many partitions as its input, not {partitions}"))
}

fn earliest_and_latest() -> Result<()> {
    let broker = Broker::connect(&service::shared(Kind::Kafka)?.address)?;
    broker.create_topic("since", 2)?;
    let send = |count: u32| -> Result<()> {
        for i in 0..count {
            broker.send("since", Some(&i.to_be_bytes()), Some(br#"{"n":1}"#), TIME)?;
        }
        broker.flush()
    };
    send(10)?;
    let site = Site::start(
        "CREATE STREAM since (n INT) WITH (kafka_topic = 'since', value_format = 'json');
         CREATE TABLE since_script AS SELECT n, COUNT(*) AS c FROM since GROUP BY n;",
        &[],
    )?;
    site.expect("SELECT * FROM SINCE_SCRIPT;", &[json!([1, 10])])?;
    let create = |name: &str, properties: Value| -> Result<()> {
        let text = format!("CREATE TABLE {name} AS SELECT n, COUNT(*) AS c FROM since GROUP BY n;");
        let body = json!({"ksql": text, "streamsProperties": properties});
        http::post(&format!("{}/ksql", site.weir.url), &body)?.ok().map(drop)
    };
    create("since_first", json!({"auto.offset.reset": "earliest"}))?;
    create("since_now", json!({}))?;
    site.expect("SELECT * FROM SINCE_FIRST;", &[json!([1, 10])])?;
    send(7)?;
    site.expect("SELECT * FROM SINCE_NOW;", &[json!([1, 7])])?;
    site.expect("SELECT * FROM SINCE_FIRST;", &[json!([1, 17])])?;
    site.expect("SELECT * FROM SINCE_SCRIPT;", &[json!([1, 17])])
}

/// Key, value and time of a record.
type Written = (Vec<u8>, Option<Value>, i64);

fn outputs_of_views() -> Result<()> {
    Broker::connect(&service::shared(Kind::Kafka)?.address)?.create_topic("orders", 1)?;
    let site = Site::start(
        "CREATE STREAM orders (id INT KEY, item VARCHAR, qty INT) WITH (kafka_topic = 'orders', value_format = 'json');
         CREATE STREAM big_orders WITH (kafka_topic = 'orders_big', partitions = 2) AS
           SELECT id, item, qty * 2 AS twice FROM orders WHERE qty > 5;
         CREATE TABLE per_item AS SELECT item, COUNT(*) AS n FROM orders WINDOW TUMBLING (SIZE 10 SECONDS) GROUP BY item;
         CREATE TABLE few AS SELECT item, COUNT(*) AS n FROM orders GROUP BY item HAVING COUNT(*) < 2;",
        &[],
    )?;
    for (i, (item, qty)) in (0_i32..).zip([("x", 9), ("y", 1), ("x", 6)]) {
        let value = json!({"item": item, "qty": qty}).to_string();
        let time = TIME + 1_000 * i64::from(i);
        site.broker.send("orders", Some(&i.to_be_bytes()), Some(value.as_bytes()), time)?;
        site.broker.flush()?;
        // Each change on its own.
        let n = i64::from(i) + 1;
        wait_for(LIMIT, "the record", || {
            let read = site.weir.metric("weir_records_read_total", &["source=\"ORDERS\""])?;
            Ok(ensure!(read >= n as f64, "{read}"))
        })?;
        std::thread::sleep(Duration::from_millis(300));
    }
    let as_json = |topic: &str| -> Result<Vec<Written>> {
        let mut records = Vec::new();
        for r in site.broker.read(topic)? {
            let value = r.value.map(|v| serde_json::from_slice(&v)).transpose()?;
            records.push((r.key.unwrap_or_default(), value, r.time.unwrap_or_default()));
        }
        records.sort_by_key(|r| r.2);
        Ok(records)
    };
    let expect = |topic: &str, expected: Vec<Written>| {
        wait_for(LIMIT, topic, || {
            let found = as_json(topic)?;
            Ok(ensure!(found == expected, "expected {expected:?}, found {found:?}"))
        })
    };
    expect(
        "orders_big",
        vec![
            (0_i32.to_be_bytes().to_vec(), Some(json!({"ITEM": "x", "TWICE": 18})), TIME),
            (2_i32.to_be_bytes().to_vec(), Some(json!({"ITEM": "x", "TWICE": 12})), TIME + 2_000),
        ],
    )?;
    // The key of a window is the key and its start, eight bytes big-endian.
    let windowed = |item: &str| [item.as_bytes(), &TIME.to_be_bytes()].concat();
    expect(
        "PER_ITEM",
        vec![
            (windowed("x"), Some(json!({"N": 1})), TIME),
            (windowed("y"), Some(json!({"N": 1})), TIME + 1_000),
            (windowed("x"), Some(json!({"N": 2})), TIME + 2_000),
        ],
    )?;
    expect(
        "FEW",
        vec![
            (b"x".to_vec(), Some(json!({"N": 1})), TIME),
            (b"y".to_vec(), Some(json!({"N": 1})), TIME + 1_000),
            (b"x".to_vec(), None, TIME + 2_000),
        ],
    )?;
    // Another weir takes the outputs for its inputs.
    let second = Site::start(
        "CREATE STREAM big (id INT KEY, item VARCHAR, twice INT) WITH (kafka_topic = 'orders_big', value_format = 'json');
         CREATE TABLE big_sum AS SELECT item, SUM(twice) AS s FROM big GROUP BY item;
         CREATE TABLE few_again (item VARCHAR PRIMARY KEY, n BIGINT) WITH (kafka_topic = 'FEW', value_format = 'json');
         CREATE TABLE few_kept AS SELECT * FROM few_again;",
        &[],
    )?;
    second.expect("SELECT * FROM BIG_SUM;", &[json!(["x", 30])])?;
    second.expect("SELECT * FROM FEW_KEPT;", &[json!(["y", 1])])
}

fn no_output_topics() -> Result<()> {
    let script = "CREATE STREAM quiet (n INT) WITH (kafka_topic = 'quiet', value_format = 'json', partitions = 1);
         CREATE TABLE quiet_counts AS SELECT n, COUNT(*) AS c FROM quiet GROUP BY n;";
    let site = Site::start(script, &["--no-output-topics"])?;
    site.broker.send("quiet", None, Some(br#"{"n":1}"#), TIME)?;
    site.broker.flush()?;
    site.expect("SELECT * FROM QUIET_COUNTS;", &[json!([1, 1])])?;
    let shown = site.weir.ksql("SHOW TOPICS;")?[0].to_string();
    ensure!(shown.contains("\"quiet\"") && !shown.contains("QUIET_COUNTS"), "{shown}");
    Ok(())
}

fn inserts_and_print() -> Result<()> {
    let site = Site::start(
        "CREATE STREAM notes (id INT KEY, text VARCHAR, height DOUBLE)
           WITH (kafka_topic = 'notes', value_format = 'json', partitions = 2);
         CREATE TABLE note_counts AS SELECT text, COUNT(*) AS n FROM notes GROUP BY text;",
        &[],
    )?;
    site.weir.ksql("INSERT INTO notes (ROWTIME, id, text, height) VALUES (1704067200000, 5, 'hello', 1.5);")?;
    site.weir.ksql("INSERT INTO notes (id, text) VALUES (6, 'hello');")?;
    site.expect("SELECT * FROM NOTE_COUNTS;", &[json!(["hello", 2])])?;
    let mut written = site.broker.read("notes")?;
    written.sort_by_key(|r| r.key.clone());
    let first = &written[0];
    ensure!(first.key.as_deref() == Some(&5_i32.to_be_bytes()[..]) && first.time == Some(TIME), "{first:?}");
    let value: Value = serde_json::from_slice(first.value.as_deref().context("no value")?)?;
    ensure!(value == json!({"TEXT": "hello", "HEIGHT": 1.5}), "{value}");
    let body = json!({"ksql": "PRINT 'notes' FROM BEGINNING LIMIT 2;"});
    let printed = http::post(&format!("{}/query", site.weir.url), &body)?;
    ensure!(printed.status == 200 && printed.body.contains("Key format: KAFKA_INT"), "{}", printed.body);
    ensure!(printed.body.contains("rowtime: 2024/01/01 00:00:00.000 Z, key: 5, value: "), "{}", printed.body);

    // What cannot be written is told, and nothing of it is.
    for (statement, hint) in [
        ("INSERT INTO notes (id, text) VALUES ('seven', 'x');", "INTEGER"),
        ("INSERT INTO notes (id, nope) VALUES (1, 'x');", "NOPE"),
        ("INSERT INTO notes (id, text) VALUES (1);", "2"),
        ("INSERT INTO nowhere (id) VALUES (1);", "NOWHERE"),
    ] {
        let refused = http::post(&format!("{}/ksql", site.weir.url), &json!({"ksql": statement}))?;
        ensure!(
            refused.status == 400 && refused.body.contains(hint),
            "{statement}: {}: {}",
            refused.status,
            refused.body
        );
    }
    ensure!(site.broker.read("notes")?.len() == 2, "a refused INSERT was written");
    Ok(())
}

/// Everything that a topic can hold and a declaration does not say: told, counted, and passed over.
fn bad_records() -> Result<()> {
    Broker::connect(&service::shared(Kind::Kafka)?.address)?.create_topic("mixed", 1)?;
    let site = Site::start(
        "CREATE STREAM mixed (id INT KEY, n INT, text VARCHAR) WITH (kafka_topic = 'mixed', value_format = 'json');
         CREATE TABLE sizes AS SELECT LEN(text) AS size, COUNT(*) AS c FROM mixed GROUP BY LEN(text);
         CREATE STREAM mixed_copy AS SELECT * FROM mixed;",
        &[],
    )?;
    let megabyte = "x".repeat(1_000_000);
    let good = json!({"n": 1, "text": megabyte}).to_string();
    let key = 1_i32.to_be_bytes();
    let send = |key: &[u8], value: &[u8]| site.broker.send("mixed", Some(key), Some(value), TIME);
    send(&key, b"{\"n\":1,\"text\":\"ok\"}")?;
    let bad: [(&[u8], &[u8]); 7] = [
        (&key, b"{\"n\":1,\"text\":"),
        (&key, b"no JSON at all"),
        (&key, b""),
        (&key, b"{\"n\":\"many\",\"text\":\"ok\"}"),
        (&key, b"{\"n\":{\"m\":1},\"text\":\"ok\"}"),
        (&key, &good.as_bytes()[..999_999]),
        (&key[..3], b"{\"n\":1,\"text\":\"ok\"}"),
    ];
    for (key, value) in bad {
        send(key, value)?;
    }
    // Fields that are missing are null; what is not declared is passed over.
    send(&key, b"{\"other\":[1,2,{}],\"text\":\"ok\"}")?;
    send(&key, good.as_bytes())?;
    send(&key, b"{\"n\":2,\"text\":\"ok\"}")?;
    site.broker.flush()?;
    site.expect("SELECT * FROM SIZES;", &[json!([2, 3]), json!([1_000_000, 1])])?;
    let metrics = http::get(&format!("{}/metrics", site.weir.url))?;
    ensure!(metrics.content_type.starts_with("application/openmetrics-text"), "{}", metrics.content_type);
    let rejected = site.weir.metric("weir_records_rejected_total", &["source=\"MIXED\""])?;
    ensure!(rejected == 7.0, "{rejected} records were rejected, not 7");
    let query = "SELECT LOGGER, LEVEL, MESSAGE->TYPE, MESSAGE->DESERIALIZATIONERROR->TARGET AS TARGET, \
                 MESSAGE->DESERIALIZATIONERROR->ERRORMESSAGE AS REASON, MESSAGE->DESERIALIZATIONERROR->`topic` AS TOPIC \
                 FROM KSQL_PROCESSING_LOG;";
    wait_for(LIMIT, "the processing log", || {
        let (_, rows) = site.weir.pull(query)?;
        ensure!(rows.len() == 7, "{} entries: {rows:?}", rows.len());
        for row in &rows {
            ensure!(row[0] == "processing.MIXED.source.deserializer" && row[1] == "ERROR" && row[2] == 0, "{row:?}");
            ensure!(row[4].as_str().is_some_and(|reason| reason.len() > 10) && row[5] == "mixed", "{row:?}");
        }
        let of_keys = rows.iter().filter(|row| row[3] == "key").count();
        Ok(ensure!(of_keys == 1, "one key is bad: {rows:?}"))
    })?;
    // A record of a megabyte goes on to the view's own topic.
    wait_for(LIMIT, "the copy's topic", || {
        let copied = site.broker.read("MIXED_COPY")?;
        let longest = copied.iter().filter_map(|r| r.value.as_ref()).map(Vec::len).max().unwrap_or(0);
        Ok(ensure!(copied.len() == 4 && longest > 1_000_000, "{} records, at most {longest} bytes", copied.len()))
    })
}

fn no_broker() -> Result<()> {
    let folder = tempfile::tempdir()?;
    fs::write(
        folder.path().join("script.sql"),
        "CREATE STREAM s (n INT) WITH (kafka_topic='s', value_format='json');",
    )?;
    let address = format!("127.0.0.1:{}", free_ports(1)?[0]);
    let run = Run::new(["run", "script.sql", "--listen", "127.0.0.1:0", "--kafka", &address])?;
    let finished = run.folder(folder.path()).limit(Duration::from_secs(30)).finish()?;
    ensure!(finished.status == Some(1), "ended with {:?}", finished.status);
    ensure!(finished.stderr.contains(&format!("no answer from Kafka at {address}")), "it says {}", finished.stderr);
    Ok(())
}
