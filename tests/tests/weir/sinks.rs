//! Sink connectors against real search servers: their lives over Connect's REST, and what they do when the server
//! refuses. Topics live in the process here.

use crate::http;
use crate::program::wait_for;
use crate::search::Search;
use crate::server::Server;
use crate::service::{self, Kind, Service};
use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use std::fs;
use std::sync::Arc;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

const SCRIPT: &str =
    "CREATE STREAM readings (place VARCHAR, v VARCHAR) WITH (kafka_topic = 'readings', value_format = 'json', partitions = 1);
     CREATE TABLE latest AS
       SELECT place, MAX(CAST(v AS BIGINT)) AS v FROM readings GROUP BY place;
     CREATE STREAM copies AS SELECT * FROM readings;";

/// The tests.
pub(crate) fn trials() -> Vec<Trial> {
    let of = |kind: Kind| {
        vec![
            service::trial(&format!("{}/connectors-over-rest", kind.name()), move || connectors_over_rest(kind)),
            service::trial(&format!("{}/first-changes", kind.name()), move || first_changes(kind)),
            service::trial(&format!("{}/malformed-documents", kind.name()), move || malformed_documents(kind)),
            service::trial(&format!("{}/server-says-429", kind.name()), move || server_says_429(kind)),
        ]
    };
    [Kind::Elasticsearch, Kind::Opensearch].into_iter().flat_map(of).collect()
}

struct Site {
    service: Arc<Service>,
    search: Search,
    weir: Server,
    _folder: tempfile::TempDir,
}

impl Site {
    fn start(kind: Kind) -> Result<Site> {
        let service = service::shared(kind)?;
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("script.sql"), SCRIPT)?;
        let weir = Server::start(&["run".to_owned(), "script.sql".to_owned()], folder.path())?;
        Ok(Site { search: Search::at(&service.address), service, weir, _folder: folder })
    }

    fn insert(&self, place: &str, v: &str) -> Result<()> {
        self.weir.ksql(&format!("INSERT INTO readings (place, v) VALUES ('{place}', '{v}');")).map(drop)
    }

    /// `POST /connectors` of a sink; the index is the connector's name.
    fn sink(&self, name: &str, topic: &str, more: Value) -> Result<http::Answer> {
        let mut config = json!({
            "connector.class": "io.confluent.connect.elasticsearch.ElasticsearchSinkConnector",
            "topics": topic, "topic.index.map": format!("{topic}:{name}"), "key.ignore": "false",
            "connection.url": self.service.address,
        });
        if let (Some(config), Value::Object(more)) = (config.as_object_mut(), more) {
            config.extend(more);
        }
        http::post(&format!("{}/connectors", self.weir.connect), &json!({"name": name, "config": config}))
    }

    fn task(&self, name: &str) -> Result<Value> {
        let status = http::get(&format!("{}/connectors/{name}/status", self.weir.connect))?.ok()?;
        Ok(status["tasks"][0].clone())
    }

    /// Waits until an index holds so many documents, and gives them.
    fn documents(&self, index: &str, count: usize) -> Result<Vec<Value>> {
        wait_for(LIMIT, index, || {
            let documents = self.search.documents(index)?;
            ensure!(documents.len() == count, "{count} documents expected in {index}: {documents:?}");
            Ok(documents.into_values().collect())
        })
    }
}

fn connectors_over_rest(kind: Kind) -> Result<()> {
    let site = Site::start(kind)?;
    let base = format!("{}/connectors", site.weir.connect);
    let name = "life";
    let made = site.sink(name, "LATEST", json!({}))?;
    ensure!(made.status == 201, "{}: {}", made.status, made.body);
    let made = made.json()?;
    ensure!(made["name"] == name && made["type"] == "sink" && made["config"]["topics"] == "LATEST", "{made}");
    ensure!(site.sink(name, "LATEST", json!({}))?.status == 409, "a second connector of this name");
    for wrong in [json!({"topics": ""}), json!({"key.ignore": "perhaps"}), json!({"connection.url": "nowhere"})] {
        let refused = site.sink("wrong", "LATEST", wrong.clone())?;
        ensure!(refused.status == 400 && refused.body.contains("invalid"), "{wrong}: {}", refused.body);
    }
    ensure!(http::get(&base)?.ok()? == json!([name]), "{}", http::get(&base)?.body);
    site.insert("a", "1")?;
    site.documents(name, 1)?;

    ensure!(http::put(&format!("{base}/{name}/pause"))?.status == 202, "pause");
    ensure!(site.task(name)?["state"] == "PAUSED", "{}", site.task(name)?);
    site.insert("b", "2")?;
    wait_for(LIMIT, "the view's row", || {
        Ok(ensure!(site.weir.rows("SELECT * FROM LATEST;")?.len() == 2, "not yet there"))
    })?;
    std::thread::sleep(Duration::from_millis(700));
    site.documents(name, 1)?;
    ensure!(http::put(&format!("{base}/{name}/resume"))?.status == 202, "resume");
    site.documents(name, 2)?;
    ensure!(site.task(name)?["state"] == "RUNNING", "{}", site.task(name)?);
    let shown = site.weir.ksql("SHOW CONNECTORS;")?[0].to_string();
    ensure!(shown.contains("RUNNING (1/1 tasks RUNNING)"), "{shown}");

    let changed = http::put_json(
        &format!("{base}/{name}/config"),
        &json!({
            "connector.class": "ElasticsearchSink", "topics": "LATEST", "topic.index.map": "LATEST:life2",
            "key.ignore": "false", "connection.url": site.service.address,
        }),
    )?;
    ensure!(changed.status == 200, "{}: {}", changed.status, changed.body);
    site.documents("life2", 2)?;

    ensure!(http::delete(&format!("{base}/{name}"))?.status == 204, "delete");
    for gone in [http::get(&format!("{base}/{name}/status"))?, http::delete(&format!("{base}/{name}"))?] {
        ensure!(gone.status == 404, "{}: {}", gone.status, gone.body);
    }
    site.insert("c", "3")?;
    // By statement it is the same thing, with a name in upper case.
    let made = site.weir.ksql(&format!(
        "CREATE SINK CONNECTOR by_statement WITH ('connector.class' = 'io.confluent.connect.elasticsearch.ElasticsearchSinkConnector', \
         'topics' = 'COPIES', 'topic.index.map' = 'COPIES:by_statement', 'key.ignore' = 'true', 'connection.url' = '{}');",
        site.service.address
    ))?;
    ensure!(made[0]["info"]["name"] == "BY_STATEMENT", "{}", made[0]);
    site.documents("by_statement", 3)?;
    site.documents("life2", 2)?;
    site.weir.ksql("DROP CONNECTOR by_statement;")?;
    ensure!(http::get(&base)?.ok()? == json!([]), "{}", http::get(&base)?.body);
    Ok(())
}

