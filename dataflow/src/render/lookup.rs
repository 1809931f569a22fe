//! The stream-table join: each stream row with the table's row as of the stream row's epoch.
//!
//! Every worker has a copy of what the join reads of the table, so clicks do not cross workers; the table's changes are
//! told to all. A batch waits until the table has closed the batch's epoch: changes of an epoch come before its stream
//! rows, and a later change never touches what was joined.
//!
//! Text is not copied for each row: a batch's column says of each row which of the copy's it is
//! ([`picked`](crate::row::picked)). While the table changes, columns are gathered out of blocks instead, of which a change
//! costs one.

use super::port::Flow;
use super::table_changes::{TableChange, TableChanges};
use super::{SharedReports, steps};
use crate::plan::Lookup;
use crate::row::packer::Packer;
use crate::row::picked::Pickable;
use crate::row::{Batch, SqlType, Value, packed};
use crate::safepoint;
use crate::sql::ast::JoinKind;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, BooleanArray};
use arrow_buffer::BooleanBuffer;
use arrow_select::concat::concat;
use arrow_select::interleave::interleave;
use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::sync::Arc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::operator::Operator;

/// Rows of the copy whose columns are built together.
const BLOCK: usize = 256;

/// What the join reads of a table: rows of the values of [`Lookup::columns`], and columns of these, a block of rows each,
/// out of which a batch's columns are gathered.
struct Copy {
    lookup: Lookup,
    key_types: Vec<SqlType>,
    /// Of each value column, and whether it is read.
    value_types: Vec<(SqlType, bool)>,
    index: Index,
    /// The first is what a lookup gets that finds nothing.
    rows: Vec<Box<[Value]>>,
    free: Vec<usize>,
    /// `None`: a row has changed since they were built.
    blocks: Vec<Option<Vec<ArrayRef>>>,
    /// All blocks' columns in one, without the first row; `None` while the table changes.
    whole: Option<Vec<Pickable>>,
    /// How many rows were looked up since the table has changed.
    asked: usize,
}

/// Where each key's row is.
type Rows<K> = HashMap<K, usize, foldhash::fast::FixedState>;

/// Where a key's row is.
enum Index {
    /// A key of one INT or BIGINT; the same as an array while it is [asked](Index::condense) to be one.
    Whole(Rows<i64>, Option<Dense>),
    Packed(Rows<Box<[u8]>>),
}

/// The row of each whole number from the first on, 0 where there is none: less memory than a hash table, and no key to compare.
struct Dense {
    first: i64,
    rows: Vec<u32>,
}

impl Dense {
    /// `None` where keys lie far from each other.
    fn of(rows: &Rows<i64>) -> Option<Dense> {
        let (first, last) = (*rows.keys().min()?, *rows.keys().max()?);
        let length = usize::try_from(last.checked_sub(first)?).ok().filter(|n| *n < 4 * rows.len() + 1024)? + 1;
        let mut dense = Dense { first, rows: vec![0; length] };
        for (key, row) in rows {
            dense.rows[usize::try_from(key - first).ok()?] = u32::try_from(*row).ok()?;
        }
        Some(dense)
    }

    #[inline]
    fn get(&self, key: i64) -> usize {
        let at = usize::try_from(key.wrapping_sub(self.first)).unwrap_or(usize::MAX);
        self.rows.get(at).map_or(0, |row| *row as usize)
    }
}

impl Index {
    fn whole(value: &Value) -> Option<i64> {
        match value {
            Value::Int(v) => Some((*v).into()),
            Value::Bigint(v) => Some(*v),
            _ => None,
        }
    }

    fn remove(&mut self, key: &[Value], packed: &[u8]) -> Option<usize> {
        match self {
            Index::Whole(rows, dense) => {
                *dense = None;
                rows.remove(&Self::whole(key.first()?)?)
            }
            Index::Packed(rows) => rows.remove(packed),
        }
    }

    fn get_or_insert(&mut self, key: &[Value], packed: &[u8], row: usize) -> usize {
        match self {
            Index::Whole(rows, dense) => {
                *dense = None;
                key.first().and_then(Self::whole).map_or(row, |key| *rows.entry(key).or_insert(row))
            }
            Index::Packed(rows) => *rows.entry(packed.into()).or_insert(row),
        }
    }

