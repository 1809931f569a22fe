//! Statements.

use std::fmt::{self, Display, Formatter};

use super::super::ast::{
    ColumnDef, ColumnRole, ConnectorKind, CreateAs, CreateSource, DropKind, Ident, Properties, QueryRef, ShowKind,
    Statement, StatementKind,
};
use super::super::words;
use super::{each, string};

impl Display for Statement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{};", self.kind)
    }
}

impl Display for StatementKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            StatementKind::CreateSource(created) => created.fmt(f),
            StatementKind::CreateAs(created) => created.fmt(f),
            StatementKind::InsertInto { target, with, query } => write!(f, "INSERT INTO {target}{with} {query}"),
            StatementKind::InsertValues { target, columns, values } => {
                write!(f, "INSERT INTO {target}")?;
                if !columns.is_empty() {
                    f.write_str(" (")?;
                    each(f, columns, |f, column| column.fmt(f))?;
                    f.write_str(")")?;
                }
                f.write_str(" VALUES (")?;
                each(f, values, |f, value| value.fmt(f))?;
                f.write_str(")")
            }
            StatementKind::Query(query) => query.fmt(f),
            StatementKind::CreateConnector { kind, name, if_not_exists, with } => {
                write!(f, "CREATE {kind} CONNECTOR {}{name}{with}", unless_exists(*if_not_exists))
            }
            StatementKind::Drop { kind, name, if_exists, delete_topic } => {
                let if_exists = if *if_exists { "IF EXISTS " } else { "" };
                write!(f, "DROP {kind} {if_exists}{name}{}", if *delete_topic { " DELETE TOPIC" } else { "" })
            }
            StatementKind::Show { what, extended } => write!(f, "SHOW {what}{}", details(*extended)),
            StatementKind::Describe { name, extended } => write!(f, "DESCRIBE {name}{}", details(*extended)),
            StatementKind::DescribeFunction(name) => write!(f, "DESCRIBE FUNCTION {name}"),
            StatementKind::DescribeConnector(name) => write!(f, "DESCRIBE CONNECTOR {name}"),
            StatementKind::DescribeAll { tables, extended } => {
                write!(f, "DESCRIBE {}{}", if *tables { "TABLES" } else { "STREAMS" }, details(*extended))
            }
            StatementKind::ExplainQuery(id) => write!(f, "EXPLAIN {id}"),
            StatementKind::Explain(statement) => write!(f, "EXPLAIN {}", statement.kind),
            StatementKind::Print { topic, from_beginning, interval, limit } => {
                write!(f, "PRINT {}{}", as_written(topic), if *from_beginning { " FROM BEGINNING" } else { "" })?;
                if let Some(interval) = interval {
                    write!(f, " INTERVAL {interval}")?;
                }
                limit.map_or(Ok(()), |limit| write!(f, " LIMIT {limit}"))
            }
            StatementKind::Set(name, value) => setting(f, "SET ", name, value),
            StatementKind::AlterSystem(name, value) => setting(f, "ALTER SYSTEM ", name, value),
            StatementKind::Unset(name) => {
                f.write_str("UNSET ")?;
                string(f, name)
            }
            StatementKind::Define(name, value) => {
                write!(f, "DEFINE {} = ", name.name)?;
                string(f, value)
            }
            StatementKind::Undefine(name) => write!(f, "UNDEFINE {}", name.name),
            StatementKind::Terminate(query) => write!(f, "TERMINATE {query}"),
            StatementKind::Pause(query) => write!(f, "PAUSE {query}"),
            StatementKind::Resume(query) => write!(f, "RESUME {query}"),
            StatementKind::CreateType { name, if_not_exists, ty } => {
                write!(f, "CREATE TYPE {}{name} AS {ty}", unless_exists(*if_not_exists))
            }
            StatementKind::AlterAdd { table, name, columns } => {
                write!(f, "ALTER {} {name} ", stream_or_table(*table))?;
                each(f, columns, |f, (column, ty)| write!(f, "ADD COLUMN {column} {ty}"))
            }
            StatementKind::Assert(text) => f.write_str(text),
            StatementKind::RunScript(file) => {
                f.write_str("RUN SCRIPT ")?;
                string(f, file)
            }
        }
    }
}

