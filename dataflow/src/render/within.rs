//! The stream-stream join: rows of one key whose times are near each other.
//!
//! As in Kafka Streams, each row looks for the rows of the other side that came before it, then waits to be found. Rows are
//! taken epoch by epoch, within an epoch in the order of their clocks (see [`super::arrivals`]), then left before right, then
//! partition and offset: what comes out depends on what is in an epoch, not on workers, processes or the cut of batches.
//!
//! - A row is kept until its partition's clock on its own side is ahead by the windows' length and the grace. One that is
//!   older than that when it comes is late: it still looks, but is not kept.
//! - With GRACE PERIOD a row of an outer side that has found nothing is *open*: it comes out alone when the clock of its
//!   partition, on either side, has passed its window's end and the grace. One whose window is past already comes out at
//!   once, as all do without GRACE PERIOD.
//!
//! Where the inputs end (a replay), each side waits for the other: a row is taken when all that come before it, in the order
//! of clocks over the whole input, are known, so it does not even matter what is in an epoch. Inputs that go on for ever are
//! taken as they come.
//!
//! Kept rows lie in a [`Store`] under key, side and time, so a row reads no more than what is in its window, and a stretch
//! of time is dropped when it is over. Open rows are also held in memory, by the time at which they close.
//! What a worker joins goes to the worker of the partition of the row that came last, and there in order: of an epoch, or
//! where each side waits for the other, of the whole input.

use super::SharedReports;
use super::arrivals::{Arrival, Arrivals};
use super::epochs::{Waiting, by_epoch};
use super::port::Flow;
use crate::arrange::reader::Reader;
use crate::arrange::{Accum, PackedKeys, Run, Store};
use crate::plan::join::Join;
use crate::row::packed;
use crate::row::{Batch, Origin, Schema, SqlType, Value};
use crate::sql::ast::JoinKind;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::operator::Operator;

/// The join's window, in ms.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// How far a right row's time may lie before the left one's.
    pub before: i64,
    /// How far after.
    pub after: i64,
    /// With GRACE PERIOD.
    pub grace: Option<i64>,
}

/// Grace of a join without GRACE PERIOD: a day, with the window.
const DAY_MS: i64 = 86_400_000;

/// Into how many stretches what is kept is cut.
const STRETCHES: i64 = 16;

impl Window {
    /// How long a row is kept.
    fn retention(self) -> i64 {
        let grace = self.grace.unwrap_or((DAY_MS - self.before.saturating_mul(2)).max(0));
        self.before.saturating_add(self.after).saturating_add(grace)
    }

    /// How far before and after a row of a side those that it meets may lie.
    fn reach(self, right: bool) -> (i64, i64) {
        if right { (self.after, self.before) } else { (self.before, self.after) }
    }
}

/// A row's place among the rows of an epoch: clock; those that come out alone before others; then for those alone time and
/// side (right first), for others side and place. (Then the key.)
type Order = (i64, bool, i64, bool, u32, u64, u32);

/// A joined row on its way.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Joined {
    home: u64,
    partition: u32,
    order: Order,
    key: Box<[u8]>,
    /// The how many-eth it is of its place and key.
    n: u32,
    value: Box<[u8]>,
    time: i64,
}

/// What a worker has joined, for the worker where these rows are put in order.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Released {
    home: u64,
    worker: u64,
    /// This worker has brought all rows whose clock is before this one.
    upto: i64,
    rows: Vec<Joined>,
}

/// A row that has found nothing yet.
struct Open {
    partition: u32,
    value: Box<[u8]>,
}

/// Of a key: by side (right is true) and time.
type OpenOfKey = BTreeMap<(bool, i64), Vec<Open>>;

/// Of a partition: when rows close, their time, of the left side, key.
type Closing = BTreeSet<(i64, i64, bool, Box<[u8]>)>;

/// Rows for one stretch of the store.
type Stored = Vec<(Vec<u8>, Accum)>;

/// A kept row: time, partition, batch, row.
type Place = (i64, u32, u64, u32);

/// A partition's clock before the epoch and after it.
type Clock = (i64, i64);

