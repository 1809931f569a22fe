//! The intake: the one place where text becomes commands.
//!
//! ```text
//! text ─script─▶ statements ─judge (all of them, on a copy of the catalog)─▶ one after the other:
//!     change    what makes or ends something: catalog, topics, commands to the workers
//!     show      what only looks
//!     pull, push, print    queries, whose answers come row by row
//! ```
//!
//! Statements that change something are carried out one at a time, in order; queries and what only looks work on the
//! catalog as it was when they came and wait for nobody.

pub mod answer;
mod change;
mod cut;
mod describe;
pub mod entity;
pub mod failure;
mod insert;
mod print;
mod project;
pub mod properties;
mod pull;
mod push;
pub mod script;
pub mod session;
mod show;
pub mod topics;

use crate::command::{Command, Offset, Workers};
use crate::connect::Connectors;
use crate::metrics::Metrics;
use crate::processing_log::ProcessingLog;
use answer::Answer;
use entity::{CommandStatus, Entity};
use failure::{Code, Failure};
use project::Projection;
use serde::Serialize;
use session::Session;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use topics::Topics;
use weir_dataflow::bind::{Bound, Catalog, bind};
use weir_dataflow::sql::ast::{Statement, StatementKind};
use weir_dataflow::sql::error::{Diagnostic, line_column};

/// How statements are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where streams of statements that come over HTTP start.
    pub http_offset: Offset,
    /// Rows that may wait for a slow client of a push query.
    pub backlog: usize,
    /// A client of a push query gets every change of a table, however slow it is.
    pub every_change: bool,
    /// Views' changes are written to topics in Kafka.
    pub output_topics: bool,
    /// When this process began to count epochs, in seconds since 1970.
    pub generation: u32,
}

/// What an intake works with.
pub struct Parts {
    /// The workers.
    pub workers: Workers,
    /// The topics.
    pub topics: Topics,
    /// The connectors.
    pub connectors: Connectors,
    /// Where each new catalog is made known.
    pub catalog: watch::Sender<Arc<Catalog>>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// What cannot be read, computed or delivered.
    pub log: ProcessingLog,
    /// How statements are taken.
    pub settings: Settings,
}

/// The intake. Cheap to clone.
#[derive(Clone)]
pub struct Intake(Arc<Inner>);

struct Inner {
    parts: Parts,
    /// Held while a statement changes something; numbers the changes.
    changes: tokio::sync::Mutex<u64>,
    /// How each change went, by its command's id.
    statuses: Mutex<BTreeMap<String, StatementStatus>>,
    /// Push queries that run.
    clients: Mutex<BTreeMap<String, Client>>,
    /// Tasks that write views' changes to Kafka.
    outputs: Mutex<BTreeMap<String, topics::Output>>,
    /// Tasks that write INSERT INTO queries' rows to their streams' topics.
    inserting: Mutex<BTreeMap<String, insert::Inserting>>,
    /// Ids of persistent queries that are paused.
    paused: Mutex<BTreeSet<String>>,
    next_query: AtomicU64,
    /// While a script runs: its commands, which go out together.
    group: Mutex<Option<Vec<Command>>>,
}

/// A push query that runs.
struct Client {
    statement: String,
    stop: watch::Sender<bool>,
}

/// How a statement went, as `GET /status/…` shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StatementStatus {
    /// `SUCCESS`.
    pub status: &'static str,
    /// `Stream created`.
    pub message: String,
    /// The query that it began.
    #[serde(rename = "queryId")]
    pub query_id: Option<String>,
}

