//! Values as text, as ksqlDB's CAST to STRING and its JSON writer print them.

use super::{SqlType, Value, datetime};
use std::fmt::Write as _;

/// A double as Java prints it: `10.0`, `1.0E10`, `1.0E-4`, `NaN`, `-Infinity`.
pub fn double_text(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.into();
    }
    let size = value.abs();
    if size == 0.0 || (1e-3..1e7).contains(&size) {
        // The shortest digits that read back as the same number; Rust leaves the `.0` only in Debug.
        return format!("{value:?}");
    }
    let mut text = format!("{value:e}");
    if !text.contains('.') {
        // Java prints two digits at least, the nearest ones: 4.9E-324.
        text = format!("{value:.1e}");
    }
    match text.split_once('e') {
        Some((digits, exponent)) if digits.contains('.') => format!("{digits}E{exponent}"),
        // Java always has a second digit, and takes the one that is nearest where several read back as the number.
        Some((digits, exponent)) => {
            let two = format!("{value:.1e}");
            match two.split_once('e') {
                Some((digits, exponent)) if two.parse() == Ok(value) => format!("{digits}E{exponent}"),
                _ => format!("{digits}.0E{exponent}"),
            }
        }
        None => text,
    }
}

/// A value of this type as CAST to STRING gives it; none for null.
pub fn value_text(value: &Value, ty: &SqlType) -> Option<String> {
    let mut out = String::new();
    if value.is_null() {
        return None;
    }
    push_text(&mut out, value, ty);
    Some(out)
}

/// Appends a value's text; null is `null`, as within collections.
fn push_text(out: &mut String, value: &Value, ty: &SqlType) {
    // Writing to a String cannot fail.
    let _ = match value {
        Value::Null => out.write_str("null"),
        Value::Boolean(v) => write!(out, "{v}"),
        Value::Int(v) => write!(out, "{v}"),
        Value::Bigint(v) => write!(out, "{v}"),
        Value::Double(v) => out.write_str(&double_text(*v)),
        Value::Decimal(v) => write!(out, "{v}"),
        Value::String(v) => out.write_str(v),
        Value::Bytes(v) => {
            use base64::Engine as _;
            out.write_str(&base64::engine::general_purpose::STANDARD.encode(v))
        }
        Value::Date(v) => out.write_str(&datetime::date_text(*v)),
        Value::Time(v) => out.write_str(&datetime::time_text(*v)),
        Value::Timestamp(v) => out.write_str(&datetime::timestamp_text(*v)),
        Value::Array(items) => {
            let item_type = if let SqlType::Array(t) = ty { t } else { ty };
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                push_text(out, item, item_type);
            }
            out.write_char(']')
        }
        Value::Map(entries) => {
            let (key_type, item_type) = if let SqlType::Map(k, v) = ty { (&**k, &**v) } else { (ty, ty) };
            out.push('{');
            for (i, (key, item)) in entries.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                push_text(out, key, key_type);
                out.push('=');
                push_text(out, item, item_type);
            }
            out.write_char('}')
        }
        Value::Struct(fields) => {
            let types: &[(String, SqlType)] = if let SqlType::Struct(types) = ty { types } else { &[] };
            out.push_str("Struct{");
            let mut first = true;
            for (value, (name, ty)) in fields.iter().zip(types).filter(|(v, _)| !v.is_null()) {
                if !std::mem::take(&mut first) {
                    out.push(',');
                }
                let _ = write!(out, "{name}=");
                push_text(out, value, ty);
            }
            out.write_char('}')
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_javas() {
        for (value, text) in [
            (10.0, "10.0"),
            (0.001, "0.001"),
            (0.0001, "1.0E-4"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (-12_345_678.9, "-1.23456789E7"),
            (1e10, "1.0E10"),
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (f64::MIN_POSITIVE, "2.2250738585072014E-308"),
            (5e-324, "4.9E-324"),
            (1e-323, "9.9E-324"),
            (2e23, "2.0E23"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(double_text(value), text);
        }
    }

    #[test]
    fn collections_are_javas() {
        let ty = SqlType::Struct(vec![
            ("F0".into(), SqlType::Array(Box::new(SqlType::Int))),
            ("f1".into(), SqlType::String),
            ("M".into(), SqlType::Map(Box::new(SqlType::String), Box::new(SqlType::Double))),
        ]);
        let value = Value::Struct(
            [
                Value::Array([Value::Int(1), Value::Null].into()),
                Value::Null,
                Value::Map([(Value::String("k".into()), Value::Double(1.0))].into()),
            ]
            .into(),
        );
        assert_eq!(value_text(&value, &ty).as_deref(), Some("Struct{F0=[1, null],M={k=1.0}}"));
        assert_eq!(value_text(&Value::Null, &ty), None);
    }
}
