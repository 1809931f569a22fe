//! Rows as the bytes of a topic's formats: the key and the value of the record that ksqlDB would write.
//!
//! What a format cannot hold is refused when the [`Encoder`] is made, so that encoding a row cannot fail. No bytes at
//! all (a null key, a tombstone) is `false`, which is not the same as zero bytes.

use super::datetime::Pattern;
use super::json::{write_display, write_json, write_string};
use super::text::double_text;
use super::{Column, Schema, SqlType, Value};
use crate::plan::{Format, KeyWindow, TopicSpec};
use crate::views::change::Row;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Why a schema cannot be written in a format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// KAFKA and its one primitive column.
    #[error("the KAFKA format holds one column of type INT, BIGINT, DOUBLE, STRING or BYTES, not {0}; use JSON")]
    Kafka(String),
    /// DELIMITED and its flat columns.
    #[error("the DELIMITED format does not hold column `{name}` of type {ty}; use JSON")]
    Delimited {
        /// The column.
        name: String,
        /// Its type.
        ty: SqlType,
    },
    /// NONE and columns.
    #[error("the NONE format holds no columns, not {0}; use JSON")]
    None(String),
}

/// Writes the rows of one stream or table as records of its topic.
#[derive(Clone, Debug)]
pub struct Encoder {
    key: Part,
    value: Part,
    window: Option<KeyWindow>,
    time: Option<Time>,
}

/// Where a record's timestamp comes from.
#[derive(Clone, Debug)]
struct Time {
    column: usize,
    /// Of a STRING column.
    pattern: Option<Pattern>,
}

/// The key or the value.
#[derive(Clone, Debug)]
struct Part {
    columns: Vec<Column>,
    format: Format,
    /// A single column stands without an object around it.
    bare: bool,
}

impl Encoder {
    /// For rows of this schema and records of this topic.
    ///
    /// # Errors
    /// When a format cannot hold its columns.
    pub fn new(schema: &Schema, topic: &TopicSpec) -> Result<Self, EncodeError> {
        Ok(Encoder {
            key: Part::new(&schema.key, topic.key_format, true)?,
            value: Part::new(&schema.value, topic.value_format, !topic.wrap_single_value)?,
            window: topic.window,
            time: topic
                .timestamp
                .as_ref()
                .map(|t| Time { column: t.column, pattern: t.format.as_deref().and_then(|f| Pattern::new(f).ok()) }),
        })
    }

    /// Appends the record's key; false when it has none. A windowed key ends in its bounds: eight bytes with the
    /// start, or for sessions eight with the end and eight with the start.
    pub fn key(&self, row: &Row, out: &mut Vec<u8>) -> bool {
        // A key of one column that is null is no key, in whatever format; several nulls are one.
        if matches!(row.key.as_slice(), [] | [Value::Null]) || !self.key.write(&row.key, out) {
            return false;
        }
        if let (Some(bounds), Some(window)) = (row.window, self.window) {
            if window == KeyWindow::Session {
                out.extend_from_slice(&bounds.end.to_be_bytes());
            }
            out.extend_from_slice(&bounds.start.to_be_bytes());
        }
        true
    }

    /// The record's timestamp: ROWTIME, or what the topic's timestamp column says. `None`: the record is not written,
    /// for the column is null, cannot be read as a time, or is negative.
    pub fn time(&self, row: &Row) -> Option<i64> {
        let (Some(time), Some(values)) = (&self.time, &row.value) else { return Some(row.time) };
        let cell = match time.column.checked_sub(row.key.len()) {
            None => row.key.get(time.column),
            Some(i) => values.get(i),
        };
        let at = match (cell?, &time.pattern) {
            (Value::Bigint(at) | Value::Timestamp(at), _) => *at,
            (Value::String(text), Some(pattern)) => pattern.parse_timestamp(text, "UTC").ok()?,
            _ => return None,
        };
        (at >= 0).then_some(at)
    }

    /// Appends the record's value; false for a tombstone.
    pub fn value(&self, row: &Row, out: &mut Vec<u8>) -> bool {
        row.value.as_ref().is_some_and(|values| self.value.write(values, out))
    }
}

impl Part {
    fn new(columns: &[Column], format: Format, bare: bool) -> Result<Self, EncodeError> {
        match format {
            Format::Json => {}
            Format::Delimited { .. } => {
                let nested = |c: &&Column| matches!(c.ty, SqlType::Array(_) | SqlType::Map(..) | SqlType::Struct(_));
                if let Some(Column { name, ty }) = columns.iter().find(nested) {
                    return Err(EncodeError::Delimited { name: name.clone(), ty: ty.clone() });
                }
            }
            Format::Kafka => {
                let primitive = |ty: &SqlType| {
                    matches!(ty, SqlType::Int | SqlType::Bigint | SqlType::Double | SqlType::String | SqlType::Bytes)
                };
                if columns.len() > 1 || columns.iter().any(|c| !primitive(&c.ty)) {
                    return Err(EncodeError::Kafka(list(columns)));
                }
            }
            Format::None if !columns.is_empty() => return Err(EncodeError::None(list(columns))),
            Format::None => {}
        }
        Ok(Part { columns: columns.to_vec(), format, bare: bare && columns.len() == 1 })
    }

