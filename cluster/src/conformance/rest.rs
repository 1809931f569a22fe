//! A case over HTTP: a server of its own, started as `weir run` does on a free port, and asked through that port.
//!
//! 1. The topics that the case writes to are there, with four partitions unless it says otherwise.
//! 2. The statements before the first SELECT go in one `POST /ksql`.
//! 3. The records are written in their order, each when the one before it is in all views.
//! 4. Each SELECT goes to `POST /query`. Where the case waits for a push query, 3 happens once that query has begun.
//!    As on the suite's own server, `ksql.query.push.v2.enabled` is set.
//! 5. The answers must be the expected ones ([`super::answers`]), and topics must hold the expected records.

use super::answers;
use super::case::{Case, Record};
use super::compare::{self, Numbers};
use super::records::{self, Raw};
use super::report::Failure;
use crate::args::{Args, Verb};
use crate::config::ServeConfig;
use crate::intake::script;
use crate::intake::session::Session;
use crate::serve::{Process, Server};
use anyhow::{Context, anyhow, bail};
use clap::Parser;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::net::TcpListener;
use weir_dataflow::bind::{Bound, Catalog};
use weir_dataflow::plan::TopicSpec;
use weir_dataflow::row::Schema;
use weir_dataflow::row::encode::Encoder;
use weir_dataflow::sql::ast::StatementKind;
use weir_ingest::source::memory::{Cleanup, MemoryTopic, NewRecord};
use weir_ingest::source::{Limit, Share, Source as _, Start};

/// No answer takes as long as this.
const PATIENCE: Duration = Duration::from_secs(10);

/// Partitions of a topic of which a case does not say how many.
const PARTITIONS: u32 = 4;

