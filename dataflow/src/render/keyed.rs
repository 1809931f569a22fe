//! The operator that keeps a table: takes partial accumulators, tells what changed.
//!
//! At the end of an epoch the parcels of all workers are put in order of their keys, added up, and put into the
//! [`Store`] as one run. Only when somebody listens are the rows before and after worked out. Windows whose retention is
//! over are forgotten, a stretch of event time at a time, and hidden before that.

use super::changes::{self, Changes};
use super::epochs::Waiting;
use super::finals;
use super::finish::{CHUNK, Finish, Item};
use super::group::Parcel;
use super::port::Flow;
use super::sessions::{self, Arrival};
use super::windows::Hops;
use super::{SharedReports, TableChange};
use crate::arrange::keys::in_order;
use crate::arrange::{Accum, Accums, PackedKeys, Run, Store};
use crate::row::SqlType;
use crate::views::change::Bounds;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::operator::Operator;

/// Epochs that a store stays readable behind the newest, so that all workers can answer as of the same one.
const READABLE: u64 = 64;

/// Into how many stretches a retention is cut: memory is freed a stretch at a time.
const STRETCHES: i64 = 256;

/// The least event time that a stretch covers, in ms.
const SHORTEST: i64 = 1000;

/// What follows a group's key in a store.
#[derive(Clone, Copy, Debug)]
pub enum Windows {
    /// Nothing.
    None,
    /// Panes.
    Hops(Hops),
    /// Sessions with this gap in ms.
    Sessions(i64),
}

/// What a table is, beside its contents.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Types of the key's columns.
    pub key: Vec<SqlType>,
    /// Its windows.
    pub windows: Windows,
    /// How long a window is kept after its start (a session: after its end), in ms; `i64::MAX`: for ever.
    pub retention: i64,
    /// How accumulators become rows.
    pub finish: Finish,
    /// EMIT FINAL: a window shows when it has been over for this grace, in ms.
    pub final_grace: Option<i64>,
    /// The end of a row is told also where there was none (a join by a foreign key).
    pub tells_ends: bool,
}

/// A table on one worker: shared by the operator, which writes it between two steps' reads, and the worker.
pub struct Kept {
    shape: Shape,
    store: Store,
    /// Somebody wants changes.
    listening: bool,
    /// The first epoch whose changes were told to those who listen now.
    told_from: u64,
    /// Epochs that stay readable behind the newest.
    readable: u64,
    /// Stream time as of an epoch and later ones, until the next entry.
    stream_times: BTreeMap<u64, i64>,
}

/// A row of a table, packed.
pub struct PackedRow {
    /// The group's key.
    pub key: Box<[u8]>,
    /// The window.
    pub window: Option<Bounds>,
    /// The value columns.
    pub value: Box<[u8]>,
    /// ROWTIME.
    pub time: i64,
}

/// Which rows to read.
#[derive(Clone, Debug)]
pub struct Selection<'a> {
    /// Only these packed keys, ascending; all when `None`.
    pub keys: Option<&'a [Vec<u8>]>,
    /// Only windows that start from here to there, both included.
    pub starts: (i64, i64),
    /// As of this epoch, itself included.
    pub as_of: u64,
}

impl Kept {
    fn new(shape: Shape) -> Self {
        let stretch = match shape.windows {
            _ if shape.retention == i64::MAX => 0,
            Windows::None => 0,
            Windows::Hops(hops) => (shape.retention / STRETCHES).max(hops.size).max(SHORTEST),
            Windows::Sessions(gap) => (shape.retention / STRETCHES).max(gap).max(SHORTEST),
        };
        let listening = shape.final_grace.is_some();
        let (store, stream_times) = (Store::new(stretch), BTreeMap::new());
        Kept { shape, store, listening, told_from: 0, readable: READABLE, stream_times }
    }

    /// The first epoch that is not in yet on this worker.
    pub fn upper(&self) -> u64 {
        self.store.upper()
    }

