//! A case's records as the bytes that stand in topics, and back.
//!
//! Keys and values of a case are JSON of the topic's format: for JSON the text itself, for DELIMITED a string with the
//! line, for KAFKA a scalar that the declared type gives its bytes, for NONE nothing.

use super::case::{Header, Record, Window, WindowKind};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value as Json;
use weir_dataflow::plan::{Format, KeyWindow, TopicSpec};
use weir_dataflow::row::text::double_text;
use weir_dataflow::row::{Column, Schema, SqlType};
use weir_ingest::decode::split_window;
use weir_ingest::record::{self, RecordBatch, Slice};

/// A record of a topic.
#[derive(Clone, Debug, Default)]
pub(super) struct Raw {
    /// With the bounds of a windowed key.
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) time: i64,
    pub(super) headers: Vec<(String, Option<Bytes>)>,
}

impl Raw {
    /// As a batch of its own.
    pub(super) fn batch(&self, sequence: u64) -> RecordBatch {
        let mut bytes = Vec::new();
        let mut slice = |part: &Option<Vec<u8>>| {
            part.as_ref().map(|part| {
                let start = bytes.len();
                bytes.extend_from_slice(part);
                let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
                Slice { start: place(start), end: place(bytes.len()) }
            })
        };
        let (key, value) = (slice(&self.key), slice(&self.value));
        let offset = i64::try_from(sequence).unwrap_or(i64::MAX);
        RecordBatch {
            partition: 0,
            sequence,
            bytes: bytes.into(),
            records: vec![record::Record { key, value, time: self.time, offset }],
            headers: self.headers.iter().map(|(name, value)| (0, name.clone(), value.clone())).collect(),
        }
    }
}

/// A record of a case as its topic holds it.
///
/// # Errors
/// The record does not fit the topic's format.
pub(super) fn encode(record: &Record, schema: &Schema, topic: &TopicSpec) -> Result<Raw, String> {
    let mut key = write(&record.key, topic.key_format, schema.key.first()).map_err(|e| format!("key {e}"))?;
    if let (Some(key), Some(window)) = (&mut key, record.window) {
        if window.kind == WindowKind::Session {
            key.extend_from_slice(&window.end.to_be_bytes());
        }
        key.extend_from_slice(&window.start.to_be_bytes());
    }
    let headers = record.headers.iter().flatten().map(|header| {
        let value = header.value.as_ref().map(|text| STANDARD.decode(text)).transpose();
        value.map(|v| (header.key.clone(), v.map(Bytes::from))).map_err(|e| format!("header {}: {e}", header.key))
    });
    Ok(Raw {
        key,
        value: write(&record.value, topic.value_format, schema.value.first()).map_err(|e| format!("value {e}"))?,
        time: record.timestamp.unwrap_or(0),
        headers: headers.collect::<Result<_, _>>()?,
    })
}

fn write(json: &Json, format: Format, column: Option<&Column>) -> Result<Option<Vec<u8>>, String> {
    if json.is_null() {
        return Ok(None);
    }
    let text = || json.as_str().map_or_else(|| json.to_string(), str::to_owned);
    let misfit = |ty: &SqlType| format!("{json} is no {ty}");
    match format {
        Format::None => Ok(None),
        Format::Json => Ok(Some(json.to_string().into_bytes())),
        Format::Delimited { .. } => Ok(Some(text().into_bytes())),
        Format::Kafka => Ok(Some(match column.map(|c| &c.ty) {
            Some(ty @ SqlType::Int) => text().parse::<i32>().map_err(|_| misfit(ty))?.to_be_bytes().to_vec(),
            Some(ty @ SqlType::Bigint) => text().parse::<i64>().map_err(|_| misfit(ty))?.to_be_bytes().to_vec(),
            Some(ty @ SqlType::Double) => text().parse::<f64>().map_err(|_| misfit(ty))?.to_be_bytes().to_vec(),
            Some(ty @ SqlType::Bytes) => STANDARD.decode(text()).map_err(|_| misfit(ty))?,
            _ => text().into_bytes(),
        })),
    }
}

