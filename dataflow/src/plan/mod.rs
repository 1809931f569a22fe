//! What a view is, resolved: typed, ordered, with every choice made that the engine would have to rediscover.
//!
//! A script's statements are bound ([`crate::bind`]) into the types of this module. They are closed enums and
//! plain data: they travel to every worker, print as `EXPLAIN`, and are compared to share work.
//! `Display` of a [`View`] is its `EXPLAIN` text.
//!
//! ```text
//! Source (a declared stream or table over a topic)
//!    │            ┌─ Pipeline ─ left
//!    │    Join ◀──┴─ Pipeline ─ right                     a node of its own that pipelines read
//!    ▼     ▼
//! Step … Step            stateless, on column batches: filter, project, look up a table
//!    ├──────────────▶ ViewKind::Stream                    CREATE STREAM … AS SELECT
//!    ▼
//! Aggregate ─────────▶ ViewKind::Aggregate                CREATE TABLE … AS SELECT … GROUP BY
//!
//! Table ── filter, project ──▶ ViewKind::Table            CREATE TABLE … AS SELECT from a table
//! ```

pub mod aggregate;
mod display;
pub mod eval;
pub mod expr;
pub mod functions;
pub mod join;
pub mod query;

use crate::row::{Column, Schema, SqlType};
use crate::sql::ast::JoinKind;
use crate::time::{Grace, WindowSpec};
use aggregate::AggregateCall;
use expr::Expr;
use functions::table::TableFunction;
use join::Join;
use serde::{Deserialize, Serialize};

/// The encodings of keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Format {
    /// JSON objects (a single key column: a bare value).
    Json,
    /// One line of comma separated values.
    Delimited {
        /// Between the fields.
        delimiter: char,
    },
    /// Kafka's primitive serializers; one column.
    Kafka,
    /// No bytes.
    None,
}

/// Where ROWTIME comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TimestampColumn {
    /// Position in the schema (keys first).
    pub column: usize,
    /// For a STRING column: the pattern of Java's DateTimeFormatter.
    pub format: Option<String>,
}

/// Time windows of an imported windowed stream's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum KeyWindow {
    /// Tumbling or hopping with this size in milliseconds.
    Time(i64),
    /// Session.
    Session,
}

/// How a topic is read or written: what a declared stream or table, or a view's output topic, says of its records.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TopicSpec {
    /// The topic.
    pub topic: String,
    /// Partitions, when the script says so.
    pub partitions: Option<u32>,
    /// Replicas, when the script says so.
    pub replicas: Option<u16>,
    /// Encoding of keys.
    pub key_format: Format,
    /// Encoding of values.
    pub value_format: Format,
    /// A single value column stands in an object or record (`WRAP_SINGLE_VALUE`, default true).
    pub wrap_single_value: bool,
    /// ROWTIME from a column instead of the record's timestamp.
    pub timestamp: Option<TimestampColumn>,
    /// Windowed keys.
    pub window: Option<KeyWindow>,
    /// Header columns: position in the schema and the header's name (`None`: all headers).
    pub headers: Vec<(usize, Option<String>)>,
}

impl TopicSpec {
    /// A topic of which a script says no more than this.
    pub fn new(topic: impl Into<String>, key_format: Format, value_format: Format) -> Self {
        TopicSpec {
            topic: topic.into(),
            partitions: None,
            replicas: None,
            key_format,
            value_format,
            wrap_single_value: true,
            timestamp: None,
            window: None,
            headers: Vec::new(),
        }
    }
}

/// A declared stream or table over a topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// A table: the last record of a key wins, a tombstone deletes.
    pub table: bool,
    /// Declared with SOURCE: a table that can be queried.
    pub queryable: bool,
    /// Its columns.
    pub schema: Schema,
    /// Its topic.
    pub topic: TopicSpec,
}