    /// The oldest epoch as of which it can be read.
    pub fn since(&self) -> u64 {
        self.store.since()
    }

    /// Updates held.
    pub fn updates(&self) -> usize {
        self.store.updates()
    }

    /// Nobody reads before the end: only the newest epoch stays readable, and updates add up at once.
    pub fn read_at_end(&mut self) {
        // EMIT FINAL looks at the stream times of epochs that have just closed.
        if self.shape.final_grace.is_none() {
            self.readable = 1;
        }
    }

    /// Somebody wants changes, or nobody does any more.
    pub fn listen(&mut self, listening: bool) {
        let listening = listening || self.shape.final_grace.is_some();
        if listening && !self.listening {
            self.told_from = self.store.upper();
        }
        self.listening = listening;
    }

    /// Stream time as of an epoch.
    pub fn stream_time(&self, as_of: u64) -> i64 {
        self.stream_times.range(..=as_of).next_back().map_or(i64::MIN, |(_, t)| *t)
    }

    /// The epochs of a range in which stream time went on.
    pub fn stream_time_epochs(&self, range: std::ops::Range<u64>) -> impl Iterator<Item = u64> {
        self.stream_times.range(range).map(|(epoch, _)| *epoch)
    }

    /// Windows that start (sessions: end) before this time are gone, as of an epoch.
    fn horizon(&self, as_of: u64) -> i64 {
        self.stream_time(as_of).saturating_sub(self.shape.retention)
    }

    /// Shows the rows of a selection, in ascending order of key and window.
    pub fn rows(&mut self, selection: &Selection<'_>, mut each: impl FnMut(PackedRow)) {
        let horizon = self.horizon(selection.as_of);
        let (from, to) = selection.starts;
        // A hopping window's panes may lie in the next stretch; a session may lie in a later one than its start's.
        let low = match self.shape.windows {
            Windows::Hops(_) if from > i64::MIN => self.store.stretch(from.max(0)),
            _ => i64::MIN,
        };
        let high = match self.shape.windows {
            Windows::Hops(hops) if to < i64::MAX => self.store.stretch(to.saturating_add(hops.size)),
            _ => i64::MAX,
        };
        let mut reader = self.store.read(low..=high, selection.as_of);
        let mut batch = Chunk { finish: &self.shape.finish, items: Vec::new(), each: &mut each };
        let shape = &self.shape;
        let mut group = Group { shape, key: Vec::new(), windows: BTreeMap::new(), sessions: Vec::new() };
        let stream_time = self.stream_time(selection.as_of);
        let is_final = |bounds: Bounds| {
            shape.final_grace.is_none_or(|grace| finals::over(shape.windows, bounds, grace) <= stream_time)
        };
        let visible = |bounds: Option<Bounds>| match (bounds, shape.windows) {
            (Some(b), _) if !is_final(b) => false,
            (Some(b), Windows::Sessions(_)) => b.end >= horizon && (from..=to).contains(&b.start),
            (Some(b), _) => b.start >= horizon && (from..=to).contains(&b.start),
            (None, _) => true,
        };
        let take = |key: &[u8], accum: Accum, group: &mut Group<'_>, batch: &mut Chunk<'_>| {
            let n = group_of(key, shape.windows).len();
            if group.key != key[..n] {
                group.end(batch, &visible);
                group.key.clear();
                group.key.extend_from_slice(&key[..n]);
            }
            group.add(key, n, accum);
        };
        match selection.keys {
            None => reader.scan(|key, accum| take(key, accum, &mut group, &mut batch)),
            Some(keys) => {
                for wanted in keys {
                    reader.seek(wanted);
                    while reader.key().is_some_and(|key| key.starts_with(wanted)) {
                        let accum = reader.accum();
                        if let (Some(key), Some(accum)) = (reader.key(), accum) {
                            take(key, accum, &mut group, &mut batch);
                        }
                        reader.step();
                    }
                }
            }
        }
        group.end(&mut batch, &visible);
        batch.end();
    }

