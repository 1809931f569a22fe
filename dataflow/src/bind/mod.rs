//! Statements to plans: names resolved, types checked, every choice made.
//!
//! In comes a parsed [`Statement`], the [`Catalog`] of what exists and the session's properties; out comes a
//! [`Bound`]: a source, a view, a query, or what else the statement asks of the catalog. Nothing is changed here:
//! [`Catalog::add`] and [`Catalog::drop`] do that once the engine has agreed. What weir does not support, and what
//! ksqlDB refuses, ends here with a [`Diagnostic`] that names the offending text; messages are ksqlDB's own where it
//! has one.
//!
//! ```text
//! mod      statement by statement            with     the WITH clause
//! source   CREATE … (columns)                types    type names, what formats can carry
//! from     FROM            → Pipeline        scope    which column a name means
//! join     joins           → Join, Lookup
//! items    the select list                   expr     expressions and their types
//! query    SELECT without groups             call     functions and aggregates
//! group    SELECT with groups                prune    only the columns that are read
//! client   pull and push queries             insert   INSERT INTO, INSERT VALUES
//! scan     pull queries that may not scan    show     expressions as text
//! ```

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "an operation names the few types and values that it takes; all others are refused or null"
)]

mod call;
mod catalog;
mod client;
mod expr;
mod from;
mod group;
mod insert;
mod items;
mod join;
mod operators;
mod prune;
mod query;
mod scan;
mod scope;
mod show;
mod source;
mod types;
mod with;

pub use catalog::{Catalog, Entry, Relation};
pub use insert::InsertValues;

use crate::plan::query::{PullQuery, PushQuery};
use crate::plan::{Source, View};
use crate::row::{Column, SqlType};
use crate::sql::ast::{ConnectorKind, DropKind, Statement, StatementKind};
use crate::sql::error::Diagnostic;
use std::collections::BTreeMap;

/// What a client has set for its statements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// `SET 'name' = 'value'`, and what a request carries as streamsProperties.
    pub properties: BTreeMap<String, String>,
    /// `DEFINE name = 'value'`.
    pub variables: BTreeMap<String, String>,
}

impl Session {
    /// A property that is a truth, when it is set.
    pub fn is_true(&self, name: &str) -> Option<bool> {
        self.properties.get(name).map(|v| v.eq_ignore_ascii_case("true"))
    }
}

/// What a statement means.
#[derive(Clone, Debug, PartialEq)]
pub enum Bound {
    /// A new (or with OR REPLACE, another) declared stream or table.
    Source(Source),
    /// A new (or another) persistent query with the stream or table that it keeps.
    View(View),
    /// A persistent query that writes into a stream that exists; `name` is that stream's.
    Insert(View),
    /// One record to write.
    InsertValues(InsertValues),
    /// A query that is answered once.
    Pull(PullQuery),
    /// A query that is answered until its client goes, or LIMIT is reached.
    Push(Box<PushQuery>),
    /// Something to take away.
    Drop(Drop),
    /// A new custom type.
    Type {
        /// Its name.
        name: String,
        /// What it stands for.
        ty: SqlType,
    },
    /// More value columns for a declared stream or table.
    Alter {
        /// Its name.
        name: String,
        /// The new columns.
        columns: Vec<Column>,
    },
    /// There is nothing to do (IF EXISTS, IF NOT EXISTS); the text says why.
    Nothing(String),
    /// The statement does not concern the catalog: connectors, SHOW, SET, PRINT and the like.
    Other,
}

/// What a DROP takes away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drop {
    /// What kind of thing.
    pub kind: DropKind,
    /// Its name.
    pub name: String,
    /// Its topic goes with it.
    pub delete_topic: bool,
    /// The persistent query that keeps it, and ends with it.
    pub query_id: Option<String>,
}

/// Binds one statement.
///
/// # Errors
/// What is wrong with it, where, and a hint.
pub fn bind(catalog: &Catalog, session: &Session, statement: &Statement) -> Result<Bound, Diagnostic> {
    match &statement.kind {
        StatementKind::CreateSource(create) => source::create(catalog, session, create),
        StatementKind::CreateAs(create) => query::create_as(catalog, session, create),
        StatementKind::InsertInto { target, with, query } => insert::into(catalog, session, target, with, query),
        StatementKind::InsertValues { target, columns, values } => {
            insert::values(catalog, session, target, columns, values)
        }
        StatementKind::Query(query) => client::query(catalog, session, query),
        StatementKind::Drop { kind: DropKind::Connector, .. } => Ok(Bound::Other),
        StatementKind::Drop { kind, name, if_exists, delete_topic } => {
            catalog.check_drop(*kind, name, *if_exists, *delete_topic)
        }
        StatementKind::CreateType { name, if_not_exists, ty } => {
            if catalog.custom_type(&name.name).is_some() {
                let message = format!(
                    "Cannot register custom type '{}' since it is already registered with type: {}",
                    name.name,
                    catalog.custom_type(&name.name).map(ToString::to_string).unwrap_or_default()
                );
                return if *if_not_exists {
                    Ok(Bound::Nothing(message))
                } else {
                    Err(Diagnostic::at(name.span, message))
                };
            }
            Ok(Bound::Type { name: name.name.clone(), ty: types::resolve(catalog, ty)? })
        }
        StatementKind::AlterAdd { table, name, columns } => source::alter(catalog, *table, name, columns),
        StatementKind::Assert(_) => Err(Diagnostic::at(statement.span, "weir does not support ASSERT")),
        StatementKind::CreateConnector { kind: ConnectorKind::Source | ConnectorKind::Sink, .. }
        | StatementKind::Show { .. }
        | StatementKind::Describe { .. }
        | StatementKind::DescribeFunction(_)
        | StatementKind::DescribeConnector(_)
        | StatementKind::DescribeAll { .. }
        | StatementKind::ExplainQuery(_)
        | StatementKind::Explain(_)
        | StatementKind::Print { .. }
        | StatementKind::Set(..)
        | StatementKind::AlterSystem(..)
        | StatementKind::Unset(_)
        | StatementKind::Define(..)
        | StatementKind::Undefine(_)
        | StatementKind::Terminate(_)
        | StatementKind::Pause(_)
        | StatementKind::Resume(_)
        | StatementKind::RunScript(_) => Ok(Bound::Other),
    }
}

#[cfg(test)]
mod tests;
