//! Arithmetic: INTEGER and BIGINT wrap and truncate as Java's, DOUBLE is IEEE, DECIMAL has ksqlDB's precision and
//! scale. Arithmetic with null has no answer.

use super::vector::{Context, Operand, both_valid};
use crate::row::{Decimal, SqlType, Value};
use crate::sql::ast::BinaryOp;
use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Float64Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, PrimitiveArray};
use arrow_buffer::NullBuffer;
use std::sync::Arc;

const NULL: &str = "arithmetic with null";
const ZERO: &str = "division by zero";
const OVERFLOW: &str = "the decimal result does not fit";

/// The type of arithmetic between two decimals. Precision is cut at 38 digits.
pub fn decimal_result(op: BinaryOp, (p1, s1): (u8, u8), (p2, s2): (u8, u8)) -> (u8, u8) {
    let (p1, s1, p2, s2) = (i32::from(p1), i32::from(s1), i32::from(p2), i32::from(s2));
    let (precision, scale) = match op {
        BinaryOp::Multiply => (p1 + p2 + 1, s1 + s2),
        BinaryOp::Divide => {
            let scale = 6.max(s1 + p2 + 1);
            (p1 - s1 + s2 + scale, scale)
        }
        BinaryOp::Modulo => ((p1 - s1).min(p2 - s2) + s1.max(s2), s1.max(s2)),
        _ => ((p1 - s1).max(p2 - s2) + s1.max(s2) + 1, s1.max(s2)),
    };
    let fit = |n: i32| u8::try_from(n.clamp(0, 38)).unwrap_or(38);
    (fit(precision).max(1), fit(scale))
}

/// A decimal with another scale, rounded half up (away from zero); none when it has more than 38 digits.
pub fn rescale(value: Decimal, scale: u8) -> Option<i128> {
    if scale >= value.scale {
        value.unscaled.checked_mul(10_i128.checked_pow(u32::from(scale - value.scale))?)
    } else {
        let unit = 10_i128.checked_pow(u32::from(value.scale - scale))?;
        let (whole, rest) = (value.unscaled / unit, (value.unscaled % unit).abs());
        Some(if rest >= unit - rest { whole + value.unscaled.signum() } else { whole })
    }
}

/// True when the digits fit the precision.
pub(super) fn fits(unscaled: i128, precision: u8) -> bool {
    10_i128.checked_pow(u32::from(precision)).is_none_or(|bound| unscaled.abs() < bound)
}

/// Arithmetic of two values of one kind.
pub(super) fn arithmetic(op: BinaryOp, a: &Value, b: &Value, ty: &SqlType) -> Result<Value, String> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => int32(op, *a, *b).map(Value::Int).ok_or_else(|| ZERO.into()),
        (Value::Bigint(a), Value::Bigint(b)) => int64(op, *a, *b).map(Value::Bigint).ok_or_else(|| ZERO.into()),
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(double(op, *a, *b))),
        (Value::Decimal(a), Value::Decimal(b)) => decimal(op, *a, *b, ty).map(Value::Decimal),
        // `+` of strings is Java's: null is the text "null".
        (a, b) if *ty == SqlType::String => {
            let text = |v: &Value| if let Value::String(s) = v { Arc::clone(s) } else { "null".into() };
            Ok(Value::String(format!("{}{}", text(a), text(b)).into()))
        }
        _ => Err(NULL.into()),
    }
}

/// `-value`.
pub(super) fn negate(value: &Value) -> Result<Value, String> {
    match value {
        Value::Int(v) => Ok(Value::Int(v.wrapping_neg())),
        Value::Bigint(v) => Ok(Value::Bigint(v.wrapping_neg())),
        Value::Double(v) => Ok(Value::Double(one_nan(-v))),
        Value::Decimal(v) => Ok(Value::Decimal(Decimal { unscaled: -v.unscaled, scale: v.scale })),
        _ => Err(NULL.into()),
    }
}

#[inline]
fn int32(op: BinaryOp, a: i32, b: i32) -> Option<i32> {
    Some(match op {
        BinaryOp::Add => a.wrapping_add(b),
        BinaryOp::Subtract => a.wrapping_sub(b),
        BinaryOp::Multiply => a.wrapping_mul(b),
        _ if b == 0 => return None,
        BinaryOp::Divide => a.wrapping_div(b),
        _ => a.wrapping_rem(b),
    })
}

#[inline]
fn int64(op: BinaryOp, a: i64, b: i64) -> Option<i64> {
    Some(match op {
        BinaryOp::Add => a.wrapping_add(b),
        BinaryOp::Subtract => a.wrapping_sub(b),
        BinaryOp::Multiply => a.wrapping_mul(b),
        _ if b == 0 => return None,
        BinaryOp::Divide => a.wrapping_div(b),
        _ => a.wrapping_rem(b),
    })
}

