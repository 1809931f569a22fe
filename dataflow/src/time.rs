//! Windows and lateness, as arithmetic. All times are milliseconds since the epoch, all spans milliseconds.
//!
//! The rules are ksqlDB's: windows are aligned to 0, none starts below 0; a record is late for a window that
//! ended `grace` or more before the greatest time seen so far in the record's partition.

use serde::{Deserialize, Serialize};

/// Kind and sizes of a window clause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WindowSpec {
    /// Windows of one size, one after the other.
    Tumbling {
        /// Size in ms, at least 1.
        size: i64,
    },
    /// Windows of one size, a new one every `advance`.
    Hopping {
        /// Size in ms, at least 1.
        size: i64,
        /// Advance in ms, from 1 to `size`.
        advance: i64,
    },
    /// A session ends when no record of its key came for `gap`; exactly `gap` still belongs to it.
    Session {
        /// Gap in ms.
        gap: i64,
    },
}

/// How long after its end a window still takes records, in ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Grace(pub i64);
