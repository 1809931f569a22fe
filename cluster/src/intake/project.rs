//! Rows of an input to rows of an answer: WHERE and the select list of a client's query.

use super::answer::AnswerRow;
use arrow_array::ArrayRef;
use weir_dataflow::plan::eval::{EvalErrors, EvalInput};
use weir_dataflow::plan::expr::Expr;
use weir_dataflow::plan::query::RowQuery;
use weir_dataflow::row::{Batch, Schema, SqlType, Value, packed};
use weir_dataflow::views::change::Row;
use weir_dataflow::views::peek;

/// Filters and projects rows of one input.
pub(super) struct Projection {
    query: RowQuery,
    schema: Schema,
    windowed: bool,
}

impl Projection {
    /// For rows of this schema, with or without windows.
    pub(super) fn new(query: RowQuery, schema: Schema, windowed: bool) -> Self {
        Projection { query, schema, windowed }
    }

    /// Whether each row passes WHERE; all do when there is none. Rows without a value do not.
    pub(super) fn passes(&self, rows: &[Row]) -> Vec<bool> {
        let Some(filter) = &self.query.filter else {
            return rows.iter().map(|r| r.value.is_some()).collect();
        };
        let columns = peek::columns(&self.schema, self.windowed, rows);
        let (times, offsets) = places(rows);
        let input = EvalInput { columns: &columns, times: &times, offsets: &offsets, partition: 0 };
        let passed = filter.filter(&input, &mut EvalErrors::new(0));
        rows.iter().enumerate().map(|(i, row)| row.value.is_some() && passed.value(i)).collect()
    }

    /// The select list of each row. A row without a value keeps only columns that are part of its key or window.
    pub(super) fn project(&self, rows: &[Row]) -> Vec<AnswerRow> {
        let columns = peek::columns(&self.schema, self.windowed, rows);
        let (times, offsets) = places(rows);
        let input = EvalInput { columns: &columns, times: &times, offsets: &offsets, partition: 0 };
        let results = self.results(&input);
        let values = |(i, row): (usize, &Row)| AnswerRow {
            values: results
                .iter()
                .map(|r| if row.value.is_none() && !r.key { Value::Null } else { packed::cell(&r.cells, r.ty, i) })
                .collect(),
            tombstone: row.value.is_none(),
        };
        rows.iter().enumerate().map(values).collect()
    }

    /// The rows of a batch that pass WHERE, and of them the select list.
    pub(super) fn select(&self, batch: &Batch) -> Vec<AnswerRow> {
        let input = EvalInput::from(batch);
        let passed = self.query.filter.as_ref().map(|f| f.filter(&input, &mut EvalErrors::new(0)));
        let deleted = |i: usize| batch.tombstones.as_ref().is_some_and(|t| t[i]);
        let results = self.results(&input);
        (0..batch.len())
            .filter(|&i| !deleted(i) && passed.as_ref().is_none_or(|p| p.value(i)))
            .map(|i| AnswerRow {
                values: results.iter().map(|r| packed::cell(&r.cells, r.ty, i)).collect(),
                tombstone: false,
            })
            .collect()
    }

    fn results(&self, input: &EvalInput<'_>) -> Vec<Cells<'_>> {
        let mut errors = EvalErrors::new(0);
        let cells = |expr: &Expr| expr.eval(input, &mut errors);
        let exprs = self.query.project.iter().map(|p| &p.expr);
        let evaluated: Vec<ArrayRef> = exprs.clone().map(cells).collect();
        evaluated.into_iter().zip(exprs).map(|(cells, e)| Cells { cells, ty: e.ty(), key: self.is_key(e) }).collect()
    }

    /// True for a column of the row's key or window.
    fn is_key(&self, expr: &Expr) -> bool {
        matches!(expr, Expr::Column(i, _) if *i < self.schema.key.len() || *i >= self.schema.len())
    }
}

/// A column of the answer.
struct Cells<'a> {
    cells: ArrayRef,
    ty: &'a SqlType,
    /// It is part of the row's key or window.
    key: bool,
}

/// ROWTIME of each row, and an offset, which rows of a view have not.
fn places(rows: &[Row]) -> (Vec<i64>, Vec<i64>) {
    (rows.iter().map(|r| r.time).collect(), vec![0; rows.len()])
}
