//! What a JSON value becomes in a column of each type, by ksqlDB's rules.
//!
//! Scalars go from their bytes straight into the column. A mismatch is an error for the whole record: nothing becomes
//! null silently.

use super::column::{Cells, ColumnBuilder, end_bytes, push_within};
use super::node::{Node, push_text, text_of, unescape};
use super::number::{Digits, integer_bits, number_double, parse_double, parse_long, quoted, short_number};
use super::scan::{Kind, Token};
use arrow_buffer::NullBufferBuilder;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use weir_dataflow::row::{Decimal, SqlType, Value};

/// Why a value does not fit a column: an end for a sentence that starts with the column.
pub(super) type Mismatch = String;

/// Appends the value at `token` to the column; a missing value is null.
///
/// # Errors
/// When it does not fit; the column may then hold a part of it, which `truncate` removes.
#[inline(always)]
pub(super) fn push(column: &mut ColumnBuilder, all: &[u8], token: Option<Token>) -> Result<(), Mismatch> {
    match token {
        Some(token) => push_each(column, all, std::iter::once(token)).map_err(|(_, mismatch)| mismatch),
        None => {
            column.push_null();
            Ok(())
        }
    }
}

/// Appends the values at these tokens to the column.
///
/// # Errors
/// The first that does not fit, by its number; the column may then hold those before it, and a part of it.
#[inline(always)]
#[allow(clippy::redundant_closure, reason = "what is named by itself would be called for each value")]
pub(super) fn push_each(
    column: &mut ColumnBuilder,
    all: &[u8],
    tokens: impl Iterator<Item = Token>,
) -> Result<(), (usize, Mismatch)> {
    let ColumnBuilder { ty, cells, nulls } = column;
    match (&*ty, cells) {
        (SqlType::String, Cells::Bytes(ends, bytes)) => {
            for (i, token) in tokens.enumerate() {
                match token.kind {
                    Kind::Text => push_within(ends, bytes, all, token.start()..token.end()),
                    Kind::Null => {
                        end_bytes(ends, bytes);
                        nulls.append_null();
                        continue;
                    }
                    Kind::Escaped => {
                        unescape(bytes, token.bytes(all));
                        end_bytes(ends, bytes);
                    }
                    Kind::Integer | Kind::Fraction | Kind::True | Kind::False | Kind::Array | Kind::Object => {
                        push_text(bytes, all, &Node::read(all, token)).ok_or_else(|| (i, mismatch(ty, all, token)))?;
                        end_bytes(ends, bytes);
                    }
                }
                nulls.append_non_null();
            }
        }
        (SqlType::Int, Cells::Int(cells)) => push_numbers(ty, cells, nulls, all, tokens, |all, token| int(all, token))?,
        (SqlType::Bigint | SqlType::Timestamp, Cells::Long(cells)) => {
            push_numbers(ty, cells, nulls, all, tokens, |all, token| long(all, token))?;
        }
        _ => {
            for (i, token) in tokens.enumerate() {
                push_rare(column, all, token).map_err(|mismatch| (i, mismatch))?;
            }
        }
    }
    Ok(())
}

/// Appends whole numbers.
#[inline(always)]
fn push_numbers<N: Default>(
    ty: &SqlType,
    cells: &mut Vec<N>,
    nulls: &mut NullBufferBuilder,
    all: &[u8],
    tokens: impl Iterator<Item = Token>,
    read: impl Fn(&[u8], Token) -> Option<N>,
) -> Result<(), (usize, Mismatch)> {
    for (i, token) in tokens.enumerate() {
        if token.kind == Kind::Null {
            cells.push(N::default());
            nulls.append_null();
        } else {
            cells.push(read(all, token).ok_or_else(|| (i, mismatch(ty, all, token)))?);
            nulls.append_non_null();
        }
    }
    Ok(())
}

fn push_rare(column: &mut ColumnBuilder, all: &[u8], token: Token) -> Result<(), Mismatch> {
    let value = value(&column.ty, all, &Node::read(all, token))?;
    column.push(value);
    Ok(())
}

/// Checks a value for a column that nobody reads: [`push`] without the column.
#[inline(always)]
pub(super) fn check(ty: &SqlType, all: &[u8], token: Option<Token>) -> Result<(), Mismatch> {
    let Some(token) = token.filter(|t| t.kind != Kind::Null) else {
        return Ok(());
    };
    let fits = match (ty, token.kind) {
        (SqlType::String, Kind::Text | Kind::Escaped | Kind::Integer) => true,
        (SqlType::Int | SqlType::Bigint | SqlType::Timestamp | SqlType::Double, Kind::Integer) => true,
        (SqlType::Int, _) => int(all, token).is_some(),
        (SqlType::Bigint | SqlType::Timestamp, _) => long(all, token).is_some(),
        _ => return value(ty, all, &Node::read(all, token)).map(|_| ()),
    };
    if fits { Ok(()) } else { Err(mismatch(ty, all, token)) }
}

#[inline(always)]
fn int(all: &[u8], token: Token) -> Option<i32> {
    let long = long(all, token)?;
    match token.kind {
        Kind::Text | Kind::Escaped => i32::try_from(long).ok(),
        // Java's intValue: the low bits.
        _ => Some(long as i32),
    }
}

#[inline(always)]
pub(super) fn long(all: &[u8], token: Token) -> Option<i64> {
    match token.kind {
        Kind::Text => short(all, token).or_else(|| parse_long(token.bytes(all))),
        Kind::Escaped => parse_long(text_of(all, token).as_bytes()),
        Kind::Integer => Some(short(all, token).unwrap_or_else(|| integer_bits(token.bytes(all)))),
        Kind::Fraction => Digits::parse(token.bytes(all)).map(|d| d.low_bits()),
        Kind::True | Kind::False | Kind::Null | Kind::Array | Kind::Object => None,
    }
}

