//! Records that could not be read, for the processing log.

use crate::record::{Record, RecordBatch, Slice};
use bytes::Bytes;
use std::sync::Arc;

/// What of a record was bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Its key's bytes.
    Key,
    /// Its value's bytes.
    Value,
    /// Both could be read, but the record cannot be a row: it has no usable time, or a table's has no key.
    Record,
}

/// A record that was left out, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Its topic.
    pub topic: Arc<str>,
    /// Its partition.
    pub partition: u32,
    /// Its offset.
    pub offset: i64,
    /// Its timestamp in milliseconds since the epoch.
    pub time: i64,
    /// What of it was bad.
    pub part: Part,
    /// What was wrong with it.
    pub reason: String,
    /// The first [`EXCERPT`] bytes of its key.
    pub key: Option<Bytes>,
    /// The first [`EXCERPT`] bytes of its value.
    pub value: Option<Bytes>,
}

/// So much of a rejected record's key and value is kept, in bytes.
pub const EXCERPT: usize = 1024;

impl Reject {
    /// Of a record of a batch.
    pub(crate) fn new(topic: &Arc<str>, batch: &RecordBatch, record: &Record, part: Part, reason: String) -> Self {
        // A copy, for a slice would keep the whole batch alive.
        let excerpt = |slice: Option<Slice>| {
            slice.map(|s| {
                let bytes = batch.slice(s);
                Bytes::copy_from_slice(&bytes[..bytes.len().min(EXCERPT)])
            })
        };
        Reject {
            topic: Arc::clone(topic),
            partition: batch.partition,
            offset: record.offset,
            time: record.time,
            part,
            reason,
            key: excerpt(record.key),
            value: excerpt(record.value),
        }
    }
}
