//! Connectors: generators that write topics, and sinks that take changes to Elasticsearch, with the names,
//! properties and states that Kafka Connect gives them.
//!
//! One registry, whoever asks: `CREATE … CONNECTOR` (names in upper case), Connect's REST (names as they come).
//! A connector runs as one task, on this process.

mod datagen;
mod elasticsearch;
pub(crate) mod feed;

use crate::command::Workers;
use crate::config::Rate;
use crate::intake::topics::Topics;
use crate::metrics::Metrics;
use crate::processing_log::ProcessingLog;
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use weir_dataflow::bind::Catalog;
use weir_dataflow::sql::ast::{self, Literal};

/// A connector's properties, as they were given.
pub type Properties = BTreeMap<String, String>;

/// The generators' class.
const DATAGEN: &str = "io.confluent.kafka.connect.datagen.DatagenConnector";
/// Elasticsearch's class.
const ELASTICSEARCH: &str = "io.confluent.connect.elasticsearch.ElasticsearchSinkConnector";

/// Why a connector cannot be made or told something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// There is none of this name.
    #[error("{0}")]
    NotFound(String),
    /// There is one of this name already.
    #[error("{0}")]
    Exists(String),
    /// Its properties are wrong.
    #[error("{0}")]
    Invalid(String),
}

/// Which way a connector goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Into a topic.
    Source,
    /// Out of topics.
    Sink,
}

impl Kind {
    /// `source` or `sink`.
    pub fn text(self) -> &'static str {
        match self {
            Kind::Source => "source",
            Kind::Sink => "sink",
        }
    }
}

/// How a connector's task stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It works, or waits for work.
    Running,
    /// It was told to wait.
    Paused,
    /// It has ended, and why.
    Failed(String),
}

/// What connectors work with.
#[derive(Clone)]
pub struct Context {
    /// The workers, whose views sinks subscribe to.
    pub workers: Workers,
    /// Where generators write.
    pub topics: Topics,
    /// What is declared: sinks find the view of their topic in it.
    pub catalog: watch::Receiver<Arc<Catalog>>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// What sinks reject.
    pub log: ProcessingLog,
    /// How fast generators are.
    pub rate: Rate,
    /// Where sinks spill what their destination cannot take yet.
    pub spill: PathBuf,
    /// When this process began to count epochs, in seconds since 1970.
    pub generation: u32,
}

/// The registry. Cheap to clone.
#[derive(Clone)]
pub struct Connectors {
    context: Context,
    /// Held while a connector is made or ended, so that two requests of one name do not cross.
    order: Arc<tokio::sync::Mutex<()>>,
    running: Arc<Mutex<BTreeMap<String, Connector>>>,
}

struct Connector {
    properties: Properties,
    class: &'static str,
    topics: Vec<String>,
    run: Run,
}

/// A connector's task.
enum Run {
    Datagen(datagen::Run),
    Elasticsearch(elasticsearch::Run),
}

/// A connector as others see it.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectorView {
    /// Its name.
    pub name: String,
    /// `connector.class`.
    pub class: &'static str,
    /// Which way it goes.
    pub kind: Kind,
    /// Its properties.
    pub properties: Properties,
    /// Its topics.
    pub topics: Vec<String>,
    /// Its state.
    pub state: State,
}

