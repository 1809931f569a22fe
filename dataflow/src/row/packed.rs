//! Rows as packed bytes whose byte order is the order of their values.
//!
//! Keys and rows of arrangements are such bytes: they compare by `memcmp`, hash fast, and lie one after the other
//! without a pointer each. A column is one byte that tells null (0) from a value (1), then the value: integers
//! big-endian with the sign bit flipped, doubles by their total order, text and bytes escaped (0 becomes 0, 255)
//! and ended by two zeros, collections element by element with 1 before each and 0 at the end.

use super::{Decimal, SqlType, Value, picked};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, Time32MillisecondType, TimestampMillisecondType,
};
use arrow_array::{Array, ArrayRef};
use std::sync::Arc;

pub(super) const NULL: u8 = 0;
pub(super) const VALUE: u8 = 1;

/// Appends one value.
pub fn push(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => return out.push(NULL),
        _ => out.push(VALUE),
    }
    match value {
        Value::Null => {}
        Value::Boolean(v) => out.push(u8::from(*v)),
        Value::Int(v) | Value::Date(v) | Value::Time(v) => push_i32(out, *v),
        Value::Bigint(v) | Value::Timestamp(v) => push_i64(out, *v),
        Value::Double(v) => push_f64(out, *v),
        Value::Decimal(v) => push_i128(out, v.unscaled),
        Value::String(v) => push_text(out, v.as_bytes()),
        Value::Bytes(v) => push_text(out, v),
        Value::Array(v) => {
            for item in v.iter() {
                out.push(1);
                push(out, item);
            }
            out.push(0);
        }
        Value::Map(v) => {
            for (key, item) in v.iter() {
                out.push(1);
                push(out, key);
                push(out, item);
            }
            out.push(0);
        }
        Value::Struct(v) => v.iter().for_each(|item| push(out, item)),
    }
}

/// Appends values one after the other.
pub fn push_all<'a>(out: &mut Vec<u8>, values: impl IntoIterator<Item = &'a Value>) {
    values.into_iter().for_each(|v| push(out, v));
}

/// Appends an `i64` without the null byte, as window starts stand behind a group's key.
pub fn push_i64(out: &mut Vec<u8>, v: i64) {
    out.extend_from_slice(&((v as u64) ^ (1 << 63)).to_be_bytes());
}

/// Reads what [`push_i64`] wrote.
pub fn read_i64(bytes: &[u8]) -> i64 {
    (u64::from_be_bytes(array(bytes)) ^ (1 << 63)) as i64
}

fn push_i32(out: &mut Vec<u8>, v: i32) {
    out.extend_from_slice(&((v as u32) ^ (1 << 31)).to_be_bytes());
}

fn push_i128(out: &mut Vec<u8>, v: i128) {
    out.extend_from_slice(&((v as u128) ^ (1 << 127)).to_be_bytes());
}

fn push_f64(out: &mut Vec<u8>, v: f64) {
    let bits = v.to_bits();
    let ordered = if bits >> 63 == 0 { bits | 1 << 63 } else { !bits };
    out.extend_from_slice(&ordered.to_be_bytes());
}

pub(super) fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    match memchr::memchr(0, text) {
        None => out.extend_from_slice(text),
        Some(_) => {
            for &byte in text {
                out.push(byte);
                if byte == 0 {
                    out.push(255);
                }
            }
        }
    }
    out.extend_from_slice(&[0, 0]);
}

/// The first `N` bytes; zeros where they are missing, which only bytes that were not packed here can cause.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    let n = N.min(bytes.len());
    out[..n].copy_from_slice(&bytes[..n]);
    out
}

