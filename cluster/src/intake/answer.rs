//! What a query answers: a header, then rows for as long as there are any.

use tokio::sync::mpsc;
use weir_dataflow::row::{Column, Value};

/// Chunks that may wait between a query and its client; with more the query waits.
pub const ROOM: usize = 4;

/// Most rows of a chunk.
pub const CHUNK: usize = 1024;

/// The answer to a query.
#[derive(Debug)]
pub enum Answer {
    /// Of a SELECT.
    Rows(RowAnswer),
    /// Of PRINT: pieces of text.
    Text(mpsc::Receiver<String>),
}

/// The answer to a SELECT.
#[derive(Debug)]
pub struct RowAnswer {
    /// The query's id, for `/close-query` and SHOW QUERIES.
    pub id: String,
    /// The columns; true marks a key of the table that was pulled from.
    pub columns: Vec<(Column, bool)>,
    /// What it was asked of.
    pub kind: AnswerKind,
    /// The rows. Dropping it ends the query.
    pub events: mpsc::Receiver<Event>,
}

/// What a SELECT was asked of: how its answer ends differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerKind {
    /// A pull query on a table.
    PullTable,
    /// A pull query on a stream.
    PullStream,
    /// A push query.
    Push,
}

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Some rows, at most [`CHUNK`].
    Rows(Vec<AnswerRow>),
    /// No more rows, because of an error.
    Failed(String),
    /// No more rows: all are there, or the LIMIT is reached.
    End(Finish),
}

/// Why an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// LIMIT.
    Limit,
    /// There are no more.
    Complete,
}

/// A row of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct AnswerRow {
    /// One value a column.
    pub values: Vec<Value>,
    /// The row is gone: only its key's columns have values.
    pub tombstone: bool,
}

impl Finish {
    /// ksqlDB's words for it.
    pub fn message(self) -> &'static str {
        match self {
            Finish::Limit => "Limit Reached",
            Finish::Complete => "Query Completed",
        }
    }
}
