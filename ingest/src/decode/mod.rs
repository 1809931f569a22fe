//! Records to column batches.
//!
//! A [`Decoder`] belongs to one declared stream or table. It takes out of each record the columns that are demanded,
//! straight into Arrow arrays, and checks the other declared ones, because one bad column makes ksqlDB leave out the
//! whole record. Records that are left out are returned as [`Reject`]s: nothing is lost silently.
//!
//! ```text
//! record's key    ── JSON, KAFKA, DELIMITED ──▶ key columns   ┐
//! record's value  ── JSON, KAFKA, DELIMITED ──▶ value columns ├─▶ row::Batch, or a Reject
//! headers, timestamp ─────────────────────────▶ header columns, ROWTIME ┘
//! ```
//!
//! JSON goes through two passes over bytes that stay in the cache: [`object`] finds where the values lie, [`coerce`]
//! reads them. Records that look alike go through them some dozens at a time ([`skim`]), the others one by one; what they
//! become is the same. Left out on purpose: numbers in hexadecimal floating point and digits that are not ASCII, which Java
//! would read.

mod coerce;
mod column;
mod delimited;
mod node;
mod number;
mod object;
mod part;
mod primitive;
mod quotes;
mod reject;
mod scan;
mod skim;
mod window;

pub use reject::{EXCERPT, Part, Reject};
pub use window::split_window;

use crate::record::{Record, RecordBatch, Slice};
use arrow_array::{ArrayRef, Int64Array};
use column::ColumnBuilder;
use part::{Fault, PartReader};
use std::sync::Arc;
use weir_dataflow::plan::{KeyWindow, Source, TimestampColumn};
use weir_dataflow::row::datetime::Pattern;
use weir_dataflow::row::{Batch, Column, Origin, Value};
use weir_dataflow::views::change::Bounds;

/// How records differ from what Kafka would deliver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DecodeOptions {
    /// Records have no key of their own: the key columns are fields of the (JSON) value too.
    pub keys_from_value: bool,
    /// A record's timestamp, in milliseconds since the epoch, is this field of its JSON value. A stream's record without
    /// it is rejected; a table's keeps the time that its source gave it.
    pub timestamp_field: Option<String>,
}

/// Reads the records of one declared stream or table.
pub struct Decoder {
    topic: Arc<str>,
    table: bool,
    columns: Vec<Column>,
    demanded: Vec<bool>,
    key: PartReader,
    value: PartReader,
    window: Option<KeyWindow>,
    timestamp: Option<TimestampColumn>,
    /// The compiled format of the timestamp column, when it is a STRING; or what is wrong with it.
    pattern: Option<Result<Pattern, String>>,
    /// Header columns: position in the schema and the header's name (`None`: all headers).
    headers: Vec<(usize, Option<String>)>,
    keys_from_value: bool,
}

impl Decoder {
    /// For records as Kafka delivers them; no column is demanded yet.
    pub fn new(source: &Source) -> Self {
        Decoder::with_options(source, &DecodeOptions::default())
    }

    /// For records that come from elsewhere.
    pub fn with_options(source: &Source, options: &DecodeOptions) -> Self {
        let topic = &source.topic;
        let columns: Vec<Column> = source.schema.columns().cloned().collect();
        let keys = source.schema.key.len();
        let is_header = |c: &usize| topic.headers.iter().any(|(h, _)| h == c);
        let value_columns: Vec<usize> = (keys..columns.len()).filter(|c| !is_header(c)).collect();
        let bare = !topic.wrap_single_value && value_columns.len() == 1;
        let (key, value) = if options.keys_from_value {
            let all = (0..keys).chain(value_columns).collect();
            (
                PartReader::nothing(Part::Key),
                PartReader::new(Part::Value, topic.value_format, all, &columns, false, &options.timestamp_field),
            )
        } else {
            (
                PartReader::new(Part::Key, topic.key_format, (0..keys).collect(), &columns, keys == 1, &None),
                PartReader::new(
                    Part::Value,
                    topic.value_format,
                    value_columns,
                    &columns,
                    bare,
                    &options.timestamp_field,
                ),
            )
        };
        let mut value = value;
        value.time_required = !source.table;
        let mut decoder = Decoder {
            topic: topic.topic.as_str().into(),
            table: source.table,
            demanded: vec![false; columns.len()],
            columns,
            key,
            value,
            window: topic.window,
            timestamp: topic.timestamp.clone(),
            pattern: topic.timestamp.as_ref().and_then(|t| t.format.as_deref()).map(Pattern::new),
            headers: topic.headers.clone(),
            keys_from_value: options.keys_from_value,
        };
        decoder.demand(&[]);
        decoder
    }

    /// From now on batches have these columns of the schema, beside those that were demanded before.
    pub fn demand(&mut self, columns: &[usize]) {
        for &column in columns {
            if let Some(demanded) = self.demanded.get_mut(column) {
                *demanded = true;
            }
        }
        let built: Vec<bool> = (0..self.columns.len()).map(|c| self.builds(c)).collect();
        self.key.plan(&self.columns, &built);
        self.value.plan(&self.columns, &built);
    }