/// A topic's record as a case would say it.
///
/// # Errors
/// Its bytes are not of the topic's formats.
pub(super) fn decode(raw: &Raw, topic_name: &str, schema: &Schema, topic: &TopicSpec) -> Result<Record, String> {
    let (mut key, mut window) = (raw.key.as_deref(), None);
    if let (Some(bytes), Some(kind)) = (key, topic.window) {
        let (rest, bounds) = split_window(bytes, kind).ok_or("the key is too short to end in a window's bounds")?;
        let kind = if kind == KeyWindow::Session { WindowKind::Session } else { WindowKind::Time };
        (key, window) = (Some(rest), Some(Window { start: bounds.start, end: bounds.end, kind }));
    }
    let headers = raw
        .headers
        .iter()
        .map(|(name, value)| Header { key: name.clone(), value: value.as_ref().map(|v| STANDARD.encode(v)) });
    Ok(Record {
        topic: topic_name.into(),
        key: read(key, topic.key_format, schema.key.first()).map_err(|e| format!("key: {e}"))?,
        value: read(raw.value.as_deref(), topic.value_format, schema.value.first())
            .map_err(|e| format!("value: {e}"))?,
        timestamp: Some(raw.time),
        window,
        headers: Some(headers.collect()),
    })
}

fn read(bytes: Option<&[u8]>, format: Format, column: Option<&Column>) -> Result<Json, String> {
    let Some(bytes) = bytes else { return Ok(Json::Null) };
    let text = || String::from_utf8_lossy(bytes).into_owned();
    let length = |_| format!("{} bytes are of another type than declared", bytes.len());
    match format {
        Format::None => Ok(Json::Null),
        Format::Json => serde_json::from_slice(bytes).map_err(|e| format!("{e}: {}", text())),
        Format::Delimited { .. } => Ok(Json::String(text())),
        Format::Kafka => match column.map(|c| &c.ty) {
            Some(SqlType::Int) => bytes.try_into().map(|b| i32::from_be_bytes(b).into()).map_err(length),
            Some(SqlType::Bigint) => bytes.try_into().map(|b| i64::from_be_bytes(b).into()).map_err(length),
            Some(SqlType::Double) => {
                let value = f64::from_be_bytes(bytes.try_into().map_err(length)?);
                serde_json::from_str(&double_text(value)).map_err(|e| e.to_string())
            }
            Some(SqlType::Bytes) => Ok(Json::String(STANDARD.encode(bytes))),
            _ => Ok(Json::String(text())),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn records_are_read_back() {
        let column = |name: &str, ty| Column { name: name.into(), ty };
        let formats = [
            (Format::Kafka, json!(-7), Format::Json, json!({"A": 1.50, "B": null})),
            (Format::Kafka, json!(3), Format::Delimited { delimiter: ',' }, json!("x,\"y z\",")),
            (Format::Json, json!({"K": 1}), Format::None, Json::Null),
            (Format::Kafka, Json::Null, Format::Kafka, json!("dGV4dA==")),
        ];
        for (key_format, key, value_format, value) in formats {
            let schema = Schema { key: vec![column("K", SqlType::Int)], value: vec![column("V", SqlType::Bytes)] };
            let window = (!key.is_null()).then_some(Window { start: 5, end: 9, kind: WindowKind::Session });
            let topic = TopicSpec {
                window: window.map(|_| KeyWindow::Session),
                ..TopicSpec::new("t", key_format, value_format)
            };
            let record = Record { topic: "t".into(), key, value, timestamp: Some(4), window, headers: None };
            let raw = encode(&record, &schema, &topic).unwrap();
            let back = decode(&raw, "t", &schema, &topic).unwrap();
            assert_eq!((&back.key, &back.value, back.window), (&record.key, &record.value, record.window));
        }
    }
}
