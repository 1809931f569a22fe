//! Rows to partial accumulators: what is sent to other workers is what a batch adds to each group, not its rows.
//!
//! Two operators. *Prepare* evaluates group keys and arguments on the whole batch. *Combine* judges the rows against the
//! stream time of their partition, finds their windows ([`streaks`](super::streaks)), and adds each to its group's entry
//! among this epoch's, some hundred together; at the end of the epoch the entries go out, a [`Parcel`] for each worker. The
//! entry is looked for in a small direct-mapped cache ([`Cache`]), and is a new one where the cache has forgotten it: who
//! keeps the group puts entries in order and adds them up anyway. Where a partition's batches are dealt out to several
//! workers, prepare tells all of them the greatest time of its batch, and combine waits until it knows the times of all
//! earlier batches: a row is late or not whatever worker sees it.

use super::parcels::{Entries, Parcel};
use super::port::Flow;
use super::streaks::{Judge, Streak};
use super::turns::{self, Summary, Turn, Turns};
use super::windows::Hops;
use super::{SharedReports, steps};
use crate::arrange::narrow::in_order;
use crate::arrange::{Accum, Groups, Part, Place, gathered};
use crate::plan::aggregate::{AggregateCall, AggregateFunction};
use crate::plan::{NamedExpr, Windowing};
use crate::prefetch::prefetch;
use crate::row::packed;
use crate::row::packer::{Apart, Basis, Packer};
use crate::row::{Batch, Origin};
use crate::safepoint;
use crate::time::WindowSpec;
use arrow_array::ArrayRef;
use arrow_buffer::ScalarBuffer;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
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

/// The least and the greatest of no times.
const NEVER: (i64, i64) = (i64::MAX, i64::MIN);

/// A batch with its group keys and arguments evaluated.
struct Prepared {
    offsets: ScalarBuffer<i64>,
    origin: Origin,
    keys: Packer,
    /// Arguments of each call that has parts (all but counts of rows).
    args: Vec<Option<(ArrayRef, crate::row::SqlType)>>,
    /// Rows whose key has no null; `None`: all.
    rows: Option<Vec<u32>>,
    /// The time of each of these.
    times: ScalarBuffer<i64>,
    /// The least and the greatest of the times.
    span: (i64, i64),
    /// Of the key of each, for the cache.
    hashes: Vec<u64>,
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
        let rows = keys.rows_without_null();
        let (mut times, mut hashes) = (batch.times.clone(), keys.hashes(batch.len()));
        if let Some(rows) = &rows {
            (times, hashes) = (in_order(&times, rows).into(), in_order(&hashes, rows));
        }
        let span = times.iter().fold(NEVER, |(least, most), time| (least.min(*time), most.max(*time)));
        let (offsets, origin) = (batch.offsets.clone(), batch.origin);
        Prepared { offsets, origin, keys, args, rows, times, span, hashes }
    }

    /// A row of the batch by its number among those whose key has no null.
    #[inline]
    fn row(&self, at: usize) -> usize {
        self.rows.as_ref().map_or(at, |rows| rows[at] as usize)
    }

    /// Adds the arguments of a row whose key has no null to an entry's parts, if it has some.
    #[inline]
    fn add_args(&self, at: usize, calls: &[AggregateCall], parts: Option<&mut [Part]>) {
        if let Some(parts) = parts {
            let row = self.row(at);
            add_args(parts, calls, &self.args, row, 1, self.place(row));
        }
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
        self.span.1
    }
}

/// Of a cache: a power of two.
const SLOTS: usize = 1 << 12;

/// Where the entry of a group that was seen lately is. A slot forgets its group when another one needs it: small enough
/// to stay in the processor's cache, which is worth more than to find every group again.
struct Cache {
    slots: Box<[Slot; SLOTS]>,
    /// Those that know an entry.
    taken: Vec<u32>,
    /// The epoch whose entries it knows.
    epoch: u64,
    /// The last streak's number.
    streak: u32,
    /// What its hashes stand for, where they alone tell groups apart.
    basis: Option<Basis>,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    hash: u64,
    /// The entry's number, from 1; 0 is none.
    entry: u32,
    /// [`Streak::number`] of the row that was there last.
    streak: u32,
}