/// Takes the first value off packed bytes.
pub fn pop(bytes: &mut &[u8], ty: &SqlType) -> Value {
    if take(bytes, 1).first() != Some(&VALUE) {
        return Value::Null;
    }
    match ty {
        SqlType::Boolean => Value::Boolean(take(bytes, 1) == [1]),
        SqlType::Int => Value::Int(pop_i32(bytes)),
        SqlType::Date => Value::Date(pop_i32(bytes)),
        SqlType::Time => Value::Time(pop_i32(bytes)),
        SqlType::Bigint => Value::Bigint(read_i64(take(bytes, 8))),
        SqlType::Timestamp => Value::Timestamp(read_i64(take(bytes, 8))),
        SqlType::Double => {
            let ordered = u64::from_be_bytes(array(take(bytes, 8)));
            let bits = if ordered >> 63 == 1 { ordered ^ 1 << 63 } else { !ordered };
            Value::Double(f64::from_bits(bits))
        }
        SqlType::Decimal(_, scale) => {
            let unscaled = (u128::from_be_bytes(array(take(bytes, 16))) ^ 1 << 127) as i128;
            Value::Decimal(Decimal { unscaled, scale: *scale })
        }
        SqlType::String => Value::String(String::from_utf8_lossy(&pop_text(bytes)).into()),
        SqlType::Bytes => Value::Bytes(pop_text(bytes).as_ref().into()),
        SqlType::Array(item) => {
            let mut items = Vec::new();
            while take(bytes, 1) == [1] {
                items.push(pop(bytes, item));
            }
            Value::Array(items.into())
        }
        SqlType::Map(key, item) => {
            let mut items = Vec::new();
            while take(bytes, 1) == [1] {
                let key = pop(bytes, key);
                items.push((key, pop(bytes, item)));
            }
            Value::Map(items.into())
        }
        SqlType::Struct(fields) => Value::Struct(fields.iter().map(|(_, t)| pop(bytes, t)).collect::<Vec<_>>().into()),
    }
}

/// What follows one value a type.
pub fn skip_all<'a>(mut bytes: &'a [u8], types: &[SqlType]) -> &'a [u8] {
    types.iter().for_each(|t| skip(&mut bytes, t));
    bytes
}

/// Takes the first value off packed bytes, and makes none of it.
pub fn skip(bytes: &mut &[u8], ty: &SqlType) {
    if take(bytes, 1).first() != Some(&VALUE) {
        return;
    }
    let fixed = match ty {
        SqlType::Boolean => 1,
        SqlType::Int | SqlType::Date | SqlType::Time => 4,
        SqlType::Bigint | SqlType::Timestamp | SqlType::Double => 8,
        SqlType::Decimal(..) => 16,
        SqlType::String | SqlType::Bytes => {
            pop_text(bytes);
            0
        }
        SqlType::Array(item) => {
            while take(bytes, 1) == [1] {
                skip(bytes, item);
            }
            0
        }
        SqlType::Map(key, item) => {
            while take(bytes, 1) == [1] {
                skip(bytes, key);
                skip(bytes, item);
            }
            0
        }
        SqlType::Struct(fields) => {
            fields.iter().for_each(|(_, t)| skip(bytes, t));
            0
        }
    };
    take(bytes, fixed);
}

/// Takes one value a type off packed bytes.
pub fn pop_all<'t>(bytes: &mut &[u8], types: impl IntoIterator<Item = &'t SqlType>) -> Vec<Value> {
    types.into_iter().map(|t| pop(bytes, t)).collect()
}

/// The columns of packed rows of these types.
pub fn columns<'a, 't>(
    rows: impl Iterator<Item = &'a [u8]>,
    types: impl IntoIterator<Item = &'t SqlType>,
) -> Vec<ArrayRef> {
    let mut rests: Vec<&[u8]> = rows.collect();
    types.into_iter().map(|ty| pop_column(&mut rests, ty)).collect()
}

/// Takes the first value off each row. What most rows have goes into its column without a [`Value`] between.
fn pop_column(rests: &mut [&[u8]], ty: &SqlType) -> ArrayRef {
    use arrow_array::{Int32Array, Int64Array, builder::StringBuilder};
    let is_value = |rest: &mut &[u8]| take(rest, 1) == [VALUE];
    match ty {
        SqlType::Int => Arc::new(rests.iter_mut().map(|r| is_value(r).then(|| pop_i32(r))).collect::<Int32Array>()),
        SqlType::Bigint => {
            Arc::new(rests.iter_mut().map(|r| is_value(r).then(|| read_i64(take(r, 8)))).collect::<Int64Array>())
        }
        SqlType::String => {
            let mut builder = StringBuilder::with_capacity(rests.len(), 16 * rests.len());
            for rest in rests {
                if is_value(rest) {
                    builder.append_value(String::from_utf8_lossy(&pop_text(rest)));
                } else {
                    builder.append_null();
                }
            }
            Arc::new(builder.finish())
        }
        _ => {
            let values: Vec<Value> = rests.iter_mut().map(|rest| pop(rest, ty)).collect();
            column(ty, values.iter())
        }
    }
}

