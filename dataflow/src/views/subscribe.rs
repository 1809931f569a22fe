//! A subscription: every change, in closed batches, at one place.

use super::change::{Bounds, ChangeBatch, Row};
use super::peek::Unpack;
use super::rows::Rows;
use crate::engine::Deliver;
use crate::render::port::Flow;
use crate::render::table_changes::{TableChange, TableChanges};
use crate::row::{Batch, Schema, Value, packed};
use arrow_array::cast::AsArray;
use arrow_array::{Array, Int64Array};
use std::collections::BTreeMap;
use std::sync::Arc;
use timely::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::operator::Operator;

/// A stream's rows that came together, with their place in the order of an epoch: partition and batch.
type Piece = ((u32, u64), Vec<Row>);

/// Gives a table's changes to `deliver`, see [`collect`]. `first`: the epoch of its snapshot, in which what was on its way then
/// also comes; of a row, the last.
pub fn changes(changes: Flow<'_, Arc<TableChanges>>, schema: &Schema, first: Option<u64>, deliver: Option<Deliver>) {
    let (unpack, peers) = (Arc::new(Unpack::new(schema)), changes.scope().peers());
    let in_order =
        move |epoch, pieces| Rows::packed(table_in_order(pieces, peers, first == Some(epoch)), Arc::clone(&unpack));
    collect(changes, in_order, deliver);
}

/// Gives a stream's rows to `deliver`, see [`collect`]. Unless it is `rekeyed`, several key columns that are all null are no
/// key at all: they come from a record without one.
pub fn records(batches: Flow<'_, Batch>, schema: &Schema, rekeyed: bool, deliver: Option<Deliver>) {
    let schema = schema.clone();
    let piece = move |batch: Batch| {
        let mut rows = rows(&batch, &schema);
        if !rekeyed && schema.key.len() > 1 {
            rows.iter_mut().filter(|r| r.key.iter().all(Value::is_null)).for_each(|r| r.key.clear());
        }
        ((batch.origin.partition, batch.origin.sequence), rows)
    };
    let pieces = batches.unary::<CapacityContainerBuilder<Vec<Piece>>, _, _, _>(Pipeline, "To rows", move |_, _| {
        move |input, output| {
            input.for_each(|time, data| {
                let pieces = data.drain(..).map(&piece).filter(|(_, rows)| !rows.is_empty());
                output.session(&time).give_iterator(pieces);
            });
        }
    });
    collect(pieces, |_, pieces| Rows::from(stream_in_order(pieces)), deliver);
}

/// The records of a batch as rows.
pub fn rows(batch: &Batch, schema: &Schema) -> Vec<Row> {
    let bounds: Vec<&Int64Array> =
        batch.columns.iter().skip(schema.len()).flatten().filter_map(|c| c.as_primitive_opt()).collect();
    let window = |row: usize| match bounds.as_slice() {
        [start, end] if start.is_valid(row) => Some(Bounds { start: start.value(row), end: end.value(row) }),
        _ => None,
    };
    (0..batch.len())
        .map(|row| {
            let mut cells = schema.columns().zip(&batch.columns).map(|(column, cells)| {
                cells.as_ref().map_or(Value::Null, |cells| packed::cell(cells, &column.ty, row))
            });
            let key = cells.by_ref().take(schema.key.len()).collect();
            let deleted = batch.tombstones.as_ref().is_some_and(|t| t[row]);
            Row { key, window: window(row), value: (!deleted).then(|| cells.collect()), time: batch.times[row] }
        })
        .collect()
}

/// A stream's rows in their order.
fn stream_in_order(mut pieces: Vec<Piece>) -> Vec<Row> {
    pieces.sort_by_key(|(order, _)| *order);
    let mut rest = pieces.into_iter().map(|(_, rows)| rows);
    let mut rows = rest.next().unwrap_or_default();
    rest.for_each(|more| rows.extend(more));
    rows
}

/// A table's changes in one order. A key's come from one worker, in order: those of several workers by key are in an order,
/// too. `first`: of a row, the last.
fn table_in_order(pieces: Vec<Arc<TableChanges>>, peers: usize, first: bool) -> Vec<Arc<TableChanges>> {
    if !first && (peers == 1 || pieces.len() == 1) {
        return pieces;
    }
    let mut all: Vec<TableChange<'_>> = pieces.iter().flat_map(|changes| changes.iter()).collect();
    if first {
        all.reverse();
        all.sort_by_key(|change| (change.key, change.window));
        all.dedup_by_key(|change| (change.key, change.window));
    } else {
        all.sort_by_key(|change| change.key);
    }
    vec![Arc::new(all.into_iter().collect())]
}