    /// The column is needed, for the batch or for its times.
    fn builds(&self, column: usize) -> bool {
        self.demanded.get(column) == Some(&true) || self.timestamp.as_ref().is_some_and(|t| t.column == column)
    }

    /// The records as columns. Those that cannot be read are added to `rejects`.
    pub fn decode(&mut self, batch: &RecordBatch, rejects: &mut Vec<Reject>) -> Batch {
        let n = batch.records.len();
        let mut builders: Vec<Option<ColumnBuilder>> = (self.columns.iter().enumerate())
            .map(|(i, c)| self.builds(i).then(|| ColumnBuilder::new(&c.ty, n)))
            .collect();
        let (mut times, mut offsets) = (Vec::with_capacity(n), Vec::with_capacity(n));
        let mut tombstones: Option<Vec<bool>> = None;
        let mut bounds = Vec::new();
        let mut headers = 0;
        // Reading can make text longer than it was, but never four times.
        let may_overflow = batch.bytes.len() > i32::MAX as usize / 4;
        let one_by_one = may_overflow || !self.reads_alike();

        let mut next = 0;
        while let Some(record) = batch.records.get(next) {
            let i = next;
            let alike = if one_by_one { 0 } else { self.alike(batch, next, &mut builders, &mut times) };
            if alike > 0 {
                next += alike;
                offsets.extend(batch.records[i..next].iter().map(|r| r.offset));
                if let Some(tombstones) = &mut tombstones {
                    tombstones.resize(times.len(), false);
                }
                continue;
            }
            next += 1;
            let mut result = self.record(batch, record, &mut builders);
            if !self.headers.is_empty() {
                let first = headers;
                while batch.headers.get(headers).is_some_and(|(r, ..)| *r as usize <= i) {
                    headers += 1;
                }
                let tombstone = matches!(result, Ok((_, true)));
                self.push_headers(&batch.headers[first..headers], tombstone, &mut builders);
            }
            if may_overflow && builders.iter().flatten().any(|b| b.text_bytes() > i32::MAX as usize) {
                result = Err(Fault::new(Part::Record, "the batch before it has 2 GB of text in one column".into()));
            }
            match result {
                Ok((time, tombstone)) => {
                    if tombstone && tombstones.is_none() {
                        tombstones = Some(vec![false; times.len()]);
                    }
                    if let Some(tombstones) = &mut tombstones {
                        tombstones.push(tombstone);
                    }
                    times.push(time);
                    offsets.push(record.offset);
                    if let Some(window) = self.window {
                        let key = record.key.and_then(|s| batch.bytes.get(s.range()));
                        bounds.push(key.and_then(|key| split_window(key, window)).map(|(_, bounds)| bounds));
                    }
                }
                Err(fault) => {
                    builders.iter_mut().flatten().for_each(|b| b.truncate(times.len()));
                    rejects.push(Reject::new(&self.topic, batch, record, fault.part, fault.reason));
                }
            }
        }
        let mut columns: Vec<Option<ArrayRef>> = (builders.into_iter().zip(&self.demanded))
            .map(|(builder, demanded)| builder.filter(|_| *demanded).map(ColumnBuilder::finish))
            .collect();
        if self.window.is_some() {
            for bound in [|b: Bounds| b.start, |b: Bounds| b.end] {
                let column: Int64Array = bounds.iter().map(|b| b.map(bound)).collect();
                columns.push(Some(Arc::new(column)));
            }
        }
        Batch {
            columns,
            times: times.into(),
            offsets: offsets.into(),
            tombstones: tombstones.map(Into::into),
            origin: Origin { partition: batch.partition, sequence: batch.sequence },
        }
    }

    /// Whether nothing is asked for that only one record at a time can tell.
    fn reads_alike(&self) -> bool {
        let time = |t: &TimestampColumn| t.format.is_none() && self.value.holds(t.column);
        self.headers.is_empty() && self.window.is_none() && self.timestamp.as_ref().is_none_or(time)
    }

    /// Appends records from `first` on to the builders and their times, as many as can be read together: how many, which may
    /// be none.
    fn alike(
        &mut self,
        batch: &RecordBatch,
        first: usize,
        builders: &mut [Option<ColumnBuilder>],
        times: &mut Vec<i64>,
    ) -> usize {
        let records = batch.records.get(first..).unwrap_or_default();
        let values = records.iter().map_while(|r| r.value).map(Slice::range);
        let mut count = self.value.read_alike(&batch.bytes, values);
        let before = times.len();
        while count > 0
            && let Err(fit) = self.push_alike(&batch.bytes, &records[..count], builders, times)
        {
            builders.iter_mut().flatten().for_each(|b| b.truncate(before));
            times.truncate(before);
            self.value.refuse_alike(fit);
            count = fit;
        }
        count
    }