/// What works and what does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// The catalog.
    pub catalog: bool,
    /// The broker.
    pub topics: bool,
    /// The workers.
    pub workers: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Intake {
    /// An intake with the catalog that `parts` has.
    pub fn new(parts: Parts) -> Self {
        Intake(Arc::new(Inner {
            parts,
            changes: tokio::sync::Mutex::new(0),
            statuses: Mutex::default(),
            clients: Mutex::default(),
            outputs: Mutex::default(),
            inserting: Mutex::default(),
            paused: Mutex::default(),
            next_query: AtomicU64::new(1),
            group: Mutex::default(),
        }))
    }

    /// Carries out the statements of a text, one after the other, after all of them were found to be right.
    ///
    /// # Errors
    /// The first statement that is wrong or cannot be carried out, with the answers of those before it.
    pub async fn execute(&self, text: &str, session: &mut Session) -> Result<Vec<Entity>, Failure> {
        let statements = self.judged(text, session, Queries::Elsewhere)?;
        let mut entities = Vec::new();
        for statement in &statements {
            match self.statement(statement, session).await {
                Ok(entity) => entities.extend(entity),
                Err(failure) => return Err(Failure { entities, ..failure }),
            }
        }
        Ok(entities)
    }

    /// Carries out a script's statements, one after the other. A DROP or TERMINATE of what is not there is told, and
    /// the script goes on.
    ///
    /// # Errors
    /// The first other statement that cannot be carried out, with its place.
    pub async fn run_script(&self, name: &str, text: &str, session: &mut Session) -> anyhow::Result<()> {
        let (statements, _) = script::read(text, session);
        for statement in &statements {
            let Err(failure) = self.statement(statement, session).await else { continue };
            let error = Diagnostic::at(statement.span, failure.message).render(name, text);
            if !script::takes_away(statement) {
                anyhow::bail!(error);
            }
            tracing::warn!("{error}");
        }
        Ok(())
    }

    /// The statements of a text, when none of them is wrong.
    fn judged(&self, text: &str, session: &Session, queries: Queries) -> Result<Vec<Statement>, Failure> {
        let (statements, errors) = script::read(text, session);
        if let Some(error) = errors.first() {
            let at = error.span.map_or(0, |s| s.start as usize);
            let (line, column) = line_column(text, at);
            let message = explained(error);
            let placed =
                if message.starts_with("line ") { message } else { format!("line {line}:{column}: {message}") };
            return Err(Failure::statement(statement_at(text, at), placed));
        }
        let judged = script::judge(&self.catalog(), &mut session.clone(), text, &statements, &[]);
        for (i, result) in judged {
            let is_query = matches!(statements[i].kind, StatementKind::Query(_) | StatementKind::Print { .. });
            if is_query && queries == Queries::Elsewhere {
                return Err(query_endpoint(&statements[i]));
            }
            if let Err(error) = result {
                return Err(not_bound(&statements[i], &error));
            }
        }
        Ok(statements)
    }

    /// Carries out one statement; `None` when it has no answer.
    ///
    /// # Errors
    /// Why it was not carried out.
    pub async fn statement(&self, statement: &Statement, session: &mut Session) -> Result<Option<Entity>, Failure> {
        let failed = |message: String| Failure::statement(&statement.text, message);
        match &statement.kind {
            StatementKind::Set(..)
            | StatementKind::Unset(_)
            | StatementKind::Define(..)
            | StatementKind::Undefine(_) => {
                script::apply_settings(session, statement).map_err(failed)?;
                Ok(None)
            }
            StatementKind::Query(_) | StatementKind::Print { .. } => Err(query_endpoint(statement)),
            StatementKind::RunScript(_) => Err(failed(
                "RUN SCRIPT is for ksqlDB's command line; send the script's text, or start weir with it".into(),
            )),
            StatementKind::AlterSystem(..) => Err(failed("weir does not support ALTER SYSTEM: use SET".into())),
            StatementKind::Assert(_) => Err(failed("weir does not support ASSERT".into())),
            StatementKind::Show { .. }
            | StatementKind::Describe { .. }
            | StatementKind::DescribeAll { .. }
            | StatementKind::DescribeFunction(_)
            | StatementKind::DescribeConnector(_)
            | StatementKind::ExplainQuery(_)
            | StatementKind::Explain(_) => {
                let body = self.show(&statement.kind, session).await.map_err(failed)?;
                Ok(Some(Entity { body, statement: statement.text.clone(), warnings: Vec::new() }))
            }
            _ => {
                let body = self.change(statement, session).await.map_err(failed)?;
                Ok(body.map(|body| Entity { body, statement: statement.text.clone(), warnings: Vec::new() }))
            }
        }
    }

    /// Begins to answer a query: one SELECT or PRINT, perhaps after SET statements.
    ///
    /// # Errors
    /// The text is no such query, or it cannot be answered.
    pub async fn query(&self, text: &str, mut session: Session) -> Result<Answer, Failure> {
        let statements = self.judged(text, &session, Queries::Here)?;
        let mut query = None;
        for statement in statements {
            match statement.kind {
                StatementKind::Set(..) | StatementKind::Unset(_) if query.is_none() => {
                    script::apply_settings(&mut session, &statement)
                        .map_err(|message| Failure::statement(&statement.text, message))?;
                }
                _ if query.is_none() => query = Some(statement),
                _ => return Err(Failure::request(Code::BadStatement, "Expected exactly one KSQL statement")),
            }
        }
        let Some(statement) = query else {
            return Err(Failure::request(Code::BadStatement, "Expected exactly one KSQL statement; found 0 instead"));
        };
        let catalog = self.catalog();
        match &statement.kind {
            StatementKind::Print { topic, from_beginning, interval, limit } => {
                let every = interval.unwrap_or(1).max(1);
                self.print(&topic.name, *from_beginning, every, *limit)
                    .await
                    .map_err(|message| Failure::statement(&statement.text, message))
            }
            StatementKind::Query(_) => {
                let bound =
                    bind(&catalog, &session.bound, &statement).map_err(|error| not_bound(&statement, &error))?;
                let entry = |input: &str| {
                    catalog
                        .get(input)
                        .ok_or_else(|| Failure::statement(&statement.text, format!("{input} does not exist.")))
                };
                match bound {
                    Bound::Pull(pull) => {
                        let entry = entry(&pull.query.input)?;
                        self.pull(pull, entry, &statement.text).await
                    }
                    Bound::Push(push) => {
                        let (schema, windowed) = match &push.view {
                            Some(view) => (view.schema.clone(), view.is_windowed()),
                            None => {
                                let entry = entry(&push.query.input)?;
                                (entry.schema().clone(), entry.is_windowed())
                            }
                        };
                        let projection = Projection::new(push.query.clone(), schema, windowed);
                        self.push(*push, projection, &session, &statement.text)
                    }
                    _ => Err(Failure::statement(&statement.text, "this is not a query")),
                }
            }
            _ => Err(Failure::request(
                Code::BadRequest,
                "Statement type not supported for this resource: send it to /ksql",
            )),
        }
    }

    /// The catalog as it is now.
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.0.parts.catalog.borrow())
    }

    /// How statements are taken.
    pub fn settings(&self) -> &Settings {
        &self.0.parts.settings
    }

    /// How each statement that changed something went, by its command's id.
    pub fn statuses(&self) -> BTreeMap<String, StatementStatus> {
        lock(&self.0.statuses).clone()
    }

    /// The broker's name for itself.
    pub fn cluster_id(&self) -> String {
        self.topics().cluster_id()
    }

    /// What works and what does not.
    pub async fn health(&self) -> Health {
        Health { catalog: true, topics: self.topics().is_healthy().await, workers: self.workers().is_alive() }
    }

    /// Ends a push query; false when there is none with this id.
    pub fn close_query(&self, id: &str) -> bool {
        match lock(&self.0.clients).get(id) {
            Some(client) => {
                client.stop.send_replace(true);
                true
            }
            None => false,
        }
    }

    /// Ends all that clients wait for, and what writes to topics.
    pub async fn stop(&self) {
        lock(&self.0.clients).values().for_each(|client| {
            client.stop.send_replace(true);
        });
        let outputs = std::mem::take(&mut *lock(&self.0.outputs));
        futures_util::future::join_all(outputs.into_values().map(topics::Output::stop)).await;
        let inserting = std::mem::take(&mut *lock(&self.0.inserting));
        inserting.into_values().for_each(insert::Inserting::stop);
    }

    /// From here to [`Intake::end_group`] commands are kept back, to go out together: what scripts install reads its
    /// topics together, and streams wait for the tables beside them.
    pub fn begin_group(&self) {
        lock(&self.0.group).get_or_insert_default();
    }

    /// Sends what was kept back.
    pub fn end_group(&self) {
        let commands = lock(&self.0.group).take().unwrap_or_default();
        self.send(commands);
    }

    /// Sends commands, which are carried out together.
    fn send(&self, mut commands: Vec<Command>) {
        if let Some(group) = &mut *lock(&self.0.group) {
            group.append(&mut commands);
        } else if !commands.is_empty() {
            self.workers().send(Command::Group(commands));
        }
    }

    fn workers(&self) -> &Workers {
        &self.0.parts.workers
    }

    fn topics(&self) -> &Topics {
        &self.0.parts.topics
    }

    fn connectors(&self) -> &Connectors {
        &self.0.parts.connectors
    }

    fn metrics(&self) -> &Metrics {
        &self.0.parts.metrics
    }

    fn new_query_id(&self, kind: &str) -> String {
        format!("{kind}_{}", self.0.next_query.fetch_add(1, Ordering::Relaxed))
    }

    /// Makes a query known to SHOW QUERIES and `/close-query`; true in what it returns tells it to end.
    fn register(&self, id: &str, statement: &str) -> watch::Receiver<bool> {
        let (stop, stopped) = watch::channel(false);
        lock(&self.0.clients).insert(id.into(), Client { statement: statement.into(), stop });
        self.metrics().push_queries.inc();
        stopped
    }

    fn unregister(&self, id: &str) {
        if lock(&self.0.clients).remove(id).is_some() {
            self.metrics().push_queries.dec();
        }
    }

    /// Notes how a change went and numbers it.
    fn done(&self, number: &mut u64, id: String, message: String, query_id: Option<String>) -> entity::Body {
        let status = StatementStatus { status: "SUCCESS", message: message.clone(), query_id: query_id.clone() };
        lock(&self.0.statuses).insert(id.clone(), status);
        let sequence = *number;
        *number += 1;
        entity::Body::CurrentStatus {
            command_id: id,
            command_status: CommandStatus { status: "SUCCESS", message, query_id },
            command_sequence_number: sequence,
        }
    }
}

/// An error's message with its hint.
fn explained(error: &Diagnostic) -> String {
    match &error.hint {
        Some(hint) => format!("{}\nHint: {hint}", error.message),
        None => error.message.clone(),
    }
}

/// Whether a request may ask queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Queries {
    Here,
    Elsewhere,
}

/// A query that was sent to `/ksql`.
fn query_endpoint(statement: &Statement) -> Failure {
    let message =
        "The following statement types should be issued to the websocket endpoint '/query':\n\t* PRINT\n\t* SELECT";
    Failure { code: Code::QueryEndpoint, ..Failure::statement(&statement.text, message) }
}

/// A statement that means nothing. Of a push query ksqlDB says that the request is wrong, of others the statement.
fn not_bound(statement: &Statement, error: &Diagnostic) -> Failure {
    match &statement.kind {
        StatementKind::Query(query) if query.emit.is_some() => Failure::request(Code::BadRequest, explained(error)),
        _ => Failure::statement(&statement.text, explained(error)),
    }
}

/// The statement around a byte of a text.
fn statement_at(text: &str, at: usize) -> &str {
    let range = cut::statements(text).into_iter().find(|r| r.start <= at && at <= r.end);
    range.map_or(text, |r| text[r].trim())
}
