//! The operator that keeps a table: takes partial accumulators, tells what changed.
//!
//! At the end of an epoch the parcels of all workers are put in order of their groups' numbers, added up, and put into
//! the [`Store`] as one run. Only when somebody listens are the rows after worked out, and those before where they are
//! [`Wanted`]. Windows whose retention is over are forgotten, a stretch of event time at a time, and hidden before that.

use super::SharedReports;
use super::changes::{self, Changes};
use super::epochs::Waiting;
use super::finals;
use super::finish::{CHUNK, Finish, Items};
use super::group::SharedGroups;
use super::parcels::Parcel;
use super::port::Flow;
use super::sessions::{self, Arrival, Latest, Touched};
use super::table_changes::{TableChange, TableChanges, Wanted};
use super::updates::Updates;
use super::windows::Hops;
use crate::arrange::keys::ascending;
use crate::arrange::{Accum, Accums, Dictionary, Key, Keys, Part, Place, Places, Store};
use crate::safepoint;
use crate::views::change::Bounds;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashSet};
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

/// A table on one worker: shared by the operator, which writes it, and the worker, which reads it between and amid steps.
pub struct Kept {
    shape: Shape,
    groups: SharedGroups,
    store: Store<Keys>,
    /// Of a table of sessions.
    latest: Latest,
    /// What those who listen want.
    wanted: Wanted,
    /// The first epoch whose changes were told as those who listen now want them.
    told_from: u64,
    /// The first epoch behind all of which changes were told.
    told_to: u64,
    /// Epochs that stay readable behind the newest.
    readable: u64,
    /// Stream time as of an epoch and later ones, until the next entry.
    stream_times: BTreeMap<u64, i64>,
}

/// A row of a table, packed.
pub struct PackedRow<'a> {
    /// The group's key.
    pub key: &'a [u8],
    /// The window.
    pub window: Option<Bounds>,
    /// The value columns.
    pub value: &'a [u8],
    /// ROWTIME.
    pub time: i64,
}

/// Which rows to read.
#[derive(Clone, Debug)]
pub struct Selection<'a> {
    /// Only these packed keys; all when `None`.
    pub keys: Option<&'a [Vec<u8>]>,
    /// Behind the keys stand the bounds of windows that are part of a record's key: all of them are meant.
    pub bounds_behind: bool,
    /// Only windows that start from here to there, both included.
    pub starts: (i64, i64),
    /// As of this epoch, itself included.
    pub as_of: u64,
}

impl Kept {
    fn new(shape: Shape, groups: SharedGroups) -> Self {
        let stretch = match shape.windows {
            _ if shape.retention == i64::MAX => 0,
            Windows::None => 0,
            Windows::Hops(hops) => (shape.retention / STRETCHES).max(hops.size).max(SHORTEST),
            Windows::Sessions(gap) => (shape.retention / STRETCHES).max(gap).max(SHORTEST),
        };
        let (store, latest, stream_times) = (Store::new(stretch), Latest::default(), BTreeMap::new());
        let mut kept = Kept {
            shape,
            groups,
            store,
            latest,
            wanted: Wanted::Nothing,
            told_from: 0,
            told_to: 0,
            readable: READABLE,
            stream_times,
        };
        kept.listen(Wanted::Nothing);
        kept
    }

    /// The first epoch that is not in yet on this worker.
    pub fn upper(&self) -> u64 {
        self.store.upper()
    }

    /// The oldest epoch as of which it can be read.
    pub fn since(&self) -> u64 {
        self.store.since()
    }