struct Meeting {
    window: Window,
    kind: JoinKind,
    peers: u64,
    /// Nulls in place of a side's columns, and of the key's.
    nulls: [Box<[u8]>; 2],
    null_key: Box<[u8]>,
    store: Store<PackedKeys>,
    /// How often rows have been taken: the epochs of the store.
    round: u64,
    /// By side and partition.
    clocks: [HashMap<u32, Clock>; 2],
    /// By key.
    open: HashMap<Box<[u8]>, OpenOfKey>,
    /// By partition.
    closing: BTreeMap<u32, Closing>,
    late: u64,
    /// Rows that have not been taken yet.
    waiting: Vec<Coming>,
}

/// How far rows may be taken: those of each side with a clock up to this; and the clock that all rows have reached then.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Upto {
    sides: [i64; 2],
    clock: i64,
}

impl Upto {
    const ALL: Upto = Upto { sides: [i64::MAX; 2], clock: i64::MAX };
}

/// Joins two sides' rows. `wait`: the inputs end, and each side waits for the other.
pub fn render<'scope>(
    left: Flow<'scope, Arrivals>,
    right: Flow<'scope, Arrivals>,
    join: &Join,
    window: Window,
    wait: bool,
    view: &str,
    reports: &SharedReports,
) -> Flow<'scope, Batch> {
    let nulls = |columns: usize| vec![0; columns].into_boxed_slice();
    let mut meeting = Meeting {
        window,
        kind: join.kind,
        peers: left.scope().peers() as u64,
        nulls: [nulls(join.left.columns.len()), nulls(join.right.columns.len())],
        null_key: nulls(join.key.len()),
        store: Store::new((window.retention() / STRETCHES).max(1)),
        round: 0,
        clocks: Default::default(),
        open: HashMap::new(),
        closing: BTreeMap::new(),
        late: 0,
        waiting: Vec::new(),
    };
    let (name, view, reports) = (format!("Meet {}", join.name), view.to_owned(), reports.clone());
    let (worker, peers) = (left.scope().index() as u64, left.scope().peers());
    let joined = left.binary_frontier::<_, CapacityContainerBuilder<Vec<Released>>, _, _, _, _>(
        right,
        Exchange::new(|a: &Arrivals| a.target),
        Exchange::new(|a: &Arrivals| a.target),
        &name,
        move |_, _| {
            let mut waiting: Waiting<Arrivals> = Waiting::default();
            // For rows that wait for the other side.
            let mut held: Option<Capability<u64>> = None;
            let mut last = Upto { sides: [i64::MIN; 2], clock: i64::MIN };
            move |(left, left_frontier), (right, right_frontier), output| {
                for input in [left, right] {
                    input.for_each(|time, data| {
                        if let Some(capability) = time.retain_least(0) {
                            waiting.add(capability, data);
                        }
                    });
                }
                let fronts = [left_frontier, right_frontier].map(|f| f.frontier().first().copied());
                let open = fronts.iter().flatten().copied().min().unwrap_or(u64::MAX);
                while let Some((capability, arrivals)) = waiting.next(Some(open)) {
                    meeting.take(arrivals);
                    if !wait {
                        let rows = meeting.release(Upto::ALL);
                        output.session(&capability).give_iterator(released(rows, worker, peers, i64::MAX));
                    }
                    held = Some(capability);
                }
                if let Some(capability) = held.as_mut().filter(|_| wait) {
                    // A side that has ended may have brought what the other one's epochs hold back here.
                    let upto = meeting.upto(fronts.map(|f| f.is_none() && waiting.is_empty()));
                    if upto != last {
                        let rows = meeting.release(upto);
                        output.session(&capability).give_iterator(released(rows, worker, peers, upto.clock));
                        last = upto;
                    }
                    if open < u64::MAX {
                        capability.downgrade(&open);
                    }
                }
                // Open rows may come out when the other side ends.
                if open == u64::MAX || meeting.waiting.is_empty() && (!wait || meeting.closing.is_empty()) {
                    held = None;
                }
                let late = std::mem::take(&mut meeting.late);
                if late > 0 {
                    *reports.borrow_mut().late.entry(view.clone()).or_default() += late;
                }
            }
        },
    );
    if wait { in_order(joined, join.schema(), peers) } else { gather(joined, join.schema()) }
}

/// Rows for all workers, each of which is told how far they go.
fn released(rows: Vec<Joined>, worker: u64, peers: usize, upto: i64) -> impl Iterator<Item = Released> {
    let mut all: Vec<Released> =
        (0..peers as u64).map(|home| Released { home, worker, upto, rows: Vec::new() }).collect();
    for row in rows {
        if let Some(released) = all.get_mut(row.home as usize) {
            released.rows.push(row);
        }
    }
    all.into_iter()
}

