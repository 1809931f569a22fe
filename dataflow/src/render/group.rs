//! Rows to partial accumulators: what is sent to other workers is what a batch adds to each group, not its rows.
//!
//! Two operators. *Prepare* evaluates group keys and arguments on the whole batch. *Combine* judges each row against
//! the stream time of its partition, finds its window, and folds it into a hash table of this epoch's groups; at the end of
//! the epoch the table goes out, a [`Parcel`] for each worker. Where a partition's batches are dealt out to several
//! workers, prepare tells all of them the greatest time of its batch, and combine waits until it knows the times of all
//! earlier batches: a row is late or not whatever worker sees it.

use super::port::Flow;
use super::windows::Hops;
use super::{SharedReports, steps};
use crate::arrange::gathered::Place;
use crate::arrange::{Accum, PackedKeys};
use crate::plan::aggregate::{AggregateCall, AggregateFunction};
use crate::plan::{NamedExpr, Windowing};
use crate::row::packed::{self, Packer};
use crate::row::{Batch, Origin};
use crate::time::WindowSpec;
use arrow_array::{Array, ArrayRef};
use differential_dataflow::trace::implementations::BatchContainer;
use foldhash::quality::FixedState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::rc::Rc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::operator::{Operator, empty};

/// Partial accumulators for one worker, in the order in which they were first touched.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Parcel {
    /// The worker that keeps these groups.
    pub target: u64,
    /// Sessions: where the rows come from, for rows that may be late must be applied in order.
    pub order: (u32, u64),
    /// The greatest time seen in the partition of these rows.
    pub stream_time: i64,
    /// Group keys, with their pane where there are windows.
    pub keys: PackedKeys,
    /// What is added.
    pub accums: Vec<Accum>,
    /// Sessions only: of each entry its first row's time, and the time before which sessions no longer counted when it
    /// came (`i64::MIN` when that cannot matter).
    pub sessions: Vec<(i64, i64)>,
}

/// What grouping needs of a plan.
#[derive(Clone, Debug)]
pub struct Grouping {
    /// The group's key.
    pub group: Vec<NamedExpr>,
    /// The aggregates.
    pub calls: Vec<AggregateCall>,
    /// The window clause.
    pub window: Option<Windowing>,
}

/// The worker that keeps a group.
pub fn owner(group: &[u8], peers: u64) -> u64 {
    FixedState::with_seed(0x7765_6972).hash_one(group) % peers.max(1)
}

/// A batch with its group keys and arguments evaluated.
struct Prepared {
    times: std::sync::Arc<[i64]>,
    offsets: std::sync::Arc<[i64]>,
    origin: Origin,
    keys: Packer,
    /// Arguments of each call that has parts (all but counts of rows).
    args: Vec<Option<(ArrayRef, crate::row::SqlType)>>,
    /// Rows whose key has no null.
    rows: Vec<u32>,
    max_time: i64,
}

impl Prepared {
    fn new(grouping: &Grouping, batch: &Batch, errors: &mut crate::plan::eval::EvalErrors) -> Self {
        let input = steps::input(batch);
        let columns: Vec<(ArrayRef, crate::row::SqlType)> =
            grouping.group.iter().map(|g| (g.expr.eval(&input, errors), g.expr.ty().clone())).collect();
        let nullable = columns.iter().any(|(c, _)| c.null_count() > 0);
        let keys = Packer::new(columns);
        let args = grouping
            .calls
            .iter()
            .filter(|c| c.function != AggregateFunction::CountRows)
            .map(|c| c.args.first().map(|a| (a.eval(&input, errors), a.ty().clone())))
            .collect();
        let n = u32::try_from(batch.len()).unwrap_or(u32::MAX);
        let rows: Vec<u32> = (0..n).filter(|&r| !nullable || !keys.any_null(r as usize)).collect();
        let max_time = rows.iter().map(|&r| batch.times[r as usize]).max().unwrap_or(i64::MIN);
        let (times, offsets) = (std::sync::Arc::clone(&batch.times), std::sync::Arc::clone(&batch.offsets));
        Prepared { times, offsets, origin: batch.origin, keys, args, rows, max_time }
    }

    /// A row's place in the order of the input.
    fn place(&self, row: usize) -> Place {
        let offset = self.offsets.get(row).copied().unwrap_or(0);
        (offset, self.origin.partition, u32::try_from(row).unwrap_or(u32::MAX))
    }
}

/// Groups of one epoch, by key.
#[derive(Default)]
struct Groups {
    table: HashTable<u32>,
    hashes: Vec<u64>,
    owners: Vec<u64>,
    keys: PackedKeys,
    accums: Vec<Accum>,
}