    /// No operator is at work on it, or on its groups.
    pub fn is_free(&self) -> bool {
        self.groups.try_borrow().is_ok()
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

    /// From now on this is wanted of changes, and no more.
    pub fn listen(&mut self, wanted: Wanted) {
        let wanted = self.told_of(wanted);
        if wanted > self.wanted {
            self.told_from = self.store.upper();
        }
        self.wanted = wanted;
    }

    /// What is told where this is wanted: final rows come out of new ones.
    fn told_of(&self, wanted: Wanted) -> Wanted {
        if self.shape.final_grace.is_some() { Wanted::New } else { wanted }
    }

    fn is_heard(&self) -> bool {
        self.wanted > Wanted::Nothing
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
    pub fn rows(&self, selection: &Selection<'_>, each: impl FnMut(PackedRow<'_>)) {
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
        let groups = self.groups.borrow();
        let groups = groups.own();
        let shape = &self.shape;
        let stream_time = self.stream_time(selection.as_of);
        let is_final = |bounds: Bounds| {
            shape.final_grace.is_none_or(|grace| finals::over(shape.windows, bounds, grace) <= stream_time)
        };
        let visible = |b: Bounds| {
            let newest = if matches!(shape.windows, Windows::Sessions(_)) { b.end } else { b.start };
            newest >= horizon && (from..=to).contains(&b.start) && is_final(b)
        };
        let mut found = Found::default();
        match selection.keys {
            None => reader.scan(|key, accum| found.add(key, accum)),
            Some(keys) => {
                let numbers = |key: &Vec<u8>| match selection.bounds_behind {
                    true => groups.starting(key),
                    false => groups.find(key).into_iter().collect(),
                };
                let numbers: BTreeSet<u32> = keys.iter().flat_map(numbers).collect();
                for group in numbers {
                    reader.seek(Key { group, place: Place { at: i64::MIN, mark: 0 } });
                    while let Some(key) = reader.key().filter(|key| key.group == group) {
                        if let Some(accum) = reader.accum() {
                            found.add(key, accum);
                        }
                        reader.step();
                    }
                }
            }
        }
        found.rows(groups, shape, visible, each);
    }

    /// As of which epoch somebody must read it who gets the changes of the epochs from `frontier` on: with what came in before
    /// anybody listened. `None`: of before the first.
    fn told_upto(&self, frontier: u64) -> Option<u64> {
        let told_from = if self.is_heard() { self.told_from } else { self.store.upper() };
        frontier.max(told_from).checked_sub(1)
    }

    /// There is no [`Kept::snapshot`] at `frontier`: later epochs have been put together with those before it, or have been
    /// told already, and not as they are wanted.
    pub fn is_ahead(&self, frontier: u64, wanted: Wanted) -> bool {
        let told_less = frontier < self.told_to && self.told_of(wanted) > self.wanted;
        told_less || self.told_upto(frontier).is_some_and(|as_of| as_of < self.since())
    }

    /// All rows as changes from nothing, for somebody who from now on listens, and gets the changes of the epochs from
    /// `frontier` on.
    pub fn snapshot(&mut self, frontier: u64, wanted: Wanted) -> TableChanges {
        self.listen(wanted.max(self.wanted));
        let mut out = TableChanges::default();
        let Some(as_of) = self.told_upto(frontier) else { return out };
        let selection = Selection { keys: None, bounds_behind: false, starts: (i64::MIN, i64::MAX), as_of };
        self.rows(&selection, |row| {
            let PackedRow { key, window, value, time } = row;
            out.push(TableChange { key, window, old: None, new: Some(value), time });
        });
        out
    }

    /// Puts in an epoch's updates. Returns what changed when somebody listens, and how many rows were late.
    fn apply(&mut self, epoch: u64, updates: Updates) -> (Vec<TableChanges>, u64) {
        let known = self.stream_times.values().next_back().copied().unwrap_or(i64::MIN);
        let stream_time = updates.stream_time;
        let (changes, late) = match self.shape.windows {
            Windows::Sessions(gap) => self.apply_sessions(epoch, updates, gap),
            _ => (self.apply_groups(epoch, updates), 0),
        };
        if stream_time > known {
            self.stream_times.insert(epoch, stream_time);
        }
        if !changes.is_empty() {
            self.told_to = epoch + 1;
        }
        self.forget(epoch);
        (changes, late)
    }

    fn apply_groups(&mut self, epoch: u64, updates: Updates) -> Vec<TableChanges> {
        let updates = updates.added_up();
        let mut changes = Vec::new();
        if self.is_heard() {
            let groups = Rc::clone(&self.groups);
            let groups = groups.borrow();
            // A row of a table that changes its group leaves the old one before it comes to the new one.
            let left = (0..updates.len()).filter(|at| updates.accums.parts(*at).0 < 0);
            let left: HashSet<&[u8]> = left.map(|at| groups.own().key(updates.groups[at])).collect();
            changes = self.group_changes(groups.own(), &updates);
            if !left.is_empty() {
                let all = changes.iter().flat_map(|changes| changes.iter());
                let (first, then): (TableChanges, TableChanges) = all.partition(|c| left.contains(c.key));
                changes = [first, then].into_iter().filter(|changes| !changes.is_empty()).collect();
            }
        }
        let runs = updates.runs(epoch, |at| self.stretch_of(at));
        self.store.insert(runs, epoch + 1);
        changes
    }

    /// The stretch in which a group's update belongs, by its [`Place::at`].
    fn stretch_of(&self, at: i64) -> i64 {
        match self.shape.windows {
            Windows::Hops(_) => self.store.stretch(at),
            Windows::None | Windows::Sessions(_) => 0,
        }
    }

    /// What these updates change, before they are put in.
    fn group_changes(&mut self, groups: &Dictionary, updates: &Updates) -> Vec<TableChanges> {
        let mut changes = Changes::new(&self.shape, groups, self.wanted == Wanted::OldAndNew);
        let Windows::Hops(hops) = self.shape.windows else {
            let mut reader = self.store.read(i64::MIN..=i64::MAX, u64::MAX);
            changes.singles(updates, &mut reader, |_| None);
            return changes.done();
        };
        // The windows that change have all their panes near those that do.
        let (first, last) = updates.places.span();
        let low = self.store.stretch(hops.first_start(first));
        let high = self.store.stretch(hops.last_start(last).saturating_add(hops.size));
        let mut reader = self.store.read(low..=high, u64::MAX);
        if hops.advance == hops.size {
            changes.singles(updates, &mut reader, |place| Some(hops.bounds(place.at)));
        } else {
            changes.windows(updates, &mut reader, hops);
        }
        changes.done()
    }

    fn apply_sessions(&mut self, epoch: u64, mut updates: Updates, gap: i64) -> (Vec<TableChanges>, u64) {
        let arrivals = (0..updates.groups.len()).map(|at| {
            let (start, close) = updates.sessions[at];
            Arrival { group: updates.groups[at], start, close, accum: updates.accums.take(at) }
        });
        let (groups, with_old, mut changes) = (self.groups.borrow(), self.wanted == Wanted::OldAndNew, Vec::new());
        let tell = |touched: &[Touched]| {
            let some = changes::sessions(&self.shape, groups.own(), touched, with_old);
            changes.extend(Some(some).filter(|some| !some.is_empty()));
        };
        let tell = (self.wanted > Wanted::Nothing).then_some(tell);
        let outcome = sessions::apply(&mut self.store, &mut self.latest, arrivals, gap, epoch, tell);
        self.store.insert(outcome.runs.into_iter().collect(), epoch + 1);
        (changes, outcome.late)
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
            let mut groups = self.groups.borrow_mut();
            self.store.forget(before, |key, accum| {
                let survives = sessions && !accum.is_dead() && accum.time >= horizon;
                if survives {
                    groups.own_mut().keep(key.group, epoch);
                }
                survives
            });
            groups.forget(self.store.first_epoch(), epoch);
            self.latest.forget(self.store.stretch_start(before), horizon);
        }
    }
}