    /// Until a row changes, whole numbers that lie near each other are found in an array.
    fn condense(&mut self) {
        if let Index::Whole(rows, dense) = self {
            *dense = Dense::of(rows);
        }
    }

    /// The row of each key of a column, 0 where there is none.
    fn find(&self, keys: &ArrayRef, ty: &SqlType) -> Vec<usize> {
        fn each(
            keys: &ArrayRef,
            values: impl Iterator<Item = i64>,
            rows: &Rows<i64>,
            dense: &Option<Dense>,
        ) -> Vec<usize> {
            let row_of = |key: i64| rows.get(&key).copied().unwrap_or(0);
            match (keys.nulls(), dense) {
                (None, Some(dense)) => values.map(|key| dense.get(key)).collect(),
                (None, None) => values.map(row_of).collect(),
                (Some(nulls), _) => values.zip(nulls).map(|(key, there)| if there { row_of(key) } else { 0 }).collect(),
            }
        }
        match (self, ty) {
            (Index::Whole(rows, dense), SqlType::Int) => {
                let values = keys.as_primitive::<Int32Type>().values().iter().map(|key| i64::from(*key));
                each(keys, values, rows, dense)
            }
            (Index::Whole(rows, dense), SqlType::Bigint) => {
                let values = keys.as_primitive::<Int64Type>().values().iter().copied();
                each(keys, values, rows, dense)
            }
            (Index::Whole(..), _) => vec![0; keys.len()],
            (Index::Packed(rows), _) => {
                let packer = Packer::new(vec![(Arc::clone(keys), ty.clone())]);
                let mut scratch = Vec::new();
                let row = |row| {
                    scratch.clear();
                    packer.push(&mut scratch, row);
                    if packer.any_null(row) { 0 } else { rows.get(scratch.as_slice()).copied().unwrap_or(0) }
                };
                (0..keys.len()).map(row).collect()
            }
        }
    }
}

impl Copy {
    fn new(lookup: Lookup) -> Self {
        let key_types: Vec<SqlType> = lookup.schema.key.iter().map(|c| c.ty.clone()).collect();
        let is_read = |value: usize| lookup.columns.contains(&(key_types.len() + value));
        let value_types = (0..).zip(&lookup.schema.value).map(|(at, c)| (c.ty.clone(), is_read(at))).collect();
        let index = match key_types.as_slice() {
            [SqlType::Int | SqlType::Bigint] => Index::Whole(HashMap::default(), None),
            _ => Index::Packed(HashMap::default()),
        };
        let nothing = vec![Value::Null; lookup.columns.len()].into();
        let (rows, free, blocks) = (vec![nothing], Vec::new(), vec![None]);
        Copy { lookup, key_types, value_types, index, rows, free, blocks, whole: None, asked: 0 }
    }

    fn update(&mut self, change: TableChange<'_>) {
        let mut key = change.key;
        let mut row = packed::pop_all(&mut key, &self.key_types);
        // What no lookup can find: null equals nothing, and the bounds of a window are no part of a lookup's key.
        if !key.is_empty() || row.iter().any(|v| matches!(v, Value::Null)) {
            return;
        }
        match change.new {
            None => {
                if let Some(at) = self.index.remove(&row, change.key) {
                    self.rows[at] = Box::default();
                    self.free.push(at);
                }
            }
            Some(value) => {
                let next = self.free.last().copied().unwrap_or(self.rows.len());
                let at = self.index.get_or_insert(&row, change.key, next);
                let mut rest = value;
                row.reserve_exact(self.value_types.len() + 1);
                row.extend(self.value_types.iter().map(|(ty, is_read)| match is_read {
                    true => packed::pop(&mut rest, ty),
                    false => {
                        packed::skip(&mut rest, ty);
                        Value::Null
                    }
                }));
                row.push(Value::Bigint(change.time));
                let read = self.lookup.columns.iter().map(|&c| row.get(c).cloned().unwrap_or(Value::Null)).collect();
                if at == self.rows.len() {
                    self.rows.push(read);
                } else {
                    self.rows[at] = read;
                }
                if self.free.last() == Some(&at) {
                    self.free.pop();
                }
                self.blocks.resize(self.rows.len().div_ceil(BLOCK), None);
                self.blocks[at / BLOCK] = None;
                (self.whole, self.asked) = (None, 0);
            }
        }
    }

