//! Plans to dataflows.
//!
//! Each declared source and each view is a *node*: a timely dataflow of its own with one way in for each input
//! ([`port::Inlet`]) and one way out ([`port::Outlet`]), so nodes come and go while data flows. Between nodes travel
//! column [`Batch`](crate::row::Batch)es (streams) or [`TableChanges`](table_changes::TableChanges) (tables), each at its epoch.
//!
//! ```text
//! stream source ──────────── Batch ───▶ steps ─▶ lookup ─▶ steps ──▶ stream view ── Batch ──▶ …
//!                                          ▲                  │
//! table source ─▶ keyed ── TableChanges ───┘                  ▼
//!                                               group ▶ partial accumulators ═exchange═▶ keyed ── TableChanges ─▶ …
//! ```
//!
//! Where it matters what came before a batch, [`turns`] puts a partition's batches in order, whatever workers have them.
//! [`epochs`] waits until an epoch is complete.
//!
//! A join that keeps state is a node too, whose rows other nodes read: [`arrivals`] and [`within`] join streams, [`paired`]
//! tables.
//!
//! [`steps`] are stateless and run where a record was decoded; [`lookup`] joins with a table as of the epoch; [`group`]
//! folds a batch into partial accumulators before anything crosses workers; [`keyed`] is the one operator with state: a
//! [`Store`](crate::arrange::Store) that takes partial accumulators and tells, when somebody listens, what changed.

pub mod arrivals;
mod changes;
pub mod epochs;
pub mod finals;
pub mod finish;
pub mod group;
pub mod keyed;
pub mod lookup;
pub mod paired;
pub mod parcels;
pub mod port;
pub mod sessions;
pub mod steps;
mod streaks;
pub mod table_changes;
pub mod tables;
pub mod turns;
mod updates;
pub mod windows;
pub mod within;

use std::cell::RefCell;
use std::rc::Rc;

/// What a worker's dataflows have to report beside their results.
#[derive(Debug, Default)]
pub struct Reports {
    /// Expressions that failed for a row, by view: a few of the messages, with ROWTIME of the row.
    pub errors: Vec<(String, String, i64)>,
    /// How many failed, by view.
    pub failed: std::collections::BTreeMap<String, u64>,
    /// Records that came too late for all their windows, by view.
    pub late: std::collections::BTreeMap<String, u64>,
    /// Bytes handed to other workers.
    pub exchanged: u64,
}

/// Shared by the operators of one worker.
pub type SharedReports = Rc<RefCell<Reports>>;

/// How many error messages are kept between two looks at [`Reports::errors`].
const ERRORS_KEPT: usize = 1000;

impl Reports {
    /// Notes expressions that failed.
    pub fn evaluation(&mut self, view: &str, errors: &crate::plan::eval::EvalErrors, times: &[i64]) {
        if errors.count == 0 {
            return;
        }
        *self.failed.entry(view.to_owned()).or_default() += errors.count;
        let room = ERRORS_KEPT.saturating_sub(self.errors.len());
        self.errors.extend(
            errors
                .entries
                .iter()
                .take(room)
                .map(|e| (view.to_owned(), e.message.clone(), times.get(e.row).copied().unwrap_or(-1))),
        );
    }
}
