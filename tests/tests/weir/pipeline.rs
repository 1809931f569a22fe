//! The clickstream demo from end to end on real servers: generators write Kafka's topics, views read them, sink
//! connectors made as the demo makes them write Elasticsearch or OpenSearch.
//!
//! What the servers hold in the end is compared with a plain recomputation from the clicks in Kafka: the tables over
//! HTTP, the current rows in one set of indices, and in the other every change that went to the view's topic.

use crate::case::difference;
use crate::clicks::{Click, Clickstream, User};
use crate::http;
use crate::kafka::{Broker, Record};
use crate::program::{wait_for, workspace};
use crate::search::Search;
use crate::server::Server;
use crate::service::{self, Kind, Service};
use crate::twin;
use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The tables that the demo sends, with the columns that are strings.
const TABLES: [(&str, &[&str]); 7] = [
    ("CLICK_USER_SESSIONS", &["USERNAME"]),
    ("USER_IP_ACTIVITY", &["USERNAME", "IP", "CITY"]),
    ("ENRICHED_ERROR_CODES_COUNT", &["DEFINITION"]),
    ("ERRORS_PER_MIN_ALERT", &[]),
    ("ERRORS_PER_MIN", &[]),
    ("EVENTS_PER_MIN", &[]),
    ("PAGES_PER_MIN", &[]),
];

/// What the process may occupy, in bytes.
const MEMORY: f64 = 500e6;

/// The tests.
pub(crate) fn trials() -> Vec<Trial> {
    vec![
        service::trial("elasticsearch/demo-scripts", || run(Kind::Elasticsearch, 3_000, 300, |_| Ok(()))),
        service::trial("opensearch/demo-scripts", || run(Kind::Opensearch, 3_000, 300, |_| Ok(()))),
        service::trial("elasticsearch/servers-killed", || servers_killed(Kind::Elasticsearch)),
        service::trial("opensearch/servers-killed", || servers_killed(Kind::Opensearch)),
    ]
}

/// They take turns: each has the machine start a broker and a search server twice.
fn servers_killed(kind: Kind) -> Result<()> {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    run(kind, 40_000, 1_500, kill_both)
}

/// All that runs.
struct Pipeline {
    kafka: Service,
    search: Service,
    weir: Server,
}

/// Runs `clicks` clicks at `rate` a second through everything, with something that happens meanwhile.
fn run(kind: Kind, clicks: usize, rate: u32, meanwhile: impl FnOnce(&Pipeline) -> Result<()>) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let demo = workspace().join("cluster/src/demo");
    let connectors = fs::read_to_string(demo.join("connectors.sql"))?;
    let (codes, users, clickstream) = connectors_of(&connectors)?;
    let first = folder.path().join("connectors.sql");
    // Users and codes stand before the first click comes, so that what is joined can be computed.
    fs::write(&first, ending(codes, 60) + &ending(users, 50))?;
    let script = demo.join("clickstream.sql");

    let kafka = Service::start(Kind::Kafka)?;
    let search = Service::start(kind)?;
    let rate = rate.to_string();
    let args = ["run", &path(&first), &path(&script), "--kafka", &kafka.address, "--workers", "2", "--rate", &rate];
    let weir = Server::start(&args.map(str::to_owned), folder.path())?;
    let pipeline = Pipeline { kafka, search, weir };

    pipeline.make_sinks()?;
    for (connector, source, n) in
        [("DATAGEN_CLICKSTREAM_CODES", "CLICKSTREAM_CODES", 60), ("DATAGEN_CLICKSTREAM_USERS", "WEB_USERS", 50)]
    {
        pipeline.wait_for_the_end_of(connector, source, n)?;
    }
    let made = pipeline.weir.ksql(&ending(clickstream, clicks))?;
    ensure!(made[0]["@type"] == "connector_info", "{}", made[0]);
    meanwhile(&pipeline)?;
    pipeline.wait_for_the_end_of("DATAGEN_CLICKSTREAM", "CLICKSTREAM", clicks)?;

    let broker = Broker::connect(&pipeline.kafka.address)?;
    let data = generated(&broker)?;
    ensure!(data.clicks.len() == clicks, "the topic holds {} clicks, {clicks} were generated", data.clicks.len());
    let expected = twin::tables(&data);
    for (table, strings) in TABLES {
        pipeline.verify(&broker, table, strings, &expected[table]).with_context(|| table.to_owned())?;
    }
    pipeline.check_memory()?;
    ensure!(pipeline.weir.metric("weir_sink_rejected_total", &[])? == 0.0, "sinks rejected rows");
    let finished = pipeline.weir.stop("TERM")?;
    ensure!(finished.status == Some(0), "SIGTERM: status {:?}\n{}", finished.status, finished.stderr);
    Ok(())
}

