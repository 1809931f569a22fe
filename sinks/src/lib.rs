//! The way out: changes as documents and records, delivered to Elasticsearch, Kafka, memory or the log.
//!
//! ```text
//! view ── ChangeBatch ──▶ delivery (queue, spill, retry) ── Chunk ──▶ Sink::accept, Sink::flush ──▶ the world
//!                                                                        └── Rejected ──▶ the processing log
//! ```
//!
//! A [`Sink`] knows how one kind of destination wants its rows and what its answers mean. [`delivery`] does what
//! is the same for all: it keeps what cannot be delivered yet, first in memory, then on disk, tries again, pauses,
//! stops and counts. Nothing in here knows plans, and no sink knows another.

pub mod delivery;
pub mod elasticsearch;
pub mod kafka;
pub mod log;
pub mod memory;
mod suggest;

#[cfg(test)]
mod conformance;

use serde::{Deserialize, Serialize};
use std::future::Future;
use weir_dataflow::plan::KeyWindow;
use weir_dataflow::row::Schema;
use weir_dataflow::views::change::{ChangeBatch, Row};

/// What is delivered: the changes of one view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The view's name.
    pub view: String,
    /// The topic of its changes, as connectors name it.
    pub topic: String,
    /// Its columns.
    pub schema: Schema,
    /// A table: a batch holds each key (and window) once, except that a session's tombstone and its new row can
    /// share a start. Otherwise a stream: each row stands for itself.
    pub table: bool,
    /// The windows of its keys.
    pub window: Option<KeyWindow>,
    /// Which history the epochs belong to: the time in seconds since 1970 when the view began to count them.
    ///
    /// The same after a restart that goes on from a checkpoint, a later one when the view starts from nothing.
    /// Document ids and versions are made of it and the epoch, so that what is sent twice is recognised, and a new
    /// history is never taken for an old one.
    pub generation: u32,
}

/// A run of a batch's rows: batches are cut so that no step has to hold a whole snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chunk {
    /// From this epoch.
    pub lower: u64,
    /// To before this one.
    pub upper: u64,
    /// Position of the first row in the batch.
    pub first_row: u64,
    /// No row of the batch comes after these.
    pub last: bool,
    /// The rows.
    pub rows: Vec<Row>,
}

impl From<ChangeBatch> for Chunk {
    fn from(batch: ChangeBatch) -> Self {
        Chunk { lower: batch.lower, upper: batch.upper, first_row: 0, last: true, rows: batch.rows.into_vec() }
    }
}

/// A destination.
///
/// The contract, which the tests run on every implementor:
/// - [`Sink::accept`] takes rows on and does no IO; [`Sink::flush`] delivers all that was accepted. Each accepted
///   row is counted once, as delivered, rejected or skipped, over all the flushes it took.
/// - A flush that fails leaves what was not delivered in the sink; the next flush tries exactly that again.
/// - After a flush that succeeded the destination shows the accepted rows; per key in the order of acceptance.
/// - Accepting the same rows again (a redelivery) changes nothing at destinations that keep rows by an id.
pub trait Sink: Send + 'static {
    /// Takes rows on. The next call comes only after a flush that succeeded, or together with others before it.
    fn accept(&mut self, chunk: Chunk);

    /// Delivers what was accepted and counts it in `progress`, also when it then fails.
    ///
    /// # Errors
    /// [`SinkError::Unavailable`] when trying again later can help, [`SinkError::Failed`] when somebody has to act.
    fn flush(&mut self, progress: &mut Progress) -> impl Future<Output = Result<(), SinkError>> + Send;
}

/// What a flush did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// Rows that the destination has.
    pub delivered: u64,
    /// Rows that need no delivery: tombstones where they are ignored, rows that a later one of the same key replaced
    /// before they were sent.
    pub skipped: u64,
    /// Rows that the destination will never take.
    pub rejected: Vec<Rejected>,
}

/// A row that the destination does not take, for the processing log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The view it comes from.
    pub view: String,
    /// The view's topic.
    pub topic: String,
    /// Why, in the destination's words.
    pub reason: String,
    /// The beginning of what was sent.
    pub document: String,
    /// ROWTIME of the row, in milliseconds since the epoch.
    pub time: i64,
}

/// Longest excerpt of a rejected document, in bytes.
const EXCERPT: usize = 1024;

impl Rejected {
    fn new(target: &Target, reason: impl Into<String>, document: &[u8], time: i64) -> Self {
        let end = document.len().min(EXCERPT);
        let mut text = String::from_utf8_lossy(&document[..end]).into_owned();
        if end < document.len() {
            text.push('…');
        }
        Rejected { view: target.view.clone(), topic: target.topic.clone(), reason: reason.into(), document: text, time }
    }
}

/// Why a flush did not deliver everything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SinkError {
    /// It can pass by itself: the server is away, overloaded, starting.
    #[error("{0}")]
    Unavailable(String),
    /// It stays until somebody changes something: a wrong password, a document that must not be malformed.
    #[error("{0}")]
    Failed(String),
}
