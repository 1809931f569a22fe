//! Joins that keep state: stream with stream, table with table.
//!
//! A join is a node of its own, which other pipelines read as they read a source: what follows it (filter, group, another
//! join, a lookup) needs to know nothing of it. A chain of joins is left-deep, a node for each. (A stream-table join keeps
//! nothing but a copy of the table, and is a step: [`super::Step::Lookup`].)

use super::{NamedExpr, Pipeline};
use crate::plan::expr::Expr;
use crate::row::{Column, Schema};
use crate::sql::ast::JoinKind;
use serde::{Deserialize, Serialize};

/// A join and the rows that it makes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Join {
    /// The name under which it is read: that of its query with its number.
    pub name: String,
    /// Which rows stay.
    pub kind: JoinKind,
    /// What meets what.
    pub on: Matching,
    /// The left side.
    pub left: Side,
    /// The right side.
    pub right: Side,
    /// The key of its rows: the value joined on (with the window of windowed sources), or for a foreign key the left
    /// table's key.
    pub key: Vec<Column>,
}

/// What of the two sides meets.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Matching {
    /// Streams: rows of one key, the right one's time from `before_ms` before the left one's to `after_ms` after it.
    Within {
        /// How far before the left row.
        before_ms: i64,
        /// How far after the left row.
        after_ms: i64,
        /// How late a row may be. `None`, without GRACE PERIOD: rows without a match are told at once, and again when
        /// a match comes.
        grace_ms: Option<i64>,
    },
    /// Tables: rows of one primary key.
    Primary,
    /// Tables: the left row's value is the right row's primary key.
    Foreign,
}

/// One side of a join.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Side {
    /// Where its rows come from.
    pub input: Pipeline,
    /// What must be equal on both sides, over the pipeline's row.
    pub key: Vec<Expr>,
    /// What of the row goes into the joined one, over the pipeline's row.
    pub columns: Vec<NamedExpr>,
}

impl Join {
    /// The joined row: its key, then what the left side gives, then what the right one does.
    pub fn schema(&self) -> Schema {
        let column = |e: &NamedExpr| Column { name: e.name.clone(), ty: e.expr.ty().clone() };
        Schema {
            key: self.key.clone(),
            value: self.left.columns.iter().chain(&self.right.columns).map(column).collect(),
        }
    }

    /// Its sides, left first.
    pub fn sides(&self) -> [&Side; 2] {
        [&self.left, &self.right]
    }

    /// It joins tables.
    pub fn is_table(&self) -> bool {
        !matches!(self.on, Matching::Within { .. })
    }
}