/// What is kept of the groups of a selection.
#[derive(Default)]
struct Found {
    places: Places,
    accums: Accums,
    /// Numbers of groups, and where what is kept of each ends.
    groups: Vec<(u32, usize)>,
}

impl Found {
    fn add(&mut self, key: Key, accum: Accum) {
        self.places.push(key.place);
        self.accums.push(accum);
        match self.groups.last_mut() {
            Some((group, end)) if *group == key.group => *end = self.accums.len(),
            _ => self.groups.push((key.group, self.accums.len())),
        }
    }

    /// Shows the rows in ascending order of key and window.
    fn rows(
        &mut self,
        groups: &Dictionary,
        shape: &Shape,
        visible: impl Fn(Bounds) -> bool,
        each: impl FnMut(PackedRow<'_>),
    ) {
        let keys: Vec<&[u8]> = self.groups.iter().map(|(group, _)| groups.key(*group)).collect();
        let mut chunk = Chunk { finish: &shape.finish, items: Items::with_room(0), value: Vec::new(), each };
        let mut windows: Vec<(Bounds, Accum)> = Vec::new();
        for at in ascending(&keys) {
            let at = at as usize;
            let start = at.checked_sub(1).map_or(0, |before| self.groups[before].1);
            let mut panes: BTreeMap<i64, Accum> = BTreeMap::new();
            for i in start..self.groups[at].1 {
                let (place, accum) = (self.places.get(i), self.accums.take(i));
                match shape.windows {
                    Windows::None => chunk.push(keys[at], None, accum),
                    Windows::Hops(hops) => hops.spread(place, &accum, &mut panes),
                    Windows::Sessions(_) if accum.is_dead() => {}
                    Windows::Sessions(_) => {
                        windows.push((Bounds { start: sessions::start(place), end: accum.time }, accum));
                    }
                }
            }
            if let Windows::Hops(hops) = shape.windows {
                windows.extend(panes.into_iter().map(|(start, accum)| (hops.bounds(start), accum)));
            }
            // Several sessions may start alike.
            windows.sort_by_key(|(bounds, _)| (bounds.start, bounds.end));
            for (bounds, accum) in windows.drain(..).filter(|(bounds, _)| visible(*bounds)) {
                chunk.push(keys[at], Some(bounds), accum);
            }
        }
        chunk.end();
    }
}

/// Rows that are finished together.
struct Chunk<'a, E> {
    finish: &'a Finish,
    items: Items<'a, Box<[Part]>>,
    value: Vec<u8>,
    each: E,
}

