//! Functions on strings. Positions count characters, from 1.

use super::{Definition, Parameter as P, Signature, string};
use crate::row::Value;
use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, Int32Array, StringArray};
use std::sync::Arc;

/// The family.
pub(super) static FUNCTIONS: &[Definition] = &[
    Definition::new(
        "UCASE",
        "The text in upper case",
        &[Signature::new(&[P::String], P::String, |c| Some(string(c.text(0)?.to_uppercase())))
            .on_columns(|a, _| map_text(a, |s, out| out.append_value(s.to_uppercase())))],
    )
    .or(&["UPPER"]),
    Definition::new(
        "LCASE",
        "The text in lower case",
        &[Signature::new(&[P::String], P::String, |c| Some(string(c.text(0)?.to_lowercase())))
            .on_columns(|a, _| map_text(a, |s, out| out.append_value(s.to_lowercase())))],
    )
    .or(&["LOWER"]),
    Definition::new(
        "TRIM",
        "The text without blanks at its ends",
        &[Signature::new(&[P::String], P::String, |c| Some(string(trim(c.text(0)?))))
            .on_columns(|a, _| map_text(a, |s, out| out.append_value(trim(s))))],
    ),
    Definition::new(
        "LEN",
        "The length of a text in characters, or of bytes",
        &[
            Signature::new(&[P::String], P::Int, |c| Some(Value::Int(length(c.text(0)?)))).on_columns(|a, _| {
                let text = a.first()?.as_string_opt::<i32>()?;
                Some(Arc::new(text.iter().map(|s| s.map(length)).collect::<Int32Array>()))
            }),
            Signature::new(&[P::Bytes], P::Int, |c| Some(Value::Int(i32::try_from(c.bytes(0)?.len()).ok()?))),
        ],
    ),
    Definition::new(
        "SUBSTRING",
        "The text from a position (negative: from the end), of at most a length",
        &[
            Signature::new(&[P::String, P::Int], P::String, |c| substring(c.text(0)?, c.int(1)?, i32::MAX)),
            Signature::new(&[P::String, P::Int, P::Int], P::String, |c| substring(c.text(0)?, c.int(1)?, c.int(2)?)),
            Signature::new(&[P::Bytes, P::Int], P::Bytes, |c| sub_bytes(c.bytes(0)?, c.int(1)?, i32::MAX)),
            Signature::new(&[P::Bytes, P::Int, P::Int], P::Bytes, |c| sub_bytes(c.bytes(0)?, c.int(1)?, c.int(2)?)),
        ],
    )
    .or(&["SUBSTR"]),
    Definition::new(
        "CONCAT",
        "The texts one after the other, null ones left out",
        &[
            Signature::new(&[P::String], P::String, |c| {
                Some(string((0..c.values.len()).filter_map(|i| c.text(i)).collect::<String>()))
            })
            .variadic(),
            Signature::new(&[P::Bytes], P::Bytes, |c| {
                Some(Value::Bytes((0..c.values.len()).filter_map(|i| c.bytes(i)).flatten().copied().collect()))
            })
            .variadic(),
        ],
    ),
    Definition::new(
        "CONCAT_WS",
        "The texts one after the other with a separator between, null ones left out",
        &[
            Signature::new(&[P::String, P::String], P::String, |c| {
                let separator = c.text(0)?;
                Some(string((1..c.values.len()).filter_map(|i| c.text(i)).collect::<Vec<_>>().join(separator)))
            })
            .variadic(),
            Signature::new(&[P::Bytes, P::Bytes], P::Bytes, |c| {
                let separator = c.bytes(0)?;
                Some(Value::Bytes(
                    (1..c.values.len()).filter_map(|i| c.bytes(i)).collect::<Vec<_>>().join(separator).into(),
                ))
            })
            .variadic(),
        ],
    ),
    Definition::new(
        "MD5",
        "The MD5 hash of the text, in hexadecimal digits",
        &[Signature::new(&[P::String], P::String, |c| Some(string(format!("{:x}", md5::compute(c.text(0)?)))))],
    ),
    Definition::new(
        "REPLACE",
        "The text with all of one part replaced by another",
        &[Signature::new(&[P::String, P::String, P::String], P::String, |c| {
            Some(string(c.text(0)?.replace(c.text(1)?, c.text(2)?)))
        })],
    ),
    Definition::new(
        "SPLIT",
        "The parts of a text between delimiters; its characters when the delimiter is empty",
        &[
            Signature::new(&[P::String, P::String], P::Array(&P::String), |c| {
                let (text, delimiter) = (c.text(0)?, c.text(1)?);
                let parts: Vec<Value> = match (text, delimiter) {
                    ("", _) => vec![string("")],
                    (text, "") => text.chars().map(|ch| string(ch.to_string())).collect(),
                    _ => text.split(delimiter).map(string).collect(),
                };
                Some(Value::Array(parts.into()))
            }),
            Signature::new(&[P::Bytes, P::Bytes], P::Array(&P::Bytes), |c| {
                let (bytes, delimiter) = (c.bytes(0)?, c.bytes(1)?);
                if bytes.is_empty() {
                    return Some(Value::Array([Value::Bytes([].into())].into()));
                }
                if delimiter.is_empty() {
                    return Some(Value::Array(bytes.iter().map(|b| Value::Bytes([*b].into())).collect()));
                }
                let mut parts = Vec::new();
                let mut from = 0;
                for at in memchr::memmem::find_iter(bytes, delimiter) {
                    parts.push(Value::Bytes(bytes[from..at].into()));
                    from = at + delimiter.len();
                }
                parts.push(Value::Bytes(bytes[from..].into()));
                Some(Value::Array(parts.into()))
            }),
        ],
    ),
    Definition::new(
        "SPLIT_TO_MAP",
        "A map out of entries `key:value/key:value`, with these delimiters",
        &[Signature::new(&[P::String, P::String, P::String], P::Map(&P::String, &P::String), |c| {
            let (text, entry, pair) = (c.text(0)?, c.text(1)?, c.text(2)?);
            if entry.is_empty() || pair.is_empty() || entry == pair {
                return None;
            }
            let mut entries: Vec<(Value, Value)> = Vec::new();
            for part in text.split(entry).filter(|p| !p.is_empty()) {
                let mut sides = part.split(pair).filter(|s| !s.is_empty());
                if let (Some(key), Some(value)) = (sides.next(), sides.next()) {
                    let key = string(key);
                    entries.retain(|(k, _)| *k != key);
                    entries.push((key, string(value)));
                }
            }
            Some(Value::Map(entries.into()))
        })],
    ),
    Definition::new(
        "INSTR",
        "The position of a part in a text (0: none), from a position, the n-th of its kind",
        &[
            Signature::new(&[P::String, P::String], P::Int, |c| instr(c.text(0)?, c.text(1)?, 1, 1)),
            Signature::new(&[P::String, P::String, P::Int], P::Int, |c| instr(c.text(0)?, c.text(1)?, c.int(2)?, 1)),
            Signature::new(&[P::String, P::String, P::Int, P::Int], P::Int, |c| {
                instr(c.text(0)?, c.text(1)?, c.int(2)?, c.int(3)?)
            }),
        ],
    ),
    Definition::new(
        "LPAD",
        "The text filled on the left, or cut, to a length",
        &[
            Signature::new(&[P::String, P::Int, P::String], P::String, |c| {
                pad(c.text(0)?, c.int(1)?, c.text(2)?, true)
            }),
            Signature::new(&[P::Bytes, P::Int, P::Bytes], P::Bytes, |c| {
                pad_bytes(c.bytes(0)?, c.int(1)?, c.bytes(2)?, true)
            }),
        ],
    ),
    Definition::new(
        "RPAD",
        "The text filled on the right, or cut, to a length",
        &[
            Signature::new(&[P::String, P::Int, P::String], P::String, |c| {
                pad(c.text(0)?, c.int(1)?, c.text(2)?, false)
            }),
            Signature::new(&[P::Bytes, P::Int, P::Bytes], P::Bytes, |c| {
                pad_bytes(c.bytes(0)?, c.int(1)?, c.bytes(2)?, false)
            }),
        ],
    ),
    Definition::new(
        "INITCAP",
        "The text with each word's first letter in upper case, all others in lower case",
        &[Signature::new(&[P::String], P::String, |c| Some(string(initcap(c.text(0)?))))],
    ),
    Definition::new(
        "CHR",
        "The character of a code point, or of an escape like \\u004b",
        &[
            Signature::new(&[P::Int], P::String, |c| {
                Some(string(char::from_u32(u32::try_from(c.int(0)?).ok()?)?.to_string()))
            }),
            Signature::new(&[P::String], P::String, |c| {
                let units: Vec<u16> = c
                    .text(0)?
                    .strip_prefix("\\u")?
                    .split("\\u")
                    .map(|hex| if hex.len() == 4 { u16::from_str_radix(hex, 16).ok() } else { None })
                    .collect::<Option<_>>()?;
                String::from_utf16(&units).ok().map(string)
            }),
        ],
    ),
    Definition::new(
        "ELT",
        "The n-th of the texts",
        &[Signature::new(&[P::Int, P::String], P::String, |c| {
            let n = usize::try_from(c.int(0)?).ok().filter(|n| *n > 0)?;
            c.values.get(n).cloned()
        })
        .variadic()],
    ),
    Definition::new(
        "FIELD",
        "The position of the first text among the others, 0 when it is not there",
        &[Signature::new(&[P::String, P::String], P::Int, |c| {
            let place = c.text(0).and_then(|t| (1..c.values.len()).find(|&i| c.text(i) == Some(t)));
            Some(Value::Int(i32::try_from(place.unwrap_or(0)).ok()?))
        })
        .variadic()],
    ),
    Definition::new(
        "MASK",
        "The text with letters and digits masked: X, x and n, others -",
        &[Signature::new(&[P::String], P::String, |c| Some(string(c.text(0)?.chars().map(mask).collect::<String>())))],
    ),
];