/// A persistent query and the stream or table that it keeps.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct View {
    /// Its name.
    pub name: String,
    /// Its query's id: `CTAS_NAME_7`, `CSAS_NAME_5`, `INSERTQUERY_3`.
    pub query_id: String,
    /// Its columns. Windowed views have the window's bounds beside these, not among them.
    pub schema: Schema,
    /// The topic of its changes.
    pub topic: TopicSpec,
    /// The joins before it, each after those that it reads; the last one is what its pipeline reads.
    pub joins: Vec<Join>,
    /// What it computes.
    pub kind: ViewKind,
}

impl View {
    /// What its rows come through.
    pub fn pipeline(&self) -> &Pipeline {
        match &self.kind {
            ViewKind::Stream(pipeline) | ViewKind::Table(pipeline) => pipeline,
            ViewKind::Aggregate(aggregate) => &aggregate.input,
        }
    }

    /// What its rows come through.
    pub fn pipeline_mut(&mut self) -> &mut Pipeline {
        match &mut self.kind {
            ViewKind::Stream(pipeline) | ViewKind::Table(pipeline) => pipeline,
            ViewKind::Aggregate(aggregate) => &mut aggregate.input,
        }
    }

    /// A stream whose rows get a key of their own (PARTITION BY, a join) instead of their input's, which has this many
    /// key columns.
    pub fn rekeys(&self, input_keys: usize) -> bool {
        let ViewKind::Stream(Pipeline { steps, .. }) = &self.kind else { return false };
        let keeps = |(i, column): (usize, &NamedExpr)| matches!(column.expr, Expr::Column(at, _) if at == i);
        match steps.last() {
            Some(Step::Project(columns)) => {
                let keys = self.schema.key.len();
                keys != input_keys || !columns.iter().take(keys).enumerate().all(keeps)
            }
            _ => false,
        }
    }

    /// All its pipelines: those of its joins' sides, then its own.
    pub fn pipelines(&self) -> impl Iterator<Item = &Pipeline> {
        let sides = self.joins.iter().flat_map(|j| [&j.left.input, &j.right.input]);
        sides.chain([self.pipeline()])
    }

    /// What it reads row by row, leftmost first: sources and views, not its own joins.
    pub fn inputs(&self) -> Vec<&str> {
        let own = |name: &str| self.joins.iter().any(|j| j.name == name);
        self.pipelines().map(|p| p.input.as_str()).filter(|name| !own(name)).collect()
    }

    /// The tables that it looks up.
    pub fn lookups(&self) -> impl Iterator<Item = &str> {
        self.pipelines().flat_map(|p| &p.steps).filter_map(|step| match step {
            Step::Lookup(lookup) => Some(lookup.table.as_str()),
            Step::Filter(_) | Step::Project(_) | Step::Explode(_) => None,
        })
    }

    /// Reads `to` wherever it reads `from` row by row.
    pub fn redirect(&mut self, from: &str, to: &str) {
        let mut joins = std::mem::take(&mut self.joins);
        let sides = joins.iter_mut().flat_map(|j| [&mut j.left.input, &mut j.right.input]);
        for pipeline in sides.chain([self.pipeline_mut()]).filter(|p| p.input == from) {
            pipeline.input = to.into();
        }
        self.joins = joins;
    }

    /// Its rows have windows.
    pub fn is_windowed(&self) -> bool {
        matches!(&self.kind, ViewKind::Aggregate(aggregate) if aggregate.window.is_some())
    }
}

/// The shapes of persistent queries.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant, reason = "there is one a view")]
pub enum ViewKind {
    /// A stream: input rows through the steps; the last step's columns are the schema's.
    Stream(Pipeline),
    /// A table of groups.
    Aggregate(Aggregate),
    /// A table from a table: rows through filter and project, keys unchanged. The input is a declared table or a
    /// view that is an unwindowed table; the last step's columns are the schema's.
    Table(Pipeline),
}