#[inline]
fn double(op: BinaryOp, a: f64, b: f64) -> f64 {
    one_nan(match op {
        BinaryOp::Add => a + b,
        BinaryOp::Subtract => a - b,
        BinaryOp::Multiply => a * b,
        BinaryOp::Divide => a / b,
        _ => a % b,
    })
}

/// The same bits for every NaN, for it can be a key.
#[inline]
fn one_nan(v: f64) -> f64 {
    if v.is_nan() { f64::NAN } else { v }
}

fn decimal(op: BinaryOp, a: Decimal, b: Decimal, ty: &SqlType) -> Result<Decimal, String> {
    let SqlType::Decimal(precision, scale) = *ty else { return Err(OVERFLOW.into()) };
    let align = |d: Decimal, scale: u8| rescale(d, scale).ok_or(OVERFLOW);
    let common = a.scale.max(b.scale);
    let exact = |unscaled: Option<i128>, from: u8| {
        let unscaled = rescale(Decimal { unscaled: unscaled.ok_or(OVERFLOW)?, scale: from }, scale).ok_or(OVERFLOW)?;
        if fits(unscaled, precision) { Ok(Decimal { unscaled, scale }) } else { Err(String::from(OVERFLOW)) }
    };
    match op {
        BinaryOp::Add => exact(align(a, common)?.checked_add(align(b, common)?), common),
        BinaryOp::Subtract => exact(align(a, common)?.checked_sub(align(b, common)?), common),
        BinaryOp::Multiply => exact(a.unscaled.checked_mul(b.unscaled), a.scale + b.scale),
        _ if b.unscaled == 0 => Err(ZERO.into()),
        BinaryOp::Divide => {
            // The quotient with the result's scale, truncated to one digit more and rounded half up.
            let shift = u32::from(scale) + u32::from(b.scale);
            let (numerator, denominator) = if shift >= u32::from(a.scale) {
                let unit = 10_i128.checked_pow(shift - u32::from(a.scale)).ok_or(OVERFLOW)?;
                (a.unscaled.checked_mul(unit).ok_or(OVERFLOW)?, b.unscaled)
            } else {
                let unit = 10_i128.checked_pow(u32::from(a.scale) - shift).ok_or(OVERFLOW)?;
                (a.unscaled, b.unscaled.checked_mul(unit).ok_or(OVERFLOW)?)
            };
            let (whole, rest) = (numerator / denominator, (numerator % denominator).unsigned_abs());
            let up = rest >= denominator.unsigned_abs() - rest;
            let sign = numerator.signum() * denominator.signum();
            exact(Some(if up { whole + sign } else { whole }), scale)
        }
        _ => exact(align(a, common)?.checked_rem(align(b, common)?), common),
    }
}

/// Arithmetic of two columns, or a column and a scalar; `None`: these types have no vectorised form.
pub(super) fn columns(cx: &mut Context<'_>, op: BinaryOp, a: &Operand, b: &Operand, ty: &SqlType) -> Option<ArrayRef> {
    match ty {
        SqlType::Int => {
            integers::<Int32Type>(cx, op, a, b, int32, |v| if let Value::Int(v) = v { Some(*v) } else { None })
        }
        SqlType::Bigint => {
            integers::<Int64Type>(cx, op, a, b, int64, |v| if let Value::Bigint(v) = v { Some(*v) } else { None })
        }
        SqlType::Double => {
            let get = |v: &Value| if let Value::Double(v) = v { Some(*v) } else { None };
            let f = move |op, a, b| Some(double(op, a, b));
            integers::<Float64Type>(cx, op, a, b, f, get)
        }
        _ => None,
    }
}

/// One operator over native values. The operator is matched outside of the loop, for each to compile to a loop of
/// its own; only division can miss.
fn integers<T: ArrowPrimitiveType>(
    cx: &mut Context<'_>,
    op: BinaryOp,
    a: &Operand,
    b: &Operand,
    f: impl Fn(BinaryOp, T::Native, T::Native) -> Option<T::Native> + Copy,
    scalar: impl Fn(&Value) -> Option<T::Native>,
) -> Option<ArrayRef> {
    macro_rules! with {
        ($($op:ident),*) => {
            match op {
                $(BinaryOp::$op => native::<T>(cx, a, b, move |x, y| f(BinaryOp::$op, x, y), scalar),)*
                _ => None,
            }
        };
    }
    with!(Add, Subtract, Multiply, Divide, Modulo)
}