    /// Builds the columns of the blocks whose rows have changed; all as one, once as many rows were looked up as it has.
    fn build(&mut self) {
        if self.whole.is_some() {
            return;
        }
        let types: Vec<&SqlType> = self.lookup.schema.columns().map(|c| &c.ty).chain([&SqlType::Bigint]).collect();
        for (block, rows) in self.blocks.iter_mut().zip(self.rows.chunks(BLOCK)) {
            block.get_or_insert_with(|| {
                let columns = self.lookup.columns.iter().enumerate().map(|(i, &column)| {
                    let cells = rows.iter().map(|row| row.get(i).unwrap_or(&Value::Null));
                    types.get(column).map(|ty| packed::column(ty, cells))
                });
                columns.flatten().collect()
            });
        }
        if self.asked >= self.rows.len() {
            let whole = |i| Some(Pickable::new(concat(&self.parts(i)).ok()?.slice(1, self.rows.len() - 1)));
            self.whole = (0..self.lookup.columns.len()).map(whole).collect();
            self.index.condense();
        }
    }

    /// A column of each block.
    fn parts(&self, column: usize) -> Vec<&dyn Array> {
        self.blocks.iter().flatten().filter_map(|b| b.get(column)).map(|c| &**c).collect()
    }

    /// A batch with the table's columns behind its own; an inner join leaves out the rows that find nothing.
    fn join(&mut self, batch: &Batch, errors: &mut crate::plan::eval::EvalErrors) -> Batch {
        self.build();
        let keys = self.lookup.key.eval(&steps::input(batch), errors);
        let found = self.index.find(&keys, self.lookup.key.ty());
        let (mut joined, found) = match self.lookup.kind {
            JoinKind::Inner => {
                let mask = BooleanArray::from(BooleanBuffer::collect_bool(found.len(), |i| found[i] > 0));
                (steps::select(batch, &mask), found.into_iter().filter(|&f| f > 0).collect())
            }
            JoinKind::Left | JoinKind::Right | JoinKind::Full => (batch.clone(), found),
        };
        self.asked += found.len();
        match &self.whole {
            Some(columns) => {
                let rows = found.iter().map(|&row| u32::try_from(row.checked_sub(1)?).ok()).collect();
                joined.columns.extend(columns.iter().map(|column| column.pick(&rows)));
            }
            None => {
                let places: Vec<(usize, usize)> = found.iter().map(|row| (row / BLOCK, row % BLOCK)).collect();
                let column = |i| interleave(&self.parts(i), &places).ok();
                joined.columns.extend((0..self.lookup.columns.len()).map(column));
            }
        }
        joined
    }
}

/// Joins a stream with a table's changes, of which each worker brings those that it keeps.
pub fn render<'scope>(
    stream: Flow<'scope, Batch>,
    changes: Flow<'scope, Arc<TableChanges>>,
    lookup: Lookup,
    view: &str,
    reports: &SharedReports,
) -> Flow<'scope, Batch> {
    let peers = stream.scope().peers() as u64;
    let changes = changes.unary::<CapacityContainerBuilder<Vec<(u64, Arc<TableChanges>)>>, _, _, _>(
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
    let mut updates: BTreeMap<u64, Vec<Arc<TableChanges>>> = BTreeMap::new();
    let mut waiting: BTreeMap<u64, (Capability<u64>, Vec<Batch>)> = BTreeMap::new();
    stream.binary_frontier::<_, CapacityContainerBuilder<Vec<Batch>>, _, _, _, _>(
        changes,
        Pipeline,
        Exchange::new(|(peer, _): &(u64, Arc<TableChanges>)| *peer),
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
                        safepoint::reached();
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