/// Java's trim: without blanks and control characters at the ends.
fn trim(text: &str) -> &str {
    text.trim_matches(|c| c <= ' ')
}

/// In UTF-16 units, as Java counts.
fn length(text: &str) -> i32 {
    let units = if text.is_ascii() { text.len() } else { text.encode_utf16().count() };
    i32::try_from(units).unwrap_or(i32::MAX)
}

/// Where a part of `length` things begins and ends.
fn bounds(all: usize, position: i32, length: i32) -> (usize, usize) {
    let all = i64::try_from(all).unwrap_or(i64::MAX);
    let position = i64::from(position);
    let start = if position < 0 { (all + position).max(0) } else { (position - 1).clamp(0, all) };
    let end = (start + i64::from(length)).clamp(start, all);
    (usize::try_from(start).unwrap_or(0), usize::try_from(end).unwrap_or(0))
}

fn substring(text: &str, position: i32, length: i32) -> Option<Value> {
    if text.is_ascii() {
        let (start, end) = bounds(text.len(), position, length);
        return text.get(start..end).map(string);
    }
    let (start, end) = bounds(text.chars().count(), position, length);
    Some(string(text.chars().skip(start).take(end - start).collect::<String>()))
}

fn sub_bytes(bytes: &[u8], position: i32, length: i32) -> Option<Value> {
    let (start, end) = bounds(bytes.len(), position, length);
    bytes.get(start..end).map(|part| Value::Bytes(part.into()))
}

