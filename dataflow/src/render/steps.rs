//! Filter and project: each batch on its own, on the worker that decoded it.

use super::SharedReports;
use super::port::Flow;
use crate::plan::Step;
use crate::plan::eval::{EvalErrors, EvalInput};
use crate::row::Batch;
use arrow_array::BooleanArray;
use arrow_select::filter::FilterBuilder;
use std::sync::Arc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::operator::Operator;

/// How many error messages one batch may leave.
const MESSAGES: usize = 20;

/// What an expression sees of a batch.
pub fn input(batch: &Batch) -> EvalInput<'_> {
    EvalInput {
        columns: &batch.columns,
        times: &batch.times,
        offsets: &batch.offsets,
        partition: batch.origin.partition,
    }
}

/// An error sink for one batch.
pub fn errors() -> EvalErrors {
    EvalErrors::new(MESSAGES)
}

/// The rows of a batch that a mask selects.
pub fn select(batch: &Batch, mask: &BooleanArray) -> Batch {
    let kept = mask.true_count();
    if kept == batch.len() {
        return batch.clone();
    }
    let predicate = FilterBuilder::new(mask).optimize().build();
    let pick = |values: &Arc<[i64]>| -> Arc<[i64]> {
        mask.values().set_indices().filter_map(|i| values.get(i).copied()).collect()
    };
    Batch {
        columns: batch.columns.iter().map(|c| c.as_ref().and_then(|c| predicate.filter(c).ok())).collect(),
        times: pick(&batch.times),
        offsets: pick(&batch.offsets),
        tombstones: batch
            .tombstones
            .as_ref()
            .map(|t| mask.values().set_indices().filter_map(|i| t.get(i).copied()).collect()),
        origin: batch.origin,
    }
}

/// Without the records that have no value.
pub fn without_tombstones(batch: &Batch) -> Batch {
    match &batch.tombstones {
        None => batch.clone(),
        Some(tombstones) => {
            let mut batch = select(batch, &tombstones.iter().map(|t| Some(!t)).collect());
            batch.tombstones = None;
            batch
        }
    }
}

/// A batch after these steps, which are all [`Step::Filter`] or [`Step::Project`]: a lookup is an operator of its own.
pub fn apply(steps: &[Step], mut batch: Batch, errors: &mut EvalErrors) -> Batch {
    for step in steps {
        match step {
            Step::Filter(condition) => {
                let mask = condition.filter(&input(&batch), errors);
                batch = select(&batch, &mask);
            }
            Step::Project(columns) => {
                let columns = columns.iter().map(|c| Some(c.expr.eval(&input(&batch), errors))).collect();
                batch.columns = columns;
            }
            Step::Lookup(_) => {}
        }
    }
    batch
}

/// A stream after these steps.
pub fn render<'scope>(
    stream: Flow<'scope, Batch>,
    steps: Vec<Step>,
    keep_tombstones: bool,
    view: &str,
    reports: &SharedReports,
) -> Flow<'scope, Batch> {
    let (view, reports) = (view.to_owned(), reports.clone());
    stream.unary::<CapacityContainerBuilder<Vec<Batch>>, _, _, _>(Pipeline, "Steps", move |_, _| {
        move |input, output| {
            input.for_each(|time, batches| {
                let mut session = output.session(&time);
                for batch in batches.drain(..) {
                    let mut failed = errors();
                    let times = Arc::clone(&batch.times);
                    let batch = if keep_tombstones { batch } else { without_tombstones(&batch) };
                    let batch = apply(&steps, batch, &mut failed);
                    reports.borrow_mut().evaluation(&view, &failed, &times);
                    // An empty batch goes on: its place in the partition's order counts.
                    session.give(batch);
                }
            });
        }
    })
}