    /// Appends records whose values were read together.
    ///
    /// # Errors
    /// The first of them, by its number, that has to be read by itself; what was appended is of no use then.
    fn push_alike(
        &mut self,
        all: &[u8],
        records: &[Record],
        builders: &mut [Option<ColumnBuilder>],
        times: &mut Vec<i64>,
    ) -> Result<(), usize> {
        let before = times.len();
        if !self.key.is_empty() {
            for (i, record) in records.iter().enumerate() {
                let key = record.key.map(Slice::range);
                let has_key = self.key.read(all, key, &self.columns, builders).map_err(|_| i)?;
                if self.table && !has_key {
                    return Err(i);
                }
            }
        }
        self.value.push_alike(all, records.len(), &self.columns, builders, times)?;
        if let Some(timestamp) = &self.timestamp {
            times.truncate(before);
            let builder = builders.get(timestamp.column).and_then(Option::as_ref).ok_or(0_usize)?;
            for i in 0..records.len() {
                times.push(builder.long(before + i).ok_or(i)?);
            }
        } else if times.len() == before {
            times.extend(records.iter().map(|r| r.time));
        }
        times[before..].iter().position(|t| *t < 0).map_or(Ok(()), Err)
    }

    /// Appends one record to the builders, header columns apart: its ROWTIME and whether it is a tombstone.
    #[inline(always)]
    fn record(
        &mut self,
        batch: &RecordBatch,
        record: &Record,
        builders: &mut [Option<ColumnBuilder>],
    ) -> Result<(i64, bool), Fault> {
        let all = &batch.bytes[..];
        let mut key = record.key.map(Slice::range);
        if let (Some(range), Some(window)) = (&mut key, self.window) {
            let bytes = all.get(range.clone()).unwrap_or_default();
            let Some((rest, _)) = split_window(bytes, window) else {
                return Err(Fault::new(Part::Key, "it is too short to end in a window's bounds".into()));
            };
            range.end = range.start + rest.len();
        }
        let has_key = self.key.read(all, key, &self.columns, builders)?;
        let has_value = self.value.read(all, record.value.map(Slice::range), &self.columns, builders)?;
        if self.table && !(if self.keys_from_value { has_value } else { has_key }) {
            return Err(Fault::new(Part::Record, "it has no key, which a table's record must have".into()));
        }
        Ok((self.time(record, has_value, builders)?, !has_value))
    }

    /// ROWTIME of the record that was appended last.
    #[inline(always)]
    fn time(&self, record: &Record, has_value: bool, builders: &[Option<ColumnBuilder>]) -> Result<i64, Fault> {
        let time = match (&self.timestamp, self.value.time()) {
            (Some(timestamp), _) => self.column_time(timestamp, record, has_value, builders)?,
            (None, Some(time)) => time,
            (None, None) => record.time,
        };
        if time < 0 {
            return Err(Fault::new(Part::Record, format!("its timestamp is negative: {time}")));
        }
        Ok(time)
    }

    fn column_time(
        &self,
        timestamp: &TimestampColumn,
        record: &Record,
        has_value: bool,
        builders: &[Option<ColumnBuilder>],
    ) -> Result<i64, Fault> {
        let name = self.columns.get(timestamp.column).map_or("", |c| &c.name);
        let Some(builder) = builders.get(timestamp.column).and_then(Option::as_ref) else {
            return Ok(record.time);
        };
        // A tombstone has no columns to take its time from.
        let in_value = !self.key.holds(timestamp.column);
        if in_value && !has_value {
            return Ok(record.time);
        }
        let time = match (&self.pattern, builder.last_text()) {
            (Some(pattern), Some(text)) => {
                let time = pattern.as_ref().map_err(String::clone).and_then(|p| p.parse_timestamp(text, "UTC"));
                Some(time.map_err(|e| Fault::new(Part::Record, format!("its timestamp column `{name}`: {e}")))?)
            }
            _ => builder.last_long(),
        };
        time.ok_or_else(|| Fault::new(Part::Record, format!("its timestamp column `{name}` is null")))
    }

    /// Appends the header columns of one record.
    fn push_headers(
        &self,
        headers: &[(u32, String, Option<bytes::Bytes>)],
        tombstone: bool,
        builders: &mut [Option<ColumnBuilder>],
    ) {
        let bytes = |v: &Option<bytes::Bytes>| v.as_ref().map_or(Value::Null, |b| Value::Bytes(b[..].into()));
        for (column, wanted) in &self.headers {
            let Some(builder) = builders.get_mut(*column).and_then(Option::as_mut) else {
                continue;
            };
            builder.push(match wanted {
                _ if tombstone => Value::Null,
                Some(name) => {
                    headers.iter().rev().find(|(_, n, _)| n == name).map_or(Value::Null, |(_, _, v)| bytes(v))
                }
                None => Value::Array(
                    headers
                        .iter()
                        .map(|(_, n, v)| Value::Struct([Value::String(n.as_str().into()), bytes(v)].into()))
                        .collect(),
                ),
            });
        }
    }
}
