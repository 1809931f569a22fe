//! The stream-table join: each stream row with the table's row as of the stream row's epoch.
//!
//! Every worker has a copy of what the join reads of the table, so clicks do not cross workers; the table's changes are
//! told to all. A batch waits until the table has closed the batch's epoch: changes of an epoch come before its stream
//! rows, and a later change never touches what was joined.

use super::port::Flow;
use super::{SharedReports, TableChange, steps};
use crate::plan::Lookup;
use crate::row::packed::{self, Packer};
use crate::row::{Batch, SqlType, Value};
use crate::sql::ast::JoinKind;
use arrow_array::{ArrayRef, BooleanArray};
use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::sync::Arc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::operator::Operator;

/// What the join reads of a table: by packed key, the values of [`Lookup::columns`].
struct Copy {
    lookup: Lookup,
    key_types: Vec<SqlType>,
    value_types: Vec<SqlType>,
    rows: HashMap<Box<[u8]>, Box<[Value]>, foldhash::fast::FixedState>,
}

impl Copy {
    fn new(lookup: Lookup) -> Self {
        let key_types = lookup.schema.key.iter().map(|c| c.ty.clone()).collect();
        let value_types = lookup.schema.value.iter().map(|c| c.ty.clone()).collect();
        Copy { lookup, key_types, value_types, rows: HashMap::default() }
    }

    fn update(&mut self, change: &TableChange) {
        match &change.new {
            None => {
                self.rows.remove(&change.key);
            }
            Some(value) => {
                let (mut key, mut rest) = (&change.key[..], &value[..]);
                let mut row = packed::pop_all(&mut key, &self.key_types);
                row.extend(packed::pop_all(&mut rest, &self.value_types));
                row.push(Value::Bigint(change.time));
                let read = self.lookup.columns.iter().map(|&c| row.get(c).cloned().unwrap_or(Value::Null)).collect();
                self.rows.insert(change.key.clone(), read);
            }
        }
    }

    /// A batch with the table's columns behind its own; an inner join leaves out the rows that find nothing.
    fn join(&self, batch: &Batch, errors: &mut crate::plan::eval::EvalErrors) -> Batch {
        let keys = self.lookup.key.eval(&steps::input(batch), errors);
        let packer = Packer::new(vec![(keys, self.lookup.key.ty().clone())]);
        let mut scratch = Vec::new();
        let found: Vec<Option<&[Value]>> = (0..batch.len())
            .map(|row| {
                if packer.any_null(row) {
                    return None;
                }
                scratch.clear();
                packer.push(&mut scratch, row);
                self.rows.get(scratch.as_slice()).map(|r| &**r)
            })
            .collect();
        let (batch, found) = match self.lookup.kind {
            JoinKind::Inner => {
                let mask: BooleanArray = found.iter().map(|f| Some(f.is_some())).collect();
                (steps::select(batch, &mask), found.into_iter().filter(Option::is_some).collect())
            }
            JoinKind::Left | JoinKind::Right | JoinKind::Full => (batch.clone(), found),
        };
        let types: Vec<&SqlType> = self.lookup.schema.columns().map(|c| &c.ty).chain([&SqlType::Bigint]).collect();
        let columns = self.lookup.columns.iter().enumerate().map(|(i, &column)| -> Option<ArrayRef> {
            let values: Vec<&Value> = found.iter().map(|f| f.map_or(&Value::Null, |row| &row[i])).collect();
            types.get(column).map(|ty| packed::column(ty, values.into_iter()))
        });
        let mut joined = batch.clone();
        joined.columns.extend(columns);
        joined
    }
}

/// Joins a stream with a table's changes, of which each worker brings those that it keeps.
pub fn render<'scope>(
    stream: Flow<'scope, Batch>,
    changes: Flow<'scope, Arc<Vec<TableChange>>>,
    lookup: Lookup,
    view: &str,
    reports: &SharedReports,
) -> Flow<'scope, Batch> {
    let peers = stream.scope().peers() as u64;
    let changes = changes.unary::<CapacityContainerBuilder<Vec<(u64, Arc<Vec<TableChange>>)>>, _, _, _>(
        Pipeline,
        "Tell all",
        move |_, _| {
            move |input, output| {
                input.for_each(|time, data| {
                    let mut session = output.session(&time);
                    for changes in data.drain(..) {
                        (0..peers).for_each(|peer| session.give((peer, Arc::clone(&changes))));
                    }
                });
            }
        },
    );
    let name = format!("Lookup {}", lookup.table);
    let (view, reports) = (view.to_owned(), reports.clone());
    let mut copy = Copy::new(lookup);
    let mut updates: BTreeMap<u64, Vec<Arc<Vec<TableChange>>>> = BTreeMap::new();
    let mut waiting: BTreeMap<u64, (Capability<u64>, Vec<Batch>)> = BTreeMap::new();
    stream.binary_frontier::<_, CapacityContainerBuilder<Vec<Batch>>, _, _, _, _>(
        changes,
        Pipeline,
        Exchange::new(|(peer, _): &(u64, Arc<Vec<TableChange>>)| *peer),
        &name,
        move |_, _| {
            move |(batches, stream_frontier), (changes, table_frontier), output| {
                changes.for_each(|time, data| {
                    if let Some(epoch) = time.least() {
                        updates.entry(*epoch).or_default().extend(data.drain(..).map(|(_, c)| c));
                    }
                });
                batches.for_each(|time, data| {
                    if let (Some(epoch), Some(capability)) = (time.least().copied(), time.retain_least(0)) {
                        waiting.entry(epoch).or_insert_with(|| (capability, Vec::new())).1.append(data);
                    }
                });
                let open = table_frontier.frontier().first().copied().unwrap_or(u64::MAX);
                while let Some(entry) = waiting.first_entry() {
                    if *entry.key() >= open {
                        break;
                    }
                    let (epoch, (capability, batches)) = entry.remove_entry();
                    while let Some(entry) = updates.first_entry().filter(|u| *u.key() <= epoch) {
                        entry.remove().iter().flat_map(|c| c.iter()).for_each(|change| copy.update(change));
                    }
                    let mut session = output.session(&capability);
                    for batch in batches {
                        let mut failed = steps::errors();
                        session.give(copy.join(&steps::without_tombstones(&batch), &mut failed));
                        reports.borrow_mut().evaluation(&view, &failed, &batch.times);
                    }
                }
                // Without stream rows, changes that no row can ask to be kept apart are not hoarded.
                let next = waiting.keys().next().copied().unwrap_or(u64::MAX);
                let next = next.min(open).min(stream_frontier.frontier().first().copied().unwrap_or(u64::MAX));
                while let Some(entry) = updates.first_entry().filter(|u| *u.key() < next) {
                    entry.remove().iter().flat_map(|c| c.iter()).for_each(|change| copy.update(change));
                }
            }
        },
    )
}
