//! Queries that a client asks: pull (once) and push (from now on).

use super::{NamedExpr, View};
use crate::plan::expr::Expr;
use crate::row::{Column, Value};
use serde::{Deserialize, Serialize};

/// Which rows of a view or stream a client wants, and what of them.
///
/// Expressions see a row as: the columns of the input's schema (keys first), then for a windowed input WINDOWSTART
/// and WINDOWEND (BIGINT); ROWTIME and its like by their own expressions.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RowQuery {
    /// The view or declared source that is read.
    pub input: String,
    /// The whole keys that the WHERE clause allows, when it names them (`K = 1`, `K IN (1, 2)`): the engine looks
    /// these up and scans nothing.
    pub keys: Option<Vec<Vec<Value>>>,
    /// The input's records have windows in their keys: of a key all of them are meant.
    pub bounds_behind: bool,
    /// The window starts that the WHERE clause allows: from, to, both included.
    pub window_starts: (i64, i64),
    /// What is left of WHERE.
    pub filter: Option<Expr>,
    /// The columns of the answer.
    pub project: Vec<NamedExpr>,
    /// LIMIT.
    pub limit: Option<u64>,
}

impl RowQuery {
    /// All rows as they are.
    pub fn all(input: impl Into<String>) -> Self {
        RowQuery {
            input: input.into(),
            keys: None,
            bounds_behind: false,
            window_starts: (i64::MIN, i64::MAX),
            filter: None,
            project: Vec::new(),
            limit: None,
        }
    }
}

/// A bound pull query.
#[derive(Clone, Debug, PartialEq)]
pub struct PullQuery {
    /// What to read.
    pub query: RowQuery,
    /// The input is a stream (scanned from its beginning to its end), not a table.
    pub stream: bool,
    /// The columns of the answer; true marks a key of the table (the header says KEY).
    pub columns: Vec<(Column, bool)>,
}

/// A bound push query: perhaps a view that lives as long as the query, and what is sent of its changes.
#[derive(Clone, Debug, PartialEq)]
pub struct PushQuery {
    /// Joins, groups and windows of the query itself: installed for its duration. Its name is `query.input`.
    pub view: Option<View>,
    /// What to send of each change.
    pub query: RowQuery,
    /// The input is a table: a deleted row is sent as a tombstone.
    pub table: bool,
    /// The columns of the answer.
    pub columns: Vec<Column>,
}
