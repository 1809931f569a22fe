//! Rows of a view to rows of an answer: WHERE and the select list of a client's query.

use super::answer::AnswerRow;
use arrow_array::ArrayRef;
use weir_dataflow::plan::eval::{EvalErrors, EvalInput};
use weir_dataflow::plan::expr::Expr;
use weir_dataflow::plan::query::RowQuery;
use weir_dataflow::row::packed;
use weir_dataflow::row::{Schema, SqlType, Value};
use weir_dataflow::views::change::Row;

/// Filters and projects rows of one input.
pub(super) struct Projection {
    query: RowQuery,
    schema: Schema,
    /// Positions of the row's columns that expressions read: keys, values, then the window's bounds.
    read: Vec<bool>,
}

impl Projection {
    /// For rows of this schema.
    pub(super) fn new(query: RowQuery, schema: Schema) -> Self {
        let mut read = vec![false; schema.len() + 2];
        let mut mark = |e: &Expr| {
            if let Expr::Column(i, _) = e
                && let Some(read) = read.get_mut(*i)
            {
                *read = true;
            }
        };
        query.project.iter().map(|p| &p.expr).chain(&query.filter).for_each(|e| e.visit(&mut mark));
        Projection { query, schema, read }
    }

    /// Whether each row passes WHERE; all do when there is none. Rows without a value do not.
    pub(super) fn passes(&self, rows: &[Row]) -> Vec<bool> {
        let Some(filter) = &self.query.filter else {
            return rows.iter().map(|r| r.value.is_some()).collect();
        };
        let columns = self.columns(rows);
        let (times, offsets) = (times(rows), vec![0; rows.len()]);
        let input = EvalInput { columns: &columns, times: &times, offsets: &offsets, partition: 0 };
        let passed = filter.filter(&input, &mut EvalErrors::new(0));
        rows.iter().enumerate().map(|(i, row)| row.value.is_some() && passed.value(i)).collect()
    }

    /// The select list of each row. A row without a value keeps only columns that are part of its key or window.
    pub(super) fn project(&self, rows: &[Row]) -> Vec<AnswerRow> {
        let columns = self.columns(rows);
        let (times, offsets) = (times(rows), vec![0; rows.len()]);
        let input = EvalInput { columns: &columns, times: &times, offsets: &offsets, partition: 0 };
        let mut errors = EvalErrors::new(0);
        let results: Vec<(ArrayRef, &SqlType, bool)> = self
            .query
            .project
            .iter()
            .map(|p| (p.expr.eval(&input, &mut errors), p.expr.ty(), self.is_key(&p.expr)))
            .collect();
        let cell = |row: &Row, i: usize, (array, ty, key): &(ArrayRef, &SqlType, bool)| {
            if row.value.is_none() && !key { Value::Null } else { packed::cell(array, ty, i) }
        };
        rows.iter()
            .enumerate()
            .map(|(i, row)| AnswerRow {
                values: results.iter().map(|r| cell(row, i, r)).collect(),
                tombstone: row.value.is_none(),
            })
            .collect()
    }

    /// True for a column of the row's key or window.
    fn is_key(&self, expr: &Expr) -> bool {
        matches!(expr, Expr::Column(i, _) if *i < self.schema.key.len() || *i >= self.schema.len())
    }

    /// The rows as columns, those that are read.
    fn columns(&self, rows: &[Row]) -> Vec<Option<ArrayRef>> {
        let keys = self.schema.key.len();
        let cell = |row: usize, i: usize| -> &Value {
            let row = &rows[row];
            let values = if i < keys { Some(&row.key) } else { row.value.as_ref() };
            values.and_then(|v| v.get(if i < keys { i } else { i - keys })).unwrap_or(&Value::Null)
        };
        let mut columns: Vec<Option<ArrayRef>> = self
            .schema
            .columns()
            .enumerate()
            .map(|(i, column)| {
                let values = (0..rows.len()).map(|row| cell(row, i));
                self.read[i].then(|| packed::column(&column.ty, values))
            })
            .collect();
        if rows.iter().any(|r| r.window.is_some()) {
            let bound = |get: fn(&Row) -> Option<i64>| {
                let values: Vec<Value> = rows.iter().map(|r| get(r).map_or(Value::Null, Value::Bigint)).collect();
                packed::column(&SqlType::Bigint, values.iter())
            };
            columns.push(Some(bound(|r| r.window.map(|w| w.start))));
            columns.push(Some(bound(|r| r.window.map(|w| w.end))));
        } else if rows.is_empty() {
            columns.extend([None, None]);
        }
        columns
    }
}

fn times(rows: &[Row]) -> Vec<i64> {
    rows.iter().map(|r| r.time).collect()
}
