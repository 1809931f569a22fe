//! CAST, as ksqlDB's: text is trimmed and read whole, numbers narrow as Java's, decimals round half up and must fit.

use super::arithmetic::fits;
use super::rescale;
use super::vector::Context;
use crate::row::{Decimal, SqlType, Value, datetime, text};
use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Float64Type, Int32Type, Int64Type, TimestampMillisecondType};
use arrow_array::{Array, ArrayRef, PrimitiveArray};
use std::fmt::Write as _;
use std::sync::Arc;

const DAY_MS: i64 = 86_400_000;

/// True when there is a cast from one type to the other.
pub fn can_cast(from: &SqlType, to: &SqlType) -> bool {
    use SqlType as T;
    match (from, to) {
        (a, b) if a == b => true,
        (T::Bytes, T::String) => false,
        (_, T::String) => true,
        (T::Int | T::Bigint | T::Double | T::Decimal(..), T::Int | T::Bigint | T::Double | T::Decimal(..)) => true,
        (
            T::String,
            T::Boolean | T::Int | T::Bigint | T::Double | T::Decimal(..) | T::Date | T::Time | T::Timestamp,
        ) => true,
        (T::Timestamp, T::Date | T::Time) | (T::Date, T::Timestamp) => true,
        (T::Array(a), T::Array(b)) => can_cast(a, b),
        (T::Map(k1, v1), T::Map(k2, v2)) => can_cast(k1, k2) && can_cast(v1, v2),
        (T::Struct(a), T::Struct(b)) => {
            a.iter().all(|(name, from)| b.iter().find(|(n, _)| n == name).is_none_or(|(_, to)| can_cast(from, to)))
        }
        _ => false,
    }
}

/// A value of one type as another; null stays null.
///
/// # Errors
/// The value has no meaning in the other type.
pub fn cast(value: &Value, from: &SqlType, to: &SqlType) -> Result<Value, String> {
    use SqlType as T;
    if value.is_null() || from == to {
        return Ok(value.clone());
    }
    let none =
        || format!("invalid input syntax for type {to}: \"{}\"", text::value_text(value, from).unwrap_or_default());
    Ok(match (value, to) {
        (_, T::String) => Value::String(text::value_text(value, from).unwrap_or_default().into()),
        (Value::String(s), _) => parse(s.trim(), to).ok_or_else(none)?,
        (Value::Int(v), T::Bigint) => Value::Bigint(i64::from(*v)),
        (Value::Int(v), T::Double) => Value::Double(f64::from(*v)),
        (Value::Bigint(v), T::Int) => Value::Int(*v as i32),
        (Value::Bigint(v), T::Double) => Value::Double(*v as f64),
        (Value::Double(v), T::Int) => Value::Int(*v as i32),
        (Value::Double(v), T::Bigint) => Value::Bigint(*v as i64),
        (Value::Decimal(v), T::Int) => Value::Int(truncate(*v) as i32),
        (Value::Decimal(v), T::Bigint) => Value::Bigint(truncate(*v) as i64),
        (Value::Decimal(v), T::Double) => Value::Double(decimal_double(*v)),
        (Value::Int(v), T::Decimal(p, s)) => decimal(Decimal { unscaled: i128::from(*v), scale: 0 }, *p, *s)?,
        (Value::Bigint(v), T::Decimal(p, s)) => decimal(Decimal { unscaled: i128::from(*v), scale: 0 }, *p, *s)?,
        (Value::Decimal(v), T::Decimal(p, s)) => decimal(*v, *p, *s)?,
        (Value::Double(v), T::Decimal(p, s)) => {
            decimal(parse_decimal(&text::double_text(*v)).ok_or_else(none)?, *p, *s)?
        }
        (Value::Timestamp(v), T::Date) => Value::Date(i32::try_from(v.div_euclid(DAY_MS)).map_err(|_| none())?),
        (Value::Timestamp(v), T::Time) => Value::Time(v.rem_euclid(DAY_MS) as i32),
        (Value::Date(v), T::Timestamp) => Value::Timestamp(i64::from(*v) * DAY_MS),
        (Value::Array(items), T::Array(to)) => {
            let T::Array(from) = from else { return Err(none()) };
            Value::Array(items.iter().map(|v| cast(v, from, to)).collect::<Result<_, _>>()?)
        }
        (Value::Map(entries), T::Map(k2, v2)) => {
            let T::Map(k1, v1) = from else { return Err(none()) };
            let pairs = entries.iter().map(|(k, v)| Ok((cast(k, k1, k2)?, cast(v, v1, v2)?)));
            Value::Map(pairs.collect::<Result<_, String>>()?)
        }
        (Value::Struct(values), T::Struct(to)) => {
            let T::Struct(from) = from else { return Err(none()) };
            let field = |(name, to): &(String, SqlType)| match from.iter().position(|(n, _)| n == name) {
                None => Ok(Value::Null),
                Some(i) => cast(values.get(i).unwrap_or(&Value::Null), &from[i].1, to),
            };
            Value::Struct(to.iter().map(field).collect::<Result<_, String>>()?)
        }
        _ => return Err(none()),
    })
}

