//! Accumulators to rows: results, HAVING, projection.

use super::steps;
use crate::arrange::Accum;
use crate::plan::aggregate::{AggregateCall, AggregateFunction};
use crate::plan::eval::EvalInput;
use crate::plan::{Aggregate, NamedExpr};
use crate::row::packed;
use crate::row::packer::Packer;
use crate::row::{SqlType, Value};
use crate::views::change::Bounds;
use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array};
use std::sync::Arc;

/// Rows finished together: few enough that their columns stay in the processor's cache, and fresh memory is not touched.
pub const CHUNK: usize = 4096;

/// How a store's accumulators become rows.
#[derive(Clone, Debug)]
pub enum Finish {
    /// The accumulator is the row.
    Row,
    /// Results of aggregates, HAVING, projection.
    Aggregate(Box<Aggregate>),
}

/// One accumulator to finish.
pub struct Item<'a> {
    /// The group's packed key.
    pub key: &'a [u8],
    /// Its window.
    pub window: Option<Bounds>,
    /// What its rows add up to.
    pub accum: &'a Accum,
}

impl Finish {
    /// The packed value columns of each item's row; `None` where there is no row: it was deleted, or HAVING hides it.
    pub fn rows(&self, items: &[Item<'_>]) -> Vec<Option<Box<[u8]>>> {
        match self {
            Finish::Row => items.iter().map(|i| i.accum.row().map(Into::into)).collect(),
            Finish::Aggregate(aggregate) => {
                let mut rows = Vec::with_capacity(items.len());
                items.chunks(CHUNK).for_each(|items| rows.extend(finish(aggregate, items)));
                rows
            }
        }
    }
}

fn finish(aggregate: &Aggregate, items: &[Item<'_>]) -> Vec<Option<Box<[u8]>>> {
    let keys = packed::columns(items.iter().map(|i| i.key), aggregate.group.iter().map(|g| g.expr.ty()));
    let results = results(&aggregate.calls, items);
    let bounds = [|w: Bounds| w.start, |w: Bounds| w.end].map(|bound| {
        let bounds: Int64Array = items.iter().map(|i| i.window.map(bound)).collect();
        Arc::new(bounds) as ArrayRef
    });
    let bounds = bounds.into_iter().filter(|_| aggregate.window.is_some());
    let columns: Vec<Option<ArrayRef>> = keys.into_iter().chain(results).chain(bounds).map(Some).collect();
    let times: Vec<i64> = items.iter().map(|i| i.accum.time).collect();
    let input = EvalInput { columns: &columns, times: &times, offsets: &times, partition: 0 };
    let mut errors = steps::errors();
    let shown = aggregate.having.as_ref().map(|h| h.filter(&input, &mut errors));
    pack(&aggregate.project, &input, shown.as_ref(), items.len())
}

/// The results of each aggregate.
fn results(calls: &[AggregateCall], items: &[Item<'_>]) -> Vec<ArrayRef> {
    let mut part = 0;
    let result = |call: &AggregateCall| {
        if call.function == AggregateFunction::CountRows {
            return Arc::new(items.iter().map(|i| Some(i.accum.rows)).collect::<Int64Array>()) as ArrayRef;
        }
        let parts = items.iter().map(|i| i.accum.parts.as_deref().and_then(|parts| parts.get(part)));
        let values: Vec<Value> = parts.map(|p| p.map_or(Value::Null, |p| p.result(call))).collect();
        part += 1;
        packed::column(&call.ty, values.iter())
    };
    calls.iter().map(result).collect()
}

/// The rows of a projection, packed, where `shown` is true.
pub fn pack(
    project: &[NamedExpr],
    input: &EvalInput<'_>,
    shown: Option<&BooleanArray>,
    rows: usize,
) -> Vec<Option<Box<[u8]>>> {
    let mut errors = steps::errors();
    let columns: Vec<(ArrayRef, SqlType)> =
        project.iter().map(|p| (p.expr.eval(input, &mut errors), p.expr.ty().clone())).collect();
    let packer = Packer::new(columns);
    let mut scratch = Vec::new();
    (0..rows)
        .map(|row| {
            if shown.is_some_and(|s| s.is_null(row) || !s.value(row)) {
                return None;
            }
            scratch.clear();
            packer.push(&mut scratch, row);
            Some(scratch.as_slice().into())
        })
        .collect()
}
