//! What an epoch's updates change in the rows of a table: the rows before and after, finished some thousand at a time.

use super::finish::{CHUNK, Items};
use super::keyed::Shape;
use super::sessions::Touched;
use super::table_changes::TableChanges;
use super::updates::Updates;
use super::windows::Hops;
use crate::arrange::reader::Reader;
use crate::arrange::{Accum, Dictionary, Key, Keys, Part, Place};
use crate::views::change::Bounds;
use differential_dataflow::difference::Semigroup;

/// Changes that are being worked out.
pub(super) struct Changes<'s> {
    shape: &'s Shape,
    groups: &'s Dictionary,
    with_old: bool,
    /// What is there now, and is not finished yet.
    after: Items<'s, Box<[Part]>>,
    /// What was there before, as far as that is asked for, and of which that is now.
    before: Items<'s, Box<[Part]>>,
    before_of: Vec<usize>,
    out: Vec<TableChanges>,
}

/// Of a window that is not there.
const NOTHING: Accum = Accum { rows: 0, time: i64::MIN, parts: None };

impl<'s> Changes<'s> {
    pub(super) fn new(shape: &'s Shape, groups: &'s Dictionary, with_old: bool) -> Self {
        let (after, before, before_of) = (Items::with_room(CHUNK), Items::with_room(0), Vec::new());
        Changes { shape, groups, with_old, after, before, before_of, out: Vec::new() }
    }

    /// Groups without windows, or with windows of one pane each.
    pub(super) fn singles(
        &mut self,
        updates: &Updates,
        reader: &mut Reader<Keys>,
        window: impl Fn(Place) -> Option<Bounds>,
    ) {
        for at in 0..updates.len() {
            let (key, mut update) = (updates.key(at), updates.accums.get(at));
            let mut before = reader.get(key);
            self.add(self.groups.key(key.group), window(key.place), before.as_mut(), &mut update);
        }
    }

    /// Windows of several panes each.
    pub(super) fn windows(&mut self, updates: &Updates, reader: &mut Reader<Keys>, hops: Hops) {
        // Of each window what is added and what was there; nothing between two groups.
        let (mut all_added, mut all_old): (Vec<Accum>, Vec<Accum>) = (Vec::new(), Vec::new());
        // A group's updates whose windows share panes: readers do not go back.
        let are_near = |a: Key, b: Key| {
            a.group == b.group && hops.first_start(b.place.at) < hops.last_start(a.place.at) + hops.size
        };
        let mut to = 0;
        while to < updates.len() {
            let (from, Key { group, place }) = (to, updates.key(to));
            to += 1;
            while to < updates.len() && are_near(updates.key(to - 1), updates.key(to)) {
                to += 1;
            }
            let (first, last) = (hops.first_start(place.at), hops.last_start(updates.key(to - 1).place.at));
            let slots = usize::try_from((last - first) / hops.advance + 1).unwrap_or(0);
            if slots > all_added.len() {
                all_added.resize(slots, NOTHING);
                all_old.resize(slots, NOTHING);
            }
            let (added, old) = (&mut all_added[..slots], &mut all_old[..slots]);
            for at in from..to {
                spread(hops, updates.key(at).place, updates.accums.parts(at), first, added);
            }
            // The panes of all windows that change.
            reader.seek(Key { group, place: Place { at: first, mark: 0 } });
            while let Some(key) = reader.key() {
                if key.group != group || key.place.at >= last + hops.size {
                    break;
                }
                if let Some(Accum { rows, time, parts }) = reader.accum() {
                    spread(hops, key.place, (rows, time, parts.as_deref()), first, old);
                }
                reader.step();
            }
            let key = self.groups.key(group);
            for (start, (add, before)) in (0..).map(|i| first + i * hops.advance).zip(added.iter_mut().zip(old)) {
                if !is_nothing(add) {
                    let before = Some(&mut *before).filter(|before| !is_nothing(before));
                    self.add(key, Some(hops.bounds(start)), before, add);
                }
                clear(add);
                clear(before);
            }
        }
    }

    /// A row that changes. Takes the parts.
    #[inline(always)]
    fn add(&mut self, key: &'s [u8], window: Option<Bounds>, before: Option<&mut Accum>, update: &mut Accum) {
        let after = match before {
            None => update,
            // A row that is hidden now may have an end to be told.
            Some(before) if self.with_old || self.shape.finish.hides() => {
                update.plus_equals(before);
                self.before.push(key, window, (before.rows, before.time, before.parts.take()));
                self.before_of.push(self.after.keys.len());
                update
            }
            Some(before) => {
                before.plus_equals(update);
                before
            }
        };
        self.after.push(key, window, (after.rows, after.time, after.parts.take()));
        if self.after.keys.len() >= CHUNK {
            self.finish();
        }
    }