/// Brings all workers' pieces to worker 0, and gives each closed epoch with some, put `in_order`, and each stretch without, to
/// `deliver` there.
fn collect<P: ExchangeData>(
    pieces: Flow<'_, P>,
    mut in_order: impl FnMut(u64, Vec<P>) -> Rows + 'static,
    mut deliver: Option<Deliver>,
) {
    let mut lower = 0;
    let mut waiting: BTreeMap<u64, Vec<P>> = BTreeMap::new();
    pieces.unary_frontier::<CapacityContainerBuilder<Vec<()>>, _, _, _>(
        Exchange::new(|_: &P| 0),
        "Deliver",
        move |_, _| {
            move |(input, frontier), _output| {
                input.for_each(|time, data| {
                    if let Some(epoch) = time.least() {
                        waiting.entry(*epoch).or_default().append(data);
                    }
                });
                let upper = frontier.frontier().first().copied().unwrap_or(u64::MAX);
                if upper <= lower {
                    return;
                }
                let later = waiting.split_off(&upper);
                let mut hand_over = |upper: u64, rows: Rows| {
                    let lower = std::mem::replace(&mut lower, upper);
                    if let Some(deliver) = deliver.as_mut().filter(|_| lower < upper) {
                        deliver(ChangeBatch { lower, upper, rows });
                    }
                };
                // An epoch a batch, although several may close at once: a row has one value in a batch, and what is
                // named by its epoch has the same name however late it comes.
                for (epoch, pieces) in std::mem::replace(&mut waiting, later) {
                    hand_over(epoch + 1, in_order(epoch, pieces));
                }
                hand_over(upper, Rows::from(Vec::new()));
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::packed_key;
    use crate::render::port::Inlet;
    use crate::row::{Column, SqlType};
    use std::cell::RefCell;
    use std::rc::Rc;

    /// What is delivered of values of one row at these epochs, to a subscription from the epoch `at`.
    fn delivered(at: u64, values: &'static [(u64, i32)]) -> Vec<String> {
        let batches = timely::execute_directly(move |worker| {
            let seen = Rc::new(RefCell::new(Vec::new()));
            let seeing = Rc::clone(&seen);
            let mut inlet = worker.dataflow::<u64, _, _>(|scope| {
                let (inlet, told) = Inlet::new(scope, at);
                let column = |name: &str| vec![Column { name: name.into(), ty: SqlType::Int }];
                let schema = Schema { key: column("K"), value: column("V") };
                changes(told, &schema, Some(at), Some(Box::new(move |batch| seeing.borrow_mut().push(batch))));
                inlet
            });
            inlet.begin();
            for (epoch, value) in values {
                let (key, new) = (packed_key(&[Value::Int(1)]), packed_key(&[Value::Int(*value)]));
                let change = TableChange { key: &key, window: None, old: None, new: Some(&new), time: 0 };
                inlet.send(*epoch, Arc::new([change].into_iter().collect()));
            }
            // Nothing runs in between, as on a machine that stands still.
            inlet.advance(7);
            for _ in 0..10 {
                worker.step();
            }
            seen.borrow_mut().drain(..).collect::<Vec<ChangeBatch>>()
        });
        let with_rows = batches.into_iter().filter(|batch| !batch.rows.is_empty());
        let tell = |batch: ChangeBatch| {
            let values: Vec<_> = batch.rows.into_vec().into_iter().filter_map(|row| row.value).flatten().collect();
            format!("{}..{} {values:?}", batch.lower, batch.upper)
        };
        with_rows.map(tell).collect()
    }

    #[test]
    fn epochs_that_close_at_once_are_batches_of_their_own() {
        assert_eq!(delivered(0, &[(3, 30), (2, 20)]), ["0..3 [Int(20)]", "3..4 [Int(30)]"]);
    }

    #[test]
    fn what_was_on_its_way_comes_once() {
        assert_eq!(delivered(5, &[(2, 20), (3, 30), (6, 60)]), ["0..6 [Int(30)]", "6..7 [Int(60)]"]);
    }
}