impl Display for CreateSource {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let or_replace = if self.or_replace { "OR REPLACE " } else { "" };
        let source = if self.source { "SOURCE " } else { "" };
        let what = stream_or_table(self.table);
        write!(f, "CREATE {or_replace}{source}{what} {}{}", unless_exists(self.if_not_exists), self.name)?;
        if !self.columns.is_empty() {
            f.write_str(" (")?;
            each(f, &self.columns, |f, column| column.fmt(f))?;
            f.write_str(")")?;
        }
        self.with.fmt(f)
    }
}

impl Display for CreateAs {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let or_replace = if self.or_replace { "OR REPLACE " } else { "" };
        let what = stream_or_table(self.table);
        write!(f, "CREATE {or_replace}{what} {}{}", unless_exists(self.if_not_exists), self.name)?;
        write!(f, "{} AS {}", self.with, self.query)
    }
}

impl Display for ColumnDef {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.ty)?;
        match &self.role {
            ColumnRole::Value => Ok(()),
            ColumnRole::Key => f.write_str(" KEY"),
            ColumnRole::PrimaryKey => f.write_str(" PRIMARY KEY"),
            ColumnRole::Headers => f.write_str(" HEADERS"),
            ColumnRole::Header(name) => {
                f.write_str(" HEADER(")?;
                string(f, name)?;
                f.write_str(")")
            }
        }
    }
}

/// ` WITH (…)`, or nothing when there are none.
impl Display for Properties {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        f.write_str(" WITH (")?;
        each(f, &self.0, |f, property| {
            if words::is_plain(&property.name.to_ascii_uppercase()) {
                f.write_str(&property.name)?;
            } else {
                string(f, &property.name)?;
            }
            write!(f, " = {}", property.value)
        })?;
        f.write_str(")")
    }
}

impl Display for QueryRef {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            QueryRef::All => f.write_str("ALL"),
            QueryRef::Id(id) => id.fmt(f),
        }
    }
}

impl Display for ConnectorKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ConnectorKind::Source => "SOURCE",
            ConnectorKind::Sink => "SINK",
        })
    }
}

impl Display for DropKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DropKind::Stream => "STREAM",
            DropKind::Table => "TABLE",
            DropKind::Connector => "CONNECTOR",
            DropKind::Type => "TYPE",
        })
    }
}

impl Display for ShowKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ShowKind::Streams => "STREAMS",
            ShowKind::Tables => "TABLES",
            ShowKind::Topics { all: true } => "ALL TOPICS",
            ShowKind::Topics { all: false } => "TOPICS",
            ShowKind::Queries => "QUERIES",
            ShowKind::Connectors(None) => "CONNECTORS",
            ShowKind::Connectors(Some(kind)) => return write!(f, "{kind} CONNECTORS"),
            ShowKind::ConnectorPlugins => "CONNECTOR PLUGINS",
            ShowKind::Functions => "FUNCTIONS",
            ShowKind::Properties => "PROPERTIES",
            ShowKind::Types => "TYPES",
            ShowKind::Variables => "VARIABLES",
        })
    }
}

fn details(extended: bool) -> &'static str {
    if extended { " EXTENDED" } else { "" }
}

fn unless_exists(unless: bool) -> &'static str {
    if unless { "IF NOT EXISTS " } else { "" }
}

fn stream_or_table(table: bool) -> &'static str {
    if table { "TABLE" } else { "STREAM" }
}

fn setting(f: &mut Formatter<'_>, verb: &str, name: &str, value: &str) -> fmt::Result {
    f.write_str(verb)?;
    string(f, name)?;
    f.write_str(" = ")?;
    string(f, value)
}

/// A name whose case is kept without quotes, too.
fn as_written(name: &Ident) -> String {
    if name.quoted { format!("`{}`", name.name.replace('`', "``")) } else { name.name.clone() }
}
