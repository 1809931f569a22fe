//! Sessions: what arrives for a key is joined with the sessions that it touches.
//!
//! A session is kept under its group, its start, latest first, and a mark, so the sessions near a time are found by
//! one seek and a step for each that is touched: the cost does not grow with a key's history. A session that grows at its
//! end keeps its place, its growth is added to it; one that is swallowed by another is marked dead.
//!
//! A session that has closed is joined no more, and a later one may come to reach back over it, even to the same start.
//! The mark tells those that start alike from each other, and says of a closed one that a later one covers it: sessions
//! that none covers end in the order in which they start, so the search ends at the first of these that ended too early.
//!
//! Most of what arrives continues a group's latest session, or starts one behind it. [`Latest`] knows these sessions, so that
//! the store is not looked at.

use crate::arrange::reader::Reader;
use crate::arrange::{Accum, Key, Keys, Place, Run, Store};
use differential_dataflow::difference::Semigroup;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Rows of a group that are to be added: a session of their own until they meet others.
pub struct Arrival {
    /// The group's number.
    pub group: u32,
    /// Time of the first row; the last one's is the accumulator's time.
    pub start: i64,
    /// Sessions that ended before this time do not count any more; `i64::MIN`: all count.
    pub close: i64,
    /// What is added.
    pub accum: Accum,
}

/// A session before and after an epoch.
pub struct Touched {
    /// The group's number.
    pub group: u32,
    /// Its first row's time.
    pub start: i64,
    /// As it was.
    pub before: Option<Accum>,
    /// As it is; `None`: swallowed by another.
    pub after: Option<Accum>,
    /// What is to be added to what is stored.
    delta: Option<Accum>,
    /// Its stored mark.
    mark: Mark,
    /// A later session reaches over all of it.
    covered: bool,
}

/// A number among the sessions of a group that start alike, times two; one more when a later session covers it.
type Mark = u32;

/// What an epoch's arrivals do.
#[derive(Default)]
pub struct Outcome {
    /// How many updates there may be.
    room: usize,
    /// Updates by stretch.
    pub runs: BTreeMap<i64, Run<Keys>>,
    /// Sessions that changed and were not told yet.
    touched: Vec<Touched>,
    /// Rows that came too late.
    pub late: u64,
}

/// Where a session is kept: later ones come first.
fn place(start: i64, mark: Mark) -> Place {
    Place { at: !start, mark }
}

/// The start of a session that is kept there.
pub fn start(place: Place) -> i64 {
    !place.at
}

/// Of each group the latest session: a copy of what the store says.
#[derive(Default)]
pub struct Latest(Vec<Known>);

/// What is known of a group's sessions.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Known {
    /// It has none.
    #[default]
    None,
    /// The one that starts last. No session of the group has ever closed before what came to it: those before this one end
    /// by more than the gap before it.
    Last { start: i64, end: i64, mark: Mark, rows: i64 },
    /// One may have closed.
    Unknown,
}

impl Latest {
    fn of(&mut self, group: u32) -> &mut Known {
        let at = group as usize;
        if at >= self.0.len() {
            self.0.resize((at + 1).next_power_of_two(), Known::None);
        }
        &mut self.0[at]
    }

    /// The session that a group's arrivals are part of, if all of them continue its latest session or are the next one: its
    /// count of rows and its times, as the session was and as it is.
    fn continues(&mut self, group: u32, arrivals: &[Arrival], gap: i64) -> Option<Touched> {
        let known = self.of(group);
        let (mut before, mut next) = (*known, *known);
        for (i, Arrival { start: first, close, accum, .. }) in arrivals.iter().enumerate() {
            let low = first.saturating_sub(gap);
            next = match next {
                Known::Last { start, end, mark, rows } if *close == i64::MIN && *first >= start && end >= low => {
                    Known::Last { start, end: end.max(accum.time), mark, rows: rows + accum.rows }
                }
                Known::Last { end, .. } if end >= low || i > 0 => return None,
                Known::None | Known::Last { .. } if *close == i64::MIN => {
                    before = Known::None;
                    Known::Last { start: *first, end: accum.time, mark: 0, rows: accum.rows }
                }
                Known::None | Known::Last { .. } | Known::Unknown => return None,
            };
        }
        let Known::Last { start, mark, .. } = next else { return None };
        *known = next;
        let [before, after] = [before, next].map(|known| match known {
            Known::Last { rows, end, .. } => Some(Accum { rows, time: end, parts: None }),
            Known::None | Known::Unknown => None,
        });
        Some(Touched { group, start, before, after, delta: None, mark, covered: false })
    }

    /// Learns what sessions near a group's arrivals there are now. `closed`: some may have closed before.
    fn learn(&mut self, group: u32, near: &[Touched], closed: bool) {
        let known = self.of(group);
        let before = match *known {
            _ if closed => Known::Unknown,
            Known::Last { start, .. } if near.iter().any(|t| t.start == start) => Known::None,
            other => other,
        };
        let live = near.iter().rev().find_map(|t| Some((t.start, t.mark, t.after.as_ref()?)));
        *known = match (before, live) {
            (Known::Last { start, .. }, Some((later, ..))) if later < start => before,
            (Known::None | Known::Last { .. }, Some((start, mark, &Accum { rows, time: end, .. }))) => {
                Known::Last { start, end, mark, rows }
            }
            (Known::None | Known::Last { .. } | Known::Unknown, _) => before,
        };
    }