/// kill -9 of the search server, then of the broker, each back after some seconds, while clicks come.
fn kill_both(pipeline: &Pipeline) -> Result<()> {
    let Pipeline { kafka, search, weir } = pipeline;
    let read = || weir.metric("weir_records_read_total", &["source=\"CLICKSTREAM\""]);
    let comes = |more: f64| {
        let before = read().unwrap_or(0.0);
        wait_for(Duration::from_secs(60), "more clicks", || Ok(ensure!(read()? > before + more, "{}", read()?)))?;
        pipeline.check_memory()
    };
    comes(2_000.0)?;
    search.kill()?;
    // The rest goes on: records are read, queries answered, and topics written, in bounded memory.
    for _ in 0..8 {
        comes(1_000.0)?;
    }
    ensure!(!weir.rows("SELECT * FROM EVENTS_PER_MIN;")?.is_empty(), "no rows while the search server is away");
    ensure!(weir.metric("weir_sink_queued", &["PAGES_PER_MIN_ROWS"])? > 0.0, "nothing waits for the search server");
    // While the server starts, which takes as long as it takes, no clicks are used up.
    let generator = format!("{}/connectors/DATAGEN_CLICKSTREAM", weir.connect);
    ensure!(http::put(&format!("{generator}/pause"))?.status == 202, "pause");
    search.start_again()?;
    ensure!(http::put(&format!("{generator}/resume"))?.status == 202, "resume");
    comes(2_000.0)?;
    kafka.kill()?;
    std::thread::sleep(Duration::from_secs(2));
    ensure!(!weir.rows("SELECT * FROM EVENTS_PER_MIN;")?.is_empty(), "no rows while the broker is away");
    kafka.start_again()?;
    comes(2_000.0)
}

impl Pipeline {
    /// The demo's seven sinks, by the bodies that its scripts post, and seven more that keep the current rows.
    fn make_sinks(&self) -> Result<()> {
        for (table, _) in TABLES {
            let index = table.to_lowercase();
            let mut body = json!({"name": format!("es_sink_{table}"), "config": {
                "schema.ignore": "true",
                "topics": table,
                "topic.index.map": format!("{table}:{index}"),
                "key.converter": "org.apache.kafka.connect.converters.ByteArrayConverter",
                "value.converter": "org.apache.kafka.connect.json.JsonConverter",
                "value.converter.schemas.enable": false,
                "connector.class": "io.confluent.connect.elasticsearch.ElasticsearchSinkConnector",
                "key.ignore": "true",
                "type.name": "type.name=kafkaconnect",
                "connection.url": self.search.address,
                "transforms": "FilterNulls",
                "transforms.FilterNulls.type": "io.confluent.transforms.NullFilter",
            }});
            let connectors = format!("{}/connectors/", self.weir.connect);
            let made = http::post(&connectors, &body)?;
            ensure!(made.status == 201, "{}: {}", made.status, made.body);
            body["name"] = json!(format!("es_sink_{table}_ROWS"));
            body["config"]["key.ignore"] = json!("false");
            body["config"]["topic.index.map"] = json!(format!("{table}:{index}_rows"));
            body["config"]["max.buffered.records"] = json!(2_000);
            if let Some(config) = body["config"].as_object_mut() {
                config.retain(|property, _| !property.starts_with("transforms"));
            }
            let made = http::post(&connectors, &body)?;
            ensure!(made.status == 201, "{}: {}", made.status, made.body);
        }
        Ok(())
    }