impl Cache {
    fn new() -> Self {
        let (slots, taken) = (Box::new([Slot::default(); SLOTS]), Vec::new());
        Cache { slots, taken, epoch: 0, streak: 0, basis: None }
    }

    /// The slot for this hash.
    #[inline]
    fn at(hash: u64) -> usize {
        (hash >> (u64::BITS - SLOTS.ilog2())) as usize
    }

    /// The entry of a group whose rows have this hash, where all are in one place. `same_group`: whether an entry is of it.
    #[inline]
    fn get(&self, hash: u64, same_group: impl FnOnce(usize) -> bool) -> Option<usize> {
        let slot = &self.slots[Self::at(hash)];
        let entry = (slot.entry as usize).checked_sub(1).filter(|_| slot.hash == hash)?;
        same_group(entry).then_some(entry)
    }

    /// The entries of some rows of a streak, by their numbers among those whose key has no null; new ones where it knows none.
    fn entries(
        &mut self,
        rows: Range<usize>,
        streak: &Streak,
        prepared: &Prepared,
        groups: &mut Entries,
        numbered: &mut Groups,
        found: &mut [usize],
    ) {
        if streak.number < self.streak {
            self.forget();
        }
        self.streak = streak.number;
        self.expect(&prepared.hashes[rows.clone()], streak.hash);
        // Asked once: most keys are told so.
        let told_by_hash = matches!(prepared.keys.apart(), Some(Apart::Words(_)));
        for ((at, hash), found) in rows.clone().zip(&prepared.hashes[rows]).zip(found) {
            let hash = hash ^ streak.hash;
            let slot = self.slots[Self::at(hash)];
            let entry = slot.entry.wrapping_sub(1) as usize;
            let is_known = slot.entry > 0
                && slot.hash == hash
                && (slot.streak == streak.number || groups.place(entry) == streak.place)
                && (told_by_hash || groups.is_of(entry, numbered, &prepared.keys, prepared.row(at)));
            *found = if is_known { entry } else { groups.push(numbered, &prepared.keys, prepared.row(at)) };
            if !is_known || slot.streak != streak.number {
                self.set(hash, *found);
            }
        }
    }

    /// Will be asked for rows of these hashes, which have places of this hash.
    #[inline]
    fn expect(&self, hashes: &[u64], place: u64) {
        hashes.iter().for_each(|hash| prefetch(&self.slots[Self::at(hash ^ place)]));
    }

    /// From now on rows that have this hash are of this entry.
    #[inline]
    fn set(&mut self, hash: u64, entry: usize) {
        let slot = &mut self.slots[Self::at(hash)];
        if slot.entry == 0 {
            self.taken.push(Self::at(hash) as u32);
        }
        // An entry beyond 32 bits is never found again.
        *slot = Slot { hash, entry: u32::try_from(entry + 1).unwrap_or(0), streak: self.streak };
    }

    fn forget(&mut self) {
        self.taken.drain(..).for_each(|at| self.slots[at as usize] = Slot::default());
    }

    /// Is asked for rows of these keys, and knows entries of this epoch from now on.
    fn turn_to(&mut self, epoch: u64, keys: &Packer) {
        if epoch != self.epoch || self.basis.as_ref() != keys.basis() {
            self.forget();
            self.epoch = epoch;
            self.basis = keys.basis().cloned();
        }
    }
}

/// So many rows are looked up together, and then added together.
const BLOCK: usize = 256;

