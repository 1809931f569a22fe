//! Filter and project: each batch on its own, on the worker that decoded it.

use super::SharedReports;
use super::port::Flow;
use crate::plan::eval::{EvalErrors, EvalInput};
use crate::plan::{Explode, Filter, NamedExpr, Step};
use crate::row::{Batch, Value, packed};
use crate::safepoint;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, BooleanArray, Int64Array, UInt32Array};
use arrow_buffer::ScalarBuffer;
use arrow_select::filter::FilterBuilder;
use arrow_select::nullif::nullif;
use arrow_select::take::take;
use std::ops::Range;
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
    let pick = |values: &ScalarBuffer<i64>| {
        let picked = predicate.filter(&Int64Array::new(values.clone(), None));
        picked.map(|p| p.as_primitive::<Int64Type>().values().clone()).unwrap_or_default()
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

/// A batch after these steps, which are none of them a lookup: that is an operator of its own.
pub fn apply(steps: &[Step], mut batch: Batch, errors: &mut EvalErrors) -> Batch {
    for step in steps {
        match step {
            Step::Filter(Filter { condition, columns }) => {
                let mask = condition.filter(&input(&batch), errors);
                batch = select(&batch.narrowed(Some(columns), usize::MAX), &mask);
            }
            Step::Project(columns) => {
                let columns = columns.iter().map(|c| Some(c.expr.eval_picked(&input(&batch), errors))).collect();
                batch.columns = columns;
            }
            Step::Explode(calls) => batch = explode(calls, &batch, errors),
            Step::Lookup(_) => {}
        }
    }
    batch
}

/// The rows that table functions make of each row.
fn explode(calls: &[Explode], batch: &Batch, errors: &mut EvalErrors) -> Batch {
    let args: Vec<ArrayRef> = calls.iter().map(|c| c.arg.eval(&input(batch), errors)).collect();
    let mut from: Vec<u32> = Vec::new();
    let mut added: Vec<Vec<Value>> = vec![Vec::new(); calls.len()];
    for row in 0..batch.len() {
        let made: Vec<Vec<Value>> =
            calls.iter().zip(&args).map(|(c, a)| c.function.rows(&packed::cell(a, c.arg.ty(), row))).collect();
        let most = made.iter().map(Vec::len).max().unwrap_or(0);
        from.extend(std::iter::repeat_n(u32::try_from(row).unwrap_or(u32::MAX), most));
        for (column, mut made) in added.iter_mut().zip(made) {
            made.resize(most, Value::Null);
            column.append(&mut made);
        }
    }
    let indices = UInt32Array::from(from);
    let repeat = |values: &ScalarBuffer<i64>| -> ScalarBuffer<i64> {
        indices.values().iter().map(|&i| values.get(i as usize).copied().unwrap_or(0)).collect()
    };
    let old = batch.columns.iter().map(|c| c.as_ref().and_then(|c| take(c, &indices, None).ok()));
    let new = calls.iter().zip(&added).map(|(c, values)| Some(packed::column(&c.ty, values.iter())));
    Batch {
        columns: old.chain(new).collect(),
        times: repeat(&batch.times),
        offsets: repeat(&batch.offsets),
        tombstones: None,
        origin: batch.origin,
    }
}

/// Projects rows of which some are tombstones: what reads a value column is null there.
fn project_tombstones(columns: &[NamedExpr], values: &Range<usize>, batch: &mut Batch, errors: &mut EvalErrors) {
    let Some(tombstones) = &batch.tombstones else { return };
    let absent: BooleanArray = tombstones.iter().map(|t| Some(*t)).collect();
    let project = |c: &NamedExpr| {
        let column = c.expr.eval(&input(batch), errors);
        let reads_value = c.expr.columns().iter().any(|i| values.contains(i));
        if reads_value { nullif(&column, &absent).ok() } else { Some(column) }
    };
    batch.columns = columns.iter().map(project).collect();
}

/// A stream after these steps. With the positions of the input's value columns, tombstones pass the one projection that
/// is the only step then.
pub fn render<'scope>(
    stream: Flow<'scope, Batch>,
    steps: Vec<Step>,
    keep_tombstones: Option<Range<usize>>,
    view: &str,
    reports: &SharedReports,
) -> Flow<'scope, Batch> {
    let (view, reports) = (view.to_owned(), reports.clone());
    stream.unary::<CapacityContainerBuilder<Vec<Batch>>, _, _, _>(Pipeline, "Steps", move |_, _| {
        move |input, output| {
            input.for_each(|time, batches| {
                let mut session = output.session(&time);
                for batch in batches.drain(..) {
                    safepoint::reached();
                    let mut failed = errors();
                    let times = batch.times.clone();
                    let mut batch = if keep_tombstones.is_some() { batch } else { without_tombstones(&batch) };
                    match (&keep_tombstones, steps.as_slice()) {
                        (Some(values), [Step::Project(columns)]) if batch.tombstones.is_some() => {
                            project_tombstones(columns, values, &mut batch, &mut failed);
                        }
                        _ => batch = apply(&steps, batch, &mut failed),
                    }
                    reports.borrow_mut().evaluation(&view, &failed, &times);
                    // An empty batch goes on: its place in the partition's order counts.
                    session.give(batch);
                }
            });
        }
    })
}