/// The next number of each partition's batches.
type Sequences = HashMap<u32, u64>;

/// Rows as batches, one a partition, in order.
fn batches(mut rows: Vec<Joined>, schema: &Schema, sequences: &mut Sequences) -> Vec<Batch> {
    rows.sort_by(|a, b| (a.partition, a.order, &a.key, a.n).cmp(&(b.partition, b.order, &b.key, b.n)));
    let partitions = rows.chunk_by(|a, b| a.partition == b.partition);
    partitions
        .filter_map(|rows| {
            let partition = rows.first()?.partition;
            let next = sequences.entry(partition).or_default();
            let origin = Origin { partition, sequence: *next };
            *next += 1;
            Some(batch(schema, rows, origin))
        })
        .collect()
}

/// Rows of an epoch in order.
fn gather(joined: Flow<'_, Released>, schema: Schema) -> Flow<'_, Batch> {
    let mut sequences = Sequences::new();
    by_epoch(
        joined,
        "In order",
        |r: &Released| r.home,
        move |released| batches(released.into_iter().flat_map(|r| r.rows).collect(), &schema, &mut sequences),
    )
}

/// Rows in the order of their clocks, whatever the epochs in which workers bring them: a row waits until all workers have
/// brought those before it.
fn in_order(joined: Flow<'_, Released>, schema: Schema, peers: usize) -> Flow<'_, Batch> {
    joined.unary_frontier::<CapacityContainerBuilder<Vec<Batch>>, _, _, _>(
        Exchange::new(|r: &Released| r.home),
        "In order",
        move |_, _| {
            let mut sequences = Sequences::new();
            let mut reached: HashMap<u64, i64> = HashMap::new();
            let mut waiting: Vec<Joined> = Vec::new();
            let mut held: Option<Capability<u64>> = None;
            move |(input, frontier), output| {
                input.for_each(|time, data| {
                    for Released { worker, upto, rows, .. } in data.drain(..) {
                        reached.insert(worker, upto);
                        waiting.extend(rows);
                    }
                    if held.is_none() {
                        held = time.retain_least(0);
                    }
                });
                let Some(capability) = held.as_mut() else { return };
                let open = frontier.frontier().first().copied();
                let upto = match open {
                    Some(_) if reached.len() < peers => i64::MIN,
                    Some(_) => reached.values().copied().min().unwrap_or(i64::MIN),
                    None => i64::MAX,
                };
                let (ready, later) = std::mem::take(&mut waiting).into_iter().partition(|row| row.order.0 < upto);
                waiting = later;
                let ready = batches(ready, &schema, &mut sequences);
                output.session(&capability).give_iterator(ready.into_iter());
                match open {
                    Some(open) if !waiting.is_empty() => capability.downgrade(&open.max(*capability.time())),
                    _ => held = None,
                }
            }
        },
    )
}

fn batch(schema: &Schema, rows: &[Joined], origin: Origin) -> Batch {
    let types = |columns: &[crate::row::Column]| -> Vec<SqlType> { columns.iter().map(|c| c.ty.clone()).collect() };
    let (key_types, value_types) = (types(&schema.key), types(&schema.value));
    let mut cells: Vec<Vec<Value>> = vec![Vec::with_capacity(rows.len()); schema.len()];
    for row in rows {
        let (mut key, mut value) = (&row.key[..], &row.value[..]);
        let values = packed::pop_all(&mut key, &key_types).into_iter().chain(packed::pop_all(&mut value, &value_types));
        cells.iter_mut().zip(values).for_each(|(column, cell)| column.push(cell));
    }
    Batch {
        columns: schema.columns().zip(&cells).map(|(c, cells)| Some(packed::column(&c.ty, cells.iter()))).collect(),
        times: rows.iter().map(|r| r.time).collect(),
        offsets: (0..rows.len() as i64).collect(),
        tombstones: None,
        origin,
    }
}

/// Appends what stands behind a row's key in the store.
fn push_place(out: &mut Vec<u8>, right: bool, (time, partition, sequence, row): Place) {
    out.push(u8::from(right));
    packed::push_i64(out, time);
    out.extend_from_slice(&partition.to_be_bytes());
    out.extend_from_slice(&sequence.to_be_bytes());
    out.extend_from_slice(&row.to_be_bytes());
}

/// The length of what [`push_place`] wrote.
const PLACE: usize = 1 + 8 + 4 + 8 + 4;

/// Reads side, time and partition of what [`push_place`] wrote.
fn read_place(suffix: &[u8]) -> (bool, i64, u32) {
    let right = suffix.first() == Some(&1);
    let partition = suffix.get(9..13).and_then(|b| b.try_into().ok()).map_or(0, u32::from_be_bytes);
    (right, packed::read_i64(suffix.get(1..).unwrap_or_default()), partition)
}

/// A row and where it comes from.
struct Coming {
    right: bool,
    partition: u32,
    sequence: u64,
    arrival: Arrival,
}

impl Meeting {
    /// Rows of this side come out alone when they find nothing.
    fn outer(&self, right: bool) -> bool {
        match self.kind {
            JoinKind::Inner => false,
            JoinKind::Left => !right,
            JoinKind::Right => right,
            JoinKind::Full => true,
        }
    }

    /// A partition's clock on one side, when the epoch's rows up to this clock have been taken.
    fn clock(&self, right: bool, partition: u32, at: i64) -> i64 {
        let (before, after) = self.clocks[usize::from(right)].get(&partition).copied().unwrap_or((i64::MIN, i64::MIN));
        before.max(after.min(at))
    }

    /// The same on either side.
    fn either(&self, partition: u32, at: i64) -> i64 {
        self.clock(false, partition, at).max(self.clock(true, partition, at))
    }

    /// When an open row comes out: its partition's clock is past this.
    fn close(&self, right: bool, time: i64) -> i64 {
        time.saturating_add(self.window.reach(right).1).saturating_add(self.window.grace.unwrap_or(0))
    }

    /// Takes in what came.
    fn take(&mut self, arrivals: Vec<Arrivals>) {
        for Arrivals { right, partition, sequence, clock, rows, .. } in arrivals {
            let known = self.clocks[usize::from(right)].entry(partition).or_insert((i64::MIN, i64::MIN));
            known.1 = known.1.max(clock);
            self.waiting.extend(rows.into_iter().map(|arrival| Coming { right, partition, sequence, arrival }));
        }
    }

    /// The rows before which nothing can come any more, where each side waits for the other unless that has ended.
    fn upto(&self, ended: [bool; 2]) -> Upto {
        let side = |right: usize| match ended[right] {
            true => i64::MAX,
            false => self.clocks[right].values().map(|c| c.1).min().unwrap_or(i64::MIN),
        };
        let (left, right) = (side(0), side(1));
        let clock = left.min(right);
        // Of rows with one clock the left ones come first.
        Upto { sides: [clock, if left > clock { clock } else { clock.saturating_sub(1) }], clock }
    }

    /// What the waiting rows make, as far as they may be taken.
    fn release(&mut self, upto: Upto) -> Vec<Joined> {
        let (mut coming, waiting): (Vec<Coming>, Vec<Coming>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|c| c.arrival.clock <= upto.sides[usize::from(c.right)]);
        self.waiting = waiting;
        // A key is joined apart from the others; its rows in order.
        coming.sort_by(|a, b| {
            let place = |c: &Coming| (c.arrival.clock, c.right, c.partition, c.sequence, c.arrival.row);
            (&a.arrival.key, place(a)).cmp(&(&b.arrival.key, place(b)))
        });
        let times = coming.iter().map(|c| c.arrival.time);
        let (first, last) = (times.clone().min().unwrap_or(0), times.max().unwrap_or(0));
        let reach = self.window.before.max(self.window.after);
        let oldest = self.store.first_stretch().unwrap_or(0);
        let low = self.store.stretch(first.saturating_sub(reach));
        let high = self.store.stretch(last.saturating_add(reach)).max(oldest);
        let mut reader = self.store.read(low..=high, u64::MAX);
        let mut out = Vec::new();
        let mut kept: BTreeMap<i64, Stored> = BTreeMap::new();
        for rows in coming.chunk_by(|a, b| a.arrival.key == b.arrival.key) {
            match rows.first().and_then(|r| r.arrival.key.clone()) {
                None => {
                    rows.iter().filter(|r| self.outer(r.right)).for_each(|r| self.alone(&self.null_key, r, &mut out))
                }
                Some(key) => self.key(&key, rows, &mut reader, oldest, &mut kept, &mut out),
            }
        }
        self.round += 1;
        let epoch = self.round;
        let runs = kept.into_iter().map(|(stretch, mut rows)| {
            rows.sort_by(|a, b| a.0.cmp(&b.0));
            let mut run = Run::new(epoch, rows.len(), rows.iter().map(|r| r.0.len()).sum());
            rows.into_iter().for_each(|(key, accum)| run.push(key.as_slice(), accum));
            (stretch, run)
        });
        self.store.insert(runs.collect(), epoch + 1);
        self.store.compact(epoch);
        self.store.merge();
        self.close_open(upto.clock, &mut out);
        self.forget(upto.clock);
        // Clocks count from here on.
        let all = upto.clock == i64::MAX;
        self.clocks.iter_mut().flat_map(HashMap::values_mut).for_each(|c| c.0 = if all { c.1 } else { i64::MIN });
        out
    }

    /// Joins an epoch's rows of one key.
    fn key(
        &mut self,
        key: &[u8],
        rows: &[Coming],
        reader: &mut Reader<PackedKeys>,
        oldest: i64,
        kept: &mut BTreeMap<i64, Stored>,
        out: &mut Vec<Joined>,
    ) {
        // What this epoch has brought so far, by side.
        let mut fresh: [BTreeMap<Place, &Arrival>; 2] = Default::default();
        for coming in rows {
            let Coming { right, partition, sequence, arrival } = coming;
            let (right, time, now) = (*right, arrival.time, arrival.clock);
            let (back, ahead) = self.window.reach(right);
            let (from, to) = (time.saturating_sub(back), time.saturating_add(ahead));
            let mut matches = self.stored(reader, key, !right, from, to, now);
            for ((time, partition, ..), other) in
                fresh[usize::from(!right)].range((from, 0, 0, 0)..=(to, u32::MAX, u64::MAX, u32::MAX))
            {
                if self.is_kept(!right, *partition, *time, now) {
                    matches.push((*time, other.value.clone()));
                }
            }
            // By time; of the same time the one first that came first.
            matches.sort_by_key(|m| m.0);
            for (n, (other_time, other)) in matches.iter().enumerate() {
                let value = if right { [&**other, &arrival.value] } else { [&*arrival.value, other] }.concat();
                out.push(Joined {
                    home: u64::from(*partition) % self.peers,
                    partition: *partition,
                    order: (now, true, 0, right, *partition, *sequence, arrival.row),
                    key: key.into(),
                    n: n as u32,
                    value: value.into(),
                    time: time.max(*other_time),
                });
                self.found(key, !right, *other_time, now);
            }
            if matches.is_empty() && self.outer(right) {
                // Where the window is past already nothing is waited for.
                if self.window.grace.is_none() || to < self.either(*partition, now) {
                    self.alone(key, coming, out);
                } else {
                    let open = Open { partition: *partition, value: arrival.value.clone() };
                    self.open.entry(key.into()).or_default().entry((right, time)).or_default().push(open);
                    let closing = (self.close(right, time), time, !right, key.into());
                    self.closing.entry(*partition).or_default().insert(closing);
                }
            }
            if self.is_kept(right, *partition, time, now) {
                let place = (time, *partition, *sequence, arrival.row);
                let mut stored = key.to_vec();
                push_place(&mut stored, right, place);
                let accum = Accum::latest(0, Some(arrival.value.clone()), time);
                kept.entry(self.store.stretch(time).max(oldest)).or_default().push((stored, accum));
                fresh[usize::from(right)].insert(place, arrival);
            } else {
                self.late += 1;
            }
        }
    }

    /// A row of this time is still to be found, when rows up to a clock have been taken.
    fn is_kept(&self, right: bool, partition: u32, time: i64, at: i64) -> bool {
        time > self.clock(right, partition, at).saturating_sub(self.window.retention())
    }

    /// The stored rows of a key and side in this time, with their times.
    fn stored(
        &self,
        reader: &mut Reader<PackedKeys>,
        key: &[u8],
        right: bool,
        from: i64,
        to: i64,
        at: i64,
    ) -> Vec<(i64, Box<[u8]>)> {
        let mut seek = key.to_vec();
        push_place(&mut seek, right, (from, 0, 0, 0));
        if reader.key().is_none_or(|key| key > seek.as_slice()) {
            reader.rewind();
        }
        reader.seek(&seek);
        let mut rows = Vec::new();
        while let Some(stored) = reader.key() {
            if stored.len() != key.len() + PLACE || !stored.starts_with(key) {
                break;
            }
            let (side, time, partition) = read_place(&stored[key.len()..]);
            if side != right || time > to {
                break;
            }
            if self.is_kept(right, partition, time, at)
                && let Some(accum) = reader.accum()
                && let Some(row) = accum.row()
            {
                rows.push((time, row.into()));
            }
            reader.step();
        }
        rows
    }

    /// Rows of this key, side and time have found something: those that are open and have not closed yet are no more.
    fn found(&mut self, key: &[u8], right: bool, time: i64, at: i64) {
        if self.open.is_empty() {
            return;
        }
        let close = self.close(right, time);
        let closed: BTreeSet<u32> =
            self.closing.keys().copied().filter(|partition| self.either(*partition, at) > close).collect();
        let Some(of_key) = self.open.get_mut(key) else { return };
        if let Some(rows) = of_key.get_mut(&(right, time)) {
            rows.retain(|open| closed.contains(&open.partition));
            if rows.is_empty() {
                of_key.remove(&(right, time));
            }
        }
        if of_key.is_empty() {
            self.open.remove(key);
        }
    }

    /// A row comes out without another.
    fn alone(&self, key: &[u8], coming: &Coming, out: &mut Vec<Joined>) {
        let Coming { right, partition, sequence, arrival } = coming;
        let order = (arrival.clock, true, 0, *right, *partition, *sequence, arrival.row);
        out.push(self.lone(key, *right, *partition, order, &arrival.value, arrival.time));
    }

    fn lone(&self, key: &[u8], right: bool, partition: u32, order: Order, value: &[u8], time: i64) -> Joined {
        let [left_nulls, right_nulls] = &self.nulls;
        let value = if right { [&**left_nulls, value] } else { [value, right_nulls] }.concat();
        let home = u64::from(partition) % self.peers;
        Joined { home, partition, order, key: key.into(), n: 0, value: value.into(), time }
    }

    /// Open rows whose time is over come out.
    fn close_open(&mut self, upto: i64, out: &mut Vec<Joined>) {
        let mut closing = std::mem::take(&mut self.closing);
        for (&partition, rows) in &mut closing {
            let now = self.either(partition, upto);
            while let Some((close, ..)) = rows.first()
                && *close < now
                && let Some((close, time, left, key)) = rows.pop_first()
            {
                let Some(of_key) = self.open.get_mut(&key) else { continue };
                let mut over = Vec::new();
                if let Some(open) = of_key.get_mut(&(!left, time)) {
                    let (gone, stay): (Vec<Open>, Vec<Open>) =
                        std::mem::take(open).into_iter().partition(|o| o.partition == partition);
                    over = gone;
                    *open = stay;
                    if open.is_empty() {
                        of_key.remove(&(!left, time));
                    }
                }
                if of_key.is_empty() {
                    self.open.remove(&key);
                }
                for (n, open) in over.into_iter().enumerate() {
                    let order = (close.saturating_add(1), false, time, left, partition, 0, 0);
                    let joined = self.lone(&key, !left, partition, order, &open.value, time);
                    out.push(Joined { n: n as u32, ..joined });
                }
            }
        }
        closing.retain(|_, rows| !rows.is_empty());
        self.closing = closing;
    }

    /// Drops stretches that no row can look into any more.
    fn forget(&mut self, upto: i64) {
        let retention = self.window.retention();
        let newest = self.clocks.iter().flat_map(HashMap::values).map(|c| c.1.min(upto)).max().unwrap_or(i64::MIN);
        let before = self.store.stretch(newest.saturating_sub(retention));
        if self.store.first_stretch().is_some_and(|first| first < before) {
            let clocks = &self.clocks;
            self.store.forget(before, |key, _| {
                let (right, time, partition) = read_place(&key[key.len().saturating_sub(PLACE)..]);
                let clock = clocks[usize::from(right)].get(&partition).map_or(i64::MIN, |c| c.1.min(upto));
                time > clock.saturating_sub(retention)
            });
        }
    }
}