impl Groups {
    fn entry(&mut self, hash: u64, owner: u64, key: &[u8], make: impl FnOnce() -> Accum) -> &mut Accum {
        let Groups { table, hashes, owners, keys, accums } = self;
        let found = table.entry(
            hash,
            |&i| hashes[i as usize] == hash && keys.index(i as usize) == key,
            |&i| hashes[i as usize],
        );
        let i = match found {
            Entry::Occupied(entry) => *entry.get() as usize,
            Entry::Vacant(entry) => {
                let i = accums.len();
                entry.insert(u32::try_from(i).unwrap_or(u32::MAX));
                hashes.push(hash);
                owners.push(owner);
                keys.push(key);
                accums.push(make());
                i
            }
        };
        &mut accums[i]
    }
}

/// What one partition has brought so far.
#[derive(Default)]
struct Partition {
    /// The greatest time of rows that reached the grouping; `None` before the first.
    stream_time: Option<i64>,
    /// The next batch's number.
    next: u64,
    /// Batches of this worker that wait for earlier ones.
    waiting: BTreeMap<u64, (Capability<u64>, Rc<Prepared>)>,
    /// Greatest times of batches that are known and not passed.
    known: BTreeMap<u64, i64>,
}

/// Greatest time of a batch: partition, number, time.
type Summary = (u32, u64, i64);

/// A session of rows of one batch (or a single row that may be late).
struct Stretch {
    start: i64,
    close: i64,
    accum: Accum,
}

/// The combiner's state, apart from timely.
struct Combiner {
    grouping: Grouping,
    hops: Option<Hops>,
    peers: u64,
    empty: Accum,
    partitions: HashMap<u32, Partition>,
    /// Groups by epoch.
    epochs: BTreeMap<u64, (Capability<u64>, Groups)>,
    scratch: Vec<u8>,
    late: u64,
}

/// Partial accumulators of a stream's groups, exchanged later by [`Parcel::target`]. `split`: the input's partitions are
/// dealt out to several workers, batch by batch.
pub fn render<'scope>(
    stream: Flow<'scope, Batch>,
    grouping: Grouping,
    split: bool,
    view: &str,
    reports: &SharedReports,
) -> Flow<'scope, Parcel> {
    let peers = stream.scope().peers() as u64;
    let prepared = prepare(stream, grouping.clone(), view, reports);
    let hops = grouping.window.and_then(|w| Hops::new(w.spec));
    let mut combiner = Combiner {
        empty: Accum::empty(&grouping.calls),
        grouping,
        hops,
        peers,
        partitions: HashMap::new(),
        epochs: BTreeMap::new(),
        scratch: Vec::new(),
        late: 0,
    };
    let (view, reports) = (view.to_owned(), reports.clone());
    let summaries = if split && combiner.grouping.window.is_some() {
        summaries(prepared.clone(), peers)
    } else {
        empty(prepared.scope())
    };
    let ordered = split && combiner.grouping.window.is_some();
    prepared.binary_frontier::<_, CapacityContainerBuilder<Vec<Parcel>>, _, _, _, _>(
        summaries,
        Pipeline,
        Exchange::new(|(target, _): &(u64, Summary)| *target),
        "Combine",
        move |_, _| {
            move |(batches, batch_frontier), (known, _), output| {
                known.for_each(|_, data| {
                    for (_, (partition, sequence, time)) in data.drain(..) {
                        combiner.partitions.entry(partition).or_default().known.insert(sequence, time);
                    }
                });
                let mut send = |epoch: &Capability<u64>, parcels: Vec<Parcel>| {
                    output.session(epoch).give_iterator(parcels.into_iter());
                };
                batches.for_each(|time, data| {
                    let Some(capability) = time.retain_least(0) else { return };
                    for prepared in data.drain(..) {
                        if ordered {
                            let partition = combiner.partitions.entry(prepared.origin.partition).or_default();
                            partition.waiting.insert(prepared.origin.sequence, (capability.clone(), prepared));
                        } else {
                            combiner.add(capability.clone(), &prepared, &mut send);
                        }
                    }
                });
                if ordered {
                    combiner.add_waiting(&mut send);
                }
                combiner.flush(batch_frontier.frontier().first().copied(), &mut send);
                let late = std::mem::take(&mut combiner.late);
                if late > 0 {
                    *reports.borrow_mut().late.entry(view.clone()).or_default() += late;
                }
            }
        },
    )
}

fn prepare<'scope>(
    stream: Flow<'scope, Batch>,
    grouping: Grouping,
    view: &str,
    reports: &SharedReports,
) -> Flow<'scope, Rc<Prepared>> {
    let (view, reports) = (view.to_owned(), reports.clone());
    stream.unary::<CapacityContainerBuilder<Vec<Rc<Prepared>>>, _, _, _>(Pipeline, "Prepare", move |_, _| {
        move |input, output| {
            input.for_each(|time, batches| {
                let mut session = output.session(&time);
                for batch in batches.drain(..) {
                    let mut failed = steps::errors();
                    session.give(Rc::new(Prepared::new(&grouping, &batch, &mut failed)));
                    reports.borrow_mut().evaluation(&view, &failed, &batch.times);
                }
            });
        }
    })
}

