//! Rows of tables to parcels: what a declared table's records, or another table's changes, add to a table.

use super::group::{Grouping, add_args};
use super::parcels::{Names, Parcel, owner};
use super::port::Flow;
use super::table_changes::TableChanges;
use super::{SharedReports, steps};
use crate::arrange::{Accum, Accums, KeyList, PackedKeys, Place, Places};
use crate::plan::Pipeline as Steps;
use crate::plan::aggregate::AggregateFunction;
use crate::row::packed;
use crate::row::packer::Packer;
use crate::row::{Batch, Origin, Schema, SqlType, Value};
use arrow_array::ArrayRef;
use std::sync::Arc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::operator::Operator;

/// Columns with their types.
type Typed = Vec<(ArrayRef, SqlType)>;

/// The records of a declared table: the last record of a key is its row, a tombstone deletes it. The bounds of windowed
/// keys are part of them, behind their columns.
pub fn records(records: Flow<'_, Batch>, schema: Schema) -> Flow<'_, Parcel> {
    let peers = records.scope().peers() as u64;
    records.unary::<CapacityContainerBuilder<Vec<Parcel>>, _, _, _>(Pipeline, "Records", move |_, _| {
        move |input, output| {
            input.for_each(|time, batches| {
                let mut session = output.session(&time);
                for batch in batches.drain(..) {
                    let columns: Typed = (batch.columns.iter().zip(schema.columns()))
                        .filter_map(|(c, column)| c.as_ref().map(|c| (Arc::clone(c), column.ty.clone())))
                        .collect();
                    if columns.len() != schema.len() {
                        continue;
                    }
                    let (keys, values) = columns.split_at(schema.key.len());
                    let bounds = batch.columns.iter().skip(schema.len()).flatten();
                    let bounds = bounds.map(|c| (Arc::clone(c), SqlType::Bigint));
                    let keys = Packer::new(keys.iter().cloned().chain(bounds).collect());
                    let values = Packer::new(values.to_vec());
                    let mut parcels = Parcels::new(peers);
                    for row in (0..batch.len()).filter(|&row| !keys.all_null(row)) {
                        let deleted = batch.tombstones.as_ref().is_some_and(|t| t[row]);
                        let value = (!deleted).then(|| {
                            let mut value = Vec::new();
                            values.push(&mut value, row);
                            value.into_boxed_slice()
                        });
                        let accum = Accum::latest(batch.offsets[row], value, batch.times[row]);
                        parcels.add(accum, |key| keys.push(key, row));
                    }
                    session.give_iterator(parcels.done());
                }
            });
        }
    })
}

/// A table's rows after steps: a row that the steps drop is deleted.
pub fn rows<'scope>(
    changes: Flow<'scope, Arc<TableChanges>>,
    input: Schema,
    steps: Steps,
    output: Schema,
    view: &str,
    reports: &SharedReports,
) -> Flow<'scope, Parcel> {
    let side = move |changes: &TableChanges, new: bool, errors: &mut crate::plan::eval::EvalErrors| {
        let batch = batch(&input, changes, new);
        let batch = steps::apply(&steps.steps, batch, errors);
        let columns: Typed = batch
            .columns
            .iter()
            .zip(output.columns())
            .skip(output.key.len())
            .filter_map(|(c, column)| c.as_ref().map(|c| (Arc::clone(c), column.ty.clone())))
            .collect();
        (Packer::new(columns), batch)
    };
    each(changes, view, reports, move |(epoch, _), changes, parcels, errors| {
        let (_, old) = side(changes, false, errors);
        let (values, new) = side(changes, true, errors);
        let shown = |batch: &Batch| batch.offsets.iter().map(|&o| o as usize).collect::<std::collections::HashSet<_>>();
        let shown_before = shown(&old);
        let shown_after: std::collections::HashMap<usize, usize> =
            new.offsets.iter().enumerate().map(|(row, &o)| (o as usize, row)).collect();
        for (i, change) in changes.iter().enumerate() {
            let value = shown_after.get(&i).map(|&row| {
                let mut value = Vec::new();
                values.push(&mut value, row);
                value.into_boxed_slice()
            });
            // A join tells the end of a row also where there was none.
            let ended = change.old.is_none() && change.new.is_none();
            if value.is_some() || ended || shown_before.contains(&i) {
                let order = i64::try_from(epoch).unwrap_or(i64::MAX);
                parcels.add(Accum::latest(order, value, change.time), |key| key.extend_from_slice(change.key));
            }
        }
    })
}