    /// Sessions that start before one time and end before another are no longer there.
    pub fn forget(&mut self, starts_before: i64, ends_before: i64) {
        for known in &mut self.0 {
            if matches!(*known, Known::Last { start, end, .. } if start < starts_before && end < ends_before) {
                *known = Known::None;
            }
        }
    }
}

/// Applies an epoch's arrivals, which are in order of their group, and within it in order of their arrival. Where it is asked
/// for, the sessions that changed are told, those of some groups at a time.
pub fn apply(
    store: &mut Store<Keys>,
    latest: &mut Latest,
    arrivals: impl ExactSizeIterator<Item = Arrival>,
    gap: i64,
    epoch: u64,
    mut tell: Option<impl FnMut(&[Touched])>,
) -> Outcome {
    let mut stored = Stored::new(store);
    let mut outcome = Outcome { room: arrivals.len(), ..Outcome::default() };
    let mut arrivals = arrivals.peekable();
    // Some at a time, so that the processor looks for many of them at once.
    let mut together: Vec<Arrival> = Vec::with_capacity(TOGETHER);
    while arrivals.peek().is_some() {
        let fits = |a: &Arrival, t: &[Arrival]| t.len() < TOGETHER || t.last().is_some_and(|l| l.group == a.group);
        together.clear();
        while let Some(arrival) = arrivals.next_if(|a| fits(a, &together)) {
            together.push(arrival);
        }
        outcome.add(&mut stored, latest, &mut together, gap, epoch, tell.is_some());
        if let Some(tell) = &mut tell {
            tell(&outcome.touched);
            outcome.touched.clear();
        }
    }
    outcome
}

/// Arrivals that are applied together; more if they are of one group.
const TOGETHER: usize = 4096;

impl Outcome {
    fn add(
        &mut self,
        stored: &mut Stored<'_>,
        latest: &mut Latest,
        arrivals: &mut [Arrival],
        gap: i64,
        epoch: u64,
        tell: bool,
    ) {
        let mut near: Vec<Touched> = Vec::new();
        for arrivals in arrivals.chunk_by_mut(|a, b| a.group == b.group) {
            let Some(group) = arrivals.first().map(|a| a.group) else { continue };
            // To be told, they must count rows only: of what else they hold no sum is known.
            if (!tell || arrivals.iter().all(|a| a.accum.parts.is_none()))
                && let Some(session) = latest.continues(group, arrivals, gap)
            {
                let mut arrivals = arrivals.iter_mut().map(|a| std::mem::replace(&mut a.accum, Accum::dead()));
                let Some(mut sum) = arrivals.next() else { continue };
                arrivals.for_each(|accum| sum.plus_equals(&accum));
                self.push(stored, epoch, Key { group, place: place(session.start, session.mark) }, sum);
                self.touched.extend(Some(session).filter(|_| tell));
                continue;
            }
            let closed = arrivals.iter().any(|a| a.close != i64::MIN);
            stored.load(group, arrivals, gap, &mut near);
            for arrival in arrivals {
                self.late += join(&mut near, arrival, gap);
            }
            // The latest first: in order of their stored keys.
            for session in near.iter().rev() {
                let moved = session.before.is_some() && session.covered && session.mark & 1 == 0;
                let mark = session.mark | Mark::from(session.covered);
                let updates = match (&session.before, &session.after) {
                    (None, None) => [None, None],
                    (None, Some(after)) => [Some((mark, after.clone())), None],
                    (Some(_), None) => [Some((session.mark, Accum::dead())), None],
                    (Some(_), Some(after)) if moved => {
                        [Some((session.mark, Accum::dead())), Some((mark, after.clone()))]
                    }
                    (Some(_), Some(_)) => [session.delta.clone().map(|delta| (mark, delta)), None],
                };
                for (mark, update) in updates.into_iter().flatten() {
                    self.push(stored, epoch, Key { group, place: place(session.start, mark) }, update);
                }
            }
            latest.learn(group, &near, closed);
            if tell {
                self.touched.extend(near.drain(..).filter(|t| t.delta.is_some()));
            }
            near.clear();
        }
    }

    fn push(&mut self, stored: &Stored<'_>, epoch: u64, key: Key, update: Accum) {
        let stretch = stored.place(start(key.place));
        // Nearly all belong in one stretch.
        let room = if self.runs.is_empty() { self.room } else { 0 };
        self.runs.entry(stretch).or_insert_with(|| Run::new(epoch, room, 0)).push(key, update);
    }
}

/// The sessions as they were before the epoch, by stretch.
struct Stored<'a> {
    store: &'a Store<Keys>,
    /// Ascending: number, latest end, reader.
    readers: Vec<(i64, i64, Reader<Keys>)>,
}

