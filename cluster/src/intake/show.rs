//! Statements that only look: SHOW, DESCRIBE, EXPLAIN.

use super::describe::{described, source_info};
use super::entity::{
    Argument, Body, ConnectorInfo, FunctionDescription, FunctionInfo, PropertyInfo, QueryDescription, SchemaInfo,
    Signature, TopicInfo, Variable,
};
use super::session::Session;
use super::topics::Listed;
use super::{Intake, explained, properties};
use crate::connect::{ConnectorView, Kind};
use weir_dataflow::bind::{Bound, Catalog, bind};
use weir_dataflow::plan::{aggregate, functions};
use weir_dataflow::sql::ast::{ConnectorKind, Ident, ShowKind, Statement, StatementKind};

impl Intake {
    /// Answers one statement that only looks.
    pub(super) async fn show(&self, statement: &StatementKind, session: &Session) -> Result<Body, String> {
        let catalog = self.catalog();
        match statement {
            StatementKind::Show { what, extended } => self.list(&catalog, what, *extended, session).await,
            StatementKind::DescribeAll { tables, extended } => {
                Ok(self.describe_all(&catalog, *tables, *extended).await)
            }
            StatementKind::Describe { name, extended } => self.describe(&catalog, name, *extended).await,
            StatementKind::DescribeFunction(name) => describe_function(&name.name),
            StatementKind::DescribeConnector(name) => self.describe_connector(&catalog, &name.name).await,
            StatementKind::ExplainQuery(id) => match catalog.query(&id.name) {
                Some(view) => {
                    let query_description = Box::new(self.query_description(&catalog, view));
                    Ok(Body::QueryDescription { query_description })
                }
                None => Err(format!(
                    "Query with id:{} does not exist, use SHOW QUERIES to view the full set of queries.",
                    id.name
                )),
            },
            StatementKind::Explain(inner) => explain(&catalog, session, inner),
            _ => Err("weir does not support this statement".into()),
        }
    }

    async fn list(
        &self,
        catalog: &Catalog,
        what: &ShowKind,
        extended: bool,
        session: &Session,
    ) -> Result<Body, String> {
        Ok(match what {
            ShowKind::Streams | ShowKind::Tables if extended => {
                self.describe_all(catalog, *what == ShowKind::Tables, true).await
            }
            ShowKind::Streams => {
                Body::Streams { streams: catalog.entries().filter(|e| !e.is_table()).map(source_info).collect() }
            }
            ShowKind::Tables => {
                Body::Tables { tables: catalog.entries().filter(|e| e.is_table()).map(source_info).collect() }
            }
            ShowKind::Topics { all } => {
                let mut topics = Vec::new();
                for Listed { name, replicas } in self.all_topics(catalog).await? {
                    let internal = name.starts_with("__") || name.starts_with("_confluent");
                    if *all || !internal {
                        let readers = catalog.entries().filter(|e| e.topic().topic == name);
                        let readers = readers.filter(|e| catalog.readers(e.name()).next().is_some()).count();
                        topics.push(TopicInfo {
                            name,
                            replica_info: replicas,
                            consumer_count: extended.then_some(readers),
                            consumer_group_count: extended.then_some(usize::from(readers > 0)),
                        });
                    }
                }
                if extended { Body::TopicsExtended { topics } } else { Body::Topics { topics } }
            }
            ShowKind::Queries if extended => Body::QueryDescriptions {
                query_descriptions: catalog.queries().map(|v| self.query_description(catalog, v)).collect(),
            },
            ShowKind::Queries => {
                let persistent = catalog.queries().map(|v| self.query_info(catalog, v));
                Body::Queries { queries: persistent.chain(self.push_queries()).collect() }
            }
            ShowKind::Connectors(kind) => {
                let wanted = |c: &ConnectorView| match kind {
                    None => true,
                    Some(ConnectorKind::Source) => c.kind == Kind::Source,
                    Some(ConnectorKind::Sink) => c.kind == Kind::Sink,
                };
                let info = |c: ConnectorView| ConnectorInfo {
                    kind: c.kind.text(),
                    class_name: c.class.into(),
                    state: c.summary(),
                    name: c.name,
                };
                Body::Connectors { connectors: self.connectors().list().into_iter().filter(wanted).map(info).collect() }
            }
            ShowKind::ConnectorPlugins => {
                return Err("weir does not support SHOW CONNECTOR PLUGINS: ask GET /connector-plugins".into());
            }
            ShowKind::Functions => Body::Functions { functions: all_functions() },
            ShowKind::Properties => all_properties(self, session),
            ShowKind::Types => {
                Body::Types { types: catalog.types().map(|(n, t)| (n.to_owned(), SchemaInfo::of(t))).collect() }
            }
            ShowKind::Variables => {
                let variable =
                    |(name, value): (&String, &String)| Variable { name: name.clone(), value: value.clone() };
                Body::Variables { variables: session.bound.variables.iter().map(variable).collect() }
            }
        })
    }