/// Runs a case.
///
/// # Errors
/// How it went otherwise than the case says.
pub(super) fn run(case: &Case) -> Result<(), Failure> {
    let broken = |error: anyhow::Error| Failure::new(format!("{error:#}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| broken(e.into()))?;
    let result = runtime.block_on(async {
        let site = Site::start().await.map_err(broken)?;
        let result = site.run(case).await;
        site.server.end().await.map_err(broken)?;
        result
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// A server and a client for it.
struct Site {
    server: Server,
    /// `http://HOST:PORT`.
    url: String,
    client: reqwest::Client,
}

/// A statement's or query's answer.
struct Answered {
    status: u16,
    body: String,
}

impl Site {
    async fn start() -> anyhow::Result<Self> {
        let line = "weir run --listen 127.0.0.1:0 --offset-reset earliest --epoch-ms 1 --every-change";
        let Verb::Run(args) = Args::try_parse_from(line.split(' '))?.verb else { bail!("'{line}' does not run") };
        let config = ServeConfig::run(&args)?;
        let listener = TcpListener::bind(config.listen).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let server = Server::start(&config, Process::start(&config).await?, listener).await?;
        let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build()?;
        Ok(Site { server, url, client })
    }

    async fn run(&self, case: &Case) -> Result<(), Failure> {
        let broken = |error: anyhow::Error| Failure::new(format!("{error:#}"));
        let queries = case.statements.iter().position(|s| is_query(s)).unwrap_or(case.statements.len());
        let (statements, queries) = case.statements.split_at(queries);
        self.create_topics(case, &statements.join("\n")).map_err(broken)?;
        let body = json!({"ksql": statements.join("\n"), "streamsProperties": case.properties});
        let answered = self.post("/ksql", &body).await.map_err(broken)?;
        if answered.status != 200 {
            return answers::refused(case, queries.is_empty(), answered.status, &answered.body);
        }
        let mut given: Vec<Json> = match serde_json::from_str::<Json>(&answered.body) {
            Ok(Json::Array(entities)) => entities.into_iter().map(|e| json!({"admin": e})).collect(),
            _ => return Err(Failure::compared("POST /ksql answers no array", "[…]", answered.body)),
        };
        let waits = case.input_conditions.as_ref().is_some_and(|c| c["waitForActivePushQuery"] == true);
        if !waits {
            self.write(case).await.map_err(broken)?;
        }
        for (i, query) in queries.iter().enumerate() {
            let mut properties = case.properties.clone();
            properties.entry("ksql.query.push.v2.enabled").or_insert(Json::Bool(true));
            let body = json!({"ksql": query, "streamsProperties": properties});
            let wanted = answers::length(case, statements.len() + i);
            let begun = waits.then_some(case);
            let answered = self.ask(&body, wanted, begun).await.map_err(broken)?;
            let rows = answers::items(&answered.body);
            let failed = rows.last().and_then(|last| last.get("errorMessage"));
            if answered.status != 200 || failed.is_some() {
                let body = failed.map_or(answered.body.clone(), Json::to_string);
                return answers::refused(case, i + 1 == queries.len(), answered.status, &body);
            }
            given.push(json!({"query": rows}));
        }
        if let Some(refusal) = &case.expected_error {
            return Err(Failure::compared("no error came", refusal.message.clone(), ""));
        }
        answers::compare(case, &given)?;
        self.compare_topics(case).await
    }

    async fn post(&self, path: &str, body: &Json) -> anyhow::Result<Answered> {
        let request = self.client.post(format!("{}{path}", self.url)).header("content-type", "application/json");
        let response = request.body(body.to_string()).timeout(PATIENCE).send().await?;
        Ok(Answered { status: response.status().as_u16(), body: response.text().await? })
    }

    /// Asks a query and reads its answer: to its end, or until as many items have come as are wanted and are all that the
    /// case speaks of. With `begun`, that case's records are written once the query has begun.
    async fn ask(&self, body: &Json, wanted: Option<usize>, begun: Option<&Case>) -> anyhow::Result<Answered> {
        let request = self.client.post(format!("{}/query", self.url)).header("content-type", "application/json");
        let mut response = request.body(body.to_string()).send().await?;
        let status = response.status().as_u16();
        let mut bytes = Vec::new();
        let mut begun = begun;
        loop {
            if let Some(case) = begun.take_if(|_| !bytes.is_empty()) {
                self.server.settle().await?;
                self.write(case).await?;
            }
            let piece = tokio::time::timeout(PATIENCE, response.chunk()).await;
            let Ok(piece) = piece else {
                let so_far = String::from_utf8_lossy(&bytes).into_owned();
                bail!("{} did not end; so far: {so_far}", body["ksql"]);
            };
            let Some(piece) = piece? else { break };
            bytes.extend_from_slice(&piece);
            if wanted.is_some_and(|wanted| answers::items(&String::from_utf8_lossy(&bytes)).len() >= wanted) {
                break;
            }
        }
        Ok(Answered { status, body: String::from_utf8_lossy(&bytes).into_owned() })
    }

    /// Creates the topics that the case writes to and its statements do not create.
    fn create_topics(&self, case: &Case, text: &str) -> anyhow::Result<()> {
        let mut session = Session::with_offset(crate::command::Offset::Earliest);
        let (statements, _) = script::read(text, &session);
        let mut own: BTreeMap<String, Option<u32>> = case.inputs.iter().map(|r| (r.topic.clone(), None)).collect();
        for (_, bound) in script::judge(&Catalog::default(), &mut session, text, &statements, &[]) {
            if let Ok(Bound::Source(source)) = bound {
                own.insert(source.topic.topic, source.topic.partitions);
            }
        }
        for (topic, partitions) in own {
            let said = case.topics.iter().find(|t| t.name == topic).and_then(|t| t.partitions);
            let partitions = partitions.or(said).unwrap_or(PARTITIONS);
            self.server.memory.create(&topic, partitions, Cleanup::default())?;
        }
        Ok(())
    }

    /// Writes the case's records; returns when they are in the views.
    async fn write(&self, case: &Case) -> anyhow::Result<()> {
        self.server.settle().await?;
        for record in &case.inputs {
            let (schema, topic) = self.shape(&record.topic)?;
            let raw = records::encode(record, &schema, &topic).map_err(|e| anyhow!("a record of the case: {e}"))?;
            let new = NewRecord {
                key: raw.key.as_deref(),
                value: raw.value.as_deref(),
                time: raw.time,
                headers: &raw.headers,
            };
            self.server.memory.append(&record.topic, None, new)?;
            self.server.settle().await?;
        }
        Ok(())
    }

    /// What a topic's records look like: as the first stream or table over it is declared.
    fn shape(&self, topic: &str) -> anyhow::Result<(Schema, TopicSpec)> {
        let catalog = self.server.intake.catalog();
        let entry = catalog.entries().find(|e| e.topic().topic == topic);
        let entry = entry.with_context(|| format!("no stream or table has the topic '{topic}'"))?;
        Ok((entry.schema().clone(), entry.topic().clone()))
    }

    async fn compare_topics(&self, case: &Case) -> Result<(), Failure> {
        let mut names: Vec<&str> = case.outputs.iter().map(|o| o.topic.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let expected: Vec<&Record> = case.outputs.iter().filter(|o| o.topic == name).collect();
            let actual = self.held(name).await.map_err(|e| Failure::new(format!("topic '{name}': {e:#}")))?;
            compare::records(name, &expected, &actual, Numbers::Exact)?;
        }
        Ok(())
    }

    /// What a topic holds; of a view's, its changes.
    async fn held(&self, name: &str) -> anyhow::Result<Vec<Record>> {
        let (schema, topic) = self.shape(name)?;
        let raws = match self.server.memory.topic(name) {
            Ok(topic) => all(&topic)?,
            Err(_) => {
                let encoder = Encoder::new(&schema, &topic)?;
                let catalog = self.server.intake.catalog();
                let view = catalog.entries().find(|e| e.topic().topic == name).map_or("", |e| e.name());
                let part = |write: &dyn Fn(&mut Vec<u8>) -> bool| {
                    let mut bytes = Vec::new();
                    write(&mut bytes).then_some(bytes)
                };
                let rows = self.server.intake.recent(view).await.map_err(|e| anyhow!(e))?;
                let raw = |row: &_| Raw {
                    key: part(&|out| encoder.key(row, out)),
                    value: part(&|out| encoder.value(row, out)),
                    time: row.time,
                    headers: Vec::new(),
                };
                rows.iter().map(raw).collect()
            }
        };
        raws.iter().map(|raw| records::decode(raw, name, &schema, &topic).map_err(|e| anyhow!(e))).collect()
    }
}

/// The records of a topic, partition by partition.
fn all(topic: &MemoryTopic) -> anyhow::Result<Vec<Raw>> {
    let mut reader = topic.read(Share::ALL, Start::Earliest);
    let mut raws = Vec::new();
    while let Some(batch) = reader.poll(Limit::default())? {
        for record in &batch.records {
            let part = |slice: Option<weir_ingest::record::Slice>| {
                slice.map(|s| batch.bytes[s.start as usize..s.end as usize].to_vec())
            };
            raws.push(Raw { key: part(record.key), value: part(record.value), time: record.time, headers: Vec::new() });
        }
    }
    Ok(raws)
}

/// True for a SELECT.
fn is_query(statement: &str) -> bool {
    let (statements, _) = weir_dataflow::sql::parse(statement);
    match statements.first() {
        Some(statement) => matches!(statement.kind, StatementKind::Query(_)),
        // It cannot be read: by its first word.
        None => statement.trim_start().get(..6).is_some_and(|word| word.eq_ignore_ascii_case("select")),
    }
}