    fn check_memory(&self) -> Result<()> {
        let memory = self.weir.metric("weir_process_resident_memory_bytes", &[])?;
        Ok(ensure!(memory < MEMORY, "weir occupies {memory} bytes"))
    }

    /// Until a generator has ended as `iterations` ends it, and all its records have been read.
    fn wait_for_the_end_of(&self, connector: &str, source: &str, records: usize) -> Result<()> {
        let url = format!("{}/connectors/{connector}/status", self.weir.connect);
        wait_for(Duration::from_secs(120), "the end of a generator", || {
            let status = http::get(&url)?.ok()?;
            let (task, trace) = (&status["tasks"][0]["state"], status["tasks"][0]["trace"].as_str());
            ensure!(status["connector"]["state"] == "RUNNING" && task == "FAILED", "{status}");
            let told =
                trace.is_some_and(|t| t.contains(&format!("generated the configured {records} number of messages")));
            ensure!(told, "{status}");
            Ok(())
        })?;
        wait_for(Duration::from_secs(60), "all records of a generator", || {
            let read = self.weir.metric("weir_records_read_total", &[&format!("source=\"{source}\"")])?;
            Ok(ensure!(read >= records as f64, "{source}: {read} of {records} records were read"))
        })
    }

    /// Holds what all servers have of a table against its rows as they must be.
    fn verify(&self, broker: &Broker, table: &str, strings: &[&str], expected: &[String]) -> Result<()> {
        let search = Search::at(&self.search.address);
        let index = table.to_lowercase();
        let rows: Vec<Vec<(String, Value)>> = expected.iter().map(|row| columns(row)).collect::<Result<_>>()?;
        let whole: Vec<String> = rows.iter().map(|row| array(row.iter())).collect();
        let limit = Duration::from_secs(40);
        wait_for(limit, "the table's rows", || {
            equal("the table's rows", &whole, &self.weir.rows(&format!("SELECT * FROM {table};"))?)
        })?;

        let keys = ["K", "K1", "K2", "K3", "WINDOWSTART", "WINDOWEND"];
        let documents = rows.iter().map(|row| row.iter().filter(|(c, _)| !keys.contains(&c.as_str())).cloned());
        let documents: Vec<String> = documents.map(|d| Value::Object(d.collect()).to_string()).collect();
        wait_for(limit, "the current rows as documents", || {
            let found = search.documents(&format!("{index}_rows"))?;
            equal("the current rows as documents", &documents, &texts(found.values()))
        })?;

        // The topic has every change, at least once: a broker that was killed may have taken one and not said so.
        let written = wait_for(limit, "the table's topic", || {
            let records = broker.read(table)?;
            equal("the topic's last values", &documents, &texts(last(&records)?.values()))?;
            Ok(records)
        })?;
        let mut changes = BTreeSet::new();
        for record in &written {
            if let Some(value) = &record.value {
                changes.insert(serde_json::from_slice::<Value>(value)?.to_string());
            }
        }
        let changes: Vec<String> = changes.into_iter().collect();
        wait_for(limit, "the changes as documents", || {
            equal("the changes as documents", &changes, &texts(search.documents(&index)?.values()))
        })?;

        for index in [index.clone(), format!("{index}_rows")] {
            let date = search.field_type(&index, "EVENT_TS")?;
            ensure!(date == "date", "EVENT_TS of {index} is a {date}");
            for field in strings {
                let keyword = search.field_type(&index, field)?;
                ensure!(keyword == "keyword", "{field} of {index} is a {keyword}");
            }
        }
        Ok(())
    }
}

fn equal(what: &str, expected: &[String], found: &[String]) -> Result<()> {
    let difference = difference(expected, found);
    Ok(ensure!(difference.is_empty(), "{what}: - expected and missing, + there and not expected\n{difference}"))
}

