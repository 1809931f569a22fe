//! Where records come from, a batch at a time.
//!
//! A [`Source`] reads some partitions of one topic for one worker and knows its position in each. What it returns for
//! a position is always the same as long as the topic keeps it, so that a run can be repeated from saved positions.
//! `tests/sources.rs` holds what every source must do.

pub mod datagen;
pub mod file;
pub mod kafka;
mod line_ends;
pub mod lines;
pub mod memory;
pub mod partitions;

use crate::record::RecordBatch;
use std::path::PathBuf;

/// A reader of some partitions of a topic. It belongs to one worker, whose thread calls it.
pub trait Source: Send {
    /// The next records of one partition, as many as there are now within the limit, but at least one; `None` when
    /// there is none at the moment. Does not wait for records. Partitions take turns.
    ///
    /// Batches of a partition have consecutive sequence numbers over all workers that share it. A source that deals a
    /// partition's batches out to several workers (a file) may return batches without any record.
    ///
    /// # Errors
    /// When nothing can be read any more. What may pass, as a broker that is away, is no error: it is logged, and
    /// there are no records.
    fn poll(&mut self, limit: Limit) -> Result<Option<RecordBatch>, SourceError>;

    /// Where reading goes on in each partition that was found so far: behind the last batch that was returned. Once there
    /// was a batch, these are all partitions of this worker but those that are added later.
    fn positions(&self) -> Vec<Position>;

    /// Goes on from there. A partition that was not found yet starts there when it is; one that no position is given for
    /// is new then, and read from its beginning.
    fn seek(&mut self, position: Position);

    /// True when all that the topic had when it was last looked at has been returned. For a file that is for good.
    fn at_end(&self) -> bool;
}

/// How much one batch may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Records, at least 1.
    pub records: usize,
    /// Bytes of keys and values; a single record may be larger.
    pub bytes: usize,
}

impl Default for Limit {
    fn default() -> Self {
        Limit { records: 16 << 10, bytes: 1 << 20 }
    }
}

/// A place in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Position {
    /// The partition.
    pub partition: u32,
    /// Offset of the next record (for a file: a byte).
    pub offset: i64,
    /// Sequence number of the next batch.
    pub sequence: u64,
}

/// Which partitions of a topic, or batches of a file, a worker reads: every `workers`-th, starting with number `worker`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// This worker, from 0.
    pub worker: usize,
    /// All workers, of all processes.
    pub workers: usize,
}

impl Share {
    /// Everything, for a single worker.
    pub const ALL: Share = Share { worker: 0, workers: 1 };

    /// True when this worker reads number `n`.
    pub fn has(self, n: u64) -> bool {
        n % self.workers.max(1) as u64 == self.worker as u64
    }
}

/// Where reading starts when no position was saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the first record that the topic has.
    Earliest,
    /// With the first record that comes after the source was opened.
    Latest,
}

/// Why a source cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file.
    #[error("cannot read '{path}': {cause}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
    /// A line of a file that does not fit a batch.
    #[error("the line at byte {offset} of '{path}' is longer than 2 GB; split the file's lines")]
    Line {
        /// Which file.
        path: PathBuf,
        /// Where the line starts.
        offset: u64,
    },
    /// A line of a file that should be a record and is none.
    #[error("the line at byte {offset} of '{path}' is no record: {cause}; a record is {example}", example = lines::EXAMPLE)]
    Record {
        /// Which file.
        path: PathBuf,
        /// Where the line starts.
        offset: u64,
        /// What is wrong with it.
        cause: String,
    },
    /// Kafka.
    #[error(transparent)]
    Kafka(#[from] kafka::KafkaError),
}