/// The value that a text says, without blanks around it.
fn parse(s: &str, to: &SqlType) -> Option<Value> {
    Some(match to {
        SqlType::Boolean => Value::Boolean(parse_boolean(s)),
        SqlType::Int => Value::Int(s.parse().ok()?),
        SqlType::Bigint => Value::Bigint(s.parse().ok()?),
        SqlType::Double => Value::Double(parse_double(s)?),
        SqlType::Decimal(p, scale) => decimal(parse_decimal(s)?, *p, *scale).ok()?,
        SqlType::Date => Value::Date(datetime::parse_date(s)?),
        SqlType::Time => Value::Time(datetime::parse_time(s)?),
        SqlType::Timestamp => Value::Timestamp(datetime::parse_timestamp(s)?),
        _ => return None,
    })
}

/// True for `true` and `yes` and their beginnings, in any case; all else is false.
fn parse_boolean(s: &str) -> bool {
    let s = s.to_ascii_lowercase();
    !s.is_empty() && ("true".starts_with(&s) || "yes".starts_with(&s))
}

/// A double as Java reads it, without the type suffix that Java allows.
fn parse_double(s: &str) -> Option<f64> {
    let digits = s.trim_start_matches(['+', '-']);
    if s.len() - digits.len() > 1 {
        return None;
    }
    match digits.to_ascii_lowercase().as_str() {
        "nan" => return Some(f64::NAN),
        "infinity" => {}
        _ if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') => return None,
        _ => {}
    }
    s.parse().ok()
}

