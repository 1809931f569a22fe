//! One value as JSON text, as ksqlDB writes it: to Kafka, to Elasticsearch, into HTTP answers.
//!
//! Numbers keep their kind: a DOUBLE always has a point or an exponent (`10.0`, `1.0E10`), a DECIMAL keeps its scale.
//! DATE, TIME and TIMESTAMP are integers, BYTES base64, null is written out. JSON has no number for infinities and
//! not-a-number: they are the strings `"Infinity"`, `"-Infinity"`, `"NaN"`.

use super::text::double_text;
use super::{SqlType, Value};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::io::Write as _;

/// Appends a value of type `ty`. The type gives the names of a STRUCT's fields; a value of another type than `ty` is
/// written by what it is.
pub fn write_json(out: &mut Vec<u8>, value: &Value, ty: &SqlType) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Boolean(v) => out.extend_from_slice(if *v { b"true" } else { b"false" }),
        Value::Int(v) | Value::Date(v) | Value::Time(v) => write_display(out, *v),
        Value::Bigint(v) | Value::Timestamp(v) => write_display(out, *v),
        Value::Double(v) if v.is_finite() => out.extend_from_slice(double_text(*v).as_bytes()),
        Value::Double(v) => write_string(out, &double_text(*v)),
        Value::Decimal(v) => write_display(out, *v),
        Value::String(v) => write_string(out, v),
        Value::Bytes(v) => write_string(out, &STANDARD.encode(v)),
        Value::Array(items) => {
            let item_ty = if let SqlType::Array(t) = ty { t } else { ty };
            write_list(out, b"[]", items.iter(), |out, item| write_json(out, item, item_ty));
        }
        Value::Map(entries) => {
            let (key_ty, item_ty) = if let SqlType::Map(k, v) = ty { (&**k, &**v) } else { (ty, ty) };
            write_list(out, b"{}", entries.iter(), |out, (key, item)| {
                write_map_key(out, key, key_ty);
                out.push(b':');
                write_json(out, item, item_ty);
            });
        }
        Value::Struct(items) => {
            let fields = if let SqlType::Struct(f) = ty { f.as_slice() } else { &[] };
            write_list(out, b"{}", fields.iter().zip(items.iter()), |out, ((name, t), item)| {
                write_string(out, name);
                out.push(b':');
                write_json(out, item, t);
            });
        }
    }
}

/// Appends a JSON string with its quotes.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut from = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[from..at]);
        from = at + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            _ => write_display(out, format_args!("\\u{byte:04X}")),
        }
    }
    out.extend_from_slice(&bytes[from..]);
    out.push(b'"');
}

/// Appends what `value` prints.
pub(super) fn write_display(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    // Writing to memory cannot fail.
    let _ = write!(out, "{value}");
}

/// A map's key is a string whatever its type.
fn write_map_key(out: &mut Vec<u8>, key: &Value, ty: &SqlType) {
    if let Value::String(text) = key {
        return write_string(out, text);
    }
    let mut text = Vec::new();
    write_json(&mut text, key, ty);
    write_string(out, String::from_utf8_lossy(&text).trim_matches('"'));
}

fn write_list<T>(
    out: &mut Vec<u8>,
    brackets: &[u8; 2],
    items: impl Iterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(brackets[0]);
    for (i, item) in items.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(brackets[1]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Decimal;

    fn text(value: &Value, ty: &SqlType) -> String {
        let mut out = Vec::new();
        write_json(&mut out, value, ty);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn doubles_read_as_in_java() {
        for (v, expected) in [
            (10.0, "10.0"),
            (1e10, "1.0E10"),
            (1.0e7, "1.0E7"),
            (9_999_999.5, "9999999.5"),
            (0.001, "0.001"),
            (0.000_999, "9.99E-4"),
            (-0.0, "-0.0"),
            (0.1 + 0.2, "0.30000000000000004"),
            (f64::MAX, "1.7976931348623157E308"),
            (f64::NAN, "\"NaN\""),
            (f64::NEG_INFINITY, "\"-Infinity\""),
        ] {
            assert_eq!(text(&Value::Double(v), &SqlType::Double), expected);
        }
    }

    #[test]
    fn every_type_is_written() {
        let ty = SqlType::Struct(vec![
            ("A".into(), SqlType::Array(Box::new(SqlType::Decimal(5, 2)))),
            ("m".into(), SqlType::Map(Box::new(SqlType::String), Box::new(SqlType::Bytes))),
            ("N".into(), SqlType::Int),
            ("T".into(), SqlType::Timestamp),
        ]);
        let value = Value::Struct(
            [
                Value::Array([Value::Decimal(Decimal { unscaled: 1230, scale: 2 }), Value::Null].into()),
                Value::Map([(Value::String("k\"\n\u{1}é".into()), Value::Bytes([1, 2, 3].into()))].into()),
                Value::Null,
                Value::Timestamp(-5),
            ]
            .into(),
        );
        assert_eq!(text(&value, &ty), r#"{"A":[12.30,null],"m":{"k\"\n\u0001é":"AQID"},"N":null,"T":-5}"#);
    }
}