    /// As of which epoch somebody must read it who gets the changes of the epochs from `frontier` on: with what came in before
    /// anybody listened. `None`: of before the first.
    fn told_upto(&self, frontier: u64) -> Option<u64> {
        let told_from = if self.listening { self.told_from } else { self.store.upper() };
        frontier.max(told_from).checked_sub(1)
    }

    /// Later epochs have been put together with those before `frontier`: it has no [`Kept::snapshot`] there.
    pub fn is_ahead(&self, frontier: u64) -> bool {
        self.told_upto(frontier).is_some_and(|as_of| as_of < self.since())
    }

    /// All rows as changes from nothing, for somebody who from now on listens, and gets the changes of the epochs from
    /// `frontier` on.
    pub fn snapshot(&mut self, frontier: u64) -> Vec<TableChange> {
        self.listen(true);
        let Some(as_of) = self.told_upto(frontier) else { return Vec::new() };
        let mut out = Vec::new();
        let selection = Selection { keys: None, starts: (i64::MIN, i64::MAX), as_of };
        self.rows(&selection, |row| {
            out.push(TableChange { key: row.key, window: row.window, old: None, new: Some(row.value), time: row.time });
        });
        out
    }

    /// Puts in an epoch's parcels. Returns what changed when somebody listens, and how many rows were late.
    fn apply(&mut self, epoch: u64, mut parcels: Vec<Parcel>) -> (Vec<TableChange>, u64) {
        parcels.sort_by_key(|p| p.order);
        let known = self.stream_times.values().next_back().copied().unwrap_or(i64::MIN);
        let stream_time = parcels.iter().map(|p| p.stream_time).fold(known, i64::max);
        let (changes, late) = match self.shape.windows {
            Windows::Sessions(gap) => self.apply_sessions(epoch, parcels, gap),
            _ => (self.apply_groups(epoch, parcels), 0),
        };
        if stream_time > known {
            self.stream_times.insert(epoch, stream_time);
        }
        self.forget(epoch);
        (changes, late)
    }

    fn apply_groups(&mut self, epoch: u64, mut parcels: Vec<Parcel>) -> Vec<TableChange> {
        let mut accums: Vec<Accums> = parcels.iter_mut().map(|p| std::mem::take(&mut p.accums)).collect();
        let keys: Vec<&PackedKeys> = parcels.iter().map(|p| &p.keys).collect();
        let (updates, bytes) = (accums.iter().map(Accums::len).sum(), keys.iter().map(|k| k.bytes()).sum());
        let mut runs: Vec<(i64, Run)> = Vec::new();
        let mut merged: Vec<(&[u8], Accum)> = Vec::new();
        let mut places = in_order(&keys).into_iter().peekable();
        while let Some(first) = places.next() {
            let (list, at) = (first.list as usize, first.at as usize);
            let key = keys[list].get(at);
            let stretch = self.stretch_of(key);
            let known = runs.iter().position(|(s, _)| *s == stretch).unwrap_or_else(|| {
                // Nearly all belong in one stretch.
                let (updates, bytes) = if runs.is_empty() { (updates, bytes) } else { (0, 0) };
                runs.push((stretch, Run::new(epoch, updates, bytes)));
                runs.len() - 1
            });
            let run = &mut runs[known].1;
            run.push_taken(key, &mut accums[list], at);
            while let Some(more) = places.next_if(|p| p.again) {
                run.add_to_last(&accums[more.list as usize], more.at as usize);
            }
            if self.listening {
                merged.push((key, run.accum(run.len() - 1)));
            }
        }
        let mut changes = if self.listening { self.group_changes(&merged) } else { Vec::new() };
        // A row of a table that changes its group leaves the old one before it comes to the new one.
        let left: HashSet<&[u8]> = merged.iter().filter(|(_, a)| a.rows < 0).map(|(key, _)| *key).collect();
        if !left.is_empty() {
            changes.sort_by_key(|change| !left.contains(&*change.key));
        }
        self.store.insert(runs, epoch + 1);
        changes
    }