/// A decimal number out of text, with an exponent or not; none when it has more than 38 digits.
pub(crate) fn parse_decimal(s: &str) -> Option<Decimal> {
    let (digits, exponent) = match s.find(['e', 'E']) {
        Some(at) => (&s[..at], s[at + 1..].strip_prefix('+').unwrap_or(&s[at + 1..]).parse::<i32>().ok()?),
        None => (s, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let negative = whole.starts_with('-');
    let whole = whole.strip_prefix(['-', '+']).unwrap_or(whole);
    if whole.len() + fraction.len() == 0 || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let scale = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
    let mut unscaled: i128 = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        unscaled = unscaled.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
    }
    if scale < 0 {
        unscaled = unscaled.checked_mul(10_i128.checked_pow(scale.unsigned_abs())?)?;
    }
    let mut scale = scale.max(0);
    while scale > 38 {
        unscaled /= 10;
        scale -= 1;
    }
    let unscaled = if negative { -unscaled } else { unscaled };
    Some(Decimal { unscaled, scale: u8::try_from(scale).ok()? })
}

fn decimal(value: Decimal, precision: u8, scale: u8) -> Result<Value, String> {
    match rescale(value, scale) {
        Some(unscaled) if fits(unscaled, precision) => Ok(Value::Decimal(Decimal { unscaled, scale })),
        _ => Err(format!(
            "Numeric field overflow: A field with precision {precision} and scale {scale} must round to an absolute \
             value less than 10^{}. Got {value}",
            precision - scale.min(precision)
        )),
    }
}

fn truncate(value: Decimal) -> i128 {
    10_i128.checked_pow(u32::from(value.scale)).map_or(0, |unit| value.unscaled / unit)
}

/// The double nearest to a decimal.
pub(crate) fn decimal_double(value: Decimal) -> f64 {
    // By its text: the one way that rounds once.
    value.to_string().parse().unwrap_or(f64::NAN)
}

/// A whole column cast, for the casts that are common; `None`: not one of these.
pub(super) fn columns(cx: &mut Context<'_>, array: &ArrayRef, from: &SqlType, to: &SqlType) -> Option<ArrayRef> {
    use SqlType as T;
    if from == to {
        return Some(ArrayRef::clone(array));
    }
    match (from, to) {
        (T::Int, T::Bigint) => map::<Int32Type, Int64Type>(array, i64::from),
        (T::Int, T::Double) => map::<Int32Type, Float64Type>(array, f64::from),
        (T::Bigint, T::Int) => map::<Int64Type, Int32Type>(array, |v| v as i32),
        (T::Bigint, T::Double) => map::<Int64Type, Float64Type>(array, |v| v as f64),
        (T::Double, T::Int) => map::<Float64Type, Int32Type>(array, |v| v as i32),
        (T::Double, T::Bigint) => map::<Float64Type, Int64Type>(array, |v| v as i64),
        (T::Int, T::String) => print::<Int32Type>(array, |out, v| write!(out, "{v}")),
        (T::Bigint, T::String) => print::<Int64Type>(array, |out, v| write!(out, "{v}")),
        (T::Double, T::String) => print::<Float64Type>(array, |out, v| out.write_str(&text::double_text(v))),
        (T::Timestamp, T::String) => {
            print::<TimestampMillisecondType>(array, |out, v| out.write_str(&datetime::timestamp_text(v)))
        }
        (T::String, T::Int) => read::<Int32Type>(cx, array, to, |s| s.parse().ok()),
        (T::String, T::Bigint) => read::<Int64Type>(cx, array, to, |s| s.parse().ok()),
        (T::String, T::Double) => read::<Float64Type>(cx, array, to, parse_double),
        (T::String, T::Timestamp) => read::<TimestampMillisecondType>(cx, array, to, datetime::parse_timestamp),
        _ => None,
    }
}

fn map<A: ArrowPrimitiveType, B: ArrowPrimitiveType>(
    array: &ArrayRef,
    f: impl Fn(A::Native) -> B::Native,
) -> Option<ArrayRef> {
    Some(Arc::new(array.as_primitive_opt::<A>()?.unary::<_, B>(f)))
}

fn print<A: ArrowPrimitiveType>(
    array: &ArrayRef,
    f: impl Fn(&mut StringBuilder, A::Native) -> std::fmt::Result,
) -> Option<ArrayRef> {
    let array = array.as_primitive_opt::<A>()?;
    let mut out = StringBuilder::with_capacity(array.len(), 8 * array.len());
    for value in array {
        match value {
            None => out.append_null(),
            Some(value) => {
                // Writing to a builder cannot fail; the empty text ends the one that was written.
                let _ = f(&mut out, value);
                out.append_value("");
            }
        }
    }
    Some(Arc::new(out.finish()))
}

fn read<B: ArrowPrimitiveType>(
    cx: &mut Context<'_>,
    array: &ArrayRef,
    to: &SqlType,
    f: impl Fn(&str) -> Option<B::Native>,
) -> Option<ArrayRef> {
    let array = array.as_string_opt::<i32>()?;
    let mut out = PrimitiveArray::<B>::builder(array.len());
    for (row, value) in array.iter().enumerate() {
        let read = value.and_then(|s| f(s.trim()));
        if let (Some(s), None) = (value, read) {
            cx.fail(row, || format!("invalid input syntax for type {to}: \"{s}\""));
        }
        out.append_option(read);
    }
    Some(Arc::new(out.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(s: &str) -> Value {
        Value::String(s.into())
    }

    #[test]
    fn text_is_read_as_java_reads_it() {
        let read = |s: &str, to: SqlType| cast(&string(s), &SqlType::String, &to).ok();
        assert_eq!(read(" 12 ", SqlType::Int), Some(Value::Int(12)));
        assert_eq!(read("+12", SqlType::Int), Some(Value::Int(12)));
        assert_eq!(read("12.5", SqlType::Int), None);
        assert_eq!(read("", SqlType::Bigint), None);
        assert_eq!(read("1e3", SqlType::Double), Some(Value::Double(1000.0)));
        assert_eq!(read("1.5d", SqlType::Double), None);
        assert_eq!(read("inf", SqlType::Double), None);
        assert_eq!(read("YES", SqlType::Boolean), Some(Value::Boolean(true)));
        assert_eq!(read("1", SqlType::Boolean), Some(Value::Boolean(false)));
        let d = |unscaled, scale| Some(Value::Decimal(Decimal { unscaled, scale }));
        assert_eq!(read("1.255", SqlType::Decimal(3, 2)), d(126, 2));
        assert_eq!(read("12.5e-1", SqlType::Decimal(3, 2)), d(125, 2));
        assert_eq!(read("10", SqlType::Decimal(3, 2)), None);
        assert_eq!(read("2020-02-23", SqlType::Timestamp), Some(Value::Timestamp(1_582_416_000_000)));
    }

    #[test]
    fn numbers_narrow_as_javas() {
        let to = |v: Value, from: SqlType, to: SqlType| cast(&v, &from, &to).ok();
        assert_eq!(to(Value::Bigint(2_147_483_648), SqlType::Bigint, SqlType::Int), Some(Value::Int(i32::MIN)));
        assert_eq!(to(Value::Double(1e10), SqlType::Double, SqlType::Int), Some(Value::Int(i32::MAX)));
        assert_eq!(to(Value::Double(-1.9), SqlType::Double, SqlType::Bigint), Some(Value::Bigint(-1)));
        let decimal = Value::Decimal(Decimal { unscaled: -199, scale: 2 });
        assert_eq!(to(decimal.clone(), SqlType::Decimal(3, 2), SqlType::Int), Some(Value::Int(-1)));
        assert_eq!(to(decimal, SqlType::Decimal(3, 2), SqlType::Double), Some(Value::Double(-1.99)));
    }
}
