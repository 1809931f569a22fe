//! Accumulators to rows: results, HAVING, projection.

use super::steps;
use crate::arrange::Accum;
use crate::plan::aggregate::{AggregateCall, AggregateFunction};
use crate::plan::eval::EvalInput;
use crate::plan::expr::Expr;
use crate::plan::{Aggregate, NamedExpr};
use crate::row::Value;
use crate::row::packed;
use crate::row::packer::Packer;
use crate::views::change::Bounds;
use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array};
use std::borrow::Borrow;
use std::collections::BTreeSet;
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

/// Accumulators to finish, in columns.
pub struct Items<'a, A> {
    /// The groups' packed keys.
    pub keys: Vec<&'a [u8]>,
    /// Their windows.
    pub windows: Vec<Option<Bounds>>,
    /// What their rows add up to.
    pub accums: Vec<A>,
}

impl<'a, A> Items<'a, A> {
    /// None, with room for so many.
    pub fn with_room(room: usize) -> Self {
        Items { keys: Vec::with_capacity(room), windows: Vec::with_capacity(room), accums: Vec::with_capacity(room) }
    }

    /// Adds one.
    #[inline]
    pub fn push(&mut self, key: &'a [u8], window: Option<Bounds>, accum: A) {
        self.keys.push(key);
        self.windows.push(window);
        self.accums.push(accum);
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], Option<Bounds>, &A)> {
        let groups = self.keys.iter().zip(&self.windows);
        groups.zip(&self.accums).map(|((key, window), accum)| (*key, *window, accum))
    }

    /// Takes them away.
    pub fn clear(&mut self) {
        self.keys.clear();
        self.windows.clear();
        self.accums.clear();
    }
}

/// The rows of some items.
pub enum Finished<'a> {
    /// Packed already.
    Rows(Vec<Option<&'a [u8]>>),
    /// To be put together out of parts, where HAVING shows them.
    Parts(Vec<Part<'a>>, Option<BooleanArray>),
}

/// Some columns of rows.
pub enum Part<'a> {
    /// Those of the group, which are packed in its key.
    Keys(&'a [&'a [u8]]),
    /// Others.
    Columns(Packer),
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
    pub fn rows<'a, A: Borrow<Accum>>(&self, items: &'a Items<'a, A>) -> Finished<'a> {
        match self {
            Finish::Row => Finished::Rows(items.accums.iter().map(|accum| accum.borrow().row()).collect()),
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
                Part::Keys(keys) => out.extend_from_slice(keys[at]),
                Part::Columns(packer) => packer.push(out, at),
            }),
            Finished::Parts(..) => {}
        }
        shown
    }
}

fn finish<'a, A: Borrow<Accum>>(aggregate: &Aggregate, items: &'a Items<'a, A>) -> Finished<'a> {
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
    for (column, result) in columns[groups..].iter_mut().zip(results(&aggregate.calls, &items.accums)) {
        *column = Some(result);
    }
    for (at, bound) in (width..).zip([|w: Bounds| w.start, |w: Bounds| w.end]) {
        if reads.contains(&at) {
            let bounds: Int64Array = items.windows.iter().map(|window| window.map(bound)).collect();
            columns[at] = Some(Arc::new(bounds));
        }
    }
    let times: Vec<i64> = items.accums.iter().map(|accum| accum.borrow().time).collect();
    let input = EvalInput { columns: &columns, times: &times, offsets: &times, partition: 0 };
    let mut errors = steps::errors();
    let shown = aggregate.having.as_ref().map(|h| h.filter(&input, &mut errors));
    let mut evaluated = |exprs: &[NamedExpr]| {
        let columns = exprs.iter().map(|p| (p.expr.eval(&input, &mut errors), p.expr.ty().clone()));
        Part::Columns(Packer::new(columns.collect()))
    };
    let mut parts = vec![evaluated(&project[..key.start])];
    if !key.is_empty() {
        parts.push(Part::Keys(&items.keys));
        parts.push(evaluated(&project[key.end..]));
    }
    Finished::Parts(parts, shown)
}

/// The results of each aggregate.
fn results(calls: &[AggregateCall], accums: &[impl Borrow<Accum>]) -> Vec<ArrayRef> {
    let accums = || accums.iter().map(|accum| accum.borrow());
    let mut part = 0;
    let result = |call: &AggregateCall| {
        if call.function == AggregateFunction::CountRows {
            return Arc::new(Int64Array::from_iter_values(accums().map(|accum| accum.rows))) as ArrayRef;
        }
        let parts = accums().map(|accum| accum.parts.as_deref().and_then(|parts| parts.get(part)));
        let values: Vec<Value> = parts.map(|p| p.map_or(Value::Null, |p| p.result(call))).collect();
        part += 1;
        packed::column(&call.ty, values.iter())
    };
    calls.iter().map(result).collect()
}
