//! Records as bytes, a batch of one partition at a time.

use bytes::Bytes;
use std::ops::Range;

/// Where a key or value lies in [`RecordBatch::bytes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Slice {
    /// The same as a range of bytes.
    #[inline]
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// One record of a batch.
#[derive(Clone, Debug)]
pub struct Record {
    /// The key's bytes; `None`: no key.
    pub key: Option<Slice>,
    /// The value's bytes; `None`: a tombstone.
    pub value: Option<Slice>,
    /// The record's timestamp in milliseconds since the epoch.
    pub time: i64,
    /// Its offset in the partition.
    pub offset: i64,
}

/// Records of one partition, in order, in one piece of memory.
#[derive(Clone, Debug)]
pub struct RecordBatch {
    /// The partition.
    pub partition: u32,
    /// Number of the batch within the partition, see `weir_dataflow::row::Origin`.
    pub sequence: u64,
    /// All keys and values.
    pub bytes: Bytes,
    /// The records.
    pub records: Vec<Record>,
    /// Headers of record `i` as (record, name, value); empty when there is none.
    pub headers: Vec<(u32, String, Option<Bytes>)>,
}

impl RecordBatch {
    /// The bytes of a key or value; none when the slice is not of this batch.
    pub fn slice(&self, slice: Slice) -> &[u8] {
        self.bytes.get(slice.range()).unwrap_or_default()
    }
}
