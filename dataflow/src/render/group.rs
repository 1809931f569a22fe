//! Rows to partial accumulators: what is sent to other workers is what a batch adds to each group, not its rows.
//!
//! Two operators. *Prepare* evaluates group keys and arguments on the whole batch. *Combine* judges each row against
//! the stream time of its partition, finds its window, and adds it to its group's entry among this epoch's; at the end of
//! the epoch the entries go out, a [`Parcel`] for each worker. The entry is looked for in a small direct-mapped cache
//! ([`Cache`]), and is a new one where the cache has forgotten it: who keeps the group puts entries in order and adds them
//! up anyway. Where a partition's batches are dealt out to several
//! workers, prepare tells all of them the greatest time of its batch, and combine waits until it knows the times of all
//! earlier batches: a row is late or not whatever worker sees it.

use super::parcels::{Entries, Parcel};
use super::port::Flow;
use super::turns::{self, Summary, Turn, Turns};
use super::windows::Hops;
use super::{SharedReports, steps};
use crate::arrange::{Accum, Groups, Part, Place, gathered};
use crate::plan::aggregate::{AggregateCall, AggregateFunction};
use crate::plan::{NamedExpr, Windowing};
use crate::row::packed;
use crate::row::packer::{Basis, Packer};
use crate::row::{Batch, Origin};
use crate::safepoint;
use crate::time::WindowSpec;
use arrow_array::ArrayRef;
use arrow_buffer::ScalarBuffer;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Scope;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::operator::Operator;

/// A view's groups, at a worker.
pub type SharedGroups = Rc<RefCell<Groups>>;

