//! FROM: what is read. Its joins are bound in [`super::join`].

use super::Catalog;
use super::catalog::Entry;
use super::join::joined;
use super::scope::{Named, Scope};
use crate::plan::expr::Expr;
use crate::plan::join::Join;
use crate::plan::{KeyWindow, Pipeline, TopicSpec};
use crate::row::Column;
use crate::sql::ast::{Ident, Relation};
use crate::sql::error::{Diagnostic, Span};

/// A bound FROM clause.
#[derive(Debug)]
pub(super) struct From {
    /// Reads the only relation, or the last join; a step a stream-table join. All columns, before pruning.
    pub(super) pipeline: Pipeline,
    /// The joins that keep state, in order.
    pub(super) joins: Vec<Join>,
    /// The names in it.
    pub(super) scope: Scope,
    /// It is a table.
    pub(super) table: bool,
    /// The keys of the rows have windows.
    pub(super) window: Option<KeyWindow>,
    /// The topic of the leftmost relation: formats and partitions of what is made of it.
    pub(super) topic: TopicSpec,
    /// The key of the rows.
    pub(super) key: Key,
    /// It is a view that is kept by a query (not a declared source).
    pub(super) is_view: bool,
    /// Where it stands.
    pub(super) span: Span,
}

/// The key of a FROM clause's rows.
#[derive(Clone, Debug)]
pub(super) enum Key {
    /// The key columns of the only relation, by their positions in the row.
    Columns(Vec<usize>),
    /// The value on which the last join was made, and the columns that can stand for it in the projection.
    Join {
        /// The value.
        value: Expr,
        /// Positions in the row, left side first. Where there is none, the key itself is a column.
        columns: Vec<usize>,
        /// What has been joined on so far that has this value, over the row.
        equal: Vec<Expr>,
    },
    /// Of a join by a foreign key: the left table's key columns, by their positions in the row.
    Left(Vec<usize>),
}

/// Binds a FROM clause.
pub(super) fn bind(catalog: &Catalog, relation: &Relation) -> Result<From, Diagnostic> {
    match relation {
        Relation::Named { name, alias } => {
            let entry = catalog.find(name)?;
            Ok(single(entry, name, alias.as_ref()))
        }
        Relation::Join(join) => joined(catalog, join),
    }
}

/// A relation whose columns begin at `offset`.
pub(super) fn named(entry: &Entry, name: &Ident, alias: Option<&Ident>, offset: usize) -> Named {
    let of_stream = |e| (!entry.is_table()).then_some(e);
    Named {
        alias: alias.unwrap_or(name).name.clone(),
        name: name.name.clone(),
        columns: entry.schema().columns().cloned().collect(),
        keys: entry.schema().key.len(),
        offset,
        windowed: entry.is_windowed(),
        pseudo: [Some(Expr::Rowtime), of_stream(Expr::Rowpartition), of_stream(Expr::Rowoffset)],
    }
}

pub(super) fn single(entry: &Entry, name: &Ident, alias: Option<&Ident>) -> From {
    let relation = named(entry, name, alias, 0);
    let row: Vec<Column> = relation.row().collect();
    let pipeline = Pipeline {
        input: name.name.clone(),
        names: row.iter().map(|c| c.name.clone()).collect(),
        columns: (0..row.len()).collect(),
        keep_tombstones: None,
        steps: Vec::new(),
    };
    From {
        pipeline,
        joins: Vec::new(),
        key: Key::Columns(relation.key_positions()),
        scope: Scope { relations: vec![relation], synthetic: None, row },
        table: entry.is_table(),
        window: entry.topic().window,
        topic: entry.topic().clone(),
        is_view: entry.view().is_some(),
        span: alias.map_or(name.span, |a| name.span.to(a.span)),
    }
}