#[inline(always)]
fn short(all: &[u8], token: Token) -> Option<i64> {
    short_number(all, token.start(), token.end())
}

fn double(all: &[u8], token: Token) -> Option<f64> {
    match token.kind {
        Kind::Text | Kind::Escaped => parse_double(&text_of(all, token)),
        Kind::Integer | Kind::Fraction => number_double(token.bytes(all)),
        Kind::True | Kind::False | Kind::Null | Kind::Array | Kind::Object => None,
    }
}

fn digits(all: &[u8], token: Token) -> Option<Digits> {
    match token.kind {
        Kind::Text | Kind::Escaped => Digits::parse(text_of(all, token).as_bytes()),
        Kind::Integer | Kind::Fraction => Digits::parse(token.bytes(all)),
        Kind::True | Kind::False | Kind::Null | Kind::Array | Kind::Object => None,
    }
}

/// The value of a node in a column of type `ty`.
///
/// # Errors
/// When it does not fit.
pub(super) fn value(ty: &SqlType, all: &[u8], node: &Node<'_>) -> Result<Value, Mismatch> {
    match (ty, node) {
        (_, Node::Scalar(token)) if token.kind == Kind::Null => Ok(Value::Null),
        (SqlType::String, _) => {
            let mut text = Vec::new();
            push_text(&mut text, all, node).ok_or_else(|| "it holds a number beyond all bounds".to_owned())?;
            Ok(Value::String(String::from_utf8_lossy(&text).into()))
        }
        (SqlType::Array(item), Node::Array(items)) => {
            items.iter().map(|node| value(item, all, node)).collect::<Result<_, _>>().map(Value::Array)
        }
        (SqlType::Map(key, item), Node::Object(fields)) if **key == SqlType::String => fields
            .iter()
            .map(|(name, node)| Ok((Value::String((&**name).into()), value(item, all, node)?)))
            .collect::<Result<_, _>>()
            .map(Value::Map),
        (SqlType::Struct(types), Node::Object(fields)) => types
            .iter()
            .map(|(name, ty)| match field(fields, name) {
                Some(node) => value(ty, all, node).map_err(|e| format!("field `{name}`: {e}")),
                None => Ok(Value::Null),
            })
            .collect::<Result<_, _>>()
            .map(Value::Struct),
        (_, Node::Scalar(token)) => scalar(ty, all, *token).ok_or_else(|| mismatch(ty, all, *token)),
        (_, Node::Array(_)) => Err(format!("an array is no {ty}")),
        (_, Node::Object(_)) => Err(format!("an object is no {ty}")),
    }
}

/// A struct's field: the one of this very name, else the last whose name in upper case is it.
fn field<'a, 'n>(fields: &'n [(std::borrow::Cow<'a, str>, Node<'a>)], name: &str) -> Option<&'n Node<'a>> {
    let exact = fields.iter().find(|(n, _)| n == name);
    exact.or_else(|| fields.iter().rev().find(|(n, _)| n.to_uppercase() == name)).map(|(_, node)| node)
}

fn scalar(ty: &SqlType, all: &[u8], token: Token) -> Option<Value> {
    match ty {
        SqlType::Boolean => match token.kind {
            Kind::True => Some(Value::Boolean(true)),
            Kind::False => Some(Value::Boolean(false)),
            Kind::Text | Kind::Escaped | Kind::Integer | Kind::Fraction | Kind::Null | Kind::Array | Kind::Object => {
                None
            }
        },
        SqlType::Int => int(all, token).map(Value::Int),
        SqlType::Bigint => long(all, token).map(Value::Bigint),
        SqlType::Timestamp => long(all, token).map(Value::Timestamp),
        SqlType::Date => long(all, token).and_then(|v| i32::try_from(v).ok()).map(Value::Date),
        SqlType::Time => long(all, token).and_then(|v| i32::try_from(v).ok()).map(Value::Time),
        SqlType::Double => double(all, token).map(Value::Double),
        SqlType::Decimal(precision, scale) => digits(all, token)
            .and_then(|d| d.unscaled(*precision, *scale))
            .map(|unscaled| Value::Decimal(Decimal { unscaled, scale: *scale })),
        SqlType::Bytes => match token.kind {
            Kind::Text | Kind::Escaped => base64_bytes(&text_of(all, token)).map(|b| Value::Bytes(b.into())),
            Kind::Integer | Kind::Fraction | Kind::True | Kind::False | Kind::Null | Kind::Array | Kind::Object => None,
        },
        SqlType::String | SqlType::Array(_) | SqlType::Map(..) | SqlType::Struct(_) => None,
    }
}

/// Bytes from base64, white space within allowed.
pub(super) fn base64_bytes(text: &str) -> Option<Vec<u8>> {
    let packed: Vec<u8> = text.bytes().filter(|b| *b > b' ').collect();
    STANDARD.decode(packed).ok()
}

#[cold]
fn mismatch(ty: &SqlType, all: &[u8], token: Token) -> Mismatch {
    let text = text_of(all, token);
    match token.kind {
        Kind::Text | Kind::Escaped => format!("the string {} is no {ty}", quoted(&text)),
        Kind::Integer | Kind::Fraction => format!("the number {} does not fit {ty}", quoted(&text).trim_matches('"')),
        Kind::True | Kind::False => format!("the boolean {text} is no {ty}"),
        Kind::Array => format!("an array is no {ty}"),
        Kind::Object => format!("an object is no {ty}"),
        Kind::Null => format!("null is no {ty}"),
    }
}
