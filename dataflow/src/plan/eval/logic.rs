//! AND, OR, LIKE and CASE on columns. A side or branch that a row does not reach cannot fail for it.

use super::compare::fill;
use super::like::{self, Pattern};
use super::vector::{Context, Operand, both_valid, pattern};
use crate::plan::expr::Expr;
use crate::row::{SqlType, packed};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, Datum, Scalar};
use arrow_buffer::BooleanBuffer;

/// `a AND b`: b is reached where a is true.
pub(super) fn and(cx: &mut Context<'_>, a: &Expr, b: &Expr) -> BooleanBuffer {
    let left = cx.truths(a);
    if left.count_set_bits() == 0 {
        return left;
    }
    let right = cx.within(left.clone(), |cx| cx.truths(b));
    &left & &right
}

/// `a OR b`: b is reached where a is false.
pub(super) fn or(cx: &mut Context<'_>, a: &Expr, b: &Expr) -> BooleanBuffer {
    let left = cx.truths(a);
    let right = cx.within(!&left, |cx| cx.truths(b));
    &left | &right
}

/// `x LIKE y`; null on either side fails.
pub(super) fn like(cx: &mut Context<'_>, x: &Operand, y: &Operand, escape: Option<char>) -> BooleanBuffer {
    let n = cx.len();
    if x.is_null_scalar() || y.is_null_scalar() {
        cx.fail_all(like::NULL);
        return fill(false, n);
    }
    let text = |operand: &Operand| match operand {
        Operand::Column(array) => Some(ArrayRef::clone(array)),
        Operand::Scalar(_) => None,
    };
    let nulls = both_valid(
        text(x).and_then(|a| a.nulls().cloned()).as_ref(),
        text(y).and_then(|a| a.nulls().cloned()).as_ref(),
    );
    cx.fail_nulls(nulls.as_ref(), like::NULL);
    let (x, y) = match (text(x), pattern(y, escape)) {
        (Some(texts), Some(pattern)) => {
            let Some(texts) = texts.as_string_opt::<i32>() else { return fill(false, n) };
            return pattern.matching(texts);
        }
        _ => (x.clone().into_array(&SqlType::String, n), y.clone().into_array(&SqlType::String, n)),
    };
    let (Some(x), Some(y)) = (x.as_string_opt::<i32>(), y.as_string_opt::<i32>()) else { return fill(false, n) };
    BooleanBuffer::collect_bool(n, |i| {
        x.is_valid(i) && y.is_valid(i) && Pattern::new(y.value(i), escape).matches(x.value(i))
    })
}

/// CASE: each row takes the first branch whose condition holds.
pub(super) fn case(cx: &mut Context<'_>, branches: &[(Expr, Expr)], otherwise: Option<&Expr>, ty: &SqlType) -> Operand {
    let n = cx.len();
    let mut open = BooleanBuffer::new_set(n);
    let mut taken: Vec<(BooleanBuffer, Operand)> = Vec::with_capacity(branches.len() + 1);
    for (condition, result) in branches {
        let holds = cx.within(open.clone(), |cx| cx.truths(condition));
        let rows = &open & &holds;
        let value = cx.within(rows.clone(), |cx| cx.values(result));
        open = &open & &!&rows;
        taken.push((rows, value));
    }
    let last = match otherwise {
        Some(e) => cx.within(open, |cx| cx.values(e)),
        None => Operand::Scalar(crate::row::Value::Null),
    };
    merge(&taken, &last, ty, n).map_or(last, Operand::Column)
}

/// One column out of each branch's rows. Two results are zipped; more are gathered, for each zip copies.
fn merge(taken: &[(BooleanBuffer, Operand)], last: &Operand, ty: &SqlType, n: usize) -> Option<ArrayRef> {
    if let [(rows, value)] = taken {
        let mask = BooleanArray::new(rows.clone(), None);
        let (a, b) = (datum(value, ty), datum(last, ty));
        let zipped = arrow_select::zip::zip(&mask, &*a, &*b).ok()?;
        // Two scalars may come out in another layout.
        return if *zipped.data_type() == ty.arrow() { Some(zipped) } else { gather(taken, last, ty, n) };
    }
    gather(taken, last, ty, n)
}

fn gather(taken: &[(BooleanBuffer, Operand)], last: &Operand, ty: &SqlType, n: usize) -> Option<ArrayRef> {
    let sources: Vec<(ArrayRef, bool)> = taken.iter().map(|(_, v)| v).chain([last]).map(|v| single(v, ty)).collect();
    let mut picks: Vec<(usize, usize)> =
        (0..n).map(|i| (taken.len(), if sources[taken.len()].1 { 0 } else { i })).collect();
    for (source, (rows, _)) in taken.iter().enumerate() {
        let scalar = sources[source].1;
        rows.set_indices().for_each(|i| picks[i] = (source, if scalar { 0 } else { i }));
    }
    let arrays: Vec<&dyn Array> = sources.iter().map(|(a, _)| &**a).collect();
    arrow_select::interleave::interleave(&arrays, &picks).ok()
}

/// A column, or a column of one row for a scalar (then true).
fn single(operand: &Operand, ty: &SqlType) -> (ArrayRef, bool) {
    match operand {
        Operand::Column(array) => (ArrayRef::clone(array), false),
        Operand::Scalar(value) => (packed::column(ty, std::iter::once(value)), true),
    }
}

fn datum(operand: &Operand, ty: &SqlType) -> Box<dyn Datum> {
    match single(operand, ty) {
        (array, false) => Box::new(array),
        (array, true) => Box::new(Scalar::new(array)),
    }
}