/// None yet, at this worker.
pub fn groups(scope: &Scope<'_, u64>) -> SharedGroups {
    Rc::new(RefCell::new(Groups::new(scope.index(), scope.peers())))
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

/// A batch with its group keys and arguments evaluated.
struct Prepared {
    times: ScalarBuffer<i64>,
    offsets: ScalarBuffer<i64>,
    origin: Origin,
    keys: Packer,
    /// Of the key of each row, for the cache.
    hashes: Vec<u64>,
    /// Arguments of each call that has parts (all but counts of rows).
    args: Vec<Option<(ArrayRef, crate::row::SqlType)>>,
    /// Rows whose key has no null; `None`: all.
    rows: Option<Vec<u32>>,
    max_time: i64,
}

impl Prepared {
    fn new(grouping: &Grouping, batch: &Batch, errors: &mut crate::plan::eval::EvalErrors) -> Self {
        let input = steps::input(batch);
        let columns: Vec<(ArrayRef, crate::row::SqlType)> =
            grouping.group.iter().map(|g| (g.expr.eval_picked(&input, errors), g.expr.ty().clone())).collect();
        let keys = Packer::grouping(columns, batch.len());
        let args = grouping
            .calls
            .iter()
            .filter(|c| c.function != AggregateFunction::CountRows)
            .map(|c| c.args.first().map(|a| (a.eval(&input, errors), a.ty().clone())))
            .collect();
        let n = u32::try_from(batch.len()).unwrap_or(u32::MAX);
        let rows = keys.nullable().then(|| (0..n).filter(|&r| !keys.any_null(r as usize)).collect::<Vec<u32>>());
        let max_time = match &rows {
            None => batch.times.iter().copied().max(),
            Some(rows) => rows.iter().map(|&r| batch.times[r as usize]).max(),
        };
        let max_time = max_time.unwrap_or(i64::MIN);
        let hashes = keys.hashes(batch.len());
        let (times, offsets) = (batch.times.clone(), batch.offsets.clone());
        Prepared { times, offsets, origin: batch.origin, keys, hashes, args, rows, max_time }
    }

    /// The rows whose key has no null.
    fn rows(&self) -> impl Iterator<Item = usize> {
        let n = self.rows.as_ref().map_or(self.times.len(), Vec::len);
        (0..n).map(|i| self.rows.as_ref().map_or(i, |rows| rows[i] as usize))
    }

    /// A row's place in the order of the input.
    fn place(&self, row: usize) -> gathered::Place {
        let offset = self.offsets.get(row).copied().unwrap_or(0);
        (offset, self.origin.partition, u32::try_from(row).unwrap_or(u32::MAX))
    }
}

impl turns::Prepared for Prepared {
    fn origin(&self) -> Origin {
        self.origin
    }

    fn max_time(&self) -> i64 {
        self.max_time
    }
}

/// Bits of a slot's number.
const SLOT_BITS: u32 = 12;

/// Where the entry of a group that was seen lately is. A slot forgets its group when another one needs it: small enough
/// to stay in the processor's cache, which is worth more than to find every group again.
#[derive(Default)]
struct Cache {
    /// Empty before the first use.
    slots: Vec<Slot>,
    /// Those that know an entry.
    taken: Vec<u32>,
    /// The epoch whose entries it knows.
    epoch: u64,
    /// What its hashes stand for, where they alone tell groups apart.
    basis: Option<Basis>,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    hash: u64,
    /// The entry's number, from 1; 0 is none.
    entry: u32,
    /// [`Near::number`] of the row that was there last.
    near: u32,
}

impl Cache {
    /// The entry of a place in a group whose rows have this hash. `same_place`: whether an entry is of the place, which is
    /// asked where another was there last. `same_group`: whether it is of the group.
    #[inline]
    fn get(
        &mut self,
        hash: u64,
        near: u32,
        same_place: impl FnOnce(usize) -> bool,
        same_group: impl FnOnce(usize) -> bool,
    ) -> Option<usize> {
        let slot = &mut self.slots[(hash >> (64 - SLOT_BITS)) as usize];
        if slot.hash != hash {
            return None;
        }
        let entry = (slot.entry as usize).checked_sub(1)?;
        if slot.near != near {
            if !same_place(entry) {
                return None;
            }
            slot.near = near;
        }
        same_group(entry).then_some(entry)
    }

    #[inline]
    fn set(&mut self, hash: u64, near: u32, entry: usize) {
        let at = hash >> (64 - SLOT_BITS);
        let slot = &mut self.slots[at as usize];
        if slot.entry == 0 {
            self.taken.push(at as u32);
        }
        // An entry beyond 32 bits is never found again.
        *slot = Slot { hash, entry: u32::try_from(entry + 1).unwrap_or(0), near };
    }

    fn forget(&mut self) {
        self.taken.drain(..).for_each(|at| self.slots[at as usize] = Slot::default());
    }

    /// Is asked for rows of these keys, and knows entries of this epoch from now on.
    fn turn_to(&mut self, epoch: u64, keys: &Packer) {
        self.slots.resize(1 << SLOT_BITS, Slot::default());
        if epoch != self.epoch || self.basis.as_ref() != keys.basis() {
            self.forget();
            self.epoch = epoch;
            self.basis = keys.basis().cloned();
        }
    }
}

/// The place of the row before, which is nearly always the next one's too.
struct Near {
    place: Place,
    /// The end of the first window that takes it: later than what has closed.
    end: i64,
    hash: u64,
    /// Another one than that of the place before.
    number: u32,
}

impl Near {
    fn of(hops: &Hops, place: Place, number: u32) -> Self {
        // Where some windows do not take it, the next row is judged again.
        let end = if place.mark == 0 { hops.first_start(place.at).saturating_add(hops.size) } else { i64::MIN };
        let hash = (place.at as u64 ^ u64::from(place.mark).rotate_left(40)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Near { place, end, hash: hash ^ hash >> 32, number }
    }

    #[inline]
    fn holds(&self, time: i64, close: i64, pane: i64) -> bool {
        time >= self.place.at && time - self.place.at < pane && close < self.end
    }
}

/// The combiner's state, apart from timely.
struct Combiner {
    grouping: Grouping,
    hops: Option<Hops>,
    groups: SharedGroups,
    empty: Accum,
    turns: Turns<Prepared>,
    /// Groups by epoch.
    epochs: BTreeMap<u64, (Capability<u64>, Entries)>,
    cache: Cache,
    near: Option<Near>,
    /// How many entries went out last.
    room: usize,
    late: u64,
}

/// Partial accumulators of a stream's groups, exchanged later by [`Parcel::target`]. `split`: the input's partitions are
/// dealt out to several workers, batch by batch. `groups`: those of the table that keeps them.
pub fn render<'scope>(
    stream: Flow<'scope, Batch>,
    grouping: Grouping,
    groups: &SharedGroups,
    split: bool,
    view: &str,
    reports: &SharedReports,
) -> Flow<'scope, Parcel> {
    let mine = grouping.clone();
    let prepared = turns::prepare(stream, view, reports, move |batch, errors| Prepared::new(&mine, batch, errors));
    let hops = grouping.window.and_then(|w| Hops::new(w.spec));
    let mut combiner = Combiner {
        empty: Accum::empty(&grouping.calls),
        grouping,
        hops,
        groups: Rc::clone(groups),
        turns: Turns::default(),
        epochs: BTreeMap::new(),
        cache: Cache::default(),
        near: None,
        room: 0,
        late: 0,
    };
    let (view, reports) = (view.to_owned(), reports.clone());
    let ordered = split && combiner.grouping.window.is_some();
    let summaries = turns::summaries(&prepared, ordered);
    prepared.binary_frontier::<_, CapacityContainerBuilder<Vec<Parcel>>, _, _, _, _>(
        summaries,
        Pipeline,
        Exchange::new(|(target, _): &(u64, Summary)| *target),
        "Combine",
        move |_, _| {
            move |(batches, batch_frontier), (known, _), output| {
                known.for_each(|_, data| data.drain(..).for_each(|(_, summary)| combiner.turns.know(summary)));
                let mut send = |epoch: &Capability<u64>, parcels: Vec<Parcel>| {
                    output.session(epoch).give_iterator(parcels.into_iter());
                };
                batches.for_each(|time, data| {
                    let Some(capability) = time.retain_least(0) else { return };
                    for prepared in data.drain(..) {
                        if ordered {
                            combiner.turns.wait(capability.clone(), prepared);
                        } else {
                            let turn = combiner.turns.take(capability.clone(), prepared);
                            combiner.add(turn, &mut send);
                        }
                    }
                });
                for turn in combiner.turns.ready() {
                    combiner.add(turn, &mut send);
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

/// Groups an epoch may hold before they go out ahead of its end.
const GROUPS: usize = 1 << 18;

impl Combiner {
    /// Adds a batch whose turn it is.
    fn add(&mut self, turn: Turn<Prepared>, send: &mut impl FnMut(&Capability<u64>, Vec<Parcel>)) {
        safepoint::reached();
        let Turn { batch, capability, before, .. } = turn;
        match self.grouping.window.map(|w| (w.spec, w.grace.0)) {
            Some((WindowSpec::Session { gap }, grace)) => {
                let parcels = self.sessions(*capability.time(), &batch, before, gap, grace);
                send(&capability, parcels);
            }
            window => {
                let grace = window.map_or(0, |(_, grace)| grace);
                self.groups(capability, &batch, before, grace, send);
            }
        }
    }

    fn groups(
        &mut self,
        capability: Capability<u64>,
        prepared: &Prepared,
        before: i64,
        grace: i64,
        send: &mut impl FnMut(&Capability<u64>, Vec<Parcel>),
    ) {
        let epoch = *capability.time();
        let room = self.room;
        let (_, groups) = self.epochs.entry(epoch).or_insert_with(|| (capability, Entries::new(epoch, room)));
        groups.stream_time = groups.stream_time.max(Some(prepared.max_time));
        self.cache.turn_to(epoch, &prepared.keys);
        let numbered = &mut self.groups.borrow_mut();
        numbered.turn_to(&prepared.keys, epoch);
        let mut stream_time = before;
        for row in prepared.rows() {
            let time = prepared.times[row];
            let mut hash = prepared.hashes[row];
            let mut place = Place::default();
            let mut number = 0;
            if let Some(hops) = &self.hops {
                stream_time = stream_time.max(time);
                let close = stream_time.saturating_sub(grace);
                if !self.near.as_ref().is_some_and(|near| near.holds(time, close, hops.pane)) {
                    let Some(place) = hops.place(time, close) else {
                        self.late += 1;
                        continue;
                    };
                    let number = self.near.as_ref().map_or(0, |near| near.number.wrapping_add(1));
                    if number == 0 {
                        // Numbers begin anew.
                        self.cache.forget();
                    }
                    self.near = Some(Near::of(hops, place, number));
                }
                if let Some(near) = &self.near {
                    hash ^= near.hash;
                    place = near.place;
                    number = near.number;
                }
            }
            let same_place = |entry| groups.place(entry) == place;
            let same_group = |entry| groups.is_of(entry, numbered, &prepared.keys, row);
            let entry = self.cache.get(hash, number, same_place, same_group).unwrap_or_else(|| {
                let entry = groups.push(numbered, &prepared.keys, row, place, self.empty.clone());
                self.cache.set(hash, number, entry);
                entry
            });
            if let Some(parts) = groups.accums.add_row(entry, time) {
                add_args(parts, &self.grouping.calls, &prepared.args, row, 1, prepared.place(row));
            }
        }
        groups.number(numbered, &prepared.keys);
        if groups.accums.len() >= GROUPS
            && let Some((capability, groups)) = self.epochs.remove(&epoch)
        {
            self.cache.forget();
            self.room = groups.accums.len();
            let parcels = groups.parcels(numbered, (0, 0));
            send(&capability, parcels);
        }
    }

    /// Sends the groups of epochs before `frontier` (of all when there is none).
    fn flush(&mut self, frontier: Option<u64>, send: &mut impl FnMut(&Capability<u64>, Vec<Parcel>)) {
        // Batches that wait for their turn hold their epochs open.
        let open = frontier.into_iter().chain(self.turns.held()).min();
        while let Some(entry) = self.epochs.first_entry() {
            if open.is_some_and(|open| *entry.key() >= open) {
                break;
            }
            let (epoch, (capability, groups)) = entry.remove_entry();
            if epoch == self.cache.epoch {
                self.cache.forget();
            }
            self.room = groups.accums.len();
            let parcels = groups.parcels(&mut self.groups.borrow_mut(), (0, 0));
            send(&capability, parcels);
        }
    }

    /// Rows of a batch as sessions of their own. A row far enough inside the grace sees no session that has expired,
    /// so it may be joined with its neighbours here; another goes on its own, with the time that decides for it.
    fn sessions(&mut self, epoch: u64, prepared: &Prepared, before: i64, gap: i64, grace: i64) -> Vec<Parcel> {
        let order = (prepared.origin.partition, prepared.origin.sequence);
        let mut groups = Entries::new(epoch, self.room);
        groups.stream_time = Some(prepared.max_time);
        // Entries of one batch: it knows none of the one before.
        self.cache.turn_to(0, &prepared.keys);
        let numbered = &mut self.groups.borrow_mut();
        numbered.turn_to(&prepared.keys, epoch);
        let mut stream_time = before;
        for row in prepared.rows() {
            let time = prepared.times[row];
            stream_time = stream_time.max(time);
            let close = stream_time.saturating_sub(grace).saturating_sub(gap);
            let safe = time.saturating_sub(gap) >= close;
            let hash = prepared.hashes[row];
            let same_group = |entry| groups.is_of(entry, numbered, &prepared.keys, row);
            let found = self.cache.get(hash, 0, |_| true, same_group).filter(|&i| {
                let ((start, close), end) = (groups.sessions[i], groups.accums.times().get(i));
                safe && close == i64::MIN && time.saturating_add(gap) >= start && time.saturating_sub(gap) <= end
            });
            let entry = found.unwrap_or_else(|| {
                let entry = groups.push(numbered, &prepared.keys, row, Place::default(), self.empty.clone());
                groups.sessions.push((time, if safe { i64::MIN } else { close }));
                self.cache.set(hash, 0, entry);
                entry
            });
            let session = &mut groups.sessions[entry];
            session.0 = session.0.min(time);
            if let Some(parts) = groups.accums.add_row(entry, time) {
                add_args(parts, &self.grouping.calls, &prepared.args, row, 1, prepared.place(row));
            }
        }
        groups.number(numbered, &prepared.keys);
        self.cache.forget();
        self.room = groups.accums.len();
        groups.parcels(numbered, order)
    }
}

/// Adds a row's arguments to an accumulator's parts, or takes them back (`sign` −1).
pub fn add_args(
    parts: &mut [Part],
    calls: &[AggregateCall],
    args: &[Option<(ArrayRef, crate::row::SqlType)>],
    row: usize,
    sign: i64,
    place: gathered::Place,
) {
    let calls = calls.iter().filter(|c| c.function != AggregateFunction::CountRows);
    for ((part, call), arg) in parts.iter_mut().zip(calls).zip(args) {
        if let Some((column, ty)) = arg {
            part.add(call.function, &packed::cell(column, ty, row), sign, place);
        }
    }
}