/// What comes as soon as whoever makes a sink has the answer comes as changes, each of which becomes a document.
fn first_changes(kind: Kind) -> Result<()> {
    let site = Site::start(kind)?;
    site.sink("first_changes", "LATEST", json!({"key.ignore": "true"}))?.ok()?;
    for v in 1..=3 {
        site.insert("a", &v.to_string())?;
        wait_for(LIMIT, "the row", || {
            let (_, rows) = site.weir.pull("SELECT V FROM LATEST WHERE PLACE = 'a';")?;
            Ok(ensure!(rows == [[json!(v)]], "{rows:?}"))
        })?;
    }
    let mut values: Vec<Value> = site.documents("first_changes", 3)?.iter().map(|d| d["V"].clone()).collect();
    values.sort_by_key(Value::as_i64);
    Ok(ensure!(values == [1, 2, 3], "{values:?}"))
}

fn malformed_documents(kind: Kind) -> Result<()> {
    let site = Site::start(kind)?;
    for index in ["told", "passed_over", "failed"] {
        site.search.create_index(index, "V", "long")?;
    }
    site.sink("told", "COPIES", json!({"key.ignore": "true"}))?.ok()?;
    let quiet = json!({"key.ignore": "true", "behavior.on.malformed.documents": "ignore"});
    site.sink("passed_over", "COPIES", quiet)?.ok()?;
    let strict = json!({"key.ignore": "true", "behavior.on.malformed.documents": "fail"});
    site.sink("failed", "COPIES", strict)?.ok()?;
    site.insert("a", "1")?;
    for index in ["told", "passed_over", "failed"] {
        site.documents(index, 1)?;
    }
    site.insert("b", "no number")?;
    site.insert("c", "3")?;
    for index in ["told", "passed_over"] {
        let documents = site.documents(index, 2)?;
        ensure!(documents.iter().all(|d| d["PLACE"] != "b"), "{documents:?}");
        ensure!(site.task(index)?["state"] == "RUNNING", "{}", site.task(index)?);
    }
    wait_for(LIMIT, "a failed task", || {
        let task = site.task("failed")?;
        let trace = task["trace"].as_str().unwrap_or_default();
        Ok(ensure!(task["state"] == "FAILED" && trace.contains("malformed"), "{task}"))
    })?;
    let query =
        "SELECT LOGGER, MESSAGE->TYPE, MESSAGE->PRODUCTIONERROR->ERRORMESSAGE AS REASON FROM KSQL_PROCESSING_LOG;";
    wait_for(LIMIT, "the processing log", || {
        let (_, rows) = site.weir.pull(query)?;
        let told: Vec<_> = rows.iter().filter(|row| row[0] == "sink.told").collect();
        ensure!(told.len() == 1, "{rows:?}");
        let reason = told[0][2].as_str().context("no reason")?;
        let whole = reason.contains("parsing") && reason.contains("[V]") && reason.contains("no number");
        Ok(ensure!(told[0][1] == 2 && whole, "{told:?}"))
    })?;
    wait_for(LIMIT, "the count", || {
        let rejected = site.weir.metric("weir_sink_rejected_total", &["connector=\"told\""])?;
        Ok(ensure!(rejected == 1.0, "{rejected} were rejected"))
    })
}

fn server_says_429(kind: Kind) -> Result<()> {
    let site = Site::start(kind)?;
    site.sink("busy", "LATEST", json!({}))?.ok()?;
    site.insert("a", "1")?;
    site.documents("busy", 1)?;
    site.search.refuse_writes("busy", true)?;
    site.insert("a", "2")?;
    site.insert("b", "1")?;
    wait_for(LIMIT, "a retry", || {
        let retries = site.weir.metric("weir_sink_retries_total", &["connector=\"busy\""])?;
        let queued = site.weir.metric("weir_sink_queued", &["connector=\"busy\""])?;
        Ok(ensure!(retries >= 1.0 && queued >= 1.0, "{retries} retries, {queued} wait"))
    })?;
    ensure!(site.task("busy")?["state"] == "RUNNING", "{}", site.task("busy")?);
    ensure!(site.weir.rows("SELECT * FROM LATEST;")?.len() == 2, "the view does not wait");
    site.search.refuse_writes("busy", false)?;
    wait_for(LIMIT, "both rows", || {
        let documents = site.search.documents("busy")?;
        let values: Vec<&Value> = documents.values().map(|d| &d["V"]).collect();
        Ok(ensure!(values == [&json!(2), &json!(1)], "{documents:?}"))
    })?;
    ensure!(site.weir.metric("weir_sink_rejected_total", &["connector=\"busy\""])? == 0.0, "rows were rejected");
    Ok(())
}