fn native<T: ArrowPrimitiveType>(
    cx: &mut Context<'_>,
    a: &Operand,
    b: &Operand,
    f: impl Fn(T::Native, T::Native) -> Option<T::Native>,
    scalar: impl Fn(&Value) -> Option<T::Native>,
) -> Option<ArrayRef> {
    let zero = T::Native::default();
    let mut missed: Vec<usize> = Vec::new();
    let mut each = |row: usize, x: T::Native, y: T::Native| match f(x, y) {
        Some(v) => v,
        None => {
            missed.push(row);
            zero
        }
    };
    let (values, nulls): (Vec<T::Native>, Option<NullBuffer>) = match (a, b) {
        (Operand::Column(a), Operand::Column(b)) => {
            let (x, y) = (a.as_primitive_opt::<T>()?, b.as_primitive_opt::<T>()?);
            let pairs = x.values().iter().zip(y.values()).enumerate();
            (pairs.map(|(i, (&x, &y))| each(i, x, y)).collect(), both_valid(a.nulls(), b.nulls()))
        }
        (Operand::Column(a), Operand::Scalar(b)) => match scalar(b) {
            None => return Some(all_null::<T>(cx)),
            Some(y) => {
                let x = a.as_primitive_opt::<T>()?;
                (x.values().iter().enumerate().map(|(i, &x)| each(i, x, y)).collect(), a.nulls().cloned())
            }
        },
        (Operand::Scalar(a), Operand::Column(b)) => match scalar(a) {
            None => return Some(all_null::<T>(cx)),
            Some(x) => {
                let y = b.as_primitive_opt::<T>()?;
                (y.values().iter().enumerate().map(|(i, &y)| each(i, x, y)).collect(), b.nulls().cloned())
            }
        },
        (Operand::Scalar(_), Operand::Scalar(_)) => return None,
    };
    cx.fail_nulls(nulls.as_ref(), NULL);
    for row in missed {
        if nulls.as_ref().is_none_or(|n| n.is_valid(row)) {
            cx.fail(row, || ZERO.into());
        }
    }
    Some(Arc::new(PrimitiveArray::<T>::new(values.into(), nulls)))
}

fn all_null<T: ArrowPrimitiveType>(cx: &mut Context<'_>) -> ArrayRef {
    cx.fail_all(NULL);
    Arc::new(PrimitiveArray::<T>::new_null(cx.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn d(unscaled: i128, scale: u8) -> Value {
        Value::Decimal(Decimal { unscaled, scale })
    }

    #[test]
    fn integers_are_javas() {
        let int = |op, a, b| arithmetic(op, &Value::Int(a), &Value::Int(b), &SqlType::Int);
        assert_eq!(int(BinaryOp::Add, i32::MAX, 1), Ok(Value::Int(i32::MIN)));
        assert_eq!(int(BinaryOp::Divide, -7, 2), Ok(Value::Int(-3)));
        assert_eq!(int(BinaryOp::Modulo, -7, 2), Ok(Value::Int(-1)));
        assert_eq!(int(BinaryOp::Divide, i32::MIN, -1), Ok(Value::Int(i32::MIN)));
        assert_eq!(int(BinaryOp::Divide, 1, 0), Err(ZERO.into()));
        assert_eq!(arithmetic(BinaryOp::Add, &Value::Null, &Value::Int(1), &SqlType::Int), Err(NULL.into()));
    }

    #[test]
    fn decimals_keep_ksqldbs_precision_and_scale() {
        assert_eq!(decimal_result(BinaryOp::Add, (4, 2), (5, 1)), (7, 2));
        assert_eq!(decimal_result(BinaryOp::Multiply, (4, 2), (5, 1)), (10, 3));
        assert_eq!(decimal_result(BinaryOp::Divide, (4, 2), (5, 1)), (11, 8));
        assert_eq!(decimal_result(BinaryOp::Modulo, (4, 2), (5, 1)), (4, 2));
        let ty = SqlType::Decimal(11, 8);
        assert_eq!(arithmetic(BinaryOp::Divide, &d(1000, 2), &d(30, 1), &ty), Ok(d(333_333_333, 8)));
        assert_eq!(arithmetic(BinaryOp::Divide, &d(-2000, 2), &d(30, 1), &ty), Ok(d(-666_666_667, 8)));
        assert_eq!(arithmetic(BinaryOp::Add, &d(150, 2), &d(5, 1), &SqlType::Decimal(5, 2)), Ok(d(200, 2)));
        assert_eq!(arithmetic(BinaryOp::Divide, &d(1, 0), &d(0, 0), &ty), Err(ZERO.into()));
        assert_eq!(rescale(Decimal { unscaled: -15, scale: 1 }, 0), Some(-2));
    }
}