    /// The stretch in which a group's key belongs.
    fn stretch_of(&self, key: &[u8]) -> i64 {
        match self.shape.windows {
            Windows::Hops(_) => self.store.stretch(Hops::split(key).1.pane),
            Windows::None | Windows::Sessions(_) => 0,
        }
    }

    /// What these updates change, before they are put in.
    fn group_changes(&mut self, updates: &[(&[u8], Accum)]) -> Vec<TableChange> {
        let mut changes = Changes::new(&self.shape);
        let Windows::Hops(hops) = self.shape.windows else {
            let mut reader = self.store.read(i64::MIN..=i64::MAX, u64::MAX);
            changes.singles(updates, &mut reader, |key| (key, None));
            return changes.done();
        };
        // The windows that change have all their panes near those that do.
        let panes = || updates.iter().map(|(key, _)| Hops::split(key).1.pane);
        let low = panes().min().map_or(0, |pane| self.store.stretch(hops.first_start(pane)));
        let high = panes().max().map_or(0, |pane| self.store.stretch(hops.last_start(pane).saturating_add(hops.size)));
        let mut reader = self.store.read(low..=high, u64::MAX);
        if hops.advance == hops.size {
            changes.singles(updates, &mut reader, |key| {
                let (group, place) = Hops::split(key);
                (group, Some(hops.bounds(place.pane)))
            });
        } else {
            changes.windows(updates, &mut reader, hops);
        }
        changes.done()
    }

    fn apply_sessions(&mut self, epoch: u64, mut parcels: Vec<Parcel>, gap: i64) -> (Vec<TableChange>, u64) {
        let mut accums: Vec<Accums> = parcels.iter_mut().map(|p| std::mem::take(&mut p.accums)).collect();
        let keys: Vec<&PackedKeys> = parcels.iter().map(|p| &p.keys).collect();
        // In one go, so that the processor looks for many of them at once.
        let arrivals = in_order(&keys).into_iter().map(|p| {
            let (list, at) = (p.list as usize, p.at as usize);
            let (start, close) = parcels[list].sessions[at];
            Arrival { group: keys[list].get(at), again: p.again, start, close, accum: accums[list].take(at) }
        });
        let arrivals = arrivals.collect();
        let outcome = sessions::apply(&mut self.store, arrivals, gap, epoch, self.listening);
        self.store.insert(outcome.runs.into_iter().collect(), epoch + 1);
        (changes::sessions(&self.shape, &outcome.touched), outcome.late)
    }

    /// Forgets stretches that lie wholly before the horizon, and epochs nobody reads any more.
    fn forget(&mut self, epoch: u64) {
        let since = (epoch + 1).saturating_sub(self.readable);
        self.store.compact(since);
        while self.stream_times.len() > 1
            && let Some(second) = self.stream_times.keys().nth(1).copied()
            && second <= since
        {
            self.stream_times.pop_first();
        }
        let horizon = self.horizon(since);
        if horizon <= 0 || matches!(self.shape.windows, Windows::None) {
            return;
        }
        // A window that starts just before the horizon has panes after it: those of the horizon's stretch stay.
        let before = self.store.stretch(horizon);
        if self.store.first_stretch().is_some_and(|first| first < before) {
            let sessions = matches!(self.shape.windows, Windows::Sessions(_));
            self.store.forget(before, |_, accum| sessions && !accum.is_dead() && accum.time >= horizon);
        }
    }
}

/// The group's key at the head of a stored key.
fn group_of(key: &[u8], windows: Windows) -> &[u8] {
    match windows {
        Windows::None => key,
        Windows::Hops(_) => Hops::split(key).0,
        Windows::Sessions(_) => &key[..key.len().saturating_sub(sessions::SUFFIX)],
    }
}

/// The windows of the group that is being read.
struct Group<'a> {
    shape: &'a Shape,
    key: Vec<u8>,
    /// By start.
    windows: BTreeMap<i64, Accum>,
    /// Sessions, of which several may start alike.
    sessions: Vec<(Bounds, Accum)>,
}