    /// The broker's topics, and without one those of views, which are in the engine.
    async fn all_topics(&self, catalog: &Catalog) -> Result<Vec<Listed>, String> {
        let mut topics = self.topics().list().await?;
        if self.topics().are_in_process() {
            let of_views = catalog.entries().filter(|e| e.view().is_some());
            topics.extend(of_views.map(|e| Listed { name: e.topic().topic.clone(), replicas: vec![1] }));
            topics.sort();
            topics.dedup_by(|a, b| a.name == b.name);
        }
        Ok(topics)
    }

    async fn describe_all(&self, catalog: &Catalog, tables: bool, extended: bool) -> Body {
        let mut source_descriptions = Vec::new();
        for entry in catalog.entries().filter(|e| e.is_table() == tables) {
            source_descriptions.push(self.source_description(catalog, entry, extended).await);
        }
        Body::SourceDescriptions { source_descriptions }
    }

    async fn describe(&self, catalog: &Catalog, name: &Ident, extended: bool) -> Result<Body, String> {
        match catalog.get(&name.name) {
            Some(entry) => {
                let description = self.source_description(catalog, entry, extended).await;
                Ok(Body::SourceDescription { source_description: Box::new(description) })
            }
            None => Err(format!("Could not find STREAM/TABLE '{}' in the Metastore", name.name)),
        }
    }

    async fn describe_connector(&self, catalog: &Catalog, name: &str) -> Result<Body, String> {
        let Some(connector) = self.connectors().get(name) else {
            return Err(format!("Failed to query connector {name}: Connector {name} not found"));
        };
        let mut sources = Vec::new();
        for entry in catalog.entries().filter(|e| connector.topics.contains(&e.topic().topic)) {
            sources.push(self.source_description(catalog, entry, false).await);
        }
        Ok(Body::ConnectorDescription {
            connector_class: connector.class.into(),
            status: connector.status_json("weir"),
            sources,
            topics: connector.topics,
        })
    }
}

/// What a statement would do.
fn explain(catalog: &Catalog, session: &Session, statement: &Statement) -> Result<Body, String> {
    let bound = bind(catalog, &session.bound, statement).map_err(|e| explained(&e))?;
    let query_description = match bound {
        Bound::View(view) | Bound::Insert(view) => described(&view, &statement.text),
        Bound::Push(push) => match push.view {
            Some(view) => QueryDescription { query_type: "PUSH", ..described(&view, &statement.text) },
            None => client_query(&push.query, push.columns.iter(), "PUSH", &statement.text),
        },
        Bound::Pull(pull) => client_query(&pull.query, pull.columns.iter().map(|(c, _)| c), "PULL", &statement.text),
        _ => return Err("The provided statement does not run a ksql query".into()),
    };
    Ok(Body::QueryDescription { query_description: Box::new(query_description) })
}

fn client_query<'a>(
    query: &weir_dataflow::plan::query::RowQuery,
    columns: impl Iterator<Item = &'a weir_dataflow::row::Column>,
    query_type: &'static str,
    statement: &str,
) -> QueryDescription {
    let how = match &query.keys {
        Some(keys) => format!("looks up {} keys of {}", keys.len(), query.input),
        None => format!("reads all rows of {}", query.input),
    };
    QueryDescription {
        id: String::new(),
        statement_text: statement.into(),
        window_type: None,
        fields: columns.map(|c| super::entity::Field::of(c, false)).collect(),
        sources: vec![query.input.clone()],
        sinks: Vec::new(),
        topology: format!("{} -> client", query.input),
        execution_plan: how,
        overridden_properties: Default::default(),
        ksql_host_query_status: Default::default(),
        query_type,
        query_errors: Vec::new(),
        tasks_metadata: Vec::new(),
        state: None,
    }
}