/// GROUP BY of a table: a row that changes is taken back from its old group and added to its new one.
pub fn groups<'scope>(
    changes: Flow<'scope, Arc<TableChanges>>,
    input: Schema,
    steps: Steps,
    grouping: Grouping,
    view: &str,
    reports: &SharedReports,
) -> Flow<'scope, Parcel> {
    let empty = Accum::empty(&grouping.calls);
    each(changes, view, reports, move |(epoch, first), changes, parcels, errors| {
        for (new, sign) in [(false, -1), (true, 1)] {
            let batch = batch(&input, changes, new);
            let batch = steps::apply(&steps.steps, batch, errors);
            let input = steps::input(&batch);
            let columns: Typed =
                grouping.group.iter().map(|g| (g.expr.eval(&input, errors), g.expr.ty().clone())).collect();
            let args: Vec<Option<(ArrayRef, SqlType)>> = grouping
                .calls
                .iter()
                .filter(|c| c.function != AggregateFunction::CountRows)
                .map(|c| c.args.first().map(|a| (a.eval(&input, errors), a.ty().clone())))
                .collect();
            let keys = Packer::new(columns);
            for row in (0..batch.len()).filter(|&row| !keys.any_null(row)) {
                let mut accum = empty.clone();
                accum.rows = sign;
                accum.time = batch.times[row];
                // Of one change first what goes, then what comes.
                let position = 2 * (first + batch.offsets[row]) + i64::from(new);
                let place = (i64::try_from(epoch).unwrap_or(i64::MAX), u32::try_from(position).unwrap_or(u32::MAX), 0);
                if let Some(parts) = accum.parts.as_deref_mut() {
                    add_args(parts, &grouping.calls, &args, row, sign, place);
                }
                parcels.add(accum, |key| keys.push(key, row));
            }
        }
    })
}

/// Runs a function over every piece of changes, with its epoch and the position of its first change in that.
fn each<'scope>(
    changes: Flow<'scope, Arc<TableChanges>>,
    view: &str,
    reports: &SharedReports,
    mut function: impl FnMut((u64, i64), &TableChanges, &mut Parcels, &mut crate::plan::eval::EvalErrors) + 'static,
) -> Flow<'scope, Parcel> {
    let peers = changes.scope().peers() as u64;
    let (view, reports) = (view.to_owned(), reports.clone());
    changes.unary::<CapacityContainerBuilder<Vec<Parcel>>, _, _, _>(Pipeline, "Rows", move |_, _| {
        let mut next = (0, 0);
        move |input, output| {
            input.for_each(|time, data| {
                let epoch = time.least().copied().unwrap_or(0);
                if next.0 != epoch {
                    next = (epoch, 0);
                }
                let mut session = output.session(&time);
                for changes in data.drain(..) {
                    let (mut parcels, mut failed) = (Parcels::new(peers), steps::errors());
                    function(next, &changes, &mut parcels, &mut failed);
                    next.1 += changes.len() as i64;
                    reports.borrow_mut().evaluation(&view, &failed, &changes.times());
                    session.give_iterator(parcels.done());
                }
            });
        }
    })
}

/// The old or the new rows of changes as a batch, whose offsets are the changes' positions among these.
pub(super) fn batch(schema: &Schema, changes: &TableChanges, new: bool) -> Batch {
    let key_types: Vec<SqlType> = schema.key.iter().map(|c| c.ty.clone()).collect();
    let value_types: Vec<SqlType> = schema.value.iter().map(|c| c.ty.clone()).collect();
    let mut cells: Vec<Vec<Value>> = vec![Vec::new(); schema.len()];
    let (mut times, mut offsets) = (Vec::new(), Vec::new());
    for (i, change) in changes.iter().enumerate() {
        let Some(mut value) = (if new { change.new } else { change.old }) else { continue };
        let mut key = change.key;
        let row = packed::pop_all(&mut key, &key_types).into_iter().chain(packed::pop_all(&mut value, &value_types));
        cells.iter_mut().zip(row).for_each(|(column, cell)| column.push(cell));
        times.push(change.time);
        offsets.push(i as i64);
    }
    let columns = schema.columns().zip(&cells).map(|(c, cells)| Some(packed::column(&c.ty, cells.iter()))).collect();
    let origin = Origin { partition: 0, sequence: 0 };
    Batch { columns, times: times.into(), offsets: offsets.into(), tombstones: None, origin }
}

/// Parcels in the making, one a worker.
struct Parcels {
    parcels: Vec<(PackedKeys, Accums)>,
    scratch: Vec<u8>,
}

impl Parcels {
    fn new(peers: u64) -> Self {
        Parcels { parcels: (0..peers).map(|_| Default::default()).collect(), scratch: Vec::new() }
    }

    fn add(&mut self, accum: Accum, push_key: impl FnOnce(&mut Vec<u8>)) {
        self.scratch.clear();
        push_key(&mut self.scratch);
        let target = owner(&self.scratch, self.parcels.len() as u64);
        if let Some((keys, accums)) = self.parcels.get_mut(target as usize) {
            keys.push(&self.scratch);
            accums.push(accum);
        }
    }

    fn done(self) -> impl Iterator<Item = Parcel> {
        (0..).zip(self.parcels).filter(|(_, (_, accums))| !accums.is_empty()).map(|(target, (keys, accums))| {
            let mut places = Places::default();
            places.extend(Place::default(), accums.len());
            Parcel { groups: Names::Keys(keys), places, accums, ..Parcel::new(target, (0, 0), i64::MIN) }
        })
    }
}