fn take<'a>(bytes: &mut &'a [u8], n: usize) -> &'a [u8] {
    let (head, tail) = bytes.split_at(n.min(bytes.len()));
    *bytes = tail;
    head
}

fn pop_i32(bytes: &mut &[u8]) -> i32 {
    (u32::from_be_bytes(array(take(bytes, 4))) ^ 1 << 31) as i32
}

fn pop_text<'a>(bytes: &mut &'a [u8]) -> std::borrow::Cow<'a, [u8]> {
    let mut end = 0;
    let mut escaped = false;
    loop {
        match memchr::memchr(0, &bytes[end..]) {
            None => {
                // Not packed here: all that is left.
                end = bytes.len();
                break;
            }
            Some(at) if bytes.get(end + at + 1) == Some(&255) => {
                escaped = true;
                end += at + 2;
            }
            Some(at) => {
                end += at;
                break;
            }
        }
    }
    let text = take(bytes, end);
    take(bytes, 2);
    if !escaped {
        return text.into();
    }
    let mut out = Vec::with_capacity(text.len());
    let mut skip = false;
    for &byte in text {
        if skip {
            skip = false;
            continue;
        }
        out.push(byte);
        skip = byte == 0;
    }
    out.into()
}

/// The value of one cell of a column of this type.
pub fn cell(column: &ArrayRef, ty: &SqlType, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    if let Some((rows, values)) = picked::parts(column) {
        return cell(values, ty, rows.value(row) as usize);
    }
    match ty {
        SqlType::Boolean => Value::Boolean(column.as_boolean().value(row)),
        SqlType::Int => Value::Int(column.as_primitive::<Int32Type>().value(row)),
        SqlType::Bigint => Value::Bigint(column.as_primitive::<Int64Type>().value(row)),
        SqlType::Double => Value::Double(column.as_primitive::<Float64Type>().value(row)),
        SqlType::Decimal(_, scale) => {
            Value::Decimal(Decimal { unscaled: column.as_primitive::<Decimal128Type>().value(row), scale: *scale })
        }
        SqlType::String => Value::String(column.as_string::<i32>().value(row).into()),
        SqlType::Bytes => Value::Bytes(column.as_binary::<i32>().value(row).into()),
        SqlType::Date => Value::Date(column.as_primitive::<Date32Type>().value(row)),
        SqlType::Time => Value::Time(column.as_primitive::<Time32MillisecondType>().value(row)),
        SqlType::Timestamp => Value::Timestamp(column.as_primitive::<TimestampMillisecondType>().value(row)),
        SqlType::Array(item) => {
            let items = column.as_list::<i32>().value(row);
            Value::Array((0..items.len()).map(|i| cell(&items, item, i)).collect())
        }
        SqlType::Map(key, item) => {
            let entries = column.as_map().value(row);
            let (keys, items) = (entries.column(0), entries.column(1));
            Value::Map((0..entries.len()).map(|i| (cell(keys, key, i), cell(items, item, i))).collect())
        }
        SqlType::Struct(fields) => {
            let columns = column.as_struct().columns();
            Value::Struct(fields.iter().zip(columns).map(|((_, t), c)| cell(c, t, row)).collect())
        }
    }
}