fn instr(text: &str, part: &str, position: i32, occurrence: i32) -> Option<Value> {
    let (text, part): (Vec<char>, Vec<char>) = (text.chars().collect(), part.chars().collect());
    let nth = usize::try_from(occurrence).ok().filter(|n| *n > 0)? - 1;
    let is_at = |&at: &usize| text[at..].starts_with(&part);
    let last = text.len().saturating_sub(part.len());
    let found = if part.len() > text.len() || position == 0 {
        None
    } else if position > 0 {
        (usize::try_from(position - 1).ok()?..=last).filter(is_at).nth(nth)
    } else {
        let from = i64::try_from(text.len()).ok()? + i64::from(position);
        let from = usize::try_from(from).ok().map(|f| f.min(last));
        from.and_then(|from| (0..=from).rev().filter(is_at).nth(nth))
    };
    Some(Value::Int(found.map_or(0, |at| i32::try_from(at + 1).unwrap_or(i32::MAX))))
}

fn pad(text: &str, length: i32, padding: &str, left: bool) -> Option<Value> {
    let text: Vec<char> = text.chars().collect();
    let padding: Vec<char> = padding.chars().collect();
    Some(string(padded(&text, length, &padding, left)?.into_iter().collect::<String>()))
}

fn pad_bytes(bytes: &[u8], length: i32, padding: &[u8], left: bool) -> Option<Value> {
    Some(Value::Bytes(padded(bytes, length, padding, left)?.into()))
}

fn padded<T: Copy>(text: &[T], length: i32, padding: &[T], left: bool) -> Option<Vec<T>> {
    /// More is a mistake rather than a wish.
    const MOST: usize = 1 << 20;
    let length = usize::try_from(length).ok().filter(|l| *l <= MOST)?;
    if padding.is_empty() {
        return None;
    }
    if length <= text.len() {
        return Some(text[..length].to_vec());
    }
    let fill = padding.iter().copied().cycle().take(length - text.len());
    Some(if left { fill.chain(text.iter().copied()).collect() } else { text.iter().copied().chain(fill).collect() })
}

fn initcap(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut first = true;
    for c in text.chars() {
        if first {
            out.extend(c.to_uppercase());
        } else {
            out.extend(c.to_lowercase());
        }
        first = c.is_whitespace();
    }
    out
}

fn mask(c: char) -> char {
    match c {
        c if c.is_uppercase() => 'X',
        c if c.is_lowercase() => 'x',
        c if c.is_numeric() => 'n',
        _ => '-',
    }
}

/// A text function on a whole column; null stays null.
fn map_text(args: &[ArrayRef], f: impl Fn(&str, &mut StringBuilder)) -> Option<ArrayRef> {
    let text: &StringArray = args.first()?.as_string_opt::<i32>()?;
    let mut out = StringBuilder::with_capacity(text.len(), text.value_data().len());
    for value in text {
        match value {
            Some(s) => f(s, &mut out),
            None => out.append_null(),
        }
    }
    Some(Arc::new(out.finish()))
}
