//! Accumulators to rows: results, HAVING, projection.

use super::steps;
use crate::arrange::Part;
use crate::plan::aggregate::{AggregateCall, AggregateFunction};
use crate::plan::eval::EvalInput;
use crate::plan::expr::Expr;
use crate::plan::{Aggregate, NamedExpr};
use crate::row::Value;
use crate::row::packed;
use crate::row::packer::Packer;
use crate::views::change::Bounds;
use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array};
use std::collections::BTreeSet;
use std::ops::Deref;
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

/// Accumulators to finish, in columns. (One that was just put together would, if it were copied here as a whole, be read back
/// from memory before its parts are there.)
pub struct Items<'a, P> {
    /// The groups' packed keys.
    pub keys: Vec<&'a [u8]>,
    /// Their windows.
    pub windows: Vec<Option<Bounds>>,
    /// [Rows](crate::arrange::Accum::rows) of each.
    pub rows: Vec<i64>,
    /// [Time](crate::arrange::Accum::time) of each.
    pub times: Vec<i64>,
    /// What its other aggregates hold, in [parts](crate::arrange::Accum::parts).
    pub parts: Vec<Option<P>>,
}

impl<'a, P: Deref<Target = [Part]>> Items<'a, P> {
    /// None, with room for so many.
    pub fn with_room(room: usize) -> Self {
        Items {
            keys: Vec::with_capacity(room),
            windows: Vec::with_capacity(room),
            rows: Vec::with_capacity(room),
            times: Vec::with_capacity(room),
            parts: Vec::with_capacity(room),
        }
    }

    /// Adds one.
    #[inline(always)]
    pub fn push(&mut self, key: &'a [u8], window: Option<Bounds>, (rows, time, parts): (i64, i64, Option<P>)) {
        self.keys.push(key);
        self.windows.push(window);
        self.rows.push(rows);
        self.times.push(time);
        self.parts.push(parts);
    }

    /// Of each of them key, window and time.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], Option<Bounds>, i64)> {
        let groups = self.keys.iter().zip(&self.windows);
        groups.zip(&self.times).map(|((key, window), time)| (*key, *window, *time))
    }

    /// Takes them away.
    pub fn clear(&mut self) {
        self.keys.clear();
        self.windows.clear();
        self.rows.clear();
        self.times.clear();
        self.parts.clear();
    }
}

/// The rows of some items.
pub enum Finished<'a> {
    /// Packed already.
    Rows(Vec<Option<&'a [u8]>>),
    /// To be put together out of parts, where HAVING shows them.
    Parts(Vec<Columns<'a>>, Option<BooleanArray>),
}

/// Some columns of rows.
pub enum Columns<'a> {
    /// Those of the group, which are packed in its key.
    Group(&'a [&'a [u8]]),
    /// Others.
    Others(Packer),
}

impl Finish {
    /// An accumulator may be no row.
    pub fn hides(&self) -> bool {
        match self {
            Finish::Row => true,
            Finish::Aggregate(aggregate) => aggregate.having.is_some(),
        }
    }

    /// The value columns of each item's row. Best asked for [`CHUNK`] items.
    pub fn rows<'a, P: Deref<Target = [Part]>>(&self, items: &'a Items<'a, P>) -> Finished<'a> {
        match self {
            Finish::Row => Finished::Rows(items.parts.iter().map(|p| p.as_deref().and_then(Part::row)).collect()),
            Finish::Aggregate(aggregate) => finish(aggregate, items),
        }
    }
}

impl Finished<'_> {
    /// There is a row: it was not deleted, and HAVING does not hide it.
    #[inline]
    pub fn is_shown(&self, at: usize) -> bool {
        match self {
            Finished::Rows(rows) => rows[at].is_some(),
            Finished::Parts(_, shown) => shown.as_ref().is_none_or(|s| s.is_valid(at) && s.value(at)),
        }
    }

    /// Appends an item's row, packed, if there is one; whether there is.
    #[inline]
    pub fn push(&self, at: usize, out: &mut Vec<u8>) -> bool {
        let shown = self.is_shown(at);
        match self {
            Finished::Rows(rows) => rows[at].iter().for_each(|row| out.extend_from_slice(row)),
            Finished::Parts(parts, _) if shown => parts.iter().for_each(|part| match part {
                Columns::Group(keys) => out.extend_from_slice(keys[at]),
                Columns::Others(packer) => packer.push(out, at),
            }),
            Finished::Parts(..) => {}
        }
        shown
    }
}

fn finish<'a, P: Deref<Target = [Part]>>(aggregate: &Aggregate, items: &'a Items<'a, P>) -> Finished<'a> {
    let (project, groups) = (&aggregate.project, aggregate.group.len());
    // Where all the group's columns stand one after the other, their bytes are those of the key.
    let is_key = |exprs: &[NamedExpr]| (0..).zip(exprs).all(|(at, p)| matches!(p.expr, Expr::Column(c, _) if c == at));
    let key_at = project.windows(groups.max(1)).position(is_key).filter(|_| groups > 0);
    let key = key_at.map_or(project.len()..project.len(), |at| at..at + groups);
    let others = project[..key.start].iter().chain(&project[key.end..]).map(|p| &p.expr);
    let reads: BTreeSet<usize> = others.chain(&aggregate.having).flat_map(Expr::columns).collect();

    let width = groups + aggregate.calls.len();
    let mut columns: Vec<Option<ArrayRef>> = vec![None; width + 2];
    if reads.range(..groups).next().is_some() {
        let types = aggregate.group.iter().map(|g| g.expr.ty());
        let keys = packed::columns(items.keys.iter().copied(), types);
        columns.iter_mut().zip(keys).for_each(|(column, key)| *column = Some(key));
    }
    for (column, result) in columns[groups..].iter_mut().zip(results(&aggregate.calls, items)) {
        *column = Some(result);
    }
    for (at, bound) in (width..).zip([|w: Bounds| w.start, |w: Bounds| w.end]) {
        if reads.contains(&at) {
            let bounds: Int64Array = items.windows.iter().map(|window| window.map(bound)).collect();
            columns[at] = Some(Arc::new(bounds));
        }
    }
    let input = EvalInput { columns: &columns, times: &items.times, offsets: &items.times, partition: 0 };
    let mut errors = steps::errors();
    let shown = aggregate.having.as_ref().map(|h| h.filter(&input, &mut errors));
    let mut evaluated = |exprs: &[NamedExpr]| {
        let columns = exprs.iter().map(|p| (p.expr.eval(&input, &mut errors), p.expr.ty().clone()));
        Columns::Others(Packer::new(columns.collect()))
    };
    let mut parts = vec![evaluated(&project[..key.start])];
    if !key.is_empty() {
        parts.push(Columns::Group(&items.keys));
        parts.push(evaluated(&project[key.end..]));
    }
    Finished::Parts(parts, shown)
}

/// The results of each aggregate.
fn results<P: Deref<Target = [Part]>>(calls: &[AggregateCall], items: &Items<'_, P>) -> Vec<ArrayRef> {
    let mut part = 0;
    let result = |call: &AggregateCall| {
        if call.function == AggregateFunction::CountRows {
            return Arc::new(Int64Array::from(items.rows.clone())) as ArrayRef;
        }
        let parts = items.parts.iter().map(|parts| parts.as_deref().and_then(|parts| parts.get(part)));
        let values: Vec<Value> = parts.map(|p| p.map_or(Value::Null, |p| p.result(call))).collect();
        part += 1;
        packed::column(&call.ty, values.iter())
    };
    calls.iter().map(result).collect()
}