/// A stream (or table) and what is done to each of its rows.
///
/// Columns are positions in the current row: first those of the input's schema (keys first), after a
/// [`Step::Lookup`] the table's too, after a [`Step::Project`] those of the projection.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pipeline {
    /// The declared source, view or join that is read.
    pub input: String,
    /// The names of the input row's columns: its schema's, keys first, then for an input with windowed keys
    /// WINDOWSTART and WINDOWEND. As many as the row is wide.
    pub names: Vec<String>,
    /// The columns of the input's schema that the steps or what follows read, ascending. All others may be absent.
    pub columns: Vec<usize>,
    /// Rows whose value is a tombstone pass (a projection of a stream keeps them; filter, join, group drop them). These
    /// are the value columns of the input, which such rows do not have: what reads one of them is null, a new key too.
    pub keep_tombstones: Option<std::ops::Range<usize>>,
    /// The steps, in order.
    pub steps: Vec<Step>,
}

/// One step of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Step {
    /// Rows for which a condition is true stay. An error or null is false.
    Filter(Filter),
    /// The new row: one expression a column. An error makes null.
    Project(Vec<NamedExpr>),
    /// Several rows of one: what each call gives is appended as a column, row beside row; where one gives fewer, null.
    Explode(Vec<Explode>),
    /// A stream-table join: the table's row with this key as of the stream row's arrival.
    Lookup(Lookup),
}

/// What a filter keeps.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Filter {
    /// The rows.
    pub condition: Expr,
    /// The columns, ascending: what the steps behind it, or what follows them, read. All others may be absent.
    pub columns: Vec<usize>,
}

/// A call of a table function.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Explode {
    /// Which.
    pub function: TableFunction,
    /// Its array.
    pub arg: Expr,
    /// The type of what it gives a row.
    pub ty: SqlType,
}

/// A column and what computes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NamedExpr {
    /// The column's name.
    pub name: String,
    /// Its value.
    pub expr: Expr,
}

/// A stream-table join.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lookup {
    /// The table: a declared one or an unwindowed view.
    pub table: String,
    /// The table's schema.
    pub schema: Schema,
    /// Columns of the table's schema that are appended to the row, in this order; at least its key's value can be
    /// among them (then null when the lookup misses). One past the schema's last is the row's ROWTIME.
    pub columns: Vec<usize>,
    /// The stream row's value that must equal the table's primary key; null never matches.
    pub key: Expr,
    /// INNER or LEFT.
    pub kind: JoinKind,
}

/// GROUP BY with its window, aggregates, HAVING and projection.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Aggregate {
    /// Where the rows come from: a stream, or (`retracts`) an unwindowed table whose old rows leave their groups.
    pub input: Pipeline,
    /// The input is a table.
    pub retracts: bool,
    /// The group's key, evaluated on the input row; a row with a null among them is left out. The view's key
    /// columns are these, in this order.
    pub group: Vec<NamedExpr>,
    /// Tumbling, hopping, session, or none.
    pub window: Option<Windowing>,
    /// The aggregates, evaluated on the input row.
    pub calls: Vec<AggregateCall>,
    /// HAVING, over the columns of [`Aggregate::result_columns`].
    pub having: Option<Expr>,
    /// The view's value columns, over the columns of [`Aggregate::result_columns`].
    pub project: Vec<NamedExpr>,
}

impl Aggregate {
    /// The row that HAVING and the projection see: the group's key columns, then one column an aggregate call, then
    /// for a windowed view WINDOWSTART and WINDOWEND (BIGINT).
    pub fn result_columns(&self) -> Vec<Column> {
        let keys = self.group.iter().map(|g| Column { name: g.name.clone(), ty: g.expr.ty().clone() });
        let calls = self.calls.iter().enumerate().map(|(i, c)| Column { name: format!("AGG_{i}"), ty: c.ty.clone() });
        let bounds = ["WINDOWSTART", "WINDOWEND"].map(|n| Column { name: n.into(), ty: SqlType::Bigint });
        keys.chain(calls).chain(bounds.into_iter().filter(|_| self.window.is_some())).collect()
    }
}

/// A window clause with its defaults filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Windowing {
    /// Kind and sizes.
    pub spec: WindowSpec,
    /// How late a record may be.
    pub grace: Grace,
    /// How long a window is kept after its start (session: its end), in milliseconds of stream time. At least size + grace.
    pub retention_ms: i64,
    /// EMIT FINAL: changes only when a window closes.
    pub emit_final: bool,
}