impl Connectors {
    /// None yet.
    pub fn new(context: Context) -> Self {
        Connectors { context, order: Arc::default(), running: Arc::default() }
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<String, Connector>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a connector and starts it.
    ///
    /// # Errors
    /// The name is taken, or the properties are wrong.
    pub async fn create(&self, name: &str, properties: Properties) -> Result<ConnectorView, ConnectError> {
        let _order = self.order.lock().await;
        if self.running().contains_key(name) {
            return Err(ConnectError::Exists(format!("Connector {name} already exists")));
        }
        self.start(name, properties, 0).await
    }

    /// Ends a connector and makes it again with other properties; a generator goes on where it was.
    ///
    /// # Errors
    /// There is none, or the properties are wrong; then the old one goes on.
    pub async fn replace(&self, name: &str, properties: Properties) -> Result<ConnectorView, ConnectError> {
        let _order = self.order.lock().await;
        check(&properties)?;
        let old = self.running().remove(name).ok_or_else(|| not_found(name))?;
        let position = old.run.stop(Duration::ZERO).await;
        self.start(name, properties, position).await
    }

    async fn start(&self, name: &str, properties: Properties, position: u64) -> Result<ConnectorView, ConnectError> {
        let connector = match class(&properties)? {
            DATAGEN => {
                let (run, topic) = datagen::start(name, &properties, &self.context, position).await?;
                Connector { properties, class: DATAGEN, topics: vec![topic], run: Run::Datagen(run) }
            }
            _ => {
                let (run, topics) = elasticsearch::start(name, &properties, &self.context).await?;
                Connector { properties, class: ELASTICSEARCH, topics, run: Run::Elasticsearch(run) }
            }
        };
        let view = connector.view(name);
        self.running().insert(name.to_owned(), connector);
        tracing::info!(connector = name, "connector started");
        Ok(view)
    }

    /// Ends a connector; a sink gets a moment to deliver what is pending.
    ///
    /// # Errors
    /// There is none.
    pub async fn drop(&self, name: &str) -> Result<(), ConnectError> {
        let _order = self.order.lock().await;
        let connector = self.running().remove(name).ok_or_else(|| not_found(name))?;
        connector.run.stop(Duration::from_secs(2)).await;
        self.context.metrics.forget_connector(name);
        Ok(())
    }

    /// Ends a connector and starts it again, failed or not; a generator goes on where it was.
    ///
    /// # Errors
    /// There is none.
    pub async fn restart(&self, name: &str) -> Result<(), ConnectError> {
        let _order = self.order.lock().await;
        let connector = self.running().remove(name).ok_or_else(|| not_found(name))?;
        let position = connector.run.stop(Duration::from_secs(2)).await;
        self.start(name, connector.properties, position).await.map(|_| ())
    }

    /// Lets a connector wait.
    ///
    /// # Errors
    /// There is none.
    pub fn pause(&self, name: &str) -> Result<(), ConnectError> {
        self.tell(name, true)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// There is none.
    pub fn resume(&self, name: &str) -> Result<(), ConnectError> {
        self.tell(name, false)
    }

    fn tell(&self, name: &str, paused: bool) -> Result<(), ConnectError> {
        match self.running().get(name).map(|c| &c.run) {
            None => return Err(not_found(name)),
            Some(Run::Datagen(run)) => run.set_paused(paused),
            Some(Run::Elasticsearch(run)) => run.set_paused(paused),
        }
        Ok(())
    }

    /// A connector.
    pub fn get(&self, name: &str) -> Option<ConnectorView> {
        self.running().get(name).map(|c| c.view(name))
    }

    /// All connectors, by name.
    pub fn list(&self) -> Vec<ConnectorView> {
        self.running().iter().map(|(name, c)| c.view(name)).collect()
    }

    /// Ends all connectors: generators at once, then each sink when it has delivered what is pending, at the latest
    /// after `drain`.
    pub async fn stop(&self, drain: Duration) {
        let _order = self.order.lock().await;
        let all = std::mem::take(&mut *self.running());
        let (sources, sinks): (Vec<Run>, Vec<Run>) =
            all.into_values().map(|c| c.run).partition(|run| matches!(run, Run::Datagen(_)));
        for run in sources {
            run.stop(Duration::ZERO).await;
        }
        futures_util::future::join_all(sinks.into_iter().map(|run| run.stop(drain))).await;
    }
}

impl Run {
    /// Ends it; the position of a generator.
    async fn stop(self, drain: Duration) -> u64 {
        match self {
            Run::Datagen(run) => run.stop().await,
            Run::Elasticsearch(run) => {
                run.stop(drain).await;
                0
            }
        }
    }
}

impl Connector {
    fn view(&self, name: &str) -> ConnectorView {
        let (kind, state) = match &self.run {
            Run::Datagen(run) => (Kind::Source, run.state()),
            Run::Elasticsearch(run) => (Kind::Sink, run.state()),
        };
        ConnectorView {
            name: name.into(),
            class: self.class,
            kind,
            properties: self.properties.clone(),
            topics: self.topics.clone(),
            state,
        }
    }
}

impl ConnectorView {
    /// As `GET /connectors/NAME` shows it.
    pub fn info_json(&self) -> Json {
        let mut config: Map<String, Json> =
            self.properties.iter().map(|(k, v)| (k.clone(), Json::from(v.as_str()))).collect();
        config.insert("name".into(), Json::from(self.name.as_str()));
        let tasks = json!([{"connector": self.name, "task": 0}]);
        json!({"name": self.name, "config": config, "tasks": tasks, "type": self.kind.text()})
    }

    /// As `GET /connectors/NAME/status` shows it. A connector whose task failed is itself still RUNNING.
    pub fn status_json(&self, worker: &str) -> Json {
        let state = if self.state == State::Paused { "PAUSED" } else { "RUNNING" };
        json!({
            "name": self.name,
            "connector": {"state": state, "worker_id": worker},
            "tasks": [self.task_json(worker)],
            "type": self.kind.text(),
        })
    }

    /// As `GET /connectors/NAME/tasks/0/status` shows it.
    pub fn task_json(&self, worker: &str) -> Json {
        let mut task = json!({"id": 0, "state": self.state.text(), "worker_id": worker});
        if let State::Failed(trace) = &self.state {
            task["trace"] = Json::from(trace.as_str());
        }
        task
    }

    /// As SHOW CONNECTORS shows its state: `RUNNING (1/1 tasks RUNNING)`.
    pub fn summary(&self) -> String {
        let running = usize::from(self.state == State::Running);
        format!("{} ({running}/1 tasks RUNNING)", self.state.text())
    }
}

impl State {
    /// `RUNNING`, `PAUSED`, `FAILED`.
    pub fn text(&self) -> &'static str {
        match self {
            State::Running => "RUNNING",
            State::Paused => "PAUSED",
            State::Failed(_) => "FAILED",
        }
    }
}

/// Whether a connector could be made of these properties.
///
/// # Errors
/// What is wrong with them.
pub fn check(properties: &Properties) -> Result<(), ConnectError> {
    match class(properties)? {
        DATAGEN => datagen::check(properties),
        _ => elasticsearch::check(properties),
    }
}

/// The properties of a WITH clause.
pub fn properties(with: &ast::Properties) -> Properties {
    with.0.iter().map(|p| (p.name.clone(), literal_text(&p.value))).collect()
}

/// A literal of a WITH clause as a property's text.
fn literal_text(literal: &Literal) -> String {
    match literal {
        Literal::Null => String::new(),
        Literal::Boolean(b) => b.to_string(),
        Literal::Integer(n) => n.to_string(),
        Literal::Bigint(n) => n.to_string(),
        Literal::Decimal(text) | Literal::Double(text) | Literal::String(text) => text.clone(),
    }
}

/// The classes that weir has, as `GET /connector-plugins` lists them.
pub fn plugins() -> Json {
    let version = env!("CARGO_PKG_VERSION");
    json!([
        {"class": ELASTICSEARCH, "type": "sink", "version": version},
        {"class": DATAGEN, "type": "source", "version": version},
    ])
}

/// The class that properties ask for, by its full or its bare name.
fn class(properties: &Properties) -> Result<&'static str, ConnectError> {
    let Some(asked) = properties.get("connector.class") else {
        return Err(ConnectError::Invalid("property 'connector.class' is missing".into()));
    };
    let bare = |class: &'static str| class.rsplit('.').next().unwrap_or(class);
    let fits = |class: &'static str| {
        asked == class || asked == bare(class) || bare(class).strip_suffix("Connector") == Some(asked.as_str())
    };
    [DATAGEN, ELASTICSEARCH].into_iter().find(|class| fits(class)).ok_or_else(|| {
        ConnectError::Invalid(format!(
            "Failed to find any class that implements Connector and which name matches {asked}: weir has {DATAGEN} and {ELASTICSEARCH}"
        ))
    })
}

fn not_found(name: &str) -> ConnectError {
    ConnectError::NotFound(format!("Connector {name} not found"))
}

fn invalid(reason: impl std::fmt::Display) -> ConnectError {
    ConnectError::Invalid(format!("Connector configuration is invalid: {reason}"))
}