/// A column of this type out of values, which are null or of the type; a value of another type becomes null.
pub fn column<'a>(ty: &SqlType, values: impl ExactSizeIterator<Item = &'a Value>) -> ArrayRef {
    use arrow_array::builder::{
        BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int32Builder, Int64Builder,
        StringBuilder, Time32MillisecondBuilder, TimestampMillisecondBuilder,
    };
    macro_rules! build {
        ($builder:expr, $variant:ident, $get:expr) => {{
            let mut builder = $builder;
            for value in values {
                match value {
                    Value::$variant(v) => builder.append_value($get(v)),
                    _ => builder.append_null(),
                }
            }
            Arc::new(builder.finish())
        }};
    }
    let n = values.len();
    match ty {
        SqlType::Boolean => build!(BooleanBuilder::with_capacity(n), Boolean, |v: &bool| *v),
        SqlType::Int => build!(Int32Builder::with_capacity(n), Int, |v: &i32| *v),
        SqlType::Bigint => build!(Int64Builder::with_capacity(n), Bigint, |v: &i64| *v),
        SqlType::Double => build!(Float64Builder::with_capacity(n), Double, |v: &f64| *v),
        SqlType::Decimal(..) => {
            build!(Decimal128Builder::with_capacity(n).with_data_type(ty.arrow()), Decimal, |v: &Decimal| v.unscaled)
        }
        SqlType::String => build!(StringBuilder::with_capacity(n, 16 * n), String, |v: &Arc<str>| Arc::clone(v)),
        SqlType::Bytes => build!(BinaryBuilder::with_capacity(n, 16 * n), Bytes, |v: &Arc<[u8]>| v.to_vec()),
        SqlType::Date => build!(Date32Builder::with_capacity(n), Date, |v: &i32| *v),
        SqlType::Time => build!(Time32MillisecondBuilder::with_capacity(n), Time, |v: &i32| *v),
        SqlType::Timestamp => build!(TimestampMillisecondBuilder::with_capacity(n), Timestamp, |v: &i64| *v),
        SqlType::Array(_) | SqlType::Map(..) | SqlType::Struct(_) => nested(ty, values.collect()),
    }
}