fn summaries<'scope>(prepared: Flow<'scope, Rc<Prepared>>, peers: u64) -> Flow<'scope, (u64, Summary)> {
    prepared.unary::<CapacityContainerBuilder<Vec<(u64, Summary)>>, _, _, _>(Pipeline, "Summary", move |_, _| {
        move |input, output| {
            input.for_each(|time, batches| {
                let mut session = output.session(&time);
                for batch in batches.drain(..) {
                    let summary = (batch.origin.partition, batch.origin.sequence, batch.max_time);
                    (0..peers).for_each(|peer| session.give((peer, summary)));
                }
            });
        }
    })
}

/// Groups an epoch may hold before they go out ahead of its end.
const GROUPS: usize = 1 << 18;

impl Combiner {
    /// Adds the batches whose turn it is.
    fn add_waiting(&mut self, send: &mut impl FnMut(&Capability<u64>, Vec<Parcel>)) {
        let mut ready = Vec::new();
        for partition in self.partitions.values_mut() {
            while let Some(time) = partition.known.remove(&partition.next) {
                if let Some((capability, prepared)) = partition.waiting.remove(&partition.next) {
                    ready.push((capability, prepared, partition.stream_time));
                }
                partition.stream_time = partition.stream_time.max((time > i64::MIN).then_some(time));
                partition.next += 1;
            }
        }
        for (capability, prepared, before) in ready {
            self.add_after(capability, &prepared, before, send);
        }
    }

    /// Adds the next batch of a partition that only this worker reads.
    fn add(
        &mut self,
        capability: Capability<u64>,
        prepared: &Prepared,
        send: &mut impl FnMut(&Capability<u64>, Vec<Parcel>),
    ) {
        let partition = self.partitions.entry(prepared.origin.partition).or_default();
        let before = partition.stream_time;
        partition.stream_time = before.max((prepared.max_time > i64::MIN).then_some(prepared.max_time));
        self.add_after(capability, prepared, before, send);
    }

    fn add_after(
        &mut self,
        capability: Capability<u64>,
        prepared: &Prepared,
        before: Option<i64>,
        send: &mut impl FnMut(&Capability<u64>, Vec<Parcel>),
    ) {
        match self.grouping.window.map(|w| (w.spec, w.grace.0)) {
            Some((WindowSpec::Session { gap }, grace)) => {
                let parcels = self.sessions(prepared, before, gap, grace);
                send(&capability, parcels);
            }
            window => {
                let grace = window.map_or(0, |(_, grace)| grace);
                self.groups(capability, prepared, before, grace, send);
            }
        }
    }

