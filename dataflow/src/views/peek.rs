//! A peek: the rows of a table as of a closed epoch.

use crate::engine::packed_key;
use crate::plan::eval::EvalInput;
use crate::plan::query::RowQuery;
use crate::render::keyed::{Kept, PackedRow, Selection};
use crate::render::parcels::owner;
use crate::render::steps;
use crate::render::table_changes::TableChange;
use crate::row::{Schema, SqlType, Value, packed};
use crate::views::change::{Bounds, Row};
use arrow_array::{Array, ArrayRef, BooleanArray};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The keys that a query looks up, packed; `None`: it scans. A null among its columns makes a key that nothing has.
fn packed_keys(query: &RowQuery) -> Option<Vec<Vec<u8>>> {
    let keys = query.keys.as_ref()?.iter().filter(|key| !key.iter().any(Value::is_null));
    Some(keys.map(|key| packed_key(key)).collect())
}

/// Those of so many workers that keep rows which a query may find; `None`: all may.
pub fn keepers(query: &RowQuery, peers: usize) -> Option<BTreeSet<usize>> {
    let keys = packed_keys(query).filter(|_| !query.bounds_behind)?;
    Some(keys.iter().map(|key| owner(key, peers as u64) as usize).collect())
}

/// The rows that a query asks for.
pub fn rows(kept: &Kept, schema: &Schema, windowed: bool, query: &RowQuery, as_of: u64) -> Vec<Row> {
    let (keys, bounds_behind) = (packed_keys(query), query.bounds_behind);
    let selection = Selection { keys: keys.as_deref(), bounds_behind, starts: query.window_starts, as_of };
    let unpack = Unpack::new(schema);
    let mut out: Vec<Row> = Vec::new();
    kept.rows(&selection, |row| out.push(unpack.row(&row)));
    if let Some(filter) = &query.filter {
        let columns = columns(schema, windowed, &out);
        let times: Vec<i64> = out.iter().map(|r| r.time).collect();
        let input = EvalInput { columns: &columns, times: &times, offsets: &times, partition: 0 };
        let mask: BooleanArray = filter.filter(&input, &mut steps::errors());
        let mut at = 0;
        out.retain(|_| {
            at += 1;
            mask.is_valid(at - 1) && mask.value(at - 1)
        });
    }
    out
}

/// Packed rows to values.
#[derive(Serialize, Deserialize)]
pub struct Unpack {
    key: Vec<SqlType>,
    value: Vec<SqlType>,
}

impl Unpack {
    /// For rows of this schema.
    pub fn new(schema: &Schema) -> Self {
        let types = |columns: &[crate::row::Column]| columns.iter().map(|c| c.ty.clone()).collect();
        Unpack { key: types(&schema.key), value: types(&schema.value) }
    }

    /// The key's values.
    pub fn key(&self, mut packed: &[u8]) -> Vec<Value> {
        packed::pop_all(&mut packed, &self.key)
    }

    /// The window of a row: the one that its table made for it, or the one that stands behind the key of its record.
    pub fn window(&self, key: &[u8], made: Option<Bounds>) -> Option<Bounds> {
        if made.is_some() {
            return made;
        }
        let mut packed = packed::skip_all(key, &self.key);
        if packed.is_empty() {
            return None;
        }
        match packed::pop_all(&mut packed, &[SqlType::Bigint, SqlType::Bigint]).as_slice() {
            [Value::Bigint(start), Value::Bigint(end)] => Some(Bounds { start: *start, end: *end }),
            _ => None,
        }
    }

    /// The value columns' values.
    pub fn value(&self, mut packed: &[u8]) -> Vec<Value> {
        packed::pop_all(&mut packed, &self.value)
    }

    /// A whole row.
    pub fn row(&self, row: &PackedRow<'_>) -> Row {
        let PackedRow { key, window, value, time } = *row;
        self.change(TableChange { key, window, old: None, new: Some(value), time })
    }

    /// The row that a change brings.
    pub(super) fn change(&self, change: TableChange<'_>) -> Row {
        Row {
            key: self.key(change.key),
            window: self.window(change.key, change.window),
            value: change.new.map(|value| self.value(value)),
            time: change.time,
        }
    }
}

/// Rows as columns, as expressions of a [`RowQuery`] see them: keys, values, and for a windowed input the bounds.
pub fn columns(schema: &Schema, windowed: bool, rows: &[Row]) -> Vec<Option<ArrayRef>> {
    let null = Value::Null;
    let mut columns: Vec<Option<ArrayRef>> = schema
        .columns()
        .enumerate()
        .map(|(i, column)| {
            let cells: Vec<&Value> = rows
                .iter()
                .map(|row| match i.checked_sub(schema.key.len()) {
                    None => row.key.get(i).unwrap_or(&null),
                    Some(i) => row.value.as_ref().and_then(|v| v.get(i)).unwrap_or(&null),
                })
                .collect();
            Some(packed::column(&column.ty, cells.into_iter()))
        })
        .collect();
    if windowed {
        let bound = |f: fn(&Bounds) -> i64| {
            let cells: Vec<Value> =
                rows.iter().map(|r| r.window.as_ref().map_or(Value::Null, |w| Value::Bigint(f(w)))).collect();
            Some(packed::column(&SqlType::Bigint, cells.iter()))
        };
        columns.push(bound(|w| w.start));
        columns.push(bound(|w| w.end));
    }
    columns
}