    /// Appends the bytes; false when there are none.
    fn write(&self, values: &[Value], out: &mut Vec<u8>) -> bool {
        match self.format {
            Format::None => return false,
            Format::Delimited { delimiter } => write_delimited(out, values, delimiter),
            Format::Json if !self.bare => write_object(out, &self.columns, values),
            Format::Kafka | Format::Json => match (values.first(), self.columns.first()) {
                (Some(Value::Null) | None, _) | (_, None) => return false,
                (Some(value), Some(_)) if self.format == Format::Kafka => write_primitive(out, value),
                (Some(value), Some(column)) => write_json(out, value, &column.ty),
            },
        }
        true
    }
}

fn list(columns: &[Column]) -> String {
    columns.iter().map(|c| format!("`{}` {}", c.name, c.ty)).collect::<Vec<_>>().join(", ")
}

/// Appends `{"COLUMN":value,…}` of all columns.
pub fn write_object(out: &mut Vec<u8>, columns: &[Column], values: &[Value]) {
    out.push(b'{');
    for (i, (column, value)) in columns.iter().zip(values).enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_string(out, &column.name);
        out.push(b':');
        write_json(out, value, &column.ty);
    }
    out.push(b'}');
}

/// As Kafka's own serializers.
fn write_primitive(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Int(v) => out.extend_from_slice(&v.to_be_bytes()),
        Value::Bigint(v) => out.extend_from_slice(&v.to_be_bytes()),
        Value::Double(v) => out.extend_from_slice(&v.to_be_bytes()),
        Value::String(v) => out.extend_from_slice(v.as_bytes()),
        Value::Bytes(v) => out.extend_from_slice(v),
        Value::Null
        | Value::Boolean(_)
        | Value::Decimal(_)
        | Value::Date(_)
        | Value::Time(_)
        | Value::Timestamp(_)
        | Value::Array(_)
        | Value::Map(_)
        | Value::Struct(_) => {}
    }
}

fn write_delimited(out: &mut Vec<u8>, values: &[Value], delimiter: char) {
    for (i, value) in values.iter().enumerate() {
        if i > 0 {
            write_display(out, delimiter);
        }
        let text = match value {
            Value::Null => continue,
            Value::String(v) => v.to_string(),
            Value::Boolean(v) => v.to_string(),
            Value::Int(v) | Value::Date(v) | Value::Time(v) => v.to_string(),
            Value::Bigint(v) | Value::Timestamp(v) => v.to_string(),
            Value::Double(v) => double_text(*v),
            Value::Decimal(v) => v.to_string(),
            Value::Bytes(v) => STANDARD.encode(v),
            // Refused by `Part::new`.
            Value::Array(_) | Value::Map(_) | Value::Struct(_) => continue,
        };
        if needs_quotes(&text, i == 0, delimiter) {
            out.push(b'"');
            out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
            out.push(b'"');
        } else {
            out.extend_from_slice(text.as_bytes());
        }
    }
}