    fn finish(&mut self) {
        let (new, old) = (self.shape.finish.rows(&self.after), self.shape.finish.rows(&self.before));
        let mut before_of = self.before_of.iter().copied().enumerate().peekable();
        let bytes = self.out.last().map_or(0, TableChanges::bytes);
        let mut out = TableChanges::with_room(self.after.keys.len(), bytes);
        for (at, (key, window, time)) in self.after.iter().enumerate() {
            let was = before_of.next_if(|(_, of)| *of == at).map(|(was, _)| was).filter(|was| old.is_shown(*was));
            if was.is_some() || new.is_shown(at) || self.shape.tells_ends {
                let old = |out: &mut Vec<u8>| self.with_old && was.is_some_and(|was| old.push(was, out));
                out.push_with(key, window, time, old, |out| new.push(at, out));
            }
        }
        drop((new, old));
        if !out.is_empty() {
            self.out.push(out);
        }
        self.after.clear();
        self.before.clear();
        self.before_of.clear();
    }

    /// The changes, in order of their groups' numbers.
    pub(super) fn done(mut self) -> Vec<TableChanges> {
        self.finish();
        self.out
    }
}

/// Adds a pane's entry to the windows that it counts for, of which the first starts at `first`.
fn spread(
    hops: Hops,
    place: Place,
    (rows, time, parts): (i64, i64, Option<&[Part]>),
    first: i64,
    windows: &mut [Accum],
) {
    // What starts before the first does not change.
    let Some(from) = hops.starts(place).next().map(|start| start.max(first)) else { return };
    let slot = |start: i64| usize::try_from((start - first) / hops.advance).unwrap_or(0);
    let to = hops.last_start(place.at);
    let some = if to < from { 0 } else { slot(to) + 1 - slot(from) };
    for window in windows.iter_mut().skip(slot(from)).take(some) {
        if is_nothing(window) {
            (window.rows, window.time, window.parts) = (rows, time, parts.map(Into::into));
        } else {
            window.add(rows, time, parts);
        }
    }
}

/// No row was added; any would have a time.
fn is_nothing(window: &Accum) -> bool {
    window.time == i64::MIN
}

fn clear(window: &mut Accum) {
    (window.rows, window.time) = (NOTHING.rows, NOTHING.time);
    if window.parts.is_some() {
        window.parts = None;
    }
}

/// What changes in the rows of these sessions, group after group. A session whose bounds change is another row: the old one
/// goes. Of a group first all that go, then what there is now.
pub(super) fn sessions(shape: &Shape, groups: &Dictionary, touched: &[Touched], with_old: bool) -> TableChanges {
    // Without them, a session that was there had a row.
    let old_rows = with_old || shape.finish.hides();
    let mut items = Items::<&[Part]>::with_room(2 * touched.len());
    for Touched { group, start, before, after, .. } in touched {
        let before = before.iter().filter(|_| old_rows);
        for accum in before.chain(after) {
            let Accum { rows, time, parts } = accum;
            items.push(groups.key(*group), Some(bounds(*start, accum)), (*rows, *time, parts.as_deref()));
        }
    }
    let rows = shape.finish.rows(&items);
    let mut out = TableChanges::with_room(items.keys.len(), 0);
    let mut places = 0..;
    let mut sessions = Vec::new();
    for touched in touched.chunk_by(|a, b| a.group == b.group) {
        sessions.clear();
        for session in touched {
            let before = session.before.as_ref().filter(|_| old_rows).and_then(|_| places.next());
            let after = session.after.as_ref().and_then(|_| places.next());
            sessions.push((session, before, after));
        }
        let stays = |t: &Touched| t.before.as_ref().map(|accum| accum.time) == t.after.as_ref().map(|a| a.time);
        let is_shown = |at: Option<usize>| at.is_none_or(|at| rows.is_shown(at));
        let push = |at: Option<usize>, out: &mut Vec<u8>| at.is_some_and(|at| rows.push(at, out));
        for (session, before, _) in &sessions {
            if let Some(accum) = session.before.as_ref().filter(|_| !stays(session) && is_shown(*before)) {
                let (key, window) = (groups.key(session.group), Some(bounds(session.start, accum)));
                out.push_with(key, window, accum.time, |out| with_old && push(*before, out), |_| false);
            }
        }
        for (session, before, after) in &sessions {
            let was = session.before.is_some() && stays(session) && is_shown(*before);
            if let Some(accum) = session.after.as_ref().filter(|_| was || is_shown(*after)) {
                let (key, window) = (groups.key(session.group), Some(bounds(session.start, accum)));
                let old = |out: &mut _| was && with_old && push(*before, out);
                out.push_with(key, window, accum.time, old, |out| push(*after, out));
            }
        }
    }
    out
}

fn bounds(start: i64, accum: &Accum) -> Bounds {
    Bounds { start, end: accum.time }
}
