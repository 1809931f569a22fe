//! Statements that make or end something.

use super::entity::Body;
use super::session::Session;
use super::{Intake, explained, lock};
use crate::command::Command;
use crate::connect::feed::Setting;
use crate::connect::{self, ConnectError, Kind};
use std::sync::Arc;
use weir_dataflow::bind::{Bound, Drop, Relation, bind};
use weir_dataflow::plan::{Source, View, ViewKind};
use weir_dataflow::sql::ast::{ConnectorKind, DropKind, Properties, QueryRef, Statement, StatementKind};

impl Intake {
    /// Carries out one statement that changes something; `None` when it has no answer (INSERT VALUES).
    pub(super) async fn change(&self, statement: &Statement, session: &Session) -> Result<Option<Body>, String> {
        let mut number = self.0.changes.lock().await;
        let number = &mut *number;
        match &statement.kind {
            StatementKind::CreateConnector { kind, name, if_not_exists, with } => {
                return self.create_connector(*kind, &name.name, *if_not_exists, with).await.map(Some);
            }
            StatementKind::Drop { kind: DropKind::Connector, name, if_exists, .. } => {
                return self.drop_connector(&name.name, *if_exists).await.map(Some);
            }
            StatementKind::Terminate(query) => return self.terminate(number, query).await.map(Some),
            StatementKind::Pause(query) => return self.pause(number, query, true).map(Some),
            StatementKind::Resume(query) => return self.pause(number, query, false).map(Some),
            _ => {}
        }
        let catalog = self.catalog();
        weir_dataflow::plan::functions::set_now(crate::clock::now_ms());
        let bound = bind(&catalog, &session.bound, statement).map_err(|e| explained(&e))?;
        let body = match &bound {
            Bound::Source(source) => self.declare(number, source).await?,
            Bound::View(view) => self.install(number, view, session).await?,
            Bound::Insert(view) => self.begin_insert(number, view, session).await?,
            Bound::InsertValues(insert) => {
                self.insert_values(insert).await?;
                return Ok(None);
            }
            Bound::Drop(drop) => self.drop(number, drop).await?,
            Bound::Type { name, ty } => {
                let message = format!("Registered custom type with name '{name}' and SQL type {ty}");
                self.done(number, format!("type/{name}/create"), message, None)
            }
            Bound::Alter { name, .. } => {
                let kind = catalog.get(name).map_or("stream", |e| if e.is_table() { "table" } else { "stream" });
                self.done(number, format!("{kind}/{name}/alter"), "Source altered".into(), None)
            }
            Bound::Nothing(message) => return Ok(Some(Body::Warning { message: message.clone() })),
            Bound::Pull(_) | Bound::Push(_) | Bound::Other => {
                return Err("weir does not support this statement here".into());
            }
        };
        let mut changed = (*catalog).clone();
        changed.add(&bound, &statement.text);
        if let Bound::Alter { name, .. } = &bound
            && let Some(Relation::Source(source)) = changed.get(name).map(|e| &e.relation)
        {
            self.send(vec![Command::Declare(source.clone())]);
        }
        self.0.parts.catalog.send_replace(Arc::new(changed));
        Ok(Some(body))
    }

    async fn declare(&self, number: &mut u64, source: &Source) -> Result<Body, String> {
        let spec = &source.topic;
        // Without PARTITIONS the topic is read as soon as it is there: scripts may come before what fills it.
        if let Some(partitions) = spec.partitions {
            self.topics().ensure(&spec.topic, partitions, spec.replicas).await?;
        }
        self.send(vec![Command::Declare(source.clone())]);
        let (kind, message) = if source.table { ("table", "Table created") } else { ("stream", "Stream created") };
        Ok(self.done(number, format!("{kind}/`{}`/create", source.name), message.into(), None))
    }

    async fn install(&self, number: &mut u64, view: &View, session: &Session) -> Result<Body, String> {
        let shape = match self.settings().output_topics {
            true => Some(self.output_shape(view).await?),
            false => None,
        };
        self.end_output(&view.name).await;
        let mut commands = Vec::new();
        if self.catalog().get(&view.name).is_some() {
            commands.push(Command::Drop(view.name.clone()));
        }
        commands.push(Command::Install { view: view.clone(), offset: session.offset() });
        if let Some(shape) = shape {
            let (subscription, subscribe) = self.workers().subscription(&view.name, true);
            let setting = self.output_setting(&view.name);
            if let Some(output) = self.topics().begin_output(view, shape, subscription, setting) {
                commands.push(subscribe);
                lock(&self.0.outputs).insert(view.name.clone(), output);
            }
        }
        self.send(commands);
        let kind = if matches!(view.kind, ViewKind::Stream(_)) { "stream" } else { "table" };
        let message = format!("Created query with ID {}", view.query_id);
        Ok(self.done(number, format!("{kind}/`{}`/create", view.name), message, Some(view.query_id.clone())))
    }

    /// Partitions and replicas of a view's topic: those of the topic that it comes from, through other views.
    async fn output_shape(&self, view: &View) -> Result<(u32, u16), String> {
        let catalog = self.catalog();
        let mut input = view.inputs().first().copied().unwrap_or_default();
        loop {
            match catalog.get(input).map(|e| &e.relation) {
                Some(Relation::View(view)) => input = view.inputs().first().copied().unwrap_or_default(),
                Some(Relation::Source(source)) => {
                    return Ok(self.topics().shape(&source.topic.topic).await?.unwrap_or((1, 1)));
                }
                None => return Ok((1, 1)),
            }
        }
    }