    fn groups(
        &mut self,
        capability: Capability<u64>,
        prepared: &Prepared,
        before: Option<i64>,
        grace: i64,
        send: &mut impl FnMut(&Capability<u64>, Vec<Parcel>),
    ) {
        let epoch = *capability.time();
        let (_, groups) = self.epochs.entry(epoch).or_insert_with(|| (capability, Groups::default()));
        let mut stream_time = before.unwrap_or(i64::MIN);
        let state = FixedState::with_seed(0x7765_6972);
        for &row in &prepared.rows {
            let row = row as usize;
            let time = prepared.times[row];
            self.scratch.clear();
            prepared.keys.push(&mut self.scratch, row);
            let mut hash = state.hash_one(&self.scratch[..]);
            let owner = hash % self.peers;
            if let Some(hops) = &self.hops {
                stream_time = stream_time.max(time);
                let Some(place) = hops.place(time, stream_time.saturating_sub(grace)) else {
                    self.late += 1;
                    continue;
                };
                Hops::push(&mut self.scratch, place);
                hash ^= (place.pane as u64).wrapping_add(u64::from(place.skip)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            }
            let accum = groups.entry(hash, owner, &self.scratch, || self.empty.clone());
            accum.rows += 1;
            accum.time = accum.time.max(time);
            add_args(accum, &self.grouping.calls, &prepared.args, row, 1, prepared.place(row));
        }
        if groups.accums.len() >= GROUPS
            && let Some((capability, groups)) = self.epochs.remove(&epoch)
        {
            let parcels = self.parcels(groups);
            send(&capability, parcels);
        }
    }

    /// Sends the groups of epochs before `frontier` (of all when there is none).
    fn flush(&mut self, frontier: Option<u64>, send: &mut impl FnMut(&Capability<u64>, Vec<Parcel>)) {
        // Batches that wait for their turn hold their epochs open.
        let held = self.partitions.values().flat_map(|p| p.waiting.values()).map(|(c, _)| *c.time()).min();
        let open = frontier.into_iter().chain(held).min();
        while let Some(entry) = self.epochs.first_entry() {
            if open.is_some_and(|open| *entry.key() >= open) {
                break;
            }
            let (capability, groups) = entry.remove();
            let parcels = self.parcels(groups);
            send(&capability, parcels);
        }
    }

    fn parcels(&self, groups: Groups) -> Vec<Parcel> {
        let stream_time = self.stream_time();
        if self.peers == 1 {
            return vec![Parcel {
                target: 0,
                order: (0, 0),
                stream_time,
                keys: groups.keys,
                accums: groups.accums,
                sessions: Vec::new(),
            }];
        }
        let mut parcels: Vec<Parcel> = (0..self.peers).map(|target| Parcel::new(target, (0, 0), stream_time)).collect();
        for ((owner, key), accum) in groups.owners.iter().zip(groups.keys.iter()).zip(groups.accums) {
            let parcel = &mut parcels[*owner as usize];
            parcel.keys.push(key);
            parcel.accums.push(accum);
        }
        parcels
    }

    fn stream_time(&self) -> i64 {
        self.partitions.values().filter_map(|p| p.stream_time).max().unwrap_or(i64::MIN)
    }

    /// Rows of a batch as sessions of their own. A row far enough inside the grace sees no session that has expired,
    /// so it may be joined with its neighbours here; another goes on its own, with the time that decides for it.
    fn sessions(&mut self, prepared: &Prepared, before: Option<i64>, gap: i64, grace: i64) -> Vec<Parcel> {
        let order = (prepared.origin.partition, prepared.origin.sequence);
        let mut groups = Groups::default();
        let mut stretches: Vec<Vec<Stretch>> = Vec::new();
        let mut stream_time = before.unwrap_or(i64::MIN);
        let state = FixedState::with_seed(0x7765_6972);
        for &row in &prepared.rows {
            let row = row as usize;
            let time = prepared.times[row];
            stream_time = stream_time.max(time);
            let close = stream_time.saturating_sub(grace).saturating_sub(gap);
            self.scratch.clear();
            prepared.keys.push(&mut self.scratch, row);
            let hash = state.hash_one(&self.scratch[..]);
            let index = groups.entry(hash, hash % self.peers, &self.scratch, || Accum {
                rows: i64::try_from(stretches.len()).unwrap_or(i64::MAX),
                time: 0,
                parts: None,
            });
            let index = usize::try_from(index.rows).unwrap_or(0);
            if index == stretches.len() {
                stretches.push(Vec::new());
            }
            let mut accum = self.empty.clone();
            accum.rows = 1;
            accum.time = time;
            add_args(&mut accum, &self.grouping.calls, &prepared.args, row, 1, prepared.place(row));
            let safe = time.saturating_sub(gap) >= close;
            let list = &mut stretches[index];
            match list.last_mut() {
                Some(last)
                    if safe
                        && last.close == i64::MIN
                        && time.saturating_add(gap) >= last.start
                        && time.saturating_sub(gap) <= last.accum.time =>
                {
                    last.start = last.start.min(time);
                    differential_dataflow::difference::Semigroup::plus_equals(&mut last.accum, &accum);
                }
                _ => list.push(Stretch { start: time, close: if safe { i64::MIN } else { close }, accum }),
            }
        }
        let stream_time = stream_time.max(self.stream_time());
        let mut parcels: Vec<Parcel> = (0..self.peers).map(|target| Parcel::new(target, order, stream_time)).collect();
        for ((owner, key), list) in groups.owners.iter().zip(groups.keys.iter()).zip(stretches) {
            let parcel = &mut parcels[*owner as usize];
            for stretch in list {
                parcel.keys.push(key);
                parcel.accums.push(stretch.accum);
                parcel.sessions.push((stretch.start, stretch.close));
            }
        }
        parcels
    }
}

impl Parcel {
    /// An empty one.
    pub fn new(target: u64, order: (u32, u64), stream_time: i64) -> Self {
        Parcel { target, order, stream_time, keys: PackedKeys::default(), accums: Vec::new(), sessions: Vec::new() }
    }
}

/// Adds a row's arguments to an accumulator, or takes them back (`sign` −1).
pub fn add_args(
    accum: &mut Accum,
    calls: &[AggregateCall],
    args: &[Option<(ArrayRef, crate::row::SqlType)>],
    row: usize,
    sign: i64,
    place: Place,
) {
    if let Some(parts) = &mut accum.parts {
        let calls = calls.iter().filter(|c| c.function != AggregateFunction::CountRows);
        for ((part, call), arg) in parts.iter_mut().zip(calls).zip(args) {
            if let Some((column, ty)) = arg {
                part.add(call.function, &packed::cell(column, ty, row), sign, place);
            }
        }
    }
}
