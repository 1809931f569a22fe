//! Comparisons of columns. A null on either side makes false, but for IS [NOT] DISTINCT FROM.

use super::row;
use super::vector::{Context, Operand};
use crate::row::{SqlType, Value};
use crate::sql::ast::BinaryOp;
use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, ArrayRef, BooleanArray, Datum, Scalar};
use arrow_buffer::BooleanBuffer;

/// The rows for which the comparison holds.
pub(super) fn columns(cx: &mut Context<'_>, op: BinaryOp, a: &Operand, b: &Operand, ty: &SqlType) -> BooleanBuffer {
    if let (Operand::Scalar(a), Operand::Scalar(b)) = (a, b) {
        return fill(row::compare(op, a, b), cx.len());
    }
    if !matches!(op, BinaryOp::Distinct | BinaryOp::NotDistinct) && (a.is_null_scalar() || b.is_null_scalar()) {
        return BooleanBuffer::new_unset(cx.len());
    }
    let done = match ty {
        SqlType::Double => doubles(op, a, b),
        SqlType::Boolean
        | SqlType::Int
        | SqlType::Bigint
        | SqlType::String
        | SqlType::Bytes
        | SqlType::Date
        | SqlType::Time
        | SqlType::Timestamp
        | SqlType::Decimal(..) => kernel(op, a, b, ty),
        _ => None,
    };
    done.unwrap_or_else(|| {
        BooleanBuffer::collect_bool(cx.len(), |i| row::compare(op, &a.value(ty, i), &b.value(ty, i)))
    })
}

/// Arrow's kernels.
fn kernel(op: BinaryOp, a: &Operand, b: &Operand, ty: &SqlType) -> Option<BooleanBuffer> {
    use arrow_ord::cmp;
    let (a, b) = (datum(a, ty), datum(b, ty));
    let (a, b) = (&*a, &*b);
    let result = match op {
        BinaryOp::Equal => cmp::eq(a, b),
        BinaryOp::NotEqual => cmp::neq(a, b),
        BinaryOp::Less => cmp::lt(a, b),
        BinaryOp::LessOrEqual => cmp::lt_eq(a, b),
        BinaryOp::Greater => cmp::gt(a, b),
        BinaryOp::GreaterOrEqual => cmp::gt_eq(a, b),
        BinaryOp::Distinct => cmp::distinct(a, b),
        BinaryOp::NotDistinct => cmp::not_distinct(a, b),
        _ => return None,
    };
    result.ok().map(|array: BooleanArray| super::vector::true_bits(&array))
}

fn datum(operand: &Operand, ty: &SqlType) -> Box<dyn Datum> {
    match operand {
        Operand::Column(array) => Box::new(ArrayRef::clone(array)),
        Operand::Scalar(value) => Box::new(Scalar::new(crate::row::packed::column(ty, std::iter::once(value)))),
    }
}

/// Doubles by IEEE, where Arrow has a total order: NaN compares false with everything, -0 equals 0.
fn doubles(op: BinaryOp, a: &Operand, b: &Operand) -> Option<BooleanBuffer> {
    macro_rules! loops {
        ($f:expr) => {
            match (a, b) {
                (Operand::Column(a), Operand::Column(b)) => {
                    let (a, b) = (a.as_primitive_opt::<Float64Type>()?, b.as_primitive_opt::<Float64Type>()?);
                    let (x, y) = (a.values(), b.values());
                    BooleanBuffer::collect_bool(x.len().min(y.len()), |i| $f(x[i], y[i]))
                }
                (Operand::Column(a), Operand::Scalar(Value::Double(y))) => {
                    let x = a.as_primitive_opt::<Float64Type>()?.values();
                    BooleanBuffer::collect_bool(x.len(), |i| $f(x[i], *y))
                }
                (Operand::Scalar(Value::Double(x)), Operand::Column(b)) => {
                    let y = b.as_primitive_opt::<Float64Type>()?.values();
                    BooleanBuffer::collect_bool(y.len(), |i| $f(*x, y[i]))
                }
                _ => return None,
            }
        };
    }
    let mut bits = match op {
        BinaryOp::Equal => loops!(|x: f64, y: f64| x == y),
        BinaryOp::NotEqual => loops!(|x: f64, y: f64| x.partial_cmp(&y).is_some_and(std::cmp::Ordering::is_ne)),
        BinaryOp::Less => loops!(|x: f64, y: f64| x < y),
        BinaryOp::LessOrEqual => loops!(|x: f64, y: f64| x <= y),
        BinaryOp::Greater => loops!(|x: f64, y: f64| x > y),
        BinaryOp::GreaterOrEqual => loops!(|x: f64, y: f64| x >= y),
        _ => return None,
    };
    for operand in [a, b] {
        if let Operand::Column(array) = operand
            && let Some(nulls) = array.nulls()
        {
            bits = &bits & nulls.inner();
        }
    }
    Some(bits)
}

/// `len` times the same bit.
pub(super) fn fill(bit: bool, len: usize) -> BooleanBuffer {
    if bit { BooleanBuffer::new_set(len) } else { BooleanBuffer::new_unset(len) }
}