impl<'a> Stored<'a> {
    fn new(store: &'a mut Store<Keys>) -> Self {
        let stretches = store.stretches();
        let readers = stretches.into_iter().map(|s| (s, store.latest(s), store.read(s..=s, u64::MAX))).collect();
        Stored { store, readers }
    }

    /// The stretch of a session: its start's, unless it has outlived that one.
    fn place(&self, start: i64) -> i64 {
        let own = self.store.stretch(start);
        self.readers.first().map_or(own, |(first, ..)| own.max(*first))
    }

    /// Brings the stored sessions that a group's arrivals can touch into `near`, which is in order of starts (of those that
    /// start alike, the last mark first). Those that are dead come too: their marks are taken. Groups must ascend.
    fn load(&mut self, group: u32, arrivals: &[Arrival], gap: i64, near: &mut Vec<Touched>) {
        let low = arrivals.iter().map(|a| a.start).fold(i64::MAX, i64::min).saturating_sub(gap);
        let high = arrivals.iter().map(|a| a.accum.time).fold(i64::MIN, i64::max).saturating_add(gap);
        let from = Key { group, place: place(high, 0) };
        let Some(&(first, ..)) = self.readers.first() else { return };
        let top = self.store.stretch(high).max(first);
        for (stretch, latest, reader) in self.readers.iter_mut().rev() {
            // Neither what starts too late nor what ended too early is near.
            if *stretch > top || *latest < low {
                continue;
            }
            reader.seek(from);
            while let Some(key) = reader.key() {
                if key.group != group {
                    break;
                }
                let (start, mark) = (start(key.place), key.place.mark);
                let covered = mark & 1 == 1;
                let before = reader.accum().filter(|a| !a.is_dead());
                reader.step();
                if before.as_ref().is_some_and(|a| a.time < low) && !covered {
                    return;
                }
                if let Err(at) = near.binary_search_by_key(&(start, Reverse(mark)), order) {
                    let after = before.clone();
                    near.insert(at, Touched { group, start, before, after, delta: None, mark, covered });
                }
            }
        }
    }
}

fn order(session: &Touched) -> (i64, Reverse<Mark>) {
    (session.start, Reverse(session.mark))
}

/// Joins an arrival with the sessions near it that have not closed. Returns how many rows came too late.
fn join(near: &mut Vec<Touched>, arrival: &mut Arrival, gap: i64) -> u64 {
    let (first, close, mut joined) =
        (arrival.start, arrival.close, std::mem::replace(&mut arrival.accum, Accum::dead()));
    let (low, high) = (first.saturating_sub(gap), joined.time.saturating_add(gap));
    let to = near.partition_point(|t| t.start <= high);
    let too_early = |t: &Touched| !t.covered && t.after.as_ref().is_some_and(|a| a.time < low);
    let from = near[..to].iter().rposition(too_early).map_or(0, |at| at + 1);
    let meets = |t: &Touched| t.after.as_ref().is_some_and(|a| a.time >= low && a.time >= close);
    let met = || near[from..to].iter().filter(|t| meets(t));
    if met().filter_map(|t| t.after.as_ref()).map(|a| a.time).fold(joined.time, i64::max) < close {
        return joined.rows.unsigned_abs();
    }
    let start = met().map(|t| t.start).fold(first, i64::min);
    // The session that starts there takes in the arrival and all others that it meets; a new one does if there is none.
    let there = |t: &Touched| t.start == start;
    let keeps = near[from..to].iter().position(|t| there(t) && !t.covered && meets(t)).map(|at| from + at);
    let last = near[from..to].iter().find(|t| there(t)).map(|t| t.mark);
    let mark = if keeps.is_some() { last } else { last.map_or(Some(0), |mark| (mark & !1).checked_add(2)) };
    // More sessions that start alike than there are marks: none is made up.
    let Some(mark) = mark else { return joined.rows.unsigned_abs() };
    for (at, session) in near.iter_mut().enumerate().take(to).skip(from) {
        if Some(at) != keeps
            && meets(session)
            && let Some(accum) = session.after.take()
        {
            joined.plus_equals(&accum);
            session.delta = Some(Accum::dead());
        }
    }
    let at = keeps.unwrap_or_else(|| {
        let at = near.partition_point(|t| order(t) < (start, Reverse(mark)));
        let (group, covered) = (arrival.group, false);
        near.insert(at, Touched { group, start, before: None, after: None, delta: None, mark, covered });
        at
    });
    let session = &mut near[at];
    match &mut session.after {
        Some(after) => after.plus_equals(&joined),
        None => session.after = Some(joined.clone()),
    }
    let end = session.after.as_ref().map_or(joined.time, |after| after.time);
    match &mut session.delta {
        Some(delta) => delta.plus_equals(&joined),
        None => session.delta = Some(joined),
    }
    for (other, session) in near.iter_mut().enumerate().skip(from).take_while(|(_, t)| t.start <= high) {
        if other != at && session.start >= start && session.after.as_ref().is_some_and(|a| a.time < end) {
            session.covered = true;
        }
    }
    0
}