/// The combiner's state, apart from timely.
struct Combiner {
    grouping: Grouping,
    judge: Judge,
    groups: SharedGroups,
    empty: Accum,
    turns: Turns<Prepared>,
    /// Groups by epoch.
    epochs: BTreeMap<u64, (Capability<u64>, Entries)>,
    cache: Cache,
    /// How many entries went out last.
    last: usize,
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
    let (hops, grace) = grouping.window.map_or((None, 0), |w| (Hops::new(w.spec), w.grace.0));
    let mut combiner = Combiner {
        empty: Accum::empty(&grouping.calls),
        grouping,
        judge: Judge::new(hops, grace),
        groups: Rc::clone(groups),
        turns: Turns::default(),
        epochs: BTreeMap::new(),
        cache: Cache::new(),
        last: 0,
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
                let late = std::mem::take(&mut combiner.judge.late);
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
            _ => self.groups(capability, &batch, before, send),
        }
    }

    fn groups(
        &mut self,
        capability: Capability<u64>,
        prepared: &Prepared,
        before: i64,
        send: &mut impl FnMut(&Capability<u64>, Vec<Parcel>),
    ) {
        let epoch = *capability.time();
        let last = self.last;
        let (_, groups) = self.epochs.entry(epoch).or_insert_with(|| (capability, Entries::new(epoch, last)));
        groups.stream_time = groups.stream_time.max(Some(prepared.span.1));
        self.cache.turn_to(epoch, &prepared.keys);
        let numbered = &mut self.groups.borrow_mut();
        numbered.turn_to(&prepared.keys, epoch);
        let mut found = [0; BLOCK];
        let (mut next, mut stream_time) = (0, before);
        while let Some(streak) = self.judge.next(&prepared.times, prepared.span, next, &mut stream_time) {
            next = streak.rows.end;
            for from in streak.rows.clone().step_by(BLOCK) {
                let rows = from..next.min(from + BLOCK);
                let found = &mut found[..rows.len()];
                self.cache.entries(rows.clone(), &streak, prepared, groups, numbered, found);
                groups.fill(streak.place, &self.empty);
                groups.accums.add_rows(found, &prepared.times[rows.clone()]);
                if self.empty.parts.is_some() {
                    for (at, entry) in rows.zip(&*found) {
                        prepared.add_args(at, &self.grouping.calls, groups.accums.parts_mut(*entry));
                    }
                }
            }
        }
        groups.number(numbered, &prepared.keys);
        if groups.accums.len() >= GROUPS
            && let Some((capability, groups)) = self.epochs.remove(&epoch)
        {
            self.cache.forget();
            self.last = groups.accums.len();
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
            self.last = groups.accums.len();
            let parcels = groups.parcels(&mut self.groups.borrow_mut(), (0, 0));
            send(&capability, parcels);
        }
    }

    /// Rows of a batch as sessions of their own. A row far enough inside the grace sees no session that has expired,
    /// so it may be joined with its neighbours here; another goes on its own, with the time that decides for it.
    fn sessions(&mut self, epoch: u64, prepared: &Prepared, before: i64, gap: i64, grace: i64) -> Vec<Parcel> {
        let order = (prepared.origin.partition, prepared.origin.sequence);
        let mut groups = Entries::new(epoch, self.last);
        groups.sessions.reserve(self.last);
        groups.stream_time = Some(prepared.span.1);
        // Entries of one batch: it knows none of the one before.
        self.cache.turn_to(0, &prepared.keys);
        let numbered = &mut self.groups.borrow_mut();
        numbered.turn_to(&prepared.keys, epoch);
        let mut stream_time = before;
        for (at, (&time, &hash)) in prepared.times.iter().zip(&prepared.hashes).enumerate() {
            let row = prepared.row(at);
            if at % BLOCK == 0 {
                self.cache.expect(&prepared.hashes[at..prepared.hashes.len().min(at + BLOCK)], 0);
            }
            stream_time = stream_time.max(time);
            let close = stream_time.saturating_sub(grace).saturating_sub(gap);
            let safe = time.saturating_sub(gap) >= close;
            let same_group = |entry| groups.is_of(entry, numbered, &prepared.keys, row);
            let found = self.cache.get(hash, same_group).filter(|&i| {
                let ((start, close), end) = (groups.sessions[i], groups.accums.times().get(i));
                safe && close == i64::MIN && time.saturating_add(gap) >= start && time.saturating_sub(gap) <= end
            });
            let entry = found.unwrap_or_else(|| {
                let entry = groups.push(numbered, &prepared.keys, row);
                groups.fill(Place::default(), &self.empty);
                groups.sessions.push((time, if safe { i64::MIN } else { close }));
                self.cache.set(hash, entry);
                entry
            });
            let session = &mut groups.sessions[entry];
            session.0 = session.0.min(time);
            groups.accums.add_row(entry, time);
            prepared.add_args(at, &self.grouping.calls, groups.accums.parts_mut(entry));
        }
        groups.number(numbered, &prepared.keys);
        self.cache.forget();
        self.last = groups.accums.len();
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
