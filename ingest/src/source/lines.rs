//! A line of JSON as a whole record: its key, value and time.
//!
//! ```text
//! {"key": 7, "value": {"name": "ann"}, "timestamp": 1700000000000}
//! {"key": 7, "timestamp": 1700000001000}                             no value: a tombstone
//! {"key": "7", "payload": "{\"name\": …", "ts": 1700000002000}       as `kcat -J` writes them
//! ```
//!
//! A string stands for its bytes, whatever the format, so that any text can be a key or value, also one that does not
//! fit its declaration. Another JSON value is written in the topic's format: a number as Kafka's serializers write it
//! where that is the format, else as its text.

use crate::record::{Record, Slice};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use weir_dataflow::plan::{Format, TopicSpec};
use weir_dataflow::row::{Schema, SqlType};

/// For errors.
pub(super) const EXAMPLE: &str = r#"{"key": …, "value": …, "timestamp": MILLISECONDS}"#;

/// How keys and values are written that are no strings.
#[derive(Clone, Copy, Debug, Default)]
pub struct Layout {
    key: Encoding,
    value: Encoding,
}

#[derive(Clone, Copy, Debug, Default)]
enum Encoding {
    #[default]
    Text,
    Int,
    Bigint,
    Double,
}

/// A line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default)]
    key: Option<Value>,
    #[serde(default, alias = "payload")]
    value: Option<Value>,
    #[serde(default, alias = "ts")]
    timestamp: Option<i64>,
    /// What kcat says beside them: where the record was, which a file decides anew.
    #[serde(default, rename = "topic", alias = "partition", alias = "offset", alias = "tstype", alias = "broker")]
    _place: IgnoredAny,
}

impl Layout {
    /// For the records of a topic.
    pub fn of(topic: &TopicSpec, schema: &Schema) -> Layout {
        let keys = schema.key.len();
        let is_header = |column: usize| topic.headers.iter().any(|(header, _)| *header == column);
        let value = schema.value.iter().enumerate().find(|(i, _)| !is_header(keys + i)).map(|(_, c)| &c.ty);
        Layout {
            key: Encoding::of(topic.key_format, schema.key.first().map(|c| &c.ty)),
            value: Encoding::of(topic.value_format, value),
        }
    }

    /// Appends a line's key and value to `bytes`; the record has this time when the line does not say another.
    pub(super) fn read(self, line: &[u8], bytes: &mut Vec<u8>, time: i64, offset: i64) -> Result<Record, String> {
        let line: Line = serde_json::from_slice(line).map_err(|e| e.to_string())?;
        let key = line.key.map(|v| self.key.write(&v, bytes)).transpose()?;
        let value = line.value.map(|v| self.value.write(&v, bytes)).transpose()?;
        Ok(Record { key, value, time: line.timestamp.unwrap_or(time), offset })
    }
}

impl Encoding {
    fn of(format: Format, ty: Option<&SqlType>) -> Encoding {
        match (format, ty) {
            (Format::Kafka, Some(SqlType::Int)) => Encoding::Int,
            (Format::Kafka, Some(SqlType::Bigint)) => Encoding::Bigint,
            (Format::Kafka, Some(SqlType::Double)) => Encoding::Double,
            _ => Encoding::Text,
        }
    }

    fn write(self, value: &Value, bytes: &mut Vec<u8>) -> Result<Slice, String> {
        let start = bytes.len();
        match (self, value) {
            (_, Value::String(text)) => bytes.extend_from_slice(text.as_bytes()),
            (Encoding::Int, Value::Number(n)) => {
                let n = n.as_i64().and_then(|n| i32::try_from(n).ok()).ok_or_else(|| format!("{n} is no INT"))?;
                bytes.extend_from_slice(&n.to_be_bytes());
            }
            (Encoding::Bigint, Value::Number(n)) => {
                let n = n.as_i64().ok_or_else(|| format!("{n} is no BIGINT"))?;
                bytes.extend_from_slice(&n.to_be_bytes());
            }
            (Encoding::Double, Value::Number(n)) => {
                let n = n.as_f64().ok_or_else(|| format!("{n} is no DOUBLE"))?;
                bytes.extend_from_slice(&n.to_be_bytes());
            }
            (_, other) => bytes.extend_from_slice(other.to_string().as_bytes()),
        }
        let place = |at: usize| u32::try_from(at).map_err(|_| "it is longer than 4 GB with those before it".to_owned());
        Ok(Slice { start: place(start)?, end: place(bytes.len())? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Key, value and time.
    type Parts = (Option<Vec<u8>>, Option<Vec<u8>>, i64);

    fn read(layout: Layout, line: &str) -> Result<Parts, String> {
        let mut bytes = b"before".to_vec();
        let record = layout.read(line.as_bytes(), &mut bytes, 5, 0)?;
        let part = |s: Option<Slice>| s.map(|s| bytes[s.range()].to_vec());
        Ok((part(record.key), part(record.value), record.time))
    }

    #[test]
    fn strings_are_bytes_and_other_values_are_written_in_the_format() {
        let text = Layout::default();
        let some = |bytes: &[u8]| Some(bytes.to_vec());
        assert_eq!(read(text, r#"{"key":"a","value":{"x": 1e2}}"#), Ok((some(b"a"), some(b"{\"x\":1e+2}"), 5)));
        assert_eq!(read(text, r#"{"key":7,"value":null,"timestamp":-1}"#), Ok((some(b"7"), None, -1)));
        assert_eq!(read(text, r#"{"payload":"{bad","ts":1,"topic":"t"}"#), Ok((None, some(b"{bad"), 1)));
        let kafka = Layout { key: Encoding::Int, value: Encoding::Double };
        assert_eq!(read(kafka, r#"{"key":258,"value":1}"#), Ok((some(&[0, 0, 1, 2]), some(&1_f64.to_be_bytes()), 5)));
        assert_eq!(read(kafka, r#"{"key":5000000000}"#), Err("5000000000 is no INT".into()));
        assert!(read(text, r#"{"valeu":1}"#).is_err_and(|e| e.contains("valeu")));
        assert!(read(text, "7").is_err());
    }
}
