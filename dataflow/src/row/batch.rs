//! A few thousand records as columns.

use arrow_array::ArrayRef;
use arrow_buffer::ScalarBuffer;
use std::sync::Arc;

/// Where a batch's records come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// The topic's partition.
    pub partition: u32,
    /// Number of the batch within its partition, from 0 and without gaps, over all workers: a partition whose
    /// batches are dealt out to several workers (a file) is put in order by it again where order matters.
    pub sequence: u64,
}

/// Records of one partition, in the partition's order, as columns.
///
/// All parts have the same length. Cloning copies no data.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The columns of the schema that the batch belongs to, keys first; `None` where nothing reads the column. Of records
    /// with windowed keys, WINDOWSTART and WINDOWEND (BIGINT) stand behind them. One that a lookup brought may be
    /// [picked](super::picked).
    pub columns: Vec<Option<ArrayRef>>,
    /// ROWTIME of each record, in milliseconds since the epoch.
    pub times: ScalarBuffer<i64>,
    /// ROWOFFSET of each record: its offset in the partition (for a file, the byte where it starts).
    pub offsets: ScalarBuffer<i64>,
    /// For each record, whether its value is a tombstone (no value at all); `None`: none is.
    pub tombstones: Option<Arc<[bool]>>,
    /// Where the records come from.
    pub origin: Origin,
}

impl Batch {
    /// The number of records.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// The same without the columns of the first `width` that are not among these, ascending; `None`: all stay. Behind a
    /// schema's columns stand the bounds of windowed keys.
    pub fn narrowed(&self, columns: Option<&[usize]>, width: usize) -> Batch {
        let mut batch = self.clone();
        if let Some(kept) = columns {
            let all = batch.columns.iter_mut().take(width).enumerate();
            all.filter(|(i, _)| kept.binary_search(i).is_err()).for_each(|(_, column)| *column = None);
        }
        batch
    }

    /// True when it has no record.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }
}