    fn output_setting(&self, view: &str) -> Setting {
        let parts = &self.0.parts;
        Setting {
            name: view.into(),
            workers: parts.workers.clone(),
            catalog: parts.catalog.subscribe(),
            metrics: Arc::clone(&parts.metrics),
            log: parts.log.clone(),
            generation: parts.settings.generation,
        }
    }

    async fn end_output(&self, view: &str) {
        let output = lock(&self.0.outputs).remove(view);
        if let Some(output) = output {
            output.stop().await;
        }
    }

    async fn drop(&self, number: &mut u64, drop: &Drop) -> Result<Body, String> {
        let Drop { kind, name, delete_topic, .. } = drop;
        if *kind == DropKind::Type {
            return Ok(self.done(number, format!("type/{name}/drop"), format!("Dropped type '{name}'"), None));
        }
        let topic = self.catalog().get(name).map(|e| e.topic().topic.clone()).unwrap_or_default();
        if let Some(id) = &drop.query_id {
            lock(&self.0.paused).remove(id);
        }
        self.send(vec![Command::Drop(name.clone())]);
        self.end_output(name).await;
        self.metrics().forget_view(name);
        self.metrics().forget_source(name);
        if *delete_topic {
            self.topics().delete(&topic).await?;
        }
        let kind = if *kind == DropKind::Table { "table" } else { "stream" };
        let message = format!("Source `{name}` (topic: {topic}) was dropped.");
        Ok(self.done(number, format!("{kind}/{name}/drop"), message, None))
    }

    /// The persistent queries that a statement means, as (id, name of the stream or table).
    fn meant(&self, query: &QueryRef) -> Result<Vec<(String, String)>, String> {
        let catalog = self.catalog();
        match query {
            QueryRef::All => Ok(catalog.queries().map(|v| (v.query_id.clone(), v.name.clone())).collect()),
            QueryRef::Id(id) => match catalog.query(&id.name) {
                Some(view) => Ok(vec![(view.query_id.clone(), view.name.clone())]),
                None => Err(format!("Unknown queryId: {}", id.name)),
            },
        }
    }

    /// Stops persistent queries from taking what comes, or lets them go on with what came meanwhile.
    fn pause(&self, number: &mut u64, query: &QueryRef, paused: bool) -> Result<Body, String> {
        for (id, name) in self.meant(query)? {
            // INSERT INTO writes into a stream of another name than its view's.
            let view = if lock(&self.0.inserting).contains_key(&id) { id.clone() } else { name };
            self.send(vec![Command::Pause { view, paused }]);
            if paused {
                lock(&self.0.paused).insert(id);
            } else {
                lock(&self.0.paused).remove(&id);
            }
        }
        let (kind, message) = if paused { ("pause", "Query paused.") } else { ("resume", "Query resumed.") };
        Ok(self.done(number, format!("{kind}/{}/execute", self.shown(query)), message.into(), None))
    }

    async fn terminate(&self, number: &mut u64, query: &QueryRef) -> Result<Body, String> {
        if let QueryRef::Id(id) = query
            && self.close_query(&id.name)
        {
            return Ok(self.done(number, format!("terminate/{}/execute", id.name), "Query terminated.".into(), None));
        }
        for (id, name) in self.meant(query)? {
            lock(&self.0.paused).remove(&id);
            let inserting = lock(&self.0.inserting).remove(&id);
            match inserting {
                Some(inserting) => inserting.stop(),
                None => {
                    self.send(vec![Command::Drop(name.clone())]);
                    self.end_output(&name).await;
                }
            }
            let mut catalog = (*self.catalog()).clone();
            catalog.terminate(&id);
            self.0.parts.catalog.send_replace(Arc::new(catalog));
        }
        let id = self.shown(query);
        Ok(self.done(number, format!("terminate/{id}/execute"), "Query terminated.".into(), None))
    }

    fn shown(&self, query: &QueryRef) -> String {
        match query {
            QueryRef::All => "ALL".into(),
            QueryRef::Id(id) => id.name.clone(),
        }
    }

    async fn create_connector(
        &self,
        kind: ConnectorKind,
        name: &str,
        if_not_exists: bool,
        with: &Properties,
    ) -> Result<Body, String> {
        let result = self.connectors().create(name, connect::properties(with)).await;
        match result {
            Ok(connector) => {
                let made = if connector.kind == Kind::Source { ConnectorKind::Source } else { ConnectorKind::Sink };
                if made != kind {
                    let class = connector.class;
                    let _ = self.connectors().drop(name).await;
                    return Err(format!("{class} is a {} connector", connector.kind.text()));
                }
                Ok(Body::ConnectorCreated { info: connector.info_json() })
            }
            Err(ConnectError::Exists(message)) if if_not_exists => Ok(Body::Warning { message }),
            Err(error) => Err(format!("Failed to create connector: {error}")),
        }
    }

    async fn drop_connector(&self, name: &str, if_exists: bool) -> Result<Body, String> {
        match self.connectors().drop(name).await {
            Ok(()) => Ok(Body::ConnectorDropped { connector_name: name.into() }),
            Err(ConnectError::NotFound(_)) if if_exists => {
                Ok(Body::Warning { message: format!("Connector '{name}' does not exist.") })
            }
            Err(error) => Err(format!("Failed to drop connector: {error}")),
        }
    }
}