fn texts<'a>(values: impl Iterator<Item = &'a Value>) -> Vec<String> {
    values.map(Value::to_string).collect()
}

/// The three statements of the demo's script: codes, users, clicks.
fn connectors_of(script: &str) -> Result<(&str, &str, &str)> {
    let statements: Vec<&str> = script.split_inclusive(';').filter(|s| s.contains("CREATE")).collect();
    let [codes, users, clicks] = statements[..] else { anyhow::bail!("not three statements in\n{script}") };
    Ok((codes, users, clicks))
}

/// A generator's statement, with an end.
fn ending(statement: &str, iterations: usize) -> String {
    statement.replacen("WITH (", &format!("WITH ('iterations' = '{iterations}', 'random.seed' = '11',"), 1)
}

fn path(file: &Path) -> String {
    file.display().to_string()
}

/// A row of the twin by its columns, in their order.
fn columns(row: &str) -> Result<Vec<(String, Value)>> {
    let row: Value = serde_json::from_str(row)?;
    Ok(row.as_object().context("a row is an object")?.clone().into_iter().collect())
}

fn array<'a>(row: impl Iterator<Item = &'a (String, Value)>) -> String {
    Value::Array(row.map(|(_, value)| value.clone()).collect()).to_string()
}

/// The last value of each key; a tombstone takes its key away.
fn last(records: &[Record]) -> Result<BTreeMap<&[u8], Value>> {
    let mut last = BTreeMap::new();
    for record in records {
        let key = record.key.as_deref().context("a table's record without a key")?;
        match &record.value {
            Some(value) => last.insert(key, serde_json::from_slice(value)?),
            None => last.remove(key),
        };
    }
    Ok(last)
}

/// What the generators wrote, read back from Kafka; keys are as the demo's converters write them.
fn generated(broker: &Broker) -> Result<Clickstream> {
    // The twin borrows its texts for as long as the test runs.
    let text = |value: &Value| -> &'static str { String::leak(value.as_str().unwrap_or_default().to_owned()) };
    let mut values = BTreeMap::new();
    for topic in ["clickstream", "clickstream_users", "clickstream_codes"] {
        let parse = |r: Record| -> Result<(Vec<u8>, i64, Value)> {
            let value = serde_json::from_slice(&r.value.context("a record without a value")?)?;
            Ok((r.key.context("a record without a key")?, r.time.context("a record without a time")?, value))
        };
        let records: Vec<_> = broker.read(topic)?.into_iter().map(parse).collect::<Result<_>>()?;
        values.insert(topic, records);
    }
    let number = |value: &Value| -> Result<i32> { Ok(i32::try_from(value.as_i64().context("no number")?)?) };
    let mut clicks = Vec::new();
    for (key, time, value) in &values["clickstream"] {
        let ip = text(&value["ip"]);
        ensure!(key == ip.as_bytes(), "the key of {value} is {key:?}");
        let status = text(&value["status"]).parse()?;
        let user = number(&value["userid"])?;
        clicks.push(Click { time: *time, ip: ip.to_owned(), user, status, request: text(&value["request"]) });
    }
    let mut users = Vec::new();
    for (key, _, value) in &values["clickstream_users"] {
        let id = number(&value["user_id"])?;
        ensure!(key[..] == id.to_be_bytes(), "the key of {value} is {key:?}");
        users.push(User { id, name: text(&value["username"]).to_owned(), city: text(&value["city"]) });
    }
    let mut codes = BTreeMap::new();
    for (key, _, value) in &values["clickstream_codes"] {
        let code = number(&value["code"])?;
        ensure!(key[..] == code.to_be_bytes(), "the key of {value} is {key:?}");
        codes.insert(code, text(&value["definition"]));
    }
    let codes: Vec<(i32, &'static str)> = codes.into_iter().collect();
    Ok(Clickstream { clicks, users, codes: codes.leak() })
}
