//! The rows of a batch of changes.

use super::change::Row;
use super::peek::Unpack;
use crate::render::table_changes::TableChanges;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// Rows of a batch. Those of a table stay packed, as the engine has them, until somebody looks at their values.
#[derive(Clone, Serialize, Deserialize)]
pub struct Rows(Kind);

#[derive(Clone, Serialize, Deserialize)]
enum Kind {
    Plain(Vec<Row>),
    Packed(Vec<Arc<TableChanges>>, Arc<Unpack>),
}

impl Rows {
    /// The new rows of changes.
    pub(super) fn packed(changes: Vec<Arc<TableChanges>>, unpack: Arc<Unpack>) -> Self {
        Rows(Kind::Packed(changes, unpack))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Kind::Plain(rows) => rows.len(),
            Kind::Packed(changes, _) => changes.iter().map(|changes| changes.len()).sum(),
        }
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The last one.
    pub fn last(&self) -> Option<Row> {
        match &self.0 {
            Kind::Plain(rows) => rows.last().cloned(),
            Kind::Packed(changes, unpack) => {
                changes.iter().rev().flat_map(|changes| changes.iter().next_back()).next().map(|c| unpack.change(c))
            }
        }
    }

    /// All of them, as values.
    pub fn into_vec(self) -> Vec<Row> {
        match self.0 {
            Kind::Plain(rows) => rows,
            Kind::Packed(changes, unpack) => changes.iter().flat_map(|c| c.iter()).map(|c| unpack.change(c)).collect(),
        }
    }
}

impl From<Vec<Row>> for Rows {
    fn from(rows: Vec<Row>) -> Self {
        Rows(Kind::Plain(rows))
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone().into_vec()).finish()
    }
}
