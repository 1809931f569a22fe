//! What leaves the engine: rows and changes of rows, in closed epochs.

use super::rows::Rows;
use crate::row::Value;
use serde::{Deserialize, Serialize};

/// A window's bounds: start, end. For time windows the end is exclusive, for sessions it is the last event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Bounds {
    /// First millisecond.
    pub start: i64,
    /// Time windows: one past the last millisecond. Sessions: the last event's time.
    pub end: i64,
}

/// A row of a view.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Key columns' values; none of them for a stream's record that has no key at all.
    pub key: Vec<Value>,
    /// Of a windowed view.
    pub window: Option<Bounds>,
    /// Value columns' values; `None` is a tombstone: the row is gone (in a stream: a record without a value).
    pub value: Option<Vec<Value>>,
    /// ROWTIME: for a table, of the row's last update.
    pub time: i64,
}

/// What changed in a view in the epochs `[lower, upper)`: a row for each changed key (and window), with its value
/// as of `upper`. A subscription's first batch is its snapshot. For a stream: the rows that it gained.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChangeBatch {
    /// From this epoch.
    pub lower: u64,
    /// To before this one.
    pub upper: u64,
    /// The rows, in an order that is the same in every run of the same epochs.
    pub rows: Rows,
}