impl Group<'_> {
    /// Adds what a stored key, of which the first `group` bytes are the group's, adds up to.
    fn add(&mut self, key: &[u8], group: usize, accum: Accum) {
        match self.shape.windows {
            Windows::None => {
                self.windows.insert(0, accum);
            }
            Windows::Hops(hops) => hops.spread(Hops::split(key).1, &accum, &mut self.windows),
            Windows::Sessions(_) => {
                if !accum.is_dead() {
                    let bounds = Bounds { start: sessions::read_start(&key[group..]), end: accum.time };
                    self.sessions.push((bounds, accum));
                }
            }
        }
    }

    fn end(&mut self, batch: &mut Chunk<'_>, visible: &impl Fn(Option<Bounds>) -> bool) {
        self.sessions.sort_by_key(|(bounds, _)| (bounds.start, bounds.end));
        let sessions = self.sessions.drain(..).map(|(bounds, accum)| (Some(bounds), accum));
        let windows = std::mem::take(&mut self.windows).into_iter().map(|(start, accum)| {
            let bounds = match self.shape.windows {
                Windows::Hops(hops) => Some(hops.bounds(start)),
                Windows::None | Windows::Sessions(_) => None,
            };
            (bounds, accum)
        });
        for (window, accum) in sessions.chain(windows) {
            if visible(window) {
                batch.items.push((self.key.clone(), window, accum));
                if batch.items.len() >= CHUNK {
                    batch.end();
                }
            }
        }
    }
}

/// Rows that are finished together.
struct Chunk<'a> {
    finish: &'a Finish,
    items: Vec<(Vec<u8>, Option<Bounds>, Accum)>,
    each: &'a mut dyn FnMut(PackedRow),
}

impl Chunk<'_> {
    fn end(&mut self) {
        let items: Vec<Item<'_>> =
            self.items.iter().map(|(key, window, accum)| Item { key, window: *window, accum }).collect();
        let rows = self.finish.rows(&items);
        for ((key, window, accum), value) in self.items.drain(..).zip(rows) {
            if let Some(value) = value {
                (self.each)(PackedRow { key: key.into(), window, value, time: accum.time });
            }
        }
    }
}

/// Keeps a table. Returns it, and the stream of its changes, which is silent while nobody listens.
pub fn render<'scope>(
    parcels: Flow<'scope, Parcel>,
    shape: Shape,
    view: &str,
    reports: &SharedReports,
) -> (Rc<RefCell<Kept>>, Flow<'scope, Arc<Vec<TableChange>>>) {
    let (name, view, reports) = (format!("Keep {view}"), view.to_owned(), reports.clone());
    let kept = Rc::new(RefCell::new(Kept::new(shape)));
    let table = Rc::clone(&kept);
    let changes = parcels.unary_frontier::<CapacityContainerBuilder<Vec<Arc<Vec<TableChange>>>>, _, _, _>(
        Exchange::new(|p: &Parcel| p.target),
        &name,
        move |_, _| {
            let mut waiting = Waiting::default();
            move |(input, frontier), output| {
                input.for_each(|time, data| {
                    if let Some(capability) = time.retain_least(0) {
                        waiting.add(capability, data);
                    }
                });
                let open = frontier.frontier().first().copied();
                let mut table = table.borrow_mut();
                while let Some((capability, parcels)) = waiting.next(open) {
                    let (changes, late) = table.apply(*capability.time(), parcels);
                    if late > 0 {
                        *reports.borrow_mut().late.entry(view.clone()).or_default() += late;
                    }
                    if !changes.is_empty() {
                        output.session(&capability).give(Arc::new(changes));
                    }
                }
                if let Some(open) = open
                    && open > table.store.upper()
                {
                    table.store.insert(Vec::new(), open);
                    let since = open.saturating_sub(table.readable);
                    table.store.compact(since);
                }
            }
        },
    );
    (kept, changes)
}