/// The collection types, by their parts.
fn nested(ty: &SqlType, values: Vec<&Value>) -> ArrayRef {
    use arrow_array::{ListArray, MapArray, StructArray};
    use arrow_buffer::{NullBuffer, OffsetBuffer};
    use arrow_schema::{DataType, Fields};
    let offsets = |lengths: Vec<usize>| OffsetBuffer::<i32>::from_lengths(lengths);
    match (ty, ty.arrow()) {
        (SqlType::Array(item), DataType::List(field)) => {
            let valid = NullBuffer::from_iter(values.iter().map(|v| matches!(v, Value::Array(_))));
            let lengths = values.iter().map(|v| if let Value::Array(a) = v { a.len() } else { 0 }).collect();
            let items: Vec<&Value> =
                values.iter().flat_map(|v| if let Value::Array(a) = v { a.iter() } else { [].iter() }).collect();
            Arc::new(ListArray::new(field, offsets(lengths), column(item, items.into_iter()), Some(valid)))
        }
        (SqlType::Map(key, item), DataType::Map(field, sorted)) => {
            let valid = NullBuffer::from_iter(values.iter().map(|v| matches!(v, Value::Map(_))));
            // Arrow has no null keys. ksqlDB has, and writes them as text.
            let null = (**key == SqlType::String).then(|| Value::String("null".into()));
            let mut lengths = Vec::with_capacity(values.len());
            let (mut keys, mut items): (Vec<&Value>, Vec<&Value>) = (Vec::new(), Vec::new());
            for value in &values {
                let before = keys.len();
                for (key, item) in if let Value::Map(entries) = value { entries.iter() } else { [].iter() } {
                    if let Some(key) = if key.is_null() { null.as_ref() } else { Some(key) } {
                        keys.push(key);
                        items.push(item);
                    }
                }
                lengths.push(keys.len() - before);
            }
            let keys = column(key, keys.into_iter());
            let items = column(item, items.into_iter());
            let fields = match field.data_type() {
                DataType::Struct(fields) => fields.clone(),
                _ => Fields::empty(),
            };
            let entries = StructArray::new(fields, vec![keys, items], None);
            Arc::new(MapArray::new(field, offsets(lengths), entries, Some(valid), sorted))
        }
        (SqlType::Struct(types), DataType::Struct(fields)) => {
            let valid = NullBuffer::from_iter(values.iter().map(|v| matches!(v, Value::Struct(_))));
            let columns = types.iter().enumerate().map(|(i, (_, t))| {
                let part: Vec<&Value> = values
                    .iter()
                    .map(|v| if let Value::Struct(s) = v { s.get(i).unwrap_or(&Value::Null) } else { &Value::Null })
                    .collect();
                column(t, part.into_iter())
            });
            if fields.is_empty() {
                return Arc::new(StructArray::new_empty_fields(values.len(), Some(valid)));
            }
            Arc::new(StructArray::new(fields, columns.collect(), Some(valid)))
        }
        _ => arrow_array::new_null_array(&ty.arrow(), values.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(s: &str) -> Value {
        Value::String(s.into())
    }

    /// Values of a type that has every kind of part.
    fn ty() -> SqlType {
        SqlType::Struct(vec![
            ("A".into(), SqlType::Array(Box::new(SqlType::String))),
            ("M".into(), SqlType::Map(Box::new(SqlType::String), Box::new(SqlType::Double))),
            ("I".into(), SqlType::Int),
            ("B".into(), SqlType::Bytes),
            ("D".into(), SqlType::Decimal(38, 2)),
        ])
    }

    fn value() -> impl Strategy<Value = Value> {
        let string = "[a\0\u{1}ÿ]{0,4}".prop_map(|s| text(&s));
        let nullable = |s: BoxedStrategy<Value>| prop_oneof![1 => Just(Value::Null), 4 => s].boxed();
        let array = prop::collection::vec(nullable(string.clone().boxed()), 0..3).prop_map(|v| Value::Array(v.into()));
        let map = prop::collection::vec((string, any::<f64>().prop_map(Value::Double)), 0..3)
            .prop_map(|v| Value::Map(v.into()));
        let bytes = prop::collection::vec(any::<u8>(), 0..4).prop_map(|b| Value::Bytes(b.into()));
        let decimal = any::<i64>().prop_map(|d| Value::Decimal(Decimal { unscaled: d.into(), scale: 2 }));
        (
            nullable(array.boxed()),
            nullable(map.boxed()),
            nullable(any::<i32>().prop_map(Value::Int).boxed()),
            nullable(bytes.boxed()),
            nullable(decimal.boxed()),
        )
            .prop_map(|(a, m, i, b, d)| Value::Struct([a, m, i, b, d].into()))
    }

    proptest! {
        #[test]
        fn packed_bytes_keep_value_and_order(a in value(), b in value()) {
            let pack = |v: &Value| { let mut out = Vec::new(); push(&mut out, v); out };
            let (pa, pb) = (pack(&a), pack(&b));
            let mut rest = &pa[..];
            prop_assert_eq!(skip_all(&pa, &[ty()]), b"");
            prop_assert_eq!(&pop(&mut rest, &ty()), &a);
            prop_assert!(rest.is_empty());
            prop_assert_eq!(pa.cmp(&pb), a.cmp(&b));
        }

        #[test]
        fn columns_keep_values_and_pack_alike(values in prop::collection::vec(value(), 0..5)) {
            let array = column(&ty(), values.iter());
            let packer = crate::row::packer::Packer::new(vec![(Arc::clone(&array), ty())]);
            for (i, v) in values.iter().enumerate() {
                prop_assert_eq!(&cell(&array, &ty(), i), v);
                let (mut a, mut b) = (Vec::new(), Vec::new());
                packer.push(&mut a, i);
                push(&mut b, v);
                prop_assert_eq!(a, b);
            }
            let row = |v: &Value| { let mut out = Vec::new(); push_all(&mut out, [v, &Value::Int(7), &text("a\0b"), v]); out };
            let rows: Vec<Vec<u8>> = values.iter().map(row).collect();
            let types = [ty(), SqlType::Int, SqlType::String, ty()];
            let columns = columns(rows.iter().map(Vec::as_slice), &types);
            for (i, v) in values.iter().enumerate() {
                let cells: Vec<Value> = columns.iter().zip(&types).map(|(column, ty)| cell(column, ty, i)).collect();
                prop_assert_eq!(cells, [v.clone(), Value::Int(7), text("a\0b"), v.clone()]);
            }
        }
    }
}