/// The rule of the CSV printer that ksqlDB uses: quotes also where the text is empty at the line's start, starts in
/// anything up to `#`, ends in anything up to a space, or opens the line with something else than a letter or digit
/// (so that a leading `-5` is quoted).
fn needs_quotes(text: &str, first: bool, delimiter: char) -> bool {
    let (Some(start), Some(end)) = (text.chars().next(), text.chars().next_back()) else {
        return first;
    };
    first && !start.is_ascii_alphanumeric()
        || start <= '#'
        || end <= ' '
        || text.contains(['\n', '\r', '"'])
        || text.contains(delimiter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Decimal;
    use crate::views::change::Bounds;

    fn schema(key: &[(&str, SqlType)], value: &[(&str, SqlType)]) -> Schema {
        let columns = |c: &[(&str, SqlType)]| {
            c.iter().map(|(n, t)| Column { name: (*n).into(), ty: t.clone() }).collect::<Vec<_>>()
        };
        Schema { key: columns(key), value: columns(value) }
    }

    fn topic(key_format: Format, value_format: Format) -> TopicSpec {
        TopicSpec::new("t", key_format, value_format)
    }

    fn row(key: Vec<Value>, value: Option<Vec<Value>>) -> Row {
        Row { key, window: None, value, time: 0 }
    }

    fn text(encoder: &Encoder, row: &Row) -> (Option<String>, Option<String>) {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        let (has_key, has_value) = (encoder.key(row, &mut key), encoder.value(row, &mut value));
        let text = |has: bool, bytes: Vec<u8>| has.then(|| String::from_utf8(bytes).unwrap());
        (text(has_key, key), text(has_value, value))
    }

    #[test]
    fn json_objects_have_every_column_and_keys_of_one_column_are_bare() {
        let two = schema(&[("K1", SqlType::String), ("K2", SqlType::Int)], &[("V", SqlType::Double)]);
        let encoder = Encoder::new(&two, &topic(Format::Json, Format::Json)).unwrap();
        let r = row(vec![Value::String("a".into()), Value::Null], Some(vec![Value::Null]));
        assert_eq!(text(&encoder, &r), (Some(r#"{"K1":"a","K2":null}"#.into()), Some(r#"{"V":null}"#.into())));
        assert_eq!(text(&encoder, &row(vec![], None)), (None, None));
        let nulls = row(vec![Value::Null, Value::Null], None);
        assert_eq!(text(&encoder, &nulls), (Some(r#"{"K1":null,"K2":null}"#.into()), None));

        let one = schema(&[("K1", SqlType::String)], &[("V", SqlType::Double)]);
        let mut spec = topic(Format::Json, Format::Json);
        spec.wrap_single_value = false;
        let encoder = Encoder::new(&one, &spec).unwrap();
        let r = row(vec![Value::String("a".into())], Some(vec![Value::Double(1.0)]));
        assert_eq!(text(&encoder, &r), (Some(r#""a""#.into()), Some("1.0".into())));
        assert_eq!(text(&encoder, &row(vec![Value::Null], Some(vec![Value::Null]))), (None, None));
    }

    #[test]
    fn delimited_quotes_where_the_csv_printer_does() {
        let s = schema(&[], &[("A", SqlType::String), ("B", SqlType::Decimal(9, 2)), ("C", SqlType::String)]);
        let encoder = Encoder::new(&s, &topic(Format::None, Format::Delimited { delimiter: ',' })).unwrap();
        let line = |a: Value, c: &str| {
            let d = Value::Decimal(Decimal { unscaled: -50, scale: 2 });
            text(&encoder, &row(vec![], Some(vec![a, d, Value::String(c.into())]))).1.unwrap()
        };
        assert_eq!(line(Value::Null, ""), ",-0.50,");
        assert_eq!(line(Value::String("".into()), "a b"), "\"\",-0.50,a b");
        assert_eq!(line(Value::String("-5".into()), "-5"), "\"-5\",-0.50,-5");
        assert_eq!(line(Value::String("a,\"b".into()), "b "), "\"a,\"\"b\",-0.50,\"b \"");
        assert_eq!(line(Value::String("x".into()), "!"), "x,-0.50,\"!\"");
    }

    #[test]
    fn kafka_primitives_are_big_endian_and_windowed_keys_end_in_their_bounds() {
        let s = schema(&[("K", SqlType::Int)], &[("V", SqlType::Bigint)]);
        let mut spec = topic(Format::Kafka, Format::Kafka);
        let mut r = row(vec![Value::Int(258)], Some(vec![Value::Bigint(-1)]));
        let bytes = |spec: &TopicSpec, r: &Row| {
            let encoder = Encoder::new(&s, spec).unwrap();
            let (mut key, mut value) = (Vec::new(), Vec::new());
            assert!(encoder.key(r, &mut key) && encoder.value(r, &mut value));
            (key, value)
        };
        assert_eq!(bytes(&spec, &r), (vec![0, 0, 1, 2], vec![255; 8]));
        r.window = Some(Bounds { start: 1, end: 2 });
        assert_eq!(bytes(&spec, &r).0, [0, 0, 1, 2], "the topic's keys have no windows");
        spec.window = Some(KeyWindow::Time(1));
        assert_eq!(bytes(&spec, &r).0, [0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 1]);
        spec.window = Some(KeyWindow::Session);
        assert_eq!(bytes(&spec, &r).0, [0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn what_a_format_cannot_hold_is_refused() {
        let s = schema(&[("K1", SqlType::Int), ("K2", SqlType::Int)], &[("V", SqlType::Array(Box::new(SqlType::Int)))]);
        let error = |k, v| Encoder::new(&s, &topic(k, v)).unwrap_err().to_string();
        assert_eq!(
            error(Format::Kafka, Format::Json),
            "the KAFKA format holds one column of type INT, BIGINT, DOUBLE, STRING or BYTES, not `K1` INTEGER, `K2` INTEGER; use JSON"
        );
        assert_eq!(
            error(Format::Json, Format::Delimited { delimiter: ',' }),
            "the DELIMITED format does not hold column `V` of type ARRAY<INTEGER>; use JSON"
        );
    }
}