fn all_functions() -> Vec<FunctionInfo> {
    let info = |name: &str, kind| FunctionInfo { name: name.into(), kind, category: String::new() };
    let scalar = functions::definitions().flat_map(|d| d.names()).map(|name| info(name, "SCALAR"));
    let mut all: Vec<FunctionInfo> = scalar
        .chain(aggregate::definitions().map(|d| info(d.name, "AGGREGATE")))
        .chain(functions::table::definitions().map(|d| info(d.name, "TABLE")))
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

fn describe_function(name: &str) -> Result<Body, String> {
    let described = |name: &str, description: &str, kind, functions| {
        Body::DescribeFunction(Box::new(FunctionDescription {
            name: name.into(),
            description: description.into(),
            author: "weir".into(),
            version: String::new(),
            path: "internal".into(),
            functions,
            kind,
        }))
    };
    let argument =
        |name: String, ty: String, is_variadic| Argument { name, ty, description: String::new(), is_variadic };
    let result = |returns: &functions::Returns| match returns {
        functions::Returns::Is(ty) => ty.to_string(),
        functions::Returns::Of(_) => "of its arguments".into(),
    };
    if let Some(definition) = aggregate::find(name) {
        let form = |f: &aggregate::Form| {
            let columns = f.columns.iter().map(|p| (p.to_string(), false));
            let others = f.others.then(|| ("ANY".to_owned(), true));
            let all = columns.chain(others).chain(f.constants.iter().map(|p| (p.to_string(), false)));
            Signature {
                arguments: all.enumerate().map(|(i, (ty, many))| argument(format!("arg{}", i + 1), ty, many)).collect(),
                return_type: result(&f.returns),
                description: String::new(),
            }
        };
        let forms = definition.forms.iter().map(form).collect();
        return Ok(described(definition.name, definition.description, "AGGREGATE", forms));
    }
    if let Some(definition) = functions::table::find(name) {
        let signature = Signature {
            arguments: vec![argument("arg1".into(), definition.takes.to_string(), false)],
            return_type: definition.returns.to_string(),
            description: String::new(),
        };
        return Ok(described(definition.name, definition.description, "TABLE", vec![signature]));
    }
    let Some(definition) = functions::find(name) else {
        let hint = functions::near_function(name).map(|n| format!("\nHint: did you mean {n}?")).unwrap_or_default();
        return Err(format!("Can't find any functions with the name '{name}'{hint}"));
    };
    let signature = |s: &functions::Signature| Signature {
        arguments: s
            .params
            .iter()
            .enumerate()
            .map(|(i, p)| argument(format!("arg{}", i + 1), p.to_string(), s.variadic && i + 1 == s.params.len()))
            .collect(),
        return_type: result(&s.returns),
        description: String::new(),
    };
    let signatures = definition.signatures.iter().map(signature).collect();
    Ok(described(definition.name, definition.description, "SCALAR", signatures))
}

fn all_properties(intake: &Intake, session: &Session) -> Body {
    let own = |name: &str| match name {
        "bootstrap.servers" => Some(intake.topics().servers()),
        "auto.offset.reset" => Some(match session.default_offset {
            crate::command::Offset::Earliest => "earliest".into(),
            crate::command::Offset::Latest => "latest".into(),
        }),
        _ => None,
    };
    let set = &session.bound.properties;
    let all = properties::KNOWN.iter();
    let properties = all
        .clone()
        .map(|p| PropertyInfo {
            name: p.name.into(),
            scope: if p.name.starts_with("ksql.") { "KSQL" } else { "KAFKA STREAMS" },
            value: set.get(p.name).cloned().or_else(|| own(p.name)).unwrap_or_else(|| p.default.into()),
            editable: properties::check(p.name).is_ok(),
            level: if set.contains_key(p.name) { "SESSION" } else { "SERVER" },
        })
        .collect();
    Body::Properties {
        properties,
        overwritten_properties: set.keys().cloned().collect(),
        default_properties: all.map(|p| p.name.to_owned()).filter(|n| !set.contains_key(n)).collect(),
    }
}