impl<'a, E: FnMut(PackedRow<'_>)> Chunk<'a, E> {
    fn push(&mut self, key: &'a [u8], window: Option<Bounds>, accum: Accum) {
        self.items.push(key, window, (accum.rows, accum.time, accum.parts));
        if self.items.keys.len() >= CHUNK {
            self.end();
        }
    }

    fn end(&mut self) {
        let rows = self.finish.rows(&self.items);
        for (at, (key, window, time)) in self.items.iter().enumerate() {
            self.value.clear();
            if rows.push(at, &mut self.value) {
                (self.each)(PackedRow { key, window, value: &self.value, time });
            }
        }
        drop(rows);
        self.items.clear();
    }
}

/// Keeps a table, whose groups these are. Returns it, and the stream of its changes, which is silent while nobody listens.
pub fn render<'scope>(
    parcels: Flow<'scope, Parcel>,
    shape: Shape,
    groups: SharedGroups,
    view: &str,
    reports: &SharedReports,
) -> (Rc<RefCell<Kept>>, Flow<'scope, Arc<TableChanges>>) {
    let (name, view, reports) = (format!("Keep {view}"), view.to_owned(), reports.clone());
    let kept = Rc::new(RefCell::new(Kept::new(shape, groups)));
    let table = Rc::clone(&kept);
    let groups = Rc::clone(&kept.borrow().groups);
    let changes = parcels.unary_frontier::<CapacityContainerBuilder<Vec<Arc<TableChanges>>>, _, _, _>(
        Exchange::new(|p: &Parcel| p.target),
        &name,
        move |_, _| {
            let mut waiting = Waiting::default();
            move |(input, frontier), output| {
                input.for_each(|time, data| {
                    if let Some(capability) = time.retain_least(0) {
                        let arrive = |parcel: Parcel| {
                            safepoint::reached();
                            parcel.arrive(&mut groups.borrow_mut(), *capability.time())
                        };
                        let mut arrived = data.drain(..).map(arrive).collect();
                        waiting.add(capability, &mut arrived);
                    }
                });
                let open = frontier.frontier().first().copied();
                while let Some((capability, parcels)) = waiting.next(open) {
                    safepoint::reached();
                    let updates = Updates::of(parcels, groups.borrow().own().end());
                    safepoint::reached();
                    let (changes, late) = table.borrow_mut().apply(*capability.time(), updates);
                    let mut merging = table.borrow_mut().store.to_merge();
                    merging.work();
                    table.borrow_mut().store.merged(merging);
                    if late > 0 {
                        *reports.borrow_mut().late.entry(view.clone()).or_default() += late;
                    }
                    output.session(&capability).give_iterator(changes.into_iter().map(Arc::new));
                }
                let mut table = table.borrow_mut();
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
