//! Streams, tables and queries as ksqlDB describes them.

use super::entity::{Field, QueryDescription, QueryInfo, SourceDescription, SourceInfo};
use super::{Intake, lock};
use std::collections::BTreeMap;
use weir_dataflow::bind::{Catalog, Entry};
use weir_dataflow::plan::{Format, KeyWindow, View, ViewKind};
use weir_dataflow::row::Schema;
use weir_dataflow::time::WindowSpec;

/// States of queries.
const RUNNING: &str = "RUNNING";
const PAUSED: &str = "PAUSED";

/// A format's name.
pub(super) fn format_name(format: Format) -> &'static str {
    match format {
        Format::Json => "JSON",
        Format::Delimited { .. } => "DELIMITED",
        Format::Kafka => "KAFKA",
        Format::None => "NONE",
    }
}

/// The columns of a schema, keys first and marked.
pub(super) fn fields(schema: &Schema) -> Vec<Field> {
    let keys = schema.key.iter().map(|c| Field::of(c, true));
    keys.chain(schema.value.iter().map(|c| Field::of(c, false))).collect()
}

/// A stream or table in a list.
pub(super) fn source_info(entry: &Entry) -> SourceInfo {
    let topic = entry.topic();
    SourceInfo {
        kind: entry.kind(),
        name: entry.name().into(),
        topic: topic.topic.clone(),
        key_format: format_name(topic.key_format),
        value_format: format_name(topic.value_format),
        is_windowed: entry.is_windowed(),
    }
}

fn window_type(entry: &Entry) -> Option<&'static str> {
    match entry.view() {
        Some(view) => view_window(view),
        None => entry.topic().window.map(|w| match w {
            KeyWindow::Time(_) => "TUMBLING",
            KeyWindow::Session => "SESSION",
        }),
    }
}

fn view_window(view: &View) -> Option<&'static str> {
    let ViewKind::Aggregate(aggregate) = &view.kind else { return None };
    aggregate.window.map(|w| match w.spec {
        WindowSpec::Tumbling { .. } => "TUMBLING",
        WindowSpec::Hopping { .. } => "HOPPING",
        WindowSpec::Session { .. } => "SESSION",
    })
}

impl Intake {
    /// A persistent query in a list.
    pub(super) fn query_info(&self, catalog: &Catalog, view: &View) -> QueryInfo {
        QueryInfo {
            query_string: statement_of(catalog, view),
            sinks: vec![view.name.clone()],
            sink_kafka_topics: vec![view.topic.topic.clone()],
            id: view.query_id.clone(),
            status_count: BTreeMap::from([(self.state(view).to_owned(), 1)]),
            query_type: "PERSISTENT",
            state: self.state(view).into(),
        }
    }

    /// The push queries that run, in a list.
    pub(super) fn push_queries(&self) -> Vec<QueryInfo> {
        let info = |(id, client): (&String, &super::Client)| QueryInfo {
            query_string: client.statement.clone(),
            sinks: Vec::new(),
            sink_kafka_topics: Vec::new(),
            id: id.clone(),
            status_count: BTreeMap::from([(RUNNING.to_owned(), 1)]),
            query_type: "PUSH",
            state: RUNNING.into(),
        };
        lock(&self.0.clients).iter().map(info).collect()
    }

    /// A stream or table in full.
    pub(super) async fn source_description(
        &self,
        catalog: &Catalog,
        entry: &Entry,
        extended: bool,
    ) -> SourceDescription {
        let (name, topic) = (entry.name(), entry.topic());
        let own = entry.view().filter(|_| !entry.terminated);
        let (partitions, replication) = match extended {
            true => self.topics().shape(&topic.topic).await.ok().flatten().unwrap_or_default(),
            false => Default::default(),
        };
        let (statistics, error_stats) = match extended {
            true => self.statistics(entry),
            false => Default::default(),
        };
        SourceDescription {
            name: name.into(),
            window_type: window_type(entry),
            read_queries: catalog.readers(name).map(|v| self.query_info(catalog, v)).collect(),
            write_queries: own.into_iter().chain(catalog.writers(name)).map(|v| self.query_info(catalog, v)).collect(),
            fields: fields(entry.schema()),
            kind: entry.kind(),
            timestamp: match &topic.timestamp {
                Some(t) => entry.schema().columns().nth(t.column).map(|c| c.name.clone()).unwrap_or_default(),
                None => String::new(),
            },
            statistics,
            error_stats,
            extended,
            key_format: format_name(topic.key_format),
            value_format: format_name(topic.value_format),
            topic: topic.topic.clone(),
            partitions,
            replication,
            statement: entry.text.clone(),
            query_offset_summaries: Vec::new(),
            source_constraints: catalog.readers(name).map(|v| v.name.clone()).filter(|n| n != name).collect(),
            cluster_statistics: Vec::new(),
            cluster_error_stats: Vec::new(),
        }
    }

    /// Counters of a stream or table as text.
    fn statistics(&self, entry: &Entry) -> (String, String) {
        let (name, metrics) = (entry.name(), self.metrics());
        match entry.view() {
            None => (
                format!(
                    "consumer-total-messages: {:>9} consumer-total-bytes: {:>9}",
                    metrics.records_read(name).get(),
                    metrics.bytes_read(name).get()
                ),
                format!("consumer-failed-messages: {:>9}", metrics.records_rejected(name).get()),
            ),
            Some(_) => (
                format!("total-messages: {:>9}", metrics.view_changes(name).get()),
                format!(
                    "late-records: {:>9} failed-expressions: {:>9}",
                    metrics.records_late(name).get(),
                    metrics.expression_errors(name).get()
                ),
            ),
        }
    }

    /// A persistent query in full.
    pub(super) fn query_description(&self, catalog: &Catalog, view: &View) -> QueryDescription {
        let mut description = described(view, &statement_of(catalog, view));
        description.state = Some(self.state(view).into());
        description.ksql_host_query_status.insert("weir".into(), self.state(view).into());
        description
    }

    /// A persistent query's state.
    fn state(&self, view: &View) -> &'static str {
        if lock(&self.0.paused).contains(&view.query_id) { PAUSED } else { RUNNING }
    }
}

/// A view that is only planned, or that runs, in full.
pub(super) fn described(view: &View, statement: &str) -> QueryDescription {
    let sources: Vec<String> = view.inputs().into_iter().chain(view.lookups()).map(Into::into).collect();
    let plan = view.to_string();
    QueryDescription {
        id: view.query_id.clone(),
        statement_text: statement.into(),
        window_type: view_window(view),
        fields: fields(&view.schema),
        topology: format!("{} -> {} -> {}", sources.join(", "), view.query_id, view.name),
        sources,
        sinks: vec![view.name.clone()],
        execution_plan: plan,
        overridden_properties: BTreeMap::new(),
        ksql_host_query_status: BTreeMap::new(),
        query_type: "PERSISTENT",
        query_errors: Vec::new(),
        tasks_metadata: Vec::new(),
        state: None,
    }
}

/// The statement that made a view.
fn statement_of(catalog: &Catalog, view: &View) -> String {
    catalog.get(&view.name).map(|e| e.text.clone()).unwrap_or_default()
}
